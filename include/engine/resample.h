/*
 * include/engine/resample.h
 *
 * How sure a measure of a model is, and whether another model's is really better: rows are drawn
 * again from the rows that were measured (the bootstrap; Efron and Tibshirani 1993, "An
 * introduction to the bootstrap", chapter 13), for two models the same rows (Koehn 2004,
 * "Statistical significance tests for machine translation evaluation", section 4). A measure is a
 * function of sums over rows, so a sample of rows costs a sum and not a pass through a model.
 *
 * Rows are taken to be independent of each other. Results are a function of the rows, their order
 * and the seed alone.
 */
#ifndef LM_RESAMPLE_H
#define LM_RESAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/host.h"

/* What a measure does with sums X and Y of two columns. */
typedef enum LmMetricKind
{
	LM_METRIC_RATIO, /* factor X / Y; a mean, where Y is the sum of the rows' weights */
	LM_METRIC_SHARE, /* X / Y, of a column that is the row's weight or 0 */
	LM_METRIC_EXP, /* exp(X / Y) */
	LM_METRIC_ROOT, /* sqrt(X / Y) */
	/* 1 - X / (Q - S S / Y), where S and Q are the sums of the columns after X: numbers, and their
	   squares, by weight */
	LM_METRIC_R2,
	LM_METRIC_BLEU, /* of the LmOverlap that begins with column X */
	LM_METRIC_CHRF,
	/* Of counts: three of each label, the weights of rows that have it and were given it, that have
	   it, that were given it. Before these there are X other counts. */
	LM_METRIC_MACRO_F1, /* mean over labels that occur */
	LM_METRIC_MICRO_F1,
	/* Σ |count| / Y over the first X counts: the expected calibration error, where these are, by
	   parts of 0 .. 1, differences of probabilities and what was right */
	LM_METRIC_CALIBRATION,
} LmMetricKind;

typedef struct LmMetric
{
	const char *name;
	LmMetricKind kind;
	int x; /* columns */
	int y;
	double factor; /* of a ratio; 0: 1 */
} LmMetric;

/*
 * What rows add to the sums: each has a number in every column, and a few of the counts, so that
 * thousands of labels are possible. The arrays are the caller's. Counts of row i are entries
 * starts[i] .. starts[i + 1] - 1; without any counts n_counts is 0 and these arrays may be NULL.
 */
typedef struct LmScores
{
	size_t n; /* rows, below 2^32 */
	int n_columns;
	int n_counts;
	const double *columns; /* [n, n_columns] */
	const size_t *starts; /* [n + 1] */
	const uint32_t *places; /* below n_counts */
	const double *values;
} LmScores;

/* Sums of all rows: sums [n_columns + n_counts]. */
void lm_scores_sum(double *sums, const LmScores *scores);

/* A measure of sums; not finite where it has no value, as of no rows. */
double lm_metric_value(const LmMetric *metric, const double *sums, const LmScores *scores);

/* The middle 95 % of the measure's values in samples; NaN where it has no value in many of them. */
typedef struct LmInterval
{
	double low;
	double high;
	/* of a difference, of both sides: twice the share of samples that are not on its side of 0 */
	double p;
} LmInterval;

/*
 * Draws n_samples, at least 1, times as many rows as there are, and writes the interval of each
 * measure [n_metrics]: of rows a, or, unless b is NULL, of the difference b - a of rows in pairs;
 * b->n is a->n. All are NaN of less than two rows. Asks should_stop at least every 65,536 draws.
 * LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
bool lm_bootstrap(LmInterval *intervals, const LmScores *a, const LmScores *b,
				  const LmMetric *metrics, int n_metrics, int n_samples, uint64_t seed,
				  const LmHost *host, LmError *error);

/*
 * The interval of a share of n independent rows, also where it is 0 or 1 (Wilson 1927, "Probable
 * inference, the law of succession, and statistical inference"). n is above 0; of rows with weights
 * it is (Σ w)^2 / Σ w^2 (Kish 1965, "Survey sampling", section 8.2).
 */
LmInterval lm_share_interval(double share, double n);

/*
 * The probability of such a split, or a more uneven one, of n = one + other pairs in which just one
 * of two equal models is right (McNemar 1947, "Note on the sampling error of the difference between
 * correlated proportions"): exact for less than LM_MCNEMAR_EXACT, mid-p up to 10,000, chi-squared
 * beyond (Fagerland, Lydersen and Laake 2013, "The McNemar test for binary matched-pairs data",
 * BMC Medical Research Methodology 13:91).
 */
#define LM_MCNEMAR_EXACT 25
double lm_mcnemar(uint64_t one, uint64_t other);

#endif /* LM_RESAMPLE_H */
