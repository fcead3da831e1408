/*
 * src/corpus/row_scores.c
 *
 * Rows' parts of sums go in one by one; intervals of measures, and of differences of two models,
 * come out.
 *
 *   columns | row 0 | row 1 | ...        [n, n_columns]
 *   starts  | of row 0 | of row 1 | ...  in places and values, the counts of all rows
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "corpus/row_scores.h"
#include "engine/random.h"

#define FIRST_CAPACITY 1024

struct GptRowScores
{
	MemoryContext context;
	const LmMetric *metrics;
	int n_metrics;
	int n_columns;
	int n_counts;
	size_t n; /* rows, or units of them */
	size_t capacity;
	double *columns;
	size_t *starts; /* [capacity + 1] */
	size_t n_entries;
	size_t entry_capacity;
	uint32 *places;
	double *values;
	double weight; /* sums over rows, ... */
	double squares; /* ... of the weight and its square */
	LmInterval *intervals; /* [n_metrics] */
};

static void grow(GptRowScores *scores);
static void arrange(GptRowScores *first, GptRowScores *second, uint64 seed);
static LmScores scores_of(const GptRowScores *scores);
static double mcnemar_of(const GptRowScores *first, const GptRowScores *second, int column);

GptRowScores *
gpt_row_scores_create(const LmMetric *metrics, int n_metrics, int n_columns, int n_counts)
{
	GptRowScores *scores = palloc0(sizeof(GptRowScores));

	scores->context = CurrentMemoryContext;
	scores->metrics = metrics;
	scores->n_metrics = n_metrics;
	scores->n_columns = n_columns;
	scores->n_counts = n_counts;
	scores->capacity = FIRST_CAPACITY;
	scores->columns = palloc(scores->capacity * n_columns * sizeof(double));
	scores->starts = palloc0((scores->capacity + 1) * sizeof(size_t));
	scores->entry_capacity = FIRST_CAPACITY;
	scores->places = palloc(scores->entry_capacity * sizeof(uint32));
	scores->values = palloc(scores->entry_capacity * sizeof(double));
	scores->intervals = palloc(n_metrics * sizeof(LmInterval));
	for (int i = 0; i < n_metrics; i++)
		scores->intervals[i] = (LmInterval){NAN, NAN, NAN};
	return scores;
}

int
gpt_row_scores_n_metrics(const GptRowScores *scores)
{
	return scores->n_metrics;
}

/* ---- Rows --------------------------------------------------------------- */

static uint64
memory_of(const GptRowScores *scores)
{
	return (uint64) scores->capacity * (scores->n_columns * sizeof(double) + sizeof(size_t)) +
		   (uint64) scores->entry_capacity * (sizeof(uint32) + sizeof(double));
}

void
gpt_row_scores_count(GptRowScores *scores, int place, double value)
{
	if (scores->n_entries == scores->entry_capacity)
	{
		scores->entry_capacity *= 2;
		gpt_bridge_check_memory(memory_of(scores));
		scores->places = repalloc_huge(scores->places, scores->entry_capacity * sizeof(uint32));
		scores->values = repalloc_huge(scores->values, scores->entry_capacity * sizeof(double));
	}
	scores->places[scores->n_entries] = (uint32) place;
	scores->values[scores->n_entries++] = value;
}

void
gpt_row_scores_add(GptRowScores *scores, const double *columns)
{
	if (scores->n == scores->capacity)
		grow(scores);
	memcpy(scores->columns + scores->n * scores->n_columns, columns,
		   scores->n_columns * sizeof(double));
	scores->starts[++scores->n] = scores->n_entries;
	scores->weight += columns[0];
	scores->squares += columns[0] * columns[0];
}

static void
grow(GptRowScores *scores)
{
	scores->capacity *= 2;
	gpt_bridge_check_memory(memory_of(scores));
	scores->columns =
		repalloc_huge(scores->columns, scores->capacity * scores->n_columns * sizeof(double));
	scores->starts = repalloc_huge(scores->starts, (scores->capacity + 1) * sizeof(size_t));
}

static LmScores
scores_of(const GptRowScores *scores)
{
	return (LmScores){.n = scores->n,
					  .n_columns = scores->n_columns,
					  .n_counts = scores->n_counts,
					  .columns = scores->columns,
					  .starts = scores->starts,
					  .places = scores->places,
					  .values = scores->values};
}

