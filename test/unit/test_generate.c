/*
 * test/unit/test_generate.c
 *
 * What generated text promises: repeatable, valid UTF-8, ended where it should end.
 */
#include "safetensors.h"
#include "serve_support.h"

#define MAX_TEXT 8192

static LmSampling
plain_sampling(void)
{
	return (LmSampling){
		.max_tokens = 60, .temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 1};
}

/* The whole text, with a NUL after it; *pieces counts calls. */
static bool
generate_from(char *out, size_t *size, LmSession *session, const char *prompt, size_t prompt_size,
			  const LmSampling *sampling, bool *truncated, LmError *error)
{
	LmGeneration *generation =
		lm_generation_start(session, prompt, prompt_size, sampling, truncated, error);
	bool done = false;

	*size = 0;
	out[0] = 0;
	if (!generation)
		return false;
	while (!done)
	{
		LmBytes text;

		if (!next_piece(session, generation, &text, &done, error))
		{
			lm_generation_free(generation);
			return false;
		}
		if (!lm_utf8_valid(text.data, text.size, NULL))
			printf("# a piece is not valid UTF-8\n");
		memcpy(out + *size, text.data, text.size);
		*size += text.size;
		out[*size] = 0;
	}
	lm_generation_free(generation);
	return true;
}

static size_t
generate(char *out, LmSession *session, const char *prompt, const LmSampling *sampling)
{
	bool truncated;
	size_t size;
	LmError error;

	if (!generate_from(out, &size, session, prompt, strlen(prompt), sampling, &truncated, &error))
		printf("# %s\n", error.message);
	return size;
}

static void
test_seeds(LmSession *session)
{
	LmSampling sampling = plain_sampling();
	char one[MAX_TEXT], two[MAX_TEXT], other[MAX_TEXT];

	generate(one, session, "To be", &sampling);
	generate(other, session, "something else in between", &sampling);
	generate(two, session, "To be", &sampling);
	ok(one[0] != 0 && strcmp(one, two) == 0, "the same seed gives the same text");
	sampling.seed = 2;
	generate(other, session, "To be", &sampling);
	ok(strcmp(one, other) != 0, "another seed gives another text");
}

static void
test_narrow_choices(LmSession *session)
{
	LmSampling sampling = plain_sampling();
	char greedy[MAX_TEXT], text[MAX_TEXT];

	sampling.temperature = 0;
	generate(greedy, session, "So", &sampling);
	sampling = plain_sampling();
	sampling.top_k = 1;
	generate(text, session, "So", &sampling);
	ok(strcmp(greedy, text) == 0, "top_k 1 is greedy");
	sampling = plain_sampling();
	sampling.top_p = 1e-9;
	generate(text, session, "So", &sampling);
	ok(strcmp(greedy, text) == 0, "the smallest top_p is greedy");
	sampling = plain_sampling();
	sampling.min_p = 1;
	generate(text, session, "So", &sampling);
	ok(strcmp(greedy, text) == 0, "min_p 1 is greedy");
	sampling = plain_sampling();
	sampling.temperature = 1e-6;
	generate(text, session, "So", &sampling);
	ok(strcmp(greedy, text) == 0, "a temperature near 0 is greedy");
}

/* The next token's logits, computed by the public entry alone. */
static void
next_logits(double *logits, LmEngine *engine, const LmHost *host, const TestModel *test,
			const int32_t *ids, int n)
{
	int V = test->table->config.vocabulary;
	LmInput *inputs = malloc(sizeof(LmInput) * (size_t) n);
	void *workspace =
		aligned_alloc(64, lm_infer_workspace(test->model, n, 1, lm_engine_threads(engine)));
	float *row = malloc(sizeof(float) * (size_t) V);
	LmSequence sequence;
	LmPages *pages;
	LmError error;

	pages = lm_pages_create(host, test->model, 4, &error);
	lm_sequence_create(&sequence, host, test->model, &error);
	for (int i = 0; i < n; i++)
		inputs[i] = (LmInput){ids[i], 0, i, i == n - 1};
	lm_infer(row, engine, test->model, pages, &sequence, 1, inputs, n, workspace, &error);
	for (int i = 0; i < V; i++)
		logits[i] = row[i];
	lm_sequence_free(&sequence, pages, host);
	lm_pages_free(pages);
	free(inputs);
	free(workspace);
	free(row);
}

