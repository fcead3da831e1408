/*
 * bench/kernels.c
 *
 * How fast the engine's operations are on this machine, beside what its registers and memory allow.
 * Each line is the best and the median of several rounds; the two sides of a comparison take turns.
 *
 *   build/bench-kernels [threads]
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "engine/ops.h"
#include "kernels/simd.h"
#include "train/adamw.h"

#define ROUNDS 9

static void *
reallocate(void *context, void *pointer, size_t size)
{
	if (size)
		return realloc(pointer, size);
	free(pointer);
	return NULL;
}

static const LmHost host = {.reallocate = reallocate};

static LmEngine *
start(int n_threads, const char *library)
{
	LmEngineOptions options = {
		.n_threads = n_threads, .blas_library = library, .f32 = library ? NULL : ""};
	LmError error;
	LmEngine *engine = lm_engine_start(&host, &options, &error);

	if (!engine)
		exit(1);
	return engine;
}

static float *
floats(size_t count)
{
	float *x = lm_allocate(&host, count * sizeof *x);

	for (size_t i = 0; i < count; i++)
		x[i] = (float) (i * 2654435761u % 1000) / 500 - 1;
	return x;
}

static int
compare(const void *a, const void *b)
{
	return *(const double *) a < *(const double *) b ? -1 : 1;
}

typedef void (*Task)(void *context);

/* Seconds of one call: calls are repeated until a round takes 20 ms. */
static double
time_task(Task task, void *context, double *median)
{
	double times[ROUNDS];
	int repeat = 1;

	for (;;)
	{
		double begin = wall_seconds();

		for (int i = 0; i < repeat; i++)
			task(context);
		if (wall_seconds() - begin > 0.02)
			break;
		repeat *= 2;
	}
	for (int round = 0; round < ROUNDS; round++)
	{
		double begin = wall_seconds();

		for (int i = 0; i < repeat; i++)
			task(context);
		times[round] = (wall_seconds() - begin) / repeat;
	}
	qsort(times, ROUNDS, sizeof *times, compare);
	*median = times[ROUNDS / 2];
	return times[0];
}

static void
report(const char *name, const char *unit, double amount, Task task, void *context)
{
	double median, best = time_task(task, context, &median);

	printf("%-52s best %8.1f  median %8.1f %s  (%.3f ms)\n", name, amount / best * 1e-9,
		   amount / median * 1e-9, unit, median * 1e3);
	fflush(stdout);
}

/* ---- The limits --------------------------------------------------------- */

#if defined(__x86_64__)
#include <immintrin.h>
#define CHAINS 10

__attribute__((target("avx512f"))) static void
chains_avx512(void)
{
	__m512 sums[CHAINS], factor = _mm512_set1_ps(0.999f);

#pragma GCC unroll 10
	for (int i = 0; i < CHAINS; i++)
		sums[i] = _mm512_set1_ps((float) i);
	for (int n = 0; n < 10000; n++)
#pragma GCC unroll 10
		for (int i = 0; i < CHAINS; i++)
			sums[i] = _mm512_fmadd_ps(sums[i], factor, factor);
#pragma GCC unroll 10
	for (int i = 0; i < CHAINS; i++)
		__asm__ volatile("" ::"x"(sums[i]));
}

static void
peak_piece(void *work, int piece, int thread)
{
	chains_avx512();
}
#endif

typedef struct Context
{
	LmEngine *engine;
	LmTranspose transpose;
	int m, n, k;
	bool builtin;
	float *y, *a, *b, *c, *d;
	LmLinear linear;
	int n_rows, H, C;
	int kv_heads, window;
	float softcap;
	int32_t *starts, *positions, *examples;
	LmDropout dropout;
	size_t count;
	void *scratch;
} Context;

#if defined(__x86_64__)
static void
peak_task(void *argument)
{
	Context *context = argument;

	lm_engine_run(context->engine, peak_piece, NULL, 16);
}
#endif

