/*
 * test/unit/test_family.c
 *
 * The forward pass of training and inference of each switch of the model family and of random
 * combinations: logits against the twin in float64, and the same bits however a prompt is cut and
 * beside other sequences.
 */
#include "family_twin.h"

#define TOKENS 70
#define SEQUENCES 2

typedef struct Runner
{
	LmHost host;
	LmEngine *engine;
	const TestModel *test;
	LmPages *pages;
	LmSequence sequences[SEQUENCES];
	void *workspace;
	float *logits;
} Runner;

static Runner
start_runner(const LmHost *host, const TestModel *test, int n_threads)
{
	Runner runner = {.host = *host, .engine = start_engine(host, n_threads), .test = test};
	int n = SEQUENCES * TOKENS;
	LmError error;

	runner.pages = lm_pages_create(host, test->model, 8, &error);
	for (int i = 0; i < SEQUENCES; i++)
		lm_sequence_create(&runner.sequences[i], host, test->model, &error);
	runner.workspace = aligned_alloc(64, lm_infer_workspace(test->model, n, n, n_threads));
	runner.logits = malloc(sizeof(float) * (size_t) n * (size_t) test->table->config.vocabulary);
	return runner;
}

static void
stop_runner(Runner *runner)
{
	for (int i = 0; i < SEQUENCES; i++)
		lm_sequence_free(&runner->sequences[i], runner->pages, &runner->host);
	lm_pages_free(runner->pages);
	free(runner->workspace);
	free(runner->logits);
	lm_engine_stop(runner->engine);
}

/* The next count tokens of a sequence. */
static int
add_inputs(LmInput *inputs, int n, const Runner *runner, const int32_t *ids, int sequence,
		   int count, int skip)
{
	int position = runner->sequences[sequence].n_positions;

	for (int i = 0; i < count; i++)
		inputs[n++] =
			(LmInput){ids[position + i], sequence, position + i, skip == 0 || i % skip > 0};
	return n;
}

static bool
run_inputs(Runner *runner, const LmInput *inputs, int n)
{
	LmError error;
	bool good = lm_infer(runner->logits, runner->engine, runner->test->model, runner->pages,
						 runner->sequences, SEQUENCES, inputs, n, runner->workspace, &error);

	if (!good)
		printf("# %s\n", error.message);
	return good;
}

static void
fill_ids(int32_t *ids, int vocabulary, uint64_t seed)
{
	for (int i = 0; i < TOKENS; i++)
		ids[i] = (int32_t) (test_random(&seed) % (uint32_t) vocabulary);
}

/* Logits of all of ids in one call. */
static float *
whole(const LmHost *host, const TestModel *test, const int32_t *ids)
{
	Runner runner = start_runner(host, test, 1);
	LmInput inputs[TOKENS];
	float *logits;

	run_inputs(&runner, inputs, add_inputs(inputs, 0, &runner, ids, 0, TOKENS, 0));
	logits = runner.logits;
	runner.logits = NULL;
	stop_runner(&runner);
	return logits;
}

/* The prompt in calls of 37, then of one token each, the other sequence in calls of 23. */
static bool
same_cut(const LmHost *host, const TestModel *test, int32_t ids[2][TOKENS], float *const wanted[2])
{
	Runner runner = start_runner(host, test, 2);
	size_t V = (size_t) test->table->config.vocabulary;
	bool same = true;

	while (same && runner.sequences[0].n_positions < TOKENS)
	{
		LmInput inputs[2 * TOKENS];
		int past = runner.sequences[0].n_positions, rest = TOKENS - runner.sequences[1].n_positions;
		int n = add_inputs(inputs, 0, &runner, ids[0], 0, past == 0 ? 37 : 1, past == 0 ? 4 : 0);
		int row = 0;

		n = add_inputs(inputs, n, &runner, ids[1], 1, rest < 23 ? rest : 23, 3);
		same = run_inputs(&runner, inputs, n);
		for (int i = 0; i < n; i++)
			if (inputs[i].wanted)
				same = same && memcmp(runner.logits + V * (size_t) row++,
									  wanted[inputs[i].sequence] + V * (size_t) inputs[i].position,
									  V * sizeof(float)) == 0;
	}
	stop_runner(&runner);
	return same;
}

