/*
 * test/unit/gradient_support.h
 *
 * The gradient of every parameter of a configuration against central differences of the loss.
 */
#ifndef TEST_GRADIENT_SUPPORT_H
#define TEST_GRADIENT_SUPPORT_H

#include "train_support.h"

#define STEP 3
#define N_BATCHES 2
#ifndef DISTANCE
#define DISTANCE 0.01 /* between the points of a difference */
#endif

typedef struct Corner
{
	const char *name;
	LmConfig config;
	bool unequal;
	int stride; /* checks one of so many parameters; 0: each */
	LmObjectiveKind objective;
	const LmTokenizer *tokenizer; /* of contrastive training */
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
static inline double
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
static inline double
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
static inline bool
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
	found = slope_along(problem, values, direction, param->count, DISTANCE);
	for (size_t i = 0; i < param->count; i++)
	{
		direction[i] = (float) ((test_random(state) % 2 ? 1 : -1) / length);
		projection += (double) direction[i] * g[i];
	}
	found_random = slope_along(problem, values, direction, param->count, DISTANCE);
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
static inline void
set_labels(LmBatch *batch, const LmConfig *config, uint64_t *state)
{
	uint32_t n_targets = config->multi_label ? 4 : (uint32_t) config->labels;

	if (config->multi_label)
		batch->sets = (LmLabelSets){4, set_ends, set_members};
	for (int i = 0; i < batch->n_tokens; i++)
	{
		bool is_last = i + 1 == batch->n_tokens || batch->starts[i + 1] != batch->starts[i];

		batch->targets[i] = is_last ? (int32_t) (test_random(state) % n_targets) : -1;
		if (config->pair && !is_last && batch->positions[i] > 2)
			batch->targets[i] = LM_SECOND_TEXT;
		batch->weights[i] = 0.5f + (float) (test_random(state) % 100) / 100;
		batch->values[i] = is_last ? (float) (test_random(state) % 400) / 100 - 2 : 0;
	}
}

/* A fourth sequence, so that there are two pairs; references near the likelihoods. */
static inline void
set_pairs(LmBatch *batch, const Corner *corner, int example, uint64_t *state)
{
	append_sequence(batch, 7, corner->config.vocabulary, corner->unequal, example + 3, state);
	batch->group = 2;
	for (int row = 0; row < batch->n_tokens; row++)
	{
		batch->values[row] = -3.0f * (float) (batch->positions[row] + 1);
		/* the beginning of the first two is their prompt's */
		if (batch->positions[row] < 2 && batch->starts[row] <= 12)
			batch->targets[row] = -1;
	}
}

/* Away from the beginning, where biases are zero and attention is nearly uniform. */
static inline void
move_away(float *block, const LmParamTable *table, uint64_t *state)
{
	for (int i = 0; i < table->n_params; i++)
		for (size_t j = 0; j < table->params[i].count; j++)
			block[table->params[i].offset + j] +=
				((int) (test_random(state) % 2001) - 1000) * 3e-4f;
}

static inline void
fill_problem(Problem *problem, const Corner *corner, LmEngine *engine, const LmHost *host,
			 uint64_t *state)
{
	LmTrainOptions options = small_options(32);

	options.learning_rate = options.min_learning_rate = 0;
	options.objective = corner->objective;
	options.temperature = 0.5;
	if (corner->objective == LM_OBJECTIVE_DPO)
		options.label_smoothing = 0.2;
	problem->failed = false;
	problem->trainer = create_trainer(engine, &corner->config, &options);
	lm_trainer_set_search(problem->trainer, corner->tokenizer, NULL);
	move_away(lm_trainer_params(problem->trainer), lm_trainer_table(problem->trainer), state);
	if (lm_trainer_base(problem->trainer))
		move_away(lm_trainer_base(problem->trainer), lm_trainer_base_table(problem->trainer),
				  state);
	for (int i = 0; i < N_BATCHES; i++)
	{
		problem->batches[i] = create_batch(host, 32);
		append_sequence(&problem->batches[i], 12, corner->config.vocabulary, corner->unequal, 3 * i,
						state);
		append_sequence(&problem->batches[i], 3 + 4 * i, corner->config.vocabulary, corner->unequal,
						3 * i + 1, state);
		append_sequence(&problem->batches[i], 1, corner->config.vocabulary, corner->unequal,
						3 * i + 2, state);
		if (corner->objective == LM_OBJECTIVE_DPO || corner->objective == LM_OBJECTIVE_ORPO ||
			corner->objective == LM_OBJECTIVE_CONTRASTIVE)
			set_pairs(&problem->batches[i], corner, 3 * i, state);
		if (corner->config.architecture != LM_DECODER)
			set_prefixes(&problem->batches[i]);
		if (corner->config.labels > 0)
			set_labels(&problem->batches[i], &corner->config, state);
	}
}

static inline void
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
	n_checked = tap_repeat(table->n_params / (corner->stride > 0 ? corner->stride : 1));
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

#endif /* TEST_GRADIENT_SUPPORT_H */