/* How often each first byte is drawn, over many seeds. */
static void
count_first_bytes(int counts[257], LmSession *session, LmSampling sampling, int n)
{
	memset(counts, 0, 257 * sizeof(int));
	sampling.max_tokens = 1;
	for (int i = 0; i < n; i++)
	{
		char text[MAX_TEXT];
		size_t size;

		sampling.seed = (uint64_t) i;
		size = generate(text, session, "K", &sampling);
		counts[size == 1 ? (unsigned char) text[0] : 256]++;
	}
}

static int
compare_down(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x < y) - (x > y);
}

/* The distribution of the draws, from logits by another way: a full sort. */
static void
expected_distribution(double p[257], const double *logits, const LmSampling *sampling,
					  const bool *seen)
{
	double sorted[257], sum = 0, nucleus = 0, cut = 0, cut_k = 0, largest;
	int n = 0;

	for (int i = 0; i < 257; i++)
	{
		double logit = logits[i];

		if (seen[i])
			logit = logit > 0 ? logit / sampling->repetition_penalty
							  : logit * sampling->repetition_penalty;
		p[i] = i == 0 || (i >= 0x80 && i < 0xC2) || (i > 0xF4 && i < 256)
				   ? 0
				   : exp(logit / sampling->temperature);
		sorted[i] = p[i];
	}
	qsort(sorted, 257, sizeof(double), compare_down);
	n = sampling->top_k > 0 ? sampling->top_k : 257;
	cut_k = sorted[n - 1];
	for (int i = 0; i < n; i++)
		sum += sorted[i];
	for (int i = 0; i < n && nucleus < sampling->top_p * sum; i++)
	{
		nucleus += sorted[i];
		cut = sorted[i];
	}
	largest = sorted[0];
	sum = 0;
	for (int i = 0; i < 257; i++)
	{
		if (p[i] < cut_k || p[i] < cut || p[i] < sampling->min_p * largest)
			p[i] = 0;
		sum += p[i];
	}
	for (int i = 0; i < 257; i++)
		p[i] /= sum;
}

static void
test_distribution(LmEngine *engine, const LmHost *host, const TestModel *test, LmSession *session)
{
	static const char *const names[] = {
		"plain", "top_k", "top_p", "min_p", "temperature", "repetition_penalty", "all"};
	int32_t ids[2] = {256, 'K'};
	double logits[257];
	bool seen[257] = {false};
	LmSampling cases[7];

	for (int i = 0; i < 7; i++)
		cases[i] = plain_sampling();
	cases[1].top_k = cases[6].top_k = 20;
	cases[2].top_p = cases[6].top_p = 0.7;
	cases[3].min_p = cases[6].min_p = 0.2;
	cases[4].temperature = cases[6].temperature = 0.6;
	cases[5].repetition_penalty = cases[6].repetition_penalty = 1.7;
	seen['K'] = true;
	next_logits(logits, engine, host, test, ids, 2);
	for (int c = 0; c < 7; c++)
	{
		double p[257], chi_square = 0;
		int counts[257], cells = 0, n = tap_repeat(4000);
		bool possible = true;

		expected_distribution(p, logits, &cases[c], seen);
		count_first_bytes(counts, session, cases[c], n);
		/*
		 * Characters of several bytes are incomplete after one token and are dropped: they all
		 * count as none.
		 */
		for (int i = 0x80; i < 256; i++)
			p[256] += p[i], p[i] = 0;
		for (int i = 0; i < 257; i++)
		{
			possible = possible && (p[i] > 0 || counts[i] == 0);
			if (p[i] * n >= 5)
			{
				chi_square += (counts[i] - p[i] * n) * (counts[i] - p[i] * n) / (p[i] * n);
				cells++;
			}
		}
		/* mean `cells`, deviation sqrt(2 cells) */
		ok(possible && cells > 1 && chi_square < cells + 5 * sqrt(2.0 * cells),
		   "draws follow the distribution: %s", names[c]);
		if (!possible || chi_square >= cells + 5 * sqrt(2.0 * cells))
			printf("# possible %d, chi square %g of %d cells\n", possible, chi_square, cells);
	}
}

