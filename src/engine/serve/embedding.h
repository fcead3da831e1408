/*
 * src/engine/serve/embedding.h
 *
 * The embedding of a text that has been read.
 */
#ifndef LM_EMBEDDING_H
#define LM_EMBEDDING_H

#include "serve/reading.h"

/* The pooling that LM_POOL_AUTO means; others are themselves. */
LmPooling lm_embedding_pooling(const LmSession *session, LmPooling pooling);
/* LM_ERR_ARGUMENT where the model does not have it. */
bool lm_embedding_check(const LmSession *session, LmPooling pooling, LmError *error);
/* Writes vector, n_vector and n_tokens of the request. LM_ERR_NUMERIC, LM_ERR_STOPPED. */
bool lm_embedding_finish(const LmReading *reading, LmRequest *request, LmError *error);

#endif /* LM_EMBEDDING_H */
