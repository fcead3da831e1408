/*
 * src/engine/serve/reading.c
 *
 * Sliding-window scoring and pooling: windows of the context overlap by half, and each token counts
 * once. Log probabilities, or hidden states of the last block, are summed in float64 in the order
 * of the text.
 */
#include <math.h>
#include <string.h>

#include "engine/marked_text.h"
#include "kernels/simd.h"
#include "model/bag.h"
#include "model/pair.h"
#include "serve/image.h"
#include "serve/embedding.h"
#include "serve/linear_part.h"
#include "serve/reading.h"

#define PIECE 256 /* logits, whose exponentials stay in the cache */
#define BAG_PIECE ((size_t) 65536) /* tokens, between two looks at whether to stop */

static bool finish_classification(const LmReading *reading, LmRequest *request, LmError *error);
static bool probabilities_of(float *probabilities, const LmSession *session, const double *features,
							 bool logits, LmError *error);

/* LM_ERR_ARGUMENT where task or pooling is none of its kind. */
static bool
check_request(const LmSession *session, const LmRequest *request, LmError *error)
{
	switch (request->task)
	{
		case LM_TASK_SCORE:
		case LM_TASK_GENERATE:
		case LM_TASK_CLASSIFY:
			return true;
		case LM_TASK_EMBED:
			return lm_embedding_check(session, request->pooling, error);
	}
	return lm_fail(error, LM_ERR_ARGUMENT, -1, "task %d is not known", (int) request->task);
}

bool
lm_continued_encode(LmSession *session, LmTokens *tokens, LmBytes prompt, bool marked,
					LmError *error)
{
	int part;

	if (marked)
		return lm_marked_encode(session->tokenizer, tokens, prompt.data, prompt.size, false, error);
	return lm_prompt_encode(session->tokenizer, tokens, &part, &session->prompt, prompt, error);
}

/* The first text, the end token and the second text, as in training. */
static bool
encode_pair(LmTokens *tokens, size_t *n_first, LmSession *session, const LmRequest *request,
			LmError *error)
{
	LmTokenizer *tokenizer = session->tokenizer;
	int32_t end = lm_tokenizer_spec(tokenizer)->end_of_text;

	if (!lm_tokenizer_encode_part(tokenizer, tokens, request->prompt.data, request->prompt.size, 0,
								  error))
		return false;
	*n_first = tokens->count;
	if (end >= 0 && !lm_tokens_append(lm_engine_host(session->engine), tokens, end, error))
		return false;
	if (!lm_tokenizer_encode_part(tokenizer, tokens, request->text.data, request->text.size, 0,
								  error))
		return false;
	return tokens->count > 0 || lm_fail(error, LM_ERR_ARGUMENT, -1, "the texts have no tokens");
}

/* The tokens that the caller has. */
static bool
take_ids(LmTokens *tokens, size_t *n_skipped, LmSession *session, const LmRequest *request,
		 LmError *error)
{
	int32_t vocabulary = session->config.vocabulary;

	if (request->task != LM_TASK_CLASSIFY || session->config.pair)
		*n_skipped = tokens->count + request->n_context;
	if (request->n_context > request->n_ids)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a request has more context than tokens");
	for (size_t i = 0; i < request->n_ids; i++)
	{
		if (request->ids[i] < 0 || request->ids[i] >= vocabulary)
			return lm_fail(error, LM_ERR_ARGUMENT, (int64_t) i, "token %d is not in the vocabulary",
						   (int) request->ids[i]);
		if (!lm_tokens_append(lm_engine_host(session->engine), tokens, request->ids[i], error))
			return false;
	}
	return tokens->count > 0 || lm_fail(error, LM_ERR_ARGUMENT, -1, "the text has no tokens");
}

