/*
 * test/unit/test_gradient.c
 *
 * The gradient of every parameter against central differences of the loss, in the corners of the
 * model family.
 */
#include "train_support.h"

#define STEP 3
#define N_BATCHES 2

typedef struct Corner
{
	const char *name;
	LmConfig config;
	bool unequal;
} Corner;

typedef struct Problem
{
	LmTrainer *trainer;
	LmBatch batches[N_BATCHES];
	bool failed;
} Problem;

/*
 * A step with a learning rate of 0 changes no parameter: it is the loss, with the masks of
 * training.
 */
static double
loss_of(Problem *problem)
{
	LmStepResult result;
	LmError error;

	if (!lm_trainer_step(&result, problem->trainer, STEP, problem->batches, N_BATCHES, NULL, NULL,
						 &error))
	{
		printf("# %s\n", error.message);
		problem->failed = true;
	}
	return result.loss;
}

/*
 * The slope of the loss along a direction of unit length, by central differences (error of fourth
 * order).
 */
static double
slope_along(Problem *problem, float *values, const float *direction, size_t count, double step)
{
	static const double offsets[] = {-2, -1, 1, 2}, factors[] = {1, -8, 8, -1};
	float *before = malloc(count * sizeof(float));
	double sum = 0;

	memcpy(before, values, count * sizeof(float));
	for (int i = 0; i < 4; i++)
	{
		for (size_t j = 0; j < count; j++)
			values[j] = (float) (before[j] + offsets[i] * step * direction[j]);
		sum += factors[i] * loss_of(problem);
	}
	memcpy(values, before, count * sizeof(float));
	free(before);
	return sum / (12 * step);
}

/*
 * Along the gradient itself the slope is its length; along a random direction it is the projection.
 */
static bool
check_param(Problem *problem, const LmParam *param, const float *gradient, uint64_t *state)
{
	float *values = lm_trainer_params(problem->trainer) + param->offset;
	const float *g = gradient + param->offset;
	float *direction = malloc(param->count * sizeof(float));
	double norm = 0, projection = 0, length = sqrt((double) param->count);
	double found, found_random;
	bool good;

	for (size_t i = 0; i < param->count; i++)
		norm += (double) g[i] * g[i];
	norm = sqrt(norm);
	for (size_t i = 0; i < param->count; i++)
		direction[i] = norm > 0 ? (float) (g[i] / norm) : 0;
	found = slope_along(problem, values, direction, param->count, 0.01);
	for (size_t i = 0; i < param->count; i++)
	{
		direction[i] = (float) ((test_random(state) % 2 ? 1 : -1) / length);
		projection += (double) direction[i] * g[i];
	}
	found_random = slope_along(problem, values, direction, param->count, 0.01);
	good = norm > 1e-7 && fabs(found - norm) <= 0.002 * norm + 2e-5 &&
		   fabs(found_random - projection) <= 0.002 * norm + 2e-5;
	if (!good)
		printf("# %s: along the gradient %.6g, wanted %.6g; along another line %.6g, wanted %.6g\n",
			   param->name, found, norm, found_random, projection);
	free(direction);
	return good;
}

/* Of 4 labels: all, none, two, one. */
static const uint64_t set_ends[] = {4, 4, 6, 7};
static const uint32_t set_members[] = {0, 1, 2, 3, 1, 3, 0};

/* The last row of each sequence has a label, or a set of some, as its target; weights differ. */
static void
set_labels(LmBatch *batch, const LmConfig *config, uint64_t *state)
{
	uint32_t n_targets = config->multi_label ? 4 : (uint32_t) config->labels;

	if (config->multi_label)
		batch->sets = (LmLabelSets){4, set_ends, set_members};
	for (int i = 0; i < batch->n_tokens; i++)
	{
		bool is_last = i + 1 == batch->n_tokens || batch->starts[i + 1] != batch->starts[i];

		batch->targets[i] = is_last ? (int32_t) (test_random(state) % n_targets) : -1;
		batch->weights[i] = 0.5f + (float) (test_random(state) % 100) / 100;
	}
}

