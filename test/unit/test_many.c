/*
 * test/unit/test_many.c
 *
 * Many texts together against the same texts one by one: the same bits, whatever the company, the
 * memory and the threads.
 */
#include "counting_host.h"
#include "engine/many.h"
#include "serve_support.h"

#define CONTEXT 72
#define TEXTS 90
#define LONGEST 300
#define LABELS 3
#define CHANNELS 16

typedef struct Texts
{
	char bytes[TEXTS][LONGEST];
	int sizes[TEXTS];
	LmRequest requests[TEXTS];
	float vectors[TEXTS][CHANNELS];
	char *outputs[TEXTS]; /* of the single calls */
} Texts;

static const char instruction[] = "Is the customer content who wrote this: ";

/* Random lengths, some of them beyond the context; every third text is empty or short. */
static void
fill_texts(Texts *texts, uint64_t seed, const char *beginning)
{
	uint64_t state = seed;

	memset(texts, 0, sizeof *texts);
	for (int i = 0; i < TEXTS; i++)
	{
		int at = (int) strlen(beginning), size;

		size = (int) (test_random(&state) % (uint64_t) (i % 3 == 0	  ? 6
														: i % 10 == 1 ? LONGEST - at
																	  : 60));
		memcpy(texts->bytes[i], beginning, (size_t) at);
		for (int k = 0; k < size; k++)
			texts->bytes[i][at + k] = (char) (' ' + test_random(&state) % 95);
		texts->sizes[i] = at + size;
	}
}

static void
ask_scores(Texts *texts)
{
	for (int i = 0; i < TEXTS; i++)
		texts->requests[i] = (LmRequest){.task = LM_TASK_SCORE,
										 .prompt = {"", 0},
										 .text = {texts->bytes[i], (size_t) texts->sizes[i]},
										 .include_end = i % 3 == 0};
}

/* Each text is cut somewhere: what stands before is the prompt. */
static void
ask_completions(Texts *texts, int at_least)
{
	ask_scores(texts);
	for (int i = 0; i < TEXTS; i++)
	{
		size_t cut =
			(size_t) (at_least < texts->sizes[i] ? at_least + (i * 7) % (texts->sizes[i] - at_least)
												 : texts->sizes[i]);

		texts->requests[i].prompt = (LmBytes){texts->bytes[i], cut};
		texts->requests[i].text.data += cut;
		texts->requests[i].text.size -= cut;
	}
}

static void
ask_vectors(Texts *texts, LmTask task)
{
	ask_scores(texts);
	for (int i = 0; i < TEXTS; i++)
	{
		texts->requests[i].task = task;
		texts->requests[i].pooling = i % 2 == 0 ? LM_POOL_MEAN : LM_POOL_LAST;
		texts->requests[i].vector = texts->vectors[i];
	}
}

/* Greedy and sampled, with and without stops, short ones and some that go beyond the context. */
static void
ask_generations(Texts *texts)
{
	static const LmBytes stops[] = {{"e", 1}, {"~#", 2}};

	for (int i = 0; i < TEXTS; i++)
	{
		LmSampling sampling = {.max_tokens = i % 7 == 0 ? 2 * CONTEXT : i % 11,
							   .temperature = i % 4 == 0 ? 0 : 1.1,
							   .top_p = i % 5 == 0 ? 0.7 : 1,
							   .repetition_penalty = i % 3 == 0 ? 1.3 : 1,
							   .seed = (uint64_t) i,
							   .n_stops = i % 2 == 0 ? 2 : 0,
							   .stops = stops};

		texts->requests[i] = (LmRequest){.task = LM_TASK_GENERATE,
										 .prompt = {texts->bytes[i], (size_t) texts->sizes[i]},
										 .text = {"", 0},
										 .sampling = sampling};
	}
}

static char *
generate_alone(size_t *size, bool *truncated, LmSession *session, const LmRequest *request)
{
	char *text = calloc(1, 4 * LONGEST);
	LmError error;
	LmGeneration *generation = lm_generation_start(
		session, request->prompt.data, request->prompt.size, &request->sampling, truncated, &error);
	bool done = generation == NULL;

	*size = 0;
	while (!done)
	{
		LmBytes piece;

		if (!next_piece(session, generation, &piece, &done, &error))
			break;
		memcpy(text + *size, piece.data, piece.size);
		*size += piece.size;
	}
	lm_generation_free(generation);
	return text;
}

