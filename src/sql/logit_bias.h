/*
 * src/sql/logit_bias.h
 *
 * The argument logit_bias: a JSON object whose keys name tokens and whose values are added to their
 * logits.
 */
#ifndef GPT_LOGIT_BIAS_H
#define GPT_LOGIT_BIAS_H

#include "utils/jsonb.h"

#include "serve/call.h"

/* Raises an error that names the key, unless the values are numbers in range. */
extern void gpt_logit_bias_check(const Jsonb *json);

/*
 * Finds the tokens of a checked argument; the biases are palloc'd. False with an error that names
 * the key for one that is no token of the model's, or for a token with two keys.
 */
extern bool gpt_logit_bias_resolve(LmSampling *sampling, const Jsonb *json, const GptServed *served,
								   LmError *error);

#endif /* GPT_LOGIT_BIAS_H */
