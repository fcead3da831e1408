/*
 * src/engine/kernels/f32_plain.c
 *
 * Products of float32 tiles in plain C: the twin of the vectorised kernels, with their order of
 * sums.
 */
#include <math.h>
#include <string.h>

#include "kernels/f32.h"

static void
pack(void *to, const float *from, size_t ld, int n_lines, int n, LmTilePacking packing)
{
	bool across = packing == LM_TILE_ACROSS || packing == LM_TILE_ACROSS_TURNED;
	float *block = to;

	memset(block, 0, LM_TILE_BLOCK * sizeof *block);
	for (int line = 0; line < n_lines; line++)
		for (int i = 0; i < n; i++)
			block[(across ? line : i) * LM_TILE + (across ? i : line)] =
				from[(size_t) line * ld + (size_t) i];
}

/* LmTiles.multiply in plain C: one chain of fused multiply-adds an element, in the order of k. */
static void
multiply(float *sums, size_t ld, const void *a, size_t a_tile, const void *b, size_t b_tile,
		 int n_a, int n_b, int n_blocks, bool add)
{
	for (int row = 0; row < n_a * LM_TILE; row++)
		for (int column = 0; column < n_b * LM_TILE; column++)
		{
			const float *row_a =
				(const float *) a + (size_t) (row / LM_TILE) * a_tile + row % LM_TILE;
			const float *column_b =
				(const float *) b + (size_t) (column / LM_TILE) * b_tile + column % LM_TILE;
			float *y = sums + (size_t) row * ld + column, sum = add ? *y : 0;

			for (int k = 0; k < n_blocks * LM_TILE_K; k++)
				sum = fmaf(row_a[k * LM_TILE], column_b[k * LM_TILE], sum);
			*y = sum;
		}
}

void
lm_f32_plain_finish(const LmTileFinish *finish, const float *sums, size_t ld, int n_rows,
					int n_columns)
{
	for (int row = 0; row < n_rows; row++)
		for (int column = 0; column < n_columns; column++)
		{
			float *y = finish->y + (size_t) row * finish->ld_y + column;
			float value = sums[(size_t) row * ld + column];

			if (finish->bias)
				value += finish->bias[column];
			*y = finish->add ? *y + value : value;
		}
}

const LmTiles lm_f32_plain = {"plain", sizeof(float), pack, multiply, lm_f32_plain_finish};
