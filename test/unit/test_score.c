/*
 * test/unit/test_score.c
 *
 * Scores against a naive loop over prefixes, and what scores promise.
 */
#include "counting_host.h"
#include "serve_support.h"

#include "serve/reading.h"

#define CONTEXT 20

/*
 * The log-likelihood of ids[1 ..] the slow way: each token from a fresh run over all that its
 * window holds before it, one row at a time.
 */
static LmScore
naive_score(LmEngine *engine, const LmHost *host, const TestModel *test, const int32_t *ids, int n)
{
	int V = test->table->config.vocabulary, start = 0;
	float *logits = malloc(sizeof(float) * (size_t) V);
	void *workspace =
		aligned_alloc(64, lm_infer_workspace(test->model, 1, 1, lm_engine_threads(engine)));
	LmScore score = {0};
	LmPages *pages;
	LmError error;

	pages = lm_pages_create(host, test->model, 1, &error);
	for (int target = 1; target < n; target++)
	{
		LmSequence sequence;
		double sum = 0, max = -INFINITY, logprob;

		/*
		 * windows begin at 0, context / 2, context ...; the first that reaches the target scores it
		 */
		while (target > start + CONTEXT)
			start += CONTEXT / 2;
		lm_sequence_create(&sequence, host, test->model, &error);
		for (int i = start; i < target; i++)
		{
			LmInput input = {ids[i], 0, i - start, true};

			if (!lm_infer(logits, engine, test->model, pages, &sequence, 1, &input, 1, workspace,
						  &error))
				printf("# %s\n", error.message);
		}
		for (int i = 0; i < V; i++)
			max = fmax(max, logits[i]);
		for (int i = 0; i < V; i++)
			sum += exp(logits[i] - max);
		logprob = logits[ids[target]] - max - log(sum);
		score.logprob += logprob;
		score.min_logprob = score.n_tokens == 0 ? logprob : fmin(score.min_logprob, logprob);
		score.n_tokens++;
		lm_sequence_free(&sequence, pages, host);
	}
	lm_pages_free(pages);
	free(workspace);
	free(logits);
	return score;
}

static void
fill_text(char *text, int size, uint64_t seed)
{
	for (int i = 0; i < size; i++)
		text[i] = (char) (' ' + test_random(&seed) % 95);
}

/* naive's score, and the end as a further token; and the same after a prompt. */
static bool
counts_end(LmSession *session, const char *text, int size, LmScore naive)
{
	LmScore whole, rest, prompt;
	int cut = size / 3;
	LmError error;

	score_completion(&whole, session, (LmBytes){"", 0}, (LmBytes){text, (size_t) size}, true,
					 &error);
	score_completion(&rest, session, (LmBytes){text, (size_t) cut},
					 (LmBytes){text + cut, (size_t) (size - cut)}, true, &error);
	score_text(&prompt, session, text, (size_t) cut, &error);
	return whole.n_tokens == size + 1 && fabs(whole.logprob - naive.logprob) < 1e-7 * (size + 1) &&
		   fabs(whole.min_logprob - naive.min_logprob) < 1e-7 && rest.n_tokens == size - cut + 1 &&
		   fabs(prompt.logprob + rest.logprob - naive.logprob) < 1e-5;
}

