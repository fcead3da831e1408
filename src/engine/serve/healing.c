/*
 * src/engine/serve/healing.c
 *
 * The last tokens of a prompt in, the tokens that may stand in their place out, with logits that compare to those behind the prompt.
 */
#include <string.h>

#include "engine/ops.h"
#include "serve/session.h"

void
lm_healing_plan(LmHealing *healing, const LmSession *session, const int32_t *ids, size_t n, size_t n_kept)
{
	char text[LM_MAX_TOKEN_SIZE];
	size_t size = 0;

	healing->depth = healing->n = 0;
	for (int i = 1; i <= LM_HEALING_TOKENS && n_kept + (size_t) i <= n; i++)
	{
		LmBoundary *boundary = &healing->boundaries[i];
		LmBytes bytes = lm_tokenizer_bytes(session->tokenizer, ids[n - (size_t) i]);
		int count;

		/* No token is longer, and behind a special one the prompt begins. */
		if (bytes.size == 0 || size + bytes.size >= sizeof text)
			return;
		size += bytes.size;
		memcpy(text + sizeof text - size, bytes.data, bytes.size);
		*boundary = (LmBoundary){.dropped = ids[n - (size_t) i], .size = size, .at = healing->n};
		boundary->longer = lm_tokenizer_longer(session->tokenizer, (LmBytes){text + sizeof text - size, size});
		count = boundary->longer.end - boundary->longer.first;
		if (count > session->config.vocabulary - healing->n)
			return;
		healing->n += count;
		healing->depth = count > 0 ? i : healing->depth;
	}
}

void
lm_healing_observe(LmHealing *healing, int number, const LmSession *session, const float *logits)
{
	LmBoundary *boundary = &healing->boundaries[number];
	float *candidates = healing->logits + boundary->at;

	boundary->normaliser = lm_log_sum_exp(logits, session->config.vocabulary);
	boundary->logprob = (double) logits[boundary->dropped] - boundary->normaliser;
	for (int32_t place = boundary->longer.first; place < boundary->longer.end; place++)
		*candidates++ = logits[lm_tokenizer_ordered(session->tokenizer, place)];
}

void
lm_healing_shifts(double *shifts, const LmHealing *healing, double normaliser)
{
	double path = 0; /* log p of the tokens that are dropped */

	shifts[0] = 0;
	for (int i = 1; i <= healing->depth; i++)
	{
		path += healing->boundaries[i].logprob;
		shifts[i] = normaliser - healing->boundaries[i].normaliser - path;
	}
}

int32_t
lm_healing_token(int *boundary, const LmHealing *healing, const LmSession *session, int candidate)
{
	for (*boundary = 1; *boundary < healing->depth && candidate >= healing->boundaries[*boundary + 1].at;)
		++*boundary;
	return lm_tokenizer_ordered(session->tokenizer,
								healing->boundaries[*boundary].longer.first + candidate - healing->boundaries[*boundary].at);
}
