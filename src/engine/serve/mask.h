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

#endif /* LM_MASK_H */
