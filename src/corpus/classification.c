/*
 * src/corpus/classification.c
 *
 * The measures of a classifier. Every row counts with its weight. The confusion matrix is a table
 * of the pairs that occur: 10,000 labels have 100 million pairs.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "utils/hsearch.h"

#include "core/bridge.h"
#include "corpus/classification.h"
#include "corpus/label_table.h"

#define BINS 15 /* of probabilities, for the calibration error */
/* bytes of an entry, what the server needs to keep it, and its place in a list */
#define PAIR_MEMORY (sizeof(Pair) + 40)
/* Columns of a row's scores; its counts are the bins, and three of each label. */
enum
{
	WEIGHT,
	LOSS,
	RIGHT,
	BIN_WEIGHT,
	N_COLUMNS
};

static const LmMetric metrics[] = {
	{"loss", LM_METRIC_RATIO, LOSS, WEIGHT, 0},
	{"accuracy", LM_METRIC_SHARE, RIGHT, WEIGHT, 0},
	{"calibration_error", LM_METRIC_CALIBRATION, BINS, BIN_WEIGHT, 0},
	{"macro_f1", LM_METRIC_MACRO_F1, BINS, WEIGHT, 0},
	{"micro_f1", LM_METRIC_MICRO_F1, BINS, WEIGHT, 0} /* of several labels a row */
};

/*
 * Half of what lies between 1 and the next smaller float32: a probability of 1 leaves less to its
 * opposite.
 */
#define SMALLEST_REST (FLT_EPSILON / 4)

typedef struct PairKey
{
	uint32 label;
	uint32 predicted;
} PairKey;

typedef struct Pair
{
	PairKey key;
	double weight; /* of rows */
} Pair;

/* Predictions whose probability lies in one part of 0 .. 1. */
typedef struct Bin
{
	double weight;
	double probability; /* sums, by weight: of what was said ... */
	double right; /* ... and of what was right */
} Bin;

struct GptClassification
{
	int n;
	const char *const *names; /* [n] */
	GptLabelTable *table;
	bool multi_label;
	const float *probabilities; /* [n] of the present row */
	bool *is_wanted; /* [n] of one row */
	double *wanted; /* [n] weight of the rows that have the label, ... */
	double *found; /* ... that were given it, ... */
	double *both; /* ... and both */
	HTAB *pairs; /* Pair; NULL with multi_label */
	double weight;
	double right; /* weight of the rows whose labels are all right */
	double logprob;
	Bin bins[BINS];
	GptRowScores *scores;
	GptLabelRoc *roc;
	double columns[N_COLUMNS]; /* of the present row */
	double row_bins[BINS];
};

static void add_one(GptClassification *classification, int label, double weight);
static void add_set(GptClassification *classification, const GptSourceRow *row);
static int find(const GptClassification *classification, const char *label);
static void measure_labels(const GptClassification *classification, GptMeasureCallback callback,
						   void *context);
static void measure_pairs(const GptClassification *classification, GptMeasureCallback callback,
						  void *context);
static double calibration_error(const GptClassification *classification);
static void measure_roc(const GptClassification *classification, GptMeasureCallback callback,
						void *context);
static double f1_of(double both, double wanted, double found);

GptClassification *
gpt_classification_create(const LmConfig *config, const char *const *labels, bool normalize_nfc,
						  const GptSourceShape *shape)
{
	GptClassification *classification = palloc0(sizeof(GptClassification));
	int n = config->labels;
	char **names = palloc(n * sizeof(char *));
	HASHCTL control = {.keysize = sizeof(PairKey),
					   .entrysize = sizeof(Pair),
					   .hash = gpt_bridge_hash_blob,
					   .hcxt = CurrentMemoryContext};

	GptLabelOptions options = {.n = n, .normalize_nfc = normalize_nfc};

	gpt_source_check_head(shape, config);
	gpt_source_label_equality(&options.equality, shape);
	for (int i = 0; i < n; i++)
		names[i] = pstrdup(labels[i]);
	classification->n = n;
	classification->names = (const char *const *) names;
	options.names = classification->names;
	classification->table = gpt_label_table_create(&options);
	classification->multi_label = config->multi_label;
	classification->is_wanted = palloc0(n * sizeof(bool));
	classification->wanted = palloc0(n * sizeof(double));
	classification->found = palloc0(n * sizeof(double));
	classification->both = palloc0(n * sizeof(double));
	classification->scores = gpt_row_scores_create(
		metrics, lengthof(metrics) - !config->multi_label, N_COLUMNS, BINS + 3 * n);
	classification->roc = gpt_label_roc_create(n);
	if (!classification->multi_label)
		classification->pairs =
			hash_create("gpt confusion", 128, &control, HASH_ELEM | HASH_FUNCTION | HASH_CONTEXT);
	return classification;
}

GptRowScores *
gpt_classification_scores(const GptClassification *classification)
{
	return classification->scores;
}

