/*
 * test/unit/test_infer.c
 *
 * Pages and the ragged entry: a row's logits are the same bits whatever stands beside it.
 */
#include "serve_support.h"

#define MAX_TOKENS 100

typedef struct Runner
{
	LmHost host;
	LmEngine *engine;
	const TestModel *test;
	LmPages *pages;
	LmSequence sequences[4];
	void *workspace;
	float *logits;
} Runner;

static LmConfig
infer_config(void)
{
	LmConfig config = small_config();

	config.vocabulary = 71;
	config.context = MAX_TOKENS;
	config.layers = 3;
	config.channels = 42;
	config.heads = 3;
	config.mlp_channels = 61;
	return config;
}

static Runner
start_runner(const LmHost *host, const TestModel *test, int n_threads, int n_pages)
{
	Runner runner = {.host = *host, .engine = start_engine(host, n_threads), .test = test};
	LmError error;

	runner.pages = lm_pages_create(host, test->model, n_pages, &error);
	for (int i = 0; i < 4; i++)
		lm_sequence_create(&runner.sequences[i], host, test->model, &error);
	runner.workspace = aligned_alloc(
		64, lm_infer_workspace(test->model, 4 * MAX_TOKENS, 4 * MAX_TOKENS, n_threads));
	runner.logits =
		malloc(sizeof(float) * 4 * MAX_TOKENS * (size_t) test->table->config.vocabulary);
	return runner;
}

static void
stop_runner(Runner *runner)
{
	for (int i = 0; i < 4; i++)
		lm_sequence_free(&runner->sequences[i], runner->pages, &runner->host);
	lm_pages_free(runner->pages);
	free(runner->workspace);
	free(runner->logits);
	lm_engine_stop(runner->engine);
}

static bool
run_inputs(Runner *runner, const LmInput *inputs, int n, LmError *error)
{
	return lm_infer(runner->logits, runner->engine, runner->test->model, runner->pages,
					runner->sequences, 4, inputs, n, runner->workspace, error);
}

/* Appends count tokens of ids to a sequence, from its present end. */
static int
add_inputs(LmInput *inputs, int n, const Runner *runner, const int32_t *ids, int sequence,
		   int count, bool wanted)
{
	int position = runner->sequences[sequence].n_positions;

	for (int i = 0; i < count; i++)
		inputs[n++] = (LmInput){ids[position + i], sequence, position + i, wanted};
	return n;
}

/* Logits of all of ids in one call, every row wanted. */
static float *
reference(const LmHost *host, const TestModel *test, const int32_t *ids, int n)
{
	Runner runner = start_runner(host, test, 1, 16);
	LmInput inputs[MAX_TOKENS];
	LmError error;
	float *logits;

	if (!run_inputs(&runner, inputs, add_inputs(inputs, 0, &runner, ids, 0, n, true), &error))
		printf("# %s\n", error.message);
	logits = runner.logits;
	runner.logits = NULL;
	stop_runner(&runner);
	return logits;
}

static void
fill_ids(int32_t *ids, int n, int vocabulary, uint64_t seed)
{
	for (int i = 0; i < n; i++)
		ids[i] = (int32_t) (test_random(&seed) % (uint32_t) vocabulary);
}

/* Against the training forward pass, which is other code and other sums. */
static void
test_against_trainer(LmEngine *engine, const LmHost *host, LmConfig config, const char *name)
{
	LmTrainOptions options = small_options(MAX_TOKENS);
	uint64_t state = 4;
	double difference = 0;
	size_t V = (size_t) config.vocabulary;
	float *trained = malloc(sizeof(float) * MAX_TOKENS * V), *inferred;
	LmTrainer *trainer;
	TestModel test;
	LmBatch batch = create_batch(host, MAX_TOKENS);
	LmError error;

	test = test_model(host, &config, 8, 0.1f);
	trainer = create_trainer(engine, &config, &options);
	memcpy(lm_trainer_params(trainer), test.block, test.table->total * sizeof(float));
	append_sequence(&batch, MAX_TOKENS, config.vocabulary, false, 0, &state);
	lm_trainer_logits(trained, trainer, &batch, &error);
	inferred = reference(host, &test, batch.tokens, MAX_TOKENS);
	for (size_t i = 0; i < MAX_TOKENS * V; i++)
		difference = fmax(difference, fabs((double) trained[i] - inferred[i]));
	is_near(difference, 0, 1e-5, name);
	free(trained);
	free(inferred);
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
	test_model_free(&test);
}