static void
test_stops(LmSession *session)
{
	LmSampling sampling = plain_sampling();
	char whole[MAX_TEXT], text[MAX_TEXT];
	bool good = true;
	size_t size;

	for (int seed = 0; seed < tap_repeat(20); seed++)
	{
		sampling = plain_sampling();
		sampling.seed = (uint64_t) seed;
		size = generate(whole, session, "A", &sampling);
		for (size_t length = 1; length < 6; length++)
			for (size_t at = 0; at + length <= size; at += 7)
			{
				LmBytes stops[2] = {{"never said at all", 17}, {whole + at, length}};
				char stop[8] = {0};
				const char *first;

				if (((unsigned char) whole[at] & 0xC0) == 0x80)
					continue; /* a stop string begins with a whole character */
				memcpy(stop, whole + at, length);
				first = strstr(whole, stop);
				sampling.n_stops = 2;
				sampling.stops = stops;
				good = good &&
					   generate(text, session, "A", &sampling) == (size_t) (first - whole) &&
					   memcmp(text, whole, (size_t) (first - whole)) == 0;
			}
	}
	ok(good, "the text ends before its first stop string, which may span tokens");
}

static void
test_held_back(LmSession *session)
{
	LmSampling sampling = plain_sampling();
	char whole[MAX_TEXT], text[MAX_TEXT], stop[64];
	size_t size = generate(whole, session, "B", &sampling), at = size > 20 ? size - 20 : 0;
	LmBytes stops[1] = {{stop, 0}};

	/* Begins like the end of the text, and is not completed. */
	snprintf(stop, sizeof stop, "%s~~", whole + at);
	stops[0].size = strlen(stop);
	sampling.n_stops = 1;
	sampling.stops = stops;
	generate(text, session, "B", &sampling);
	ok(strcmp(whole, text) == 0, "what only began like a stop string is given out at the end");
}

/* Random models over bytes say anything; what comes out is text all the same. */
static void
test_valid_utf8(LmEngine *engine, const LmHost *host)
{
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	LmConfig config = bytes_config(24);
	bool valid = true, no_zero = true, long_characters = false;
	int texts = 0;

	for (int model = 0; model < tap_repeat(6); model++)
	{
		TestModel test = test_model(host, &config, (uint64_t) model, 0.3f);
		LmSession *session = create_session(engine, &test, tokenizer);

		for (uint64_t seed = 0; seed < 25; seed++, texts++)
		{
			LmSampling sampling = plain_sampling();
			char text[MAX_TEXT];
			size_t size;

			sampling.seed = seed;
			sampling.max_tokens = 1 + (int) seed * 4;
			sampling.temperature = seed % 3 == 0 ? 5 : seed % 3;
			size = generate(text, session, seed % 2 ? "\xE4\xBD\xA0" : "", &sampling);
			valid = valid && lm_utf8_valid(text, size, NULL);
			no_zero = no_zero && strlen(text) == size;
			for (size_t i = 0; i < size; i++)
				long_characters = long_characters || (unsigned char) text[i] >= 0xF0;
		}
		lm_session_free(session);
		test_model_free(&test);
	}
	ok(valid && long_characters, "%d texts of random models are valid UTF-8", texts);
	ok(no_zero, "and without U+0000");
	lm_tokenizer_free(tokenizer);
}

