/*
 * bench/outer.c
 *
 * outer [MILLIONS] - what a sync of DiLoCo costs a member and the coordinator, and a step along the
 * tree its owner of a slice: nanoseconds a parameter, the median of 9 rounds (THREADS, CLOCK=cpu).
 */
#include "engine/gradient_tree.h"
#include "engine/outer.h"
#include "shapes.h"

#define ROUNDS 9

typedef struct Blocks
{
	size_t count;
	uint8_t *packed;
	float *common, *local, *left, *sum;
} Blocks;

static void
print_median(const char *what, double *seconds, size_t count)
{
	qsort(seconds, ROUNDS, sizeof *seconds, compare_doubles);
	printf("%-12s %.3f ns a parameter\n", what, seconds[ROUNDS / 2] / count * 1e9);
}

static void
measure_bits(Blocks *b, int bits, LmEngine *engine)
{
	double times[5][ROUNDS];
	const char *names[5] = {"difference", "check", "add", "update", "apply"};
	size_t size = lm_outer_size(b->count, bits);
	LmError error;

	memset(b->left, 0, b->count * sizeof(float));
	for (int i = 0; i < ROUNDS; i++)
	{
		double at[6];

		at[0] = seconds_now();
		must(lm_outer_difference(b->packed, b->left, b->common, b->local, b->count, bits, engine,
								 &error),
			 &error);
		at[1] = seconds_now();
		must(lm_outer_check(b->packed, size, b->count, bits, engine, &error), &error);
		at[2] = seconds_now();
		memset(b->sum, 0, b->count * sizeof(float));
		lm_outer_add(b->sum, b->packed, 0.5f, b->count, bits, engine);
		at[3] = seconds_now();
		must(lm_outer_update(b->packed, b->local, b->left, b->sum, 1, b->count, bits, engine,
							 &error),
			 &error);
		at[4] = seconds_now();
		lm_outer_apply(b->common, b->local, b->packed, b->count, bits, engine);
		at[5] = seconds_now();
		for (int k = 0; k < 5; k++)
			times[k][i] = at[k + 1] - at[k];
		for (size_t k = 0; k < b->count; k++)
			b->local[k] = b->common[k] + (float) (k % 77) * 1e-4f;
	}
	printf("%d bits, %.1f MB\n", bits, size / 1e6);
	for (int k = 0; k < 5; k++)
		print_median(names[k], times[k], b->count);
}

int
main(int argc, char **argv)
{
	Blocks b = {.count = (argc > 1 ? atoi(argv[1]) : 30) * (size_t) 1000000};
	LmHost host = {.reallocate = bench_reallocate};
	LmEngineOptions options = {.n_threads = getenv("THREADS") ? atoi(getenv("THREADS")) : 1};
	LmTreeNode nodes[2] = {{0, 1}, {1, 1}};
	double seconds[ROUNDS];
	LmError error;
	LmEngine *engine = lm_engine_start(&host, &options, &error);

	must(engine != NULL, &error);
	lm_engine_begin(engine);
	b.packed = malloc(lm_outer_size(b.count, 8));
	b.common = calloc(b.count, sizeof(float));
	b.local = calloc(b.count, sizeof(float));
	b.left = calloc(b.count, sizeof(float));
	b.sum = calloc(b.count, sizeof(float));
	if (!b.packed || !b.common || !b.local || !b.left || !b.sum)
		return 1;
	for (size_t k = 0; k < b.count; k++)
		b.local[k] = (float) (k % 77) * 1e-4f;
	measure_bits(&b, 8, engine);
	measure_bits(&b, 4, engine);
	for (int i = 0; i < ROUNDS; i++)
	{
		float *values[2] = {b.sum, b.local};
		double start = seconds_now();

		must(lm_tree_fold(values, nodes, 2, 2, b.count, &error), &error);
		seconds[i] = seconds_now() - start;
	}
	print_median("fold of two", seconds, b.count);
	lm_engine_stop(engine);
	return 0;
}
