/*
 * src/engine/base/statistics.c
 *
 * Two samples go in, how far apart they are comes out, and how probable that is by chance.
 */
#include <math.h>
#include <string.h>

#include "engine/random.h"
#include "engine/statistics.h"

#define KOLMOGOROV_SMALL 1.18 /* below it the other series of the same function is quicker */
#define SERIES_TERMS 20
#define GAMMA_TERMS 100000
#define GAMMA_PRECISION 1e-12
#define GAMMA_TINY 1e-300

static double kolmogorov(double x);
static double gamma_series(double a, double x);
static double gamma_fraction(double a, double x);

/* ---- Numbers ------------------------------------------------------------ */

double
lm_ks_distance(const double *a, size_t n, const double *b, size_t m)
{
	double largest = 0;
	size_t i = 0;
	size_t j = 0;

	while (i < n && j < m)
	{
		double value = a[i] < b[j] ? a[i] : b[j];

		while (i < n && a[i] <= value)
			i++;
		while (j < m && b[j] <= value)
			j++;
		largest = fmax(largest, fabs((double) i / (double) n - (double) j / (double) m));
	}
	return largest;
}

double
lm_ks_probability(double distance, double n, double m)
{
	double root = sqrt(n * m / (n + m));

	if (!(n > 0) || !(m > 0))
		return 1;
	return kolmogorov((root + 0.12 + 0.11 / root) * distance);
}

/* The two series of Kolmogorov's distribution, which are the same function (Jacobi's identity). */
static double
kolmogorov(double x)
{
	double sum = 0;

	if (x <= 0)
		return 1;
	for (int j = 1; j <= SERIES_TERMS; j++)
	{
		if (x < KOLMOGOROV_SMALL)
			sum += exp(-(2 * j - 1) * (2 * j - 1) * M_PI * M_PI / (8 * x * x));
		else
			sum += (j % 2 == 1 ? 2 : -2) * exp(-2.0 * j * j * x * x);
	}
	return x < KOLMOGOROV_SMALL ? 1 - sqrt(2 * M_PI) / x * sum : sum;
}

void
lm_quantiles(double *out, int k, const double *sorted, size_t n)
{
	for (int j = 0; j <= k; j++)
	{
		/* the smallest i with i / n >= j / k, counted from 1 */
		size_t i = (size_t) ceil((double) j * (double) n / k - 1e-9);

		out[j] = sorted[i < 1 ? 0 : (i > n ? n : i) - 1];
	}
}

/*
 * At out[j] the first distribution function is at least j / k, and before it at most that. Both
 * functions rise, so the second one's value there, or just before, bounds the distance from below.
 */
double
lm_ks_distance_kept(const double *quantiles, int k, const double *sorted, size_t n)
{
	double largest = 0;
	size_t before = 0; /* numbers below the quantile */
	size_t upto = 0; /* not above it */

	for (int j = 0; j <= k && n > 0; j++)
	{
		double share = (double) j / k;

		while (before < n && sorted[before] < quantiles[j])
			before++;
		while (upto < n && sorted[upto] <= quantiles[j])
			upto++;
		largest = fmax(largest, share - (double) upto / (double) n);
		/* before the smallest number the first function is 0 */
		largest = fmax(largest, (double) before / (double) n - share);
	}
	return largest;
}

double
lm_quantiles_share(const double *quantiles, int k, double value)
{
	int low = 0; /* quantiles not above value, by bisection */
	int high = k + 1;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (quantiles[middle] <= value)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? 0 : (double) (low - 1) / k;
}

/* ---- Shares ------------------------------------------------------------- */

static double
sum_of(const double *counts, int k)
{
	double sum = 0;

	for (int i = 0; i < k; i++)
		sum += counts[i];
	return sum;
}

double
lm_psi_part(double reference, double current, double n, double m, int k)
{
	double p = (reference + 0.5) / (n + 0.5 * k);
	double q = (current + 0.5) / (m + 0.5 * k);

	return (q - p) * log(q / p);
}

double
lm_psi(const double *reference, const double *current, int k)
{
	double n = sum_of(reference, k);
	double m = sum_of(current, k);
	double index = 0;

	if (!(n > 0) || !(m > 0))
		return 0;
	for (int i = 0; i < k; i++)
		index += lm_psi_part(reference[i], current[i], n, m, k);
	return index;
}