/* Whether the result of a request is that of the single call. */
static bool
same_alone(LmSession *session, const LmRequest *request)
{
	float vector[CHANNELS] = {0};
	LmScore score = {0};
	int64_t n_tokens = 0;
	LmError error = {.code = LM_OK};
	bool good = true, truncated = false, same;
	size_t size = 0;
	char *text = NULL;

	if (!request->done)
		return false;
	if (request->task == LM_TASK_SCORE)
		good = score_completion(&score, session, request->prompt, request->text,
								request->include_end, &error);
	else if (request->task == LM_TASK_EMBED)
		good = embed_text(vector, &n_tokens, session, request->text, request->pooling, &error);
	else if (request->task == LM_TASK_CLASSIFY)
		good = classify_text(vector, &n_tokens, session, request->text, &error);
	else
		text = generate_alone(&size, &truncated, session, request);
	same = good == (request->error.code == LM_OK);
	if (good && request->task == LM_TASK_SCORE)
		same = same && memcmp(&score, &request->score, sizeof score) == 0;
	else if (good && request->task == LM_TASK_GENERATE)
		same = same && size == request->output.size &&
			   memcmp(text, request->output.data, size) == 0 && truncated == request->truncated;
	else if (good)
		same = same && n_tokens == request->n_tokens &&
			   memcmp(vector, request->vector,
					  sizeof(float) * (request->task == LM_TASK_EMBED ? CHANNELS : LABELS)) == 0;
	free(text);
	return same;
}

static int
differences(LmSession *session, const Texts *texts)
{
	int n = 0;

	for (int i = 0; i < TEXTS; i++)
		n += !same_alone(session, &texts->requests[i]);
	return n;
}

static void
run(LmMany *many, LmRequest *requests, int n)
{
	bool done = false;
	LmError error;

	if (!lm_many_start(many, requests, n, &error))
		printf("# %s\n", error.message);
	while (!done && lm_many_step(many, &done, &error))
		continue;
	if (!done)
		printf("# %s\n", error.message);
}

static LmMany *
create_many(LmSession *session, int n_sequences, int n_pages)
{
	LmError error;
	LmMany *many = lm_many_create(session, n_sequences, n_pages, &error);

	if (!many)
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
	return many;
}

/* Every task, with little room and with much. */
static void
test_equality(LmSession *session, LmSession *classifier, int n_threads)
{
	static const int sequences[] = {1, 7, 64}, pages[] = {3, 9, 192};
	Texts *texts = malloc(sizeof *texts);
	int scores = 0, completions = 0, generations = 0, embeddings = 0, classifications = 0;

	for (int i = 0; i < 3; i += tap_is_sanitized() ? 2 : 1)
	{
		LmMany *many = create_many(session, sequences[i], pages[i]),
			   *labels = create_many(classifier, sequences[i], pages[i]);

		fill_texts(texts, 5, "");
		ask_scores(texts);
		run(many, texts->requests, TEXTS);
		scores += differences(session, texts);
		ask_completions(texts, 0);
		run(many, texts->requests, TEXTS);
		completions += differences(session, texts);
		ask_generations(texts);
		run(many, texts->requests, TEXTS);
		generations += differences(session, texts);
		fill_texts(texts, 6, instruction);
		ask_generations(texts);
		run(many, texts->requests, TEXTS);
		generations += differences(session, texts);
		ask_completions(texts, (int) strlen(instruction));
		run(many, texts->requests, TEXTS);
		completions += differences(session, texts);
		ask_vectors(texts, LM_TASK_EMBED);
		run(many, texts->requests, TEXTS);
		embeddings += differences(session, texts);
		fill_texts(texts, 7, "");
		ask_vectors(texts, LM_TASK_CLASSIFY);
		run(labels, texts->requests, TEXTS);
		classifications += differences(classifier, texts);
		lm_many_free(many);
		lm_many_free(labels);
	}
	printf("# %d threads\n", n_threads);
	is_int(scores, 0, "scores of texts together are those of each alone, bit for bit");
	is_int(completions, 0, "and those of completions after prompts");
	is_int(generations, 0, "and texts that are generated");
	is_int(embeddings, 0, "and embeddings");
	is_int(classifications, 0, "and classifications");
	free(texts);
}

