/*
 * bench/passes.c WORK [MODEL]
 *
 * The passes of training that are not products, on THREADS threads (2):
 *
 *   update MODEL   milliseconds of the gradient's norm and of AdamW over the model's parameters, beside a pass
 *                  that only reads the gradient's memory and one that only clears it
 */
#include "shapes.h"

#include "model/network.h"

#define ROUNDS 15

typedef struct Update
{
	LmEngine *engine;
	const LmParamTable *table;
	float *blocks[4]; /* parameters, moments, gradient */
	LmAdamWRange *ranges;
	void *scratch;
	double sum;
} Update;

static const LmAdamW decayed = {1e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.5f, 0.5f, 0.9f};
static const LmAdamW plain = {1e-4f, 0.9f, 0.95f, 1e-8f, 0, 0.5f, 0.5f, 0.9f};

static void
clear(void *work)
{
	Update *update = work;

	lm_zero(update->engine, update->blocks[3], update->table->total);
}

static void
norm(void *work)
{
	Update *update = work;

	update->sum += lm_sum_squares(update->engine, update->blocks[3], update->table->total, update->scratch);
}

static void
adamw(void *work)
{
	Update *update = work;

	lm_adamw_sweep(update->engine, update->blocks[0], update->blocks[1], update->blocks[2], update->blocks[3],
				   update->ranges, update->table->n_params);
}

static void
report(const char *name, double bytes, double *seconds)
{
	qsort(seconds, ROUNDS, sizeof(double), compare_doubles);
	printf("%-24s %8.2f ms median %8.2f ms best %7.1f GB/s\n", name, seconds[ROUNDS / 2] * 1e3, seconds[0] * 1e3,
		   bytes / seconds[ROUNDS / 2] / 1e9);
}

static void
update_mode(LmEngine *engine, const LmHost *host, const Shape *shape)
{
	LmConfig config = shape_config(shape);
	LmError error = {0};
	Update update = {engine, lm_param_table_create(host, &config, &error)};
	double seconds[4][ROUNDS], bytes = 4;
	void (*tasks[3])(void *) = {clear, norm, adamw};

	must(update.table != NULL, &error);
	bytes *= update.table->total;
	for (int i = 0; i < 4; i++)
	{
		update.blocks[i] = lm_allocate_unset(host, update.table->total * sizeof(float));
		must(update.blocks[i] != NULL, &error);
		lm_params_init(engine, update.blocks[i], update.table, i);
	}
	for (size_t i = 0; i < update.table->total; i++)
		update.blocks[2][i] *= update.blocks[2][i];
	update.scratch = lm_allocate(host, lm_sum_squares_scratch(update.table->total));
	update.ranges = lm_allocate(host, update.table->n_params * sizeof(LmAdamWRange));
	for (int i = 0; i < update.table->n_params; i++)
	{
		const LmParam *param = &update.table->params[i];

		update.ranges[i] = (LmAdamWRange){param->offset, param->count, param->decay ? &decayed : &plain, 0};
	}
	for (int round = 0; round < ROUNDS; round++)
	{
		double started = seconds_now();

		for (int task = 0; task < 3; task++)
		{
			double before = seconds_now();

			tasks[task](&update);
			seconds[task][round] = seconds_now() - before;
		}
		seconds[3][round] = seconds_now() - started - seconds[0][round];
	}
	printf("%s, %zu parameters, %d threads\n", shape->name, update.table->parameter_count, lm_engine_threads(engine));
	report("clear (no longer done)", bytes, seconds[0]);
	report("norm", bytes, seconds[1]);
	report("AdamW", 7 * bytes, seconds[2]);
	report("norm and AdamW", 8 * bytes, seconds[3]);
}

int
main(int argc, char **argv)
{
	const char *work = argc > 1 ? argv[1] : "";
	LmHost host = {bench_reallocate, NULL, NULL};
	LmEngineOptions options = {getenv("THREADS") ? atoi(getenv("THREADS")) : 2, ""};
	LmError error = {0};
	LmEngine *engine = lm_engine_start(&host, &options, &error);

	must(engine != NULL, &error);
	if (strcmp(work, "update") == 0)
		update_mode(engine, &host, shape_named(argc > 2 ? argv[2] : "M"));
	else
	{
		fprintf(stderr, "usage: %s update [XS|S|M]\n", argv[0]);
		return 2;
	}
	lm_engine_stop(engine);
	return 0;
}
