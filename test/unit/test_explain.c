/*
 * test/unit/test_explain.c
 *
 * Explanations: the score is that of inference, and the weights sum to its difference from the
 * baseline, for heads, families and types; a probe's attention and guesses against its
 * network and against scores.
 */
#include "engine/explain.h"
#include "serve/probe.h"
#include "serve_support.h"

#define CONTEXT 64
#define TEXT "The quick brown fox isn't here, says the quick dog."

static LmExplain *
explain_request(LmSession *session, const LmHost *host, const LmRequest *request, int label,
				LmProbe **probe)
{
	LmError error = {0};
	LmExplain *explain = lm_explain_create(host, session, request, label, &error);
	bool done = false;

	*probe =
		explain ? lm_probe_create(host, session, lm_explain_window(explain) * 3, &error) : NULL;
	if (!*probe || !lm_probe_fill(*probe, &error))
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
	while (!done)
		if (!lm_explain_step(explain, *probe, &done, &error))
		{
			printf("Bail out! %s\n", error.message);
			exit(1);
		}
	return explain;
}

/* The sum of the rows of all texts. */
static double
sum_rows(LmExplain *explain, int n_texts, LmExplainUnit unit, size_t *count)
{
	double sum = 0;

	*count = 0;
	for (int text = 0; text < n_texts; text++)
	{
		const LmExplainRow *rows;
		LmBytes bytes;
		LmError error;
		size_t n;

		if (!lm_explain_rows(&rows, &n, &bytes, explain, text, unit, &error))
			return NAN;
		for (size_t i = 0; i < n; i++)
			sum += rows[i].weight;
		*count += n;
	}
	return sum;
}

static bool
are_near(double a, double b, double tolerance)
{
	return fabs(a - b) <= tolerance * (1 + fabs(b));
}

static void
check_sums(LmExplain *explain, int n_texts, double wanted, const char *what)
{
	LmExplanation result = lm_explain_result(explain);
	size_t n_words, n_tokens;
	double words = sum_rows(explain, n_texts, LM_EXPLAIN_WORDS, &n_words);
	double tokens = sum_rows(explain, n_texts, LM_EXPLAIN_TOKENS, &n_tokens);
	double difference = result.score - result.baseline;
	bool good = are_near(result.score, wanted, 2e-4) && n_tokens > n_words &&
				fabs(result.sum - difference) <= 0.01 * fabs(difference) + 2e-5 &&
				are_near(words, result.sum, 1e-6) && are_near(tokens, result.sum, 1e-6);

	ok(good, "%s: the weights of words and of tokens sum to the score", what);
	if (!good)
		printf("# score %g, wanted %g, baseline %g, sum %g, words %g (%zu), tokens %g (%zu), %d "
			   "points\n",
			   result.score, wanted, result.baseline, result.sum, words, n_words, tokens, n_tokens,
			   result.n_points);
}

/* ---- Heads ---------------------------------------------------------------- */

static int
compare_keys(const void *a, const void *b)
{
	uint64_t first = *(const uint64_t *) a, second = *(const uint64_t *) b;

	return (first > second) - (first < second);
}

/* The keys of a text's features, sorted; those that are there already stay. */
static int
keys_of(uint64_t *keys, int most, const LmHost *host, LmTokenizer *tokenizer, const char *first,
		const char *second)
{
	LmFeatures features = {0};
	LmFeaturePair pair = {0};
	LmFeatureText text = {0};
	LmTokens tokens = {0};
	LmError error;
	size_t n_first;
	int n = 0;

	lm_tokenizer_encode(tokenizer, &tokens, first, strlen(first), &error);
	n_first = tokens.count;
	if (second)
	{
		lm_tokens_append(host, &tokens, lm_tokenizer_spec(tokenizer)->end_of_text, &error);
		lm_tokenizer_encode(tokenizer, &tokens, second, strlen(second), &error);
		lm_features_of_pair(&features, &pair, &text, host, tokenizer, tokens.ids, n_first,
							tokens.count, &error);
	}
	else
		lm_features_of_ids(&features, &text, host, tokenizer, tokens.ids, tokens.count, &error);
	for (size_t i = 0; i < features.n && n < most; i++)
		keys[n++] = features.items[i].key;
	qsort(keys, (size_t) n, sizeof *keys, compare_keys);
	lm_features_free(&features, host);
	lm_features_free(&pair.first, host);
	lm_features_free(&pair.second, host);
	host->reallocate(host->context, text.bytes, 0);
	lm_tokens_free(host, &tokens);
	return n;
}

