/*
 * include/corpus/regression.h
 *
 * How near a model's numbers are to those of rows: both go in, measures of all of them come out.
 */
#ifndef GPT_REGRESSION_H
#define GPT_REGRESSION_H

#include "corpus/classification.h"
#include "corpus/numbers.h"
#include "corpus/row_scores.h"

/* All numbers of an evaluation. Lives in the memory context in which it was created. */
typedef struct GptRegression GptRegression;

extern GptRegression *gpt_regression_create(const GptNumbers *numbers);

/*
 * Adds a row's number and the model's, with a weight above 0. Raises an error if the rows need more
 * than gpt.max_memory.
 */
extern void gpt_regression_add(GptRegression *regression, double wanted, double found,
							   double weight);

/* What each row adds to the measures, but for spearman. */
extern GptRowScores *gpt_regression_scores(const GptRegression *regression);

/*
 * Reports all measures in their final order; at least one row was added. loss: the mean squared
 * error of standardised numbers, as in training; rmse, mae: of the numbers; r2: the share of the
 * rows' variance that the model explains; spearman: the correlation of ranks (of equal ones their
 * mean); baseline_rmse: that of always saying the mean of the training. r2 and spearman are left
 * out where all rows have the same number, spearman where all answers are equal.
 */
extern void gpt_regression_measure(GptRegression *regression, GptMeasureCallback callback,
								   void *context);

#endif /* GPT_REGRESSION_H */
