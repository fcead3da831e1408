/*
 * src/engine/serve/generation_twin.c
 *
 * Copies of a generation, which go on in their own ways.
 */
#include <string.h>

#include "serve/generation_private.h"

/* The place in a twin's block of an address in the block of `from`. */
static void *
place_in(const LmGeneration *twin, const LmGeneration *from, const void *address)
{
	return (char *) twin + ((const char *) address - (const char *) from);
}

LmGeneration *
lm_generation_twin(const LmGeneration *from, LmError *error)
{
	const LmHost *host = lm_engine_host(from->session->engine);
	LmGeneration *twin = lm_allocate(host, from->block_size);

	if (!twin)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for generating text");
		return NULL;
	}
	memcpy(twin, from, from->block_size);
	twin->healing.logits = NULL;
	twin->healing.allowed = NULL;
	twin->speculation = NULL;
	twin->is_twin = true;
	twin->window = place_in(twin, from, from->window);
	twin->seen = place_in(twin, from, from->seen);
	if (from->counts)
		twin->counts = place_in(twin, from, from->counts);
	twin->banned_matched = place_in(twin, from, from->banned_matched);
	twin->sampling.biases = place_in(twin, from, from->sampling.biases);
	twin->text = place_in(twin, from, from->text);
	twin->matched = place_in(twin, from, from->matched);
	twin->failures = place_in(twin, from, from->failures);
	twin->sampling.stops = place_in(twin, from, from->sampling.stops);
	twin->follower = (LmFollower){.bits = place_in(twin, from, from->follower.bits)};
	lm_follower_copy(&twin->follower, &from->follower);
	for (int i = 0; i < from->sampling.n_stops; i++)
	{
		LmBytes *stop = (LmBytes *) &twin->sampling.stops[i];

		stop->data = place_in(twin, from, from->sampling.stops[i].data);
		twin->failures[i] = place_in(twin, from, from->failures[i]);
	}
	return twin;
}

void
lm_generation_copy(LmGeneration *to, const LmGeneration *from)
{
	to->n_window = from->n_window;
	to->n_prefix = from->n_prefix;
	to->n_tokens = from->n_tokens;
	to->last = from->last;
	to->state = from->state;
	to->healing.depth = from->healing.depth;
	to->strips = from->strips;
	to->finished = from->finished;
	to->size = from->size;
	to->given = from->given;
	to->failure = from->failure;
	lm_follower_copy(&to->follower, &from->follower);
	memcpy(to->window, from->window, (size_t) from->n_window * sizeof *to->window);
	if (from->sampling.repetition_penalty != 1 || from->counts)
		memcpy(to->seen, from->seen, (size_t) from->session->config.vocabulary);
	if (from->counts)
		memcpy(to->counts, from->counts,
			   (size_t) from->session->config.vocabulary * sizeof *to->counts);
	if (from->banned)
		memcpy(to->banned_matched, from->banned_matched,
			   (size_t) lm_banned_count(from->banned) * sizeof *to->banned_matched);
	if (from->sampling.n_stops > 0)
		memcpy(to->matched, from->matched, (size_t) from->sampling.n_stops * sizeof *to->matched);
	memcpy(to->text, from->text, from->size);
}