/* Two of three of the keys have a row; weights are random already. */
static void
set_table(TestModel *test, const uint64_t *keys, int n)
{
	const LmParam *param = lm_param_find(test->table, LM_FEATURE_KEY, -1);
	float *rows = test->block + param->offset;
	int row = 1;

	memset(rows, 0, 3 * sizeof *rows);
	for (int i = 0; i < n && row < param->rows; i++)
	{
		if (i % 3 == 1)
			continue;
		rows[3 * row] = (float) (keys[i] >> 24);
		rows[3 * row + 1] = (float) (keys[i] & 0xFFFFFF);
		rows[3 * row + 2] = 1 + (float) (i % 5);
		row++;
	}
	for (; row < param->rows; row++)
	{
		rows[3 * row] = rows[3 * row + 1] = 16777215;
		rows[3 * row + 2] = 1;
	}
}

static double
log_odds(const float *probabilities, int n, int label)
{
	double others = 0;

	for (int i = 0; i < n; i++)
		others += i != label ? probabilities[i] : 0;
	return log(probabilities[label]) - log(others);
}

static void
test_head(LmEngine *engine, const LmHost *host, LmConfig config, const char *text, const char *what)
{
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	const char *first = config.pair ? "A quick brown dog, no fox." : NULL;
	LmRequest request = {.task = LM_TASK_CLASSIFY, .text = {text, strlen(text)}};
	float probabilities[8];
	uint64_t keys[900];
	LmSession *session;
	LmExplain *explain;
	LmProbe *probe;
	LmError error;
	TestModel test;
	int label, n = keys_of(keys, 900, host, tokenizer, config.pair ? first : text,
						   config.pair ? text : NULL);

	config.features = 2 * n / 3 + 2;
	if (config.number)
	{
		config.number_mean = 3;
		config.number_scale = 2;
	}
	if (first)
		request.prompt = (LmBytes){first, strlen(first)};
	request.vector = probabilities;
	test = test_model_init(host, &config, 3, 0.2f);
	set_table(&test, keys, n);
	test_model_build(&test);
	session = create_session(engine, &test, tokenizer);
	ok(answer_alone(session, &request, &error), "%s: the text is judged", what);
	for (label = config.number ? 0 : -1; label < (config.number ? 1 : 2); label++)
	{
		double wanted;
		int of;

		explain = explain_request(session, host, &request, label, &probe);
		of = lm_explain_result(explain).label;
		wanted = config.number		  ? 3 + 2 * (double) probabilities[0]
				 : config.multi_label ? log(probabilities[of]) - log1p(-(double) probabilities[of])
									  : log_odds(probabilities, config.labels, of);
		for (int i = 0; label < 0 && i < config.labels; i++)
			if (probabilities[i] > probabilities[of])
				wanted = NAN;
		check_sums(explain, config.pair ? 2 : 1, wanted, what);
		lm_explain_free(explain);
		lm_probe_free(probe);
	}
	lm_session_free(session);
	test_model_free(&test);
	lm_tokenizer_free(tokenizer);
}

static void
test_heads(LmEngine *engine, const LmHost *host)
{
	LmConfig config = bytes_config(CONTEXT);

	config.labels = 3;
	test_head(engine, host, config, TEXT, "three labels");
	test_head(engine, host, config, TEXT " " TEXT " " TEXT " And " TEXT, "windows");
	config.architecture = LM_PREFIX;
	test_head(engine, host, config, TEXT, "a prefix");
	config.architecture = LM_DECODER;
	config.pair = true;
	test_head(engine, host, config, TEXT, "a pair");
	config.pair = false;
	config.multi_label = true;
	test_head(engine, host, config, TEXT, "several labels");
	config.multi_label = false;
	config.labels = 1;
	config.number = true;
	test_head(engine, host, config, TEXT, "a number");
}

/* ---- Language models ------------------------------------------------------ */

