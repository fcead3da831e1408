/*
 * src/engine/train/blend.c
 *
 * Newton's method in one or two factors, with steps that are halved until the loss falls.
 */
#include <math.h>
#include <string.h>

#include "text/utf8.h"
#include "train/blend.h"

#define MOST_STEPS 30
#define MOST_HALVINGS 12
#define SMALLEST_GAIN 1e-9
#define M LM_BLEND_MEMBERS

/* Sums over rows at some factors. */
typedef struct Sums
{
	double weight;
	double loss;
	double right;
	double gradient[M];
	double curvature[M][M];
} Sums;

static double
logit_of(const LmBlendRows *rows, const double *factors, size_t row, size_t label)
{
	size_t at = row * (size_t) rows->labels->labels + label;
	double sum = 0;

	for (int k = 0; k < M && rows->logits[k]; k++)
		sum += factors[k] * rows->logits[k][at];
	return sum;
}

/* One label a row: nll = log sum exp z - z_y. */
static void
add_softmax(Sums *sums, const LmBlendRows *rows, const double *factors, size_t row, size_t number,
			double weight)
{
	size_t n = (size_t) rows->labels->labels, target = rows->labels->windows[number].label,
		   best = 0;
	double largest = -INFINITY, total = 0, mean[M] = {0}, square[M][M] = {{0}};

	for (size_t label = 0; label < n; label++)
	{
		double z = logit_of(rows, factors, row, label);

		best = z > largest ? label : best;
		largest = z > largest ? z : largest;
	}
	for (size_t label = 0; label < n; label++)
	{
		double p = exp(logit_of(rows, factors, row, label) - largest);

		total += p;
		for (int k = 0; k < M && rows->logits[k]; k++)
		{
			double z = rows->logits[k][row * n + label];

			mean[k] += p * z;
			for (int l = 0; l <= k && l < M; l++)
				square[k][l] += p * z * rows->logits[l][row * n + label];
		}
	}
	sums->loss += weight * (largest + log(total) - logit_of(rows, factors, row, target));
	sums->right += best == target ? weight : 0;
	for (int k = 0; k < M && rows->logits[k]; k++)
	{
		sums->gradient[k] += weight * (mean[k] / total - rows->logits[k][row * n + target]);
		for (int l = 0; l <= k && l < M; l++)
			sums->curvature[k][l] +=
				weight * (square[k][l] / total - mean[k] / total * (mean[l] / total));
	}
}

/* Several labels a row: each is a logistic regression. */
static void
add_sigmoids(Sums *sums, const LmBlendRows *rows, const double *factors, size_t row, size_t number,
			 double weight)
{
	size_t n = (size_t) rows->labels->labels;
	bool right = true;

	for (size_t label = 0; label < n; label++)
	{
		double z = logit_of(rows, factors, row, label), p = 1 / (1 + exp(-z));
		bool has = lm_row_has(rows->labels, number, (uint32_t) label);

		sums->loss += weight * (log1p(exp(-fabs(z))) + (has ? fmax(-z, 0) : fmax(z, 0)));
		right = right && has == (z >= 0);
		for (int k = 0; k < M && rows->logits[k]; k++)
		{
			double x = rows->logits[k][row * n + label];

			sums->gradient[k] += weight * (p - (has ? 1 : 0)) * x;
			for (int l = 0; l <= k && l < M; l++)
				sums->curvature[k][l] +=
					weight * p * (1 - p) * x * rows->logits[l][row * n + label];
		}
	}
	sums->right += right ? weight : 0;
}

static Sums
sums_at(const LmBlendRows *rows, const double *factors)
{
	Sums sums = {0};

	for (size_t row = 0; row < rows->n; row++)
	{
		size_t number = rows->rows ? rows->rows[row] : row;
		double weight = (double) rows->labels->windows[number].weight;

		sums.weight += weight;
		if (rows->labels->sets)
			add_sigmoids(&sums, rows, factors, row, number, weight);
		else
			add_softmax(&sums, rows, factors, row, number, weight);
	}
	for (int k = 0; k < M && rows->logits[k]; k++)
		for (int l = 0; l < k; l++)
			sums.curvature[l][k] = sums.curvature[k][l];
	return sums;
}

/* The step of Newton's method; a factor that is 0 and would fall stays. */
static void
step_of(double *step, const Sums *sums, const double *factors, int n)
{
	double a = sums->curvature[0][0], b = sums->curvature[0][1], c = sums->curvature[1][1];
	bool stays[M] = {false};

	for (int k = 0; k < n; k++)
		stays[k] = factors[k] <= 0 && sums->gradient[k] > 0;
	step[0] = step[1] = 0;
	if (n == 2 && !stays[0] && !stays[1] && a * c - b * b > 1e-9 * a * c)
	{
		double determinant = a * c - b * b;

		step[0] = -(c * sums->gradient[0] - b * sums->gradient[1]) / determinant;
		step[1] = -(a * sums->gradient[1] - b * sums->gradient[0]) / determinant;
		return;
	}
	for (int k = 0; k < n; k++)
		if (!stays[k] && sums->curvature[k][k] > 0)
			step[k] = -0.5 * sums->gradient[k] / sums->curvature[k][k];
}

/* Adds what is expected: a parabola around it as steep as that of so many rows. */
static void
add_expected(Sums *sums, const double *factors, const double *expected, const double *steepness)
{
	for (int k = 0; k < M; k++)
	{
		double off = factors[k] - expected[k];

		sums->loss += 0.5 * steepness[k] * off * off;
		sums->gradient[k] += steepness[k] * off;
		sums->curvature[k][k] += steepness[k];
	}
}

bool
lm_blend_fit(double factors[M], double *loss, double *accuracy, const LmBlendRows *rows,
			 double expected_rows, const LmHost *host, LmError *error)
{
	double expected[M] = {0}, steepness[M] = {0};
	Sums sums = sums_at(rows, factors);

	for (int k = 0; k < M && rows->logits[k] && sums.weight > 0; k++)
	{
		expected[k] = factors[k];
		steepness[k] = expected_rows * sums.curvature[k][k] / sums.weight + 1e-9;
	}
	for (int i = 0; i < MOST_STEPS && rows->n > 0; i++)
	{
		double step[M], before, gain = 0;

		add_expected(&sums, factors, expected, steepness);
		before = sums.loss;
		step_of(step, &sums, factors, rows->logits[1] ? 2 : 1);
		for (int halving = 0; halving < MOST_HALVINGS; halving++)
		{
			double next[M];
			Sums at;

			if (!lm_text_go_on(host, error))
				return false;
			for (int k = 0; k < M; k++)
				next[k] = fmax(0, factors[k] + step[k]);
			at = sums_at(rows, next);
			sums = at;
			add_expected(&at, next, expected, steepness);
			gain = before - at.loss;
			if (gain >= 0)
			{
				memcpy(factors, next, sizeof next);
				break;
			}
			for (int k = 0; k < M; k++)
				step[k] /= 2;
		}
		if (gain <= SMALLEST_GAIN * fabs(before))
			break;
	}
	sums = sums_at(rows, factors);
	*loss = sums.loss / sums.weight;
	*accuracy = sums.right / sums.weight;
	return true;
}
