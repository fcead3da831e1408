/*
 * test/unit/test_failures.c
 *
 * The k-th allocation fails, and those after it or not, for every k; the k-th thread cannot be
 * made, for every k: each way through the engine ends in an error or a success, and gives back what
 * it took.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#include "engine/many.h"
#include "serve_support.h"

#define MAX_FAILURES 20000
#define TEXT                                                                                \
	"To be, or not to be: that is the question. Whether 'tis nobler in the mind to suffer " \
	"\xC3\xA9\xE2\x82\xAC the slings"

/* Everything that is made with a host that never fails, before the failures begin. */
typedef struct Given
{
	LmHost host;
	LmConfig config;
	TestModel model;
} Given;

typedef bool (*Way)(const LmHost *host, const Given *given, LmError *error);

static int threads_until_failure = -1;

/* Stands in front of the C library's. */
int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
			   void *argument)
{
	int (*create)(pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);

	if (threads_until_failure == 0)
		return EAGAIN;
	if (threads_until_failure > 0)
		threads_until_failure--;
	*(void **) &create = dlsym(RTLD_NEXT, "pthread_create");
	return create(thread, attributes, start, argument);
}

static LmEngine *
try_engine(const LmHost *host, int n_threads, LmError *error)
{
	LmEngineOptions options = {n_threads, ""};

	return lm_engine_start(host, &options, error);
}

static bool
way_engine(const LmHost *host, const Given *given, LmError *error)
{
	LmEngine *engine = try_engine(host, 3, error);

	lm_engine_stop(engine);
	return engine != NULL;
}

static bool
way_train(const LmHost *host, const Given *given, LmError *error)
{
	LmEngine *engine = try_engine(host, 2, error);
	LmTrainOptions options = small_options(24);
	LmTrainer *trainer = engine ? lm_trainer_create(engine, &given->config, &options, error) : NULL;
	LmBatch batch = {0};
	bool done = trainer && lm_batch_create(&batch, host, 24, error);
	uint64_t state = 3;
	LmStepResult result;
	double sum = 0, weight = 0;

	if (done)
	{
		append_sequence(&batch, 12, given->config.vocabulary, true, 0, &state);
		append_sequence(&batch, 12, given->config.vocabulary, false, 1, &state);
		done = lm_trainer_step(&result, trainer, 0, &batch, 1, NULL, NULL, error) &&
			   lm_trainer_step(&result, trainer, 1, &batch, 1, NULL, NULL, error) &&
			   lm_trainer_evaluate(&sum, &weight, trainer, &batch, error);
	}
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
	lm_engine_stop(engine);
	return done;
}

static bool
way_adapter(const LmHost *host, const Given *given, LmError *error)
{
	Given adapter = *given;
	LmParamTable *table;
	size_t size = 0;
	void *memory = NULL;
	float *block;
	LmModel *model = NULL;

	adapter.config.lora_rank = 2;
	if (!way_train(host, &adapter, error))
		return false;
	table = lm_param_table_create(host, &adapter.config, error);
	if (!table)
		return false;
	block = calloc(table->total, sizeof(float));
	if (lm_adapter_size(&size, &adapter.config, lm_weight_type(0), error))
		memory = aligned_alloc(64, size);
	if (memory && lm_adapter_build(memory, block, table, lm_weight_type(0), host, error))
		model = lm_model_open_adapter(host, given->model.image, given->model.size, memory, size,
									  &adapter.config, error);
	lm_model_close(model);
	free(memory);
	free(block);
	lm_param_table_free(host, table);
	return model != NULL;
}

static bool
way_bpe(const LmHost *host, const Given *given, LmError *error)
{
	LmBpeTrainer *trainer =
		lm_bpe_trainer_create(host, &(LmBpeOptions){.normalize_nfc = true}, error);
	const LmTokenizerSpec *spec = NULL;
	LmTokenizer *tokenizer;
	LmTokens tokens = {0};
	bool done;
	int n_reached;

	if (trainer && lm_bpe_trainer_add(trainer, TEXT, strlen(TEXT), error) &&
		lm_bpe_trainer_add(trainer, TEXT, 40, error))
		spec = lm_bpe_trainer_finish(trainer, 280, &n_reached, error);
	tokenizer = spec ? lm_tokenizer_create(host, spec, error) : NULL;
	done = tokenizer && lm_tokenizer_encode(tokenizer, &tokens, TEXT, strlen(TEXT), error);
	lm_tokens_free(host, &tokens);
	lm_tokenizer_free(tokenizer);
	lm_bpe_trainer_free(trainer);
	return done;
}

