/*
 * src/engine/train/feature_rows.c
 *
 * Reads windows as sparse rows: decodes their tokens, counts features, numbers them by their keys,
 * and turns counts into values.
 */
#include <math.h>
#include <stdlib.h>

#include "text/array.h"
#include "text/utf8.h"
#include "train/feature_rows.h"
#include "train/seen_features.h"

#define FREQUENCIES 64 /* that are told apart when there are too many features */
#define READING_SHARE 0.4 /* of the time, ... */
#define TRAINING_SHARE 0.32 /* ... and of it, for training windows */

typedef struct Reading
{
	LmFeatureRows *rows;
	const LmDataset *dataset;
	const LmTokenizer *tokenizer;
	const LmFeatureFitOptions *options;
	LmSeenFeatures seen; /* numbers: among all seen, then in the table; 0: left out */
	size_t room; /* features of the table */
	bool prunes; /* a full list of features gives the rarest up */
	LmFeatures features;
	LmFeaturePair pair;
	LmFeatureText text;
	int32_t *ids;
	size_t ids_capacity;
	LmError *error;
} Reading;

/* ---- The base ----------------------------------------------------------- */

/* The largest weight of a feature of the base. */
static float
strength_of(const LmFeatureTable *base, size_t row)
{
	const float *weights = base->weights + row * (size_t) base->labels;
	float largest = 0;

	for (int label = 0; label < base->labels; label++)
		largest = fmaxf(largest, fabsf(weights[label]));
	return largest;
}

static int
compare_strengths(const void *a, const void *b)
{
	float left = *(const float *) a, right = *(const float *) b;

	return left < right ? 1 : left > right ? -1 : 0;
}

/*
 * What features of the base must exceed, which has more of them than there is room for where
 * labels have joined: the strongest take three quarters of the room.
 */
static bool
least_strength(float *least, const Reading *reading)
{
	const LmFeatureTable *base = &reading->options->base;
	size_t room = reading->room;
	float *strengths;

	*least = -1;
	if ((size_t) base->n <= room + 1)
		return true;
	strengths = lm_array_allocate(&reading->rows->host, (size_t) base->n, sizeof *strengths,
								  reading->error);
	if (!strengths)
		return false;
	for (size_t row = 1; row < (size_t) base->n; row++)
		strengths[row - 1] = strength_of(base, row);
	qsort(strengths, (size_t) base->n - 1, sizeof *strengths, compare_strengths);
	*least = strengths[room - room / 4];
	lm_free(&reading->rows->host, strengths);
	return true;
}

static bool
see_base(Reading *reading)
{
	const LmFeatureTable *base = &reading->options->base;
	float least;

	if (!least_strength(&least, reading))
		return false;
	for (size_t row = 1; row < (size_t) base->n; row++)
	{
		uint32_t place;

		if (least >= 0 && strength_of(base, row) <= least)
			continue;
		if (!lm_seen_find(&place, &reading->seen, lm_feature_key_at(base, row), true,
						  reading->error))
			return false;
		if (place == 0)
			return true;
		reading->seen.items[place - 1].documents = LM_SEEN_OF_BASE;
		reading->seen.items[place - 1].idf = base->keys[row * LM_FEATURE_KEY_COLUMNS + 2];
	}
	return true;
}

/* ---- Windows ------------------------------------------------------------ */

/* Of the n ids of a window; of a pair its prompt is the first text. */
static bool
read_features(Reading *reading, uint64_t window, size_t n)
{
	const LmHost *host = &reading->rows->host;
	size_t n_first = reading->dataset->windows[window].prompt;

	if (reading->dataset->header->pairs)
		return lm_features_of_pair(&reading->features, &reading->pair, &reading->text, host,
								   reading->tokenizer, reading->ids, n_first, n, reading->error);
	return lm_features_of_ids(&reading->features, &reading->text, host, reading->tokenizer,
							  reading->ids, n, reading->error);
}

static bool prune(Reading *reading);

