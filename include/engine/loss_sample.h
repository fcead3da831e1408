/*
 * include/engine/loss_sample.h
 *
 * How far a validation loss can be believed. The predictions that are measured are taken apart in
 * pieces; what two validations differ by in each piece says how far the difference of their losses
 * may be chance.
 */
#ifndef LM_LOSS_SAMPLE_H
#define LM_LOSS_SAMPLE_H

#include "engine/batch.h"

#define LM_LOSS_PARTS 64

/* Sums of the pieces, number i in part i modulo LM_LOSS_PARTS: plain bytes. */
typedef struct LmLossSample
{
	int64_t n_pieces;
	double sum[LM_LOSS_PARTS]; /* of weight times negative logarithm */
	double weight[LM_LOSS_PARTS];
} LmLossSample;

/*
 * nll [n_tokens] of the batch's rows that have a target. A window is one piece; of one text it is
 * one for every 64 tokens.
 */
void lm_loss_sample_add(LmLossSample *sample, const LmBatch *batch, const float *nll,
						bool one_text);

/* Whether there are enough pieces for a standard error that means something. */
bool lm_loss_sample_tells(const LmLossSample *sample);
#define LM_LEAST_PIECES 10

/*
 * By how many standard errors the loss of a sample is above that of another one of the same
 * predictions. 0 where they do not differ, infinity where all pieces differ by the same.
 */
double lm_loss_sample_rise(const LmLossSample *sample, const LmLossSample *other);

#endif /* LM_LOSS_SAMPLE_H */