static bool
way_chars(const LmHost *host, const Given *given, LmError *error)
{
	LmCharsTrainer *trainer = lm_chars_trainer_create(host, error);
	const LmTokenizerSpec *spec = NULL;
	LmTokenizer *tokenizer;
	LmTokens tokens = {0};
	bool done;

	if (trainer && lm_chars_trainer_add(trainer, TEXT, strlen(TEXT), error))
		spec = lm_chars_trainer_finish(trainer, error);
	tokenizer = spec ? lm_tokenizer_create(host, spec, error) : NULL;
	done = tokenizer && lm_tokenizer_encode(tokenizer, &tokens, TEXT, strlen(TEXT), error);
	lm_tokens_free(host, &tokens);
	lm_tokenizer_free(tokenizer);
	lm_chars_trainer_free(trainer);
	return done;
}

static bool
way_image(const LmHost *host, const Given *given, LmError *error)
{
	LmParamTable *table = lm_param_table_create(host, &given->config, error);
	const LmWeightType *type = lm_weight_type_find("int4");
	size_t size = 0;
	void *image = NULL;
	LmModel *model = NULL;

	if (table && lm_image_size(&size, &given->config, type, error))
		image = aligned_alloc(64, size);
	if (image && lm_image_build(image, given->model.block, table, type, host, error))
		model = lm_model_open(host, image, size, error);
	lm_model_close(model);
	free(image);
	lm_param_table_free(host, table);
	return model != NULL;
}

/* Of bytes, and a token that begins with the last one of TEXT. */
static LmTokenizer *
healing_tokenizer(const LmHost *host, LmError *error)
{
	const char longer[] = {TEXT[sizeof TEXT - 2], '!'};
	LmTokenizerSpec spec = *lm_bytes_spec();
	LmBytes tokens[258];
	bool special[258] = {[256] = true};
	LmMerge merge = {(unsigned char) longer[0], '!', 257};

	memcpy(tokens, spec.tokens, 257 * sizeof *tokens);
	tokens[257] = (LmBytes){longer, sizeof longer};
	spec.kind = LM_TOKENIZER_BPE;
	spec.n_tokens = 258;
	spec.tokens = tokens;
	spec.special = special;
	spec.n_merges = 1;
	spec.merges = &merge;
	return lm_tokenizer_create(host, &spec, error);
}

static bool
way_serve(const LmHost *host, const Given *given, LmError *error)
{
	const LmSampling sampling = {.max_tokens = 20,
								 .temperature = 1,
								 .top_p = 0.9,
								 .top_k = 50,
								 .repetition_penalty = 1.1,
								 .seed = 1,
								 .n_stops = 1,
								 .stops = &(LmBytes){"\x01\x02", 2},
								 .heal = true};
	LmEngine *engine = try_engine(host, 2, error);
	LmTokenizer *tokenizer = engine ? healing_tokenizer(host, error) : NULL;
	LmSession *session =
		tokenizer ? lm_session_create(engine, given->model.model, tokenizer, error) : NULL;
	LmGeneration *generation = NULL;
	bool truncated, finished = false, done = false;
	LmScore score;

	if (session)
		generation = lm_generation_start(session, TEXT, strlen(TEXT), &sampling, &truncated, error);
	if (generation)
	{
		LmBytes text;

		done = true;
		while (done && !finished)
			done = next_piece(session, generation, &text, &finished, error);
	}
	lm_generation_free(generation);
	done = done && score_text(&score, session, TEXT, strlen(TEXT), error);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	return done;
}

