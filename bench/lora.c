/*
 * bench/lora.c MODEL base FILE STEPS TEXT          trains a model from random weights, and writes
 * them to FILE bench/lora.c MODEL full|lora FILE STEPS TEXT RATE   trains all weights of FILE
 * further, or an adapter of RANK (16) beside them
 *
 * The tokens are the bytes of TEXT, of which the last tenth is held out. Prints the loss on that
 * before and after, in nats a byte, the share of the weights that is trained, the seconds of a
 * step, and the memory: what lm_trainer_memory says, and the most that the process held. PRECISION
 * and THREADS as for bench/train.c; BASE: the type in which an adapter's base is kept (BF16, Q8_0).
 */
#include <sys/resource.h>

#include "engine/block_type.h"
#include "shapes.h"

#define EVALUATIONS 12 /* batches */

typedef struct Text
{
	unsigned char *bytes;
	size_t size;
	size_t n_train;
} Text;

static Text
read_text(const char *path)
{
	FILE *file = fopen(path, "rb");
	Text text = {0};

	if (!file)
	{
		perror(path);
		exit(1);
	}
	fseek(file, 0, SEEK_END);
	text.size = (size_t) ftell(file);
	rewind(file);
	text.bytes = malloc(text.size);
	if (fread(text.bytes, 1, text.size, file) != text.size || text.size < 20000)
	{
		fprintf(stderr, "%s is too short\n", path);
		exit(1);
	}
	fclose(file);
	text.n_train = text.size / 10 * 9;
	return text;
}

/* Random crops of the part from first on, of n bytes (state as in bench/train.c). */
static void
fill(LmBatch *batch, const Shape *shape, const Text *text, size_t first, size_t n, uint64_t *state)
{
	batch->n_tokens = shape->batch * shape->context;
	for (int i = 0; i < shape->batch; i++)
	{
		const unsigned char *crop;

		*state = *state * 6364136223846793005u + 1442695040888963407u;
		crop = text->bytes + first + (*state >> 24) % (n - (size_t) shape->context - 1);
		for (int t = 0; t < shape->context; t++)
		{
			int row = i * shape->context + t;

			batch->tokens[row] = crop[t];
			batch->targets[row] = crop[t + 1];
			batch->weights[row] = 1;
			batch->positions[row] = t;
			batch->starts[row] = row - t;
			batch->examples[row] = i;
		}
	}
}

static double
held_out_loss(LmTrainer *trainer, LmBatch *batch, const Shape *shape, const Text *text)
{
	uint64_t state = 7;
	double sum = 0, weight = 0;
	LmError error;

	for (int i = 0; i < EVALUATIONS; i++)
	{
		fill(batch, shape, text, text->n_train, text->size - text->n_train, &state);
		must(lm_trainer_evaluate(&sum, &weight, trainer, batch, &error), &error);
	}
	return sum / weight;
}

/* The weights, all of which a file has. */
static void
transfer(float *block, size_t count, const char *path, bool writes)
{
	FILE *file = fopen(path, writes ? "wb" : "rb");

	if (!file ||
		(writes ? fwrite(block, sizeof(float), count, file)
				: fread(block, sizeof(float), count, file)) != count ||
		fclose(file) != 0)
	{
		perror(path);
		exit(1);
	}
}

static double
train(LmTrainer *trainer, LmBatch *batch, const Shape *shape, const Text *text, int steps)
{
	double started = seconds_now();
	uint64_t state = 1;
	LmStepResult result;
	LmError error;

	for (int step = 0; step < steps; step++)
	{
		fill(batch, shape, text, 0, text->n_train, &state);
		must(lm_trainer_step(&result, trainer, step, batch, 1, NULL, NULL, &error), &error);
	}
	return (seconds_now() - started) / steps;
}

