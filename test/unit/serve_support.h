/*
 * test/unit/serve_support.h
 *
 * A random model in memory for the tests of inference, generation and scores.
 */
#ifndef TEST_SERVE_SUPPORT_H
#define TEST_SERVE_SUPPORT_H

#include "engine/many.h"
#include "engine/model.h"
#include "train_support.h"

typedef struct TestModel
{
	LmHost host;
	LmParamTable *table;
	float *block; /* may be changed before test_model_build */
	void *image;
	size_t size;
	const LmWeightType *type; /* set before test_model_build; NULL: the first */
	LmModel *model;
} TestModel;

/* Weights large enough that texts differ; deviation 0 leaves those of the beginning of training. */
static inline TestModel
test_model_init(const LmHost *host, const LmConfig *config, uint64_t seed, float deviation)
{
	TestModel test = {.host = *host};
	LmEngine *engine = start_engine(host, 1);
	uint64_t state = seed;
	LmError error;

	test.table = lm_param_table_create(host, config, &error);
	if (!test.table)
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
	test.block = malloc(test.table->total * sizeof(float));
	lm_params_init(engine, test.block, test.table, seed);
	lm_engine_stop(engine);
	for (int i = 0; i < test.table->n_params; i++)
		for (size_t j = 0; j < test.table->params[i].count; j++)
			test.block[test.table->params[i].offset + j] +=
				((int) (test_random(&state) % 2001) - 1000) * 1.7e-3f * deviation;
	return test;
}

static inline void
test_model_build(TestModel *test)
{
	LmError error;

	if (!test->type)
		test->type = lm_weight_type(0);
	if (lm_image_size(&test->size, &test->table->config, test->type, &error))
		test->image = aligned_alloc(64, test->size);
	memset(test->image, 0xA5, test->size);
	if (!lm_image_build(test->image, test->block, test->table, test->type, &test->host, &error) ||
		!(test->model = lm_model_open(&test->host, test->image, test->size, &error)))
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
}

static inline TestModel
test_model(const LmHost *host, const LmConfig *config, uint64_t seed, float deviation)
{
	TestModel test = test_model_init(host, config, seed, deviation);

	test_model_build(&test);
	return test;
}

static inline TestModel
test_model_of_type(const LmHost *host, const LmConfig *config, uint64_t seed, float deviation,
				   const LmWeightType *type)
{
	TestModel test = test_model_init(host, config, seed, deviation);

	test.type = type;
	test_model_build(&test);
	return test;
}

static inline void
test_model_free(TestModel *test)
{
	lm_model_close(test->model);
	free(test->image);
	free(test->block);
	lm_param_table_free(&test->host, test->table);
}

static inline LmTokenizer *
bytes_tokenizer(const LmHost *host)
{
	LmError error;
	LmTokenizer *tokenizer = lm_tokenizer_create(host, lm_bytes_spec(), &error);

	if (!tokenizer)
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
	return tokenizer;
}

static inline LmSession *
create_session(LmEngine *engine, const TestModel *test, LmTokenizer *tokenizer)
{
	LmError error;
	LmSession *session = lm_session_create(engine, test->model, tokenizer, &error);

	if (!session)
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
	return session;
}

/* ---- One text at a time -------------------------------------------------- */

static inline LmMany *
room_of(LmSession *session)
{
	LmError error;
	LmMany *many = lm_session_many(session, &error);

	if (!many)
	{
		printf("Bail out! %s\n", error.message);
		exit(1);
	}
	return many;
}

/* A request alone, in the session's own room; false with its error, or the run's. */
static inline bool
answer_alone(LmSession *session, LmRequest *request, LmError *error)
{
	LmMany *many = lm_session_many(session, error);
	bool done = false;

	if (!many || !lm_many_start(many, request, 1, error))
		return false;
	while (!done)
		if (!lm_many_step(many, &done, error))
			return false;
	if (request->error.code != LM_OK)
		*error = request->error;
	return request->error.code == LM_OK;
}

static inline bool
score_completion(LmScore *score, LmSession *session, LmBytes prompt, LmBytes text, bool include_end,
				 LmError *error)
{
	LmRequest request = {
		.task = LM_TASK_SCORE, .prompt = prompt, .text = text, .include_end = include_end};
	bool good = answer_alone(session, &request, error);

	*score = request.score;
	return good;
}

static inline bool
score_text(LmScore *score, LmSession *session, const char *text, size_t size, LmError *error)
{
	return score_completion(score, session, (LmBytes){"", 0}, (LmBytes){text, size}, false, error);
}

static inline bool
embed_text(float *embedding, int64_t *n_tokens, LmSession *session, LmBytes text, LmPooling pooling,
		   LmError *error)
{
	LmRequest request = {.task = LM_TASK_EMBED,
						 .prompt = {"", 0},
						 .text = text,
						 .pooling = pooling,
						 .vector = embedding};
	bool good = answer_alone(session, &request, error);

	*n_tokens = request.n_tokens;
	return good;
}

static inline bool
classify_text(float *probabilities, int64_t *n_tokens, LmSession *session, LmBytes text,
			  LmError *error)
{
	LmRequest request = {
		.task = LM_TASK_CLASSIFY, .prompt = {"", 0}, .text = text, .vector = probabilities};
	bool good = answer_alone(session, &request, error);

	*n_tokens = request.n_tokens;
	return good;
}

/* The next piece of a generation of the session. */
static inline bool
next_piece(LmSession *session, LmGeneration *generation, LmBytes *text, bool *done, LmError *error)
{
	LmRequest request = {.task = LM_TASK_GENERATE, .generation = generation};
	bool good = answer_alone(session, &request, error);

	*text = request.output;
	*done = lm_generation_finished(generation);
	return good;
}

/* GPT-2's switches over bytes and the end of text. */
static inline LmConfig
bytes_config(int context)
{
	LmConfig config = small_config();

	config.vocabulary = 257;
	config.context = context;
	return config;
}

#endif /* TEST_SERVE_SUPPORT_H */