static void
test_prefix(LmSession *session)
{
	Texts *texts = malloc(sizeof *texts);
	LmMany *many = create_many(session, 8, 64);
	int64_t apart, together, again;

	fill_texts(texts, 9, instruction);
	for (int i = 0; i < TEXTS; i++)
		texts->bytes[i][0] = (char) ('A' + i % 5);
	ask_completions(texts, (int) strlen(instruction));
	run(many, texts->requests, TEXTS);
	apart = lm_many_counts(many)->tokens;
	lm_many_free(many);
	many = create_many(session, 8, 64);
	fill_texts(texts, 9, instruction);
	ask_completions(texts, (int) strlen(instruction));
	run(many, texts->requests, TEXTS);
	together = lm_many_counts(many)->tokens;
	ok(together < apart - 32 * TEXTS / 2,
	   "what prompts begin with is computed once: %lld tokens, not %lld", (long long) together,
	   (long long) apart);
	run(many, texts->requests, TEXTS);
	again = lm_many_counts(many)->tokens - together;
	ok(again < together, "and the next time not at all: %lld", (long long) again);
	is_int(differences(session, texts), 0, "with the same bits");
	/* One text is no majority, but what an earlier run computed serves it. */
	run(many, texts->requests, 1);
	ok(same_alone(session, &texts->requests[0]), "a text alone uses what is there");
	lm_many_free(many);
	free(texts);
}

static void
test_counts(LmSession *session)
{
	Texts *texts = malloc(sizeof *texts);
	LmMany *many = create_many(session, 8, 64);
	const LmManyCounts *counts = lm_many_counts(many);
	int n_begun = 0;

	fill_texts(texts, 9, instruction);
	for (int i = 0; i < TEXTS; i++)
		texts->bytes[i][0] = (char) ('A' + i % 5);
	ask_completions(texts, (int) strlen(instruction));
	run(many, texts->requests, TEXTS);
	/* A text without a token to compute does not look. */
	ok(counts->hits + counts->misses > TEXTS * 9 / 10 && counts->hits + counts->misses <= TEXTS,
	   "a text finds its beginning or not, once");
	ok(counts->hits < TEXTS / 8, "of texts that begin differently %lld do",
	   (long long) counts->hits);
	lm_many_free(many);
	many = create_many(session, 8, 64);
	counts = lm_many_counts(many);
	fill_texts(texts, 9, instruction);
	ask_completions(texts, (int) strlen(instruction));
	run(many, texts->requests, TEXTS);
	ok(counts->hits > TEXTS / 2, "of those that begin alike %lld", (long long) counts->hits);
	is_int((int) counts->reused, (int) counts->hits * LM_PAGE, "a page each");
	ask_generations(texts);
	run(many, texts->requests, TEXTS);
	for (int i = 0; i < TEXTS; i++)
		n_begun += texts->requests[i].n_tokens > 0;
	is_int((int) counts->begun, n_begun, "each text that was generated has a first token");
	lm_many_free(many);
	free(texts);
}

