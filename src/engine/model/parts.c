/*
 * src/engine/model/parts.c
 *
 * Parts the rows of a batch between encoder and decoder: prefixes go to the encoder, the other rows
 * to the decoder, each without gaps, so that blocks see batches like any other.
 */
#include "model/network.h"

static LmBatch lay_out_batch(LmArena *arena, int capacity);
static void append(LmBatch *part, const LmBatch *batch, int row, int start);

void
lm_parts_layout(LmNetwork *network, LmArena *arena)
{
	size_t N = (size_t) network->capacity;

	network->parts.encoder = lay_out_batch(arena, network->capacity);
	network->parts.decoder = lay_out_batch(arena, network->capacity);
	network->parts.rows = lm_arena_take(arena, N, sizeof(int32_t));
	network->parts.first_keys = lm_arena_take(arena, N, sizeof(int32_t));
	network->parts.last_keys = lm_arena_take(arena, N, sizeof(int32_t));
}

/* Only the arrays that blocks read. */
static LmBatch
lay_out_batch(LmArena *arena, int capacity)
{
	size_t N = (size_t) capacity;

	return (LmBatch){
		.capacity = capacity,
		.tokens = lm_arena_take(arena, N, sizeof(int32_t)),
		.positions = lm_arena_take(arena, N, sizeof(int32_t)),
		.starts = lm_arena_take(arena, N, sizeof(int32_t)),
		.prefixes = lm_arena_take(arena, N, sizeof(int32_t)),
		.examples = lm_arena_take(arena, N, sizeof(int32_t)),
	};
}

void
lm_parts_split(LmNetwork *network, const LmBatch *batch)
{
	LmParts *parts = &network->parts;
	int encoder_start = 0, decoder_start = 0;

	parts->encoder.n_tokens = parts->decoder.n_tokens = 0;
	for (int row = 0; row < batch->n_tokens; row++)
	{
		bool in_prefix = row < batch->prefixes[row];

		if (row == batch->starts[row])
		{
			encoder_start = parts->encoder.n_tokens;
			decoder_start = parts->decoder.n_tokens;
		}
		if (in_prefix)
		{
			append(&parts->encoder, batch, row, encoder_start);
			continue;
		}
		parts->rows[parts->decoder.n_tokens] = row;
		parts->first_keys[parts->decoder.n_tokens] = encoder_start;
		parts->last_keys[parts->decoder.n_tokens] = parts->encoder.n_tokens;
		append(&parts->decoder, batch, row, decoder_start);
	}
}

/* In the encoder all rows of a window are its prefix; the decoder does not look at prefixes. */
static void
append(LmBatch *part, const LmBatch *batch, int row, int start)
{
	int i = part->n_tokens++;

	part->tokens[i] = batch->tokens[row];
	part->positions[i] = batch->positions[row];
	part->examples[i] = batch->examples[row];
	part->starts[i] = start;
	part->prefixes[i] = start + batch->prefixes[row] - batch->starts[row];
}