bool
lm_request_encode(LmTokens *tokens, size_t *n_skipped, LmSession *session, const LmRequest *request,
				  LmError *error)
{
	const LmHost *host = lm_engine_host(session->engine);
	LmTokenizer *tokenizer = session->tokenizer;
	int32_t end = lm_tokenizer_spec(tokenizer)->end_of_text;
	bool marked = request->sampling.marked;
	bool has_prompt = request->task == LM_TASK_SCORE && request->prompt.data;
	int part = 0;

	*n_skipped = 0;
	if (!check_request(session, request, error))
		return false;
	if (request->task == LM_TASK_GENERATE)
		return (!request->sampling.heal || lm_tokenizer_sort(tokenizer, error)) &&
			   lm_continued_encode(session, tokens, request->prompt, marked, error);
	if (request->task == LM_TASK_CLASSIFY && session->config.labels == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the model is not a classifier");
	if (session->front >= 0 && !marked && !lm_tokens_append(host, tokens, session->front, error))
		return false;
	if (request->ids)
		return take_ids(tokens, n_skipped, session, request, error);
	if (marked)
		return lm_marked_encode_both(tokenizer, tokens, n_skipped, request->prompt, request->text,
									 error);
	if (has_prompt &&
		!lm_prompt_encode(tokenizer, tokens, &part, &session->prompt, request->prompt, error))
		return false;
	if (request->task == LM_TASK_CLASSIFY && session->config.pair)
		return encode_pair(tokens, n_skipped, session, request, error);
	*n_skipped = request->task == LM_TASK_CLASSIFY ? 0 : tokens->count;
	if (!lm_tokenizer_encode_part(tokenizer, tokens, request->text.data, request->text.size, part,
								  error))
		return false;
	if (request->task == LM_TASK_SCORE && request->include_end && end >= 0)
		return lm_tokens_append(host, tokens, end, error);
	if (request->task == LM_TASK_CLASSIFY && tokens->count == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the text has no tokens");
	return true;
}

size_t
lm_request_prefix(const LmSession *session, const LmRequest *request, size_t n_prompt)
{
	size_t n = n_prompt;

	if (session->config.architecture == LM_DECODER)
		return 0;
	if (request->task == LM_TASK_CLASSIFY ||
		(request->task == LM_TASK_EMBED && lm_session_has_prefixes(session)))
		return SIZE_MAX;
	if (!lm_session_has_prefixes(session) || !lm_task_wants_logits(request->task))
		return 0;
	if (request->task == LM_TASK_GENERATE && session->front >= 0 && !request->sampling.marked)
		n++;
	return n > 0 ? n - 1 : 0;
}

void
lm_reading_begin(LmReading *reading, const LmSession *session, const LmRequest *request,
				 const LmTokens *tokens, size_t n_skipped, size_t n_prefix, double *sums)
{
	bool is_pair = request->task == LM_TASK_CLASSIFY && session->config.pair;

	*reading = (LmReading){.session = session,
						   .task = request->task,
						   .ids = tokens->ids,
						   .n = tokens->count,
						   .n_prefix = n_prefix,
						   .sums = sums};
	reading->pooling = request->task == LM_TASK_EMBED
						   ? lm_embedding_pooling(session, request->pooling)
						   : LM_POOL_MEAN;
	reading->n_inputs = reading->pooling == LM_POOL_RARITY ? 0 : tokens->count;
	/* The token in front counts as in training. */
	reading->n_skipped = is_pair || reading->pooling == LM_POOL_TRAINED ? 0 : n_skipped;
	reading->n_first = is_pair ? n_skipped : tokens->count;
	if (request->task == LM_TASK_SCORE)
	{
		/*
		 * Each input predicts the next token: the first of the text is predicted by what stands
		 * before it.
		 */
		reading->n_inputs -= tokens->count > 0 ? 1 : 0;
		reading->n_skipped -= n_skipped > 0 ? 1 : 0;
	}
	reading->n_done = reading->n_skipped;
	if (request->task == LM_TASK_SCORE && !request->each)
		reading->bound = request->bound;
	memset(sums, 0, lm_reading_sums(&session->config) * sizeof *sums);
}

/* How many of the inputs start .. end - 1 are among the first n. */
static size_t
prefix_within(size_t n, size_t start, size_t end)
{
	return n <= start ? 0 : (n < end ? n : end) - start;
}

bool
lm_reading_window(LmReading *reading)
{
	size_t context = (size_t) reading->session->config.context;
	size_t stride = context > 1 ? context / 2 : 1;
	size_t start = reading->n_window > 0 ? reading->start + stride : 0;

	for (; reading->n_done < reading->n_inputs; start += stride)
	{
		size_t end = start + context < reading->n_inputs ? start + context : reading->n_inputs;

		/* A long prompt has windows without a wanted row. */
		if (end <= reading->n_done)
			continue;
		reading->start = start;
		reading->n_window = (int) (end - start);
		reading->first_wanted = (int) (reading->n_done - start);
		reading->prefix = (int) prefix_within(reading->n_prefix, start, end);
		reading->n_done = end;
		return true;
	}
	return false;
}

int32_t
lm_reading_target(const LmReading *reading, int row)
{
	return reading->ids[reading->start + (size_t) row + 1];
}

bool
lm_reading_add_logprob(LmReading *reading, double logprob, LmError *error)
{
	LmScore *score = &reading->score;

	if (!isfinite(logprob))
		return lm_fail(error, LM_ERR_NUMERIC, score->n_tokens, "the model's output is not finite");
	score->logprob += logprob;
	if (score->n_tokens == 0 || logprob < score->min_logprob)
		score->min_logprob = logprob;
	score->n_tokens++;
	return true;
}

/* The tokens that are scored, of the whole text. */
static int64_t
n_scored(const LmReading *reading)
{
	return (int64_t) (reading->n_inputs - reading->n_skipped);
}

bool
lm_reading_is_decided(const LmReading *reading)
{
	const LmScore *score = &reading->score;
	double limit = reading->bound.limit;
	int64_t n = n_scored(reading);
	double most = score->logprob + LM_BOUND_SLACK * (double) (n - score->n_tokens);

	switch (reading->bound.kind)
	{
		case LM_BOUND_NONE:
			break;
		case LM_BOUND_SUM:
			return most < limit;
		case LM_BOUND_MEAN:
			return most < limit * (double) n;
		case LM_BOUND_LEAST:
			return score->n_tokens > 0 && score->min_logprob < limit;
	}
	return false;
}

void
lm_reading_add_hidden(LmReading *reading, const float *hidden)
{
	int C = reading->session->config.channels;
	double *sums = reading->sums + ((size_t) reading->n_pooled < reading->n_first ? 0 : C);

	for (int i = 0; i < C; i++)
		sums[i] = (reading->pooling == LM_POOL_LAST ? 0 : sums[i]) + hidden[i];
	reading->n_pooled++;
}

bool
lm_reading_finish(const LmReading *reading, LmRequest *request, LmError *error)
{
	if (reading->task == LM_TASK_EMBED)
		return lm_embedding_finish(reading, request, error);
	if (reading->task == LM_TASK_CLASSIFY)
		return finish_classification(reading, request, error);
	request->score = reading->score;
	request->bounded =
		reading->bound.kind != LM_BOUND_NONE && request->score.n_tokens < n_scored(reading);
	if (request->bounded)
		request->score.n_tokens = n_scored(reading);
	return true;
}

/* Makes means of the sums of outputs; of a pair the features of both. */
static void
finish_hidden(const LmReading *reading)
{
	int C = reading->session->config.channels;
	bool is_pair = reading->session->config.pair;
	double n_first = (double) reading->n_first, n_second = (double) (reading->n - reading->n_first);

	for (int i = 0; i < C; i++)
		reading->sums[i] /= n_first > 0 ? n_first : 1;
	for (int i = C; is_pair && i < 2 * C; i++)
		reading->sums[i] /= n_second > 0 ? n_second : 1;
	if (is_pair)
		lm_pair_combine(reading->sums, C);
}

/* Adds the mean of the bag to the features, and turns them into probabilities. */
static bool
finish_classification(const LmReading *reading, LmRequest *request, LmError *error)
{
	const LmSession *session = reading->session;
	const LmConfig *config = &session->config;
	const LmHost *host = lm_engine_host(session->engine);
	size_t n_bag = (size_t) lm_bag_channels(config->labels), n = reading->n;
	double *bag = reading->sums + lm_label_hidden(config);

	memset(bag, 0, n_bag * sizeof *bag);
	for (size_t first = 0; first < n; first += BAG_PIECE)
	{
		if (host->should_stop && host->should_stop(host->context))
			return lm_fail(error, LM_ERR_STOPPED, -1, "classifying was stopped");
		lm_bag_add(bag, session->model->bag_embedding, config, reading->ids, first,
				   n - first < BAG_PIECE ? n : first + BAG_PIECE);
	}
	for (size_t i = 0; i < n_bag; i++)
		bag[i] /= (double) lm_bag_count(n);
	finish_hidden(reading);
	if (config->pair)
		lm_pair_overlaps(bag + n_bag, reading->ids, reading->n_first, n);
	request->n_tokens = (int64_t) n - (session->front >= 0 ? 1 : 0);
	if (session->linear &&
		!lm_linear_part_read(session->linear, session, reading->ids, reading->n_first, n, error))
		return false;
	return probabilities_of(request->vector, session, reading->sums, request->logits, error);
}

/*
 * Turns logits = label_weight features + label_bias, and those of the linear part, into a softmax
 * or, where there may be several labels, into sigmoids; in float64. A number stays as it is.
 */
static bool
probabilities_of(float *probabilities, const LmSession *session, const double *features,
				 bool logits, LmError *error)
{
	const LmModel *model = session->model;
	int n = model->config.labels, F = lm_label_features(&model->config);
	double largest = -INFINITY, sum = 0;

	for (int i = 0; i < n; i++)
	{
		const float *row = model->label_weight + (size_t) i * (size_t) F;
		double logit = model->label_bias[i];

		for (int k = 0; k < F; k++)
			logit += row[k] * features[k];
		logit += session->linear ? session->linear->logits[i] : 0;
		if (!isfinite((float) logit))
			return lm_fail(error, LM_ERR_NUMERIC, i, "the model's output is not finite");
		probabilities[i] = (float) logit;
		largest = logit > largest ? logit : largest;
	}
	if (model->config.number || logits)
		return true;
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

double
lm_logprob_of(const float *logits, int32_t target, int vocabulary)
{
	return logits[target] - lm_log_sum_exp(logits, vocabulary);
}

/*
 * With m the largest logit and S = sum(exp(x - m)), the entropy is log S - sum((x - m) exp(x - m))
 * / S, and log S is the log of the sum of exponentials, which the target's logarithm shows, less m.
 */
void
lm_token_score(LmTokenScore *score, double logprob, float *logits, int vocabulary)
{
	float target = logits[score->id], largest = lm_simd()->largest(logits, vocabulary);
	double log_sum = target - logprob - largest, products = 0;
	float powers[PIECE];
	int rank = 1, expected = 0;

	while (expected < vocabulary - 1 && logits[expected] != largest)
		expected++;
	for (int i = 0; i < vocabulary; i++)
		rank += logits[i] > target;
	for (int i = 0; i < score->id; i++)
		rank += logits[i] == target;
	for (int i = 0; i < vocabulary; i++)
		logits[i] -= largest;
	for (int first = 0; first < vocabulary; first += PIECE)
	{
		size_t n = (size_t) (vocabulary - first < PIECE ? vocabulary - first : PIECE);

		lm_simd()->exp(powers, logits + first, n);
		products += lm_simd()->dot(powers, logits + first, n);
	}
	*score = (LmTokenScore){.logprob = logprob, .id = score->id, .rank = rank};
	score->expected = expected;
	score->entropy = (float) fmax(log_sum - products * exp(-log_sum), 0);
}
