/*
 * src/engine/train/dual.h
 *
 * Linear support vector machines with squared hinge loss, one for each label against all others, by
 * dual coordinate descent with shrinking (Hsieh et al. 2008, "A dual coordinate descent method for
 * large-scale linear SVM", algorithms 1 and 3):
 *
 *   min over w   |w - w0|^2 / 2 + C sum_i weight_i max(0, 1 - y_i w x_i)^2
 *
 * Groups of labels are solved beside each other on the threads, each by one thread at a time and in
 * an order of rows that the seed decides, so the result does not depend on the threads. Where the
 * time ends before, the weights are those of the steps so far.
 */
#ifndef LM_DUAL_H
#define LM_DUAL_H

#include "train/feature_rows.h"

/* Which rows belong to which label. */
typedef struct LmRowLabels
{
	int labels;
	const LmWindow *windows; /* [n] in the order of rows */
	const LmLabelSets *sets; /* NULL: a row has the one label of its window */
} LmRowLabels;

bool lm_row_has(const LmRowLabels *labels, size_t row, uint32_t label);

typedef struct LmDualOptions
{
	double cost; /* C */
	int fold; /* rows whose number modulo LM_DUAL_FOLDS is it are left out; -1: none */
	size_t n_rows; /* the first rows are learnt */
	int most_passes;
	const LmFitTime *time; /* NULL: no limit */
	double until; /* this share of it, the passes go on */
	size_t most_floats; /* of memory; 0: LM_FIT_FLOATS */
	/*
	 * [n_train, labels] the dual variables of the weights that go in, and of those that come out;
	 * NULL: the weights that go in are w0. Those of another cost or of fewer rows are a good
	 * beginning, because the solution is the same wherever the descent begins.
	 */
	float *alpha;
	uint64_t seed;
} LmDualOptions;

#define LM_DUAL_FOLDS 5

static inline bool
lm_dual_learns(const LmDualOptions *options, size_t row)
{
	return row < options->n_rows &&
		   (options->fold < 0 || row % LM_DUAL_FOLDS != (size_t) options->fold);
}

/*
 * weights [n_features, labels]: w0 in (and what options->alpha adds), w out; feature 0 is the
 * constant 1 of each row. Of two labels that part all rows, the second has the opposite weights of
 * the first. LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
bool lm_dual_fit(float *weights, LmEngine *engine, const LmFeatureRows *rows,
				 const LmRowLabels *labels, const LmDualOptions *options, LmError *error);

#endif /* LM_DUAL_H */
