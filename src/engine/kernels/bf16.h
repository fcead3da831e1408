/*
 * src/engine/kernels/bf16.h
 *
 * Products of bfloat16 operands with float32 sums: how operands are packed, and the kernels that were compiled for
 * each instruction set and are chosen at run time.
 *
 * A product y [m, n] = a b over k takes a by tiles of 16 rows and b by tiles of 16 columns, both in blocks of 32 k:
 *
 *   a  [ceil(m / 32) * 2][ceil(k / 32)][16 rows][32 k]
 *   b  [ceil(n / 32) * 2][ceil(k / 32)][16 pairs of k][16 columns][2]
 *
 * zero beyond m, n and k. A block is 1 KiB, the tile register of AMX. Taken as 16 x 16 pairs, a block of a is the
 * transpose of the block of b with the same numbers, so that one function packs both.
 */
#ifndef LM_BF16_H
#define LM_BF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/ops.h"

#define LM_BF16_TILE 16 /* rows of a, columns of b */
#define LM_BF16_K 32 /* k in a block */
#define LM_BF16_BLOCK 512 /* numbers in a block */
#define LM_BF16_STEP 32 /* rows and columns are padded to this */

/* What to make of a float32 matrix. */
typedef enum LmBf16Packing
{
	LM_BF16_ALONG, /* a block is 16 lines of the matrix, of which k numbers side by side are taken: a */
	LM_BF16_ALONG_TURNED, /* the same, as b */
	LM_BF16_ACROSS, /* a block is 32 lines of the matrix, one for each k, of which 16 numbers are taken: b */
	LM_BF16_ACROSS_TURNED, /* the same, as a */
} LmBf16Packing;

/* What is done with the sums of a product on their way to y. */
typedef struct LmBf16Finish
{
	float *y;
	size_t ld_y;
	const float *bias; /* [columns] or NULL */
	bool add; /* y += instead of y = */
} LmBf16Finish;

typedef struct LmBf16
{
	const char *name;

	/* One block from `from`: n_lines lines (up to 16 or 32) of n numbers (up to 32 or 16), at a distance of ld. */
	void (*pack)(uint16_t *block, const float *from, size_t ld, int n_lines, int n, LmBf16Packing packing);

	/*
	 * sums [16 n_a][16 n_b], rows at a distance of ld, = or += over n_blocks blocks of k. n_a and n_b are even. The
	 * tiles of a are a_tile numbers apart, those of b b_tile; all are aligned to 64 bytes.
	 */
	void (*multiply)(float *sums, size_t ld, const uint16_t *a, size_t a_tile, const uint16_t *b, size_t b_tile, int n_a,
					 int n_b, int n_blocks, bool add);

	/* The first n_rows rows and n_columns columns of sums. */
	void (*finish)(const LmBf16Finish *finish, const float *sums, size_t ld, int n_rows, int n_columns);
} LmBf16;

/*
 * vdpbf16ps and tdpbf16ps flush denormals, round each sum to nearest even, and differ in the order of their sums;
 * the plain ones, in C, do the same bit by bit.
 */
extern const LmBf16 lm_bf16_avx512, lm_bf16_amx, lm_bf16_plain_avx512, lm_bf16_plain_amx;

/* The best that this processor and system run, or NULL. */
const LmBf16 *lm_bf16_best(void);
/* By name: NULL where it is not known or does not run here. */
const LmBf16 *lm_bf16_named(const char *name);

/* The functions that need no instruction of their own. */
void lm_bf16_plain_pack(uint16_t *block, const float *from, size_t ld, int n_lines, int n, LmBf16Packing packing);
void lm_bf16_avx512_pack(uint16_t *block, const float *from, size_t ld, int n_lines, int n, LmBf16Packing packing);
void lm_bf16_avx512_finish(const LmBf16Finish *finish, const float *sums, size_t ld, int n_rows, int n_columns);

/* Round to nearest even; denormals become zero, and what is not a number stays so. */
uint16_t lm_bf16_from_float(float value);
float lm_bf16_to_float(uint16_t value);

static inline int
lm_bf16_blocks(int k)
{
	return (k + LM_BF16_K - 1) / LM_BF16_K;
}

/* Numbers in a packed operand of `lines` rows or columns over k. */
static inline size_t
lm_bf16_count(int lines, int k)
{
	size_t steps = (size_t) (lines + LM_BF16_STEP - 1) / LM_BF16_STEP;

	return steps * 2 * (size_t) lm_bf16_blocks(k) * LM_BF16_BLOCK;
}

#endif /* LM_BF16_H */
