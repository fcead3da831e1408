/*
 * src/serve/planning_statistics.c
 *
 * A call in, the row of pg_statistic that ANALYZE would write for its results out, made of the
 * profile that the version keeps (gpt_versions): shares of labels as most common values, quantiles
 * of numbers as a histogram.
 *
 *   gpt_classify   shares of what the model said of validation rows, and of the labels of the rows
 *                  that it has learnt, which count as PRIOR_ROWS rows; below a threshold it is NULL
 *   gpt_predict    quantiles of what the model said of validation rows
 *   gpt_score      the same of surprisal and of log probabilities; those of a whole text grow with
 *                  its length, which is compared with that of the rows of the training
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "serve/planning_parts.h"

#define PRIOR_ROWS 20 /* of the labels that were learnt, beside those that the model gives */
#define MOST_QUANTILES 1024
#define UNIQUE (-1.0) /* of stadistinct: nearly every value is another one */

typedef struct Quantiles
{
	int n;
	double values[MOST_QUANTILES];
} Quantiles;

typedef struct Shares
{
	double *of_labels; /* [labels] */
	double nulls;
} Shares;

static HeapTuple tuple_of_labels(const GptPlannedCall *call, double nulls);
static HeapTuple tuple_of_numbers(Quantiles *numbers, double nulls);
static bool scores(Quantiles *numbers, const GptPlannedCall *call, PlannerInfo *root);

/* ---- The profile -------------------------------------------------------- */

static JsonbContainer *
container_of(JsonbContainer *object, const char *name)
{
	JsonbValue *value = object != NULL && JsonContainerIsObject(object)
							? getKeyJsonValueFromContainer(object, name, (int) strlen(name), NULL)
							: NULL;

	return value != NULL && value->type == jbvBinary ? value->val.binary.data : NULL;
}

static double
number_of(const JsonbValue *value)
{
	if (value == NULL || value->type != jbvNumeric)
		return NAN;
	return DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
}

static JsonbContainer *
profile_part(const GptPlannedCall *call, const char *name)
{
	return call->facts != NULL && call->facts->profile != NULL
			   ? container_of(&call->facts->profile->root, name)
			   : NULL;
}

/* The quantiles of a number of the profile, in order; false if it has none. */
static bool
read_quantiles(Quantiles *quantiles, const GptPlannedCall *call, const char *name)
{
	JsonbContainer *array = container_of(profile_part(call, name), "quantiles");
	int n = array != NULL && JsonContainerIsArray(array) ? (int) JsonContainerSize(array) : 0;

	if (n < 2 || n > MOST_QUANTILES)
		return false;
	for (int i = 0; i < n; i++)
	{
		quantiles->values[i] = number_of(getIthJsonbValueFromContainer(array, i));
		if (!isfinite(quantiles->values[i]) ||
			(i > 0 && quantiles->values[i] < quantiles->values[i - 1]))
			return false;
	}
	quantiles->n = n;
	return true;
}

bool
gpt_planned_is_kept(const GptPlannedCall *call)
{
	switch (call->function->result)
	{
		case GPT_PLANNED_LABEL:
			return call->facts != NULL && call->facts->config.labels > 0 &&
				   !call->facts->config.multi_label && !call->facts->config.number;
		case GPT_PLANNED_NUMBER:
			return profile_part(call, "prediction") != NULL;
		case GPT_PLANNED_SCORE:
			return profile_part(call, "surprisal") != NULL;
		case GPT_PLANNED_OTHER:
			break;
	}
	return false;
}

HeapTuple
gpt_planned_tuple(const GptPlannedCall *call, PlannerInfo *root)
{
	Node *text = gpt_planned_argument(call, call->function->model + 1);
	double nulls;
	Quantiles numbers;

	if (text == NULL || exprType(text) == TEXTARRAYOID)
		return NULL;
	nulls = gpt_planned_width(root, text).nulls;
	switch (call->function->result)
	{
		case GPT_PLANNED_LABEL:
			return tuple_of_labels(call, nulls);
		case GPT_PLANNED_NUMBER:
			return read_quantiles(&numbers, call, "prediction") ? tuple_of_numbers(&numbers, nulls)
																: NULL;
		case GPT_PLANNED_SCORE:
			return scores(&numbers, call, root) ? tuple_of_numbers(&numbers, nulls) : NULL;
		case GPT_PLANNED_OTHER:
			break;
	}
	return NULL;
}

/* ---- Rows of pg_statistic ----------------------------------------------- */

