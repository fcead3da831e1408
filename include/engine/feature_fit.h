/*
 * include/engine/feature_fit.h
 *
 * Fits the linear part of a classifier (engine/feature_table.h) to the windows of a token file, and
 * weighs it against the network's logits.
 *
 * Each label has a support vector machine with squared hinge loss against all others, solved by
 * dual coordinate descent (train/dual.h). Of three costs of an error, a fifth of the training rows
 * that is left out chooses the one whose probabilities are best; then all training rows are learnt.
 * A base's weights are where a further training begins: the squared distance from them is what a
 * small loss is weighed against, so what new rows do not speak of stays.
 *
 * A regression model has ridge regression instead (train/ridge.h), whose cost its squared error
 * chooses.
 *
 * Where time is limited, reading ends after two fifths of it, the choice after half of the rest,
 * and learning at its end: rows that were not read, costs that were not tried and passes that were
 * not made are missing then. A fit that ends before is the one without a limit.
 *
 * Logits of the classifier are a z + b l, of the network's logits z and the linear part's l. The
 * validation rows choose a and b (train/blend.h): that is a temperature (Guo et al. 2017, "On
 * calibration of modern neural networks") and the part of each.
 */
#ifndef LM_FEATURE_FIT_H
#define LM_FEATURE_FIT_H

#include "engine/batch.h"
#include "engine/feature_table.h"
#include "engine/tokenizer.h"

/* How much of the time that a fit may take is over, from 0 to 1 and above; NULL: no limit. */
typedef struct LmFitTime
{
	double (*used)(void *context);
	void *context;
} LmFitTime;

static inline double
lm_fit_used(const LmFitTime *time)
{
	return time && time->used ? time->used(time->context) : 0;
}

static inline bool
lm_fit_is_over(const LmFitTime *time, double until)
{
	return time && time->used && time->used(time->context) >= until;
}

typedef struct LmFeatureFitOptions
{
	int labels;
	bool multi_label;
	bool number; /* of a regression model: labels is 1 */
	size_t most_entries; /* features of all rows together: 8 bytes each */
	size_t most_features; /* different ones, while rows are read; 0: LM_FIT_FEATURES */
	size_t most_weights; /* of the table; 0: LM_FEATURE_WEIGHTS */
	/* of labels that are solved beside each other, and of dual variables; 0: LM_FIT_FLOATS */
	size_t most_floats;
	LmFitTime time;
	uint64_t seed;
	/* the base's; n 0: none. Its label i is label base_labels[i] of the options. */
	LmFeatureTable base;
	const int *base_labels;
} LmFeatureFitOptions;

#define LM_FIT_FEATURES ((size_t) 1 << 22)
#define LM_FIT_FLOATS ((size_t) 1 << 24)

typedef struct LmFeatureFit LmFeatureFit;

/* What did not fit. */
typedef struct LmFeatureFitLimits
{
	size_t rows; /* that were learnt, windows of the training ... */
	size_t all_rows; /* ... of so many */
	bool features; /* some were left out while rows were read, or have no place in the table */
	bool time; /* the time was over before the weights were final */
} LmFeatureFitLimits;

/*
 * Fits. Computes on the threads of the engine; the same for any number of them. The dataset is
 * needed until _blend is done. NULL with LM_ERR_MEMORY, LM_ERR_STOPPED, LM_ERR_ARGUMENT.
 */
LmFeatureFit *lm_feature_fit_create(LmEngine *engine, const LmDataset *dataset,
									const LmTokenizer *tokenizer,
									const LmFeatureFitOptions *options, LmError *error);
void lm_feature_fit_free(LmFeatureFit *fit);

LmFeatureFitLimits lm_feature_fit_limits(const LmFeatureFit *fit);
/* Rows of the table, at least 1. */
int lm_feature_fit_count(const LmFeatureFit *fit);
/* Validation windows that _blend looks at: the file's first ones. */
size_t lm_feature_fit_validation(const LmFeatureFit *fit);

/*
 * Chooses the share a of the network's logits, [lm_feature_fit_validation, labels], and the scale b
 * of the linear part. *loss and *accuracy of the blend on these windows; NaN without any.
 */
typedef struct LmBlend
{
	double share;
	double scale;
	double loss;
	double accuracy;
} LmBlend;

bool lm_feature_fit_blend(LmBlend *blend, LmFeatureFit *fit, const float *logits, LmError *error);

/* Writes keys [n, LM_FEATURE_KEY_COLUMNS] and weights [n, labels] with the scale. */
void lm_feature_fit_write(float *keys, float *weights, const LmFeatureFit *fit, double scale);

#endif /* LM_FEATURE_FIT_H */
