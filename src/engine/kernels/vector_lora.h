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
#define LORA_AHEAD 4096 /* bytes that a single row asks for before it needs them */

/* LANES weights from a place in a packed matrix; is_bfloat16 is a constant where this is inlined.
 */
INLINE Floats
lora_weights(const void *packed, size_t place, bool is_bfloat16)
{
	const uint16_t *halves = (const uint16_t *) packed + place;

	if (!is_bfloat16)
		return load((const float *) packed + place);
#if LANES == 16
	return (Floats) _mm512_slli_epi32(
		_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) halves)), 16);
#elif LANES == 8
	return (Floats) _mm256_slli_epi32(
		_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) halves)), 16);
#else
	Words words = {0};

	for (int i = 0; i < LANES; i++)
		words[i] = (uint32_t) halves[i] << 16;
	return (Floats) words;
#endif
}

/*
 * Asks for weights that follow. Rows of many adapters read each weight once, from memory: without
 * this, 64 adapters of 384 channels take 1.5 to 2 times as long.
 */
INLINE void
lora_prefetch(const void *packed, size_t place, size_t bytes_ahead, bool is_bfloat16)
{
	__builtin_prefetch((const char *) packed + place * (is_bfloat16 ? 2 : 4) + bytes_ahead);
}

/* sums[i][r] += x[i] a[r] of one part of a block, of which n columns exist. */
INLINE void
lora_inner_part(Floats sums[LORA_HEIGHT][LORA_WIDTH], const float *const x[], size_t at, int n,
				const void *a, size_t place, int n_rows, int n_ranks, bool is_bfloat16)
{
	Floats columns[LORA_HEIGHT];

#pragma GCC unroll 4
	for (int i = 0; i < n_rows; i++)
		columns[i] = n >= LANES ? load(x[i] + at) : load_part(x[i] + at, n);
#pragma GCC unroll 8
	for (int r = 0; r < n_ranks; r++)
	{
		Floats weights = lora_weights(a, place + (size_t) r * LM_LORA_BLOCK, is_bfloat16);

		if (n_rows == 1)
			lora_prefetch(a, place + (size_t) r * LM_LORA_BLOCK, LORA_AHEAD, is_bfloat16);

#pragma GCC unroll 4
		for (int i = 0; i < n_rows; i++)
			sums[i][r] = multiply_add(columns[i], weights, sums[i][r]);
	}
}

/* h[i] = x[i] a' for some ranks; n_rows and n_ranks are constants where this is inlined. */
INLINE void
lora_inner(float *h, const float *const x[], const LmLoraRows *work, int first_rank, int n_rows,
		   int n_ranks, bool is_bfloat16)
{
	Floats sums[LORA_HEIGHT][LORA_WIDTH];
	size_t place = (size_t) first_rank * LM_LORA_BLOCK;
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
			lora_inner_part(sums, x, (size_t) (at + part * LANES), LANES, work->a,
							place + (size_t) part * LANES, n_rows, n_ranks, is_bfloat16);
		place += (size_t) work->rank * LM_LORA_BLOCK;
	}
	for (; at < work->n_in; at += LANES, place += LANES)
		lora_inner_part(sums, x, (size_t) at, smaller_of(LANES, work->n_in - at), work->a, place,
						n_rows, n_ranks, is_bfloat16);
#pragma GCC unroll 4
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
		for (int r = 0; r < n_ranks; r++)
			h[(size_t) i * (size_t) work->rank + first_rank + r] = sum_lanes(sums[i][r]);
}

/* y[i] += h[i] b for some columns from `at` on, a multiple of LM_LORA_BLOCK. */
INLINE void
lora_outer(float *const y[], const float *h, const LmLoraRows *work, int at, int n_rows,
		   int n_parts, bool is_bfloat16)
{
	Floats sums[LORA_HEIGHT][LORA_WIDTH];
	size_t block = (size_t) work->rank * LM_LORA_BLOCK;
	size_t first = (size_t) (at / LM_LORA_BLOCK) * block;

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
			size_t place = first + (size_t) (part / LORA_PARTS) * block +
						   (size_t) r * LM_LORA_BLOCK + (size_t) (part % LORA_PARTS) * LANES;
			Floats weights = lora_weights(work->b, place, is_bfloat16);

			if (n_rows == 1)
				lora_prefetch(work->b, place, LORA_AHEAD, is_bfloat16);

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
			Floats before = load_columns(to, part * LANES, work->n_out - at);

			store_columns(to, before + sums[i][part], part * LANES, work->n_out - at);
		}
}

/* Some rows; n_rows and is_bfloat16 are constants where this is inlined. */
INLINE void
lora_tile(const LmLoraRows *work, const int *rows, int n_rows, bool is_bfloat16)
{
	float h[LORA_HEIGHT * LM_MAX_LORA_RANK];
	const float *x[LORA_HEIGHT];
	float *y[LORA_HEIGHT];
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
		lora_inner(h, x, work, r, n_rows, n_ranks, is_bfloat16);
	for (; n_ranks > 4 && r + 4 <= work->rank; r += 4)
		lora_inner(h, x, work, r, n_rows, 4, is_bfloat16);
	for (; r < work->rank; r++)
		lora_inner(h, x, work, r, n_rows, 1, is_bfloat16);
	for (; at + n_parts * LANES <= work->n_out; at += n_parts * LANES)
		lora_outer(y, h, work, at, n_rows, n_parts, is_bfloat16);
	for (; at < work->n_out; at += LM_LORA_BLOCK)
		lora_outer(y, h, work, at, n_rows, LORA_PARTS, is_bfloat16);
}

/* One function for each height and type, so that the sums of each stay in registers. */
#define LORA_TILE(n, type, is_bfloat16)                                                  \
	static __attribute__((noinline)) void lora_tile_##n##_##type(const LmLoraRows *work, \
																 const int *rows)        \
	{                                                                                    \
		lora_tile(work, rows, n, is_bfloat16);                                           \
	}
#define LORA_TILES(type, is_bfloat16)                   \
	LORA_TILE(1, type, is_bfloat16)                     \
	LORA_TILE(2, type, is_bfloat16)                     \
	LORA_TILE(4, type, is_bfloat16)                     \
	static void lora_of_##type(const LmLoraRows *work)  \
	{                                                   \
		int row = 0;                                    \
                                                        \
		for (; row + 4 <= work->n_rows; row += 4)       \
			lora_tile_4_##type(work, work->rows + row); \
		for (; row + 2 <= work->n_rows; row += 2)       \
			lora_tile_2_##type(work, work->rows + row); \
		if (row < work->n_rows)                         \
			lora_tile_1_##type(work, work->rows + row); \
	}
LORA_TILES(float32, false)
LORA_TILES(bfloat16, true)

static void
vector_lora(const LmLoraRows *work)
{
	if (work->is_bfloat16)
		lora_of_bfloat16(work);
	else
		lora_of_float32(work);
}

#endif /* LM_VECTOR_LORA_H */