static void
read_piece(void *argument, int piece, int thread)
{
	Context *context = argument;

	if (lm_simd()->dot(context->a + (size_t) piece * 65536, context->a + (size_t) piece * 65536,
					   65536) == 0.125f)
		printf(" ");
}

static void
read_task(void *argument)
{
	Context *context = argument;

	lm_engine_run(context->engine, read_piece, context, (int) (context->count / 65536));
}

static void
empty_piece(void *argument, int piece, int thread)
{
}

static void
empty_task(void *argument)
{
	Context *context = argument;

	lm_engine_run(context->engine, empty_piece, NULL, 8);
}

static void
matmul_task(void *argument)
{
	Context *x = argument;
	int ld_a = x->transpose == LM_TN ? x->m : x->k, ld_b = x->transpose == LM_NT ? x->k : x->n;

	if (x->builtin)
		lm_matmul_builtin(x->y, x->a, x->b, x->transpose, x->m, x->n, x->k, x->n, ld_a, ld_b, 1, 0);
	else
		lm_matmul(x->engine, x->y, x->a, x->b, x->transpose, x->m, x->n, x->k, x->n, ld_a, ld_b, 1,
				  0);
}

static void
forward_task(void *argument)
{
	Context *x = argument;

	lm_linear_forward(x->engine, x->y, x->a, &x->linear, x->n_rows);
}

static void
backward_task(void *argument)
{
	Context *x = argument;

	lm_linear_backward(x->engine, x->c, x->d, NULL, x->y, x->a, &x->linear, x->n_rows, x->scratch);
}

static void
infer_task(void *argument)
{
	Context *x = argument;

	lm_linear_infer(x->engine, x->y, x->a, &x->linear, x->n_rows, NULL);
}

/* Heads that share nothing unless a number of kv_heads is set. */
static LmAttentionShape
attention_shape(const Context *x)
{
	int size = x->C / x->H;

	return (LmAttentionShape){.heads = x->H,
							  .kv_heads = x->kv_heads > 0 ? x->kv_heads : x->H,
							  .head_size = size,
							  .scale = 1 / sqrtf((float) size),
							  .softcap = x->softcap,
							  .window = x->window};
}

static void
attention_forward_task(void *argument)
{
	Context *x = argument;
	LmAttentionShape shape = attention_shape(x);
	LmDocumentRows rows = {.n_rows = x->n_rows, .starts = x->starts};

	lm_attention_forward(x->engine, x->y, x->b, x->a, &rows, &x->dropout, &shape, x->scratch);
}

static void
attention_backward_task(void *argument)
{
	Context *x = argument;
	LmAttentionShape shape = attention_shape(x);
	LmDocumentRows rows = {.n_rows = x->n_rows, .starts = x->starts};

	lm_attention_backward(x->engine, x->d, x->c, x->y, x->b, x->a, &rows, &x->dropout, &shape,
						  x->scratch);
}

static void
gelu_task(void *argument)
{
	Context *x = argument;

	lm_gelu_forward(x->engine, x->y, x->a, x->count, LM_GELU_TANH);
}

static void
gelu_backward_task(void *argument)
{
	Context *x = argument;

	lm_gelu_backward(x->engine, x->y, x->b, x->a, x->count, LM_GELU_TANH);
}

static void
gate_task(void *argument)
{
	Context *x = argument;

	lm_gate_forward(x->engine, x->y, x->a, x->n_rows, 1536, LM_SWIGLU);
}

static void
gate_backward_task(void *argument)
{
	Context *x = argument;

	lm_gate_backward(x->engine, x->y, x->b, x->a, x->n_rows, 1536, LM_SWIGLU);
}

static void
gelu_erf_task(void *argument)
{
	Context *x = argument;

	lm_gelu_forward(x->engine, x->y, x->a, x->count, LM_GELU);
}