/* Values in slot 0 of a row, and perhaps their frequencies. */
static HeapTuple
make_tuple(double nulls, double width, double distinct, int kind, Oid operator, Oid collation,
		   ArrayType *values, ArrayType *frequencies)
{
	Relation relation = table_open(StatisticRelationId, AccessShareLock);
	Datum row[Natts_pg_statistic] = {0};
	bool is_null[Natts_pg_statistic] = {false};
	HeapTuple tuple;

	row[Anum_pg_statistic_stanullfrac - 1] = Float4GetDatum((float4) nulls);
	row[Anum_pg_statistic_stawidth - 1] = Int32GetDatum((int32) width);
	row[Anum_pg_statistic_stadistinct - 1] = Float4GetDatum((float4) distinct);
	row[Anum_pg_statistic_stakind1 - 1] = Int16GetDatum(kind);
	row[Anum_pg_statistic_staop1 - 1] = ObjectIdGetDatum(operator);
	row[Anum_pg_statistic_stacoll1 - 1] = ObjectIdGetDatum(collation);
	row[Anum_pg_statistic_stanumbers1 - 1] = PointerGetDatum(frequencies);
	row[Anum_pg_statistic_stavalues1 - 1] = PointerGetDatum(values);
	is_null[Anum_pg_statistic_stanumbers1 - 1] = frequencies == NULL;
	for (int i = 1; i < STATISTIC_NUM_SLOTS; i++)
	{
		is_null[Anum_pg_statistic_stanumbers1 - 1 + i] = true;
		is_null[Anum_pg_statistic_stavalues1 - 1 + i] = true;
	}
	tuple = heap_form_tuple(RelationGetDescr(relation), row, is_null);
	table_close(relation, AccessShareLock);
	return tuple;
}

static HeapTuple
tuple_of_numbers(Quantiles *numbers, double nulls)
{
	Datum *values = palloc(numbers->n * sizeof(Datum));

	for (int i = 0; i < numbers->n; i++)
		values[i] = Float8GetDatum(numbers->values[i]);
	return make_tuple(nulls, sizeof(float8), UNIQUE, STATISTIC_KIND_HISTOGRAM, Float8LessOperator,
					  InvalidOid,
					  construct_array(values, numbers->n, FLOAT8OID, sizeof(float8),
									  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE),
					  NULL);
}

/* ---- Labels ------------------------------------------------------------- */

/*
 * Adds the counts of a part of the profile to those of the labels, all together as n rows; NaN:
 * each as it is.
 */
static void
add_counts(double *counts, const GptPlannedCall *call, const char *part, double n)
{
	JsonbContainer *shares = profile_part(call, part);
	JsonbContainer *items = container_of(shares, "items");
	JsonbContainer *numbers = container_of(shares, "counts");
	int n_items = items != NULL && JsonContainerIsArray(items) ? (int) JsonContainerSize(items) : 0;
	int n_labels = call->facts->config.labels;
	double sum = 0;
	double factor;

	if (numbers == NULL || !JsonContainerIsArray(numbers))
		return;
	for (int i = 0; i < n_items; i++)
		sum += number_of(getIthJsonbValueFromContainer(numbers, i));
	if (!isfinite(sum) || sum <= 0)
		return;
	factor = isnan(n) ? 1 : n / sum;
	for (int i = 0; i < n_items; i++)
	{
		const JsonbValue *item = getIthJsonbValueFromContainer(items, i);

		for (int k = 0; item->type == jbvString && k < n_labels; k++)
		{
			if (strlen(call->facts->labels[k]) == (size_t) item->val.string.len &&
				memcmp(call->facts->labels[k], item->val.string.val, item->val.string.len) == 0)
			{
				counts[k] += factor * number_of(getIthJsonbValueFromContainer(numbers, i));
				break;
			}
		}
	}
}

/* The share of texts whose most probable label is less probable than the threshold. */
static double
below_threshold(const GptPlannedCall *call)
{
	Node *threshold = gpt_planned_argument(call, call->function->model + 2);
	Quantiles confidences;
	double least;
	int n_below = 0;

	if (threshold == NULL || !IsA(threshold, Const) || ((Const *) threshold)->constisnull ||
		((Const *) threshold)->consttype != FLOAT8OID ||
		!read_quantiles(&confidences, call, "confidence"))
		return 0;
	least = DatumGetFloat8(((Const *) threshold)->constvalue);
	while (n_below < confidences.n && confidences.values[n_below] < least)
		n_below++;
	return (double) n_below / confidences.n;
}

typedef struct Label
{
	const char *name;
	double share;
} Label;

static int
compare_labels(const void *a, const void *b)
{
	double x = ((const Label *) a)->share;
	double y = ((const Label *) b)->share;

	return (x < y) - (x > y);
}

