/*
 * src/engine/train/resample.c
 *
 * Sums over rows go in; measures, their intervals and the probabilities of differences come out.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/overlap.h"
#include "engine/random.h"
#include "engine/resample.h"
#include "engine/statistics.h"

#define Z 1.959963984540054 /* of a normal variable, 95 % */
#define TAIL 0.025
#define MOST_WITHOUT 0.1 /* share of samples in which a measure may have no value */
#define POLL_DRAWS 65536
#define MCNEMAR_MID_P 10000

static double macro_f1(const double *counts, size_t n);
static double micro_f1(const double *counts, size_t n);

/* ---- Measures ----------------------------------------------------------- */

/* Adds row i to the sums. */
static inline void
add_row(double *sums, const LmScores *scores, size_t i)
{
	const double *row = scores->columns + i * (size_t) scores->n_columns;
	double *counts = sums + scores->n_columns;

	for (int column = 0; column < scores->n_columns; column++)
		sums[column] += row[column];
	if (scores->n_counts == 0)
		return;
	for (size_t entry = scores->starts[i]; entry < scores->starts[i + 1]; entry++)
		counts[scores->places[entry]] += scores->values[entry];
}

static size_t
n_sums(const LmScores *scores)
{
	return (size_t) scores->n_columns + (size_t) scores->n_counts;
}

void
lm_scores_sum(double *sums, const LmScores *scores)
{
	memset(sums, 0, n_sums(scores) * sizeof(double));
	for (size_t i = 0; i < scores->n; i++)
		add_row(sums, scores, i);
}

static double
r2_of(const double *sums, int x, int y)
{
	double variance = sums[x + 2] - sums[x + 1] * sums[x + 1] / sums[y];

	/* That of equal numbers is rounding. */
	return variance > 1e-12 * sums[x + 2] ? 1 - sums[x] / variance : NAN;
}

static double
calibration(const double *counts, int n, double weight)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += fabs(counts[i]);
	return sum / weight;
}

double
lm_metric_value(const LmMetric *metric, const double *sums, const LmScores *scores)
{
	const double *counts = sums + scores->n_columns;
	double x = sums[metric->x < scores->n_columns ? metric->x : 0];
	double y = sums[metric->y];
	LmOverlap overlap;

	switch (metric->kind)
	{
		case LM_METRIC_RATIO:
			return (metric->factor != 0 ? metric->factor : 1) * x / y;
		case LM_METRIC_SHARE:
			return x / y;
		case LM_METRIC_EXP:
			return exp(x / y);
		case LM_METRIC_ROOT:
			return sqrt(x / y);
		case LM_METRIC_R2:
			return r2_of(sums, metric->x, metric->y);
		case LM_METRIC_BLEU:
		case LM_METRIC_CHRF:
			memcpy(&overlap, sums + metric->x, sizeof(overlap));
			return metric->kind == LM_METRIC_BLEU ? lm_overlap_bleu(&overlap)
												  : lm_overlap_chrf(&overlap);
		case LM_METRIC_MACRO_F1:
			return macro_f1(counts + metric->x, (size_t) (scores->n_counts - metric->x) / 3);
		case LM_METRIC_MICRO_F1:
			return micro_f1(counts + metric->x, (size_t) (scores->n_counts - metric->x) / 3);
		case LM_METRIC_CALIBRATION:
			return calibration(counts, metric->x, y);
	}
	return NAN;
}

static double
macro_f1(const double *counts, size_t n)
{
	double sum = 0;
	size_t occurring = 0;

	for (size_t i = 0; i < n; i++)
	{
		const double *label = counts + 3 * i;

		if (label[1] + label[2] <= 0)
			continue;
		sum += 2 * label[0] / (label[1] + label[2]);
		occurring++;
	}
	return sum / (double) occurring;
}

static double
micro_f1(const double *counts, size_t n)
{
	double both = 0;
	double others = 0;

	for (size_t i = 0; i < n; i++)
	{
		both += counts[3 * i];
		others += counts[3 * i + 1] + counts[3 * i + 2];
	}
	return 2 * both / others;
}

/* ---- Bootstrap ---------------------------------------------------------- */

/* Sums of as many rows as there are, drawn with replacement: the same of a and b. */
static bool
draw_sample(double *of_a, double *of_b, const LmScores *a, const LmScores *b, LmKey key,
			uint32_t sample, const LmHost *host)
{
	uint32_t words[4];

	memset(of_a, 0, n_sums(a) * sizeof(double));
	if (b != NULL)
		memset(of_b, 0, n_sums(b) * sizeof(double));
	for (size_t i = 0; i < a->n; i++)
	{
		size_t row;

		if (i % POLL_DRAWS == 0 && host->should_stop != NULL && host->should_stop(host->context))
			return false;
		if (i % 4 == 0)
			lm_random(words, key, sample, (uint32_t) (i / 4), 0, 0);
		row = (size_t) (((uint64_t) words[i % 4] * a->n) >> 32);
		add_row(of_a, a, row);
		if (b != NULL)
			add_row(of_b, b, row);
	}
	return true;
}

