/*
 * src/engine/kernels/vector_lora.h
 *
 * Rows times the two matrices of a low-rank adapter, for inference.
 *
 * Both matrices are in blocks of LM_LORA_BLOCK columns, [block][rank][LM_LORA_BLOCK], zero beyond
 * the last column: so few rows read them as one stream. A number of h is a sum over lanes, each in
 * the order of blocks, and a number of y a sum in the order of ranks: the bits of a row are the
 * same in a tile of any height.
 */
#ifndef LM_VECTOR_LORA_H
#define LM_VECTOR_LORA_H

#include "engine/config.h"
#include "kernels/simd.h"
#include "kernels/vector_types.h"

#define LORA_PARTS (LM_LORA_BLOCK / LANES)
#define LORA_HEIGHT 4
#if LANES == 16
#define LORA_SUMS 16 /* of 32 registers */
#else
#define LORA_SUMS 8 /* of 16 registers */
#endif
#define LORA_WIDTH 8 /* sums of a row at most */

/* sums[i][r] += x[i] a[r] of one part of a block, of which n columns exist. */
INLINE void
lora_inner_part(Floats sums[LORA_HEIGHT][LORA_WIDTH], const float *const x[], size_t at, int n,
				const float *a, int n_rows, int n_ranks)
{
	Floats columns[LORA_HEIGHT];

#pragma GCC unroll 4
	for (int i = 0; i < n_rows; i++)
		columns[i] = n >= LANES ? load(x[i] + at) : load_part(x[i] + at, n);
#pragma GCC unroll 8
	for (int r = 0; r < n_ranks; r++)
	{
		Floats weights = load(a + r * LM_LORA_BLOCK);

#pragma GCC unroll 4
		for (int i = 0; i < n_rows; i++)
			sums[i][r] = multiply_add(columns[i], weights, sums[i][r]);
	}
}

/* h[i] = x[i] a' for some ranks; n_rows and n_ranks are constants where this is inlined. */
INLINE void
lora_inner(float *h, const float *const x[], const float *a, const LmLoraRows *work, int n_rows,
		   int n_ranks)
{
	Floats sums[LORA_HEIGHT][LORA_WIDTH];
	int at = 0;

#pragma GCC unroll 4
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
		for (int r = 0; r < n_ranks; r++)
			sums[i][r] = splat(0);
	for (; at + LM_LORA_BLOCK <= work->n_in; at += LM_LORA_BLOCK)
	{
#pragma GCC unroll 4
		for (int part = 0; part < LORA_PARTS; part++)
			lora_inner_part(sums, x, (size_t) (at + part * LANES), LANES, a + part * LANES, n_rows,
							n_ranks);
		a += (size_t) work->rank * LM_LORA_BLOCK;
	}
	for (; at < work->n_in; at += LANES, a += LANES)
		lora_inner_part(sums, x, (size_t) at, smaller_of(LANES, work->n_in - at), a, n_rows,
						n_ranks);
#pragma GCC unroll 4
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
		for (int r = 0; r < n_ranks; r++)
			h[(size_t) i * (size_t) work->rank + r] = sum_lanes(sums[i][r]);
}

/* y[i] += h[i] b for some columns, of which n exist. */
INLINE void
lora_outer(float *const y[], const float *h, const float *b, const LmLoraRows *work, size_t at,
		   int n, int n_rows, int n_parts)
{
	Floats sums[LORA_HEIGHT][LORA_WIDTH];
	size_t block = (size_t) work->rank * LM_LORA_BLOCK;

#pragma GCC unroll 4
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
		for (int part = 0; part < n_parts; part++)
			sums[i][part] = splat(0);
	for (int r = 0; r < work->rank; r++)
	{
#pragma GCC unroll 8
		for (int part = 0; part < n_parts; part++)
		{
			Floats weights = load(b + (size_t) (part / LORA_PARTS) * block +
								  (size_t) r * LM_LORA_BLOCK + part % LORA_PARTS * LANES);

#pragma GCC unroll 4
			for (int i = 0; i < n_rows; i++)
				sums[i][part] = multiply_add(splat(h[(size_t) i * (size_t) work->rank + r]),
											 weights, sums[i][part]);
		}
	}
#pragma GCC unroll 4
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
		for (int part = 0; part < n_parts; part++)
		{
			float *to = y[i] + at;
			Floats before = load_columns(to, part * LANES, n);

			store_columns(to, before + sums[i][part], part * LANES, n);
		}
}

/* Some rows; n_rows is a constant where this is inlined. */
INLINE void
lora_tile(const LmLoraRows *work, const int *rows, int n_rows)
{
	float h[LORA_HEIGHT * LM_MAX_LORA_RANK];
	const float *x[LORA_HEIGHT];
	float *y[LORA_HEIGHT];
	size_t block = (size_t) work->rank * LM_LORA_BLOCK;
	const int n_ranks = LORA_SUMS / n_rows < LORA_WIDTH ? LORA_SUMS / n_rows : LORA_WIDTH;
	const int n_parts = n_ranks < LORA_PARTS ? LORA_PARTS : n_ranks; /* whole blocks */
	int r = 0, at = 0;

#pragma GCC unroll 4
	for (int i = 0; i < n_rows; i++)
	{
		x[i] = work->x + (size_t) rows[i] * (size_t) work->n_in;
		y[i] = work->y + (size_t) rows[i] * (size_t) work->n_out;
	}
	for (; r + n_ranks <= work->rank; r += n_ranks)
		lora_inner(h + r, x, work->a + (size_t) r * LM_LORA_BLOCK, work, n_rows, n_ranks);
	for (; n_ranks > 4 && r + 4 <= work->rank; r += 4)
		lora_inner(h + r, x, work->a + (size_t) r * LM_LORA_BLOCK, work, n_rows, 4);
	for (; r < work->rank; r++)
		lora_inner(h + r, x, work->a + (size_t) r * LM_LORA_BLOCK, work, n_rows, 1);
	for (; at + n_parts * LANES <= work->n_out; at += n_parts * LANES)
		lora_outer(y, h, work->b + (size_t) (at / LM_LORA_BLOCK) * block, work, (size_t) at,
				   work->n_out - at, n_rows, n_parts);
	for (; at < work->n_out; at += LM_LORA_BLOCK)
		lora_outer(y, h, work->b + (size_t) (at / LM_LORA_BLOCK) * block, work, (size_t) at,
				   work->n_out - at, n_rows, LORA_PARTS);
}

/* One function for each height, so that the sums of each stay in registers. */
#define LORA_TILE(n)                                                                             \
	static __attribute__((noinline)) void lora_tile_##n(const LmLoraRows *work, const int *rows) \
	{                                                                                            \
		lora_tile(work, rows, n);                                                                \
	}
LORA_TILE(1)
LORA_TILE(2)
LORA_TILE(4)

static void
vector_lora(const LmLoraRows *work)
{
	int row = 0;

	for (; row + 4 <= work->n_rows; row += 4)
		lora_tile_4(work, work->rows + row);
	for (; row + 2 <= work->n_rows; row += 2)
		lora_tile_2(work, work->rows + row);
	if (row < work->n_rows)
		lora_tile_1(work, work->rows + row);
}

#endif /* LM_VECTOR_LORA_H */
