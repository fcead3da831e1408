/*
 * src/engine/kernels/f32.h
 *
 * Tiles of float32. Each sum is one chain of fused multiply-adds over k in order.
 */
#ifndef LM_F32_H
#define LM_F32_H

#include "kernels/tiles.h"

/* The kernels for AVX-512, and the same in plain C for tests: equal bit by bit. */
extern const LmTiles lm_f32_avx512, lm_f32_plain;

/* The best that this processor runs, or NULL where the matrix library is the better one. */
const LmTiles *lm_f32_best(void);
/* By name: NULL where it is not known or does not run here. */
const LmTiles *lm_f32_named(const char *name);

/* The end of a product is the same for bfloat16. */
void lm_f32_plain_finish(const LmTileFinish *finish, const float *sums, size_t ld, int n_rows,
						 int n_columns);
void lm_f32_avx512_finish(const LmTileFinish *finish, const float *sums, size_t ld, int n_rows,
						  int n_columns);

#endif /* LM_F32_H */