/* Share of the logits' deviation by which got differs; in float32 the largest difference. */
static double
distance(const float *got, const double *wanted, size_t count, bool exact)
{
	double largest = 0, difference = 0, square = 0;

	for (size_t i = 0; i < count; i++)
	{
		double d = fabs(got[i] - wanted[i]);

		largest = d <= largest ? largest : isnan(d) ? INFINITY : d;
		difference += d * d;
		square += wanted[i] * wanted[i];
	}
	return exact ? largest : sqrt(difference / square);
}

/* Logits by the forward pass of training, which is other code and other sums. */
static float *
trained(const LmHost *host, const TestModel *test, const int32_t *ids)
{
	LmTrainOptions options = small_options(TOKENS);
	LmEngine *engine = start_engine(host, 2);
	LmTrainer *trainer = create_trainer(engine, &test->table->config, &options);
	LmBatch batch = create_batch(host, TOKENS);
	uint64_t state = 4;
	float *logits = calloc(TOKENS * (size_t) test->table->config.vocabulary, sizeof(float));
	LmError error;

	memcpy(lm_trainer_params(trainer), test->block, test->table->total * sizeof(float));
	append_sequence(&batch, TOKENS, test->table->config.vocabulary, false, 0, &state);
	memcpy(batch.tokens, ids, TOKENS * sizeof(int32_t));
	if (!lm_trainer_logits(logits, trainer, &batch, &error))
		printf("# %s\n", error.message);
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
	lm_engine_stop(engine);
	return logits;
}

/* In float32 the twin's logits, and in another type near them. */
static void
test_member(const LmHost *host, const LmConfig *config, const char *name, int number)
{
	int32_t ids[2][TOKENS];
	size_t count = TOKENS * (size_t) config->vocabulary;
	double *wanted = malloc(sizeof(double) * count);

	for (int s = 0; s < 2; s++)
		fill_ids(ids[s], config->vocabulary, 7 + (uint64_t) s);
	for (int i = 0; i < 2; i++)
	{
		const LmWeightType *type =
			lm_weight_type(i == 0 ? 0 : 1 + number % (lm_weight_type_count() - 1));
		TestModel test = test_model_of_type(host, config, 8, 0.1f, type);
		float *got[2] = {whole(host, &test, ids[0]), whole(host, &test, ids[1])};
		double far;

		if (i == 0)
		{
			float *logits = trained(host, &test, ids[0]);

			twin_logits(wanted, test.table, test.block, ids[0], TOKENS);
			is_near(distance(logits, wanted, count, true), 0, 1e-5, name);
			free(logits);
		}
		far = distance(got[0], wanted, count, i == 0);
		if (!ok(far < (i == 0 ? 1e-5 : 3 * type->error), "%s, %s: logits are those of the twin",
				name, type->name))
			printf("# %g\n", far);
		ok(same_cut(host, &test, ids, got), "%s, %s: the same bits in any cut", name, type->name);
		free(got[0]);
		free(got[1]);
		test_model_free(&test);
	}
	free(wanted);
}

/* A checked configuration; a combination that is not possible is drawn again. */
static LmConfig
random_member(uint64_t *state)
{
	LmConfig config;
	LmError error;

	do
		config = family_random(state);
	while (!lm_config_check(&config, &error));
	return config;
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	uint64_t seed = 18;
	LmConfig config;
	const char *name;

	for (int i = 0; family_switch(&config, &name, i); i++)
		test_member(&host, &config, name, i);
	for (int i = 0; i < 20 * tap_repeat(1); i++)
	{
		char number[32];

		config = random_member(&seed);
		snprintf(number, sizeof number, "combination %d", i);
		test_member(&host, &config, number, i);
	}
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}
