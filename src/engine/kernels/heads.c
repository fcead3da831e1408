/*
 * src/engine/kernels/heads.c
 *
 * Normalisation and rotation of the queries and keys of each head, between their product and
 * attention, and the backward pass of both. Each row is computed by itself, so that training and
 * inference compute the same bits.
 */
#include <math.h>
#include <string.h>

#include "kernels/pieces.h"
#include "kernels/simd.h"

#define BACKWARD_ROWS 64 /* rows in a partial sum of the weights' gradients */

typedef struct HeadsWork
{
	const LmSimd *simd;
	const LmHeads *heads;
	const int32_t *positions;
	float *qkv; /* or its gradient */
	float *raw;
	float *rstd;
	const float *raw_before;
	const float *rstd_before;
	float *partial; /* [blocks, 3, head_size]: the two weights' gradients, and room for a head */
	int n_rows;
	int n_heads; /* of queries and keys */
	size_t row_size; /* floats of a row of qkv: A + 2 K */
	size_t raw_size; /* A + K */
} HeadsWork;

static HeadsWork begin(const LmHeads *heads, float *qkv, const int32_t *positions, int n_rows);
static void forward_piece(void *work, int piece, int thread);
static void backward_piece(void *work, int piece, int thread);
static void rotate(const HeadsWork *work, float *x, int row, float sign);
static double period(const LmRotation *rotation, int pair);
static double yarn_part(const LmRotation *rotation, int pair);

void
lm_heads_forward(LmEngine *engine, float *qkv, float *raw, float *rstd, const int32_t *positions,
				 const LmHeads *heads, int n_rows)
{
	HeadsWork work = begin(heads, qkv, positions, n_rows);

	if (!heads->query_weight && !heads->key_weight && !heads->rotary)
		return;
	work.raw = raw;
	work.rstd = rstd;
	lm_engine_run(engine, forward_piece, &work,
				  lm_divide_up((size_t) n_rows, (size_t) lm_piece_rows((int) work.row_size / 3)));
}

/* The sizes of rows, and the arguments that both directions share. */
static HeadsWork
begin(const LmHeads *heads, float *qkv, const int32_t *positions, int n_rows)
{
	size_t size = (size_t) heads->head_size;

	return (HeadsWork){
		.simd = lm_simd(),
		.heads = heads,
		.positions = positions,
		.qkv = qkv,
		.n_rows = n_rows,
		.n_heads = heads->heads + heads->kv_heads,
		.row_size = (size_t) (heads->heads + 2 * heads->kv_heads) * size,
		.raw_size = (size_t) (heads->heads + heads->kv_heads) * size,
	};
}

/* For each query and key of the piece's rows: x = RMSNorm(x) weight, then rotation by position. */
static void
forward_piece(void *argument, int piece, int thread)
{
	const HeadsWork *work = argument;
	const LmHeads *heads = work->heads;
	int n_rows = lm_piece_rows((int) work->row_size / 3), size = heads->head_size;
	int first = piece * n_rows, last = first + lm_smaller(n_rows, work->n_rows - first);

	for (int row = first; row < last; row++)
	{
		float *qk = work->qkv + (size_t) row * work->row_size;

		if (work->raw)
			memcpy(work->raw + (size_t) row * work->raw_size, qk, work->raw_size * sizeof *qk);
		for (int head = 0; head < work->n_heads; head++)
		{
			const float *weight = head < heads->heads ? heads->query_weight : heads->key_weight;
			float *x = qk + (size_t) head * (size_t) size;
			float mean, rstd;

			if (weight)
				work->simd->norm_forward(x, &mean, &rstd, x, weight, NULL, size, heads->epsilon,
										 false);
			if (weight && work->rstd)
				work->rstd[(size_t) row * (size_t) work->n_heads + (size_t) head] = rstd;
			rotate(work, x, row, 1);
		}
	}
}

/* Turns the first elements of a head by the position of its row; sign -1 turns back. */
static void
rotate(const HeadsWork *work, float *x, int row, float sign)
{
	const LmHeads *heads = work->heads;
	int size = heads->rotary_size;
	const float *angles;

	if (!heads->rotary)
		return;
	angles = heads->rotary + (size_t) work->positions[row] * (size_t) size;
	if (heads->style == LM_ROPE_HALF)
		work->simd->rotate(x, angles, size, sign);
	else
		work->simd->rotate_pairs(x, angles, size, sign);
}

void
lm_heads_backward(LmEngine *engine, float *dqkv, float *dquery_weight, float *dkey_weight,
				  const float *raw, const float *rstd, const int32_t *positions,
				  const LmHeads *heads, int n_rows, void *scratch)
{
	HeadsWork work = begin(heads, dqkv, positions, n_rows);
	int n_blocks = lm_divide_up((size_t) n_rows, BACKWARD_ROWS);
	size_t size = (size_t) heads->head_size;

	if (!heads->query_weight && !heads->key_weight && !heads->rotary)
		return;
	work.raw_before = raw;
	work.rstd_before = rstd;
	work.partial = scratch;
	lm_engine_run(engine, backward_piece, &work, n_blocks);
	for (int i = 0; i < n_blocks; i++)
	{
		const float *partial = work.partial + (size_t) i * 3 * size;

		if (heads->query_weight && dquery_weight)
			work.simd->add(dquery_weight, partial, size);
		if (heads->key_weight && dkey_weight)
			work.simd->add(dkey_weight, partial + size, size);
	}
}

