/*
 * src/engine/serve/mask.h
 *
 * What a draw and a beam search do with a row of logits before they look for tokens.
 */
#ifndef LM_MASK_H
#define LM_MASK_H

#include "serve/session.h"

/*
 * Logits [V] of tokens that may not follow become minus infinity: special tokens but for the end,
 * those with U+0000, and those that cannot continue the character that the text has begun. Returns
 * how many may follow; *are_finite becomes false where the logit of one of them is not finite.
 */
int lm_mask(float *logits, bool *are_finite, const LmDraw *wanted);

/*
 * The repetition penalty of Keskar et al. 2019, section 4.1, for the tokens that prompt or text
 * have. A negative logit is multiplied, so that the token becomes less likely too. Returns whether
 * all of these logits stay finite.
 */
bool lm_penalise(float *logits, const LmDraw *wanted);

static inline float
lm_penalised(float logit, double penalty)
{
	return (float) (logit > 0 ? logit / penalty : logit * penalty);
}

#endif /* LM_MASK_H */
