/*
 * src/engine/serve/stops.c
 *
 * Stop strings as a caller writes them go in, as the model writes them come out: a tokenizer that normalises has shown it normalised text
 * only, and a string in another form would never be found.
 */
#include <string.h>

#include "serve/stops.h"

bool
lm_stops_create(LmSampling *normal, const LmSession *session, const LmSampling *sampling, LmError *error)
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
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %d stop strings", sampling->n_stops);
	normal->stops = stops;
	for (; normal->n_stops < sampling->n_stops; normal->n_stops++)
	{
		if (!lm_normalize_nfc(host, &stops[normal->n_stops], sampling->stops[normal->n_stops], error))
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
