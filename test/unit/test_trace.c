/*
 * test/unit/test_trace.c
 *
 * Sixty steps from given weights on given batches: every loss is PyTorch's. The committed trace is
 * made by test/reference/make_fixtures.py; a second one, of a larger model made with other code, is
 * in the shared data.
 */
#include "safetensors.h"
#include "train_support.h"

#define FIXTURES "test/fixtures/"
#define MAX_STEPS 100
#define MAX_BATCH 16

typedef struct Trace
{
	int n_steps;
	int batch;
	int length; /* of a sequence */
	int starts[MAX_STEPS][MAX_BATCH];
	double losses[MAX_STEPS];
	double norms[MAX_STEPS];
} Trace;

static void
read_numbers(double *out, int n, const char *at)
{
	for (int i = 0; i < n; i++)
	{
		char *end;

		at += strcspn(at, "-0123456789");
		out[i] = strtod(at, &end);
		at = end;
	}
}

static double
number_after(const char **at, const char *key)
{
	*at = strstr(*at, key) + strlen(key);
	return strtod(*at, NULL);
}

static bool
read_trace(Trace *trace, const char *path)
{
	static double starts[MAX_STEPS * MAX_BATCH];
	size_t size;
	char *text = tap_read_file(path, &size);
	const char *at = text;

	if (!text)
		return false;
	trace->batch = (int) number_after(&at, "\"batch\": ");
	at = text;
	trace->length = (int) number_after(&at, "\"seq\": ");
	at = text;
	trace->n_steps = (int) number_after(&at, "\"steps\": ");
	read_numbers(starts, trace->n_steps * trace->batch, strstr(text, "\"starts\": "));
	at = strstr(text, "\"trace\": ");
	for (int i = 0; i < trace->n_steps; i++)
	{
		trace->losses[i] = number_after(&at, "\"loss\": ");
		trace->norms[i] = number_after(&at, "\"grad_norm_before_clip\": ");
		for (int j = 0; j < trace->batch; j++)
			trace->starts[i][j] = (int) starts[i * trace->batch + j];
	}
	free(text);
	return true;
}

static void
fill_batch(LmBatch *batch, const uint16_t *ids, const Trace *trace, int step)
{
	batch->n_tokens = trace->batch * trace->length;
	for (int t = 0; t < batch->n_tokens; t++)
	{
		int sequence = t / trace->length, position = t % trace->length;

		batch->tokens[t] = ids[trace->starts[step][sequence] + position];
		batch->targets[t] = ids[trace->starts[step][sequence] + position + 1];
		batch->weights[t] = 1;
		batch->positions[t] = position;
		batch->starts[t] = t - position;
		batch->examples[t] = sequence;
	}
}

/* The largest difference of a loss and of a gradient norm, relative to the norm. */
static void
follow(LmTrainer *trainer, const LmHost *host, const Trace *trace, const uint16_t *ids,
	   double *loss_difference, double *norm_difference)
{
	LmBatch batch = create_batch(host, trace->batch * trace->length);

	*loss_difference = *norm_difference = 0;
	for (int step = 0; step < trace->n_steps; step++)
	{
		LmStepResult result;
		LmError error;

		fill_batch(&batch, ids, trace, step);
		if (!lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error))
		{
			printf("# step %d: %s\n", step, error.message);
			*loss_difference = *norm_difference = INFINITY;
			break;
		}
		*loss_difference = fmax(*loss_difference, fabs(result.loss - trace->losses[step]));
		*norm_difference = fmax(*norm_difference, fabs(result.grad_norm / trace->norms[step] - 1));
	}
	lm_batch_free(&batch, host);
}

/* Largest difference between the trainer's parameters and those of a file. */
static double
difference_from_file(LmTrainer *trainer, const char *path)
{
	const LmParamTable *table = lm_trainer_table(trainer);
	float *wanted = calloc(table->total, sizeof(float));
	double largest = INFINITY;
	Safetensors tensors;

	if (safetensors_open(&tensors, path) && safetensors_load(&tensors, wanted, table))
	{
		largest = 0;
		for (size_t i = 0; i < table->total; i++)
			largest = fmax(largest, fabs((double) wanted[i] - lm_trainer_params(trainer)[i]));
		safetensors_close(&tensors);
	}
	free(wanted);
	return largest;
}

