/*
 * src/engine/train/blend.h
 *
 * Factors of several classifiers' logits, not below 0, whose weighted sum has the least mean
 * negative log-likelihood on rows that none of them has learnt: stacking (Wolpert 1992, "Stacked
 * generalization"), and at the same time temperature scaling (Guo et al. 2017, section 4.2). The
 * loss is convex in the factors; Newton's method finds them.
 */
#ifndef LM_BLEND_H
#define LM_BLEND_H

#include "train/dual.h"

#define LM_BLEND_MEMBERS 2

typedef struct LmBlendRows
{
	const float *logits[LM_BLEND_MEMBERS]; /* [n, labels] each; NULL after the last */
	size_t n;
	const size_t *rows; /* [n] their numbers in labels; NULL: 0 .. n - 1 */
	const LmRowLabels *labels;
} LmBlendRows;

/*
 * Factors in: what is expected, which counts as much as so many rows. *loss is the mean of the
 * rows, and *accuracy the share whose labels are all right; NaN without rows. LM_ERR_STOPPED.
 */
bool lm_blend_fit(double factors[LM_BLEND_MEMBERS], double *loss, double *accuracy,
				  const LmBlendRows *rows, double expected_rows, const LmHost *host,
				  LmError *error);

#endif /* LM_BLEND_H */
