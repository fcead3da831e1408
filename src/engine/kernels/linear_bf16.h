/*
 * src/engine/kernels/linear_bf16.h
 *
 * The bfloat16 half of the door for products with a weight: what linear.c calls where LmLinear.packed is set.
 */
#ifndef LM_LINEAR_BF16_H
#define LM_LINEAR_BF16_H

#include "engine/ops.h"

void lm_linear_bf16_forward(LmEngine *engine, float *y, const float *x, const LmLinear *linear, int n_rows);
void lm_linear_bf16_backward(LmEngine *engine, float *dx, float *dw, float *dbias, const float *dy, const float *x,
							 const LmLinear *linear, int n_rows);

#endif /* LM_LINEAR_BF16_H */