/* Runs a folder's trace with the configuration and options given; leaves the trained trainer. */
static LmTrainer *
run_trace(LmEngine *engine, const LmHost *host, const char *folder, const LmConfig *config,
		  const LmTrainOptions *options, bool decay_positions, const char *name)
{
	static Trace trace;
	char path[4096], title[200];
	double loss_difference, norm_difference;
	size_t size;
	char *ids;
	LmTrainer *trainer = create_trainer(engine, config, options);
	LmParamTable *table = lm_trainer_table_mutable(trainer);
	Safetensors tensors;

	for (int i = 0; i < table->n_params; i++)
		if (table->params[i].kind == LM_POSITION_EMBEDDING)
			table->params[i].decay = decay_positions;
	snprintf(path, sizeof path, "%s/trace.json", folder);
	read_trace(&trace, path);
	snprintf(path, sizeof path, "%s/init.safetensors", folder);
	if (!safetensors_open(&tensors, path) ||
		!safetensors_load(&tensors, lm_trainer_params(trainer), table))
		printf("Bail out! %s cannot be read\n", path);
	safetensors_close(&tensors);
	snprintf(path, sizeof path, "%s/data.u16", folder);
	ids = tap_read_file(path, &size);
	follow(trainer, host, &trace, (const uint16_t *) ids, &loss_difference, &norm_difference);
	free(ids);
	snprintf(title, sizeof title, "every loss of %d steps is PyTorch's within 1e-4 (%s)",
			 trace.n_steps, name);
	is_near(loss_difference, 0, 1e-4, title);
	snprintf(title, sizeof title, "every gradient norm is PyTorch's within 0.5 %% (%s)", name);
	is_near(norm_difference, 0, 5e-3, title);
	printf("# largest differences: loss %.3g, norm %.3g\n", loss_difference, norm_difference);
	return trainer;
}

static LmTrainOptions
trace_options(int max_tokens, int steps)
{
	LmTrainOptions options = lm_train_options_default();

	options.max_tokens = max_tokens;
	options.learning_rate = 1e-3;
	options.min_learning_rate = 1e-4;
	options.warmup_steps = 5;
	options.steps = steps;
	options.weight_decay = 0.1;
	options.beta1 = 0.9;
	options.beta2 = 0.95;
	return options;
}

static void
test_own_trace(LmEngine *engine, const LmHost *host, const char *name)
{
	LmConfig config = lm_config_default();
	LmTrainOptions options = trace_options(4 * 32, 60);
	LmTrainer *trainer;

	config.vocabulary = 64;
	config.context = 32;
	config.layers = 2;
	config.heads = 2;
	config.channels = 24;
	trainer = run_trace(engine, host, FIXTURES "trace", &config, &options, false, name);
	lm_trainer_free(trainer);
}

static void
test_shared_trace(LmEngine *engine, const LmHost *host)
{
	const char *data = tap_data_folder();
	LmConfig config = lm_config_default();
	LmTrainOptions options = trace_options(8 * 64, 60);
	char folder[4000], path[4096];
	LmTrainer *trainer;

	if (!data)
	{
		skip("the shared trace of a character model", "the folder of shared data is missing");
		return;
	}
	config.vocabulary = 65;
	config.context = 64;
	config.layers = 2;
	config.heads = 4;
	config.channels = 64;
	config.mlp = LM_GELU;
	snprintf(folder, sizeof folder, "%s/train-ref/gpt2-char", data);
	trainer = run_trace(engine, host, folder, &config, &options, true, "shared data");
	snprintf(path, sizeof path, "%s/final.safetensors", folder);
	is_near(difference_from_file(trainer, path), 0, 1e-3,
			"the weights after the last step are PyTorch's");
	lm_trainer_free(trainer);
}

/* Llama, by the code of llama2.c: RMSNorm, rotary positions, SwiGLU, two queries for each key. */
static void
test_llama_trace(LmEngine *engine, const LmHost *host)
{
	const char *data = tap_data_folder();
	LmConfig config = lm_config_default();
	LmTrainOptions options = trace_options(8 * 64, 60);
	char folder[4000], path[4096];
	LmTrainer *trainer;

	if (!data)
	{
		skip("the shared trace of a Llama of characters", "the folder of shared data is missing");
		return;
	}
	config.model_type = LM_LLAMA;
	config.vocabulary = 65;
	config.context = 64;
	config.layers = 2;
	config.heads = 4;
	config.kv_heads = 2;
	config.channels = 64;
	config.mlp_channels = 176;
	config.norm = LM_RMSNORM;
	config.position = LM_ROPE;
	config.mlp = LM_SWIGLU;
	config.bias = false;
	snprintf(folder, sizeof folder, "%s/train-ref/llama-char", data);
	trainer = run_trace(engine, host, folder, &config, &options, false, "Llama of shared data");
	snprintf(path, sizeof path, "%s/final.safetensors", folder);
	is_near(difference_from_file(trainer, path), 0, 1e-3,
			"the Llama's weights after the last step are PyTorch's");
	lm_trainer_free(trainer);
}

int
main(void)
{
	TapHost state;
	LmHost host = tap_host(&state);
	LmEngine *engine = start_engine(&host, 2);

	printf("# products: %s\n", lm_engine_description(engine));
	test_own_trace(engine, &host, "own fixture");
	/* For a sanitizer the longer traces are no others. */
	if (!tap_is_sanitized())
	{
		test_shared_trace(engine, &host);
		test_llama_trace(engine, &host);
	}
	lm_engine_stop(engine);
	engine = start_engine_with(&host, (LmEngineOptions){.n_threads = 2, .f32 = ""});
	printf("# products: %s\n", lm_engine_description(engine));
	test_own_trace(engine, &host, "own fixture, products of the library");
	lm_engine_stop(engine);
	is_int(state.live, 0, "everything is given back");
	return done_testing();
}
