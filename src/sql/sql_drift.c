/*
 * src/sql/sql_drift.c
 *
 * gpt_drift: the rows of a query go through a model, and are compared with those that it was
 * trained on, or with those of another query.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "core/bridge.h"
#include "corpus/label_table.h"
#include "corpus/numbers.h"
#include "serve/cache.h"
#include "sql/arguments.h"
#include "sql/drift.h"
#include "sql/row_meter.h"
#include "store/catalog.h"

PG_FUNCTION_INFO_V1(gpt_drift);

#define MOST_ROWS 16384 /* that are looked at; of more every second, fourth ... */

/* The rows of a query on their way into a sample. */
typedef struct Reading
{
	const GptServed *served;
	const GptTask *task;
	GptLabelTable *labels; /* NULL: rows have no labels, or numbers */
	GptRowSample *sample;
	GptRowMeter *meter;
	GptSkipped skipped;
} Reading;

static GptRowSample *read_sample(const GptServed *served, const char *model, const char *query,
								 GptSourceKind kind);
static void check_shape(const char *model, const GptServed *served, const GptSourceShape *shape);
static void add_row(void *context, const GptSourceRow *row);
static void add_labels(Reading *reading, const GptSourceRow *row);
static GptProfile *kept_profile(const GptVersion *version, const GptServed *served);
static void put_row(void *context, const GptDriftRow *row);

/*
 * gpt_drift(model text, query text, reference text DEFAULT NULL) -> setof (measure, item, test,
 * reference, current, statistic, p_value, verdict)
 *
 * The queries run read-only as the caller, here and now. NULL reference: the rows of the training.
 * NULL model or query is an error.
 */
Datum
gpt_drift(PG_FUNCTION_ARGS)
{
	const GptServed *served;
	GptRowSample *current;
	GptProfile *reference;
	GptVersion *version;
	char *model;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, "query");
	gpt_bridge_check_encoding();
	model = gpt_argument_text(fcinfo, 0);
	InitMaterializedSRF(fcinfo, 0);
	version = gpt_catalog_version(model, false);
	served = gpt_cache_acquire(psprintf("%s@%d", version->model, version->version), GPT_SERVED_ANY);
	if (PG_ARGISNULL(2))
		reference = kept_profile(version, served);
	else
		reference = gpt_profile_create(
			read_sample(served, model, gpt_argument_text(fcinfo, 2), GPT_SOURCE_REFERENCE));

	/* Now do the work. */
	current = read_sample(served, model, gpt_argument_text(fcinfo, 1), GPT_SOURCE_DRIFT);
	gpt_drift_compare(reference, current, served, put_row, fcinfo);
	gpt_cache_release(served);
	return (Datum) 0;
}

/* What the version keeps of its rows; an error says what to do where it has nothing. */
static GptProfile *
kept_profile(const GptVersion *version, const GptServed *served)
{
	const char *json = gpt_catalog_profile(version);
	GptProfile *profile = json != NULL ? gpt_profile_read(json, served) : NULL;

	if (profile == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("version %d of model \"%s\" has no profile of its rows",
							   version->version, version->model),
						errdetail("It was imported, trained by an earlier release of the "
								  "extension, or its job could not measure it."),
						errhint("Give rows to compare with, such as those of its training: "
								"gpt_drift(model, query, reference => 'SELECT ...').")));
	return profile;
}

/* ---- Rows --------------------------------------------------------------- */

static GptRowSample *
read_sample(const GptServed *served, const char *model, const char *query, GptSourceKind kind)
{
	Reading reading = {.served = served};
	GptSource source;

	gpt_source_open(&source, query, kind, NULL, NULL);
	check_shape(model, served, &source.shape);
	source.cleaner = served->cleaner;
	reading.task = source.shape.task;
	if (reading.task->labelled)
	{
		GptLabelOptions options = {.names = served->labels,
								   .n = served->config->labels,
								   .normalize_nfc =
									   lm_tokenizer_spec(served->tokenizer)->normalize_nfc};

		gpt_source_label_equality(&options.equality, &source.shape);
		reading.labels = gpt_label_table_create(&options);
	}
	reading.sample = gpt_row_sample_create(MOST_ROWS);
	reading.meter = gpt_row_meter_create(served, reading.sample, NULL, NULL);
	gpt_source_run(&source, add_row, &reading);
	gpt_row_meter_finish(reading.meter);
	gpt_source_close(&source);
	if (reading.sample->n == 0)
		gpt_source_raise_skipped(gpt_source_name(kind), &reading.skipped);
	return reading.sample;
}