static void
norm_task(void *argument)
{
	Context *x = argument;

	lm_norm_forward(x->engine, x->y, x->c, x->d, x->a, x->b, x->b, x->n_rows, x->C, 1e-5f,
					LM_LAYERNORM);
}

static void
norm_backward_task(void *argument)
{
	Context *x = argument;

	lm_norm_backward(x->engine, x->y, x->c + x->n_rows, x->d + x->n_rows, x->b, x->a, x->c, x->d,
					 x->b, x->n_rows, x->C, LM_LAYERNORM, x->scratch);
}

static void
residual_task(void *argument)
{
	Context *x = argument;

	LmResidual residual = {x->y, x->a, x->b, &x->dropout};

	lm_residual_norm_forward(x->engine, x->c, x->d, x->d + x->n_rows, &residual, x->b, x->b,
							 x->n_rows, x->C, 1e-5f, LM_LAYERNORM);
}

static void
entropy_task(void *argument)
{
	Context *x = argument;

	lm_cross_entropy(x->engine, x->a, x->y, x->positions, x->b, 0, 0, x->n_rows, x->C);
}

static void
adamw_task(void *argument)
{
	static const LmAdamW adamw = {1e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.5f, 0.5f, 1};
	Context *x = argument;

	LmAdamWRange all = {0, x->count, &adamw};

	lm_adamw_sweep(x->engine, x->y, x->a, x->b, x->c, &all, 1);
}

static void
sum_squares_task(void *argument)
{
	Context *x = argument;

	lm_sum_squares(x->engine, x->a, x->count, x->scratch);
}

static void
embedding_task(void *argument)
{
	Context *x = argument;

	lm_embedding_backward(x->engine, x->y, x->b, x->a, x->starts, x->positions, 1, x->n_rows, x->C);
}

static void
bench_limits(Context *x)
{
	for (int n_threads = 1; n_threads <= 2; n_threads++)
	{
		char name[100];

		x->engine = start(n_threads, "");
#if defined(__x86_64__)
		snprintf(name, sizeof name, "float32 FMA in registers, %d threads", n_threads);
		if (lm_simd() == &lm_simd_avx512)
			report(name, "GFLOP/s", 16.0 * 10000 * CHAINS * 32, peak_task, x);
#endif
		snprintf(name, sizeof name, "memory read, %d threads", n_threads);
		x->count = 64 << 20;
		report(name, "GB/s", 4.0 * (double) x->count, read_task, x);
		snprintf(name, sizeof name, "eight empty pieces, %d threads", n_threads);
		report(name, "G/s", 1, empty_task, x);
		lm_engine_stop(x->engine);
	}
}

static void
bench_products(Context *x)
{
	static const int shapes[][4] = {
		{LM_NT, 512, 384, 128},	 {LM_NT, 512, 512, 128},   {LM_NT, 512, 1152, 384},
		{LM_NT, 512, 1536, 384}, {LM_NN, 512, 384, 1536},  {LM_TN, 128, 128, 4096},
		{LM_TN, 384, 384, 4096}, {LM_NT, 1024, 768, 3072}, {LM_NT, 64, 128, 32},
		{LM_NT, 64, 256, 64},	 {LM_NN, 64, 64, 256},	   {LM_TN, 256, 64, 64},
		{LM_NT, 16, 16, 32},
	};
	static const char *const names[] = {"NN", "NT", "TN"};

	x->engine = start(1, NULL);
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		for (int builtin = 0; builtin < 2; builtin++)
		{
			char name[100];

			x->transpose = (LmTranspose) shapes[i][0];
			x->m = shapes[i][1];
			x->n = shapes[i][2];
			x->k = shapes[i][3];
			x->builtin = builtin;
			snprintf(name, sizeof name, "product %s m %d n %d k %d %s", names[x->transpose], x->m,
					 x->n, x->k, builtin ? "built-in" : "library");
			report(name, "GFLOP/s", 2.0 * x->m * x->n * x->k, matmul_task, x);
		}
	lm_engine_stop(x->engine);
}

