/*
 * src/engine/serve/stops.h
 *
 * Stop strings in the form in which a model's text is.
 */
#ifndef LM_STOPS_H
#define LM_STOPS_H

#include "serve/session.h"

/* A copy of sampling whose stops are in NFC, to be released by lm_stops_free. Errors as lm_normalize_nfc. */
bool lm_stops_create(LmSampling *normal, const LmSession *session, const LmSampling *sampling, LmError *error);
void lm_stops_free(LmSampling *normal, const LmSession *session);

#endif /* LM_STOPS_H */
