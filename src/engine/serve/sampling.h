/*
 * src/engine/serve/sampling.h
 *
 * What the options of a generation say about logits: their ranges, penalties and biases.
 */
#ifndef LM_SAMPLING_H
#define LM_SAMPLING_H

#include "serve/session.h"

/* LM_ERR_ARGUMENT for a value out of range; NaN is out of each. */
bool lm_sampling_check(const LmSampling *sampling, const LmConfig *config, LmError *error);

/* Whether the logits of a draw change before tokens are masked. */
bool lm_sampling_adjusts(const LmSampling *sampling);

/*
 * Changes the logits [V] of a draw, in this order: the repetition penalty of Keskar et al. 2019,
 * section 4.1, for tokens that prompt or output have, which multiplies a negative logit, so that
 * the token becomes less likely too; the penalties for tokens that the output has, and how often it
 * has them; biases. Returns whether all of these logits stay finite; minus infinity stays as it is.
 */
bool lm_adjust(float *logits, const LmDraw *wanted);
/* The logit of a candidate of a prompt that is healed, changed in the same way. */
float lm_candidate_logit(const LmDraw *wanted, int candidate);

#endif /* LM_SAMPLING_H */