static void
bench_linear(Context *x, const char *library)
{
	static const int shapes[][3] = {{4096, 128, 384},  {4096, 128, 128},  {4096, 128, 512},
									{4096, 512, 128},  {256, 128, 1024},  {1024, 128, 1024},
									{4096, 384, 1152}, {4096, 384, 1536}, {4096, 1536, 384},
									{256, 384, 256}};

	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
	{
		double work = 2.0 * shapes[i][0] * shapes[i][1] * shapes[i][2];
		char name[100];

		x->n_rows = shapes[i][0];
		x->linear = (LmLinear){shapes[i][1], shapes[i][2], x->b, x->b, NULL};
		snprintf(name, sizeof name, "linear forward %d rows %d -> %d %s", x->n_rows, shapes[i][1],
				 shapes[i][2], library ? "built-in" : "library");
		report(name, "GFLOP/s", work, forward_task, x);
		snprintf(name, sizeof name, "linear backward %d rows %d -> %d %s", x->n_rows, shapes[i][1],
				 shapes[i][2], library ? "built-in" : "library");
		report(name, "GFLOP/s", 2 * work, backward_task, x);
	}
}

static void
bench_inference(Context *x)
{
	static const int shapes[][3] = {{1, 768, 3072}, {1, 768, 50257}, {1, 384, 1536},
									{8, 768, 3072}, {32, 768, 3072}, {256, 768, 3072}};

	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
	{
		double weights = (double) shapes[i][1] * shapes[i][2];
		char name[100];

		x->n_rows = shapes[i][0];
		x->linear = (LmLinear){shapes[i][1], shapes[i][2], NULL, x->a, x->b};
		snprintf(name, sizeof name, "infer %d rows %d -> %d", x->n_rows, shapes[i][1],
				 shapes[i][2]);
		if (x->n_rows == 1)
			report(name, "GB/s", 4 * weights, infer_task, x);
		else
			report(name, "GFLOP/s", 2 * weights * x->n_rows, infer_task, x);
	}
}

static void
bench_attention(Context *x, const char *library)
{
	static const int shapes[][3] = {{128, 4, 128}, {16, 4, 128}, {256, 6, 384}, {1024, 12, 768}};

	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		for (int dropout = 0; dropout < 2; dropout++)
		{
			int T = shapes[i][0];
			double work = 2.0 * 4096 * T * shapes[i][2]; /* half of the square, two products */
			char name[100];

			x->n_rows = 4096;
			x->H = shapes[i][1];
			x->C = shapes[i][2];
			x->dropout.rate = dropout ? 0.1f : 0;
			for (int row = 0; row < 4096; row++)
			{
				x->starts[row] = row / T * T;
				x->positions[row] = row % T;
				x->examples[row] = row / T;
			}
			snprintf(name, sizeof name, "attention T %d, %d heads of %d%s %s", T, x->H, x->C / x->H,
					 dropout ? ", dropout" : "", library ? "built-in" : "library");
			report(name, "GFLOP/s", work, attention_forward_task, x);
			report("    backward", "GFLOP/s", 2.5 * work, attention_backward_task, x);
		}
}

/* Shared keys, a window and a cap, beside plain attention of the same size. */
static void
bench_attention_shapes(Context *x)
{
	static const struct
	{
		int kv_heads;
		int window;
		float softcap;
		const char *name;
	} shapes[] = {{12, 0, 0, "12 heads of 64 over 12"},
				  {4, 0, 0, "12 heads of 64 over 4"},
				  {1, 0, 0, "12 heads of 64 over 1"},
				  {12, 256, 0, "the same with a window of 256"},
				  {12, 0, 50, "the same with a soft cap"}};

	x->n_rows = 4096;
	x->H = 12;
	x->C = 768;
	x->dropout.rate = 0;
	for (int row = 0; row < 4096; row++)
		x->starts[row] = row / 1024 * 1024;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
	{
		double work = 2.0 * 4096 * 1024 * 768;
		char name[100];

		x->kv_heads = shapes[i].kv_heads;
		x->window = shapes[i].window;
		x->softcap = shapes[i].softcap;
		snprintf(name, sizeof name, "attention T 1024, %s", shapes[i].name);
		report(name, "GFLOP/s", work, attention_forward_task, x);
		report("    backward", "GFLOP/s", 2.5 * work, attention_backward_task, x);
	}
}

