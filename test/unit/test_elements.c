/*
 * test/unit/test_elements.c
 *
 * The exponential and passes over elements against float64, for each instruction set: GELU, sums,
 * AdamW.
 */
#include "kernels.h"
#include "train/adamw.h"

/* Distance of got and the true value in units of the last place of the latter. */
static double
units(float got, double wanted)
{
	int exponent;

	frexp(wanted, &exponent);
	return fabs(got - wanted) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

static void
test_exponential(const LmSimd *simd)
{
	enum
	{
		COUNT = 4001
	};
	float x[COUNT], y[COUNT];
	double worst = 0;

	for (int part = 0; part < 200; part++)
	{
		for (int i = 0; i < COUNT; i++)
			x[i] = -87.3f + 176.0f * ((float) i * 200 + (float) part) / (COUNT * 200.0f);
		simd->exp(y, x, COUNT);
		for (int i = 0; i < COUNT; i++)
			worst = fmax(worst, units(y[i], exp(x[i])));
	}
	ok(worst <= 2, "%s: the exponential is within 2 units in the last place", simd->name);
	printf("# %.3f\n", worst);
	x[0] = -INFINITY;
	x[1] = -100;
	x[2] = 100;
	x[3] = INFINITY;
	x[4] = NAN;
	x[5] = 0;
	simd->exp(y, x, 6);
	ok(y[0] == 0 && y[1] == 0 && y[2] == INFINITY && y[3] == INFINITY && isnan(y[4]) && y[5] == 1,
	   "%s: the exponential of infinities, NaN and 0", simd->name);
}

static double
exact_gelu(double x, LmActivation kind)
{
	if (kind == LM_GELU)
		return 0.5 * x * erfc(-x * M_SQRT1_2);
	return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double
exact_slope(double x, LmActivation kind)
{
	double t;

	if (kind == LM_GELU)
		return 0.5 * erfc(-x * M_SQRT1_2) + x * exp(-x * x / 2) / sqrt(2 * M_PI);
	t = tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
	return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}

static void
test_gelu(const LmSimd *simd, LmActivation kind, const char *name)
{
	enum
	{
		COUNT = 20011
	};
	float x[COUNT], y[COUNT], dx[COUNT], dy[COUNT], extremes[4] = {-1e30f, 1e30f, -40, 40}, out[4];
	double worst = 0, worst_slope = 0;

	for (int i = 0; i < COUNT; i++)
	{
		x[i] = (float) (i - COUNT / 2) * 20.0f / COUNT;
		dy[i] = (float) (i % 7 - 3);
	}
	simd->gelu_forward(y, x, COUNT, kind);
	simd->gelu_backward(dx, dy, x, COUNT, kind);
	for (int i = 0; i < COUNT; i++)
	{
		worst = fmax(worst, fabs(y[i] - exact_gelu(x[i], kind)) / (1 + fabs(x[i])));
		worst_slope = fmax(worst_slope, fabs(dx[i] - dy[i] * exact_slope(x[i], kind)) / 3);
	}
	ok(worst < 3e-7, "%s: %s agrees with float64", simd->name, name);
	ok(worst_slope < 1e-6, "%s: the slope of %s agrees with float64", simd->name, name);
	printf("# %g %g\n", worst, worst_slope);
	simd->gelu_forward(out, extremes, 4, kind);
	ok(fabsf(out[0]) == 0 && out[1] == 1e30f && fabsf(out[2]) == 0 && out[3] == 40,
	   "%s: %s far from 0", simd->name, name);
	dy[0] = dy[1] = dy[2] = dy[3] = 1;
	simd->gelu_backward(out, dy, extremes, 4, kind);
	ok(fabsf(out[0]) == 0 && out[1] == 1 && fabsf(out[2]) == 0 && out[3] == 1,
	   "%s: the slope of %s far from 0", simd->name, name);
}

static void
test_relu2(const LmSimd *simd)
{
	enum
	{
		COUNT = 1003
	};
	float x[COUNT], y[COUNT], dx[COUNT], dy[COUNT];
	bool right = true;

	for (int i = 0; i < COUNT; i++)
	{
		x[i] = (float) (i - COUNT / 2) / 64; /* whose squares are exact */
		dy[i] = (float) (i % 7 - 3);
	}
	x[5] = NAN;
	simd->gelu_forward(y, x, COUNT, LM_RELU2);
	simd->gelu_backward(dx, dy, x, COUNT, LM_RELU2);
	for (int i = 0; i < COUNT; i++)
		right = right && (i == 5 ? isnan(y[i]) && isnan(dx[i])
								 : y[i] == (x[i] > 0 ? x[i] * x[i] : 0) &&
									   dx[i] == dy[i] * (x[i] > 0 ? 2 * x[i] : 0));
	ok(right, "%s: squared ReLU and its slope are exact, and NaN stays NaN", simd->name);
}

static void
test_small_passes(const LmSimd *simd)
{
	bool right = true;

	for (int n = 0; n < 70; n++)
	{
		float *x = random_floats(70, 1, 1), *y = random_floats(70, 1, 2),
			  *a = random_floats(70, 1, 3);
		float out[70], sum = 0, product[70];
		double squares = 0;

		memcpy(out, y, sizeof out);
		simd->add(out, x, (size_t) n);
		memcpy(product, y, sizeof product);
		simd->multiply(product, x, (size_t) n);
		for (int i = 0; i < 70; i++)
		{
			right &= out[i] == (i < n ? y[i] + x[i] : y[i]) &&
					 product[i] == (i < n ? y[i] * x[i] : y[i]);
			sum += i < n ? x[i] * y[i] : 0;
			squares += i < n ? (double) x[i] * x[i] : 0;
		}
		right &= fabsf(simd->dot(x, y, (size_t) n) - sum) < 1e-4f;
		right &= fabs(simd->sum_squares(x, (size_t) n) - squares) < 1e-12;
		simd->add_to(out, x, y, (size_t) n);
		simd->multiply_add(product, x, y, a, (size_t) n);
		for (int i = 0; i < n; i++)
			right &= out[i] == x[i] + y[i] && fabsf(product[i] - (x[i] + y[i] * a[i])) < 1e-6f;
		memcpy(out, y, sizeof out);
		simd->scale(out, 3, (size_t) n);
		for (int i = 0; i < 70; i++)
			right &= out[i] == (i < n ? 3 * y[i] : y[i]);
		free(x);
		free(y);
		free(a);
	}
	ok(right, "%s: sums, products and dot products of 0 to 69 elements touch nothing else",
	   simd->name);
}

static void
test_adamw(const LmSimd *simd)
{
	enum
	{
		COUNT = 1003
	};
	LmAdamW adamw = {3e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.19f, 0.0975f, 0.5f};
	float *p = random_floats(COUNT, 1, 1), *m = random_floats(COUNT, 0.1f, 2),
		  *v = random_floats(COUNT, 0.1f, 3);
	float *g = random_floats(COUNT, 1, 4), *wanted[3];
	char name[100];

	for (int i = 0; i < COUNT; i++)
		v[i] *= v[i];
	wanted[0] = copy_floats(p, COUNT);
	wanted[1] = copy_floats(m, COUNT);
	wanted[2] = copy_floats(v, COUNT);
	for (int i = 0; i < COUNT; i++)
	{
		double scaled = g[i] * 0.5, m_new = 0.9 * m[i] + 0.1 * scaled,
			   v_new = 0.95 * v[i] + 0.05 * scaled * scaled;

		wanted[1][i] = (float) m_new;
		wanted[2][i] = (float) v_new;
		wanted[0][i] = (float) (p[i] - 3e-3 * (m_new / 0.19) / (sqrt(v_new / 0.0975) + 1e-8) -
								3e-3 * 0.1 * p[i]);
	}
	simd->adamw(p, m, v, g, COUNT, &adamw);
	snprintf(name, sizeof name, "%s: AdamW updates parameters as the paper says", simd->name);
	is_close(p, wanted[0], COUNT, 1e-6, name);
	snprintf(name, sizeof name, "%s: AdamW updates moments as the paper says", simd->name);
	is_close(m, wanted[1], COUNT, 1e-6, name);
	is_close(v, wanted[2], COUNT, 1e-6, name);
	for (int i = 0; i < 3; i++)
		free(wanted[i]);
	free(p);
	free(m);
	free(v);
	free(g);
}

typedef struct Arrays
{
	float *x, *y, *p, *m, *v;
	double squares;
} Arrays;

static Arrays
compute(int n_threads)
{
	enum
	{
		COUNT = 300001
	};
	static const LmAdamW decayed = {3e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.19f, 0.0975f, 0.5f};
	static const LmAdamW plain = {3e-3f, 0.9f, 0.95f, 1e-8f, 0, 0.19f, 0.0975f, 0.5f};
	/* a gap, one element, several pieces */
	LmAdamWRange ranges[] = {
		{0, 70000, &decayed}, {70016, 1, &plain}, {70017, COUNT - 70017, &plain}};
	LmEngine *engine = test_engine(n_threads, "");
	void *scratch = test_scratch(lm_sum_squares_scratch(COUNT));
	Arrays a = {random_floats(COUNT, 1, 1), zero_array(COUNT), random_floats(COUNT, 1, 2),
				zero_array(COUNT),			zero_array(COUNT), 0};

	lm_gelu_forward(engine, a.y, a.x, COUNT, LM_GELU);
	lm_gelu_backward(engine, a.y, a.y, a.x, COUNT, LM_GELU_TANH);
	lm_add(engine, a.y, a.x, COUNT);
	lm_adamw_sweep(engine, a.p, a.m, a.v, a.y, ranges, 3);
	a.squares = lm_sum_squares(engine, a.p, COUNT, scratch);
	free(scratch);
	lm_engine_stop(engine);
	return a;
}

static void
free_arrays(Arrays *a)
{
	free(a->x);
	free(a->y);
	free(a->p);
	free(a->m);
	free(a->v);
}

static void
test_threads(void)
{
	Arrays one = compute(1);
	double squares = 0;

	for (int i = 0; i < 300001; i++)
		squares += (double) one.p[i] * one.p[i];
	is_near(one.squares / squares, 1, 1e-12, "the sum of squares is right in float64");
	for (int n_threads = 2; n_threads <= 8; n_threads *= 2)
	{
		Arrays many = compute(n_threads);

		ok(same_bits(one.y, many.y, 300001) && same_bits(one.p, many.p, 300001) &&
			   same_bits(one.v, many.v, 300001) && one.squares == many.squares,
		   "%d threads give the same bits as one", n_threads);
		free_arrays(&many);
	}
	free_arrays(&one);
}

/* Caps of scores, from the smallest numbers to far beyond the cap; y may be x. */
static void
test_softcap(const LmSimd *simd)
{
	static const float far[] = {INFINITY, -INFINITY, 0, 1e30f};
	float x[1001], y[1001];
	double worst = 0;

	for (int i = 0; i < 1001; i++)
		x[i] = (i % 2 ? -1 : 1) * expf((float) i / 1000 * 30 - 20);
	simd->softcap(y, x, 1, 1001);
	for (int i = 0; i < 1001; i++)
		worst = fmax(worst, units(y[i], tanh(x[i])));
	printf("# %g units\n", worst);
	ok(worst <= 2, "%s: tanh is right within 2 units in the last place", simd->name);
	simd->softcap(y, far, 30, 4);
	ok(y[0] == 30 && y[1] == -30 && y[2] == 0 && y[3] == 30, "far out it is the cap");
	simd->softcap(y, x, 30, 1001);
	simd->softcap(x, x, 30, 1001);
	ok(same_bits(x, y, 1001), "in place too");
}

int
main(void)
{
	const LmSimd *simds[3];
	int n_simds = test_simds(simds);

	for (int i = 0; i < n_simds; i++)
	{
		test_exponential(simds[i]);
		test_softcap(simds[i]);
		test_gelu(simds[i], LM_GELU, "GELU");
		test_gelu(simds[i], LM_GELU_TANH, "tanh GELU");
		test_relu2(simds[i]);
		test_small_passes(simds[i]);
		test_adamw(simds[i]);
	}
	test_threads();
	return done_testing();
}