GptLabelRoc *
gpt_classification_roc(const GptClassification *classification)
{
	return classification->roc;
}

/* ---- Rows --------------------------------------------------------------- */

void
gpt_classification_add(GptClassification *classification, const float *probabilities,
					   const GptSourceRow *row)
{
	int label = 0;

	for (int i = 0; i < row->n_labels; i++)
		label = find(classification, row->labels[i]);
	classification->probabilities = probabilities;
	classification->weight += row->weight;
	memset(classification->columns, 0, sizeof(classification->columns));
	memset(classification->row_bins, 0, sizeof(classification->row_bins));
	classification->columns[WEIGHT] = row->weight;
	if (classification->multi_label)
		add_set(classification, row);
	else
		add_one(classification, label, row->weight);
	for (int i = 0; i < BINS; i++)
	{
		if (classification->row_bins[i] != 0)
			gpt_row_scores_count(classification->scores, i, classification->row_bins[i]);
	}
	gpt_row_scores_add(classification->scores, classification->columns);
}

static int
find(const GptClassification *classification, const char *label)
{
	int number = gpt_label_table_find(classification->table, label);

	if (number < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("label \"%s\" is not a label of the model", label),
				 errdetail("The model has %d labels.", classification->n),
				 errhint("Leave such rows out, or train the model on rows with this label.")));
	return number;
}

/* Counts a prediction in the bin of its probability. */
static void
add_to_bin(GptClassification *classification, double probability, bool is_right, double weight)
{
	Bin *bin = &classification->bins[Min((int) (probability * BINS), BINS - 1)];

	bin->weight += weight;
	bin->probability += weight * probability;
	bin->right += is_right ? weight : 0;
	classification->row_bins[bin - classification->bins] +=
		weight * (probability - (is_right ? 1 : 0));
	classification->columns[BIN_WEIGHT] += weight;
}

/* Counts that a row has a label, or was given it. */
static void
add_label(GptClassification *classification, int label, bool is_wanted, bool is_found,
		  double weight)
{
	int place = BINS + 3 * label;

	if (is_wanted && is_found)
	{
		classification->both[label] += weight;
		gpt_row_scores_count(classification->scores, place, weight);
	}
	if (is_wanted)
	{
		classification->wanted[label] += weight;
		gpt_row_scores_count(classification->scores, place + 1, weight);
	}
	if (is_found)
	{
		classification->found[label] += weight;
		gpt_row_scores_count(classification->scores, place + 2, weight);
	}
}

/* Single label: the most probable label is the prediction; counts it and the confusion pair. */
static void
add_one(GptClassification *classification, int label, double weight)
{
	const float *probabilities = classification->probabilities;
	PairKey key = {.label = (uint32) label};
	double logprob;
	bool is_right;
	bool found;
	Pair *pair;

	for (int i = 1; i < classification->n; i++)
	{
		if (probabilities[i] > probabilities[key.predicted])
			key.predicted = (uint32) i;
	}
	logprob = log(Max((double) probabilities[label], FLT_MIN));
	is_right = key.predicted == (uint32) label;
	classification->logprob += weight * logprob;
	classification->columns[LOSS] = -weight * logprob;
	add_to_bin(classification, probabilities[key.predicted], is_right, weight);
	add_label(classification, label, true, is_right, weight);
	if (!is_right)
		add_label(classification, (int) key.predicted, false, true, weight);
	classification->right += is_right ? weight : 0;
	classification->columns[RIGHT] = is_right ? weight : 0;
	classification->is_wanted[label] = true;
	gpt_label_roc_add(classification->roc, probabilities, classification->is_wanted, weight);
	classification->is_wanted[label] = false;
	pair = hash_search(classification->pairs, &key, HASH_ENTER, &found);
	pair->weight = (found ? pair->weight : 0) + weight;
	if (!found)
		gpt_bridge_check_memory((uint64) hash_get_num_entries(classification->pairs) * PAIR_MEMORY);
}

/* Several labels: each label is a yes/no prediction at 0.5; a row is right if all of them are. */
static void
add_set(GptClassification *classification, const GptSourceRow *row)
{
	bool is_right = true;

	for (int i = 0; i < row->n_labels; i++)
		classification->is_wanted[find(classification, row->labels[i])] = true;
	gpt_label_roc_add(classification->roc, classification->probabilities, classification->is_wanted,
					  row->weight);
	for (int i = 0; i < classification->n; i++)
	{
		double probability = classification->probabilities[i];
		bool is_wanted = classification->is_wanted[i];
		bool is_found = probability >= 0.5;

		double logprob =
			log(is_wanted ? Max(probability, FLT_MIN) : Max(1 - probability, SMALLEST_REST));

		classification->logprob += row->weight * logprob;
		classification->columns[LOSS] -= row->weight * logprob;
		add_to_bin(classification, probability, is_wanted, row->weight);
		add_label(classification, i, is_wanted, is_found, row->weight);
		is_right = is_right && is_wanted == is_found;
		classification->is_wanted[i] = false;
	}
	classification->right += is_right ? row->weight : 0;
	classification->columns[RIGHT] = is_right ? row->weight : 0;
}

