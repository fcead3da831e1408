/*
 * src/engine/kernels/linear_tiles.h
 *
 * Products with a weight by packed tiles; linear.c calls them where lm_linear_tiles names kernels.
 */
#ifndef LM_LINEAR_TILES_H
#define LM_LINEAR_TILES_H

#include "kernels/tiles.h"

/* The tiles of this layer; NULL: the matrix library multiplies. */
const LmTiles *lm_linear_tiles(const LmEngine *engine, const LmLinear *linear);

/* As lm_linear_forward and lm_linear_backward; packed operands go to linear->packed. */
void lm_linear_tiles_forward(LmEngine *engine, float *y, const float *x, const LmLinear *linear,
							 int n_rows);
void lm_linear_tiles_backward(LmEngine *engine, float *dx, float *dw, float *dbias, const float *dy,
							  const float *x, const LmLinear *linear, int n_rows);

#endif /* LM_LINEAR_TILES_H */
