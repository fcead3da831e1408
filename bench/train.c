/*
 * bench/train.c MODEL STEPS
 *
 * Tokens per second of the training step (forward, backward, clipping, the update) in PRECISION
 * (float32, or auto) on THREADS threads (2), its share of what registers alone reach in the same
 * run, the losses of the steps, how long threads waited and the most memory that the process held.
 * BF16 names the kernels, OPTIMIZER the update.
 */
#include <sys/resource.h>

#include "peak.h"
#include "shapes.h"

/*
 * Tokens that torch_train.py makes too: of four tokens three follow from the one before them, one
 * is random. state is that of Knuth's generator (MMIX), which both sides begin at 1.
 */
static void
fill(LmBatch *batch, const Shape *shape, uint64_t *state)
{
	batch->n_tokens = shape->batch * shape->context;
	for (int i = 0; i < shape->batch; i++)
	{
		uint32_t token = 0;

		for (int t = 0; t <= shape->context; t++)
		{
			int row = i * shape->context + t;
			uint32_t word;

			*state = *state * 6364136223846793005u + 1442695040888963407u;
			word = (uint32_t) (*state >> 33);
			token = t == 0 || word % 4 == 0 ? (word >> 2) % shape->vocabulary
											: (token * 7 + 3) % shape->vocabulary;
			if (t > 0)
				batch->targets[row - 1] = (int32_t) token;
			if (t == shape->context)
				break;
			batch->tokens[row] = (int32_t) token;
			batch->weights[row] = 1;
			batch->positions[row] = t;
			batch->starts[row] = row - t;
			batch->examples[row] = i;
		}
	}
}

static void
print_peak(LmEngine *engine, const Shape *shape, double flop, bool bf16)
{
	double peaks[3] = {peak_float32(engine), peak_vdpbf16(engine), peak_amx(engine)};
	static const char *const names[3] = {"float32", "vdpbf16ps", "tdpbf16ps"};

	for (int i = bf16 ? 1 : 0; i < (bf16 ? 3 : 1); i++)
		if (peaks[i] > 0)
			printf("gpt %s %.1f GFLOP/s, %.3f of the %.0f that %s reaches in registers\n",
				   shape->name, flop * 1e-9, flop / peaks[i], peaks[i] * 1e-9, names[i]);
}

int
main(int argc, char **argv)
{
	const Shape *shape = shape_named(argc > 1 ? argv[1] : "XS");
	int steps = argc > 2 ? atoi(argv[2]) : 10;
	LmHost host = {.reallocate = bench_reallocate};
	LmEngineOptions engine_options = {getenv("THREADS") ? atoi(getenv("THREADS")) : 2,
									  getenv("BLAS"), getenv("BF16")};
	LmError error = {0};
	LmEngine *engine = lm_engine_start(&host, &engine_options, &error);
	LmConfig config = shape_config(shape);
	LmTrainOptions options = lm_train_options_default();
	int64_t busy[2][LM_MAX_THREADS];
	double *times = calloc(steps + 2, sizeof(double)), *losses = calloc(steps + 2, sizeof(double)),
		   all = 0, speed;
	uint64_t random = 1;
	bool bf16;
	LmTrainer *trainer;
	LmBatch batch;
	struct rusage usage;

	must(engine != NULL, &error);
	must(lm_config_check(&config, &error), &error);
	bf16 = getenv("PRECISION") && strcmp(getenv("PRECISION"), "float32") != 0 &&
		   lm_engine_bf16(engine);
	options.precision = bf16 ? LM_BFLOAT16 : LM_FLOAT32;
	options.recompute = argc > 3 && strcmp(argv[3], "recompute") == 0;
	options.max_tokens = shape->batch * shape->context;
	options.learning_rate = 1e-3;
	options.min_learning_rate = 1e-3;
	options.warmup_steps = 0;
	while (getenv("OPTIMIZER") && lm_optimizer_name(options.optimizer) &&
		   strcmp(getenv("OPTIMIZER"), lm_optimizer_name(options.optimizer)) != 0)
		options.optimizer++;
	options.steps = steps + 2;
	trainer = lm_trainer_create(engine, &config, &options, &error);
	must(trainer != NULL, &error);
	must(lm_batch_create(&batch, &host, options.max_tokens, &error), &error);
	for (int step = 0; step < steps + 2; step++)
	{
		LmStepResult result;
		double started;

		fill(&batch, shape, &random);
		started = seconds_now();
		if (step == 2)
			lm_engine_busy(engine, busy[0]);
		must(lm_trainer_step(&result, trainer, step, &batch, 1, NULL, NULL, &error), &error);
		times[step] = seconds_now() - started;
		losses[step] = result.loss;
	}
	lm_engine_busy(engine, busy[1]);
	for (int step = 2; step < steps + 2; step++)
		all += times[step];
	qsort(times + 2, steps, sizeof(double), compare_doubles);
	speed = batch.n_tokens / times[2 + steps / 2];
	printf("gpt %s tokens_per_second %.0f best %.0f (%s, %s, %d threads)\n", shape->name, speed,
		   batch.n_tokens / times[2], bf16 ? "bfloat16" : "float32",
		   bf16 ? lm_engine_bf16(engine) : lm_engine_description(engine),
		   lm_engine_threads(engine));
	print_peak(engine, shape, speed * shape_flop(shape), bf16);
	printf("gpt %s loss", shape->name);
	for (int step = 0; step < steps + 2; step += (steps + 9) / 8)
		printf(" %d %.4f", step, losses[step]);
	printf("\n");
	printf("gpt %s waiting", shape->name);
	for (int i = 0; i < lm_engine_threads(engine); i++)
		printf(" %.1f %%", 100 - (busy[1][i] - busy[0][i]) * 1e-7 / all);
	getrusage(RUSAGE_SELF, &usage);
	printf(" of the step, memory %.2f GiB at most\n", usage.ru_maxrss / 1048576.0);
	return 0;
}
