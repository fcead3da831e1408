/*
 * include/engine/loss_sample.h
 *
 * Whether a difference of two validation losses may be chance. The measured predictions are divided
 * into pieces; the spread of the differences of two validations over the pieces gives the standard
 * error of the difference of their losses.
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
 * Adds a batch: nll [n_tokens] as lm_trainer_nll has it. A window is one piece, or a group of
 * windows; in one long text 64 tokens are one.
 */
void lm_loss_sample_add(LmLossSample *sample, const LmBatch *batch, const float *nll,
						bool one_text);

/*
 * Whether a sample has enough pieces (LM_LEAST_PIECES) for a standard error that means something.
 */
bool lm_loss_sample_tells(const LmLossSample *sample);
#define LM_LEAST_PIECES 10

/*
 * By how many standard errors the loss of a sample is above that of another one of the same
 * predictions. 0 where they do not differ, infinity where all pieces differ by the same.
 */
double lm_loss_sample_rise(const LmLossSample *sample, const LmLossSample *other);

#endif /* LM_LOSS_SAMPLE_H */
