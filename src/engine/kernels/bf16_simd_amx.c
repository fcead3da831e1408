/*
 * src/engine/kernels/bf16_simd_amx.c
 *
 * Products in bfloat16 by the tile registers of AMX: two tiles of a against two of b, whose four
 * sums stay in registers over k. A thread has tiles only while it multiplies, so that nothing is
 * saved when it is not running. The Makefile gives this file its flags.
 */
#include "kernels/bf16.h"
#include "kernels/f32.h"

#if defined(__AMX_BF16__)
#include <immintrin.h>

/* Palette 1: the layout that ldtilecfg reads. */
typedef struct TileConfig
{
	uint8_t palette;
	uint8_t start_row;
	uint8_t reserved[14];
	uint16_t row_size[16];
	uint8_t rows[16];
} TileConfig;

static const TileConfig all_tiles = {
	.palette = 1,
	.row_size = {64, 64, 64, 64, 64, 64, 64, 64},
	.rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

/* 2 x 2 tiles: sums (+)= a b' over n_blocks, in the tile registers 0 .. 3; 4 .. 7 hold operands. */
static inline __attribute__((always_inline)) void
multiply_tiles(float *sums, size_t ld, const uint16_t *a, size_t a_tile, const uint16_t *b,
			   size_t b_tile, int n_blocks, bool add)
{
	float *lower = sums + LM_TILE * ld;
	size_t row_size = ld * sizeof(float);

	if (add)
	{
		_tile_loadd(0, sums, row_size);
		_tile_loadd(1, sums + LM_TILE, row_size);
		_tile_loadd(2, lower, row_size);
		_tile_loadd(3, lower + LM_TILE, row_size);
	}
	else
	{
		_tile_zero(0);
		_tile_zero(1);
		_tile_zero(2);
		_tile_zero(3);
	}
	for (int block = 0; block < n_blocks; block++)
	{
		_tile_loadd(4, a, 64);
		_tile_loadd(6, b, 64);
		_tile_dpbf16ps(0, 4, 6);
		_tile_loadd(7, b + b_tile, 64);
		_tile_dpbf16ps(1, 4, 7);
		_tile_loadd(5, a + a_tile, 64);
		_tile_dpbf16ps(2, 5, 6);
		_tile_dpbf16ps(3, 5, 7);
		a += LM_TILE_BLOCK;
		b += LM_TILE_BLOCK;
	}
	_tile_stored(0, sums, row_size);
	_tile_stored(1, sums + LM_TILE, row_size);
	_tile_stored(2, lower, row_size);
	_tile_stored(3, lower + LM_TILE, row_size);
}

static void
multiply(float *sums, size_t ld, const void *operand_a, size_t a_tile, const void *operand_b,
		 size_t b_tile, int n_a, int n_b, int n_blocks, bool add)
{
	const uint16_t *a = operand_a, *b = operand_b;

	_tile_loadconfig(&all_tiles);
	for (int j = 0; j < n_b; j += 2)
		for (int i = 0; i < n_a; i += 2)
			multiply_tiles(sums + (size_t) i * LM_TILE * ld + (size_t) j * LM_TILE, ld,
						   a + (size_t) i * a_tile, a_tile, b + (size_t) j * b_tile, b_tile,
						   n_blocks, add);
	_tile_release();
}

const LmTiles lm_bf16_amx = {"amx", sizeof(uint16_t), lm_bf16_avx512_pack, multiply,
							 lm_f32_avx512_finish};
#endif