static void
fill_problem(Problem *problem, const Corner *corner, LmEngine *engine, const LmHost *host,
			 uint64_t *state)
{
	LmTrainOptions options = small_options(32);
	const LmParamTable *table;
	float *params;

	options.learning_rate = options.min_learning_rate = 0;
	problem->failed = false;
	problem->trainer = create_trainer(engine, &corner->config, &options);
	table = lm_trainer_table(problem->trainer);
	params = lm_trainer_params(problem->trainer);
	/* Away from the beginning, where biases are zero and attention is nearly uniform. */
	for (int i = 0; i < table->n_params; i++)
		for (size_t j = 0; j < table->params[i].count; j++)
			params[table->params[i].offset + j] +=
				((int) (test_random(state) % 2001) - 1000) * 3e-4f;
	for (int i = 0; i < N_BATCHES; i++)
	{
		problem->batches[i] = create_batch(host, 32);
		append_sequence(&problem->batches[i], 12, corner->config.vocabulary, corner->unequal, 3 * i,
						state);
		append_sequence(&problem->batches[i], 3 + 4 * i, corner->config.vocabulary, corner->unequal,
						3 * i + 1, state);
		append_sequence(&problem->batches[i], 1, corner->config.vocabulary, corner->unequal,
						3 * i + 2, state);
		if (corner->config.labels > 0)
			set_labels(&problem->batches[i], &corner->config, state);
	}
}

static void
test_corner(const Corner *corner, LmEngine *engine, const LmHost *host)
{
	uint64_t state = 77;
	Problem problem;
	const LmParamTable *table;
	float *gradient;
	bool good = true;
	int n_checked, stride;

	fill_problem(&problem, corner, engine, host, &state);
	table = lm_trainer_table(problem.trainer);
	n_checked = tap_repeat(table->n_params);
	stride = table->n_params / n_checked;
	gradient = malloc(table->total * sizeof(float));
	loss_of(&problem);
	memcpy(gradient, lm_trainer_gradient(problem.trainer), table->total * sizeof(float));
	for (int i = 0; i < n_checked; i++)
		good = check_param(&problem, &table->params[i * stride], gradient, &state) && good;
	ok(good && !problem.failed,
	   "the gradient of %d of %d parameters is that of finite differences: %s", n_checked,
	   table->n_params, corner->name);
	free(gradient);
	for (int i = 0; i < N_BATCHES; i++)
		lm_batch_free(&problem.batches[i], host);
	lm_trainer_free(problem.trainer);
}

static bool
is_zero(LmTrainer *trainer, LmParamKind kind, int layer)
{
	const LmParam *param = lm_param_find(lm_trainer_table(trainer), kind, layer);
	const float *gradient = lm_trainer_gradient(trainer) + param->offset;

	for (size_t i = 0; i < param->count; i++)
		if (gradient[i] != 0)
			return false;
	return true;
}

/*
 * With dropout the outputs of half of the windows are dropped, and with them what the blocks would
 * learn; without it of none.
 */
