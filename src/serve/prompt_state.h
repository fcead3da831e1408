/*
 * src/serve/prompt_state.h
 *
 * The beginning of a run's prompts between sessions (gpt.prompt_cache): what one session computed,
 * others find in a file.
 *
 * A beginning is written where it recurs: some run of some session has seen it before. Its key is a
 * chain of hashes, one for each page of tokens, so the longest beginning that a file has is found
 * whatever follows it. The first link has all else that the content rests on: the version and the
 * base of an adapter, the type of the image, the kernels and the library; and whom it is for, the
 * database and the role. So a session finds nothing of a version that it may not use:
 * gpt_cache_acquire has checked that before.
 */
#ifndef GPT_PROMPT_STATE_H
#define GPT_PROMPT_STATE_H

#include "serve/cache.h"

/* On the caller's stack. */
typedef struct GptPromptState
{
	const GptServed *served;
	bool is_begun; /* the beginning has been looked for */
	uint8 *keys; /* [n_pages, GPT_SHA256_SIZE] palloc'd; NULL: none */
	int n_pages; /* of the beginning */
	int n_wanted; /* pages to write after the run; 0: nothing */
} GptPromptState;

/* For a run of n requests. Nothing is looked for where they are to several adapters. */
extern void gpt_prompt_state_init(GptPromptState *state, const GptServed *served,
								  const LmRequest *requests, int n);

/* Before each step: once the beginning is known, gives the LmMany what a file has of it. */
extern void gpt_prompt_state_load(GptPromptState *state, LmMany *many);

/* After the run: writes the beginning where it recurs and no file has most of it. */
extern void gpt_prompt_state_store(GptPromptState *state, LmMany *many);

#endif /* GPT_PROMPT_STATE_H */