/* One sequence cut into random calls, mixed with three others, some rows unwanted. */
static bool
same_in_company(const LmHost *host, const TestModel *test, int n_threads, uint64_t seed)
{
	size_t V = (size_t) test->table->config.vocabulary;
	int32_t ids[4][MAX_TOKENS];
	float *wanted[4];
	Runner runner = start_runner(host, test, n_threads, 16);
	uint64_t state = seed;
	bool same = true, left = true;

	for (int s = 0; s < 4; s++)
	{
		fill_ids(ids[s], MAX_TOKENS, (int) V, seed + 10 + (uint64_t) s);
		wanted[s] = reference(host, test, ids[s], MAX_TOKENS);
	}
	while (left && same)
	{
		LmInput inputs[4 * MAX_TOKENS];
		LmError error;
		int n = 0, row = 0;

		left = false;
		for (int s = 0; s < 4; s++)
		{
			int rest = MAX_TOKENS - runner.sequences[s].n_positions;
			int count = (int) (test_random(&state) % 40);

			count = count < rest ? count : rest;
			left = left || count < rest;
			n = add_inputs(inputs, n, &runner, ids[s], s, count, true);
		}
		for (int i = 0; i < n; i++)
			inputs[i].wanted = test_random(&state) % 3 > 0;
		same = same && run_inputs(&runner, inputs, n, &error);
		for (int i = 0; i < n; i++)
			if (inputs[i].wanted)
				same = same && memcmp(runner.logits + V * (size_t) row++,
									  wanted[inputs[i].sequence] + V * (size_t) inputs[i].position,
									  V * sizeof(float)) == 0;
	}
	for (int s = 0; s < 4; s++)
		free(wanted[s]);
	stop_runner(&runner);
	return same;
}

static void
test_same_bits(const LmHost *host, LmConfig config, const LmWeightType *type)
{
	TestModel test = test_model_of_type(host, &config, 5, 0.1f, type);
	bool same = true;

	for (int seed = 0; seed < 4 * tap_repeat(2); seed++)
		same = same && same_in_company(host, &test, 1 << seed % 4, (uint64_t) seed);
	ok(same,
	   "%s: a row's logits are the same bits however the prompt is cut, beside others, with 1, 2, "
	   "4, 8 threads%s",
	   type->name, config.position == LM_ROPE ? " (modern)" : "");
	test_model_free(&test);
}

/*
 * Against the logits of float32: the root of the mean squared difference, as a share of their
 * deviation.
 */
static void
test_rounded(const LmHost *host, LmConfig config, const LmWeightType *type)
{
	TestModel exact = test_model(host, &config, 8, 0.1f),
			  rounded = test_model_of_type(host, &config, 8, 0.1f, type);
	int32_t ids[MAX_TOKENS];
	size_t count = (size_t) config.vocabulary * MAX_TOKENS;
	double difference = 0, square = 0;
	float *wanted, *got;

	fill_ids(ids, MAX_TOKENS, config.vocabulary, 3);
	wanted = reference(host, &exact, ids, MAX_TOKENS);
	got = reference(host, &rounded, ids, MAX_TOKENS);
	for (size_t i = 0; i < count; i++)
	{
		difference += pow((double) got[i] - wanted[i], 2);
		square += (double) wanted[i] * wanted[i];
	}
	difference = sqrt(difference / square);
	printf("# %g of them\n", difference);
	if (!ok(difference > 0 && difference < 1.8 * type->error,
			"%s: logits are near those of float32%s", type->name,
			config.tie_embeddings ? "" : " (untied)"))
		printf("# %g of them\n", difference);
	ok(lm_model_weight_type(rounded.model) == type &&
		   (rounded.size < exact.size) == (type->bits < 32),
	   "%s: the image knows its type and is smaller where that has fewer bits", type->name);
	free(wanted);
	free(got);
	test_model_free(&exact);
	test_model_free(&rounded);
}

