/*
 * src/engine/serve/score.c
 *
 * The log-likelihood of a text, in windows of the context that overlap by half, and in chunks of rows within a
 * window. Logarithms are of the full distribution, sums in float64 in the order of the text.
 */
#include <math.h>

#include "serve/session.h"

static bool score_tokens(LmScore *score, LmSession *session, const int32_t *ids, size_t n, size_t first, LmError *error);
static bool score_window(LmScore *score, LmSession *session, const int32_t *ids, int n, int first_scored, LmError *error);
static bool add_row(LmScore *score, const float *logits, int32_t target, int V, LmError *error);

bool
lm_score(LmScore *score, LmSession *session, const char *text, size_t size, LmError *error)
{
	return lm_score_completion(score, session, (LmBytes){"", 0}, (LmBytes){text, size}, error);
}

bool
lm_score_completion(LmScore *score, LmSession *session, LmBytes prompt, LmBytes text, LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);
	LmTokens tokens = {0};
	size_t n_prompt;
	bool good = true;

	*score = (LmScore){0};
	if (session->front >= 0)
		good = lm_tokens_append(host, &tokens, session->front, error);
	good = good && lm_tokenizer_encode(session->tokenizer, &tokens, prompt.data, prompt.size, error);
	n_prompt = tokens.count;
	good = good && lm_tokenizer_encode(session->tokenizer, &tokens, text.data, text.size, error) &&
		   score_tokens(score, session, tokens.ids, tokens.count, n_prompt > 0 ? n_prompt : 1, error);
	lm_tokens_free(host, &tokens);
	return good;
}

/* Scores ids[first .. n), first at least 1. */
static bool
score_tokens(LmScore *score, LmSession *session, const int32_t *ids, size_t n, size_t first, LmError *error)
{
	size_t context = (size_t) session->config.context;
	size_t stride = context > 1 ? context / 2 : 1;
	size_t scored = first;

	for (size_t start = 0; scored < n; start += stride)
	{
		/* inputs ids[start .. end), of which each predicts the next */
		size_t end = start + context < n - 1 ? start + context : n - 1;

		if (end < scored)
			continue;
		if (!score_window(score, session, ids + start, (int) (end - start), (int) (scored - 1 - start), error))
			return false;
		scored = end + 1;
	}
	return true;
}

/* Runs n inputs from position 0 and scores what those from first_scored on predict. */
static bool
score_window(LmScore *score, LmSession *session, const int32_t *ids, int n, int first_scored, LmError *error)
{
	int V = session->config.vocabulary;
	int at = lm_session_keep(session, ids, first_scored + 1);

	while (at < n)
	{
		int rows = n - at < LM_SESSION_ROWS ? n - at : LM_SESSION_ROWS;
		int first = first_scored > at ? first_scored - at : 0;

		if (!lm_session_feed(session, ids + at, rows, first, error))
			return false;
		for (int i = first; i < rows; i++)
			if (!add_row(score, session->logits + (size_t) (i - first) * V, ids[at + i + 1], V, error))
				return false;
		at += rows;
	}
	return true;
}

static bool
add_row(LmScore *score, const float *logits, int32_t target, int V, LmError *error)
{
	double logprob = logits[target] - lm_log_sum_exp(logits, V);

	if (!isfinite(logprob))
		return lm_fail(error, LM_ERR_NUMERIC, score->n_tokens, "the model's output is not finite");
	score->logprob += logprob;
	if (score->n_tokens == 0 || logprob < score->min_logprob)
		score->min_logprob = logprob;
	score->n_tokens++;
	return true;
}
