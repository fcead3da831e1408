/*
 * test/unit/test_ridge.c
 *
 * Ridge regression against the solution of its normal equations, and blends against least squares.
 */
#include <math.h>
#include <string.h>

#include "tap.h"
#include "train/ridge.h"

#define ROWS 40
#define FEATURES 4 /* with the constant */

typedef struct Problem
{
	LmFeatureRows rows;
	size_t ends[ROWS];
	uint32_t features[ROWS * (FEATURES - 1)];
	float values[ROWS * (FEATURES - 1)];
	LmWindow windows[ROWS];
} Problem;

/* A number between -1 and 1 (Knuth, TAOCP 2, section 3.3.4). */
static float
draw(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (float) (*state >> 40) / (1 << 23) - 1;
}

static void
make_problem(Problem *problem, const LmHost *host)
{
	uint64_t state = 5;

	memset(problem, 0, sizeof *problem);
	problem->rows = (LmFeatureRows){.host = *host,
									.n_rows = ROWS,
									.n_train = ROWS,
									.n_features = FEATURES,
									.ends = problem->ends,
									.features = problem->features,
									.values = problem->values};
	for (size_t row = 0, at = 0; row < ROWS; row++)
	{
		float number = 0.3f + 0.1f * draw(&state);

		for (uint32_t i = 1; i < FEATURES; i++, at++)
		{
			problem->features[at] = i;
			problem->values[at] = draw(&state);
			number += (float) i * problem->values[at];
		}
		problem->ends[row] = at;
		problem->windows[row].weight = 0.5f + (float) (row % 3);
		memcpy(&problem->windows[row].label, &number, sizeof number);
	}
}

static double
number_of(const LmWindow *window)
{
	float number;

	memcpy(&number, &window->label, sizeof number);
	return (double) number;
}

/* The gradient of |w|^2 / 2 + C sum weight / mean (w x - y)^2, which is 0 at the solution. */
static double
largest_slope(const Problem *problem, const float *w, double cost, size_t n_rows)
{
	double gradient[FEATURES], mean = 0, largest = 0;

	for (size_t row = 0; row < n_rows; row++)
		mean += (double) problem->windows[row].weight / (double) n_rows;
	for (int i = 0; i < FEATURES; i++)
		gradient[i] = (double) w[i];
	for (size_t row = 0; row < n_rows; row++)
	{
		const float *x = problem->values + row * (FEATURES - 1);
		double error = (double) w[0] - number_of(&problem->windows[row]), factor;

		for (int i = 1; i < FEATURES; i++)
			error += (double) w[i] * (double) x[i - 1];
		factor = 2 * cost * (double) problem->windows[row].weight / mean * error;
		gradient[0] += factor;
		for (int i = 1; i < FEATURES; i++)
			gradient[i] += factor * (double) x[i - 1];
	}
	for (int i = 0; i < FEATURES; i++)
		largest = fmax(largest, fabs(gradient[i]));
	return largest;
}

static void
test_fit(const LmHost *host)
{
	static Problem problem;
	LmDualOptions options = {.cost = 0.5, .fold = -1, .n_rows = ROWS, .seed = 1};
	float w[FEATURES] = {0}, some[FEATURES] = {0};
	LmError error;

	make_problem(&problem, host);
	ok(lm_ridge_fit(w, &problem.rows, problem.windows, &options, &error), "numbers are fitted");
	ok(largest_slope(&problem, w, 0.5, ROWS) < 0.02, "the gradient is zero at the solution");
	ok(fabs((double) w[1] - 1) < 0.3 && fabs((double) w[3] - 3) < 0.6,
	   "the weights are near those that made the numbers");
	options.n_rows = 20;
	ok(lm_ridge_fit(some, &problem.rows, problem.windows, &options, &error) &&
		   largest_slope(&problem, some, 0.5, 20) < 0.02,
	   "also of some rows");
	ok(lm_ridge_error(w, &problem.rows, problem.windows, 3) < 0.1, "the error of a row is small");
}

static void
test_stop(LmHost host, TapHost *tap)
{
	static Problem problem;
	LmDualOptions options = {.cost = 0.5, .fold = -1, .n_rows = ROWS, .seed = 1};
	float w[FEATURES] = {0};
	LmError error;

	make_problem(&problem, &host);
	tap->fail_after = 0;
	ok(!lm_ridge_fit(w, &problem.rows, problem.windows, &options, &error) &&
		   error.code == LM_ERR_MEMORY,
	   "without memory it fails");
	tap->fail_after = -1;
}

static void
test_blend(void)
{
	static LmWindow windows[400];
	static float first[400], second[400];
	const float *const both[] = {first, second};
	double factors[2] = {0.5, 0.5}, loss;
	uint64_t state = 9;

	for (int i = 0; i < 400; i++)
	{
		float number;

		first[i] = draw(&state);
		second[i] = draw(&state);
		number = 0.2f * first[i] + 1.1f * second[i];
		windows[i].weight = 2;
		memcpy(&windows[i].label, &number, sizeof number);
	}
	lm_ridge_blend(factors, &loss, both, windows, 400, 1e-6);
	is_near(factors[0], 0.2, 1e-4, "the factor of the first prediction");
	is_near(factors[1], 1.1, 1e-4, "and of the second");
	is_near(loss, 0, 1e-6, "leave no error");
	factors[0] = factors[1] = 0.5;
	lm_ridge_blend(factors, &loss, both, windows, 2, 1000);
	ok(fabs(factors[0] - 0.5) < 0.01 && fabs(factors[1] - 0.5) < 0.01, "few rows change little");
	lm_ridge_blend(factors, &loss, both, windows, 0, 10);
	ok(isnan(loss) && factors[0] > 0.4, "no rows change nothing");
}

int
main(void)
{
	TapHost tap = {.fail_after = -1};
	LmHost host = tap_host(&tap);

	test_fit(&host);
	test_stop(host, &tap);
	test_blend();
	return done_testing();
}
