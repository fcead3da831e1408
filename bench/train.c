/*
 * bench/train.c MODEL STEPS [recompute]
 *
 * Tokens per second of the training step (forward, backward, clipping, AdamW) on random tokens, THREADS threads
 * (2), and its share of the rate at which the same library multiplies matrices of the model's own shapes,
 * measured in the same run; the share of the step in which each thread waits, and the most memory ever held.
 */
#include <sys/resource.h>

#include "shapes.h"

static double
product_rate(LmEngine *engine, const LmHost *host, const Shape *shape)
{
	static const int in_out[4][2] = {{1, 3}, {1, 1}, {1, 4}, {4, 1}};
	int rows = shape->batch * shape->context, C = shape->channels;
	float *x = lm_allocate(host, sizeof(float) * rows * 4 * C);
	float *y = lm_allocate(host, sizeof(float) * rows * 4 * C);
	float *w = lm_allocate(host, sizeof(float) * 4 * C * C);
	double best = 0;

	if (!x || !y || !w)
		exit(1);
	for (int round = 0; round < 7; round++)
	{
		double flop = 0, started = seconds_now();

		for (int repeat = 0; repeat < 4; repeat++)
			for (int i = 0; i < 4; i++)
			{
				LmLinear linear = {.n_in = in_out[i][0] * C, .n_out = in_out[i][1] * C, .w = w};

				lm_linear_forward(engine, y, x, &linear, rows);
				flop += 2.0 * rows * linear.n_in * linear.n_out;
			}
		flop /= seconds_now() - started;
		best = flop > best ? flop : best;
	}
	lm_free(host, x);
	lm_free(host, y);
	lm_free(host, w);
	return best;
}

static void
fill(LmBatch *batch, const Shape *shape, LmKey key, int step)
{
	batch->n_tokens = shape->batch * shape->context;
	for (int t = 0; t < batch->n_tokens; t++)
	{
		uint32_t word[4];

		lm_random(word, key, t, step, 0, 0);
		batch->tokens[t] = word[0] % shape->vocabulary;
		batch->targets[t] = word[1] % shape->vocabulary;
		batch->weights[t] = 1;
		batch->positions[t] = t % shape->context;
		batch->starts[t] = t - t % shape->context;
		batch->examples[t] = t / shape->context;
	}
}

int
main(int argc, char **argv)
{
	const Shape *shape = shape_named(argc > 1 ? argv[1] : "XS");
	int steps = argc > 2 ? atoi(argv[2]) : 10;
	LmHost host = {bench_reallocate, NULL, NULL};
	LmEngineOptions engine_options = {getenv("THREADS") ? atoi(getenv("THREADS")) : 2, getenv("BLAS"), getenv("BF16")};
	LmError error = {0};
	LmEngine *engine = lm_engine_start(&host, &engine_options, &error);
	LmConfig config = shape_config(shape);
	LmTrainOptions options = lm_train_options_default();
	int64_t busy[2][LM_MAX_THREADS];
	double *times = calloc(steps + 2, sizeof(double)), first = 0, last = 0, all = 0, rate, speed;
	LmTrainer *trainer;
	LmBatch batch;
	struct rusage usage;

	must(engine != NULL, &error);
	must(lm_config_check(&config, &error), &error);
	options.precision = getenv("PRECISION") && strcmp(getenv("PRECISION"), "float32") != 0 && lm_engine_bf16(engine) ? LM_BFLOAT16 : LM_FLOAT32;
	options.recompute = argc > 3 && strcmp(argv[3], "recompute") == 0;
	options.max_tokens = shape->batch * shape->context;
	options.learning_rate = 1e-3;
	options.min_learning_rate = 1e-3;
	options.warmup_steps = 0;
	options.optimizer = getenv("OPTIMIZER") && strcmp(getenv("OPTIMIZER"), "muon") == 0 ? LM_MUON : LM_ADAMW;
	options.steps = steps + 2;
	trainer = lm_trainer_create(engine, &config, &options, &error);
	must(trainer != NULL, &error);
	must(lm_batch_create(&batch, &host, options.max_tokens, &error), &error);
	for (int step = 0; step < steps + 2; step++)
	{
		LmStepResult result;
		double started;

		fill(&batch, shape, lm_key(1, LM_RANDOM_CROP, 0, 0), step);
		started = seconds_now();
		if (step == 2)
			lm_engine_busy(engine, busy[0]);
		must(lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error), &error);
		times[step] = seconds_now() - started;
		if (step == 0)
			first = result.loss;
		last = result.loss;
	}
	lm_engine_busy(engine, busy[1]);
	for (int step = 2; step < steps + 2; step++)
		all += times[step];
	qsort(times + 2, steps, sizeof(double), compare_doubles);
	rate = product_rate(engine, &host, shape);
	speed = batch.n_tokens / times[2 + steps / 2];
	printf("gpt %s tokens_per_second %.0f best %.0f share_of_product_rate %.3f product_gflops %.1f loss %.4f %.4f (%s, %d threads)\n",
		   shape->name, speed, batch.n_tokens / times[2], speed * shape_flop(shape) / rate, rate / 1e9, first, last,
		   lm_engine_description(engine), lm_engine_threads(engine));
	printf("gpt %s waiting", shape->name);
	for (int i = 0; i < lm_engine_threads(engine); i++)
		printf(" %.1f %%", 100 - (busy[1][i] - busy[0][i]) * 1e-7 / all);
	getrusage(RUSAGE_SELF, &usage);
	printf(" of the step, memory %.2f GiB at most\n", usage.ru_maxrss / 1048576.0);
	return 0;
}