/* ---- Order -------------------------------------------------------------- */

/* What a comparison of rows of one or two models reads. */
typedef struct Ordering
{
	const GptRowScores *of[2];
	int n;
} Ordering;

static int
compare_units(const GptRowScores *scores, size_t a, size_t b)
{
	size_t size = scores->n_columns * sizeof(double);
	size_t n_a = scores->starts[a + 1] - scores->starts[a];
	size_t n_b = scores->starts[b + 1] - scores->starts[b];
	int order = memcmp(scores->columns + a * scores->n_columns,
					   scores->columns + b * scores->n_columns, size);

	if (order == 0)
		order = (n_a > n_b) - (n_a < n_b);
	if (order == 0)
		order = memcmp(scores->places + scores->starts[a], scores->places + scores->starts[b],
					   n_a * sizeof(uint32));
	if (order == 0)
		order = memcmp(scores->values + scores->starts[a], scores->values + scores->starts[b],
					   n_a * sizeof(double));
	return order;
}

static int
compare_places(const void *a, const void *b, void *context)
{
	const Ordering *ordering = context;
	int order = 0;

	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < ordering->n && order == 0; i++)
		order = compare_units(ordering->of[i], *(const uint32 *) a, *(const uint32 *) b);
	return order;
}

/* Puts rows into another order; `group` of them become one unit. */
static void
rearrange(GptRowScores *scores, const uint32 *places, size_t group)
{
	size_t width = scores->n_columns;
	size_t n_units = (scores->n + group - 1) / group;
	double *columns = MemoryContextAllocExtended(
		scores->context, (n_units + 1) * width * sizeof(double), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	size_t *starts = MemoryContextAllocHuge(scores->context, (n_units + 1) * sizeof(size_t));
	uint32 *entries =
		MemoryContextAllocHuge(scores->context, scores->entry_capacity * sizeof(uint32));
	double *values =
		MemoryContextAllocHuge(scores->context, scores->entry_capacity * sizeof(double));
	size_t n_entries = 0;

	starts[0] = 0;
	for (size_t i = 0; i < scores->n; i++)
	{
		size_t from = places[i];
		size_t n = scores->starts[from + 1] - scores->starts[from];

		for (size_t k = 0; k < width; k++)
			columns[i / group * width + k] += scores->columns[from * width + k];
		memcpy(entries + n_entries, scores->places + scores->starts[from], n * sizeof(uint32));
		memcpy(values + n_entries, scores->values + scores->starts[from], n * sizeof(double));
		n_entries += n;
		starts[i / group + 1] = n_entries;
	}
	pfree(scores->columns);
	pfree(scores->starts);
	pfree(scores->places);
	pfree(scores->values);
	scores->n = n_units;
	scores->columns = columns;
	scores->starts = starts;
	scores->places = entries;
	scores->values = values;
}

/*
 * Rows in an order of their own, whatever the query's was: equal ones are each other's equals. Too
 * many are shuffled and make groups.
 */
static void
arrange(GptRowScores *first, GptRowScores *second, uint64 seed)
{
	Ordering ordering = {{first, second}, second != NULL ? 2 : 1};
	LmKey key = lm_key(seed, LM_RANDOM_RESAMPLE, 2, 0);
	size_t n = first->n;
	size_t group = (n + GPT_MOST_UNITS - 1) / GPT_MOST_UNITS;
	uint32 *places;
	uint32 *shuffled;

	gpt_bridge_check_memory(2 * (memory_of(first) + (second != NULL ? memory_of(second) : 0)) +
							2 * n * sizeof(uint32));
	places = MemoryContextAllocHuge(first->context, n * sizeof(uint32));
	shuffled = MemoryContextAllocHuge(first->context, n * sizeof(uint32));
	for (size_t i = 0; i < n; i++)
		places[i] = (uint32) i;
	qsort_arg(places, n, sizeof(uint32), compare_places, &ordering);
	for (size_t i = 0; i < n; i++)
		shuffled[i] = places[group > 1 ? lm_random_permute(key, i, n) : i];
	rearrange(first, shuffled, group);
	if (second != NULL)
		rearrange(second, shuffled, group);
	pfree(places);
	pfree(shuffled);
}

/* ---- Intervals ---------------------------------------------------------- */

static void
resample(LmInterval *intervals, int n_metrics, const GptRowScores *first,
		 const GptRowScores *second, int n_samples, uint64 seed)
{
	LmScores a = scores_of(first);
	LmScores b = scores_of(second != NULL ? second : first);
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt resampling", ALLOCSET_DEFAULT_SIZES);
	LmError error;

	gpt_bridge_check_memory(memory_of(first) + (second != NULL ? memory_of(second) : 0) +
							(uint64) n_metrics * n_samples * sizeof(double));
	while (!lm_bootstrap(intervals, &a, second != NULL ? &b : NULL, first->metrics, n_metrics,
						 n_samples, seed, gpt_bridge_host(scratch), &error))
		gpt_bridge_retry(&error);
	MemoryContextDelete(scratch);
}

void
gpt_row_scores_finish(GptRowScores *scores, int n_samples, uint64 seed)
{
	LmScores sums_of;
	double *sums;

	if (n_samples == 0 || scores->n == 0)
		return;
	arrange(scores, NULL, seed);
	sums_of = scores_of(scores);
	sums = palloc((scores->n_columns + scores->n_counts) * sizeof(double));
	lm_scores_sum(sums, &sums_of);
	resample(scores->intervals, scores->n_metrics, scores, NULL, n_samples, seed);
	for (int i = 0; i < scores->n_metrics; i++)
	{
		LmInterval *interval = &scores->intervals[i];

		if (scores->metrics[i].kind == LM_METRIC_SHARE)
			*interval = lm_share_interval(lm_metric_value(&scores->metrics[i], sums, &sums_of),
										  scores->weight * scores->weight / scores->squares);
		/* A sample of few rows is worse calibrated than all of them: its values lie beside. */
		if (scores->metrics[i].kind == LM_METRIC_CALIBRATION)
			interval->low = interval->high = NAN;
	}
	pfree(sums);
}

LmInterval
gpt_row_scores_interval(const GptRowScores *scores, const char *metric)
{
	for (int i = 0; scores != NULL && i < scores->n_metrics; i++)
	{
		if (strcmp(scores->metrics[i].name, metric) == 0)
			return scores->intervals[i];
	}
	return (LmInterval){NAN, NAN, NAN};
}

/* ---- Comparison --------------------------------------------------------- */

void
gpt_row_scores_compare(GptComparedMetric *compared, int n_metrics, GptRowScores *first,
					   GptRowScores *second, int n_samples, uint64 seed)
{
	GptRowScores *both[] = {first, second};
	LmInterval *intervals = palloc(n_metrics * sizeof(LmInterval));
	double *exact = palloc(n_metrics * sizeof(double));

	if (first->n != second->n)
		elog(ERROR, "two models have results of different rows");
	for (int i = 0; i < n_metrics; i++)
		exact[i] = first->metrics[i].kind == LM_METRIC_SHARE
					   ? mcnemar_of(first, second, first->metrics[i].x)
					   : NAN;
	arrange(first, second, seed);
	for (int k = 0; k < 2; k++)
	{
		LmScores scores = scores_of(both[k]);
		double *sums = palloc((scores.n_columns + scores.n_counts) * sizeof(double));

		lm_scores_sum(sums, &scores);
		for (int i = 0; i < n_metrics; i++)
			compared[i].values[k] = lm_metric_value(&both[k]->metrics[i], sums, &scores);
		pfree(sums);
	}
	for (int i = 0; i < n_metrics; i++)
		intervals[i] = (LmInterval){NAN, NAN, NAN};
	if (n_samples > 0)
		resample(intervals, n_metrics, first, second, n_samples, seed);
	for (int i = 0; i < n_metrics; i++)
	{
		compared[i].name = first->metrics[i].name;
		compared[i].difference = intervals[i];
		if (!isnan(exact[i]))
			compared[i].difference.p = exact[i];
	}
	pfree(intervals);
	pfree(exact);
}

/* NaN where rows have weights, or are not measured. */
static double
mcnemar_of(const GptRowScores *first, const GptRowScores *second, int column)
{
	uint64 only[2] = {0, 0};

	for (size_t i = 0; i < first->n; i++)
	{
		const double *a = first->columns + i * first->n_columns;
		const double *b = second->columns + i * second->n_columns;

		if (a[0] != 1 || b[0] != 1)
			return NAN;
		only[0] += a[column] > b[column];
		only[1] += b[column] > a[column];
	}
	return lm_mcnemar(only[0], only[1]);
}
