/*
 * src/engine/serve/stops.c
 *
 * Stop strings and banned texts in the form in which the model writes text. A tokenizer that
 * normalises has shown the model normalised text only, so a text in another form would never match.
 */
#include <string.h>

#include "serve/stops.h"
#include "text/utf8.h"

static bool normalise(const LmBytes **normal, int *n_normal, const LmBytes *texts, int n,
					  const LmHost *host, LmError *error);
static void release(const LmBytes **normal, int *n, const LmHost *host);

bool
lm_stops_create(LmSampling *normal, const LmSession *session, const LmSampling *sampling,
				LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);

	*normal = *sampling;
	normal->n_stops = normal->n_banned = 0;
	normal->stops = normal->banned = NULL;
	if (normalise(&normal->stops, &normal->n_stops, sampling->stops, sampling->n_stops, host,
				  error) &&
		normalise(&normal->banned, &normal->n_banned, sampling->banned, sampling->n_banned, host,
				  error))
		return true;
	lm_stops_free(normal, session);
	return false;
}

/* *n_normal of the texts are there when it fails. */
static bool
normalise(const LmBytes **normal, int *n_normal, const LmBytes *texts, int n, const LmHost *host,
		  LmError *error)
{
	LmBytes *copies;

	if (n == 0)
		return true;
	copies = lm_allocate(host, (size_t) n * sizeof *copies);
	if (!copies)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %d texts", n);
	*normal = copies;
	for (; *n_normal < n; ++*n_normal)
		if (!lm_normalize_nfc(host, &copies[*n_normal], texts[*n_normal], error))
			return false;
	return true;
}

void
lm_stops_free(LmSampling *normal, const LmSession *session)
{
	const LmHost *host = lm_engine_host(session->engine);

	release(&normal->stops, &normal->n_stops, host);
	release(&normal->banned, &normal->n_banned, host);
}

static void
release(const LmBytes **normal, int *n, const LmHost *host)
{
	for (int i = 0; i < *n; i++)
		lm_normal_free(host, (*normal)[i]);
	lm_free(host, (LmBytes *) *normal);
	*n = 0;
	*normal = NULL;
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
