/*
 * src/engine/text/clean_rewrite.c
 *
 * Ranges of a text and what stands for them go in, the changed text comes out.
 */
#include <string.h>

#include "text/array.h"
#include "text/clean_steps.h"

void
lm_rewrite_begin(LmRewrite *rewrite, const LmCleaner *cleaner, LmText *out, LmBytes in,
				 LmError *error)
{
	out->size = 0;
	*rewrite = (LmRewrite){.cleaner = cleaner, .out = out, .in = in, .error = error};
	rewrite->next_poll = LM_POLL_SIZE;
}

static bool
append(LmRewrite *rewrite, const char *bytes, size_t size)
{
	LmText *out = rewrite->out;

	if (size > LM_MAX_TEXT_SIZE - out->size)
		return lm_fail(rewrite->error, LM_ERR_LIMIT, -1, "cleaned text has more than %zu bytes",
					   LM_MAX_TEXT_SIZE);
	if (!lm_array_reserve(&rewrite->cleaner->host, &out->data, &out->capacity, out->size + size, 1,
						  rewrite->error))
		return false;
	if (size > 0)
		memcpy(out->data + out->size, bytes, size);
	out->size += size;
	return true;
}

bool
lm_rewrite_replace(LmRewrite *rewrite, size_t from, size_t to, const char *with, size_t size)
{
	if (!append(rewrite, rewrite->in.data + rewrite->done, from - rewrite->done) ||
		!append(rewrite, with, size))
		return false;
	rewrite->done = to;
	rewrite->changed = true;
	return true;
}

bool
lm_rewrite_end(LmRewrite *rewrite, LmBytes *in)
{
	if (!rewrite->changed)
		return true;
	if (!append(rewrite, rewrite->in.data + rewrite->done, rewrite->in.size - rewrite->done))
		return false;
	/* NULL would be no text. */
	*in = (LmBytes){rewrite->out->data ? rewrite->out->data : "", rewrite->out->size};
	return true;
}
