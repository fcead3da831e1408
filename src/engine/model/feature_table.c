/*
 * src/engine/model/feature_table.c
 *
 * Looks the features of a text up in the table of a classifier, and adds up their weights.
 */
#include <math.h>

#include "engine/feature_table.h"
#include "text/array.h"
#include "text/utf8.h"

#define FIRST_STEP 256 /* rows, of a search */

/*
 * Keys are hashes, so the place of one is about its share of the largest: the search begins there,
 * and doubles its steps until the key is inside.
 */
size_t
lm_feature_find(const LmFeatureTable *table, uint64_t key)
{
	size_t n = (size_t) table->n, low, high, step = FIRST_STEP;

	if (n == 0 || key == 0)
		return 0;
	low = (size_t) ((double) key / (double) (UINT64_C(1) << LM_FEATURE_KEY_BITS) * (double) n);
	low = high = low < n ? low : n - 1;
	while (low > 0 && lm_feature_key_at(table, low) > key)
	{
		low = low > step ? low - step : 0;
		step *= 2;
	}
	step = FIRST_STEP;
	while (high < n && lm_feature_key_at(table, high) < key)
	{
		high = n - high > step ? high + step : n;
		step *= 2;
	}
	/* The first row from low on whose key is not below the key; high is above it. */
	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (lm_feature_key_at(table, middle) < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && lm_feature_key_at(table, low) == key ? low : 0;
}

double
lm_feature_value(const LmFeature *feature, double idf)
{
	return (feature->count > 1 ? 1 + log((double) feature->count) : 1) * idf;
}

void
lm_feature_scale(double scale[LM_FEATURE_KINDS], const double squares[LM_FEATURE_KINDS])
{
	const double s = LM_FEATURE_LETTERS_SCALE;
	const double lengths[LM_FEATURE_KINDS] = {sqrt(1 / (1 + s * s)), s * sqrt(1 / (1 + s * s))};

	for (int kind = 0; kind < LM_FEATURE_KINDS; kind++)
		scale[kind] = squares[kind] > 0 ? lengths[kind] / sqrt(squares[kind]) : 0;
}

void
lm_feature_look_up(double scale[LM_FEATURE_KINDS], LmFeatures *features,
				   const LmFeatureTable *table)
{
	double squares[LM_FEATURE_KINDS] = {0};

	for (size_t i = 0; i < features->n; i++)
	{
		LmFeature *feature = &features->items[i];
		double value;

		feature->row = (uint32_t) lm_feature_find(table, feature->key);
		if (feature->row == 0)
			continue;
		value = lm_feature_value(feature,
								 table->keys[(size_t) feature->row * LM_FEATURE_KEY_COLUMNS + 2]);
		squares[lm_feature_kind(feature->key)] += value * value;
	}
	lm_feature_scale(scale, squares);
}

void
lm_feature_add_logits(double *logits, LmFeatures *features, const LmFeatureTable *table)
{
	double scale[LM_FEATURE_KINDS];
	size_t n = (size_t) table->labels;

	lm_feature_look_up(scale, features, table);
	for (size_t k = 0; k < n; k++)
		logits[k] += table->weights[k];
	for (size_t i = 0; i < features->n; i++)
	{
		const LmFeature *feature = &features->items[i];
		const float *weights = table->weights + feature->row * n;
		double value;

		if (feature->row == 0)
			continue;
		value = scale[lm_feature_kind(feature->key)] *
				lm_feature_value(feature,
								 table->keys[(size_t) feature->row * LM_FEATURE_KEY_COLUMNS + 2]);
		for (size_t k = 0; k < n; k++)
			logits[k] += value * weights[k];
	}
}

/* ---- Tokens ------------------------------------------------------------- */

/* What is done with each part of a text: its features are counted, or spread. */
typedef struct Parts
{
	LmFeatures *features; /* NULL: spread */
	const LmFeatures *spread;
	const double *weights;
	double *bytes; /* of the next part */
	const LmHost *host;
	LmError *error;
} Parts;

static bool
take_part(Parts *parts, LmBytes text, uint32_t part)
{
	if (parts->features)
		return lm_features_add(parts->features, parts->host, text, part, parts->error);
	parts->bytes += text.size;
	return lm_features_spread(parts->bytes - text.size, parts->weights, parts->spread, parts->host,
							  text, part, parts->error);
}

/* Special tokens part a text into parts. */
static bool
take_ids(Parts *parts, LmFeatureText *text, const LmTokenizer *tokenizer, const int32_t *ids,
		 size_t n)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(tokenizer);
	const LmHost *host = parts->host;
	size_t size = 0;
	uint32_t part = 0;

	for (size_t i = 0; i <= n; i++)
	{
		bool ends = i == n || (ids[i] >= 0 && ids[i] < spec->n_tokens && spec->special[ids[i]]);
		LmBytes bytes;

		if (ends && size > 0)
		{
			if (!take_part(parts, (LmBytes){text->bytes, size}, part++))
				return false;
			size = 0;
		}
		if (ends)
			continue;
		bytes = lm_tokenizer_bytes(tokenizer, ids[i]);
		if (size + bytes.size > LM_MAX_TEXT_SIZE)
			return lm_fail(parts->error, LM_ERR_LIMIT, -1, "the text has more than %zu bytes",
						   LM_MAX_TEXT_SIZE);
		if (i % LM_POLL_SIZE == LM_POLL_SIZE - 1 && !lm_text_go_on(host, parts->error))
			return false;
		if (bytes.size == 0)
			continue;
		if (!lm_array_reserve(host, &text->bytes, &text->capacity, size + bytes.size, 1,
							  parts->error))
			return false;
		memcpy(text->bytes + size, bytes.data, bytes.size);
		size += bytes.size;
	}
	return true;
}

bool
lm_features_of_ids(LmFeatures *features, LmFeatureText *text, const LmHost *host,
				   const LmTokenizer *tokenizer, const int32_t *ids, size_t n, LmError *error)
{
	Parts parts = {.features = features, .host = host, .error = error};

	return lm_features_begin(features, host, error) && take_ids(&parts, text, tokenizer, ids, n);
}

bool
lm_features_spread_ids(double *bytes, const double *weights, const LmFeatures *features,
					   LmFeatureText *text, const LmHost *host, const LmTokenizer *tokenizer,
					   const int32_t *ids, size_t n, LmError *error)
{
	Parts parts = {
		.spread = features, .weights = weights, .bytes = bytes, .host = host, .error = error};

	return take_ids(&parts, text, tokenizer, ids, n);
}

bool
lm_features_of_pair(LmFeatures *features, LmFeaturePair *pair, LmFeatureText *text,
					const LmHost *host, const LmTokenizer *tokenizer, const int32_t *ids,
					size_t n_first, size_t n, LmError *error)
{
	return lm_features_of_ids(&pair->first, text, host, tokenizer, ids, n_first, error) &&
		   lm_features_of_ids(&pair->second, text, host, tokenizer, ids + n_first, n - n_first,
							  error) &&
		   lm_features_match(features, &pair->first, &pair->second, host, error);
}