static void
bench_passes(Context *x)
{
	x->n_rows = 4096;
	x->C = 384;
	x->count = 4096 * 1536;
	report("GELU (tanh), 4096 x 1536", "GB/s", 8.0 * (double) x->count, gelu_task, x);
	report("GELU (erf), 4096 x 1536", "GB/s", 8.0 * (double) x->count, gelu_erf_task, x);
	report("GELU (tanh) backward, 4096 x 1536", "GB/s", 12.0 * (double) x->count,
		   gelu_backward_task, x);
	report("SwiGLU's gate, 4096 x 2 x 1536", "GB/s", 12.0 * (double) x->count, gate_task, x);
	report("SwiGLU's gate backward, 4096 x 2 x 1536", "GB/s", 20.0 * (double) x->count,
		   gate_backward_task, x);
	report("norm, 4096 x 384", "GB/s", 8.0 * 4096 * 384, norm_task, x);
	report("norm backward, 4096 x 384", "GB/s", 16.0 * 4096 * 384, norm_backward_task, x);
	x->dropout.rate = 0;
	report("residual and norm, 4096 x 384", "GB/s", 16.0 * 4096 * 384, residual_task, x);
	x->dropout.rate = 0.1f;
	report("residual with dropout and norm, 4096 x 384", "GB/s", 16.0 * 4096 * 384, residual_task,
		   x);
	report("embedding backward, 4096 x 384", "GB/s", 12.0 * 4096 * 384, embedding_task, x);
	x->n_rows = 1024;
	x->C = 1024;
	report("cross-entropy, 1024 x 1024", "GB/s", 8.0 * 1024 * 1024, entropy_task, x);
	x->count = 16 << 20;
	report("sum of squares, 16 Mi", "GB/s", 4.0 * (double) x->count, sum_squares_task, x);
	report("AdamW, 16 Mi", "GB/s", 28.0 * (double) x->count, adamw_task, x);
}

int
main(int argc, char **argv)
{
	int n_threads = argc > 1 ? atoi(argv[1]) : 2;
	Context x = {.y = floats(64 << 20),
				 .a = floats(64 << 20),
				 .b = floats(64 << 20),
				 .c = floats(16 << 20),
				 .d = floats(16 << 20)};

	x.starts = lm_allocate(&host, 4096 * sizeof *x.starts);
	x.positions = lm_allocate(&host, 4096 * sizeof *x.positions);
	x.examples = lm_allocate(&host, 4096 * sizeof *x.examples);
	x.scratch = lm_allocate(&host, 64 << 20);
	x.dropout = (LmDropout){0, lm_key(1, LM_RANDOM_MLP_DROPOUT, 1, 1), x.examples, x.positions};
	bench_limits(&x);
	bench_products(&x);
	for (int i = 0; i < 2; i++)
	{
		const char *library = i ? "" : NULL;

		x.engine = start(n_threads, library);
		printf("-- %s, %d threads\n", lm_engine_description(x.engine), lm_engine_threads(x.engine));
		bench_linear(&x, library);
		bench_attention(&x, library);
		if (i == 1)
		{
			bench_attention_shapes(&x);
			bench_inference(&x);
			bench_passes(&x);
		}
		lm_engine_stop(x.engine);
	}
	return 0;
}