static void
test_dropped_outputs(float dropout, LmEngine *engine, const LmHost *host)
{
	const int n_steps = tap_repeat(400);
	Corner corner = {"", small_config(), false};
	uint64_t state = 5;
	Problem problem;
	LmStepResult result;
	LmError error;
	int n_dropped = 0, n_without_bag = 0;

	corner.config.labels = 3;
	corner.config.dropout = dropout;
	fill_problem(&problem, &corner, engine, host, &state);
	problem.batches[0].n_tokens = 0;
	append_sequence(&problem.batches[0], 12, corner.config.vocabulary, false, 0, &state);
	set_labels(&problem.batches[0], &corner.config, &state);
	for (int step = 1; step <= n_steps; step++)
	{
		problem.failed = !lm_trainer_step(&result, problem.trainer, step, problem.batches, 1, NULL,
										  NULL, &error) ||
						 problem.failed;
		n_dropped += is_zero(problem.trainer, LM_NORM1_WEIGHT, 0);
		n_without_bag += is_zero(problem.trainer, LM_BAG_EMBEDDING, -1);
	}
	/* Of 400 steps 200, with a deviation of 10. */
	ok(!problem.failed && n_without_bag == 0 &&
		   (dropout > 0 ? n_dropped > n_steps * 3 / 8 && n_dropped < n_steps * 5 / 8
						: n_dropped == 0),
	   "at dropout %g a window's outputs were dropped in %d of %d steps, its bag in %d",
	   (double) dropout, n_dropped, n_steps, n_without_bag);
	for (int i = 0; i < N_BATCHES; i++)
		lm_batch_free(&problem.batches[i], host);
	lm_trainer_free(problem.trainer);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	Corner corners[] = {
		{"GPT-2", small_config(), false},
		{"packed documents with unequal weights", small_config(), true},
		{"no biases, untied, sinusoidal, exact GELU", small_config(), true},
		{"dropout, untied", small_config(), true},
		{"dropout, no biases, sinusoidal, odd sizes", small_config(), false},
		{"modern: RMSNorm, rotary positions, norms of queries and keys, squared ReLU",
		 small_config(), true},
		{"rotary positions, biases, dropout, odd sizes", small_config(), true},
		{"RMSNorm with biases, norms of queries and keys, learned positions, untied",
		 small_config(), false},
		{"labels", small_config(), false},
		{"labels, modern, dropout", small_config(), false},
		{"sets of labels", small_config(), false},
		{"an adapter", small_config(), true},
		{"an adapter with labels, of a base with every switch of modern", small_config(), false},
		{"an adapter of some layers, with both dropouts, odd sizes, untied", small_config(), true},
	};

	corners[2].config.bias = corners[2].config.tie_embeddings = false;
	corners[2].config.position = LM_SINUSOIDAL;
	corners[2].config.mlp = LM_GELU;
	corners[3].config.tie_embeddings = false;
	corners[3].config.dropout = 0.3f;
	corners[4].config.bias = false;
	corners[4].config.position = LM_SINUSOIDAL;
	corners[4].config.dropout = 0.2f;
	corners[4].config.channels = 15;
	corners[4].config.heads = 3;
	corners[4].config.mlp_channels = 37;
	corners[5].config.norm = LM_RMSNORM;
	corners[5].config.position = LM_ROPE;
	corners[5].config.qk_norm = true;
	corners[5].config.mlp = LM_RELU2;
	corners[5].config.bias = false;
	corners[6].config.position = LM_ROPE;
	corners[6].config.rope_base = 100;
	corners[6].config.dropout = 0.2f;
	corners[6].config.channels = 18;
	corners[6].config.heads = 3;
	corners[7].config.norm = LM_RMSNORM;
	corners[7].config.qk_norm = true;
	corners[7].config.tie_embeddings = false;
	corners[8].config.labels = 40; /* of 64 channels in the bag, as the next ones of 16 */
	corners[9].config = corners[5].config;
	corners[9].config.labels = 3;
	corners[9].config.dropout = 0.2f;
	/* squared ReLU has kinks, which steps along the embedding meet here */
	corners[9].config.mlp = LM_GELU_TANH;
	corners[10].config.labels = 4;
	corners[10].config.multi_label = true;
	corners[11].config.lora_rank = 3;
	corners[12].config = corners[9].config;
	corners[12].config.dropout = 0;
	corners[12].config.lora_rank = 8;
	corners[12].config.lora_alpha = 5;
	corners[13].config = corners[4].config;
	corners[13].config.tie_embeddings = false;
	corners[13].config.lora_rank = 5;
	corners[13].config.lora_targets = 1 << LM_TARGET_PROJECTION | 1 << LM_TARGET_DOWN;
	corners[13].config.lora_dropout = 0.3f;
	for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
		test_corner(&corners[i], engine, &host);
	test_dropped_outputs(0.1f, engine, &host);
	test_dropped_outputs(0, engine, &host);
	lm_engine_stop(engine);
	return done_testing();
}
