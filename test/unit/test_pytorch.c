/*
 * test/unit/test_pytorch.c
 *
 * Logits, loss, gradients and ten steps of AdamW against PyTorch, on a packed batch with unequal
 * weights, also of an adapter (fixtures by test/reference/make_fixtures.py).
 */
#include "safetensors.h"
#include "train_support.h"

static const int lengths[] = {12, 5, 1, 9};

static LmBatch
read_batch(const Safetensors *file, const LmHost *host)
{
	size_t count;
	const float *tokens = safetensors_find(file, "tokens", &count);
	const float *targets = safetensors_find(file, "targets", &count);
	const float *weights = safetensors_find(file, "weights", &count);
	LmBatch batch = create_batch(host, (int) count);

	for (int sequence = 0; sequence < 4; sequence++)
		for (int i = 0; i < lengths[sequence]; i++)
		{
			int row = batch.n_tokens + i;

			batch.tokens[row] = (int32_t) tokens[row];
			batch.targets[row] = (int32_t) targets[row];
			batch.weights[row] = weights[row];
			batch.positions[row] = i;
			batch.starts[row] = batch.n_tokens;
			batch.examples[row] = sequence;
			if (i == lengths[sequence] - 1)
			{
				batch.n_tokens += lengths[sequence];
				break;
			}
		}
	return batch;
}

/*
 * A bias of the keys adds the same to all scores of a query, so its gradient is zero but for
 * rounding, of which Adam makes steps of full size.
 */
static bool
is_noise(const LmParam *param, size_t i)
{
	size_t C = param->count / 3;

	return param->kind == LM_ATTENTION_BIAS && i >= C && i < 2 * C;
}

/* The parameter and part of a tensor, numbered in the order of the file. */
static const LmParam *
tensor_of(const LmFilePart **part, const LmParamTable *table, int number)
{
	const LmParam *param = table->params;

	for (; number >= param->n_parts; param++)
		number -= param->n_parts;
	*part = &param->parts[number];
	return param;
}

/*
 * Largest difference of a block from the file's tensors of a prefix, and the largest value there.
 */
static double
compare_block(const float *block, const LmParamTable *table, const Safetensors *file,
			  const char *prefix, double *largest)
{
	double difference = 0;

	*largest = 0;
	for (int number = 0; number < table->n_tensors; number++)
	{
		const LmFilePart *part;
		const LmParam *param = tensor_of(&part, table, number);
		char name[128];
		size_t count;
		const float *wanted;
		float *got;

		snprintf(name, sizeof name, "%s%s", prefix, part->name);
		wanted = safetensors_find(file, name, &count);
		if (!wanted || count != lm_part_count(param, part))
			return INFINITY;
		got = malloc(count * sizeof(float));
		lm_param_get(got, block, param, lm_part_first(param, part), count);
		for (size_t j = 0; j < count; j++)
		{
			if (is_noise(param, lm_part_first(param, part) + j))
				continue;
			difference = fmax(difference, fabs((double) got[j] - wanted[j]));
			*largest = fmax(*largest, fabs((double) wanted[j]));
		}
		free(got);
	}
	return difference;
}

static double
compare_logits(LmTrainer *trainer, const LmBatch *batch, const Safetensors *file)
{
	size_t count;
	const float *wanted = safetensors_find(file, "logits", &count);
	float *logits = malloc(count * sizeof(float));
	double difference = 0;
	LmError error;

	if (!lm_trainer_logits(logits, trainer, batch, &error))
		return INFINITY;
	for (size_t i = 0; i < count; i++)
		difference = fmax(difference, fabs((double) logits[i] - wanted[i]));
	free(logits);
	return difference;
}

static void
test_fixture(LmEngine *engine, const LmHost *host, const char *path, const LmConfig *config)
{
	LmTrainOptions options = lm_train_options_default();
	size_t count;
	double largest, difference, losses_differ = 0;
	LmTrainer *trainer;
	LmStepResult result;
	LmError error;
	Safetensors file;
	LmBatch batch;
	const float *losses;

	printf("# %s\n", path);
	options.max_tokens = 27;
	options.schedule = LM_SCHEDULE_CONSTANT;
	options.learning_rate = 1e-2;
	options.warmup_steps = 0;
	trainer = create_trainer(engine, config, &options);
	if (!ok(safetensors_open(&file, path) &&
				safetensors_load(&file, lm_trainer_params(trainer), lm_trainer_table(trainer)) &&
				(!lm_trainer_base(trainer) ||
				 safetensors_load(&file, lm_trainer_base(trainer), lm_trainer_base_table(trainer))),
			"the fixture has every tensor of the configuration"))
		return;
	batch = read_batch(&file, host);
	is_near(compare_logits(trainer, &batch, &file), 0, 1e-5, "logits are PyTorch's");
	losses = safetensors_find(&file, "losses", &count);
	for (int step = 0; step < 10; step++)
	{
		if (!lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error))
			printf("# %s\n", error.message);
		losses_differ = fmax(losses_differ, fabs(result.loss - losses[step]));
		if (step > 0)
			continue;
		difference = compare_block(lm_trainer_gradient(trainer), lm_trainer_table(trainer), &file,
								   "gradient.", &largest);
		is_near(difference / largest, 0, 1e-5, "gradients are PyTorch's");
	}
	is_near(losses_differ, 0, 1e-5, "ten losses are PyTorch's");
	difference = compare_block(lm_trainer_params(trainer), lm_trainer_table(trainer), &file,
							   "after.", &largest);
	is_near(difference, 0, 1e-4, "weights after ten steps of AdamW are PyTorch's");
	printf("# largest differences: losses %.3g, weights %.3g\n", losses_differ, difference);
	lm_batch_free(&batch, host);
	safetensors_close(&file);
	lm_trainer_free(trainer);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);
	LmConfig config = small_config();

	config.vocabulary = 23;
	test_fixture(engine, &host, "test/fixtures/gpt2-tanh.safetensors", &config);
	config.lora_rank = 4;
	config.lora_alpha = 6;
	test_fixture(engine, &host, "test/fixtures/gpt2-adapter.safetensors", &config);
	config = lm_config_base(&config);
	config.bias = config.tie_embeddings = false;
	config.position = LM_SINUSOIDAL;
	config.mlp = LM_GELU;
	test_fixture(engine, &host, "test/fixtures/gpt2-erf-untied-sinusoidal.safetensors", &config);
	lm_engine_stop(engine);
	return done_testing();
}