/* The most frequent first, as ANALYZE writes them. */
static HeapTuple
tuple_of_labels(const GptPlannedCall *call, double nulls)
{
	int n = call->facts->config.labels;
	double *counts = palloc0(n * sizeof(double));
	Label *labels = palloc(n * sizeof(Label));
	Datum *values = palloc(n * sizeof(Datum));
	Datum *shares = palloc(n * sizeof(Datum));
	double sum = 0;
	double bytes = 0;

	/* Without any counts labels are equally frequent. */
	for (int i = 0; i < n; i++)
		counts[i] = 1.0 / n;
	add_counts(counts, call, "predictions", NAN);
	add_counts(counts, call, "labels", PRIOR_ROWS);
	for (int i = 0; i < n; i++)
		sum += counts[i];
	nulls = 1 - (1 - nulls) * (1 - below_threshold(call));
	for (int i = 0; i < n; i++)
	{
		labels[i] = (Label){call->facts->labels[i], counts[i] / sum * (1 - nulls)};
		bytes += labels[i].share * strlen(labels[i].name);
	}
	qsort(labels, n, sizeof(Label), compare_labels);
	for (int i = 0; i < n; i++)
	{
		values[i] = CStringGetTextDatum(labels[i].name);
		shares[i] = Float4GetDatum((float4) labels[i].share);
	}
	return make_tuple(nulls, bytes + 1, n, STATISTIC_KIND_MCV, TextEqualOperator,
					  DEFAULT_COLLATION_OID,
					  construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT),
					  construct_array(shares, n, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
}

/* ---- Scores ------------------------------------------------------------- */

/* Replaces each value x by factor x; by a negative one, in the reverse order. */
static void
scale(Quantiles *numbers, double factor)
{
	Quantiles original = *numbers;

	for (int i = 0; i < numbers->n; i++)
		numbers->values[i] = factor * original.values[factor < 0 ? numbers->n - 1 - i : i];
}

/* How much longer the texts of the call are than those that the model was measured on. */
static double
relative_length(const GptPlannedCall *call, PlannerInfo *root)
{
	Node *text = gpt_planned_argument(call, call->function->model + 1);
	double bytes = gpt_planned_width(root, text).bytes;
	Quantiles lengths;
	double sum = 0;

	if (IsA(text, Const) || bytes <= 0 || !read_quantiles(&lengths, call, "length"))
		return 1;
	for (int i = 1; i < lengths.n; i++)
		sum += (lengths.values[i - 1] + lengths.values[i]) / 2;
	return sum > 0 ? bytes / (sum / (lengths.n - 1)) : 1;
}

/* Log probabilities of whole texts; of versions that keep none, by surprisal and mean length. */
static bool
logprobs(Quantiles *numbers, const GptPlannedCall *call, PlannerInfo *root)
{
	double bytes;

	if (read_quantiles(numbers, call, "logprob"))
	{
		scale(numbers, relative_length(call, root));
		return true;
	}
	bytes = gpt_planned_width(root, gpt_planned_argument(call, call->function->model + 1)).bytes;
	if (!read_quantiles(numbers, call, "surprisal"))
		return false;
	scale(numbers, -M_LN2 * bytes);
	return true;
}

static bool
mean_logprobs(Quantiles *numbers, const GptPlannedCall *call)
{
	if (read_quantiles(numbers, call, "mean_logprob"))
		return true;
	if (!read_quantiles(numbers, call, "surprisal"))
		return false;
	scale(numbers, -M_LN2 * call->facts->bytes_per_token);
	return true;
}

/* The metrics of gpt_score that a version keeps the distribution of. */
static bool
scores(Quantiles *numbers, const GptPlannedCall *call, PlannerInfo *root)
{
	Node *metric = gpt_planned_argument(call, call->function->model + 2);
	const char *name = "perplexity";

	if (metric != NULL && !IsA(metric, Const))
		return false;
	if (metric != NULL && !((Const *) metric)->constisnull)
		name = TextDatumGetCString(((Const *) metric)->constvalue);
	if (strcmp(name, "bits_per_byte") == 0)
		return read_quantiles(numbers, call, "surprisal");
	if (strcmp(name, "logprob") == 0)
		return logprobs(numbers, call, root);
	if (strcmp(name, "mean_logprob") == 0)
		return mean_logprobs(numbers, call);
	if (strcmp(name, "perplexity") == 0 && mean_logprobs(numbers, call))
	{
		scale(numbers, -1);
		for (int i = 0; i < numbers->n; i++)
			numbers->values[i] = exp(Min(numbers->values[i], 700));
		return true;
	}
	if (strcmp(name, "tokens") == 0 && read_quantiles(numbers, call, "length"))
	{
		scale(numbers, relative_length(call, root) / call->facts->bytes_per_token);
		return true;
	}
	return false;
}