static void
test_lengths(LmEngine *engine, const LmHost *host, LmSession *session)
{
	LmSampling sampling = plain_sampling();
	char text[MAX_TEXT], truncated_text[MAX_TEXT], prompt[100];
	bool truncated, done = false;
	LmGeneration *generation;
	LmError error;
	LmBytes piece;
	size_t size, same;
	int calls = 0;

	memset(prompt, 'x', sizeof prompt);
	ok(generate_from(text, &size, session, prompt, 23, &sampling, &truncated, &error) && !truncated,
	   "a prompt of context - 1 tokens is whole");
	generate_from(text, &size, session, "yyyyyxxxxxxxxxxxxxxxxxxxxxxx", 28, &sampling, &truncated,
				  &error);
	ok(truncated, "a longer one is truncated");
	sampling.temperature = 0;
	generate_from(text, &size, session, "yyyyyxxxxxxxxxxxxxxxxxxxxxxx", 28, &sampling, &truncated,
				  &error);
	memcpy(truncated_text, text, size + 1);
	generate_from(text, &same, session, "zxxxxxxxxxxxxxxxxxxxxxxx", 24, &sampling, &truncated,
				  &error);
	ok(size == same && strcmp(truncated_text, text) == 0,
	   "and only its last context - 1 tokens count");
	sampling = plain_sampling();
	sampling.max_tokens = 0;
	is_int((long long) generate(text, session, "a", &sampling), 0, "no tokens, no text");
	sampling.max_tokens = 200;
	sampling.top_k = 40;
	generation = lm_generation_start(session, "abc", 3, &sampling, &truncated, &error);
	while (!done && next_piece(session, generation, &piece, &done, &error))
		calls++;
	ok(lm_generation_tokens(generation) <= 200 && calls >= lm_generation_tokens(generation),
	   "at most max_tokens tokens are produced, also beyond the context");
	lm_generation_free(generation);
}

static void
test_refusals(LmSession *session, TapHost *state)
{
	LmSampling bad[5];
	bool truncated, refused = true, done;
	LmSampling sampling = plain_sampling();
	LmGeneration *generation;
	LmError error;
	LmBytes text;

	for (int i = 0; i < 5; i++)
		bad[i] = plain_sampling();
	bad[0].temperature = -1;
	bad[1].temperature = NAN;
	bad[2].top_p = 1.5;
	bad[3].min_p = -0.1;
	bad[4].repetition_penalty = 0;
	for (int i = 0; i < 5; i++)
		refused = refused && !lm_generation_start(session, "a", 1, &bad[i], &truncated, &error) &&
				  error.code == LM_ERR_ARGUMENT;
	ok(refused, "values out of range are refused");
	generation = lm_generation_start(session, "a", 1, &sampling, &truncated, &error);
	state->stop = true;
	ok(!next_piece(session, generation, &text, &done, &error) && error.code == LM_ERR_STOPPED,
	   "generation can be stopped");
	state->stop = false;
	ok(next_piece(session, generation, &text, &done, &error), "and goes on when asked again");
	lm_generation_free(generation);
}

/*
 * A tokenizer of one character and no end, whose only character is a special token: nothing may be
 * said.
 */
static void
test_nothing_allowed(LmEngine *engine, const LmHost *host)
{
	LmBytes tokens[2] = {{"a", 1}, {LM_UNKNOWN, 11}};
	bool special[2] = {false, true};
	LmTokenizerSpec spec = {
		.kind = LM_TOKENIZER_CHARS, .n_tokens = 2, .tokens = tokens, .special = special};
	LmConfig config = bytes_config(8);
	LmSampling sampling = plain_sampling();
	LmTokenizer *tokenizer;
	TestModel test;
	LmSession *session;
	char text[MAX_TEXT];
	bool truncated, good = true;
	LmError error;
	size_t size;

	spec.end_of_text = spec.beginning = -1;
	spec.unknown = 1;
	tokenizer = lm_tokenizer_create(host, &spec, &error);
	test = test_model(host, &config, 1, 0.3f);
	session = create_session(engine, &test, tokenizer);
	good = generate_from(text, &size, session, "aa", 2, &sampling, &truncated, &error);
	for (size_t i = 0; i < size; i++)
		good = good && text[i] == 'a';
	ok(good && size == 60, "ids beyond the tokenizer and special tokens are never sampled");
	ok(!generate_from(text, &size, session, "", 0, &sampling, &truncated, &error) &&
		   error.code == LM_ERR_ARGUMENT,
	   "an empty prompt needs a token to stand in front");
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	tokens[0] = (LmBytes){"\0", 1};
	tokenizer = lm_tokenizer_create(host, &spec, &error);
	session = create_session(engine, &test, tokenizer);
	ok(generate_from(text, &size, session, "a", 1, &sampling, &truncated, &error) && size == 0,
	   "where no token may follow the text ends");
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
}