/* ---- Measures ----------------------------------------------------------- */

void
gpt_classification_measure(const GptClassification *classification, GptMeasureCallback callback,
						   void *context)
{
	double wanted = 0;
	double found = 0;
	double both = 0;
	double f1 = 0;
	int n_occurring = 0;

	for (int i = 0; i < classification->n; i++)
	{
		wanted += classification->wanted[i];
		found += classification->found[i];
		both += classification->both[i];
		f1 += f1_of(classification->both[i], classification->wanted[i], classification->found[i]);
		n_occurring += classification->wanted[i] + classification->found[i] > 0;
	}
	callback(context, "loss", NULL, NULL, -classification->logprob / classification->weight);
	callback(context, "accuracy", NULL, NULL, classification->right / classification->weight);
	callback(context, "calibration_error", NULL, NULL, calibration_error(classification));
	/* Without any label, wanted or predicted, there is no mean. */
	if (n_occurring > 0)
		callback(context, "macro_f1", NULL, NULL, f1 / n_occurring);
	/* With one label per row this is the accuracy. */
	if (n_occurring > 0 && classification->multi_label)
		callback(context, "micro_f1", NULL, NULL, f1_of(both, wanted, found));
	measure_roc(classification, callback, context);
	measure_labels(classification, callback, context);
	if (!classification->multi_label)
		measure_pairs(classification, callback, context);
}

/*
 * The expected calibration error (Guo et al. 2017, equation 3): how far the probability that is
 * said differs from the share that is right, on average over bins of equal width. Of several labels
 * the probability of each label counts.
 */
static double
calibration_error(const GptClassification *classification)
{
	double sum = 0;
	double weight = 0;

	for (int i = 0; i < BINS; i++)
	{
		const Bin *bin = &classification->bins[i];

		sum += fabs(bin->probability - bin->right);
		weight += bin->weight;
	}
	return sum / weight;
}

/* The mean area; of two labels, or of several a row, also the threshold that suits each best. */
static void
measure_roc(const GptClassification *classification, GptMeasureCallback callback, void *context)
{
	const GptLabelRoc *roc = classification->roc;

	callback(context, "roc_auc", NULL, NULL, gpt_label_roc_area(roc));
	if (classification->n != 2 && !classification->multi_label)
		return;
	for (int i = 0; i < classification->n; i++)
	{
		LmRoc label = gpt_label_roc_label(roc, i);

		if (isnan(label.area))
			continue;
		callback(context, "best_threshold", classification->names[i], NULL, label.threshold);
		callback(context, "best_f1", classification->names[i], NULL, label.f1);
	}
}

/* Reports precision, recall, F1 and weight of each label that occurs or is predicted. */
static void
measure_labels(const GptClassification *classification, GptMeasureCallback callback, void *context)
{
	for (int i = 0; i < classification->n; i++)
	{
		const char *name = classification->names[i];
		double wanted = classification->wanted[i];
		double found = classification->found[i];
		double both = classification->both[i];

		CHECK_FOR_INTERRUPTS();
		if (wanted + found == 0)
			continue;
		callback(context, "precision", name, NULL, found > 0 ? both / found : 0);
		callback(context, "recall", name, NULL, wanted > 0 ? both / wanted : 0);
		callback(context, "f1", name, NULL, f1_of(both, wanted, found));
		callback(context, "weight", name, NULL, wanted);
	}
}

static int
compare_pairs(const void *a, const void *b)
{
	const PairKey *first = &(*(const Pair *const *) a)->key;
	const PairKey *second = &(*(const Pair *const *) b)->key;

	CHECK_FOR_INTERRUPTS();
	if (first->label != second->label)
		return first->label < second->label ? -1 : 1;
	return first->predicted < second->predicted ? -1 : first->predicted > second->predicted;
}

/* Reports the cells of the confusion matrix that are not zero, in a fixed order. */
static void
measure_pairs(const GptClassification *classification, GptMeasureCallback callback, void *context)
{
	Size n = hash_get_num_entries(classification->pairs);
	const Pair **pairs = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * sizeof(Pair *));
	HASH_SEQ_STATUS status;
	const Pair *pair;
	Size i = 0;

	hash_seq_init(&status, classification->pairs);
	while ((pair = hash_seq_search(&status)) != NULL)
		pairs[i++] = pair;
	qsort(pairs, n, sizeof(Pair *), compare_pairs);
	for (i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		callback(context, "confusion", classification->names[pairs[i]->key.label],
				 classification->names[pairs[i]->key.predicted], pairs[i]->weight);
	}
	pfree(pairs);
}

/* 2 both / (wanted + found), 0 where the label does not occur */
static double
f1_of(double both, double wanted, double found)
{
	return wanted + found > 0 ? 2 * both / (wanted + found) : 0;
}
