/*
 * include/corpus/row_scores.h
 *
 * What each measured row adds to the measures of all of them: from this come intervals, and
 * comparisons of two models. engine/resample.h has the method.
 */
#ifndef GPT_ROW_SCORES_H
#define GPT_ROW_SCORES_H

#include "engine/resample.h"

/* The first column is the row's weight. Lives in the memory context in which it was created. */
typedef struct GptRowScores GptRowScores;

/*
 * Rows that are drawn one by one; of more, a random group of them is drawn together: sums of
 * independent rows are independent too.
 */
#define GPT_MOST_UNITS 16384

/* For metrics [n_metrics], which outlive it, of n_columns columns and n_counts counts. */
extern GptRowScores *gpt_row_scores_create(const LmMetric *metrics, int n_metrics, int n_columns,
										   int n_counts);

/* Adds to a count of the row whose columns are added next. */
extern void gpt_row_scores_count(GptRowScores *scores, int place, double value);

/* Adds a row: columns [n_columns]. Raises an error if rows need more than gpt.max_memory. */
extern void gpt_row_scores_add(GptRowScores *scores, const double *columns);

/*
 * Computes intervals of the metrics; no row is added afterwards. Rows have the same intervals in
 * whatever order they came. n_samples 0: none.
 */
extern void gpt_row_scores_finish(GptRowScores *scores, int n_samples, uint64 seed);

/* The interval of a metric; NaN where it has none. scores may be NULL. */
extern LmInterval gpt_row_scores_interval(const GptRowScores *scores, const char *metric);

/* A metric of one model, and of another on the same rows. */
typedef struct GptComparedMetric
{
	const char *name;
	double values[2];
	LmInterval difference; /* second - first */
} GptComparedMetric;

/*
 * Compares two models by rows that were added in the same order: the first n_metrics of both. The p
 * of shares is McNemar's where rows have no weights.
 */
extern void gpt_row_scores_compare(GptComparedMetric *compared, int n_metrics, GptRowScores *first,
								   GptRowScores *second, int n_samples, uint64 seed);
extern int gpt_row_scores_n_metrics(const GptRowScores *scores);

#endif /* GPT_ROW_SCORES_H */