static void
test_sharing(const LmHost *host)
{
	LmConfig config = infer_config();
	TestModel test = test_model(host, &config, 6, 0.1f);
	Runner runner = start_runner(host, &test, 2, 5);
	size_t V = (size_t) config.vocabulary;
	int32_t ids[2][MAX_TOKENS], other[MAX_TOKENS];
	LmInput inputs[MAX_TOKENS];
	float *wanted[2];
	LmError error;
	bool same = true;

	fill_ids(ids[0], MAX_TOKENS, (int) V, 1);
	memcpy(ids[1], ids[0], sizeof ids[0]);
	fill_ids(other, MAX_TOKENS, (int) V, 3);
	fill_ids(ids[1] + 64, MAX_TOKENS - 64, (int) V, 2);
	for (int s = 0; s < 2; s++)
		wanted[s] = reference(host, &test, ids[s], MAX_TOKENS);
	run_inputs(&runner, inputs, add_inputs(inputs, 0, &runner, ids[0], 0, 90, false), &error);
	is_int(lm_sequence_share(&runner.sequences[1], &runner.sequences[0], runner.pages, 80), 64,
		   "full pages are shared, a part of one is not");
	run_inputs(&runner, inputs, add_inputs(inputs, 0, &runner, ids[1], 1, 20, true), &error);
	same = memcmp(runner.logits + 19 * V, wanted[1] + 83 * V, V * sizeof(float)) == 0;
	run_inputs(&runner, inputs, add_inputs(inputs, 0, &runner, ids[0], 0, 5, true), &error);
	same = same && memcmp(runner.logits + 4 * V, wanted[0] + 94 * V, V * sizeof(float)) == 0;
	ok(same, "sequences with shared pages go on independently");
	lm_sequence_truncate(&runner.sequences[1], runner.pages, 40);
	run_inputs(&runner, inputs, add_inputs(inputs, 0, &runner, other, 1, 10, true), &error);
	run_inputs(&runner, inputs, add_inputs(inputs, 0, &runner, ids[0], 0, 5, true), &error);
	ok(memcmp(runner.logits + 4 * V, wanted[0] + 99 * V, V * sizeof(float)) == 0,
	   "a shared page that is cut into is copied before it is written");
	ok(!run_inputs(&runner, inputs, add_inputs(inputs, 0, &runner, ids[0], 2, 99, true), &error) &&
		   error.code == LM_ERR_LIMIT,
	   "when pages run out the call fails");
	is_int(runner.sequences[2].n_positions + runner.sequences[2].n_pages, 0,
		   "and the sequence is as before");
	lm_sequence_truncate(&runner.sequences[0], runner.pages, 0);
	lm_sequence_truncate(&runner.sequences[1], runner.pages, 0);
	ok(run_inputs(&runner, inputs, add_inputs(inputs, 0, &runner, ids[1], 2, 100, true), &error) &&
		   memcmp(runner.logits + 99 * V, wanted[1] + 99 * V, V * sizeof(float)) == 0,
	   "pages that were given back serve others");
	free(wanted[0]);
	free(wanted[1]);
	stop_runner(&runner);
	test_model_free(&test);
}

static void
test_refusals(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmConfig config = infer_config();
	TestModel test = test_model(&host, &config, 6, 0.1f);
	Runner runner = start_runner(&host, &test, 1, 5);
	LmInput bad[4] = {{71, 0, 0, true}, {-1, 0, 0, true}, {0, 4, 0, true}, {0, 0, 1, true}};
	LmInput two[2] = {{0, 0, 0, true}, {0, 0, 0, true}};
	LmInput good = {3, 0, 0, true};
	LmError error;

	for (int i = 0; i < 4; i++)
		ok(!run_inputs(&runner, &bad[i], 1, &error) && error.code == LM_ERR_ARGUMENT, "refused: %s",
		   error.message);
	ok(!run_inputs(&runner, two, 2, &error) && runner.sequences[0].n_positions == 0,
	   "a refused call leaves no trace");
	state.stop = true;
	ok(!run_inputs(&runner, &good, 1, &error) && error.code == LM_ERR_STOPPED &&
		   runner.sequences[0].n_positions == 0,
	   "a stopped call leaves no trace");
	state.stop = false;
	ok(run_inputs(&runner, &good, 1, &error), "and may be repeated");
	stop_runner(&runner);
	test_model_free(&test);
	is_int(state.live, 0, "everything is given back");
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);

	LmConfig untied = infer_config(), modern = infer_config();

	untied.tie_embeddings = untied.bias = false;
	untied.position = LM_SINUSOIDAL;
	untied.mlp = LM_GELU;
	modern.bias = false;
	modern.norm = LM_RMSNORM;
	modern.position = LM_ROPE;
	modern.qk_norm = true;
	modern.mlp = LM_RELU2;
	test_against_trainer(engine, &host, infer_config(),
						 "logits are those of training (tied, learned positions)");
	test_against_trainer(engine, &host, untied,
						 "logits are those of training (untied, sinusoidal, no biases)");
	test_against_trainer(engine, &host, modern, "logits are those of training (modern)");
	for (int i = 0; i < lm_weight_type_count(); i++)
	{
		const LmWeightType *type = lm_weight_type(i);

		test_same_bits(&host, infer_config(), type);
		test_same_bits(&host, modern, type);
		if (i == 0)
			continue;
		test_rounded(&host, infer_config(), type);
		test_rounded(&host, untied, type);
	}
	test_sharing(&host);
	test_refusals();
	lm_engine_stop(engine);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}
