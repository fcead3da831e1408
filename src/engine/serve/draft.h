/*
 * src/engine/serve/draft.h
 *
 * A smaller model that proposes tokens for another one. It reads them as its session's own text, so
 * keys and values of what it has read already are found again, from call to call too.
 */
#ifndef LM_DRAFT_H
#define LM_DRAFT_H

#include "serve/session.h"

/*
 * LM_ERR_ARGUMENT where the draft cannot propose tokens for the session: it is the same session, or
 * has another tokenizer, a head, prompts that are prefixes, or no room for a text
 * (lm_session_many).
 */
bool lm_draft_check(const LmSession *draft, const LmSession *session, LmError *error);

/*
 * logits [vocabulary] of the token after ids [n]; a token that the draft does not have gets minus
 * infinity. *start is where the draft's context begins in ids, 0 at first; it moves where the
 * context is full. LM_ERR_STOPPED: the call may be repeated.
 */
bool lm_draft_logits(float *logits, int *start, LmSession *draft, const int32_t *ids, int n,
					 int vocabulary, LmError *error);

/* The time of a token of the draft, in times of a token of the session, by what both read. */
double lm_draft_cost(const LmSession *draft, const LmSession *session);

#endif /* LM_DRAFT_H */
