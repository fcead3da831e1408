/*
 * src/engine/model/label_figures.h
 *
 * How good the answers of a head are, beside its loss: sums over windows, and what they come to.
 *
 *   | objective      | figures           | sums, each times the window's weight | | labels |
 * accuracy          | the most probable label is the window's                    | | sets of labels
 * | micro_f1,         | labels both given and wanted; labels given or wanted,      | | | accuracy
 * | but not both; all labels of the window are right           | | number         | r2, rmse, mae
 * | squared error, its size, number, squared number, all of    | |                | | standardised
 * numbers                                       |
 *
 * A label of a set is given where its probability is at least one half, as gpt_classify gives it.
 */
#ifndef LM_LABEL_FIGURES_H
#define LM_LABEL_FIGURES_H

#include "engine/batch.h"
#include "engine/config.h"

/* What the windows should be: targets (labels, or sets), or values of regression; [n] each. */
typedef struct LmLabelAnswers
{
	const float *logits; /* [n, labels], before their gradient takes their place */
	const int32_t *targets; /* negative: the window does not count */
	const float *values;
	const float *weights;
	const LmLabelSets *sets;
} LmLabelAnswers;

/* Adds the sums of n windows to sums [LM_MAX_FIGURES]. */
void lm_label_figures_add(double *sums, const LmConfig *config, const LmLabelAnswers *answers,
						  int n);

/* For LmObjective.finish. r2 is NaN where all numbers are equal. */
void lm_set_figures_finish(double *values, const double *means, const LmConfig *config);
void lm_number_figures_finish(double *values, const double *means, const LmConfig *config);

#endif /* LM_LABEL_FIGURES_H */
