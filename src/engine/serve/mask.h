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
 * those with U+0000, those that cannot continue the character that the text has begun, and those
 * that would complete a banned text. Returns how many may follow; *are_finite becomes false where
 * the logit of one of them is not finite.
 */
int lm_mask(float *logits, bool *are_finite, const LmDraw *wanted);

/*
 * The logarithms of the shares of a row of logits that the constraint allows, *stays, and of those
 * of all other tokens, *leaves. A logit that is not a number makes one of them so too.
 */
void lm_constraint_shares(float *stays, float *leaves, const float *logits, const LmDraw *wanted);

#endif /* LM_MASK_H */
