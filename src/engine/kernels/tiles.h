/*
 * src/engine/kernels/tiles.h
 *
 * Products of operands that were packed once, bfloat16 or float32, with float32 sums: how operands
 * are packed, and what the kernels do that were compiled for each type and instruction set and are
 * chosen at run time.
 *
 * A product y [m, n] = a b over k takes a by tiles of 16 rows and b by tiles of 16 columns, both in
 * blocks of 32 k:
 *
 *   bfloat16  a  [ceil(m / 32) * 2][ceil(k / 32)][16 rows][32 k]
 *             b  [ceil(n / 32) * 2][ceil(k / 32)][16 pairs of k][16 columns][2]
 *   float32   a  [ceil(m / 32) * 2][ceil(k / 32)][32 k][16 rows]
 *             b  [ceil(n / 32) * 2][ceil(k / 32)][32 k][16 columns]
 *
 * zero beyond m, n and k. A block of bfloat16 is 1 KiB, the tile register of AMX. Taken as 16 x 16
 * pairs, its block of a is the transpose of the block of b with the same numbers, so that one
 * function packs both.
 */
#ifndef LM_TILES_H
#define LM_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/ops.h"

#define LM_TILE 16 /* rows of a, columns of b */
#define LM_TILE_K 32 /* k in a block */
#define LM_TILE_BLOCK 512 /* numbers in a block */
#define LM_TILE_STEP 32 /* rows and columns are padded to this */

/* How a float32 matrix is packed. */
typedef enum LmTilePacking
{
	/* a block is 16 lines of the matrix, of which k numbers side by side are taken: a */
	LM_TILE_ALONG,
	LM_TILE_ALONG_TURNED, /* the same, as b */
	/* a block is 32 lines of the matrix, one for each k, of which 16 numbers are taken: b */
	LM_TILE_ACROSS,
	LM_TILE_ACROSS_TURNED, /* the same, as a */
} LmTilePacking;

/* The operation on the sums of a product on their way to y. */
typedef struct LmTileFinish
{
	float *y;
	size_t ld_y;
	const float *bias; /* [columns] or NULL */
	bool add; /* y += instead of y = */
} LmTileFinish;

/* The kernels of one number type and instruction set. */
typedef struct LmTiles
{
	const char *name;
	size_t number_size; /* bytes of a packed number */

	/*
	 * One block from `from`: n_lines lines (up to 16 or 32) of n numbers (up to 32 or 16), at a
	 * distance of ld.
	 */
	void (*pack)(void *block, const float *from, size_t ld, int n_lines, int n,
				 LmTilePacking packing);

	/*
	 * sums [16 n_a][16 n_b], rows at a distance of ld, = or += over n_blocks blocks of k. n_a and
	 * n_b are even. The tiles of a are a_tile numbers apart, those of b b_tile; all are aligned to
	 * 64 bytes.
	 */
	void (*multiply)(float *sums, size_t ld, const void *a, size_t a_tile, const void *b,
					 size_t b_tile, int n_a, int n_b, int n_blocks, bool add);

	/* The first n_rows rows and n_columns columns of sums. */
	void (*finish)(const LmTileFinish *finish, const float *sums, size_t ld, int n_rows,
				   int n_columns);
} LmTiles;

/* Blocks of k numbers, the last one possibly in part. */
static inline int
lm_tile_blocks(int k)
{
	return k / LM_TILE_K + (k % LM_TILE_K != 0);
}

/* Numbers in a packed operand of `lines` rows or columns over k. */
static inline size_t
lm_tile_count(int lines, int k)
{
	size_t steps = ((size_t) lines + LM_TILE_STEP - 1) / LM_TILE_STEP;

	return steps * 2 * (size_t) lm_tile_blocks(k) * LM_TILE_BLOCK;
}

#endif /* LM_TILES_H */
