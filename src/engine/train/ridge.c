/*
 * src/engine/train/ridge.c
 *
 * Rows and their numbers go in, the weights of their features come out.
 */
#include <math.h>
#include <string.h>

#include "text/array.h"
#include "train/ridge.h"

#define MOST_PASSES 40
/* A pass whose largest step is smaller, in units of the numbers' deviation, is the last. */
#define ACCURACY 1e-3
#define ENTRIES_PER_POLL ((size_t) 1 << 18)

typedef struct Problem
{
	const LmFeatureRows *rows;
	const LmWindow *windows;
	double cost;
	double mean_weight;
	float *w;
	float *alpha; /* [n_train] */
	uint32_t *order; /* [n] rows that are learnt */
	size_t n;
	size_t entries; /* read since the last poll */
} Problem;

static double
number_of(const LmWindow *window)
{
	float number;

	memcpy(&number, &window->label, sizeof number);
	return (double) number;
}

static double
value_of(const float *weights, const LmFeatureRows *rows, size_t row)
{
	double sum = weights[0];

	for (size_t i = lm_row_begin(rows, row); i < rows->ends[row]; i++)
		sum += (double) weights[rows->features[i]] * rows->values[i];
	return sum;
}

double
lm_ridge_error(const float *weights, const LmFeatureRows *rows, const LmWindow *windows, size_t row)
{
	double difference = value_of(weights, rows, row) - number_of(&windows[row]);

	return (double) windows[row].weight * difference * difference;
}

/* Steps on one row; returns the length of the step in its prediction. */
static double
visit(Problem *problem, size_t row)
{
	const LmFeatureRows *rows = problem->rows;
	double square = 1, change;
	double diagonal =
		0.5 * problem->mean_weight / (problem->cost * (double) problem->windows[row].weight);

	for (size_t i = lm_row_begin(rows, row); i < rows->ends[row]; i++)
		square += (double) rows->values[i] * rows->values[i];
	change = (number_of(&problem->windows[row]) - value_of(problem->w, rows, row) -
			  diagonal * problem->alpha[row]) /
			 (square + diagonal);
	problem->alpha[row] += (float) change;
	problem->w[0] += (float) change;
	for (size_t i = lm_row_begin(rows, row); i < rows->ends[row]; i++)
		problem->w[rows->features[i]] += (float) (change * rows->values[i]);
	problem->entries += 2 * (rows->ends[row] - lm_row_begin(rows, row)) + 16;
	return fabs(change) * square;
}

/* Numbers of Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators". */
static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

static bool
solve(Problem *problem, const LmDualOptions *options, LmError *error)
{
	const LmHost *host = &problem->rows->host;
	uint64_t random = options->seed;
	double largest = INFINITY;

	for (int pass = 0; pass < MOST_PASSES && largest > ACCURACY; pass++)
	{
		largest = 0;
		for (size_t i = problem->n; i > 0; i--)
		{
			size_t j = (size_t) (((unsigned __int128) next_random(&random) * i) >> 64);
			uint32_t row = problem->order[j];
			double step;

			problem->order[j] = problem->order[i - 1];
			problem->order[i - 1] = row;
			step = visit(problem, row);
			largest = step > largest ? step : largest;
			if (problem->entries < ENTRIES_PER_POLL)
				continue;
			problem->entries = 0;
			if (host->should_stop && host->should_stop(host->context))
				return lm_fail(error, LM_ERR_STOPPED, -1, "fitting numbers was stopped");
			if (lm_fit_is_over(options->time, options->until))
				return true;
		}
	}
	return true;
}

bool
lm_ridge_fit(float *weights, const LmFeatureRows *rows, const LmWindow *windows,
			 const LmDualOptions *options, LmError *error)
{
	const LmHost *host = &rows->host;
	Problem problem = {.rows = rows, .windows = windows, .cost = options->cost, .w = weights};
	bool good;

	problem.alpha = lm_array_allocate(host, rows->n_train + 1, sizeof(float), error);
	problem.order =
		problem.alpha ? lm_array_allocate(host, rows->n_train + 1, sizeof(uint32_t), error) : NULL;
	if (problem.order)
		memset(problem.alpha, 0, rows->n_train * sizeof(float));
	for (size_t row = 0; problem.order && row < rows->n_train; row++)
		if (lm_dual_learns(options, row))
		{
			problem.mean_weight += (double) windows[row].weight;
			problem.order[problem.n++] = (uint32_t) row;
		}
	problem.mean_weight /= problem.n > 0 ? (double) problem.n : 1;
	good = problem.order != NULL && solve(&problem, options, error);
	lm_free(host, problem.alpha);
	lm_free(host, problem.order);
	return good;
}

void
lm_ridge_blend(double factors[2], double *loss, const float *const predictions[2],
			   const LmWindow *windows, size_t n, double expected_rows)
{
	double xx = 0, xy = 0, yy = 0, xt = 0, yt = 0, weight = 0, determinant, sum = 0;
	double prior = expected_rows;

	for (size_t i = 0; i < n; i++)
	{
		double w = (double) windows[i].weight, x = predictions[0][i], y = predictions[1][i],
			   t = number_of(&windows[i]);

		xx += w * x * x;
		xy += w * x * y;
		yy += w * y * y;
		xt += w * x * t;
		yt += w * y * t;
		weight += w;
	}
	*loss = NAN;
	if (n == 0)
		return;
	/* So many rows, of the mean weight and of the numbers' variance, say the given factors. */
	prior *= weight / (double) n;
	xt += prior * factors[0];
	yt += prior * factors[1];
	xx += prior;
	yy += prior;
	determinant = xx * yy - xy * xy;
	factors[0] = (xt * yy - yt * xy) / determinant;
	factors[1] = (yt * xx - xt * xy) / determinant;
	for (size_t i = 0; i < n; i++)
	{
		double difference = factors[0] * (double) predictions[0][i] +
							factors[1] * (double) predictions[1][i] - number_of(&windows[i]);

		sum += (double) windows[i].weight * difference * difference;
	}
	*loss = sum / weight;
}
