/*
 * bench/convergence.c FOLDER SAMPLE
 *
 * PRECISION is float32 unless it says bfloat16. With - for FOLDER weights and batches come from
 * SEED instead (bench/precision.sh). Otherwise:
 *
 * Our side of the convergence comparison: model S from the initial weights and on the batches that
 * bench/convergence.py wrote into FOLDER, the same recipe. Prints step, training and validation
 * loss, and PyTorch's from FOLDER/torch.json is printed beside them by bench/convergence.sh.
 */
#include "shapes.h"

static const int checkpoints[] = {0, 50, 100, 150, 200, 250, 500, 750, 1000};

static void *
read_file(const char *folder, const char *name, size_t *size)
{
	char path[4096];
	FILE *file;
	void *data;

	snprintf(path, sizeof path, "%s%s%s", folder, name[0] ? "/" : "", name);
	file = fopen(path, "rb");
	if (!file)
	{
		perror(path);
		exit(1);
	}
	fseek(file, 0, SEEK_END);
	*size = ftell(file);
	rewind(file);
	data = malloc(*size);
	if (fread(data, 1, *size, file) != *size)
		exit(1);
	fclose(file);
	return data;
}

/* Finds each tensor by its name in the header; enough for the files of our own script. */
static void
load_weights(LmTrainer *trainer, const char *folder)
{
	const LmParamTable *table = lm_trainer_table(trainer);
	size_t size;
	char *file = read_file(folder, "initial.safetensors", &size);
	uint64_t header_size;
	char *header;

	memcpy(&header_size, file, 8);
	header = strndup(file + 8, header_size);
	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];
		char quoted[100];
		const char *at;
		unsigned long long begin;

		snprintf(quoted, sizeof quoted, "\"%s\"", param->parts[0].name);
		at = strstr(header, quoted);
		at = at ? strstr(at, "\"data_offsets\": [") : NULL;
		if (!at || sscanf(at, "\"data_offsets\": [%llu", &begin) != 1)
		{
			fprintf(stderr, "no tensor %s\n", param->parts[0].name);
			exit(1);
		}
		lm_param_set(lm_trainer_params(trainer), (float *) (file + 8 + header_size + begin), param,
					 0, param->count);
	}
	free(header);
	free(file);
}

static void
window(LmBatch *batch, int sequence, const unsigned char *data, int context)
{
	for (int t = 0; t < context; t++)
	{
		int row = sequence * context + t;

		batch->tokens[row] = data[t];
		batch->targets[row] = data[t + 1];
		batch->weights[row] = 1;
		batch->positions[row] = t;
		batch->starts[row] = sequence * context;
		batch->examples[row] = sequence;
	}
	batch->n_tokens = (sequence + 1) * context;
}

/* The beginnings of the windows of all steps, from a seed. */
static uint32_t *
random_offsets(uint64_t seed, int count, size_t most)
{
	uint32_t *offsets = malloc(count * sizeof *offsets);

	for (int i = 0; i < count; i++)
	{
		uint32_t word[4];

		lm_random(word, lm_key(seed, LM_RANDOM_CROP, 0, 0), i, 0, 0, 0);
		offsets[i] = word[0] % most;
	}
	return offsets;
}

static double
validate(LmTrainer *trainer, LmBatch *batch, const unsigned char *held, size_t held_size,
		 const Shape *shape)
{
	int windows = (held_size - 1) / shape->context;
	double sum = 0, weight = 0;
	LmError error = {0};

	for (int first = 0; first < windows; first += shape->batch)
	{
		for (int i = 0; i < shape->batch && first + i < windows; i++)
			window(batch, i, held + (size_t) (first + i) * shape->context, shape->context);
		must(lm_trainer_evaluate(&sum, &weight, trainer, batch, &error), &error);
	}
	return sum / weight;
}

static bool
is_checkpoint(int step)
{
	for (size_t i = 0; i < sizeof checkpoints / sizeof checkpoints[0]; i++)
		if (checkpoints[i] == step)
			return true;
	return false;
}

int
main(int argc, char **argv)
{
	const Shape *shape = shape_named("S");
	LmHost host = {.reallocate = bench_reallocate};
	LmEngineOptions engine_options = {getenv("THREADS") ? atoi(getenv("THREADS")) : 2,
									  getenv("BLAS")};
	LmError error = {0};
	LmConfig config = shape_config(shape);
	LmTrainOptions options = lm_train_options_default();
	int steps = getenv("STEPS") ? atoi(getenv("STEPS")) : 1000;
	size_t data_size, offsets_size, cut;
	unsigned char *data;
	uint32_t *offsets;
	LmEngine *engine = lm_engine_start(&host, &engine_options, &error);
	LmTrainer *trainer;
	LmBatch batch;
	double started;
	bool is_given = argc == 3 && strcmp(argv[1], "-") != 0;

	must(engine != NULL, &error);
	if (argc != 3)
	{
		fprintf(stderr, "usage: convergence FOLDER SAMPLE\n");
		return 2;
	}
	data = read_file(argv[2], "", &data_size);
	cut = data_size * 9 / 10;
	options.seed = getenv("SEED") ? atoi(getenv("SEED")) : 1;
	options.precision = getenv("PRECISION") && strcmp(getenv("PRECISION"), "bfloat16") == 0
							? LM_BFLOAT16
							: LM_FLOAT32;
	if (is_given)
		offsets = read_file(argv[1], "offsets.u32", &offsets_size);
	else
		offsets = random_offsets(options.seed, steps * shape->batch, cut - shape->context - 1);
	must(lm_config_check(&config, &error), &error);
	options.max_tokens = shape->batch * shape->context;
	options.learning_rate = 1e-3;
	options.min_learning_rate = 1e-4;
	options.warmup_steps = 100;
	options.steps = 1000;
	options.weight_decay = 0.1;
	options.beta1 = 0.9;
	options.beta2 = 0.99;
	options.grad_clip = 1;
	trainer = lm_trainer_create(engine, &config, &options, &error);
	must(trainer != NULL, &error);
	must(lm_batch_create(&batch, &host, options.max_tokens, &error), &error);
	if (is_given)
		load_weights(trainer, argv[1]);
	printf("%d - %.6f\n", 0, validate(trainer, &batch, data + cut, data_size - cut, shape));
	started = seconds_now();
	for (int step = 0; step < steps; step++)
	{
		LmStepResult result;

		for (int i = 0; i < shape->batch; i++)
			window(&batch, i, data + offsets[step * shape->batch + i], shape->context);
		must(lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error), &error);
		if (is_checkpoint(step + 1))
		{
			printf("%d %.6f %.6f %.0f s\n", step + 1, result.loss,
				   validate(trainer, &batch, data + cut, data_size - cut, shape),
				   seconds_now() - started);
			fflush(stdout);
		}
	}
	return 0;
}