/* Appends the features of a window: their places in seen and their counts. */
static bool
read_window(Reading *reading, uint64_t window, bool train)
{
	LmFeatureRows *rows = reading->rows;
	const LmHost *host = &rows->host;
	size_t n = reading->dataset->windows[window].length - 1,
		   begin = rows->n_rows > 0 ? rows->ends[rows->n_rows - 1] : 0, end = begin;

	if (!lm_array_reserve(host, &reading->ids, &reading->ids_capacity, n, sizeof *reading->ids,
						  reading->error))
		return false;
	lm_dataset_inputs(reading->ids, reading->dataset, window);
	if (!read_features(reading, window, n) ||
		!lm_array_reserve(host, &rows->features, &rows->features_capacity,
						  begin + reading->features.n, sizeof *rows->features, reading->error) ||
		!lm_array_reserve(host, &rows->values, &rows->values_capacity, begin + reading->features.n,
						  sizeof *rows->values, reading->error) ||
		!lm_array_reserve(host, &rows->ends, &rows->ends_capacity, rows->n_rows + 1,
						  sizeof *rows->ends, reading->error))
		return false;
	for (size_t i = 0; i < reading->features.n; i++)
	{
		uint32_t place;

		lm_seen_prefetch(&reading->seen, &reading->features, i);
		if (!lm_seen_find(&place, &reading->seen, reading->features.items[i].key, train,
						  reading->error))
			return false;
		if (place == 0)
			continue;
		if (train && reading->seen.items[place - 1].documents != LM_SEEN_OF_BASE)
			reading->seen.items[place - 1].documents++;
		rows->features[end] = place;
		rows->values[end++] = (float) reading->features.items[i].count;
	}
	rows->ends[rows->n_rows++] = end;
	return !train || !lm_seen_is_full(&reading->seen) || !reading->prunes || prune(reading);
}

/*
 * Makes room for further features; entries of those that are given up go. If hardly any room comes
 * of it, all features are frequent, and it is done no more.
 */
static bool
prune(Reading *reading)
{
	LmFeatureRows *rows = reading->rows;
	size_t end = 0, begin = 0;
	uint32_t *places;

	if (!lm_seen_prune(&places, &reading->seen, reading->error))
		return false;
	for (size_t row = 0; row < rows->n_rows; row++)
	{
		for (size_t i = begin; i < rows->ends[row]; i++)
		{
			uint32_t place = places[rows->features[i] - 1];

			if (place == 0)
				continue;
			rows->features[end] = place;
			rows->values[end++] = rows->values[i];
		}
		begin = rows->ends[row];
		rows->ends[row] = end;
	}
	lm_free(&rows->host, places);
	reading->prunes = reading->seen.n < reading->seen.most - reading->seen.most / 4;
	return lm_text_go_on(&rows->host, reading->error);
}

/*
 * Training windows until their entries are as many as options allow, then a quarter more of
 * validation windows; fewer where the time is over.
 */
static bool
read_windows(Reading *reading)
{
	LmFeatureRows *rows = reading->rows;
	const LmDatasetHeader *header = reading->dataset->header;
	size_t most = reading->options->most_entries;

	for (uint64_t i = 0; i < header->n_train_windows; i++)
	{
		if (rows->n_rows > 0 && (rows->ends[rows->n_rows - 1] >= most ||
								 lm_fit_is_over(&reading->options->time, TRAINING_SHARE)))
			break;
		if (!read_window(reading, i, true))
			return false;
	}
	rows->n_train = rows->n_rows;
	most = (rows->n_rows > 0 ? rows->ends[rows->n_rows - 1] : 0) + most / 4;
	for (uint64_t i = 0; i < header->n_validation_windows; i++)
	{
		if (rows->n_rows > 0 && (rows->ends[rows->n_rows - 1] >= most ||
								 lm_fit_is_over(&reading->options->time, READING_SHARE)))
			break;
		if (!read_window(reading, header->n_train_windows + i, false))
			return false;
	}
	return true;
}

/* ---- The table ---------------------------------------------------------- */

static int
compare_keys(const void *a, const void *b)
{
	uint64_t left = ((const LmSeenFeature *) a)->key, right = ((const LmSeenFeature *) b)->key;

	return left < right ? -1 : left > right;
}

/* The least number of windows that a feature must be in for all such to have room. */
static uint32_t
least_documents(const Reading *reading)
{
	size_t counts[FREQUENCIES + 1] = {0}, n = 0;
	uint32_t least = FREQUENCIES;

	for (size_t i = 0; i < reading->seen.n; i++)
	{
		uint32_t documents = reading->seen.items[i].documents;

		counts[documents < FREQUENCIES ? documents : FREQUENCIES]++;
	}
	for (n = counts[FREQUENCIES]; least > 1 && n + counts[least - 1] <= reading->room; least--)
		n += counts[least - 1];
	return least;
}

