/*
 * src/engine/serve/healing.c
 *
 * From the last tokens of a prompt to the boundaries at which another token may stand, with the
 * probability of each.
 */
#include <math.h>
#include <string.h>

#include "engine/ops.h"
#include "serve/banned.h"

static bool may_stand(const LmSession *session, const LmBanned *banned, int32_t id, size_t n_given);

void
lm_healing_plan(LmHealing *healing, const LmSession *session, const int32_t *ids, size_t n,
				size_t n_kept)
{
	char text[LM_MAX_TOKEN_SIZE];
	size_t size = 0;

	healing->depth = healing->n = 0;
	for (int i = 1; i <= LM_HEALING_TOKENS && n_kept + (size_t) i <= n; i++)
	{
		LmBoundary *boundary = &healing->boundaries[i];
		LmBytes bytes = lm_tokenizer_bytes(session->tokenizer, ids[n - (size_t) i]);
		int count;

		/* No token is that long; or a special token stands here, after which the text begins. */
		if (bytes.size == 0 || size + bytes.size >= sizeof text)
			return;
		size += bytes.size;
		memcpy(text + sizeof text - size, bytes.data, bytes.size);
		*boundary = (LmBoundary){.dropped = ids[n - (size_t) i], .size = size, .at = healing->n};
		boundary->longer =
			lm_tokenizer_longer(session->tokenizer, (LmBytes){text + sizeof text - size, size});
		count = lm_healing_count(boundary);
		if (count > session->config.vocabulary - healing->n)
			return;
		healing->n += count;
		healing->depth = count > 0 ? i : healing->depth;
	}
}

void
lm_healing_observe(LmHealing *healing, int number, const LmSession *session, const LmBanned *banned,
				   const float *logits)
{
	LmBoundary *boundary = &healing->boundaries[number];
	double normaliser = lm_log_sum_exp(logits, session->config.vocabulary), mass = 0;
	float *candidates = healing->logits + boundary->at;

	for (int32_t place = boundary->longer.first; place < boundary->longer.end; place++)
	{
		int32_t id = lm_tokenizer_ordered(session->tokenizer, place);
		bool may = healing->allowed ? healing->allowed[candidates - healing->logits] != 0
									: may_stand(session, banned, id, boundary->size);

		*candidates++ = may ? logits[id] : -INFINITY;
		mass += may ? exp((double) logits[id] - normaliser) : 0;
	}
	boundary->normaliser = normaliser;
	boundary->logprob = (double) logits[boundary->dropped] - normaliser;
	boundary->logmass = log(mass);
}

/*
 * Whether a token may follow a boundary: the prompt has its first n_given bytes, and its other
 * bytes must be whole characters from there, because the prompt ends with one.
 */
static bool
may_stand(const LmSession *session, const LmBanned *banned, int32_t id, size_t n_given)
{
	LmTokenClass class = (LmTokenClass) session->classes[id];
	LmBytes bytes = lm_tokenizer_bytes(session->tokenizer, id);
	LmUtf8State state = {0};

	if (class != LM_TOKEN_BEGINS && class != LM_TOKEN_CONTINUES)
		return false;
	bytes = (LmBytes){bytes.data + n_given, bytes.size - n_given};
	return lm_utf8_steps(&state, bytes.data, bytes.size) &&
		   !(banned && lm_banned_contains(banned, bytes));
}

void
lm_healing_weigh(float *logprobs, const LmHealing *healing)
{
	double path = 0;

	/* Relative to the prompt up to the deepest boundary, which all of them share. */
	for (int i = healing->depth; i > 0; i--)
	{
		logprobs[i] = (float) (path + healing->boundaries[i].logmass);
		path += healing->boundaries[i].logprob;
	}
	logprobs[0] = (float) path;
}

int
lm_healing_count(const LmBoundary *boundary)
{
	return boundary->longer.end - boundary->longer.first;
}

int32_t
lm_healing_token(int *boundary, const LmHealing *healing, const LmSession *session, int candidate)
{
	for (*boundary = 1;
		 *boundary < healing->depth && candidate >= healing->boundaries[*boundary + 1].at;)
		++*boundary;
	return lm_tokenizer_ordered(session->tokenizer, healing->boundaries[*boundary].longer.first +
														candidate -
														healing->boundaries[*boundary].at);
}
