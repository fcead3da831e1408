/*
 * test/unit/test_linear_tiles.c
 *
 * The door for products with a weight by packed tiles: every kernel against its plain twin bit by
 * bit, against the matrix product, and against itself on other numbers of threads.
 */
#include "kernels.h"

typedef struct Results
{
	int n_rows, n_in, n_out;
	float *y, *dx, *dw, *dbias;
	float *activated, *dbefore; /* with an activation after the layer, and with one before it */
} Results;

typedef struct Case
{
	const char *kernel;
	const char *twin;
	bool bf16;
} Case;

static const Case cases[] = {
	{"avx512_bf16", "plain avx512_bf16", true},
	{"amx", "plain amx", true},
	{"avx512", "plain", false},
};

/* kernel NULL: the matrix product. False where the kernel does not run here. */
static bool
compute(Results *results, const char *kernel, bool bf16, int n_threads, int n_rows, int n_in,
		int n_out, bool overwrite)
{
	LmEngineOptions options = {.n_threads = n_threads, .blas_library = ""};
	LmError error = {0};
	LmEngine *engine;
	size_t size = lm_linear_packed_size(n_rows, n_in, n_out, bf16);
	float *x, *w, *bias, *dy, *y;
	void *scratch;
	LmLinear linear;

	if (bf16)
		options.bf16 = kernel;
	else
		options.f32 = kernel ? kernel : "";
	engine = lm_engine_start(&kernels_host, &options, &error);
	/* Where no float32 kernel runs, there is no scratch to run its twin in either. */
	if (!engine || (kernel && size == 0))
	{
		lm_engine_stop(engine);
		return false;
	}
	scratch = test_scratch(kernel ? size : lm_linear_backward_scratch(n_rows, n_out));
	*results = (Results){n_rows, n_in, n_out};
	x = random_floats((size_t) n_rows * n_in, 1, 1);
	w = random_floats((size_t) n_out * n_in, 1, 2);
	bias = random_floats((size_t) n_out, 1, 3);
	dy = random_floats((size_t) n_rows * n_out, 1, 4);
	results->y = random_floats((size_t) n_rows * n_out, 1, 5);
	results->dx = random_floats((size_t) n_rows * n_in, 1, 6);
	results->dw = random_floats((size_t) n_out * n_in, 1, 7);
	results->dbias = random_floats((size_t) n_out, 1, 8);
	linear = (LmLinear){.n_in = n_in,
						.n_out = n_out,
						.w = w,
						.bias = bias,
						.overwrite = overwrite,
						.packed = kernel ? scratch : NULL,
						.bf16 = bf16};
	if (kernel)
		memset(scratch, 0xff, size);
	lm_linear_forward(engine, results->y, x, &linear, n_rows);
	lm_linear_backward(engine, results->dx, results->dw, results->dbias, dy, x, &linear, n_rows,
					   scratch);
	/*
	 * Once more with activations: x is not what gelu() makes of anything, but dx does not read it.
	 */
	results->activated = random_floats((size_t) n_rows * n_out, 1, 9);
	results->dbefore = random_floats((size_t) n_rows * n_in, 1, 10);
	y = random_floats((size_t) n_rows * n_out, 1, 11);
	linear.activation = LM_GELU_TANH;
	linear.activated = results->activated;
	linear.before = x;
	lm_linear_forward(engine, y, x, &linear, n_rows);
	ok(same_bits(y, results->y, (size_t) n_rows * n_out),
	   "%d rows, %d -> %d by %s: an activation does not change y", n_rows, n_in, n_out,
	   kernel ? kernel : "the product");
	lm_linear_backward(engine, results->dbefore, NULL, NULL, dy, x, &linear, n_rows, scratch);
	lm_gelu_forward(engine, y, results->y, (size_t) n_rows * n_out, LM_GELU_TANH);
	ok(same_bits(y, results->activated, (size_t) n_rows * n_out), "and is that of y");
	lm_gelu_backward(engine, x, results->dx, x, (size_t) n_rows * n_in, LM_GELU_TANH);
	ok(same_bits(x, results->dbefore, (size_t) n_rows * n_in),
	   "and its slope is that at what it was made of");
	lm_engine_stop(engine);
	free(y);
	free(scratch);
	free(x);
	free(w);
	free(bias);
	free(dy);
	return true;
}