static void
test_failures_of_one(LmSession *session)
{
	Texts *texts = malloc(sizeof *texts);
	LmMany *many = create_many(session, 5, 12);
	LmRequest mixed[2] = {{.task = LM_TASK_SCORE}, {.task = LM_TASK_EMBED}};
	bool done = false;
	LmError error;

	fill_texts(texts, 3, "");
	ask_generations(texts);
	texts->requests[4].sampling.temperature = -1;
	texts->requests[50].sampling.top_p = NAN;
	run(many, texts->requests, TEXTS);
	ok(texts->requests[4].done && texts->requests[4].error.code == LM_ERR_ARGUMENT &&
		   texts->requests[50].error.code == LM_ERR_ARGUMENT,
	   "a request in error is done and says what is wrong");
	texts->requests[4].error.code = texts->requests[50].error.code = LM_OK;
	texts->requests[4] = texts->requests[5];
	texts->requests[50] = texts->requests[5];
	is_int(differences(session, texts), 0, "and no other suffers");
	ok(!lm_many_start(many, mixed, 2, &error) && error.code == LM_ERR_ARGUMENT,
	   "scores and embeddings do not go together");
	ok(lm_many_start(many, NULL, 0, &error) && lm_many_step(many, &done, &error) && done,
	   "nothing to do is done");
	ask_vectors(texts, LM_TASK_CLASSIFY);
	run(many, texts->requests, 3);
	ok(texts->requests[2].done && texts->requests[2].error.code == LM_ERR_ARGUMENT,
	   "a model that is no classifier classifies nothing");
	ask_scores(texts);
	lm_many_start(many, texts->requests, TEXTS, &error);
	for (int i = 0; i < 4; i++)
		lm_many_step(many, &done, &error);
	run(many, texts->requests + 1, TEXTS - 1);
	texts->requests[0] = texts->requests[1];
	is_int(differences(session, texts), 0, "a run that is given up leaves nothing behind");
	lm_many_free(many);
	ok(!lm_many_create(session, 0, 12, &error) && error.code == LM_ERR_ARGUMENT,
	   "no text at once is an error");
	ok(!lm_many_create(session, LM_MANY_SEQUENCES + 1, 12, &error) && error.code == LM_ERR_ARGUMENT,
	   "and too many");
	ok(!lm_many_create(session, 1, 2, &error) && error.code == LM_ERR_ARGUMENT,
	   "and fewer pages than a context has");
	free(texts);
}

/*
 * Asked to stop at the k-th question since the last stop, for every k until all is done, and called
 * again each time.
 */
static void
test_stops(const TestModel *test)
{
	CountingHost state;
	LmHost host = counting_host(&state);
	LmEngine *engine = start_engine(&host, 1);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	LmSession *session = create_session(engine, test, tokenizer);
	LmMany *many = create_many(session, 6, 20);
	Texts *texts = malloc(sizeof *texts);
	int stopped = 0, different = 0;

	lm_session_set_prompted(session, true);
	for (int task = 0; task < 2; task++)
	{
		bool done = false;
		long k = 1;
		LmError error;

		fill_texts(texts, 8, task == 0 ? instruction : "");
		if (task == 0)
			ask_generations(texts);
		else
			ask_vectors(texts, LM_TASK_EMBED);
		lm_many_start(many, texts->requests, TEXTS, &error);
		while (!done)
		{
			state.questions = k++;
			while (!done && lm_many_step(many, &done, &error))
				continue;
			if (!done && error.code != LM_ERR_STOPPED)
			{
				printf("# %s\n", error.message);
				break;
			}
			stopped += !done;
		}
		state.questions = -1;
		different += differences(session, texts);
	}
	ok(stopped > 100, "runs were stopped %d times", stopped);
	is_int(different, 0, "and went on as if nothing had happened");
	lm_many_free(many);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	is_int((long long) state.live, 0, "nothing is leaked");
	free(texts);
}

static void
test_memory(const TestModel *test)
{
	CountingHost state;
	LmHost host = counting_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	LmSession *session = create_session(engine, test, tokenizer);
	Texts *texts = malloc(sizeof *texts);
	size_t before, bytes, of_texts = 0;
	LmMany *many;
	LmError error;

	lm_session_set_prompted(session, true);
	fill_texts(texts, 4, "");
	ask_generations(texts);
	/* ids and output grow by doubling; an item is below 128 bytes */
	for (int i = 0; i < TEXTS; i++)
		of_texts +=
			2 * sizeof(int32_t) * (size_t) (texts->sizes[i] + 16) + 2 * 2 * 2 * CONTEXT + 64 + 128;
	before = state.live;
	state.peak = before;
	ok(lm_many_memory(&bytes, &test->table->config, 2, 16, 40, &error), "memory is known before");
	many = create_many(session, 16, 40);
	run(many, texts->requests, TEXTS);
	ok(state.peak - before <= bytes + of_texts && state.peak - before > bytes / 2,
	   "it takes what the formula says: %zu of %zu bytes, and up to %zu of texts",
	   state.peak - before, bytes, of_texts);
	lm_many_free(many);
	is_int((long long) (state.live - before), 0, "and gives all of it back");
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	free(texts);
}

