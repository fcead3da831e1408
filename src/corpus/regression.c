/*
 * src/corpus/regression.c
 *
 * The measures of a model of numbers. Every row counts with its weight, in ranks too: a row of
 * weight 2 is two equal rows.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "corpus/regression.h"

#define FIRST_CAPACITY 1024

/* Columns of a row's scores. */
enum
{
	WEIGHT,
	SQUARE, /* of the difference; the next two: the number from the training's mean, its square */
	NUMBER,
	NUMBER_SQUARE,
	ABSOLUTE,
	STANDARD_SQUARE,
	N_COLUMNS
};

static const LmMetric metrics[] = {{"loss", LM_METRIC_RATIO, STANDARD_SQUARE, WEIGHT, 0},
								   {"rmse", LM_METRIC_ROOT, SQUARE, WEIGHT, 0},
								   {"mae", LM_METRIC_RATIO, ABSOLUTE, WEIGHT, 0},
								   {"r2", LM_METRIC_R2, SQUARE, WEIGHT, 0}};

typedef struct Pair
{
	double wanted; /* after rank_by, its rank */
	double found;
	double weight;
} Pair;

struct GptRegression
{
	GptNumbers numbers;
	size_t n;
	size_t capacity;
	Pair *pairs; /* [capacity] */
	double weight;
	double squares; /* Σ weight difference^2, of found, ... */
	double baseline; /* ... and of the training's mean */
	double absolute; /* Σ weight |difference| */
	GptRowScores *scores;
};

static double correlation(const GptRegression *regression);
static double variance_of_wanted(const GptRegression *regression);
static void rank_by(GptRegression *regression, size_t field);

GptRegression *
gpt_regression_create(const GptNumbers *numbers)
{
	GptRegression *regression = palloc0(sizeof(GptRegression));

	regression->numbers = *numbers;
	regression->capacity = FIRST_CAPACITY;
	regression->pairs = palloc(FIRST_CAPACITY * sizeof(Pair));
	regression->scores = gpt_row_scores_create(metrics, lengthof(metrics), N_COLUMNS, 0);
	return regression;
}

GptRowScores *
gpt_regression_scores(const GptRegression *regression)
{
	return regression->scores;
}

void
gpt_regression_add(GptRegression *regression, double wanted, double found, double weight)
{
	double difference = found - wanted;
	double of_mean = (double) regression->numbers.mean - wanted;
	double scale = (double) regression->numbers.scale;
	double columns[N_COLUMNS] = {weight,
								 weight * difference * difference,
								 -weight * of_mean,
								 weight * of_mean * of_mean,
								 weight * fabs(difference),
								 weight * difference * difference / scale / scale};

	if (regression->n == regression->capacity)
	{
		regression->capacity *= 2;
		gpt_bridge_check_memory((uint64) regression->capacity * sizeof(Pair));
		regression->pairs = repalloc_huge(regression->pairs, regression->capacity * sizeof(Pair));
	}
	gpt_row_scores_add(regression->scores, columns);
	regression->pairs[regression->n++] = (Pair){wanted, found, weight};
	regression->weight += weight;
	regression->squares += weight * difference * difference;
	regression->baseline += weight * of_mean * of_mean;
	regression->absolute += weight * fabs(difference);
}

void
gpt_regression_measure(GptRegression *regression, GptMeasureCallback callback, void *context)
{
	double scale = regression->numbers.scale;
	double mean_square = regression->squares / regression->weight;
	double variance = variance_of_wanted(regression);
	double spearman;

	callback(context, "loss", NULL, NULL, mean_square / scale / scale);
	callback(context, "rmse", NULL, NULL, sqrt(mean_square));
	callback(context, "mae", NULL, NULL, regression->absolute / regression->weight);
	if (variance > 0)
		callback(context, "r2", NULL, NULL, 1 - mean_square / variance);
	rank_by(regression, offsetof(Pair, wanted));
	rank_by(regression, offsetof(Pair, found));
	spearman = correlation(regression);
	if (!isnan(spearman))
		callback(context, "spearman", NULL, NULL, spearman);
	callback(context, "baseline_rmse", NULL, NULL, sqrt(regression->baseline / regression->weight));
}

static double
variance_of_wanted(const GptRegression *regression)
{
	double mean = 0;
	double sum = 0;
	bool equal = true;

	for (size_t i = 0; i < regression->n; i++)
		mean += regression->pairs[i].weight * regression->pairs[i].wanted / regression->weight;
	for (size_t i = 0; i < regression->n; i++)
	{
		double difference = regression->pairs[i].wanted - mean;

		sum += regression->pairs[i].weight * difference * difference;
		equal &= regression->pairs[i].wanted == regression->pairs[0].wanted;
	}
	/* The mean of equal numbers is rounded. */
	return equal ? 0 : sum / regression->weight;
}

/* ---- Ranks -------------------------------------------------------------- */

static double *
field_of(const GptRegression *regression, size_t pair, size_t field)
{
	return (double *) ((char *) &regression->pairs[pair] + field);
}

/* context: the offset of a field. */
static int
compare(const void *a, const void *b, void *context)
{
	size_t field = *(const size_t *) context;
	double first = *(const double *) ((const char *) a + field);
	double second = *(const double *) ((const char *) b + field);

	CHECK_FOR_INTERRUPTS();
	return first < second ? -1 : first > second;
}

/* Puts the ranks of a field's values in their place; equal values have the mean of their ranks. */
static void
rank_by(GptRegression *regression, size_t field)
{
	double before = 0; /* weight of smaller values */

	qsort_arg(regression->pairs, regression->n, sizeof(Pair), compare, &field);
	for (size_t first = 0, end; first < regression->n; first = end)
	{
		double value = *field_of(regression, first, field);
		double weight = 0;

		for (end = first; end < regression->n && *field_of(regression, end, field) == value; end++)
			weight += regression->pairs[end].weight;
		for (size_t i = first; i < end; i++)
			*field_of(regression, i, field) = before + weight / 2;
		before += weight;
	}
}

/* Pearson's, of what the fields hold; NaN where one of them does not vary. */
static double
correlation(const GptRegression *regression)
{
	double middle = regression->weight / 2; /* the mean of ranks of all weights together */
	double both = 0;
	double wanted = 0;
	double found = 0;

	for (size_t i = 0; i < regression->n; i++)
	{
		const Pair *pair = &regression->pairs[i];
		double x = pair->wanted - middle;
		double y = pair->found - middle;

		both += pair->weight * x * y;
		wanted += pair->weight * x * x;
		found += pair->weight * y * y;
	}
	return wanted > 0 && found > 0 ? both / sqrt(wanted) / sqrt(found) : NAN;
}
