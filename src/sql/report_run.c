/*
 * src/sql/report_run.c
 *
 * What a report asks of the model now: measures of the rows of a query, and samples of its texts.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/extension.h"
#include "corpus/numbers.h"
#include "corpus/source.h"
#include "sql/held_out_results.h"
#include "sql/report.h"
#include "sql/row_meter.h"

/* A row whose answer is waited for. */
typedef struct WaitingRow
{
	uint32 *labels;
	int n_labels;
	double target;
} WaitingRow;

typedef struct Evaluation
{
	MemoryContext context;
	const GptServed *served;
	const GptTask *task;
	GptRowMeter *meter;
	GptLabelTable *labels; /* NULL: rows have none */
	GptResults *results;
	WaitingRow *rows; /* [max_rows] by tag */
	int n;
	int max_rows;
	int n_measured;
	GptSkipped skipped;
	GptReport *report;
	int n_prompts; /* wanted for samples */
} Evaluation;

static const GptJson *evaluate_rows(GptReport *report, const GptVersion *version, GptSource *source,
									const GptTrainOptions *options);
static void add_row(void *context, const GptSourceRow *row);
static bool find_labels(WaitingRow *waiting, Evaluation *evaluation, const GptSourceRow *row);
static void take_answer(void *context, const GptMeterAnswer *answer);

/* ---- Rows of a query ---------------------------------------------------- */

static void
check_shape(const GptVersion *version, const GptSourceShape *shape)
{
	const LmConfig *config = &version->config;
	bool has_label = shape->task->labelled || shape->task->measured;

	if (has_label && config->labels == 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("model \"%s\" is not a classifier", version->model),
				 errdetail("The query has a column \"label\"."),
				 errhint("Leave it out, or report a model that was trained on rows with labels.")));
	if (!has_label && config->labels > 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 config->number ? errmsg("model \"%s\" is a regression model", version->model)
								: errmsg("model \"%s\" is a classifier", version->model),
				 errdetail("The query has no column \"label\"."),
				 errhint("Select the labels too, as in SELECT body, stars AS label.")));
	if (has_label)
		gpt_source_check_head(shape, config);
}

/* $1 model, $2 query: what gpt_evaluate says, in the form of gpt_versions.evaluation. */
static const GptJson *
evaluate_by_function(const char *model, const char *query)
{
	static const char format[] =
		"SELECT pg_catalog.json_build_object('metrics', (SELECT pg_catalog.json_object_agg("
		"e.metric, pg_catalog.json_build_object('value', e.value, "
		"'low', pg_catalog.to_jsonb(e) OPERATOR(pg_catalog.->) 'low', "
		"'high', pg_catalog.to_jsonb(e) OPERATOR(pg_catalog.->) 'high')) FROM r e WHERE e.label IS "
		"NULL AND e.metric OPERATOR(pg_catalog.<>) ALL (ARRAY['documents', 'skipped', 'tokens'])), "
		"'rows', (SELECT e.value FROM r e WHERE e.metric OPERATOR(pg_catalog.=) 'documents'))"
		"::pg_catalog.text";
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(model), CStringGetTextDatum(query)};
	MemoryContext caller = CurrentMemoryContext;
	char *json;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(psprintf("WITH r AS MATERIALIZED (SELECT * FROM "
									   "%s.gpt_evaluate($1, $2)) %s",
									   gpt_extension_schema(), format),
							  lengthof(types), types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not evaluate model \"%s\"", model);
	json =
		MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	return gpt_report_parse(json);
}

void
gpt_report_evaluate(GptReport *report, const GptVersion *version, const GptTrainOptions *options)
{
	GptSource source;

	report->query = options->query;
	gpt_source_open(&source, options->query, GPT_SOURCE_EVALUATE, NULL, NULL);
	if (source.shape.messages_column != 0 || gpt_task_group(source.shape.task) > 1)
		report->evaluation =
			evaluate_by_function(gpt_report_reference(report->facts), options->query);
	else
		report->evaluation = evaluate_rows(report, version, &source, options);
	gpt_source_close(&source);
}

