/*
 * src/engine/serve/stops.h
 *
 * Stop strings in the normal form of the model's text, and matching them byte by byte.
 */
#ifndef LM_STOPS_H
#define LM_STOPS_H

#include "serve/session.h"

/*
 * A copy of sampling whose stops and banned texts are in NFC, to be released by lm_stops_free.
 * Errors as lm_normalize_nfc.
 */
bool lm_stops_create(LmSampling *normal, const LmSession *session, const LmSampling *sampling,
					 LmError *error);
void lm_stops_free(LmSampling *normal, const LmSession *session);

/*
 * Follows a text byte by byte (Knuth, Morris and Pratt 1977). `matched` is the size of the longest
 * beginning of the stop that the text ends with, 0 at first; the result is that size with a further
 * byte. It takes less than two comparisons on average over a text, whatever the bytes. failure
 * [stop.size] comes from lm_stop_prepare, which returns false when the host asks to stop.
 */
bool lm_stop_prepare(const LmHost *host, uint32_t *failure, LmBytes stop, LmError *error);
uint32_t lm_stop_follow(const uint32_t *failure, LmBytes stop, uint32_t matched, char byte);

#endif /* LM_STOPS_H */