static void
free_results(Results *results)
{
	free(results->y);
	free(results->dx);
	free(results->dw);
	free(results->dbias);
	free(results->activated);
	free(results->dbefore);
}

static bool
same_results(const Results *a, const Results *b)
{
	return same_bits(a->y, b->y, (size_t) a->n_rows * a->n_out) &&
		   same_bits(a->dx, b->dx, (size_t) a->n_rows * a->n_in) &&
		   same_bits(a->dw, b->dw, (size_t) a->n_in * a->n_out) &&
		   same_bits(a->dbias, b->dbias, (size_t) a->n_out) &&
		   same_bits(a->activated, b->activated, (size_t) a->n_rows * a->n_out) &&
		   same_bits(a->dbefore, b->dbefore, (size_t) a->n_rows * a->n_in);
}

/*
 * bfloat16 rounds both factors by up to 2^-9 of them: a sum of k products of N(0, 1) is off by 2^-9
 * sqrt(k) or so.
 */
static double
tolerance(int k, bool bf16)
{
	return bf16 ? 0x1p-9 * (8 * sqrt((double) k) + 16) : 1e-5 * sqrt((double) k);
}

static void
test_shape(int n_rows, int n_in, int n_out, bool overwrite)
{
	Results plain, wanted, got;
	char name[200];

	compute(&plain, NULL, false, 1, n_rows, n_in, n_out, overwrite);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
	{
		const char *kernel = cases[i].kernel, *twin = cases[i].twin;
		bool bf16 = cases[i].bf16;

		if (!compute(&wanted, twin, bf16, 2, n_rows, n_in, n_out, overwrite))
		{
			ok(true, "%s has no use on this machine", twin);
			continue;
		}
		snprintf(name, sizeof name, "%d rows, %d -> %d: y by %s is near the product's", n_rows,
				 n_in, n_out, twin);
		is_close(wanted.y, plain.y, (size_t) n_rows * n_out, tolerance(n_in, bf16), name);
		snprintf(name, sizeof name, "%d rows, %d -> %d: dx by %s is near the product's", n_rows,
				 n_in, n_out, twin);
		is_close(wanted.dx, plain.dx, (size_t) n_rows * n_in, tolerance(n_out, bf16), name);
		snprintf(name, sizeof name, "%d rows, %d -> %d: dw by %s is near the product's", n_rows,
				 n_in, n_out, twin);
		is_close(wanted.dw, plain.dw, (size_t) n_out * n_in, tolerance(n_rows, bf16), name);
		snprintf(name, sizeof name, "%d rows, %d -> %d: dbias by %s is the product's", n_rows, n_in,
				 n_out, twin);
		is_close(wanted.dbias, plain.dbias, (size_t) n_out, 1e-4, name);
		for (int n_threads = 1; n_threads <= 3; n_threads += 2)
		{
			if (!compute(&got, kernel, bf16, n_threads, n_rows, n_in, n_out, overwrite))
			{
				ok(true, "%s does not run on this machine", kernel);
				continue;
			}
			ok(same_results(&got, &wanted),
			   "%d rows, %d -> %d: %s on %d threads has the bits of its twin on 2", n_rows, n_in,
			   n_out, kernel, n_threads);
			free_results(&got);
		}
		free_results(&wanted);
	}
	free_results(&plain);
}

static void
test_names(void)
{
	LmEngineOptions options = {1, "", "none"};
	LmError error = {0};

	ok(lm_engine_start(&kernels_host, &options, &error) == NULL && error.code == LM_ERR_ARGUMENT,
	   "kernels that do not exist are an error");
	options = (LmEngineOptions){.n_threads = 1, .blas_library = "", .f32 = "none"};
	ok(lm_engine_start(&kernels_host, &options, &error) == NULL && error.code == LM_ERR_ARGUMENT,
	   "nor do float32 kernels of any name");
}

int
main(void)
{
	kernels_host = tap_host(&kernels_host_state);
	test_names();
	test_shape(1, 1, 1, false);
	test_shape(1, 40, 70, true);
	test_shape(33, 31, 65, false);
	test_shape(130, 96, 33, true);
	test_shape(600, 160, 288, false);
	is_int(kernels_host_state.live, 0, "everything is freed");
	return done_testing();
}
