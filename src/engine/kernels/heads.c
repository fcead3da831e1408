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
	int size; /* of a head */
} HeadsWork;

static void forward_piece(void *work, int piece, int thread);
static void backward_piece(void *work, int piece, int thread);

void
lm_heads_forward(LmEngine *engine, float *qkv, float *raw, float *rstd, const int32_t *positions,
				 const LmHeads *heads, int n_rows)
{
	HeadsWork work = {.simd = lm_simd(),
					  .heads = heads,
					  .positions = positions,
					  .qkv = qkv,
					  .raw = raw,
					  .rstd = rstd};

	if (!heads->query_weight && !heads->rotary)
		return;
	work.n_rows = n_rows;
	work.size = heads->C / heads->H;
	lm_engine_run(engine, forward_piece, &work,
				  lm_divide_up((size_t) n_rows, (size_t) lm_piece_rows(heads->C)));
}

/* For each query and key of the piece's rows: x = RMSNorm(x) weight, then rotation by position. */
static void
forward_piece(void *argument, int piece, int thread)
{
	const HeadsWork *work = argument;
	const LmHeads *heads = work->heads;
	int H = heads->H, C = heads->C, size = work->size;
	int first = piece * lm_piece_rows(C);
	int last = first + lm_smaller(lm_piece_rows(C), work->n_rows - first);

	for (int row = first; row < last; row++)
	{
		float *qk = work->qkv + (size_t) row * 3 * (size_t) C;

		if (work->raw)
			memcpy(work->raw + (size_t) row * 2 * (size_t) C, qk, 2 * (size_t) C * sizeof *qk);
		for (int head = 0; head < 2 * H; head++)
		{
			const float *weight = head < H ? heads->query_weight : heads->key_weight;
			float *x = qk + (size_t) head * (size_t) size;
			float mean, rstd;

			if (weight)
				work->simd->norm_forward(x, &mean, &rstd, x, weight, NULL, size, heads->epsilon,
										 false);
			if (weight && work->rstd)
				work->rstd[(size_t) row * 2 * (size_t) H + (size_t) head] = rstd;
			if (heads->rotary)
				work->simd->rotate(x, heads->rotary + (size_t) work->positions[row] * (size_t) size,
								   size, 1);
		}
	}
}

void
lm_heads_backward(LmEngine *engine, float *dqkv, float *dquery_weight, float *dkey_weight,
				  const float *raw, const float *rstd, const int32_t *positions,
				  const LmHeads *heads, int n_rows, void *scratch)
{
	HeadsWork work = {.simd = lm_simd(),
					  .heads = heads,
					  .positions = positions,
					  .qkv = dqkv,
					  .raw_before = raw,
					  .rstd_before = rstd};
	int n_blocks = lm_divide_up((size_t) n_rows, BACKWARD_ROWS);

	if (!heads->query_weight && !heads->rotary)
		return;
	work.partial = scratch;
	work.n_rows = n_rows;
	work.size = heads->C / heads->H;
	lm_engine_run(engine, backward_piece, &work, n_blocks);
	for (int i = 0; heads->query_weight && dquery_weight && i < n_blocks; i++)
	{
		const float *partial = work.partial + (size_t) i * 3 * (size_t) work.size;

		work.simd->add(dquery_weight, partial, (size_t) work.size);
		work.simd->add(dkey_weight, partial + work.size, (size_t) work.size);
	}
}

/* Turns each gradient back and differentiates the norm; partial sums the piece's dweight. */
static void
backward_piece(void *argument, int piece, int thread)
{
	const HeadsWork *work = argument;
	const LmHeads *heads = work->heads;
	int H = heads->H, C = heads->C, first = piece * BACKWARD_ROWS;
	int last = first + lm_smaller(BACKWARD_ROWS, work->n_rows - first);
	size_t size = (size_t) work->size;
	float *partial = work->partial + (size_t) piece * 3 * size, *turned_back = partial + 2 * size;

	if (heads->query_weight)
		memset(partial, 0, 2 * size * sizeof *partial);
	for (int row = first; row < last; row++)
		for (int head = 0; head < 2 * H; head++)
		{
			const float *weight = head < H ? heads->query_weight : heads->key_weight;
			float *d = work->qkv + (size_t) row * 3 * (size_t) C + (size_t) head * size;

			if (heads->rotary)
				work->simd->rotate(d, heads->rotary + (size_t) work->positions[row] * size,
								   work->size, -1);
			if (!weight)
				continue;
			memcpy(turned_back, d, size * sizeof *d);
			memset(d, 0, size * sizeof *d);
			work->simd->norm_backward(
				d, partial + (head < H ? 0 : size), NULL, turned_back,
				work->raw_before + (size_t) row * 2 * (size_t) C + (size_t) head * size, 0,
				work->rstd_before[(size_t) row * 2 * (size_t) H + (size_t) head], weight,
				work->size, false);
		}
}

size_t
lm_heads_backward_scratch(int n_rows, int head_size)
{
	return (size_t) lm_divide_up((size_t) n_rows, BACKWARD_ROWS) * 3 * (size_t) head_size *
		   sizeof(float);
}

void
lm_rotary(float *rotary, int context, int head_size, float base)
{
	int half = head_size / 2;

	for (int position = 0; position < context; position++)
		for (int i = 0; i < half; i++)
		{
			double angle = position / pow(base, 2.0 * i / head_size);

			rotary[(size_t) position * (size_t) head_size + (size_t) i] = (float) cos(angle);
			rotary[(size_t) position * (size_t) head_size + (size_t) (half + i)] =
				(float) sin(angle);
		}
}
