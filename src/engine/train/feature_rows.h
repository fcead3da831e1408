/*
 * src/engine/train/feature_rows.h
 *
 * The windows of a token file as sparse rows: the first training windows, then the first validation
 * windows, as many as there is room for. A row's entries are numbers of features and their values
 * in the row (engine/feature_table.h). Feature 0 is the constant one, which has no entry.
 */
#ifndef LM_FEATURE_ROWS_H
#define LM_FEATURE_ROWS_H

#include "engine/feature_fit.h"

typedef struct LmFeatureRows
{
	LmHost host;
	size_t n_rows;
	size_t n_train;
	size_t *ends; /* [n_rows] of a row's entries; it begins where the one before ends */
	uint32_t *features; /* [ends[n_rows - 1]] */
	float *values;
	float *keys; /* [n_features, LM_FEATURE_KEY_COLUMNS], ascending; row 0 is zeros */
	size_t n_features;
	bool features_left_out;
	size_t ends_capacity, features_capacity, values_capacity;
} LmFeatureRows;

static inline size_t
lm_row_begin(const LmFeatureRows *rows, size_t row)
{
	return row > 0 ? rows->ends[row - 1] : 0;
}

/*
 * Reads the windows. Of a base all features stay, with their document frequencies; others are added
 * while there is room for their weights, the most frequent ones first. The caller frees it, also
 * after a failure: LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
bool lm_feature_rows_read(LmFeatureRows *rows, const LmHost *host, const LmDataset *dataset,
						  const LmTokenizer *tokenizer, const LmFeatureFitOptions *options,
						  LmError *error);
void lm_feature_rows_free(LmFeatureRows *rows);

#endif /* LM_FEATURE_ROWS_H */
