/*
 * src/sql/sql_evaluate.c
 *
 * gpt_evaluate: the rows of a query go through a model, measures of all of them together come out,
 * with their intervals.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "core/bridge.h"
#include "core/extension.h"
#include "sql/arguments.h"
#include "sql/evaluation.h"
#include "store/catalog.h"

PG_FUNCTION_INFO_V1(gpt_evaluate);

/* Where measures go, and where their intervals are. */
typedef struct Results
{
	FunctionCallInfo fcinfo;
	GptRowScores *scores[2];
	int n_scores;
	LmInterval area; /* of ROC */
} Results;

static void evaluate_query(GptEvaluation *evaluation, const char *model, const char *query,
						   const GptTrainOptions *options);
static void add_row(void *context, const GptSourceRow *row);
static void put_kept(FunctionCallInfo fcinfo, const char *model);
static void put_evaluation(Results *results, const GptEvaluation *evaluation);
static void put_language(Results *results, const GptEvaluation *evaluation);
static void put(void *context, const char *metric, double value);
static void put_measure(void *context, const char *metric, const char *label, const char *predicted,
						double value);
static void put_row(FunctionCallInfo fcinfo, const char *metric, const char *label,
					const char *predicted, double value, LmInterval interval);

/*
 * gpt_evaluate(model text, query text DEFAULT NULL, options jsonb DEFAULT '{}') -> setof (metric,
 * label, predicted, value, low, high)
 *
 * The query runs read-only as the caller, here and now. NULL query: what was measured when the
 * version was trained. NULL model is an error, NULL options are the defaults.
 */
Datum
gpt_evaluate(PG_FUNCTION_ARGS)
{
	GptEvaluation evaluation;
	Results results = {fcinfo};
	GptTrainOptions *options;
	char *model;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_bridge_check_encoding();
	model = gpt_argument_text(fcinfo, 0);
	options = gpt_evaluation_options(fcinfo, 2, GPT_FUNCTION_EVALUATE);
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(1))
	{
		put_kept(fcinfo, model);
		return (Datum) 0;
	}
	evaluate_query(&evaluation, model, gpt_argument_text(fcinfo, 1), options);
	results.n_scores = gpt_evaluation_scores(results.scores, &evaluation);
	for (int i = 0; i < results.n_scores; i++)
		gpt_row_scores_finish(results.scores[i], (int) options->resamples, options->seed);
	if (evaluation.classification != NULL)
		results.area = gpt_label_roc_interval(gpt_classification_roc(evaluation.classification));
	put_evaluation(&results, &evaluation);
	return (Datum) 0;
}

/* Opens the query first, because its columns decide whether the model must be a classifier. */
static void
evaluate_query(GptEvaluation *evaluation, const char *model, const char *query,
			   const GptTrainOptions *options)
{
	GptSource source;

	gpt_source_open(&source, query, GPT_SOURCE_EVALUATE, NULL, NULL);
	gpt_options_check_rows(options, source.shape.task->rows, source.shape.task->name);
	gpt_evaluation_begin(evaluation, model, &source.shape, options);
	source.cleaner = gpt_evaluation_cleaner(evaluation);
	source.chat = gpt_evaluation_chat(evaluation);

	/* Now do the work. */
	gpt_source_run(&source, add_row, evaluation);
	gpt_evaluation_finish(evaluation);
	gpt_source_close(&source);
}

/* Callback of the query. */
static void
add_row(void *context, const GptSourceRow *row)
{
	if (gpt_evaluation_takes(context, row))
		gpt_evaluation_add(context, row);
}

/* ---- Measures ----------------------------------------------------------- */

static void
put_evaluation(Results *results, const GptEvaluation *evaluation)
{
	put(results, "documents", (double) evaluation->documents);
	put(results, "skipped", (double) evaluation->skipped);
	if (evaluation->language || evaluation->preferences != NULL)
		put(results, "tokens", (double) evaluation->tokens);
	if (evaluation->regression != NULL)
		gpt_regression_measure(evaluation->regression, put_measure, results);
	else if (evaluation->classification != NULL)
		gpt_classification_measure(evaluation->classification, put_measure, results);
	else if (evaluation->preferences != NULL)
		gpt_preferences_measure(evaluation->preferences, put, results);
	else if (evaluation->retrieval != NULL)
		gpt_retrieval_measure(evaluation->retrieval, put, results);
	else
		put_language(results, evaluation);
}