static const GptJson *
evaluate_rows(GptReport *report, const GptVersion *version, GptSource *source,
			  const GptTrainOptions *options)
{
	Evaluation *evaluation = palloc0(sizeof(Evaluation));
	GptJsonWriter json = {NULL};
	const GptServed *served;

	check_shape(version, &source->shape);
	served = gpt_cache_acquire(gpt_report_reference(report->facts), GPT_SERVED_ANY);
	source->cleaner = served->cleaner;
	evaluation->context = CurrentMemoryContext;
	evaluation->served = served;
	evaluation->report = report;
	evaluation->task = source->shape.task;
	evaluation->max_rows = (int) options->max_rows;
	evaluation->n_prompts = (int) options->samples;
	evaluation->rows = palloc0(evaluation->max_rows * sizeof(WaitingRow));
	evaluation->results = gpt_results_create(served, evaluation->max_rows);
	evaluation->meter = gpt_row_meter_create(
		served, gpt_row_sample_create(evaluation->max_rows + 1), take_answer, evaluation);
	if (evaluation->task->labelled)
	{
		GptLabelOptions labels = {.names = served->labels,
								  .n = served->config->labels,
								  .normalize_nfc =
									  lm_tokenizer_spec(served->tokenizer)->normalize_nfc};

		gpt_source_label_equality(&labels.equality, &source->shape);
		evaluation->labels = gpt_label_table_create(&labels);
	}

	/* Now do the work. */
	gpt_source_run(source, add_row, evaluation);
	gpt_row_meter_finish(evaluation->meter);
	if (evaluation->n == 0)
		gpt_source_raise_skipped("query", &evaluation->skipped);
	gpt_json_begin(&json, NULL);
	gpt_results_write(&json, evaluation->results);
	gpt_cache_release(served);
	return gpt_report_parse(
		DatumGetCString(DirectFunctionCall1(jsonb_out, JsonbPGetDatum(gpt_json_finish(&json)))));
}

/* Callback of the query: rows after the first max_rows are not measured. */
static void
add_row(void *context, const GptSourceRow *row)
{
	Evaluation *evaluation = context;
	GptReport *report = evaluation->report;
	WaitingRow *waiting = &evaluation->rows[Min(evaluation->n, evaluation->max_rows - 1)];
	GptMeterRow measured;

	if (evaluation->n == evaluation->max_rows)
		return;
	if (gpt_source_skip(&evaluation->skipped, row, evaluation->task) != GPT_SKIP_NONE ||
		!find_labels(waiting, evaluation, row) || !gpt_row_meter_begin(evaluation->meter))
		return;
	waiting->target = row->target;
	if (row->prompt != NULL && report->n_samples < evaluation->n_prompts)
	{
		char *prompt = MemoryContextAllocZero(evaluation->context, row->prompt_size + 1);

		memcpy(prompt, row->prompt, row->prompt_size);
		report->samples[report->n_samples++].prompt = prompt;
	}
	measured.asks = gpt_row_meter_encode(&measured, evaluation->meter, row);
	measured.counts = false;
	measured.tag = evaluation->n++;
	gpt_row_meter_measure(evaluation->meter, &measured);
}

static int
compare_labels(const void *a, const void *b)
{
	uint32 x = *(const uint32 *) a;
	uint32 y = *(const uint32 *) b;

	return x < y ? -1 : x > y;
}

/* False for a row with a label that the model does not know: it can only be wrong about it. */
static bool
find_labels(WaitingRow *waiting, Evaluation *evaluation, const GptSourceRow *row)
{
	if (evaluation->labels == NULL)
		return true;
	waiting->n_labels = 0;
	waiting->labels =
		MemoryContextAlloc(evaluation->context, Max(row->n_labels, 1) * sizeof(uint32));
	for (int i = 0; i < row->n_labels; i++)
	{
		int number = gpt_label_table_find(evaluation->labels, row->labels[i]);

		if (number < 0)
			return false;
		waiting->labels[waiting->n_labels++] = (uint32) number;
	}
	qsort(waiting->labels, waiting->n_labels, sizeof(uint32), compare_labels);
	return true;
}

static void
take_answer(void *context, const GptMeterAnswer *answer)
{
	Evaluation *evaluation = context;
	const WaitingRow *row = &evaluation->rows[answer->tag];

	gpt_results_add(evaluation->results, answer, row->labels, row->n_labels, row->target);
}

