/*
 * src/engine/serve/embed.c
 *
 * A text in, the pooled output of the model's last block out: in the windows of score.c, but each token's own output
 * counts, not what it predicts.
 */
#include <math.h>
#include <string.h>

#include "model/labels.h"
#include "serve/image.h"
#include "serve/session.h"

#define BAG_PIECE 65536 /* tokens, between two looks at whether to stop */

typedef struct Pool
{
	LmPooling pooling;
	double *sums; /* [C] */
	int64_t n_tokens;
} Pool;

static bool bag_tokens(double *sums, const LmHost *host, const LmModel *model, const LmTokens *tokens, LmError *error);
static bool probabilities_of(float *probabilities, const LmModel *model, const double *features, LmError *error);
static bool embed_tokens(Pool *pool, LmSession *session, const int32_t *ids, size_t n, size_t first, LmError *error);
static bool embed_window(Pool *pool, LmSession *session, const int32_t *ids, int n, int first, LmError *error);
static void add_row(Pool *pool, const float *row, int C);

bool
lm_classify(float *probabilities, int64_t *n_tokens, LmSession *session, LmBytes text, LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);
	const LmModel *model = session->model;
	int C = session->config.channels;
	size_t F = (size_t) C + LM_BAG_CHANNELS, n_front;
	Pool pool = {.pooling = LM_POOL_MEAN};
	LmTokens tokens = {0};
	bool good;

	if (session->config.labels == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the model is no classifier");
	pool.sums = lm_allocate(host, F * sizeof(double));
	good = pool.sums || lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for the features of a text");
	if (session->front >= 0)
		good = good && lm_tokens_append(host, &tokens, session->front, error);
	n_front = tokens.count;
	good = good && lm_tokenizer_encode(session->tokenizer, &tokens, text.data, text.size, error) &&
		   (tokens.count > 0 || lm_fail(error, LM_ERR_ARGUMENT, -1, "the text has no tokens")) &&
		   embed_tokens(&pool, session, tokens.ids, tokens.count, 0, error) &&
		   bag_tokens(pool.sums + C, host, model, &tokens, error);
	if (good)
	{
		for (size_t i = 0; i < F; i++)
			pool.sums[i] /= i < (size_t) C ? (double) pool.n_tokens : (double) lm_bag_count(tokens.count);
		good = probabilities_of(probabilities, model, pool.sums, error);
	}
	*n_tokens = (int64_t) (tokens.count - n_front);
	lm_tokens_free(host, &tokens);
	lm_free(host, pool.sums);
	return good;
}

static bool
bag_tokens(double *sums, const LmHost *host, const LmModel *model, const LmTokens *tokens, LmError *error)
{
	for (size_t first = 0; first < tokens->count; first += BAG_PIECE)
	{
		size_t left = tokens->count - first;

		if (host->should_stop && host->should_stop(host->context))
			return lm_fail(error, LM_ERR_STOPPED, -1, "classifying was stopped");
		lm_bag_add(sums, model->bag_embedding, model->config.vocabulary, tokens->ids, first, first + (left < BAG_PIECE ? left : BAG_PIECE));
	}
	return true;
}

/* Of logits label_weight features + label_bias the softmax or, where there may be several labels, the sigmoids; in float64 */
static bool
probabilities_of(float *probabilities, const LmModel *model, const double *features, LmError *error)
{
	int n = model->config.labels, F = model->config.channels + LM_BAG_CHANNELS;
	double largest = -INFINITY, sum = 0;

	for (int i = 0; i < n; i++)
	{
		const float *row = model->label_weight + (size_t) i * (size_t) F;
		double logit = model->label_bias[i];

		for (int k = 0; k < F; k++)
			logit += row[k] * features[k];
		if (!isfinite((float) logit))
			return lm_fail(error, LM_ERR_NUMERIC, i, "the model's output is not finite");
		probabilities[i] = (float) logit;
		largest = logit > largest ? logit : largest;
	}
	if (model->config.multi_label)
	{
		for (int i = 0; i < n; i++)
			probabilities[i] = (float) (1 / (1 + exp(-(double) probabilities[i])));
		return true;
	}
	for (int i = 0; i < n; i++)
		sum += exp(probabilities[i] - largest);
	for (int i = 0; i < n; i++)
		probabilities[i] = (float) (exp(probabilities[i] - largest) / sum);
	return true;
}

bool
lm_embed(float *embedding, int64_t *n_tokens, LmSession *session, LmBytes text, LmPooling pooling, LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);
	int C = session->config.channels;
	Pool pool = {.pooling = pooling, .sums = lm_allocate(host, (size_t) C * sizeof(double))};
	LmTokens tokens = {0};
	size_t first;
	bool good = pool.sums || lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for an embedding");

	if (session->front >= 0)
		good = good && lm_tokens_append(host, &tokens, session->front, error);
	first = tokens.count;
	good = good && lm_tokenizer_encode(session->tokenizer, &tokens, text.data, text.size, error) &&
		   embed_tokens(&pool, session, tokens.ids, tokens.count, first, error);
	for (int i = 0; good && i < C; i++)
	{
		double share = pooling == LM_POOL_MEAN && pool.n_tokens > 0 ? (double) pool.n_tokens : 1;

		embedding[i] = (float) (pool.sums[i] / share);
		good = isfinite(embedding[i]) || lm_fail(error, LM_ERR_NUMERIC, i, "the model's output is not finite");
	}
	*n_tokens = pool.n_tokens;
	lm_tokens_free(host, &tokens);
	lm_free(host, pool.sums);
	return good;
}

/* Pools ids[first .. n). */
static bool
embed_tokens(Pool *pool, LmSession *session, const int32_t *ids, size_t n, size_t first, LmError *error)
{
	size_t context = (size_t) session->config.context;
	size_t stride = context > 1 ? context / 2 : 1;

	for (size_t start = 0; first < n; start += stride)
	{
		size_t end = start + context < n ? start + context : n;

		if (!embed_window(pool, session, ids + start, (int) (end - start), (int) (first - start), error))
			return false;
		first = end;
	}
	return true;
}

/* Runs n ids from position 0 and pools those from first on. */
static bool
embed_window(Pool *pool, LmSession *session, const int32_t *ids, int n, int first, LmError *error)
{
	int C = session->config.channels;
	int at = lm_session_keep(session, ids, first + 1);

	while (at < n)
	{
		int rows = n - at < LM_SESSION_ROWS ? n - at : LM_SESSION_ROWS;
		int skipped = first > at ? first - at : 0;

		if (!lm_session_feed_hidden(session, ids + at, rows, skipped, error))
			return false;
		for (int i = skipped; i < rows; i++)
			add_row(pool, session->hidden + (size_t) (i - skipped) * (size_t) C, C);
		at += rows;
	}
	return true;
}

static void
add_row(Pool *pool, const float *row, int C)
{
	for (int i = 0; i < C; i++)
		pool->sums[i] = (pool->pooling == LM_POOL_MEAN ? pool->sums[i] : 0) + row[i];
	pool->n_tokens++;
}