/* Measures of a language model; means are weighted by the rows' weights. */
static void
put_language(Results *results, const GptEvaluation *evaluation)
{
	const double *sums = evaluation->sums;
	double loss = sums[GPT_COLUMN_LOSS] / sums[GPT_COLUMN_TOKENS];

	put(results, "loss", loss);
	put(results, "perplexity", exp(loss));
	put(results, "bits_per_byte", sums[GPT_COLUMN_LOSS] / (M_LN2 * sums[GPT_COLUMN_BYTES]));
	if (evaluation->comparison != NULL)
	{
		put(results, "exact_match", evaluation->comparison->exact / evaluation->weight);
		put(results, "rouge_l", evaluation->comparison->rouge / evaluation->weight);
		put(results, "bleu", lm_overlap_bleu(&evaluation->comparison->overlap));
		put(results, "chrf", lm_overlap_chrf(&evaluation->comparison->overlap));
	}
}

/*
 * The measures in the version's row: losses, and those of its task, which its job took from
 * validation rows; missing ones are left out. A perplexity is that of a language model. The loss is
 * that of all validation rows, its interval may be that of a part of them.
 */
static void
put_kept(FunctionCallInfo fcinfo, const char *model)
{
	const GptVersion *version = gpt_catalog_version(model, false);
	Oid types[] = {TEXTOID, INT4OID, BOOLOID};
	Datum values[] = {CStringGetTextDatum(version->model), Int32GetDatum(version->version),
					  BoolGetDatum(version->config.labels == 0)};
	char *command = psprintf(
		"SELECT m.metric, COALESCE(m.value, (k.kept OPERATOR(pg_catalog.->>) 'value')::float8), "
		"(k.kept OPERATOR(pg_catalog.->>) 'low')::float8, "
		"(k.kept OPERATOR(pg_catalog.->>) 'high')::float8 "
		"FROM %s.gpt_versions v, LATERAL (VALUES (1, 'training_loss', v.loss), "
		"(2, 'loss', v.validation_loss), (3, 'perplexity', CASE WHEN $3 AND v.validation_loss "
		"OPERATOR(pg_catalog.<) 700 THEN pg_catalog.exp(v.validation_loss) END), "
		"(4, 'bits_per_byte', v.validation_bits_per_byte), (5, 'accuracy', NULL), "
		"(6, 'macro_f1', NULL), (7, 'micro_f1', NULL), (8, 'rmse', NULL), (9, 'mae', NULL), "
		"(10, 'r2', NULL)) m (place, metric, value), LATERAL (SELECT v.evaluation "
		"OPERATOR(pg_catalog.->) 'metrics' OPERATOR(pg_catalog.->) m.metric AS kept) k WHERE "
		"v.model OPERATOR(pg_catalog.=) $1 AND v.version OPERATOR(pg_catalog.=) $2 ORDER BY "
		"m.place USING OPERATOR(pg_catalog.<)",
		gpt_extension_schema());

	gpt_catalog_check_use(version);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(command, lengthof(types), types, values, NULL, true, 0) !=
			SPI_OK_SELECT ||
		SPI_processed == 0)
		elog(ERROR, "could not read the measures of model \"%s\"", model);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		double numbers[3] = {NAN, NAN, NAN};

		for (int column = 0; column < lengthof(numbers); column++)
		{
			bool isnull;
			Datum value = SPI_getbinval(row, SPI_tuptable->tupdesc, column + 2, &isnull);

			if (!isnull)
				numbers[column] = DatumGetFloat8(value);
		}
		if (!(numbers[0] >= numbers[1] && numbers[0] <= numbers[2]))
			numbers[1] = numbers[2] = NAN;
		put_row(fcinfo, SPI_getvalue(row, SPI_tuptable->tupdesc, 1), NULL, NULL, numbers[0],
				(LmInterval){numbers[1], numbers[2], NAN});
	}
	SPI_finish();
}

static void
put(void *context, const char *metric, double value)
{
	put_measure(context, metric, NULL, NULL, value);
}

static void
put_measure(void *context, const char *metric, const char *label, const char *predicted,
			double value)
{
	Results *results = context;
	LmInterval interval = {NAN, NAN, NAN};

	for (int i = 0; label == NULL && i < results->n_scores && isnan(interval.low); i++)
		interval = gpt_row_scores_interval(results->scores[i], metric);
	if (label == NULL && strcmp(metric, "roc_auc") == 0)
		interval = results->area;
	put_row(results->fcinfo, metric, label, predicted, value, interval);
}

static void
put_row(FunctionCallInfo fcinfo, const char *metric, const char *label, const char *predicted,
		double value, LmInterval interval)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool bounded = isfinite(interval.low) && isfinite(interval.high);
	Datum values[6] = {CStringGetTextDatum(metric),
					   (Datum) 0,
					   (Datum) 0,
					   Float8GetDatum(value),
					   Float8GetDatum(interval.low),
					   Float8GetDatum(interval.high)};
	bool nulls[6] = {false, label == NULL, predicted == NULL, false, !bounded, !bounded};

	/* A perplexity of a bad model, say, beyond the largest float8. */
	if (!isfinite(value))
		return;
	if (label != NULL)
		values[1] = CStringGetTextDatum(label);
	if (predicted != NULL)
		values[2] = CStringGetTextDatum(predicted);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}