/* ---- Samples ------------------------------------------------------------ */

static const char *
why_no_samples(const GptReport *report, const GptTrainOptions *options)
{
	if (options->samples == 0)
		return "No samples were asked for.";
	switch (gpt_report_kind(report->facts))
	{
		case GPT_REPORT_LABELS:
		case GPT_REPORT_NUMBER:
		case GPT_REPORT_RETRIEVAL:
			return "This model writes no texts.";
		case GPT_REPORT_COMPLETION:
		case GPT_REPORT_CHAT:
		case GPT_REPORT_PREFERENCE:
			return "This model answers prompts. Give gpt_report the option \"prompt\", or a "
				   "\"query\" with a column \"prompt\".";
		case GPT_REPORT_TEXT:
			break;
	}
	return NULL;
}

/* One text of the model; NULL where it has none to give. */
static const char *
write_sample(const GptReport *report, const GptTrainOptions *options, const char *prompt, int n)
{
	bool chats = gpt_report_kind(report->facts) == GPT_REPORT_CHAT;
	Oid types[] = {TEXTOID, TEXTOID, INT4OID, INT8OID};
	Datum values[] = {CStringGetTextDatum(gpt_report_reference(report->facts)),
					  CStringGetTextDatum(prompt), Int32GetDatum((int32) options->sample_tokens),
					  Int64GetDatum(options->seed + n)};
	const char *command = psprintf(
		chats ? "SELECT %s.gpt_chat($1, pg_catalog.to_jsonb($2), max_tokens => $3, seed => $4)"
			  : "SELECT %s.gpt_generate($1, $2, max_tokens => $3, seed => $4)",
		gpt_extension_schema());
	MemoryContext caller = CurrentMemoryContext;
	char *text;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(command, lengthof(types), types, values, NULL, true, 1) !=
			SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not generate a sample");
	text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	text = text != NULL ? MemoryContextStrdup(caller, text) : NULL;
	SPI_finish();
	return text;
}

/*
 * The prompts that the version keeps with its most surprising rows, unless there are others. One
 * that may have been cut is no prompt.
 */
static void
take_kept_prompts(GptReport *report, const GptTrainOptions *options)
{
	const GptJson *rows = gpt_json_field(report->evaluation, "surprising");

	if (report->n_samples > 0 || options->prompt != NULL || rows == NULL ||
		rows->type != GPT_JSON_ARRAY)
		return;
	for (const GptJson *row = rows->first; row != NULL; row = row->next)
	{
		const char *prompt = gpt_report_text(row, "prompt");

		if (report->n_samples == options->samples)
			return;
		if (prompt == NULL || strlen(prompt) > GPT_RESULTS_PROMPT_SIZE - MAX_MULTIBYTE_CHAR_LEN)
			continue;
		report->samples[report->n_samples++].prompt = prompt;
		report->prompts_are_kept = true;
	}
}

/* How many texts are wanted: one for each prompt, or as many as the options say. */
static int
count_samples(const GptReport *report, const GptTrainOptions *options)
{
	if (gpt_report_kind(report->facts) >= GPT_REPORT_RETRIEVAL)
		return 0;
	if (report->n_samples > 0)
		return report->n_samples;
	return report->why_no_samples == NULL || options->prompt != NULL ? (int) options->samples : 0;
}

void
gpt_report_write_samples(GptReport *report, const GptTrainOptions *options)
{
	int n;

	take_kept_prompts(report, options);
	report->seed = options->seed;
	report->why_no_samples = why_no_samples(report, options);
	n = count_samples(report, options);
	report->n_samples = 0;
	for (int i = 0; i < n; i++)
	{
		GptReportSample *sample = &report->samples[i];

		if (options->prompt != NULL)
			sample->prompt = options->prompt;
		sample->text =
			write_sample(report, options, sample->prompt != NULL ? sample->prompt : "", i);
		if (sample->text == NULL)
			break;
		report->n_samples++;
	}
	if (report->n_samples == 0 && report->why_no_samples == NULL)
		report->why_no_samples = "The model has nothing to continue. Give gpt_report the option "
								 "\"prompt\".";
}
