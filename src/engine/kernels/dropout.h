/*
 * src/engine/kernels/dropout.h
 *
 * From a dropout rate to thresholds and masks, shared by the residual branches and attention.
 */
#ifndef LM_DROPOUT_H
#define LM_DROPOUT_H

#include "kernels/simd.h"

#define LM_DROPOUT_STEPS 65536 /* a mask looks at 16 bits */

/* The rate in units of 1 / LM_DROPOUT_STEPS; 0: nothing is dropped. */
static inline uint32_t
lm_dropout_threshold(const LmDropout *dropout)
{
	float threshold = dropout ? dropout->rate * LM_DROPOUT_STEPS + 0.5f : 0;

	if (threshold < 1)
		return 0;
	/* At a rate of 1 the scale would be infinite. */
	return threshold < LM_DROPOUT_STEPS - 1 ? (uint32_t) threshold : LM_DROPOUT_STEPS - 1;
}

/* The place of the mask of one row; head is 0 outside attention. */
static inline LmMaskRow
lm_mask_row(const LmDropout *dropout, uint32_t threshold, int row, uint32_t head)
{
	LmMaskRow mask = {dropout->key,
					  (uint32_t) dropout->positions[row],
					  (uint32_t) dropout->examples[row],
					  head,
					  threshold,
					  1 / (1 - (float) threshold / LM_DROPOUT_STEPS)};

	return mask;
}

/* One row of lm_residual_norm_forward's sum. */
void lm_residual_row(const LmSimd *simd, const LmResidual *residual, uint32_t threshold, int row,
					 int C);

#endif /* LM_DROPOUT_H */
