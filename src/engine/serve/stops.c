/*
 * src/engine/serve/stops.c
 *
 * Stop strings in the form in which the model writes text. A tokenizer that normalises has shown
 * the model normalised text only, so a stop string in another form would never match.
 */
#include <string.h>

#include "serve/stops.h"
#include "text/utf8.h"

bool
lm_stops_create(LmSampling *normal, const LmSession *session, const LmSampling *sampling,
				LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);
	LmBytes *stops;

	*normal = *sampling;
	normal->n_stops = 0;
	normal->stops = NULL;
	if (sampling->n_stops == 0)
		return true;
	stops = lm_allocate(host, (size_t) sampling->n_stops * sizeof *stops);
	if (!stops)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %d stop strings",
					   sampling->n_stops);
	normal->stops = stops;
	for (; normal->n_stops < sampling->n_stops; normal->n_stops++)
	{
		if (!lm_normalize_nfc(host, &stops[normal->n_stops], sampling->stops[normal->n_stops],
							  error))
		{
			lm_stops_free(normal, session);
			return false;
		}
	}
	return true;
}

void
lm_stops_free(LmSampling *normal, const LmSession *session)
{
	const LmHost *host = lm_engine_host(session->engine);

	for (int i = 0; i < normal->n_stops; i++)
		lm_normal_free(host, normal->stops[i]);
	lm_free(host, (LmBytes *) normal->stops);
	normal->n_stops = 0;
	normal->stops = NULL;
}

/*
 * failure[i]: the longest proper end of the first i + 1 bytes of the stop with which the stop also
 * begins.
 */
bool
lm_stop_prepare(const LmHost *host, uint32_t *failure, LmBytes stop, LmError *error)
{
	for (size_t i = 0; i < stop.size; i++)
	{
		if (i % LM_POLL_SIZE == 0 && !lm_text_go_on(host, error))
			return false;
		failure[i] =
			i > 0 ? lm_stop_follow(failure, (LmBytes){stop.data, i}, failure[i - 1], stop.data[i])
				  : 0;
	}
	return true;
}

uint32_t
lm_stop_follow(const uint32_t *failure, LmBytes stop, uint32_t matched, char byte)
{
	while (matched > 0 && (matched == stop.size || stop.data[matched] != byte))
		matched = failure[matched - 1];
	return stop.data[matched] == byte ? matched + 1 : 0;
}
