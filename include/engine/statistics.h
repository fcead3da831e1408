/*
 * include/engine/statistics.h
 *
 * Whether two samples have the same distribution: of numbers by Kolmogorov and Smirnov, of shares
 * by the population stability index. Pure functions, but for _noise; nothing fails for the values
 * of a sample. Numbers are finite, and sorted where a comment says so.
 */
#ifndef LM_STATISTICS_H
#define LM_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/host.h"

/* ---- Numbers ------------------------------------------------------------ */

/*
 * Two samples, sorted upwards, a [n] and b [m]: the largest distance of their distribution
 * functions, in [0, 1]. 0 where one of them is empty. Linear.
 */
double lm_ks_distance(const double *a, size_t n, const double *b, size_t m);

/*
 * The probability of such a distance, or a larger one, of samples of n and m independent numbers
 * from one distribution: Kolmogorov's limit (1933), with the correction for few numbers of Stephens
 * 1970, "Use of the Kolmogorov-Smirnov, Cramér-von Mises and related statistics without extensive
 * tables", section 3. Where numbers are equal the true probability is smaller. 1 where n or m is 0.
 */
double lm_ks_probability(double distance, double n, double m);

/*
 * Writes out [k + 1] of a sorted sample [n]: out[j] is the smallest number that at least j / k of
 * the sample does not exceed, and out[0] the smallest of all (Hyndman and Fan 1996, "Sample
 * quantiles in statistical packages", definition 1). k and n are at least 1.
 */
void lm_quantiles(double *out, int k, const double *sorted, size_t n);

/*
 * The same distance, where of the first sample there is no more than its quantiles [k + 1]. It is
 * at most the true one, and short of it by at most 1 / k, so its probability is no smaller than the
 * true one: what is lost is a little power, and no false alarm is won.
 */
double lm_ks_distance_kept(const double *quantiles, int k, const double *sorted, size_t n);

/*
 * The share of a sample that does not exceed value, by its quantiles: exact up to 1 / k.
 */
double lm_quantiles_share(const double *quantiles, int k, double value);

/* ---- Shares ------------------------------------------------------------- */

/*
 * The population stability index of two samples, by their counts in k categories: Σ (q - p) ln(q /
 * p) of shares p of the reference and q of the current sample (Siddiqi 2006, "Credit risk
 * scorecards", chapter 9; it is Jeffreys' divergence of 1946). Every category has half a count
 * more, so that empty ones are no infinity. 0 where one of them is empty. _part is the summand of
 * one category, of which n and m are the sums.
 */
double lm_psi(const double *reference, const double *current, int k);
double lm_psi_part(double reference, double current, double n, double m, int k);

/*
 * How far an index goes by chance: its mean and variance times n, and n * n, for a sample of n rows
 * and a very large one of the same distribution. For rows that have one category each they are k -
 * 1 and 2 (k - 1), of a chi-squared variable (Yurdakul and Naranjo 2020, "Statistical properties of
 * the population stability index", theorem 1). Rows with many counts, such as the tokens of a text,
 * repeat themselves and make them larger: _measure finds that out.
 */
typedef struct LmNoise
{
	double mean;
	double variance;
} LmNoise;

/*
 * That of the index itself, of samples of n and m rows with their noises: n and m are above 0. A
 * new kind of rows among the m shows in their own noise, so that one row is no drift.
 */
LmNoise lm_noise_of_index(double n, LmNoise of_n, double m, LmNoise of_m);

/*
 * The probability of such an index, or a larger one, by chance: that of a chi-squared variable with
 * the mean and variance of lm_noise_of_index, as in Rao and Scott 1981, "The analysis of
 * categorical data from complex sample surveys", section 4 (Satterthwaite's approximation). 1 where
 * there is no noise.
 */
double lm_psi_probability(double index, LmNoise noise);

/*
 * Rows by category, sparse: row i has the entries starts[i] .. starts[i + 1] - 1, each of which is
 * a category and a count. The arrays are the caller's.
 */
typedef struct LmShareRows
{
	size_t n_rows;
	int n_categories;
	const size_t *starts; /* [n_rows + 1] */
	const uint16_t *categories; /* below n_categories */
	const float *counts;
} LmShareRows;

/*
 * Measures the noise of rows by resampling them, with a seed; it is at least that of two
 * categories, one of which none of the rows may have. Takes LM_NOISE_SAMPLES times the time of a
 * look at all entries; asks should_stop after each. LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
#define LM_NOISE_SAMPLES 200
bool lm_noise_measure(LmNoise *noise, const LmShareRows *rows, uint64_t seed, const LmHost *host,
					  LmError *error);

/*
 * The probability that a chi-squared variable with so many degrees of freedom, above 0, is at least
 * x: the incomplete gamma function (DLMF 8.7.1 and 8.9.2).
 */
double lm_chi_squared_probability(double x, double degrees);

#endif /* LM_STATISTICS_H */
