/*
 * include/serve/call_draft.h
 *
 * Drafts: smaller models that propose tokens to a model (LmSampling.draft).
 */
#ifndef GPT_CALL_DRAFT_H
#define GPT_CALL_DRAFT_H

#include "serve/cache.h"
#include "nodes/pg_list.h"

/* What the argument draft says instead of a model: tokens are looked up in prompt and text. */
#define GPT_DRAFT_PROMPT "prompt"

/*
 * The session of a draft for a model, which stays as gpt_cache_acquire says. *held: drafts that the
 * caller has, NIL at first; a new one is added. Errors of gpt_cache_acquire, and for a draft that
 * is the model itself, has another tokenizer or is no decoder.
 */
extern LmSession *gpt_draft_session(List **held, const char *name, const GptServed *served);

/* Ends the use of all drafts of a list, and frees it. */
extern void gpt_drafts_release(List *held);

#endif /* GPT_CALL_DRAFT_H */