static void
test_target(LmEngine *engine, const LmHost *host, LmConfig config, const LmWeightType *type,
			const char *what)
{
	TestModel test = test_model_of_type(host, &config, 5, 0.1f, type);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmSession *session = create_session(engine, &test, tokenizer);
	LmRequest request = {
		.task = LM_TASK_SCORE, .prompt = {TEXT, strlen(TEXT)}, .text = {" Yes", 4}};
	LmExplain *explain;
	LmProbe *probe;
	LmError error;

	ok(answer_alone(session, &request, &error), "%s: the target is scored", what);
	explain = explain_request(session, host, &request, -1, &probe);
	/* Integers round activations too, which a probe does not. */
	check_sums(explain, 1,
			   strncmp(type->name, "int", 3) == 0 ? lm_explain_result(explain).score
												  : request.score.logprob,
			   what);
	if (strncmp(type->name, "int", 3) == 0)
		ok(are_near(lm_explain_result(explain).score, request.score.logprob, 0.02),
		   "%s: the score is nearly that of inference", what);
	lm_explain_free(explain);
	lm_probe_free(probe);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

static LmConfig
llama_config(void)
{
	LmConfig config = bytes_config(CONTEXT);

	config.norm = LM_RMSNORM;
	config.position = LM_ROPE;
	config.mlp = LM_SWIGLU;
	config.mlp_channels = 48;
	config.bias = false;
	config.qk_norm = true;
	config.heads = 4;
	config.kv_heads = 2;
	config.tie_embeddings = false;
	return config;
}

static void
test_targets(LmEngine *engine, const LmHost *host)
{
	LmConfig config = bytes_config(CONTEXT), llama = llama_config();

	for (int i = 0; lm_weight_type(i); i++)
		test_target(engine, host, llama, lm_weight_type(i), lm_weight_type(i)->name);
	test_target(engine, host, config, lm_weight_type(0), "GPT-2");
	config.position = LM_SINUSOIDAL;
	config.parallel_residual = true;
	test_target(engine, host, config, lm_weight_type(0), "parallel residual");
	llama.window = 7;
	llama.attention_softcap = 5;
	llama.logit_softcap = 6;
	llama.post_norm = true;
	llama.embedding_scale = 4;
	test_target(engine, host, llama, lm_weight_type(0), "windows and soft caps");
}

/* A prompt beyond the context loses its beginning. */
static void
test_long_prompt(LmEngine *engine, const LmHost *host)
{
	LmConfig config = bytes_config(CONTEXT);
	TestModel test = test_model(host, &config, 5, 0.1f);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmSession *session = create_session(engine, &test, tokenizer);
	const char *prompt = TEXT " " TEXT;
	LmRequest request = {
		.task = LM_TASK_SCORE, .prompt = {prompt, strlen(prompt)}, .text = {"!", 1}};
	const LmExplainRow *rows;
	LmExplanation result;
	LmExplain *explain;
	LmProbe *probe;
	LmBytes text;
	LmError error;
	size_t n;

	explain = explain_request(session, host, &request, -1, &probe);
	result = lm_explain_result(explain);
	is_int((long long) result.n_dropped, (long long) strlen(prompt) + 1 - CONTEXT,
		   "what does not fit the context is dropped");
	ok(lm_explain_rows(&rows, &n, &text, explain, 0, LM_EXPLAIN_TOKENS, &error) &&
		   text.size == CONTEXT && n == CONTEXT &&
		   memcmp(text.data, prompt + strlen(prompt) - CONTEXT, CONTEXT) == 0,
	   "the rows are of the rest");
	ok(!lm_explain_rows(&rows, &n, &text, explain, 1, LM_EXPLAIN_TOKENS, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "there is no second text");
	lm_explain_free(explain);
	request.text.size = 0;
	ok(!lm_explain_create(host, session, &request, -1, &error) && error.code == LM_ERR_ARGUMENT,
	   "a target without tokens is an error");
	request.text = (LmBytes){prompt, strlen(prompt)};
	ok(!lm_explain_create(host, session, &request, -1, &error) && error.code == LM_ERR_LIMIT,
	   "a target beyond the context is an error");
	lm_probe_free(probe);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

/* ---- Looking inside ------------------------------------------------------- */

/* The largest difference of probabilities times values from what attention puts out. */
static double
attention_error(const LmProbe *probe, int layer, int n, double *sums_error)
{
	const LmConfig *config = &probe->network.config;
	const LmBlockActivations *kept = &probe->network.activations.blocks[layer];
	int size = lm_config_head_size(config), ld = lm_config_qkv_channels(config),
		A = lm_config_query_channels(config), K = lm_config_kv_channels(config);
	float probabilities[CONTEXT];
	double largest = 0;

	for (int query = 0; query < n; query++)
		for (int head = 0; head < config->heads; head++)
		{
			int kv = head * lm_config_kv_heads(config) / config->heads;
			double sum = 0;

			lm_probe_attention(probabilities, probe, query, head);
			for (int i = 0; i < n; i++)
				sum += probabilities[i];
			*sums_error = fmax(*sums_error, fabs(sum - 1));
			for (int k = 0; k < size; k++)
			{
				double out = 0;

				for (int i = 0; i < n; i++)
					out += probabilities[i] * kept->qkv[i * ld + A + K + kv * size + k];
				largest = fmax(largest, fabs(out - kept->attention[query * A + head * size + k]));
			}
		}
	return largest;
}

static void
test_look(LmEngine *engine, const LmHost *host, LmConfig config, const char *what)
{
	TestModel test = test_model(host, &config, 7, 0.1f);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmSession *session = create_session(engine, &test, tokenizer);
	LmProbe *probe = lm_probe_create(host, session, CONTEXT, NULL);
	LmTokens tokens = {0};
	LmGuess guesses[CONTEXT];
	float *logits = calloc((size_t) CONTEXT * config.vocabulary, sizeof *logits);
	double largest = 0, sums = 0, logprob = 0;
	bool greatest = true;
	LmError error;
	LmScore score;
	int n_prefix, n;

	ok(lm_probe_fill(probe, &error) &&
		   lm_probe_encode(&tokens, &n_prefix, session, (LmBytes){TEXT, strlen(TEXT)}, &error) &&
		   lm_probe_read(probe, tokens.ids, (int) tokens.count, n_prefix, &error),
	   "%s: a text is read", what);
	n = (int) tokens.count;
	for (int layer = 0; layer < config.layers; layer++)
	{
		ok(lm_probe_layer(probe, layer, &error), "%s: a layer is looked into", what);
		largest = fmax(largest, attention_error(probe, layer, n, &sums));
	}
	ok(largest < 1e-4 && sums < 1e-5, "%s: attention is its probabilities times its values", what);
	ok(lm_probe_guess(guesses, logits, probe, config.layers, 0, n - 1, tokens.ids + 1, &error),
	   "%s: the last layer has guesses", what);
	for (int i = 0; i < n - 1; i++)
	{
		logprob += guesses[i].next_logprob;
		greatest = greatest && guesses[i].logprob >= guesses[i].next_logprob &&
				   (guesses[i].next_rank == 1) == (guesses[i].id == tokens.ids[i + 1]);
	}
	ok(score_text(&score, session, TEXT, strlen(TEXT), &error) &&
		   are_near(logprob, score.logprob, 1e-5) && greatest,
	   "%s: the guesses of the last layer are the model's", what);
	ok(!lm_probe_layer(probe, config.layers, &error) &&
		   !lm_probe_guess(guesses, logits, probe, config.layers + 1, 0, 1, tokens.ids, &error) &&
		   !lm_probe_read(probe, tokens.ids, CONTEXT + 1, 0, &error),
	   "%s: there is no further layer or row", what);
	tokens.count = 0;
	ok(!lm_probe_encode(&tokens, &n_prefix, session, (LmBytes){TEXT TEXT, 2 * strlen(TEXT)},
						&error) &&
		   error.code == LM_ERR_LIMIT,
	   "%s: a text beyond the context is an error", what);
	lm_tokens_free(lm_engine_host(engine), &tokens);
	free(logits);
	lm_probe_free(probe);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

static void
test_refused(LmEngine *engine, const LmHost *host)
{
	LmConfig config = bytes_config(CONTEXT);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmRequest request = {.task = LM_TASK_SCORE, .prompt = {TEXT, 9}, .text = {"!", 1}};
	LmSession *session;
	TestModel test;
	LmError error;
	size_t bytes;

	config.architecture = LM_ENCODER_DECODER;
	config.encoder_layers = 1;
	test = test_model(host, &config, 7, 0.1f);
	session = create_session(engine, &test, tokenizer);
	ok(!lm_explain_create(host, session, &request, -1, &error) &&
		   !lm_probe_create(host, session, 8, &error) &&
		   !lm_probe_memory(&bytes, &config, 8, 1, &error) && error.code == LM_ERR_ARGUMENT,
	   "a model with an encoder is refused");
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 1);
	LmConfig llama = llama_config();

	test_heads(engine, &host);
	test_targets(engine, &host);
	test_long_prompt(engine, &host);
	test_look(engine, &host, bytes_config(CONTEXT), "GPT-2");
	llama.window = 9;
	llama.attention_softcap = 3;
	test_look(engine, &host, llama, "Llama");
	test_refused(engine, &host);
	lm_engine_stop(engine);
	is_int(state.live, 0, "all memory is given back");
	return done_testing();
}