/* A model that answers NaN spoils the texts that meet it, and says so of each. */
static void
test_not_finite(LmEngine *engine, const LmHost *host)
{
	LmConfig config = bytes_config(CONTEXT);
	TestModel test = test_model_init(host, &config, 3, 0.15f);
	const LmParam *embedding = lm_param_find(test.table, LM_POSITION_EMBEDDING, -1);
	LmTokenizer *tokenizer = bytes_tokenizer(host);
	Texts *texts = malloc(sizeof *texts);
	LmSession *session;
	LmMany *many;
	int failed = 0;

	/* only texts of more than 40 tokens come to this position */
	test.block[embedding->offset + (size_t) 40 * (size_t) config.channels] = NAN;
	test_model_build(&test);
	session = create_session(engine, &test, tokenizer);
	many = create_many(session, 8, 24);
	fill_texts(texts, 3, "");
	ask_scores(texts);
	run(many, texts->requests, TEXTS);
	for (int i = 0; i < TEXTS; i++)
		failed += texts->requests[i].error.code == LM_ERR_NUMERIC && texts->sizes[i] > 40;
	ok(failed > 0 && failed < TEXTS, "%d of %d texts meet a number that is none", failed, TEXTS);
	is_int(differences(session, texts), 0, "and fail as each alone, the others not");
	lm_many_free(many);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
	free(texts);
}

/*
 * The same equalities where prompts are prefixes, and whole prompts that are shared. An encoder
 * and a decoder are no classifier: a prefix is one in both.
 */
static void
test_architecture(const LmHost *host, LmTokenizer *tokenizer, LmArchitecture architecture)
{
	LmConfig config = bytes_config(CONTEXT), labels = config;
	LmEngine *engine = start_engine(host, 2);
	TestModel test, classifier;
	LmSession *session, *other;

	config.architecture = architecture;
	config.encoder_layers = architecture == LM_ENCODER_DECODER ? 1 : 0;
	labels.architecture = LM_PREFIX;
	labels.labels = LABELS;
	test = test_model(host, &config, 3, 0.15f);
	classifier = test_model(host, &labels, 4, 0.15f);
	session = create_session(engine, &test, tokenizer);
	other = create_session(engine, &classifier, tokenizer);
	lm_session_set_prompted(session, true);
	test_equality(session, other, 2);
	test_stops(&test);
	test_memory(&test);
	lm_session_free(session);
	lm_session_free(other);
	lm_engine_stop(engine);
	test_model_free(&test);
	test_model_free(&classifier);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmConfig config = bytes_config(CONTEXT), labels = config;
	LmTokenizer *tokenizer = bytes_tokenizer(&host);
	TestModel test, classifier;

	labels.labels = LABELS;
	test = test_model(&host, &config, 3, 0.15f);
	classifier = test_model(&host, &labels, 4, 0.15f);
	for (int n_threads = 1; n_threads <= 2; n_threads++)
	{
		LmEngine *engine = start_engine(&host, n_threads);
		LmSession *session = create_session(engine, &test, tokenizer),
				  *other = create_session(engine, &classifier, tokenizer);

		/* A sanitizer sees with two threads what it would see with one. */
		if (n_threads == 2 || !tap_is_sanitized())
			test_equality(session, other, n_threads);
		if (n_threads == 1)
		{
			test_prefix(session);
			test_counts(session);
			test_failures_of_one(session);
			test_not_finite(engine, &host);
		}
		lm_session_free(session);
		lm_session_free(other);
		lm_engine_stop(engine);
	}
	test_stops(&test);
	test_memory(&test);
	test_architecture(&host, tokenizer, LM_PREFIX);
	test_architecture(&host, tokenizer, LM_ENCODER_DECODER);
	lm_tokenizer_free(tokenizer);
	test_model_free(&test);
	test_model_free(&classifier);
	is_int(state.live, 0, "nothing is left at the end");
	return done_testing();
}
