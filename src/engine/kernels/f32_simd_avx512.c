/*
 * src/engine/kernels/f32_simd_avx512.c
 *
 * Products of float32 tiles: 8 rows of a against 32 columns of b are 16 registers of sums. The
 * Makefile gives this file its flags.
 */
#include "kernels/f32.h"

#if defined(__AVX512F__)
#include "kernels/vector_transpose.h"

#define ROWS 8

/* A block of 16 lines whose k numbers lie side by side is turned in two squares. */
INLINE void
pack_along(float *block, const float *from, size_t ld, int n_lines, int n)
{
	for (int k = 0; k < LM_TILE_K; k += LANES)
	{
		int left = n - k < 0 ? 0 : n - k;
		Floats rows[LANES];

#pragma GCC unroll 16
		for (int i = 0; i < LANES; i++)
			rows[i] = i < n_lines
						  ? load_up_to(from + (size_t) i * ld + (left > 0 ? k : 0), (size_t) left)
						  : splat(0);
		transpose_lanes(rows);
#pragma GCC unroll 16
		for (int i = 0; i < LANES; i++)
			store(block + (size_t) (k + i) * LM_TILE, rows[i]);
	}
}

/* LmTiles.pack: turns lines that run along k, copies lines that run across it; pads with zeros. */
static void
pack(void *block, const float *from, size_t ld, int n_lines, int n, LmTilePacking packing)
{
	float *to = block;

	if (packing <= LM_TILE_ALONG_TURNED)
	{
		bool is_whole = n_lines == LM_TILE && n == LM_TILE_K;

		pack_along(to, from, ld, is_whole ? LM_TILE : n_lines, is_whole ? LM_TILE_K : n);
		return;
	}
	for (int line = 0; line < LM_TILE_K; line++)
		store(to + (size_t) line * LM_TILE,
			  line < n_lines ? load_up_to(from + (size_t) line * ld, (size_t) n) : splat(0));
}

/* 8 rows of one tile of a against two tiles of b */
INLINE void
multiply_tile(float *sums, size_t ld, const float *a, const float *b0, const float *b1,
			  const float *soon, int n_k, bool add)
{
	Floats y[ROWS][2];

#pragma GCC unroll 8
	for (int i = 0; i < ROWS; i++)
	{
		y[i][0] = add ? load(sums + (size_t) i * ld) : splat(0);
		y[i][1] = add ? load(sums + (size_t) i * ld + LM_TILE) : splat(0);
	}
	for (int k = 0; k < n_k; k++)
	{
		Floats c0 = load(b0), c1 = load(b1);

#pragma GCC unroll 8
		for (int i = 0; i < ROWS; i++)
		{
			Floats row = splat(a[i]);

			y[i][0] = multiply_add(row, c0, y[i][0]);
			y[i][1] = multiply_add(row, c1, y[i][1]);
		}
		_mm_prefetch((const char *) (soon), _MM_HINT_T0);
		soon += LM_TILE;
		a += LM_TILE;
		b0 += LM_TILE;
		b1 += LM_TILE;
	}
#pragma GCC unroll 8
	for (int i = 0; i < ROWS; i++)
	{
		store(sums + (size_t) i * ld, y[i][0]);
		store(sums + (size_t) i * ld + LM_TILE, y[i][1]);
	}
}

/* LmTiles.multiply: half a tile of rows by two tiles of columns; `soon` is prefetched. */
static void
multiply(float *sums, size_t ld, const void *operand_a, size_t a_tile, const void *operand_b,
		 size_t b_tile, int n_a, int n_b, int n_blocks, bool add)
{
	const float *a = operand_a, *b = operand_b;

	for (int j = 0; j < n_b; j += 2)
		for (int i = 0; i < n_a; i++)
			for (int half = 0; half < 2; half++)
			{
				const float *b0 = b + (size_t) j * b_tile;
				size_t row = (size_t) (i * LM_TILE + half * ROWS);
				const float *soon = a + (size_t) ((i + 1) % n_a) * a_tile;

				if (half == 1 && i < 2 && j + 2 < n_b)
					soon = b0 + (size_t) (i + 2) * b_tile;
				multiply_tile(sums + row * ld + (size_t) j * LM_TILE, ld,
							  a + (size_t) i * a_tile + half * ROWS, b0, b0 + b_tile, soon,
							  n_blocks * LM_TILE_K, add);
			}
}

void
lm_f32_avx512_finish(const LmTileFinish *finish, const float *sums, size_t ld, int n_rows,
					 int n_columns)
{
	for (int row = 0; row < n_rows; row++)
	{
		float *y = finish->y + (size_t) row * finish->ld_y;
		const float *from = sums + (size_t) row * ld;

		for (int j = 0; j < n_columns; j += LANES)
		{
			size_t left = (size_t) (n_columns - j);
			Floats value = load(from + j);

			if (finish->bias)
				value += load_up_to(finish->bias + j, left);
			if (finish->add)
				value = load_up_to(y + j, left) + value;
			store_up_to(y + j, value, left);
		}
	}
}

const LmTiles lm_f32_avx512 = {"avx512", sizeof(float), pack, multiply, lm_f32_avx512_finish};
#endif