/* Turns each gradient back and differentiates the norm; partial sums the piece's dweight. */
static void
backward_piece(void *argument, int piece, int thread)
{
	const HeadsWork *work = argument;
	const LmHeads *heads = work->heads;
	int first = piece * BACKWARD_ROWS;
	int last = first + lm_smaller(BACKWARD_ROWS, work->n_rows - first);
	size_t size = (size_t) heads->head_size;
	float *partial = work->partial + (size_t) piece * 3 * size, *turned_back = partial + 2 * size;

	if (heads->query_weight || heads->key_weight)
		memset(partial, 0, 2 * size * sizeof *partial);
	for (int row = first; row < last; row++)
		for (int head = 0; head < work->n_heads; head++)
		{
			bool is_query = head < heads->heads;
			const float *weight = is_query ? heads->query_weight : heads->key_weight;
			float *d = work->qkv + (size_t) row * work->row_size + (size_t) head * size;

			rotate(work, d, row, -1);
			if (!weight)
				continue;
			memcpy(turned_back, d, size * sizeof *d);
			memset(d, 0, size * sizeof *d);
			work->simd->norm_backward(
				d, partial + (is_query ? 0 : size), NULL, turned_back,
				work->raw_before + (size_t) row * work->raw_size + (size_t) head * size, 0,
				work->rstd_before[(size_t) row * (size_t) work->n_heads + (size_t) head], weight,
				heads->head_size, false);
		}
}

size_t
lm_heads_backward_scratch(int n_rows, int head_size)
{
	return (size_t) lm_divide_up((size_t) n_rows, BACKWARD_ROWS) * 3 * (size_t) head_size *
		   sizeof(float);
}

void
lm_rotary(float *table, const LmRotation *rotation, int context)
{
	for (int pair = 0; pair < rotation->size / 2; pair++)
		lm_rotary_pair(table, rotation, context, pair);
}

void
lm_rotary_pair(float *table, const LmRotation *rotation, int context, int pair)
{
	int half = rotation->size / 2;
	double factor = 1, divisor = period(rotation, pair);

	if (rotation->scaling == LM_ROPE_YARN)
		factor = rotation->attention > 0 ? rotation->attention : 0.1 * log(rotation->factor) + 1;
	for (int position = 0; position < context; position++)
	{
		float *row = table + (size_t) position * (size_t) rotation->size;

		row[pair] = (float) (factor * cos(position / divisor));
		row[half + pair] = (float) (factor * sin(position / divisor));
	}
}

/*
 * Positions in which a pair turns by one radian: base^(2 i / size) without scaling. Llama 3 keeps
 * pairs that make more than `high` turns within the original context, stretches those of fewer than
 * `low` by the factor, and blends frequencies between (Llama 3.1's reference code, apply_scaling,
 * https://github.com/meta-llama/llama-models). YaRN blends by the number of the pair.
 */
static double
period(const LmRotation *rotation, int pair)
{
	const double pi = 3.14159265358979323846;
	double plain = pow(rotation->base, 2.0 * pair / rotation->size), kept = 0;
	double turns = rotation->original_context / (2 * pi * plain);

	switch (rotation->scaling)
	{
		case LM_ROPE_UNSCALED:
			return plain;
		case LM_ROPE_LINEAR:
			break;
		case LM_ROPE_LLAMA3:
			kept = (turns - rotation->low) / ((double) rotation->high - rotation->low);
			break;
		case LM_ROPE_YARN:
			kept = yarn_part(rotation, pair);
			break;
	}
	kept = fmin(fmax(kept, 0), 1);
	return plain / ((1 - kept) / rotation->factor + kept);
}

/*
 * How much of a pair's frequency YaRN keeps: all up to the pair that makes `high` turns within the
 * original context, nothing from that of `low` on, and a straight line between (Peng et al. 2023,
 * section 3.2; numbers of pairs rounded outwards as in Hugging Face's documented default).
 */
static double
yarn_part(const LmRotation *rotation, int pair)
{
	const double pi = 3.14159265358979323846;
	double pairs_per_log = rotation->size / (2 * log(rotation->base));
	double first =
		floor(pairs_per_log * log(rotation->original_context / (2 * pi * rotation->high)));
	double last = ceil(pairs_per_log * log(rotation->original_context / (2 * pi * rotation->low)));

	first = fmax(first, 0);
	last = fmin(last, rotation->size - 1);
	if (first == last)
		last += 0.001; /* a step, not a division by 0 */
	return 1 - fmin(fmax((pair - first) / (last - first), 0), 1);
}
