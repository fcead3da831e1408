/*
 * src/engine/serve/generation.h
 *
 * A generation without the model: the tokens from which the next one is predicted, and what becomes
 * of it. The caller computes the logits after the window, draws from them and hands the token over:
 *
 *   ids = lm_generation_window(g, &n);    ... logits of ids[n - 1] ...
 *   lm_generation_draw(&id, g, candidates, logits, &error);
 *   lm_generation_take(g, id, &text, &done);
 */
#ifndef LM_GENERATION_H
#define LM_GENERATION_H

#include "serve/session.h"

/* As lm_generation_start, of a prompt in tokens without the one in front. */
LmGeneration *lm_generation_create(LmSession *session, const LmTokens *prompt,
								   const LmSampling *sampling, bool *truncated, LmError *error);

/* 1 .. context ids; they live until the next _take. */
const int32_t *lm_generation_window(const LmGeneration *generation, int *n);

/*
 * Rows before the last one whose logits are wanted as well: 0 but for the first token of a prompt
 * that is healed. Each is observed once, or again; threads may observe several at once. The row is
 * that of the window's id at n - 1 - number.
 */
int lm_generation_depth(const LmGeneration *generation);
void lm_generation_observe(LmGeneration *generation, int number, const float *logits);

/*
 * *id from the last row of logits, as lm_sample. Threads may draw for different generations at
 * once.
 */
bool lm_generation_draw(int32_t *id, const LmGeneration *generation, LmCandidate *candidates,
						float *logits, LmError *error);

/*
 * Appends the token that was drawn, in the place of those of a healed prompt that it begins with.
 * text: the next piece, whole characters only, possibly empty while a character or a stop string is
 * undecided; it lives until the next call. *done comes with the last piece.
 */
void lm_generation_take(LmGeneration *generation, int32_t id, LmBytes *text, bool *done);

#endif /* LM_GENERATION_H */