/*
 * Both samples are as far apart as their difference, whose parts have the same directions: so
 * standard deviations are added, not variances.
 */
LmNoise
lm_noise_of_index(double n, LmNoise of_n, double m, LmNoise of_m)
{
	double deviation = sqrt(of_n.variance) / n + sqrt(of_m.variance) / m;

	return (LmNoise){of_n.mean / n + of_m.mean / m, deviation * deviation};
}

double
lm_psi_probability(double index, LmNoise noise)
{
	double scale = noise.variance / (2 * noise.mean);

	if (!(scale > 0) || !isfinite(scale))
		return 1;
	return lm_chi_squared_probability(index / scale, noise.mean / scale);
}

/* Draws as many rows as there are, with replacement, and sums up their counts. */
static void
draw_rows(double *counts, const LmShareRows *rows, LmKey key, uint32_t sample)
{
	memset(counts, 0, (size_t) rows->n_categories * sizeof(double));
	for (size_t i = 0; i < rows->n_rows; i++)
	{
		double place = lm_random_uniform(key, sample, (uint32_t) i, (uint32_t) (i >> 32));
		size_t row = (size_t) (place * (double) rows->n_rows);

		for (size_t entry = rows->starts[row]; entry < rows->starts[row + 1]; entry++)
			counts[rows->categories[entry]] += rows->counts[entry];
	}
}

/* A sample of the rows is as far from the rows as these are from the distribution they are of. */
bool
lm_noise_measure(LmNoise *noise, const LmShareRows *rows, uint64_t seed, const LmHost *host,
				 LmError *error)
{
	size_t k = (size_t) rows->n_categories;
	double *all = lm_allocate(host, 2 * (k + 1) * sizeof(double));
	LmKey key = lm_key(seed, LM_RANDOM_RESAMPLE, 0, 0);
	double sum = 0;
	double squares = 0;
	bool stopped = false;

	if (all == NULL)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory");
	for (size_t entry = 0; entry < rows->starts[rows->n_rows]; entry++)
		all[rows->categories[entry]] += rows->counts[entry];
	for (uint32_t sample = 0; sample < LM_NOISE_SAMPLES && !stopped; sample++)
	{
		double value;

		draw_rows(all + k + 1, rows, key, sample);
		value = lm_psi(all, all + k + 1, rows->n_categories) * (double) rows->n_rows;
		sum += value;
		squares += value * value;
		stopped = host->should_stop != NULL && host->should_stop(host->context);
	}
	lm_free(host, all);
	sum /= LM_NOISE_SAMPLES;
	noise->mean = fmax(sum, 1);
	noise->variance = fmax(squares / LM_NOISE_SAMPLES - sum * sum, 2);
	return !stopped || lm_fail(error, LM_ERR_STOPPED, -1, "resampling was stopped");
}

/* ---- The incomplete gamma function --------------------------------------- */

double
lm_chi_squared_probability(double x, double degrees)
{
	double a = degrees / 2;

	x /= 2;
	if (!(x > 0))
		return 1;
	return x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x);
}

static double
gamma_front(double a, double x)
{
	int sign;

	return exp(a * log(x) - x - lgamma_r(a, &sign));
}

/* P(a, x), the regularised form of DLMF 8.7.1. */
static double
gamma_series(double a, double x)
{
	double term = 1 / a;
	double sum = term;

	for (int i = 1; i < GAMMA_TERMS && term > sum * GAMMA_PRECISION; i++)
	{
		term *= x / (a + i);
		sum += term;
	}
	return sum * gamma_front(a, x);
}

/* Q(a, x): DLMF 8.9.2 as an even fraction, by the method of Lentz 1976. */
static double
gamma_fraction(double a, double x)
{
	double b = x + 1 - a;
	double c = 1 / GAMMA_TINY;
	double d = 1 / b;
	double value = d;

	for (int i = 1; i < GAMMA_TERMS; i++)
	{
		double factor = -i * (i - a);
		double change;

		b += 2;
		d = factor * d + b;
		d = 1 / (fabs(d) < GAMMA_TINY ? GAMMA_TINY : d);
		c = b + factor / c;
		c = fabs(c) < GAMMA_TINY ? GAMMA_TINY : c;
		change = d * c;
		value *= change;
		if (fabs(change - 1) < GAMMA_PRECISION)
			break;
	}
	return value * gamma_front(a, x);
}
