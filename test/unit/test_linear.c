/*
 * test/unit/test_linear.c
 *
 * Products with a weight in training: against naive twins and central differences, and their bits
 * against the number of threads.
 */
#include "kernels.h"

typedef struct Arrays
{
	LmEngine *engine;
	LmLinear linear;
	int n_rows;
	float *x, *y, *w, *bias, *dy, *dx, *dw, *dbias;
	void *scratch;
} Arrays;

static Arrays
make_arrays(LmEngine *engine, int n_rows, int n_in, int n_out)
{
	Arrays a = {.engine = engine, .n_rows = n_rows};

	a.x = random_floats((size_t) n_rows * n_in, 1, 1);
	a.w = random_floats((size_t) n_out * n_in, 1, 2);
	a.bias = random_floats((size_t) n_out, 1, 3);
	a.dy = random_floats((size_t) n_rows * n_out, 1, 4);
	a.dx = random_floats((size_t) n_rows * n_in, 1, 5);
	a.dw = random_floats((size_t) n_out * n_in, 1, 6);
	a.dbias = random_floats((size_t) n_out, 1, 7);
	a.y = zero_array((size_t) n_rows * n_out);
	a.linear = (LmLinear){n_in, n_out, a.w, a.bias, NULL};
	a.scratch = test_scratch(lm_linear_backward_scratch(n_rows, n_out));
	return a;
}

static void
free_arrays(Arrays *a)
{
	free(a->x);
	free(a->w);
	free(a->bias);
	free(a->dy);
	free(a->dx);
	free(a->dw);
	free(a->dbias);
	free(a->y);
	free(a->scratch);
}

static void
test_against_naive(LmEngine *engine, int n_rows, int n_in, int n_out)
{
	Arrays a = make_arrays(engine, n_rows, n_in, n_out);
	size_t count = (size_t) n_rows * n_out;
	float *y = zero_array(count), *dx = zero_array((size_t) n_rows * n_in),
		  *dw = copy_floats(a.dw, (size_t) n_out * n_in);
	float *dbias = copy_floats(a.dbias, (size_t) n_out);
	char name[200];

	for (int row = 0; row < n_rows; row++)
		memcpy(y + (size_t) row * n_out, a.bias, (size_t) n_out * sizeof *y);
	lm_matmul_naive(y, a.x, a.w, LM_NT, n_rows, n_out, n_in, n_out, n_in, n_in, 1, 1);
	lm_matmul_naive(dx, a.dy, a.w, LM_NN, n_rows, n_in, n_out, n_in, n_out, n_in, 1, 0);
	lm_matmul_naive(dw, a.dy, a.x, LM_TN, n_out, n_in, n_rows, n_in, n_out, n_in, 1, 1);
	for (int o = 0; o < n_out; o++)
	{
		double sum = dbias[o];

		for (int row = 0; row < n_rows; row++)
			sum += a.dy[(size_t) row * n_out + o];
		dbias[o] = (float) sum;
	}
	lm_linear_forward(engine, a.y, a.x, &a.linear, n_rows);
	lm_linear_backward(engine, a.dx, a.dw, a.dbias, a.dy, a.x, &a.linear, n_rows, a.scratch);
	snprintf(name, sizeof name, "y of %d rows, %d -> %d, agrees with the naive twin", n_rows, n_in,
			 n_out);
	is_close(a.y, y, count, 1e-4, name);
	snprintf(name, sizeof name, "dx of %d rows, %d -> %d, agrees with the naive twin", n_rows, n_in,
			 n_out);
	is_close(a.dx, dx, (size_t) n_rows * n_in, 2e-4, name);
	snprintf(name, sizeof name, "dw of %d rows, %d -> %d, agrees with the naive twin", n_rows, n_in,
			 n_out);
	is_close(a.dw, dw, (size_t) n_out * n_in, 5e-4, name);
	snprintf(name, sizeof name, "dbias of %d rows, %d -> %d, agrees with the naive twin", n_rows,
			 n_in, n_out);
	is_close(a.dbias, dbias, (size_t) n_out, 3e-4, name);
	free(y);
	free(dx);
	free(dw);
	free(dbias);
	free_arrays(&a);
}

