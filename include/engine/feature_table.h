/*
 * include/engine/feature_table.h
 *
 * The linear part of a classifier: a row of weights for each feature (engine/features.h) that its
 * training rows have, in two matrices of its parameters.
 *
 *   keys    [n, 3]       upper and lower 24 bits of the key as numbers, inverse document frequency
 *   weights [n, labels]  what the feature adds to each label's logit
 *
 * Rows are in the order of their keys. Row 0 has the key 0, which no feature has: it adds to every
 * text. Its third number is the scale of the weights: they are those of the training, whose margins
 * are 1, times the scale.
 *
 * The value of a feature in a text is (1 + ln count) idf (Salton and Buckley 1988, "Term-weighting
 * approaches in automatic text retrieval"), scaled so that all words together have length
 * sqrt(1 / (1 + s^2)), and all runs of letters s times that; features without a row do not count.
 */
#ifndef LM_FEATURE_TABLE_H
#define LM_FEATURE_TABLE_H

#include "engine/features.h"

#define LM_FEATURE_KEY_COLUMNS 3
#define LM_FEATURE_LETTERS_SCALE 0.8 /* s */
/* Weights of a table, at most; a table of many labels has fewer features. */
#define LM_FEATURE_WEIGHTS (1 << 23)

/* The two matrices, which belong to somebody else. */
typedef struct LmFeatureTable
{
	const float *keys;
	const float *weights;
	int n;
	int labels;
} LmFeatureTable;

static inline uint64_t
lm_feature_key_at(const LmFeatureTable *table, size_t row)
{
	const float *at = table->keys + row * LM_FEATURE_KEY_COLUMNS;

	return (uint64_t) at[0] << 24 | (uint64_t) at[1];
}

/* The row of a key; 0: there is none. */
size_t lm_feature_find(const LmFeatureTable *table, uint64_t key);

/*
 * Sets the rows of features, and scale[kind], by which lm_feature_value is multiplied.
 */
void lm_feature_look_up(double scale[LM_FEATURE_KINDS], LmFeatures *features,
						const LmFeatureTable *table);
double lm_feature_value(const LmFeature *feature, double idf);
/* The factors of kinds, from the sums of the squares of their values. */
void lm_feature_scale(double scale[LM_FEATURE_KINDS], const double squares[LM_FEATURE_KINDS]);

/* Adds what the features of a text say to logits [labels]. Sets their rows. */
void lm_feature_add_logits(double *logits, LmFeatures *features, const LmFeatureTable *table);

/*
 * The features of a text's tokens, as a training and a call see them: those of its decoded bytes.
 * Special tokens part it into parts. text is scratch that grows. LM_ERR_MEMORY, LM_ERR_STOPPED,
 * LM_ERR_LIMIT for a text of more than 1 GiB.
 */
typedef struct LmFeatureText
{
	char *bytes;
	size_t capacity;
} LmFeatureText;

/* The same of two texts, of which the first has n_first of n tokens (lm_features_match). */
typedef struct LmFeaturePair
{
	LmFeatures first;
	LmFeatures second;
} LmFeaturePair;

bool lm_features_of_pair(LmFeatures *features, LmFeaturePair *pair, LmFeatureText *text,
						 const LmHost *host, const LmTokenizer *tokenizer, const int32_t *ids,
						 size_t n_first, size_t n, LmError *error);
bool lm_features_of_ids(LmFeatures *features, LmFeatureText *text, const LmHost *host,
						const LmTokenizer *tokenizer, const int32_t *ids, size_t n, LmError *error);

/*
 * lm_features_spread for a text's tokens: over the bytes of those that are not special, which
 * follow each other. bytes has one more than these.
 */
bool lm_features_spread_ids(double *bytes, const double *weights, const LmFeatures *features,
							LmFeatureText *text, const LmHost *host, const LmTokenizer *tokenizer,
							const int32_t *ids, size_t n, LmError *error);

#endif /* LM_FEATURE_TABLE_H */
