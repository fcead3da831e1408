/*
 * src/engine/serve/generation_constraint.c
 *
 * A generation with a constraint: what may follow before each token, and the way over the token
 * that was drawn.
 */
#include "serve/generation_private.h"

static bool prepare_healing(LmGeneration *generation, LmError *error);
static int left_of(const LmGeneration *generation);

bool
lm_generation_prepare(LmGeneration *generation, LmError *error)
{
	if (!generation->follower.constraint || generation->follower.ready)
		return true;
	/* What may follow is ready last, so that the call can be repeated. */
	return prepare_healing(generation, error) &&
		   lm_follower_prepare(&generation->follower, left_of(generation), error);
}

/* Which candidates of the boundaries the constraint allows. */
static bool
prepare_healing(LmGeneration *generation, LmError *error)
{
	const LmSession *session = generation->session;
	LmHealing *healing = &generation->healing;

	for (int i = 1; i <= healing->depth; i++)
	{
		const LmBoundary *boundary = &healing->boundaries[i];
		uint8_t *allowed = healing->allowed + boundary->at;
		const uint64_t *bits;
		LmBytes beginning;

		if (lm_healing_count(boundary) == 0)
			continue;
		beginning = lm_tokenizer_bytes(
			session->tokenizer, lm_tokenizer_ordered(session->tokenizer, boundary->longer.first));
		beginning.size = boundary->size;
		if (!lm_follower_longer(&generation->follower, beginning, left_of(generation), &bits,
								error))
			return false;
		for (int32_t place = boundary->longer.first; place < boundary->longer.end; place++)
		{
			int32_t id = lm_tokenizer_ordered(session->tokenizer, place);

			*allowed++ = bits[id >> 6] >> (id & 63) & 1;
		}
	}
	return true;
}

const LmError *
lm_generation_failure(const LmGeneration *generation)
{
	return generation->failure.code != LM_OK ? &generation->failure : NULL;
}

void
lm_generation_follow(LmGeneration *generation, LmBytes bytes)
{
	if (!generation->follower.constraint)
		return;
	if (!lm_follower_take(&generation->follower, bytes, &generation->failure) ||
		!generation->follower.goes_on)
		generation->finished = true;
}

/* Tokens that the text may still have. */
static int
left_of(const LmGeneration *generation)
{
	return generation->sampling.max_tokens - generation->n_tokens;
}