/* The cost of weight types in perplexity on text that the model was not trained on. */
static void
test_types(LmEngine *engine, const LmHost *host, TestModel *test, LmTokenizer *tokenizer)
{
	const size_t length = (size_t) tap_repeat(16384);
	size_t size;
	char *text = tap_read_file("examples/tinyshakespeare.txt", &size);
	double wanted = 0;

	for (int i = 0; text && i < lm_weight_type_count(); i++)
	{
		const LmWeightType *type = lm_weight_type(i);
		double most = 1 + 0.31 * type->error;
		LmSession *session;
		LmScore score;
		LmError error;
		double perplexity;

		test->type = type;
		lm_model_close(test->model);
		free(test->image);
		test_model_build(test);
		session = create_session(engine, test, tokenizer);
		score_text(&score, session, text + size - length, length, &error);
		perplexity = exp(-score.logprob / (double) score.n_tokens);
		wanted = i == 0 ? perplexity : wanted;
		ok(perplexity <= most * wanted,
		   "%s: perplexity of unseen text is at most %.3f of float32's", type->name, most);
		printf("# %s: perplexity %.4f, %.5f of float32's\n", type->name, perplexity,
			   perplexity / wanted);
		lm_session_free(session);
	}
	free(text);
}

/* Greedy text of a trained model in the shared data, as far as the context reaches. */
static void
test_shared_model(LmEngine *engine, const LmHost *host)
{
	static const char letters[] =
		"\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char wanted[] = "What the shall the so the so the so the son the sould the\n";
	static const char passage[] =
		"?\n\nGREMIO:\nGood morrow, neighbour Baptista.\n\nBAPTISTA:\nGood morr";
	const char *data = tap_data_folder();
	LmConfig config = lm_config_default();
	LmSampling sampling = plain_sampling();
	LmTokenizerSpec spec = {.kind = LM_TOKENIZER_CHARS, .n_tokens = 65};
	LmBytes tokens[65];
	bool special[65] = {false};
	char path[4096], text[MAX_TEXT];
	Safetensors file = {0};
	LmTokenizer *tokenizer;
	LmSession *session;
	TestModel test;
	LmScore score;
	LmError error;

	if (!data)
	{
		skip("greedy text and score of a trained model", "the folder of shared data is missing");
		return;
	}
	config.vocabulary = 65;
	config.context = 64;
	config.layers = 4;
	config.heads = 4;
	config.channels = 128;
	config.mlp = LM_GELU;
	config.bias = false;
	test = test_model_init(host, &config, 1, 0);
	snprintf(path, sizeof path, "%s/models/gpt2-shakespeare-char/model.safetensors", data);
	if (!safetensors_open(&file, path) || !safetensors_load(&file, test.block, test.table))
		printf("Bail out! %s cannot be read\n", path);
	test_model_build(&test);
	for (int i = 0; i < 65; i++)
		tokens[i] = (LmBytes){letters + i, 1};
	spec.tokens = tokens;
	spec.special = special;
	spec.end_of_text = spec.beginning = spec.unknown = -1;
	tokenizer = lm_tokenizer_create(host, &spec, &error);
	session = create_session(engine, &test, tokenizer);
	sampling.temperature = 0;
	sampling.max_tokens = 57;
	generate(text, session, "ROMEO:\n", &sampling);
	ok(strncmp(text, wanted, 57) == 0, "greedy text of a trained model is PyTorch's");
	score_text(&score, session, passage, strlen(passage), &error);
	is_near(score.logprob / (double) score.n_tokens, -1.95327941, 1e-5,
			"and so is the score of a passage");
	lm_session_free(session);
	/* test_infer has all types on the pool. */
	if (!tap_looks_for_races())
		test_types(engine, host, &test, tokenizer);
	lm_tokenizer_free(tokenizer);
	safetensors_close(&file);
	test_model_free(&test);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	LmConfig config = bytes_config(24);
	TestModel test = test_model(&host, &config, 2, 0.12f);
	LmSession *session = create_session(engine, &test, tokenizer);

	test_seeds(session);
	test_narrow_choices(session);
	test_distribution(engine, &host, &test, session);
	test_stops(session);
	test_held_back(session);
	test_lengths(engine, &host, session);
	test_refusals(session, &state);
	test_valid_utf8(engine, &host);
	test_nothing_allowed(engine, &host);
	test_shared_model(engine, &host);
	lm_session_free(session);
	test_model_free(&test);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}