static int
compare_numbers(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

/* The value below which a share of sorted numbers lies (Hyndman and Fan 1996, definition 6). */
static double
quantile(const double *sorted, size_t n, double share)
{
	double place = share * (double) (n + 1) - 1;
	size_t below = (size_t) (place < 0 ? 0 : place);
	double part = place - (double) below;

	if (place <= 0)
		return sorted[0];
	return below + 1 < n ? sorted[below] + part * (sorted[below + 1] - sorted[below])
						 : sorted[n - 1];
}

/* values [n_samples] of the samples, which are sorted. */
static LmInterval
interval_of(double *values, int n_samples)
{
	size_t n = 0;
	size_t below = 0;
	size_t above = 0;
	double p;

	for (int i = 0; i < n_samples; i++)
	{
		if (isfinite(values[i]))
			values[n++] = values[i];
	}
	if ((double) n < (1 - MOST_WITHOUT) * n_samples)
		return (LmInterval){NAN, NAN, NAN};
	qsort(values, n, sizeof(double), compare_numbers);
	for (size_t i = 0; i < n; i++)
	{
		below += values[i] <= 0;
		above += values[i] >= 0;
	}
	p = 2 * (1 + (double) (below < above ? below : above)) / (double) (n + 1);
	return (LmInterval){quantile(values, n, TAIL), quantile(values, n, 1 - TAIL), fmin(p, 1)};
}

bool
lm_bootstrap(LmInterval *intervals, const LmScores *a, const LmScores *b, const LmMetric *metrics,
			 int n_metrics, int n_samples, uint64_t seed, const LmHost *host, LmError *error)
{
	LmKey key = lm_key(seed, LM_RANDOM_RESAMPLE, 1, 0);
	size_t n_sums_a = n_sums(a);
	double *values; /* [n_metrics, n_samples] */
	double *sums;
	bool going = true;

	for (int i = 0; i < n_metrics; i++)
		intervals[i] = (LmInterval){NAN, NAN, NAN};
	if (a->n < 2)
		return true;
	values = lm_allocate(host, (size_t) n_metrics * (size_t) n_samples * sizeof(double));
	sums = lm_allocate(host, (n_sums_a + (b != NULL ? n_sums(b) : 0)) * sizeof(double));
	if (values == NULL || sums == NULL)
	{
		lm_free(host, values);
		lm_free(host, sums);
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory");
	}
	for (int sample = 0; going && sample < n_samples; sample++)
	{
		going = draw_sample(sums, sums + n_sums_a, a, b, key, (uint32_t) sample, host);
		for (int i = 0; going && i < n_metrics; i++)
		{
			double value = lm_metric_value(&metrics[i], sums, a);

			if (b != NULL)
				value = lm_metric_value(&metrics[i], sums + n_sums_a, b) - value;
			values[(size_t) i * (size_t) n_samples + (size_t) sample] = value;
		}
	}
	for (int i = 0; going && i < n_metrics; i++)
		intervals[i] = interval_of(values + (size_t) i * (size_t) n_samples, n_samples);
	lm_free(host, values);
	lm_free(host, sums);
	return going || lm_fail(error, LM_ERR_STOPPED, -1, "resampling was stopped");
}

/* ---- Shares ------------------------------------------------------------- */

LmInterval
lm_share_interval(double share, double n)
{
	double middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n);
	double half =
		Z / (1 + Z * Z / n) * sqrt(fmax(share * (1 - share), 0) / n + Z * Z / (4 * n * n));

	/* Rounding must not put a share of 0 or 1 outside. */
	return (LmInterval){fmax(fmin(middle - half, share), 0), fmin(fmax(middle + half, share), 1),
						NAN};
}

double
lm_mcnemar(uint64_t one, uint64_t other)
{
	double n = (double) one + (double) other;
	uint64_t few = one < other ? one : other;
	double difference = (double) one - (double) other;
	double tail = 0;
	double last = 0;
	int sign;

	if (one == other)
		return 1;
	if (n > MCNEMAR_MID_P)
		return lm_chi_squared_probability(difference * difference / n, 1);
	for (uint64_t i = 0; i <= few; i++)
	{
		last = exp(lgamma_r(n + 1, &sign) - lgamma_r((double) i + 1, &sign) -
				   lgamma_r(n - (double) i + 1, &sign) - n * M_LN2);
		tail += last;
	}
	return fmin(2 * tail - (n < LM_MCNEMAR_EXACT ? 0 : last), 1);
}