/* The rows must have the columns of the training, but for a label. */
static void
check_shape(const char *model, const GptServed *served, const GptSourceShape *shape)
{
	const LmConfig *config = served->config;
	const GptTask *task = shape->task;
	bool has_label = task->labelled || task->measured;

	if (shape->messages_column != 0 || gpt_task_group(task) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("gpt_drift does not compare rows of task \"%s\"", gpt_source_task(shape)),
				 errhint("Select their texts as one column.")));
	if (has_label && config->labels == 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model \"%s\" is not a classifier", model),
						errdetail("The query has a column \"label\"."), errhint("Leave it out.")));
	if (has_label)
		gpt_source_check_head(shape, config);
	else if (config->pair)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model \"%s\" judges two texts together", model),
						errdetail("The query has one."),
						errhint("Select both texts, and the label or NULL::text AS label.")));
	if (shape->prompt_column != 0 && (!served->prompted || config->labels > 0))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model \"%s\" was not trained on prompts", model),
						errdetail("The query has a column \"prompt\"."),
						errhint("Select the column of text that it was trained on.")));
	if (shape->prompt_column == 0 && served->prompted && config->labels == 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("model \"%s\" was trained on prompts", model),
						errdetail("The query has no column \"prompt\"."),
						errhint("Select columns \"prompt\" and \"completion\".")));
}

/* Callback of the query. A row without a label is compared in all else. */
static void
add_row(void *context, const GptSourceRow *row)
{
	Reading *reading = context;
	GptSkip skip = gpt_source_skip(NULL, row, reading->task);
	GptMeterRow measured;

	if (skip != GPT_SKIP_NONE && skip != GPT_SKIP_LABEL)
	{
		(void) gpt_source_skip(&reading->skipped, row, reading->task);
		return;
	}
	if (!gpt_row_meter_begin(reading->meter))
		return;
	measured.asks = gpt_row_meter_encode(&measured, reading->meter, row);
	measured.counts = true;
	gpt_row_meter_measure(reading->meter, &measured);
	add_labels(reading, row);
}

static void
add_labels(Reading *reading, const GptSourceRow *row)
{
	GptRowSample *sample = reading->sample;

	if (row->has_target)
	{
		/* As the token file has the numbers that were learnt. */
		GptNumbers numbers = gpt_numbers_of(reading->served->config);
		float standardized = (float) gpt_number_standardize(&numbers, row->target);

		gpt_row_sample_number(sample, sample->n - 1, GPT_ROW_LABEL,
							  gpt_number_restore(&numbers, (double) standardized));
	}
	if (reading->labels == NULL || row->labels == NULL)
		return;
	for (int i = 0; i < row->n_labels; i++)
	{
		int number = gpt_label_table_find(reading->labels, row->labels[i]);

		gpt_row_sample_count(sample, GPT_ROW_LABELS,
							 number >= 0 ? (uint32) number : GPT_LABEL_OTHER, 1);
	}
	if (row->n_labels == 0)
		gpt_row_sample_count(sample, GPT_ROW_LABELS, GPT_LABEL_OTHER, 1);
}

/* ---- Results ------------------------------------------------------------ */

static Datum
text_or_null(const char *text, bool *is_null)
{
	*is_null = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static Datum
number_or_null(double number, bool *is_null)
{
	*is_null = isnan(number);
	return Float8GetDatum(number);
}

static void
put_row(void *context, const GptDriftRow *row)
{
	FunctionCallInfo fcinfo = context;
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum values[8];
	bool nulls[8];

	values[0] = text_or_null(row->measure, &nulls[0]);
	values[1] = text_or_null(row->item, &nulls[1]);
	values[2] = text_or_null(row->test, &nulls[2]);
	values[3] = number_or_null(row->reference, &nulls[3]);
	values[4] = number_or_null(row->current, &nulls[4]);
	values[5] = number_or_null(row->statistic, &nulls[5]);
	values[6] = number_or_null(row->p_value, &nulls[6]);
	values[7] = text_or_null(row->verdict, &nulls[7]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}
