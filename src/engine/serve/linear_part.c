/*
 * src/engine/serve/linear_part.c
 *
 * Reads the features of a text and adds up their weights.
 */
#include "serve/linear_part.h"
#include "text/array.h"

LmLinearPart *
lm_linear_part_create(const LmSession *session, LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);
	size_t n = (size_t) session->config.labels;
	LmLinearPart *part =
		lm_array_allocate(host, 1, sizeof(LmLinearPart) + n * sizeof(double), error);

	if (part)
		part->logits = (double *) (part + 1);
	return part;
}

void
lm_linear_part_free(LmLinearPart *part, const LmHost *host)
{
	if (!part)
		return;
	lm_features_free(&part->features, host);
	lm_features_free(&part->pair.first, host);
	lm_features_free(&part->pair.second, host);
	lm_array_free(host, part->text.bytes);
	lm_free(host, part);
}

bool
lm_linear_part_read(LmLinearPart *part, const LmSession *session, const int32_t *ids,
					size_t n_first, size_t n, LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);

	memset(part->logits, 0, (size_t) session->config.labels * sizeof *part->logits);
	if (session->config.pair ? !lm_features_of_pair(&part->features, &part->pair, &part->text, host,
													session->tokenizer, ids, n_first, n, error)
							 : !lm_features_of_ids(&part->features, &part->text, host,
												   session->tokenizer, ids, n, error))
		return false;
	lm_feature_add_logits(part->logits, &part->features, &session->model->features);
	return true;
}
