/*
 * src/engine/serve/embedding.c
 *
 * Sums over the rows of a text become its embedding. The vector by rarity needs no rows of the
 * model: it sums the embeddings of tokens.
 */
#include <math.h>

#include "base/names.h"
#include "serve/embedding.h"
#include "serve/image.h"

#define TOKENS_TOGETHER ((size_t) 4096) /* between two looks at whether to stop */

LM_NAMES(lm_pooling_name, [LM_POOL_MEAN] = "mean", [LM_POOL_LAST] = "last",
		 [LM_POOL_RARITY] = "rarity", [LM_POOL_TRAINED] = "trained", [LM_POOL_AUTO] = "auto");

int
lm_embedding_most(const LmConfig *config)
{
	return LM_SEARCH_RUNS + config->channels;
}

LmPooling
lm_embedding_pooling(const LmSession *session, LmPooling pooling)
{
	if (pooling != LM_POOL_AUTO)
		return pooling;
	return session->search ? LM_POOL_RARITY : LM_POOL_MEAN;
}

bool
lm_embedding_check(const LmSession *session, LmPooling pooling, LmError *error)
{
	if (!lm_pooling_name((int) pooling))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "pooling %d is not known", (int) pooling);
	if (pooling == LM_POOL_TRAINED)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the model has no trained embedding");
	return pooling != LM_POOL_RARITY || session->search ||
		   lm_fail(error, LM_ERR_ARGUMENT, -1,
				   "the model has no statistics of rarity: it was imported, or trained by an older "
				   "version of gpt, or is a classifier");
}

/* y [channels] = the embedding of a token, without its position. */
static const float *
embedding_of(float *y, const LmModel *model, int32_t token)
{
	if (model->token_embedding)
		return model->token_embedding + (size_t) token * (size_t) model->config.channels;
	lm_linear_weights(y, &model->head, token);
	return y;
}

/*
 * Adds up the tokens' embeddings by rarity; special tokens do not count. *n: the others. scratch
 * [channels].
 */
static bool
pool_by_rarity(double *sums, int64_t *n, float *scratch, const LmReading *reading)
{
	const LmSession *session = reading->session;
	const LmHost *host = lm_engine_host(session->engine);
	int C = session->config.channels;

	*n = 0;
	for (size_t i = reading->n_skipped; i < reading->n; i++)
	{
		int32_t id = reading->ids[i];
		double weight = session->search->token_weights[session->search->tokens[id]];
		const float *y;

		if (i % TOKENS_TOGETHER == 0 && host->should_stop && host->should_stop(host->context))
			return false;
		if (lm_tokenizer_bytes(session->tokenizer, id).size == 0)
			continue;
		y = embedding_of(scratch, session->model, id);
		for (int k = 0; k < C; k++)
			sums[k] += weight * y[k];
		(*n)++;
	}
	return true;
}

static bool
finish_by_rarity(const LmReading *reading, LmRequest *request, LmError *error)
{
	const LmSession *session = reading->session;

	/* The vector is the scratch until it is written. */
	if (!pool_by_rarity(reading->sums, &request->n_tokens, request->vector, reading))
		return lm_fail(error, LM_ERR_STOPPED, -1, "embedding was stopped");
	request->n_vector = LM_SEARCH_RUNS + session->config.channels;
	lm_search_vector(request->vector, session->search, session->tokenizer,
					 reading->ids + reading->n_skipped, reading->n - reading->n_skipped,
					 reading->sums);
	return true;
}

/* The mean or the last output as float32. */
static void
finish_pooled(const LmReading *reading, LmRequest *request)
{
	double share =
		reading->pooling == LM_POOL_MEAN && reading->n_pooled > 0 ? (double) reading->n_pooled : 1;

	request->n_vector = reading->session->config.channels;
	for (int i = 0; i < request->n_vector; i++)
		request->vector[i] = (float) (reading->sums[i] / share);
}

bool
lm_embedding_finish(const LmReading *reading, LmRequest *request, LmError *error)
{
	request->n_tokens = reading->n_pooled;
	if (reading->pooling != LM_POOL_RARITY)
		finish_pooled(reading, request);
	else if (!finish_by_rarity(reading, request, error))
		return false;
	for (int i = 0; i < request->n_vector; i++)
		if (!isfinite(request->vector[i]))
			return lm_fail(error, LM_ERR_NUMERIC, i, "the model's output is not finite");
	return true;
}