static bool
way_many(const LmHost *host, const Given *given, LmError *error)
{
	static const LmBytes stop = {"\x01\x02", 2}, banned[] = {{"ab", 2}, {"e", 1}};
	static const LmBias bias = {100, 1};
	LmEngine *engine = try_engine(host, 1, error);
	LmTokenizer *tokenizer = engine ? healing_tokenizer(host, error) : NULL;
	LmSession *session =
		tokenizer ? lm_session_create(engine, given->model.model, tokenizer, error) : NULL;
	LmMany *many = session ? lm_many_create(session, 2, 4, error) : NULL;
	LmRequest requests[5];
	bool good, done = false;

	for (int i = 0; i < 5; i++)
	{
		requests[i] = (LmRequest){.task = i % 2 ? LM_TASK_SCORE : LM_TASK_GENERATE,
								  .prompt = {TEXT, strlen(TEXT)},
								  .text = {TEXT, i % 2 ? strlen(TEXT) : 0}};
		requests[i].sampling = (LmSampling){.max_tokens = 20,
											.temperature = 1,
											.top_p = 1,
											.repetition_penalty = 1,
											.seed = 1,
											.n_stops = 1,
											.stops = &stop,
											.heal = true};
		if (i == 2)
		{
			requests[i].each = true;
			requests[i].sampling.n_banned = 2;
			requests[i].sampling.banned = banned;
			requests[i].sampling.n_biases = 1;
			requests[i].sampling.biases = &bias;
			requests[i].sampling.frequency_penalty = 1;
		}
	}
	good = many && lm_many_start(many, requests, 5, error);
	while (good && !done)
		good = lm_many_step(many, &done, error);
	/* A failure of one text alone is that request's error. */
	for (int i = 0; good && i < 5; i++)
		if (requests[i].error.code != LM_OK)
		{
			*error = requests[i].error;
			good = false;
		}
	lm_many_free(many);
	lm_session_free(session);
	lm_tokenizer_free(tokenizer);
	lm_engine_stop(engine);
	return good;
}

static void
test_allocations(const char *name, Way way, const Given *given, bool once)
{
	TapHost state;
	LmHost host = tap_host(&state);
	long failures = 0, untold = 0, leaks = 0, succeeded = 0;
	LmError error;

	state.fail_once = once;
	for (long k = 0; k < MAX_FAILURES; k++)
	{
		state.fail_after = k;
		memset(&error, 0, sizeof error);
		if (way(&host, given, &error))
			succeeded++;
		else
		{
			failures++;
			untold += error.code != LM_ERR_MEMORY || error.message[0] == '\0';
		}
		leaks += state.live != 0;
		if (state.fail_after > 0)
			break;
	}
	ok(failures > 0 && state.fail_after > 0, "%s: each of its allocations failed once, %s (%ld)",
	   name, once ? "alone" : "with those after it", failures + succeeded - 1);
	is_int(untold, 0, "every failure is reported as one of memory");
	is_int(leaks, 0, "and nothing is leaked");
	state.fail_after = -1;
	ok(way(&host, given, &error) && state.live == 0, "%s: with enough memory it succeeds", name);
}

static void
test_threads(const char *name, Way way, const Given *given)
{
	TapHost state;
	LmHost host = tap_host(&state);
	int succeeded = 0;
	LmError error;

	for (int k = 0; k < 3; k++)
	{
		threads_until_failure = k;
		succeeded += way(&host, given, &error) && state.live == 0;
	}
	threads_until_failure = -1;
	is_int(succeeded, 3, name);
}

int
main(void)
{
	TapHost state;
	Given given = {.host = tap_host(&state), .config = bytes_config(32)};

	given.config.vocabulary = 258;
	given.model = test_model(&given.host, &given.config, 11, 30);
	for (int once = 0; once < 2; once++)
	{
		test_allocations("an engine with threads", way_engine, &given, once);
		test_allocations("training", way_train, &given, once);
		test_allocations("an adapter", way_adapter, &given, once);
		test_allocations("a trained tokenizer", way_bpe, &given, once);
		test_allocations("a tokenizer of characters", way_chars, &given, once);
		test_allocations("an image", way_image, &given, once);
		test_allocations("generation and score", way_serve, &given, once);
		test_allocations("texts together", way_many, &given, once);
	}
	test_threads("an engine does without the threads that cannot be made", way_engine, &given);
	test_threads("training does without the threads that cannot be made", way_train, &given);
	test_threads("generation does without the threads that cannot be made", way_serve, &given);
	test_model_free(&given.model);
	is_int(state.live, 0, "nothing is left at the end");
	return done_testing();
}