/* Into the parameters, or below an adapter. */
static void
read_weights(LmTrainer *trainer, const LmParamTable *whole, const char *path, bool is_adapter)
{
	float *block = is_adapter ? malloc(whole->total * sizeof(float)) : lm_trainer_params(trainer);

	transfer(block, whole->total, path, false);
	for (int i = 0; is_adapter && i < whole->n_params; i++)
		lm_trainer_put_base(trainer, whole->params[i].kind, whole->params[i].layer, 0,
							whole->params[i].rows, block + whole->params[i].offset);
	if (is_adapter)
		free(block);
}

int
main(int argc, char **argv)
{
	const Shape *shape = shape_named(argc > 1 ? argv[1] : "S");
	bool is_base = argc > 2 && strcmp(argv[2], "base") == 0,
		 is_adapter = argc > 2 && strcmp(argv[2], "lora") == 0;
	LmEngineOptions engine_options = {getenv("THREADS") ? atoi(getenv("THREADS")) : 2,
									  getenv("BLAS"), getenv("BF16")};
	LmHost host = {.reallocate = bench_reallocate};
	LmError error = {0};
	LmEngine *engine = lm_engine_start(&host, &engine_options, &error);
	LmConfig config = shape_config(shape), base;
	LmTrainOptions options = lm_train_options_default();
	LmParamTable *whole;
	LmTrainer *trainer;
	struct rusage usage;
	double before, seconds;
	size_t memory;
	LmBatch batch;
	Text text;

	if (argc < 6 + !is_base)
	{
		fprintf(stderr, "usage: lora MODEL base FILE STEPS TEXT, or lora MODEL full|lora FILE "
						"STEPS TEXT RATE\n");
		return 2;
	}
	must(engine != NULL, &error);
	text = read_text(argv[5]);
	config.lora_rank = is_adapter ? (getenv("RANK") ? atoi(getenv("RANK")) : 16) : 0;
	must(lm_config_check(&config, &error), &error);
	base = lm_config_base(&config);
	options.precision = (!getenv("PRECISION") || strcmp(getenv("PRECISION"), "float32") != 0) &&
								lm_engine_bf16(engine)
							? LM_BFLOAT16
							: LM_FLOAT32;
	options.max_tokens = shape->batch * shape->context;
	options.steps = atoi(argv[4]);
	options.warmup_steps = options.steps / 20;
	options.learning_rate = is_base ? 1e-3 : atof(argv[6]);
	if (is_base && 0.4 / config.channels < options.learning_rate)
		options.learning_rate = 0.4 / config.channels;
	options.min_learning_rate = options.learning_rate / 10;
	if (getenv("BASE") && is_adapter)
		options.base_type = lm_block_type_named(getenv("BASE"))->number;
	must(lm_trainer_memory(&memory, &config, &options, engine_options.n_threads, &error), &error);
	trainer = lm_trainer_create(engine, &config, &options, &error);
	must(trainer != NULL, &error);
	must(lm_batch_create(&batch, &host, options.max_tokens, &error), &error);
	whole = lm_param_table_create(&host, &base, &error);
	must(whole != NULL, &error);
	if (!is_base)
		read_weights(trainer, whole, argv[3], is_adapter);
	before = held_out_loss(trainer, &batch, shape, &text);
	seconds = train(trainer, &batch, shape, &text, (int) options.steps);
	if (is_base)
		transfer(lm_trainer_params(trainer), whole->total, argv[3], true);
	getrusage(RUSAGE_SELF, &usage);
	printf("%s %s rate %g loss %.4f after %.4f trained %.4f %% step %.3f s memory %zu MB at_most "
		   "%ld MB\n",
		   shape->name, argv[2], options.learning_rate, before,
		   held_out_loss(trainer, &batch, shape, &text),
		   100.0 * (double) lm_trainer_table(trainer)->parameter_count /
			   (double) whole->parameter_count,
		   seconds, memory >> 20, usage.ru_maxrss >> 10);
	return 0;
}
