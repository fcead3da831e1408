/*
 * src/engine/kernels/bf16.h
 *
 * Tiles of bfloat16.
 */
#ifndef LM_BF16_H
#define LM_BF16_H

#include "kernels/tiles.h"

/*
 * The instructions vdpbf16ps and tdpbf16ps flush denormals, round each sum to nearest even, and
 * differ in the order of their sums. The plain kernels do the same in C, bit by bit.
 */
extern const LmTiles lm_bf16_avx512, lm_bf16_amx, lm_bf16_plain_avx512, lm_bf16_plain_amx;

/* The best that this processor and system run, or NULL. */
const LmTiles *lm_bf16_best(void);
/* By name: NULL where it is not known or does not run here. */
const LmTiles *lm_bf16_named(const char *name);

/* The functions that need no instruction of their own. */
void lm_bf16_plain_pack(void *block, const float *from, size_t ld, int n_lines, int n,
						LmTilePacking packing);
void lm_bf16_avx512_pack(void *block, const float *from, size_t ld, int n_lines, int n,
						 LmTilePacking packing);

/* Rounds to nearest even; denormals become zero, and a NaN stays one. */
uint16_t lm_bf16_from_float(float value);
float lm_bf16_to_float(uint16_t value);

#endif /* LM_BF16_H */
