/*
 * src/engine/serve/embedding.c
 *
 * Sums over the rows of a text become its embedding. The vector by rarity needs no rows of the
 * model: it sums the embeddings of tokens.
 */
#include <math.h>

#include "base/names.h"
#include "model/contrastive.h"
#include "serve/embedding.h"
#include "serve/image.h"

#define TOKENS_TOGETHER ((size_t) 4096) /* between two looks at whether to stop */

LM_NAMES(lm_pooling_name, [LM_POOL_MEAN] = "mean", [LM_POOL_LAST] = "last",
		 [LM_POOL_RARITY] = "rarity", [LM_POOL_TRAINED] = "trained", [LM_POOL_AUTO] = "auto");

int
lm_embedding_most(const LmConfig *config)
{
	int by_rarity = LM_SEARCH_RUNS + config->channels;

	return config->embedding > by_rarity ? config->embedding : by_rarity;
}

LmPooling
lm_embedding_pooling(const LmSession *session, LmPooling pooling)
{
	if (pooling != LM_POOL_AUTO)
		return pooling;
	if (session->config.embedding > 0)
		return LM_POOL_TRAINED;
	return session->search ? LM_POOL_RARITY : LM_POOL_MEAN;
}

bool
lm_embedding_check(const LmSession *session, LmPooling pooling, LmError *error)
{
	if (!lm_pooling_name((int) pooling))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "pooling %d is not known", (int) pooling);
	if (pooling == LM_POOL_TRAINED)
		return session->config.embedding > 0 ||
			   lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "the model has no trained embedding: its rows had no columns \"query\" and "
					   "\"positive\"");
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

/* As in training (model/contrastive.h), in float64. */
static bool
finish_trained(const LmReading *reading, LmRequest *request, LmError *error)
{
	const LmSession *session = reading->session;
	const LmModel *model = session->model;
	const LmHost *host = lm_engine_host(session->engine);
	size_t C = (size_t) session->config.channels, d = (size_t) session->config.embedding;
	double share = LM_CONTRAST_HIDDEN / sqrt((double) C) /
				   (double) (reading->n_pooled > 0 ? reading->n_pooled : 1);
	double squares = 0;
	float runs[LM_SEARCH_WIDE_RUNS];

	lm_search_project(runs, LM_SEARCH_WIDE_RUNS, session->search, session->tokenizer, reading->ids,
					  reading->n);
	for (size_t i = 0; i < d; i++)
	{
		const float *a = model->embedding_runs + i * LM_SEARCH_WIDE_RUNS,
					*b = model->embedding_hidden + i * C;
		double sum = 0;

		for (size_t k = 0; k < LM_SEARCH_WIDE_RUNS; k++)
			sum += (double) a[k] * runs[k];
		for (size_t k = 0; k < C; k++)
			sum += b[k] * share * reading->sums[k];
		request->vector[i] = (float) sum;
		squares += sum * sum;
	}
	for (size_t i = 0; i < d && squares > 0; i++)
		request->vector[i] = (float) (request->vector[i] / sqrt(squares));
	request->n_vector = (int) d;
	request->n_tokens -= session->front >= 0 ? 1 : 0;
	return !(host->should_stop && host->should_stop(host->context)) ||
		   lm_fail(error, LM_ERR_STOPPED, -1, "embedding was stopped");
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
	if (reading->pooling == LM_POOL_RARITY)
	{
		if (!finish_by_rarity(reading, request, error))
			return false;
	}
	else if (reading->pooling == LM_POOL_TRAINED)
	{
		if (!finish_trained(reading, request, error))
			return false;
	}
	else
		finish_pooled(reading, request);
	for (int i = 0; i < request->n_vector; i++)
		if (!isfinite(request->vector[i]))
			return lm_fail(error, LM_ERR_NUMERIC, i, "the model's output is not finite");
	return true;
}