static void
test_frozen(LmEngine *engine)
{
	Arrays a = make_arrays(engine, 20, 16, 24);
	float *dx = copy_floats(a.dx, 20 * 16), *dw = copy_floats(a.dw, 24 * 16);

	lm_linear_backward(engine, NULL, a.dw, NULL, a.dy, a.x, &a.linear, 20, NULL);
	ok(same_bits(dx, a.dx, 20 * 16) && !same_bits(dw, a.dw, 24 * 16),
	   "dx is not computed when it is not wanted");
	memcpy(dw, a.dw, 24 * 16 * sizeof *dw);
	lm_linear_backward(engine, a.dx, NULL, NULL, a.dy, a.x, &a.linear, 20, NULL);
	ok(!same_bits(dx, a.dx, 20 * 16) && same_bits(dw, a.dw, 24 * 16),
	   "a frozen weight gets no gradient");
	free(dx);
	free(dw);
	free_arrays(&a);
}

static double
objective(void *context)
{
	Arrays *a = context;

	lm_linear_forward(a->engine, a->y, a->x, &a->linear, a->n_rows);
	return weighted_sum(a->y, a->dy, (size_t) a->n_rows * a->linear.n_out);
}

static void
test_gradients(LmEngine *engine)
{
	Arrays a = make_arrays(engine, 21, 10, 14);

	memset(a.dw, 0, 140 * sizeof *a.dw);
	memset(a.dbias, 0, 14 * sizeof *a.dbias);
	lm_linear_backward(engine, a.dx, a.dw, a.dbias, a.dy, a.x, &a.linear, 21, a.scratch);
	gradient_holds(objective, &a, a.x, a.dx, 210, 1e-2f, 1e-3,
				   "dx agrees with central differences");
	gradient_holds(objective, &a, a.w, a.dw, 140, 1e-2f, 1e-3,
				   "dw agrees with central differences");
	gradient_holds(objective, &a, a.bias, a.dbias, 14, 1e-2f, 1e-3,
				   "dbias agrees with central differences");
	free_arrays(&a);
}

static void
test_threads(const char *library)
{
	enum
	{
		ROWS = 1500,
		IN = 200,
		OUT = 300
	};
	Arrays first = {0};

	for (int n_threads = 1; n_threads <= 8; n_threads *= 2)
	{
		LmEngine *engine = test_engine(n_threads, library);
		Arrays a = make_arrays(engine, ROWS, IN, OUT);

		lm_linear_forward(engine, a.y, a.x, &a.linear, ROWS);
		lm_linear_backward(engine, a.dx, a.dw, a.dbias, a.dy, a.x, &a.linear, ROWS, a.scratch);
		if (n_threads > 1)
		{
			ok(same_bits(a.y, first.y, ROWS * OUT) && same_bits(a.dx, first.dx, ROWS * IN) &&
				   same_bits(a.dw, first.dw, OUT * IN) && same_bits(a.dbias, first.dbias, OUT),
			   "%d threads give the same bits as one (%s)", n_threads,
			   library ? "built-in" : "library");
			free_arrays(&a);
		}
		else
			first = a;
		lm_engine_stop(engine);
	}
	free_arrays(&first);
}

int
main(void)
{
	LmEngine *engine = test_engine(2, NULL);

	test_against_naive(engine, 1, 1, 1);
	test_against_naive(engine, 7, 5, 3);
	test_against_naive(engine, 1100, 65, 130);
	test_against_naive(engine, 600, 256, 300);
	test_frozen(engine);
	test_gradients(engine);
	lm_engine_stop(engine);
	test_threads(NULL);
	test_threads("");
	is_int(kernels_host_state.live, 0, "everything is freed");
	return done_testing();
}