static void
test_prefixes(LmEngine *engine, const LmHost *host)
{
	static const int sizes[] = {1, 2, 19, 20, 21, 29, 30, 31, 40, 100};
	LmConfig config = bytes_config(CONTEXT);
	TestModel test = test_model(host, &config, 3, 0.15f);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmSession *session = create_session(engine, &test, tokenizer);
	double difference = 0, smallest = 0, behind = 0;
	bool counted = true, ended = true;

	for (int i = 0; i < 10; i++)
	{
		char text[100];
		int32_t ids[102] = {256};
		LmScore score, naive;
		LmError error;

		fill_text(text, sizes[i], (uint64_t) i);
		for (int j = 0; j < sizes[i]; j++)
			ids[j + 1] = (unsigned char) text[j];
		naive = naive_score(engine, host, &test, ids, sizes[i] + 1);
		if (!score_text(&score, session, text, (size_t) sizes[i], &error))
			printf("# %s\n", error.message);
		difference = fmax(difference, fabs(score.logprob - naive.logprob) / sizes[i]);
		smallest = fmax(smallest, fabs(score.min_logprob - naive.min_logprob));
		counted = counted && score.n_tokens == sizes[i];
		ids[sizes[i] + 1] = 256;
		ended = ended && counts_end(session, text, sizes[i],
									naive_score(engine, host, &test, ids, sizes[i] + 2));
		for (int cut = 0; cut <= sizes[i]; cut += 7)
		{
			LmScore prompt, rest;

			score_text(&prompt, session, text, (size_t) cut, &error);
			if (!score_completion(&rest, session, (LmBytes){text, (size_t) cut},
								  (LmBytes){text + cut, (size_t) (sizes[i] - cut)}, false, &error))
				printf("# %s\n", error.message);
			behind = fmax(behind, fabs(prompt.logprob + rest.logprob - score.logprob));
			counted = counted && rest.n_tokens == sizes[i] - cut;
		}
	}
	is_near(difference, 0, 1e-7,
			"scores are those of a naive loop over prefixes, also beyond the context");
	is_near(smallest, 0, 1e-7, "the most surprising token too");
	is_near(behind, 0, 1e-5, "a prompt and what is behind it add up to the whole");
	ok(counted, "every token of the text is scored once");
	ok(ended, "where the end counts it is the last token, alone and after a prompt");
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

/* The caller may have the tokens already. */
static void
test_ids(LmEngine *engine, const LmHost *host)
{
	LmConfig config = bytes_config(CONTEXT);
	TestModel test = test_model(host, &config, 3, 0.15f);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmSession *session = create_session(engine, &test, tokenizer);
	LmRequest request = {.task = LM_TASK_SCORE, .text = {"", 50}, .n_ids = 50, .n_context = 13};
	int32_t ids[50];
	char text[50];
	LmScore score;
	LmError error;

	fill_text(text, 50, 5);
	for (int i = 0; i < 50; i++)
		ids[i] = (unsigned char) text[i];
	request.ids = ids;
	score_completion(&score, session, (LmBytes){text, 13}, (LmBytes){text + 13, 37}, false, &error);
	ok(answer_alone(session, &request, &error) && memcmp(&request.score, &score, sizeof score) == 0,
	   "tokens of prompt and text have the score of both");
	ids[3] = config.vocabulary;
	ok(!answer_alone(session, &request, &error) && error.code == LM_ERR_ARGUMENT,
	   "a token that the model does not have is an error");
	request.n_context = 51;
	ok(!answer_alone(session, &request, &error) && error.code == LM_ERR_ARGUMENT,
	   "and so is more context than tokens");
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

/* A session with a long context cuts a text into chunks of rows; a naive loop does not. */
static void
test_chunks(LmEngine *engine, const LmHost *host)
{
	LmConfig config = bytes_config(300);
	TestModel test = test_model(host, &config, 4, 0.15f);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmSession *session = create_session(engine, &test, tokenizer);
	char text[900];
	LmScore score, again, half;
	LmError error;

	fill_text(text, 900, 1);
	score_text(&score, session, text, 900, &error);
	score_text(&half, session, text, 150, &error);
	score_text(&again, session, text, 900, &error);
	ok(memcmp(&score, &again, sizeof score) == 0,
	   "a score does not depend on what the session did before");
	is_int(score.n_tokens, 900, "a text of three contexts is scored whole");
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

static LmScore
score_with_threads(int n_threads, const char *text, size_t size)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, n_threads);
	LmConfig config = bytes_config(40);
	TestModel test = test_model(&host, &config, 4, 0.15f);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	LmSession *session = create_session(engine, &test, tokenizer);
	LmScore score;
	LmError error;

	score_text(&score, session, text, size, &error);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
	lm_engine_stop(engine);
	return score;
}

static void
test_threads(void)
{
	char text[100];
	LmScore one, four;

	fill_text(text, 100, 3);
	one = score_with_threads(1, text, 100);
	four = score_with_threads(4, text, 100);
	ok(memcmp(&one, &four, sizeof one) == 0, "a score is the same bits with 1 and 4 threads");
}

/*
 * Whether each token has a score, but for the first n_unscored, and their sum is that of the text.
 */
static bool
counts_each(LmSession *session, const char *prompt, const char *text, size_t size,
			size_t n_unscored)
{
	LmRequest request = {.task = LM_TASK_SCORE,
						 .prompt = {prompt, prompt ? strlen(prompt) : 0},
						 .text = {text, size},
						 .each = true};
	LmRequest whole = request;
	double sum = 0;
	LmError error;
	bool good;

	whole.each = false;
	good = answer_alone(session, &whole, &error) && answer_alone(session, &request, &error) &&
		   request.n_each == size && whole.n_each == 0;
	for (size_t i = 0; good && i < size; i++)
	{
		const LmTokenScore *token = &request.tokens[i];

		good = token->id == (unsigned char) text[i] && (token->rank > 0) == (i >= n_unscored) &&
			   (token->rank == 1) == (token->rank > 0 && token->expected == token->id);
		sum += token->logprob;
	}
	return good && memcmp(&whole.score, &request.score, sizeof whole.score) == 0 &&
		   memcmp(&sum, &whole.score.logprob, sizeof sum) == 0;
}

static void
test_each(LmEngine *engine, TapHost *state)
{
	static const size_t sizes[] = {0, 1, 2, 19, 20, 21, 31, 40, 100};
	LmHost host = tap_host(state);
	LmConfig config = bytes_config(CONTEXT);
	TestModel test = test_model(&host, &config, 3, 0.15f);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	LmSession *session = create_session(engine, &test, tokenizer);
	LmRequest request = {.task = LM_TASK_SCORE, .text = {"abc", 3}, .each = true};
	long live = state->live;
	bool good = true;
	char text[100];
	LmError error;

	fill_text(text, 100, 11);
	for (int i = 0; i < 9; i++)
		good = good && counts_each(session, NULL, text, sizes[i], 0) &&
			   counts_each(session, "a prompt of 22 tokens", text, sizes[i], 0);
	ok(good, "the scores of the tokens sum to that of the text, bit for bit");
	state->stop = true;
	ok(!answer_alone(session, &request, &error) && error.code == LM_ERR_STOPPED,
	   "they can be stopped");
	state->stop = false;
	lm_session_drop_many(session);
	is_int(state->live, live, "and leave nothing behind");
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

/* The value of a whole text that a bound is about. */
static double
bounded_value(const LmScore *score, LmBoundKind kind)
{
	if (kind == LM_BOUND_LEAST)
		return score->min_logprob;
	return kind == LM_BOUND_SUM ? score->logprob : score->logprob / (double) score->n_tokens;
}

/*
 * 12 texts together, each with a limit at this share of its value. A text ends early only if its
 * value is below the limit, and then the sums so far are below it too; others have their bits.
 */
static bool
bounds_hold(int *n_bounded, int64_t *n_tokens, LmMany *many, const LmScore *whole,
			const char (*texts)[100], LmBoundKind kind, double share)
{
	LmRequest requests[12];
	int64_t before = lm_many_counts(many)->tokens;
	bool good = true, done = false;
	LmError error;

	*n_bounded = 0;
	for (int i = 0; i < 12; i++)
		requests[i] = (LmRequest){.task = LM_TASK_SCORE,
								  .text = {texts[i], 40 + 5 * (size_t) i},
								  .bound = {kind, share * bounded_value(&whole[i], kind)}};
	if (!lm_many_start(many, requests, 12, &error))
		return false;
	while (!done && lm_many_step(many, &done, &error))
		continue;
	for (int i = 0; i < 12; i++)
	{
		const LmScore *score = &requests[i].score;
		double limit = requests[i].bound.limit;

		*n_bounded += requests[i].bounded;
		good = good && requests[i].error.code == LM_OK && score->n_tokens == whole[i].n_tokens;
		if (requests[i].bounded)
			good = good && bounded_value(&whole[i], kind) < limit &&
				   bounded_value(score, kind) < limit &&
				   (kind == LM_BOUND_LEAST || score->logprob >= whole[i].logprob - 1e-9);
		else
			good = good && memcmp(score, &whole[i], sizeof *score) == 0;
	}
	*n_tokens = lm_many_counts(many)->tokens - before;
	return done && good;
}

static void
test_bounds(LmEngine *engine, const LmHost *host)
{
	LmConfig config = bytes_config(60);
	TestModel test = test_model(host, &config, 3, 0.3f);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmSession *session = create_session(engine, &test, tokenizer);
	int n_half, n_none, n_all;
	int64_t of_half, of_none, of_all;
	bool good = true, saves = true;
	char texts[12][100];
	LmScore whole[12];
	LmError error;
	LmMany *many = lm_many_create(session, 12, 24, &error);

	for (int i = 0; i < 12; i++)
	{
		fill_text(texts[i], 100, (uint64_t) i);
		score_text(&whole[i], session, texts[i], 40 + 5 * (size_t) i, &error);
	}
	for (LmBoundKind kind = LM_BOUND_SUM; kind <= LM_BOUND_LEAST; kind++)
	{
		good = good && bounds_hold(&n_none, &of_none, many, whole, texts, kind, 1.0000001) &&
			   bounds_hold(&n_half, &of_half, many, whole, texts, kind, 0.5) &&
			   bounds_hold(&n_all, &of_all, many, whole, texts, kind, 0);
		saves = saves && n_none == 0 && n_half == 12 && n_all == 12 && of_all <= of_half &&
				of_half < of_none;
	}
	ok(good, "a bound ends only texts whose score is below it, and the others have their bits");
	ok(saves, "texts end the earlier, the higher the limit is");
	lm_many_free(many);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

/* Against loops in float64; some logits are equal, some of no weight. */
static void
test_token_score(void)
{
	enum
	{
		V = 700
	};
	uint64_t seed = 5;
	double entropy_gap = 0;
	bool ranks = true;

	for (int round = 0; round < 20; round++)
	{
		float logits[V], copy[V];
		double lse, entropy = 0;
		LmTokenScore score = {.id = (int32_t) (test_random(&seed) % V)};
		int rank = 1, best = 0;

		for (int i = 0; i < V; i++)
			logits[i] = (float) (test_random(&seed) % 64) / 4 - (i % 5 == 0 ? 200 : 0);
		memcpy(copy, logits, sizeof copy);
		lse = lm_log_sum_exp(logits, V);
		for (int i = 0; i < V; i++)
		{
			double logprob = copy[i] - lse;

			entropy -= exp(logprob) * logprob;
			rank += copy[i] > copy[score.id] || (copy[i] == copy[score.id] && i < score.id);
			best = copy[i] > copy[best] ? i : best;
		}
		lm_token_score(&score, copy[score.id] - lse, logits, V);
		entropy_gap = fmax(entropy_gap, fabs(score.entropy - entropy));
		ranks = ranks && score.rank == rank && score.expected == best &&
				score.logprob == copy[score.id] - lse;
	}
	ok(ranks, "a token has its rank, and the likeliest is expected");
	ok(entropy_gap < 1e-4, "the entropy is that of the logits, within %g", entropy_gap);
}

static void
test_edges(LmEngine *engine, TapHost *state)
{
	LmHost host = tap_host(state);
	LmConfig config = bytes_config(CONTEXT);
	TestModel test;
	LmTokenizerSpec spec = *lm_bytes_spec();
	LmTokenizer *tokenizer = bytes_tokenizer(&host), *without;
	LmSession *session;
	LmScore score;
	LmError error;

	test = test_model(&host, &config, 3, 0.15f);
	session = create_session(engine, &test, tokenizer);
	ok(score_text(&score, session, "", 0, &error) && score.n_tokens == 0 && score.logprob == 0,
	   "an empty text has no tokens");
	ok(score_completion(&score, session, (LmBytes){"", 0}, (LmBytes){"", 0}, true, &error) &&
		   score.n_tokens == 1 && score.logprob < 0,
	   "but an end");
	state->stop = true;
	ok(!score_text(&score, session, "abc", 3, &error) && error.code == LM_ERR_STOPPED,
	   "scoring can be stopped");
	state->stop = false;
	ok(score_text(&score, session, "abc", 3, &error) && score.n_tokens == 3,
	   "and the session still works");
	lm_session_free(session);

	spec.n_tokens = 256;
	spec.end_of_text = -1;
	without = lm_tokenizer_create(&host, &spec, &error);
	session = create_session(engine, &test, without);
	ok(score_text(&score, session, "abc", 3, &error) && score.n_tokens == 2,
	   "without a token to stand in front the first one is not scored");
	ok(score_text(&score, session, "a", 1, &error) && score.n_tokens == 0,
	   "a single token then has no score");
	ok(score_completion(&score, session, (LmBytes){"", 0}, (LmBytes){"abc", 3}, true, &error) &&
		   score.n_tokens == 2,
	   "and without an end token there is no end to count");
	ok(counts_each(session, NULL, "abc", 3, 1) && counts_each(session, "x", "abc", 3, 0),
	   "so it has no score of its own either, unless a prompt stands in front");
	lm_session_free(session);
	lm_tokenizer_free(without);
	test_model_free(&test);

	test = test_model_init(&host, &config, 3, 0.15f);
	test.block[lm_param_find(test.table, LM_DOWN_WEIGHT, 0)->offset] = NAN;
	test_model_build(&test);
	session = create_session(engine, &test, tokenizer);
	ok(!score_text(&score, session, "abc", 3, &error) && error.code == LM_ERR_NUMERIC,
	   "NaN in a weight is an error");
	lm_session_free(session);
	test_model_free(&test);
	lm_tokenizer_free(tokenizer);
}

static void
test_smallest_contexts(LmEngine *engine, const LmHost *host)
{
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	bool good = true;

	for (int context = 1; context < 5; context++)
	{
		LmConfig config = bytes_config(context);
		TestModel test = test_model(host, &config, 3, 0.15f);
		LmSession *session = create_session(engine, &test, tokenizer);
		LmScore score;
		LmError error;

		good = good && score_text(&score, session, "abcdefgh", 8, &error) && score.n_tokens == 8;
		lm_session_free(session);
		test_model_free(&test);
	}
	ok(good, "contexts of 1, 2, 3, 4 tokens score every token");
	lm_tokenizer_free(tokenizer);
}

static void
test_memory(void)
{
	CountingHost state;
	LmHost host = counting_host(&state);
	LmEngine *engine = start_engine(&host, 3);
	LmConfig config = bytes_config(CONTEXT);
	TestModel test = test_model(&host, &config, 3, 0.15f);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	size_t before = state.live, announced = 0;
	LmSession *session = create_session(engine, &test, tokenizer);
	LmError error;

	lm_session_memory(&announced, &config, &error);
	is_int((long long) (state.live - before), (long long) announced,
		   "a session takes exactly the memory that lm_session_memory says");
	before = state.live;
	lm_session_many(session, &error);
	lm_session_many_memory(&announced, &config, lm_engine_threads(engine), &error);
	is_int((long long) (state.live - before), (long long) announced,
		   "and its room for one text what lm_session_many_memory says");
	lm_session_drop_many(session);
	is_int((long long) (state.live - before), 0, "and gives it back");
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
	lm_engine_stop(engine);
	is_int((long long) state.live, 0, "and gives it back");
}

static void
test_allocation_failures(LmEngine *engine, TapHost *state)
{
	LmHost host = tap_host(state);
	LmConfig config = bytes_config(CONTEXT);
	TestModel test = test_model(&host, &config, 3, 0.15f);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	long live = state->live, failures = 0;
	bool clean = true;

	for (;; failures++)
	{
		LmError error = {0};
		LmSession *session;

		state->fail_after = failures;
		session = lm_session_create(engine, test.model, tokenizer, &error);
		if (session && !lm_session_many(session, &error))
		{
			lm_session_free(session);
			session = NULL;
		}
		state->fail_after = -1;
		if (session)
		{
			lm_session_free(session);
			break;
		}
		clean = clean && error.code == LM_ERR_MEMORY && state->live == live;
	}
	ok(clean && failures > 0 && state->live == live,
	   "each of %ld allocations of a session may fail, and nothing is lost", failures);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);

	test_prefixes(engine, &host);
	test_ids(engine, &host);
	test_chunks(engine, &host);
	test_threads();
	test_each(engine, &state);
	test_bounds(engine, &host);
	test_token_score();
	test_edges(engine, &state);
	test_smallest_contexts(engine, &host);
	test_memory();
	test_allocation_failures(engine, &state);
	lm_engine_stop(engine);
	return done_testing();
}
