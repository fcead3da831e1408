/*
 * test/unit/test_precision.c
 *
 * Training in bfloat16: near float32, and the same bits by every kernel of one order of sums, on
 * any number of threads.
 */
#include "counting_host.h"
#include "engine/ops.h"
#include "train_support.h"

#define STEPS 60
#define TWIN_STEPS (tap_is_sanitized() ? 1 : 3) /* plain C is slow */
#define SEQUENCES 8

static LmConfig
learnable_config(void)
{
	LmConfig config = small_config();

	config.vocabulary = 50;
	config.context = 24;
	config.channels = 48;
	config.heads = 3;
	return config;
}

/* Heads of their own size that share keys, a gate, norms behind branches, and caps. */
static LmConfig
gemma_config(void)
{
	LmConfig config = learnable_config();

	config.kv_heads = 1;
	config.head_size = 20;
	config.norm = LM_RMSNORM;
	config.position = LM_ROPE;
	config.mlp = LM_GEGLU;
	config.mlp_channels = 72;
	config.bias = config.tie_embeddings = false;
	config.qk_norm = config.post_norm = true;
	config.attention_softcap = 20;
	config.logit_softcap = 10;
	config.window = 8;
	return config;
}

/*
 * Sequences in which each token follows from the one before, so that there is something to learn.
 */
static void
fill_sequences(LmBatch *batch, const LmConfig *config, uint64_t *state)
{
	batch->n_tokens = 0;
	for (int i = 0; i < SEQUENCES; i++)
	{
		int first = batch->n_tokens;

		append_sequence(batch, config->context, config->vocabulary, false, i, state);
		for (int row = first + 1; row < batch->n_tokens; row++)
			batch->tokens[row] = (batch->tokens[row - 1] * 7 + 3) % config->vocabulary;
		for (int row = first; row < batch->n_tokens; row++)
			batch->targets[row] = (batch->tokens[row] * 7 + 3) % config->vocabulary;
	}
}

typedef struct Run
{
	size_t count;
	double last_loss;
	float *gradient; /* of the first step */
	float *params; /* after the last */
} Run;

/* kernel NULL: float32 */
static bool
train(Run *run, LmConfig config, const char *kernel, int n_threads, int steps)
{
	TapHost state = {0};
	LmHost host = tap_host(&state);
	LmTrainOptions options = small_options(SEQUENCES * config.context);
	LmEngineOptions engine_options = {n_threads, "", kernel};
	LmError error = {0};
	LmEngine *engine = lm_engine_start(&host, &engine_options, &error);
	LmBatch batch;
	LmTrainer *trainer;
	uint64_t random = 3;

	if (!engine)
		return false;
	options.precision = kernel ? LM_BFLOAT16 : LM_FLOAT32;
	options.learning_rate = 5e-3;
	options.steps = steps;
	batch = create_batch(&host, options.max_tokens);
	trainer = create_trainer(engine, &config, &options);
	run->count = lm_trainer_table(trainer)->total;
	run->gradient = malloc(run->count * sizeof(float));
	run->params = malloc(run->count * sizeof(float));
	for (int step = 0; step < steps; step++)
	{
		LmStepResult result;

		fill_sequences(&batch, &config, &random);
		if (!lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error))
			printf("# %s\n", error.message);
		if (step == 0)
			memcpy(run->gradient, lm_trainer_gradient(trainer), run->count * sizeof(float));
		run->last_loss = result.loss;
	}
	memcpy(run->params, lm_trainer_params(trainer), run->count * sizeof(float));
	lm_trainer_free(trainer);
	lm_batch_free(&batch, &host);
	lm_engine_stop(engine);
	return true;
}

static void
free_run(Run *run)
{
	free(run->gradient);
	free(run->params);
}

/* |a - b| / |b| */
static double
relative_distance(const float *a, const float *b, size_t count)
{
	double distance = 0, length = 0;

	for (size_t i = 0; i < count; i++)
	{
		distance += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
		length += (double) b[i] * b[i];
	}
	return sqrt(distance / length);
}

static void
test_twin(LmConfig config, const char *kernel, const char *twin, const Run *exact)
{
	Run run, same;
	double distance;

	train(&run, config, twin, 2, TWIN_STEPS);
	distance = relative_distance(run.gradient, exact->gradient, run.count);
	ok(distance > 0 && distance < 0.01, "%s: the gradient is within a hundredth of float32's",
	   twin);
	for (int n_threads = 1; n_threads <= 3; n_threads++)
	{
		if (!train(&same, config, kernel, n_threads, TWIN_STEPS))
		{
			ok(true, "%s does not run on this machine", kernel);
			continue;
		}
		ok(memcmp(same.params, run.params, run.count * sizeof(float)) == 0,
		   "%s on %d threads: the weights of its plain twin, bit for bit", kernel, n_threads);
		free_run(&same);
	}
	free_run(&run);
}

static void
test_loss(LmConfig config, const char *kernel, const Run *exact)
{
	Run run;

	if (!train(&run, config, kernel, 2, STEPS))
	{
		ok(true, "%s does not run on this machine", kernel);
		return;
	}
	printf("# %s: loss %.4f, in float32 %.4f\n", kernel, run.last_loss, exact->last_loss);
	ok(exact->last_loss < 1 && fabs(run.last_loss - exact->last_loss) < 0.02,
	   "%s: training comes to float32's loss", kernel);
	free_run(&run);
}

int
main(void)
{
	const LmConfig configs[] = {learnable_config(), gemma_config()};

	for (int i = 0; i < 2; i++)
	{
		Run exact;

		printf("# %s\n", i == 0 ? "GPT-2's switches" : "Gemma's switches");
		train(&exact, configs[i], NULL, 1, tap_is_sanitized() ? TWIN_STEPS : STEPS);
		test_twin(configs[i], "avx512_bf16", "plain avx512_bf16", &exact);
		test_twin(configs[i], "amx", "plain amx", &exact);
		if (!tap_is_sanitized())
		{
			test_loss(configs[i], "avx512_bf16", &exact);
			test_loss(configs[i], "amx", &exact);
		}
		free_run(&exact);
	}
	return done_testing();
}
