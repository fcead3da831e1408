/*
 * src/engine/serve/generation.h
 *
 * A generation without the model: the window of tokens from which the next one is predicted, and
 * the text that tokens make. The caller computes the logits after the window, draws from them and
 * hands the token over:
 *
 *   ids = lm_generation_window(g, &n);    ... logits of ids[n - 1] ...
 *   lm_generation_draw(&id, g, candidates, logits, &error);
 *   lm_generation_take(g, id, &text, &done);
 */
#ifndef LM_GENERATION_H
#define LM_GENERATION_H

#include "serve/session.h"

/*
 * As lm_generation_start, for a prompt that is already tokens, without the one in front, and of
 * which lm_request_prefix is known.
 */
LmGeneration *lm_generation_create(LmSession *session, const LmTokens *prompt, size_t n_prefix,
								   const LmSampling *sampling, bool *truncated, LmError *error);

/*
 * Bytes of an LmGeneration that depend on the model: its window, its marks and the logits of
 * healing, with the ends of slices.
 */
size_t lm_generation_size(const LmConfig *config);

/* The window: *n ids, 1 .. context, which live until the next _take. */
const int32_t *lm_generation_window(const LmGeneration *generation, int *n);
/* The first of them that are the sequence's prefix. */
int lm_generation_prefix(const LmGeneration *generation);

/*
 * The number of rows before the last one whose logits are wanted as well: 0 but for the first token
 * of a prompt that is healed. lm_generation_observe takes the row of the window's id at n - 1 -
 * number; each row is observed at least once, and threads may observe several at once.
 */
int lm_generation_depth(const LmGeneration *generation);
void lm_generation_observe(LmGeneration *generation, int number, const float *logits);

/*
 * Finds the tokens that the constraint allows next, before they are drawn; on the thread that
 * called the engine. Does nothing without a constraint. LM_ERR_ARGUMENT where the tokens that are
 * left are too few; LM_ERR_LIMIT, LM_ERR_MEMORY; LM_ERR_STOPPED: the call may be repeated.
 */
bool lm_generation_prepare(LmGeneration *generation, LmError *error);
/* Why a token could not be taken (LM_ERR_MEMORY); NULL: all could. The text is then worth nothing.
 */
const LmError *lm_generation_failure(const LmGeneration *generation);

/*
 * Draws *id from the last row of logits, as lm_sample does. Threads may draw for different
 * generations at once.
 */
bool lm_generation_draw(int32_t *id, const LmGeneration *generation, LmCandidate *candidates,
						float *logits, LmError *error);
/* The bytes of a first token that was drawn which do not go to the text. */
size_t lm_generation_given(const LmGeneration *generation, int32_t id);
/* The circumstances of that draw. */
LmDraw lm_generation_circumstances(const LmGeneration *generation);

/*
 * Appends the token that was drawn; in a healed prompt it replaces the tokens that it begins with.
 * text: the next piece, whole characters only, possibly empty while a character or a stop string is
 * undecided; it lives until the next call. *done comes with the last piece.
 */
void lm_generation_take(LmGeneration *generation, int32_t id, LmBytes *text, bool *done);

/*
 * Appends ids to the window alone, as far as it has room for them and a text may have them. Returns
 * their number. The generation must not go on with them: _copy makes it good again.
 */
int lm_generation_foresee(LmGeneration *generation, const int32_t *ids, int n);

/*
 * What runs ahead of the generation; NULL: nothing does (LmSampling.draft, lookup). And its
 * session.
 */
struct LmSpeculation *lm_generation_speculation(const LmGeneration *generation);
const LmSession *lm_generation_session(const LmGeneration *generation);
/* The tokens that it may still take. */
int lm_generation_left(const LmGeneration *generation);

/*
 * Another generation that stands where this one does (LM_ERR_MEMORY), without the logits of
 * healing: both may then go on in their own ways. _copy makes one twin stand where another one
 * does.
 */
LmGeneration *lm_generation_twin(const LmGeneration *from, LmError *error);
void lm_generation_copy(LmGeneration *to, const LmGeneration *from);

#endif /* LM_GENERATION_H */
