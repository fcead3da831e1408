/*
 * src/engine/model/block_layout.c
 *
 * The memory of the activations of blocks. With an encoder, the rows of a batch are parted anew
 * each time, so blocks are laid out for each batch, in a place that is enough for any parting.
 */
#include "model/network.h"

#define MOST_SLICES 64 /* of a block */
#define SLICE_ALIGNMENT 64 /* of an arena */

static LmBlockActivations lay_out_block(const LmNetwork *network, LmArena *arena, int n_rows,
										int n_keys, bool crosses);
static LmCrossActivations lay_out_cross(const LmConfig *config, LmArena *arena, size_t N,
										size_t n_keys);
static LmPostNorm lay_out_post_norm(LmArena *arena, size_t N, size_t C, bool exists);

bool
lm_blocks_size(size_t *bytes, LmNetwork *network)
{
	LmArena decoder = {0}, encoder = {0};
	size_t slack = (size_t) lm_config_blocks(&network->config) * MOST_SLICES * SLICE_ALIGNMENT;

	/* Sizes are linear in the number of rows but for the rounding of slices. */
	lm_blocks_layout(network, &decoder, network->capacity, 0);
	lm_blocks_layout(network, &encoder, 0, network->capacity);
	return !decoder.overflow && !encoder.overflow &&
		   lm_size_add(bytes, decoder.used > encoder.used ? decoder.used : encoder.used, slack);
}

/*
 * With recomputation only the input of each block is kept; the rest is that of the block of its
 * stack which was computed last.
 */
void
lm_blocks_layout(LmNetwork *network, LmArena *arena, int n_decoder, int n_encoder)
{
	const LmConfig *config = &network->config;
	bool crosses = config->architecture == LM_ENCODER_DECODER;
	LmBlockActivations kept = {0};

	for (int layer = 0; layer < lm_config_blocks(config); layer++)
	{
		bool encodes = lm_config_in_encoder(config, layer);
		int n = encodes ? n_encoder : n_decoder;

		if (!network->recompute || lm_config_layer(config, layer) == 0)
			kept = lay_out_block(network, arena, n, n_encoder, crosses && !encodes);
		kept.x = lm_arena_floats(arena, (size_t) n, (size_t) config->channels);
		if (arena->base)
			network->activations.blocks[layer] = kept;
	}
}

/* All but the input. */
static LmBlockActivations
lay_out_block(const LmNetwork *network, LmArena *arena, int n_rows, int n_keys, bool crosses)
{
	const LmConfig *config = &network->config;
	size_t N = (size_t) n_rows, C = (size_t) config->channels,
		   A = (size_t) lm_config_query_channels(config),
		   K = (size_t) lm_config_kv_channels(config),
		   n_heads = (size_t) (config->heads + lm_config_kv_heads(config));

	return (LmBlockActivations){
		.norm1 = lm_arena_floats(arena, N, C),
		.mean1 = lm_arena_floats(arena, N, 1),
		.rstd1 = lm_arena_floats(arena, N, 1),
		.qkv = lm_arena_floats(arena, N, A + 2 * K),
		.raw = config->qk_norm ? lm_arena_floats(arena, N, A + K) : NULL,
		.head_rstd = config->qk_norm ? lm_arena_floats(arena, N, n_heads) : NULL,
		.attention = lm_arena_floats(arena, N, A),
		.lse = lm_arena_floats(arena, N, (size_t) config->heads),
		.middle = lm_arena_floats(arena, N, C),
		.norm2 = lm_arena_floats(arena, N, C),
		.mean2 = lm_arena_floats(arena, N, 1),
		.rstd2 = lm_arena_floats(arena, N, 1),
		.up = lm_arena_floats(arena, N, (size_t) lm_config_up_channels(config)),
		.gelu = lm_arena_floats(arena, N, (size_t) config->mlp_channels),
		.post1 = lay_out_post_norm(arena, N, C, config->post_norm),
		.post2 = lay_out_post_norm(arena, N, C, config->post_norm),
		.cross =
			crosses ? lay_out_cross(config, arena, N, (size_t) n_keys) : (LmCrossActivations){0},
	};
}

static LmCrossActivations
lay_out_cross(const LmConfig *config, LmArena *arena, size_t N, size_t n_keys)
{
	size_t C = (size_t) config->channels, A = (size_t) lm_config_query_channels(config),
		   K = (size_t) lm_config_kv_channels(config), n_heads = (size_t) config->heads,
		   kv_heads = (size_t) lm_config_kv_heads(config);
	bool normed = config->qk_norm;

	return (LmCrossActivations){
		.x = lm_arena_floats(arena, N, C),
		.norm = lm_arena_floats(arena, N, C),
		.mean = lm_arena_floats(arena, N, 1),
		.rstd = lm_arena_floats(arena, N, 1),
		.q = lm_arena_floats(arena, N, A),
		.q_raw = normed ? lm_arena_floats(arena, N, A) : NULL,
		.q_rstd = normed ? lm_arena_floats(arena, N, n_heads) : NULL,
		.kv = lm_arena_floats(arena, n_keys, 2 * K),
		.k_raw = normed ? lm_arena_floats(arena, n_keys, K) : NULL,
		.k_rstd = normed ? lm_arena_floats(arena, n_keys, kv_heads) : NULL,
		.attention = lm_arena_floats(arena, N, A),
		.lse = lm_arena_floats(arena, N, n_heads),
		.post = lay_out_post_norm(arena, N, C, config->post_norm),
	};
}

static LmPostNorm
lay_out_post_norm(LmArena *arena, size_t N, size_t C, bool exists)
{
	if (!exists)
		return (LmPostNorm){0};
	return (LmPostNorm){
		.x = lm_arena_floats(arena, N, C),
		.mean = lm_arena_floats(arena, N, 1),
		.rstd = lm_arena_floats(arena, N, 1),
	};
}
