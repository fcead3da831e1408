/*
 * src/engine/train/ridge.h
 *
 * The linear part of a regression model: ridge regression, by dual coordinate descent (Ho and Lin
 * 2012, "Large-scale linear support vector regression", algorithm 4 with epsilon 0):
 *
 *   min over w   |w - w0|^2 / 2 + C sum_i weight_i (w x_i - y_i)^2
 *
 * y_i is the number in the bits of window i's label; weights are relative to their mean.
 */
#ifndef LM_RIDGE_H
#define LM_RIDGE_H

#include "train/dual.h"

/*
 * weights [n_features]: w0 in, w out; feature 0 is the constant 1 of each row. Rows: as
 * lm_dual_learns. LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
bool lm_ridge_fit(float *weights, const LmFeatureRows *rows, const LmWindow *windows,
				  const LmDualOptions *options, LmError *error);

/* The weighted squared error of a row. */
double lm_ridge_error(const float *weights, const LmFeatureRows *rows, const LmWindow *windows,
					  size_t row);

/*
 * Of rows [first, first + n), the factors of two predictions of their numbers, [n] each, whose
 * weighted squared error is least; few rows stay near the factors that are given. *loss: that error
 * per weight; NaN without rows.
 */
void lm_ridge_blend(double factors[2], double *loss, const float *const predictions[2],
					const LmWindow *windows, size_t n, double expected_rows);

#endif /* LM_RIDGE_H */
