/*
 * test/unit/test_matmul.c
 *
 * Matrix products of each instruction set and of the loaded library against three loops in float64.
 */
#include "kernels.h"

typedef struct Shape
{
	int m;
	int n;
	int k;
} Shape;

static const Shape shapes[] = {{1, 1, 1},	   {1, 33, 7},	 {5, 3, 2},		 {12, 32, 64},
							   {13, 31, 5},	   {64, 64, 64}, {97, 100, 300}, {200, 330, 17},
							   {30, 700, 520}, {3, 4, 0}};

typedef void (*Product)(const void *context, float *y, const float *a, const float *b,
						LmTranspose transpose, int m, int n, int k, int ld_y, int ld_a, int ld_b,
						float scale, float beta);

static void
by_simd(const void *context, float *y, const float *a, const float *b, LmTranspose transpose, int m,
		int n, int k, int ld_y, int ld_a, int ld_b, float scale, float beta)
{
	((const LmSimd *) context)->matmul(y, a, b, transpose, m, n, k, ld_y, ld_a, ld_b, scale, beta);
}

static void
by_engine(const void *context, float *y, const float *a, const float *b, LmTranspose transpose,
		  int m, int n, int k, int ld_y, int ld_a, int ld_b, float scale, float beta)
{
	lm_matmul(context, y, a, b, transpose, m, n, k, ld_y, ld_a, ld_b, scale, beta);
}

/* Memory beyond what the product may write must stay as it was: y is compared whole. */
static bool
agrees(Product product, const void *context, Shape shape, LmTranspose transpose, float beta)
{
	int ld_y = shape.n + 3, ld_a = (transpose == LM_TN ? shape.m : shape.k) + 1;
	int ld_b = (transpose == LM_NT ? shape.k : shape.n) + 2;
	size_t count = (size_t) shape.m * ld_y;
	float *a = random_floats((size_t) (shape.m + shape.k) * ld_a, 1, 1);
	float *b = random_floats((size_t) (shape.n + shape.k) * ld_b, 1, 2);
	float *y = random_floats(count, 1, 3), *wanted = copy_floats(y, count);
	bool pass;

	product(context, y, a, b, transpose, shape.m, shape.n, shape.k, ld_y, ld_a, ld_b, 0.7f, beta);
	lm_matmul_naive(wanted, a, b, transpose, shape.m, shape.n, shape.k, ld_y, ld_a, ld_b, 0.7f,
					beta);
	pass = largest_difference(y, wanted, count) <= 1e-5 * (1 + sqrt(shape.k));
	if (!pass)
		printf("# transpose %d m %d n %d k %d beta %g: %g\n", transpose, shape.m, shape.n, shape.k,
			   (double) beta, largest_difference(y, wanted, count));
	free(a);
	free(b);
	free(y);
	free(wanted);
	return pass;
}

static void
test_products(Product product, const void *context, const char *name)
{
	static const char *const forms[] = {"a b", "a b'", "a' b"};

	for (int transpose = 0; transpose < 3; transpose++)
		for (int beta = 0; beta < 2; beta++)
		{
			bool pass = true;

			for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
				pass &= agrees(product, context, shapes[i], (LmTranspose) transpose, (float) beta);
			ok(pass, "%s: %s %s agrees with three loops", name,
			   beta ? "y +" : "y =", forms[transpose]);
		}
}

/* Large enough that no processor leaves it to the built-in kernels. */
static void
test_library(const LmEngine *engine)
{
	static const Shape large = {420, 410, 400};
	bool pass = true;

	for (int transpose = 0; transpose < 3; transpose++)
		pass &= agrees(by_engine, engine, large, (LmTranspose) transpose, 1);
	ok(pass, "%s: large products agree with three loops", lm_engine_description(engine));
}

static void
test_nan(void)
{
	float y = NAN, a = 2, b = 3;

	lm_matmul_builtin(&y, &a, &b, LM_NN, 1, 1, 1, 1, 1, 1, 1, 0);
	is_near(y, 6, 0, "beta 0 does not read y");
}

int
main(void)
{
	const LmSimd *simds[3];
	int n_simds = test_simds(simds);
	LmEngine *engine = test_engine(1, NULL);

	for (int i = 0; i < n_simds; i++)
		test_products(by_simd, simds[i], simds[i]->name);
	if (strncmp(lm_engine_description(engine), "built-in", 8) != 0)
	{
		test_products(by_engine, engine, lm_engine_description(engine));
		test_library(engine);
	}
	else
		skip("products of the library", "none was found");
	test_nan();
	ok(strcmp(lm_simd_name(), simds[n_simds - 1]->name) == 0,
	   "the widest instruction set is chosen");
	lm_engine_stop(engine);
	return done_testing();
}
