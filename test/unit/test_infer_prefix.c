/*
 * test/unit/test_infer_prefix.c
 *
 * Inference with prefixes and encoders: the logits of training's forward pass, and the same bits
 * however the rows after a prefix are cut, whatever stands beside them, and in forked sequences.
 */
#include "serve_support.h"

#define MAX_TOKENS 90
#define SEQUENCES 5

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

static LmConfig
config_of(LmArchitecture architecture)
{
	LmConfig config = small_config();

	config.architecture = architecture;
	config.encoder_layers = architecture == LM_ENCODER_DECODER ? 2 : 0;
	config.vocabulary = 71;
	config.context = MAX_TOKENS;
	config.channels = 42;
	config.heads = 3;
	return config;
}

/* The defaults of training: rotary positions, RMSNorm, SwiGLU, norms of heads, no biases. */
static LmConfig
modern_config(LmArchitecture architecture)
{
	LmConfig config = config_of(architecture);

	config.position = LM_ROPE;
	config.norm = LM_RMSNORM;
	config.mlp = LM_SWIGLU;
	config.qk_norm = true;
	config.bias = false;
	config.heads = 4;
	config.kv_heads = 2;
	config.head_size = 12;
	return config;
}

static LmConfig
odd_config(LmArchitecture architecture)
{
	LmConfig config = modern_config(architecture);

	config.post_norm = true;
	config.bias = true;
	config.norm = LM_LAYERNORM;
	config.attention_softcap = config.logit_softcap = 2;
	config.tie_embeddings = false;
	return config;
}