/* Numbers the features that stay in the order of their keys, and makes the table's keys. */
static bool
number_features(Reading *reading)
{
	LmFeatureRows *rows = reading->rows;
	const LmSeenFeatures *seen = &reading->seen;
	uint32_t least = least_documents(reading);
	LmSeenFeature *sorted =
		lm_array_allocate(&rows->host, seen->n + 1, sizeof *sorted, reading->error);

	if (!sorted)
		return false;
	for (size_t i = 0; i < seen->n; i++)
	{
		sorted[i] = seen->items[i];
		sorted[i].number = (uint32_t) i;
		seen->items[i].number = 0;
	}
	qsort(sorted, seen->n, sizeof *sorted, compare_keys);
	rows->n_features = 1;
	rows->keys = lm_array_allocate(&rows->host, seen->n + 1, LM_FEATURE_KEY_COLUMNS * sizeof(float),
								   reading->error);
	for (size_t i = 0; rows->keys && i < seen->n; i++)
	{
		const LmSeenFeature *feature = &sorted[i];
		float *key = rows->keys + rows->n_features * LM_FEATURE_KEY_COLUMNS;
		double idf = log((1 + (double) rows->n_train) / (1 + (double) feature->documents)) + 1;
		bool of_base = feature->documents == LM_SEEN_OF_BASE;

		/* Beyond the room, where even the most frequent are too many, the last keys go. */
		if (!of_base && (feature->documents < least || rows->n_features > reading->room))
			continue;
		key[0] = (float) (feature->key >> 24);
		key[1] = (float) (feature->key & 0xFFFFFF);
		key[2] = of_base ? feature->idf : (float) idf;
		seen->items[feature->number].idf = key[2];
		seen->items[feature->number].number = (uint32_t) rows->n_features++;
	}
	rows->features_left_out = seen->lost || rows->n_features <= seen->n;
	lm_free(&rows->host, sorted);
	return rows->keys != NULL;
}

/* Counts become values, and entries without a feature of the table go. */
static void
scale_row(Reading *reading, size_t row, size_t begin, size_t *end)
{
	LmFeatureRows *rows = reading->rows;
	double squares[LM_FEATURE_KINDS] = {0}, scale[LM_FEATURE_KINDS];
	size_t first = *end;

	for (size_t i = begin; i < rows->ends[row]; i++)
	{
		const LmSeenFeature *seen = &reading->seen.items[rows->features[i] - 1];
		LmFeature feature = {.key = seen->key, .count = (uint32_t) rows->values[i]};
		float value;

		if (seen->number == 0)
			continue;
		value = (float) lm_feature_value(&feature, (double) seen->idf);
		squares[lm_feature_kind(seen->key)] += (double) value * value;
		rows->features[*end] = seen->number | (uint32_t) lm_feature_kind(seen->key) << 31;
		rows->values[(*end)++] = value;
	}
	lm_feature_scale(scale, squares);
	for (size_t i = first; i < *end; i++)
	{
		rows->values[i] = (float) (rows->values[i] * scale[rows->features[i] >> 31]);
		rows->features[i] &= UINT32_MAX >> 1;
	}
	rows->ends[row] = *end;
}

bool
lm_feature_rows_read(LmFeatureRows *rows, const LmHost *host, const LmDataset *dataset,
					 const LmTokenizer *tokenizer, const LmFeatureFitOptions *options,
					 LmError *error)
{
	Reading reading = {
		.rows = rows,
		.dataset = dataset,
		.tokenizer = tokenizer,
		.options = options,
		.room = options->most_weights > 0 ? options->most_weights : LM_FEATURE_WEIGHTS,
		.seen = {.host = *host,
				 .most = options->most_features > 0 ? options->most_features : LM_FIT_FEATURES},
		.prunes = true,
		.error = error};
	size_t end = 0, begin = 0, polled = 0;
	bool good;

	*rows = (LmFeatureRows){.host = *host};
	reading.room /= (size_t) options->labels;
	reading.room = reading.room < reading.seen.most ? reading.room : reading.seen.most;
	good = see_base(&reading) && read_windows(&reading) && number_features(&reading);
	for (size_t row = 0; good && row < rows->n_rows; row++)
	{
		size_t next = rows->ends[row];

		scale_row(&reading, row, begin, &end);
		begin = next;
		if (next - polled < LM_POLL_SIZE)
			continue;
		polled = next;
		good = lm_text_go_on(host, error);
	}
	lm_features_free(&reading.features, host);
	lm_features_free(&reading.pair.first, host);
	lm_features_free(&reading.pair.second, host);
	lm_array_free(host, reading.text.bytes);
	lm_array_free(host, reading.ids);
	lm_seen_free(&reading.seen);
	return good;
}

void
lm_feature_rows_free(LmFeatureRows *rows)
{
	lm_array_free(&rows->host, rows->ends);
	lm_array_free(&rows->host, rows->features);
	lm_array_free(&rows->host, rows->values);
	lm_free(&rows->host, rows->keys);
	*rows = (LmFeatureRows){.host = rows->host};
}
