/*
 * include/serve/continuation.h
 *
 * A prompt and its continuation by a model that is ready for use.
 */
#ifndef GPT_CONTINUATION_H
#define GPT_CONTINUATION_H

#include "serve/cache.h"
#include "lib/stringinfo.h"

/* Error for a prompt that is too long; the same as a value, palloc'd, NULL for one that is not. */
extern void gpt_continue_check(size_t size);
extern LmError *gpt_continue_error(size_t size);

/*
 * Appends the continuation. *truncated becomes true when the prompt does not fit the context.
 * Checks for interrupts; errors of lm_generation_start and lm_generation_next.
 */
extern void gpt_continue(StringInfo result, const GptServed *served, const char *prompt,
						 size_t size, const LmSampling *sampling, bool *truncated);

#endif /* GPT_CONTINUATION_H */