static Runner
start_runner(const LmHost *host, const TestModel *test, int n_threads)
{
	Runner runner = {.host = *host, .engine = start_engine(host, n_threads), .test = test};
	int rows = SEQUENCES * MAX_TOKENS;
	LmError error;

	runner.pages = lm_pages_create(host, test->model, 4 * SEQUENCES, &error);
	for (int i = 0; i < SEQUENCES; i++)
		lm_sequence_create(&runner.sequences[i], host, test->model, &error);
	runner.workspace = aligned_alloc(64, lm_infer_workspace(test->model, rows, rows, n_threads));
	runner.logits = malloc(sizeof(float) * (size_t) (rows * test->table->config.vocabulary));
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

static bool
run(Runner *runner, const LmInput *inputs, int n, LmError *error)
{
	bool good = lm_infer(runner->logits, runner->engine, runner->test->model, runner->pages,
						 runner->sequences, SEQUENCES, inputs, n, runner->workspace, error);

	if (!good)
		printf("# %s\n", error->message);
	return good;
}

/* The next inputs of a sequence; wanted: those after its prefix. */
static int
add(LmInput *inputs, int n, const Runner *runner, const int32_t *ids, int sequence, int count)
{
	int position = runner->sequences[sequence].n_positions,
		prefix = runner->sequences[sequence].prefix;

	for (int i = position; i < position + count; i++)
		inputs[n++] = (LmInput){ids[i], sequence, i, i >= prefix};
	return n;
}

static void
fill_ids(int32_t *ids, int n, uint64_t seed)
{
	for (int i = 0; i < n; i++)
		ids[i] = (int32_t) (test_random(&seed) % 71);
}

/* Logits of the rows after the prefix, in one call. */
static float *
alone(const LmHost *host, const TestModel *test, const int32_t *ids, int n, int prefix)
{
	Runner runner = start_runner(host, test, 1);
	LmInput inputs[MAX_TOKENS];
	LmError error;
	float *logits;

	runner.sequences[0].prefix = prefix;
	run(&runner, inputs, add(inputs, 0, &runner, ids, 0, n), &error);
	logits = runner.logits;
	runner.logits = NULL;
	stop_runner(&runner);
	return logits;
}

/* Against the training forward pass, which is other code and other sums. */
static void
test_against_trainer(LmEngine *engine, const LmHost *host, LmConfig config, const char *name)
{
	static const int prefixes[] = {0, 1, 31, 32, 33, 64, MAX_TOKENS - 1};
	LmTrainOptions options = small_options(MAX_TOKENS);
	uint64_t state = 4;
	double difference = 0, effect = 0;
	size_t V = (size_t) config.vocabulary;
	TestModel test = test_model(host, &config, 8, 0.1f);
	LmTrainer *trainer = create_trainer(engine, &config, &options);
	LmBatch batch = create_batch(host, MAX_TOKENS);
	LmError error;

	memcpy(lm_trainer_params(trainer), test.block, test.table->total * sizeof(float));
	append_sequence(&batch, MAX_TOKENS, config.vocabulary, false, 0, &state);
	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
	{
		float *trained = malloc(sizeof(float) * MAX_TOKENS * V), *inferred;
		size_t first = (size_t) prefixes[i] * V, n = MAX_TOKENS * V - first;

		for (int row = 0; row < MAX_TOKENS; row++)
		{
			batch.prefixes[row] = prefixes[i];
			batch.targets[row] = row < prefixes[i] ? -1 : 1;
		}
		if (!lm_trainer_logits(trained, trainer, &batch, &error))
			printf("# %s\n", error.message);
		inferred = alone(host, &test, batch.tokens, MAX_TOKENS, prefixes[i]);
		for (size_t k = 0; k < n; k++)
			difference = fmax(difference, fabs((double) trained[first + k] - inferred[k]));
		free(inferred);
		inferred = alone(host, &test, batch.tokens, MAX_TOKENS, 0);
		effect =
			fmax(effect, fabs((double) trained[MAX_TOKENS * V - 1] - inferred[MAX_TOKENS * V - 1]));
		free(trained);
		free(inferred);
	}
	is_near(difference, 0, 1e-5, name);
	ok(effect > 1e-3, "and the prefix matters: %g", effect);
	lm_batch_free(&batch, host);
	lm_trainer_free(trainer);
	test_model_free(&test);
}

/* Five sequences, each cut at random after its prefix, against each alone. */
static bool
same_in_company(const LmHost *host, const TestModel *test, int n_threads, uint64_t seed)
{
	size_t V = (size_t) test->table->config.vocabulary;
	int32_t ids[SEQUENCES][MAX_TOKENS];
	LmInput inputs[SEQUENCES * MAX_TOKENS];
	Runner runner = start_runner(host, test, n_threads);
	float *wanted[SEQUENCES];
	bool same = true, is_done = false;
	LmError error;

	for (int i = 0; i < SEQUENCES; i++)
	{
		int prefix = (int) (test_random(&seed) % (MAX_TOKENS - 1));

		fill_ids(ids[i], MAX_TOKENS, seed + (uint64_t) i);
		runner.sequences[i].prefix = i == 0 ? 0 : prefix;
		wanted[i] = alone(host, test, ids[i], MAX_TOKENS, runner.sequences[i].prefix);
	}
	while (same && !is_done)
	{
		int counts[SEQUENCES], firsts[SEQUENCES], n = 0;
		const float *row = runner.logits;

		is_done = true;
		for (int i = 0; i < SEQUENCES; i++)
		{
			LmSequence *sequence = &runner.sequences[i];
			int left = MAX_TOKENS - sequence->n_positions;

			counts[i] = (int) (test_random(&seed) % 12);
			if (counts[i] > 6 && sequence->n_positions == 0)
				counts[i] += sequence->prefix;
			else if (sequence->n_positions < sequence->prefix)
				counts[i] = 0;
			counts[i] = counts[i] < left ? counts[i] : left;
			firsts[i] =
				sequence->n_positions > sequence->prefix ? sequence->n_positions : sequence->prefix;
			is_done = is_done && left == 0;
			n = add(inputs, n, &runner, ids[i], i, counts[i]);
		}
		same = run(&runner, inputs, n, &error);
		for (int i = 0; i < SEQUENCES && same; i++)
		{
			int end = runner.sequences[i].n_positions, prefix = runner.sequences[i].prefix;

			if (end <= firsts[i] || counts[i] == 0)
				continue;
			same = memcmp(row, wanted[i] + (size_t) (firsts[i] - prefix) * V,
						  (size_t) (end - firsts[i]) * V * sizeof(float)) == 0;
			row += (size_t) (end - firsts[i]) * V;
		}
	}
	for (int i = 0; i < SEQUENCES; i++)
		free(wanted[i]);
	stop_runner(&runner);
	return same;
}

static void
test_company(const LmHost *host, LmConfig config, const char *name)
{
	bool same = true;

	for (int number = 0; number < lm_weight_type_count(); number++)
	{
		TestModel test = test_model_of_type(host, &config, 5, 0.1f, lm_weight_type(number));

		for (uint64_t seed = 1; seed <= 3; seed++)
			same = same && same_in_company(host, &test, 1 + (int) seed % 3, seed * 77);
		test_model_free(&test);
	}
	ok(same, "%s: the same bits in company, in each weight type and for any number of threads",
	   name);
}

/* A sequence that is forked within a page, and both go on. */
static void
test_fork(const LmHost *host, LmConfig config, const char *name)
{
	enum
	{
		PREFIX = 37,
		CUT = 45
	};
	size_t V = (size_t) config.vocabulary;
	TestModel test = test_model(host, &config, 5, 0.1f);
	Runner runner = start_runner(host, &test, 1);
	int32_t ids[2][MAX_TOKENS];
	LmInput inputs[2 * MAX_TOKENS];
	LmError error;
	float *wanted[2];
	bool same = true;
	int n;

	fill_ids(ids[0], MAX_TOKENS, 1);
	fill_ids(ids[1], MAX_TOKENS, 2);
	memcpy(ids[1], ids[0], CUT * sizeof **ids);
	runner.sequences[0].prefix = PREFIX;
	run(&runner, inputs, add(inputs, 0, &runner, ids[0], 0, CUT), &error);
	lm_sequence_fork(&runner.sequences[1], &runner.sequences[0], runner.pages);
	n = add(inputs, 0, &runner, ids[0], 0, MAX_TOKENS - CUT);
	n = add(inputs, n, &runner, ids[1], 1, MAX_TOKENS - CUT);
	run(&runner, inputs, n, &error);
	for (int i = 0; i < 2; i++)
	{
		wanted[i] = alone(host, &test, ids[i], MAX_TOKENS, PREFIX);
		same = same && memcmp(runner.logits + (size_t) i * (MAX_TOKENS - CUT) * V,
							  wanted[i] + (size_t) (CUT - PREFIX) * V,
							  (MAX_TOKENS - CUT) * V * sizeof(float)) == 0;
		free(wanted[i]);
	}
	ok(same, "%s: a fork has the bits of a sequence of its own", name);
	stop_runner(&runner);
	test_model_free(&test);
}

/* Outputs of an encoder, alone and beside others. */
static void
test_hidden(const LmHost *host)
{
	LmConfig config = modern_config(LM_ENCODER_DECODER);
	size_t C = (size_t) config.channels;
	TestModel test = test_model(host, &config, 5, 0.1f);
	Runner runner = start_runner(host, &test, 2);
	int32_t ids[2][MAX_TOKENS];
	LmInput inputs[2 * MAX_TOKENS];
	float *first = malloc(40 * C * sizeof(float));
	LmError error;

	for (int i = 0; i < 2; i++)
	{
		fill_ids(ids[i], MAX_TOKENS, 3 + (uint64_t) i);
		runner.sequences[i].prefix = 40;
		for (int k = 0; k < 40; k++)
			inputs[i * 40 + k] = (LmInput){ids[i][k], i, k, k % 2 == 0};
	}
	lm_infer_hidden(runner.logits, runner.engine, test.model, runner.pages, runner.sequences, 2,
					inputs, 40, runner.workspace, &error);
	memcpy(first, runner.logits, 20 * C * sizeof(float));
	lm_sequence_truncate(&runner.sequences[0], runner.pages, 0);
	lm_infer_hidden(runner.logits, runner.engine, test.model, runner.pages, runner.sequences, 2,
					inputs, 80, runner.workspace, &error);
	ok(memcmp(first, runner.logits, 20 * C * sizeof(float)) == 0 &&
		   memcmp(first, runner.logits + 20 * C, 20 * C * sizeof(float)) != 0,
	   "wanted outputs of an encoder, beside those of another text");
	free(first);
	stop_runner(&runner);
	test_model_free(&test);
}

static void
test_errors(const LmHost *host)
{
	LmConfig config = config_of(LM_ENCODER_DECODER);
	TestModel test = test_model(host, &config, 5, 0.1f);
	Runner runner = start_runner(host, &test, 1);
	LmInput inputs[4] = {{1, 0, 0, false}, {2, 0, 1, false}, {3, 0, 2, false}, {4, 0, 3, true}};
	LmError error;

	runner.sequences[0].prefix = 3;
	ok(!run(&runner, inputs, 2, &error) && error.code == LM_ERR_ARGUMENT &&
		   runner.sequences[0].n_positions == 0,
	   "a prefix in parts is an error");
	inputs[1].wanted = true;
	ok(!run(&runner, inputs, 4, &error) && error.code == LM_ERR_ARGUMENT &&
		   runner.sequences[0].n_positions == 0,
	   "a prefix of an encoder has no logits");
	inputs[1].wanted = false;
	ok(run(&runner, inputs, 4, &error), "the whole prefix is good");
	stop_runner(&runner);
	test_model_free(&test);
}

int
main(void)
{
	static const LmArchitecture architectures[] = {LM_PREFIX, LM_ENCODER_DECODER};
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 1);

	for (int i = 0; i < 2; i++)
	{
		LmArchitecture architecture = architectures[i];
		const char *name = lm_architecture_name((int) architecture);

		test_against_trainer(engine, &host, config_of(architecture), name);
		test_against_trainer(engine, &host, modern_config(architecture), "of the defaults");
		test_against_trainer(engine, &host, odd_config(architecture), "with norms and caps");
		test_company(&host, config_of(architecture), name);
		test_company(&host, modern_config(architecture), name);
		test_fork(&host, modern_config(architecture), name);
	}
	test_hidden(&host);
	test_errors(&host);
	lm_engine_stop(engine);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}
