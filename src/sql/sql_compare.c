/*
 * src/sql/sql_compare.c
 *
 * gpt_compare: the same rows go through two models; measures of both, their differences, and how
 * sure these are come out.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "core/bridge.h"
#include "sql/arguments.h"
#include "sql/evaluation.h"
#include "store/catalog.h"

PG_FUNCTION_INFO_V1(gpt_compare);

/* Two models on the way through the rows. */
typedef struct Pair
{
	GptEvaluation of[2];
	GptSourceRow first; /* a row as the first model reads it */
} Pair;

static void check_tasks(char *const models[2], const GptSourceShape *shape);
static bool same_tokens(char *const models[2]);
static void run_query(Pair *pair, char *const models[2], const char *query,
					  const GptTrainOptions *options);
static void add_row(void *context, const GptSourceRow *row);
static void put_scores(FunctionCallInfo fcinfo, GptRowScores *first, GptRowScores *second,
					   const GptTrainOptions *options, bool per_token);
static void put_area(FunctionCallInfo fcinfo, const Pair *pair);
static void put_spearman(FunctionCallInfo fcinfo, const Pair *pair);
static void put_row(FunctionCallInfo fcinfo, const char *metric, double a, double b,
					LmInterval difference);

/*
 * gpt_compare(model_a text, model_b text, query text, options jsonb DEFAULT '{}') -> setof (metric,
 * a, b, difference, low, high, p)
 *
 * The query runs once, read-only as the caller, here and now. NULL models and query are errors,
 * NULL options are the defaults.
 */
Datum
gpt_compare(PG_FUNCTION_ARGS)
{
	static const LmInterval none = {NAN, NAN, NAN};
	GptRowScores *scores[2][2];
	Pair pair;
	GptTrainOptions *options;
	char *models[2];
	bool per_token;
	int n;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model_a");
	gpt_argument_required(fcinfo, 1, "model_b");
	gpt_argument_required(fcinfo, 2, "query");
	gpt_bridge_check_encoding();
	models[0] = gpt_argument_text(fcinfo, 0);
	models[1] = gpt_argument_text(fcinfo, 1);
	options = gpt_evaluation_options(fcinfo, 3, GPT_FUNCTION_COMPARE);
	InitMaterializedSRF(fcinfo, 0);
	run_query(&pair, models, gpt_argument_text(fcinfo, 2), options);

	/* Now do the work. */
	per_token = !pair.of[0].language || same_tokens(models);
	put_row(fcinfo, "documents", (double) pair.of[0].documents, (double) pair.of[1].documents,
			none);
	n = gpt_evaluation_scores(scores[0], &pair.of[0]);
	(void) gpt_evaluation_scores(scores[1], &pair.of[1]);
	for (int i = 0; i < n; i++)
		put_scores(fcinfo, scores[0][i], scores[1][i], options, per_token);
	if (pair.of[0].classification != NULL)
		put_area(fcinfo, &pair);
	if (pair.of[0].regression != NULL)
		put_spearman(fcinfo, &pair);
	return (Datum) 0;
}

/* ---- Models ------------------------------------------------------------- */

static const char *
task_of(const LmConfig *config)
{
	if (config->labels == 0)
		return "a language model";
	if (config->number)
		return config->pair ? "a regression model of pairs" : "a regression model";
	if (config->multi_label)
		return config->pair ? "a multi-label classifier of pairs" : "a multi-label classifier";
	return config->pair ? "a classifier of pairs" : "a classifier";
}

/* Any two models can be compared in finding texts. */
static void
check_tasks(char *const models[2], const GptSourceShape *shape)
{
	const GptVersion *versions[2];
	const char *tasks[2];

	for (int i = 0; i < 2; i++)
	{
		versions[i] = gpt_catalog_version(models[i], false);
		gpt_catalog_check_use(versions[i]);
		tasks[i] = task_of(&versions[i]->config);
	}
	if (strcmp(tasks[0], tasks[1]) != 0 && shape->task->rows != GPT_ROWS_RETRIEVAL)
		ereport(
			ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("models \"%s\" and \"%s\" have different tasks", models[0], models[1]),
			 errdetail("\"%s\" is %s, \"%s\" is %s.", models[0], tasks[0], models[1], tasks[1])));
}

static bool
same_tokens(char *const models[2])
{
	const GptVersion *a = gpt_catalog_version(models[0], false);
	const GptVersion *b = gpt_catalog_version(models[1], false);

	if (memcmp(a->tokenizer, b->tokenizer, GPT_SHA256_SIZE) == 0)
		return true;
	ereport(NOTICE, (errmsg("models \"%s\" and \"%s\" have different tokenizers: losses per token "
							"are not compared",
							models[0], models[1]),
					 errhint("Metric \"bits_per_byte\" compares them.")));
	return false;
}

/* ---- Rows --------------------------------------------------------------- */

static void
run_query(Pair *pair, char *const models[2], const char *query, const GptTrainOptions *options)
{
	GptSource source;

	gpt_source_open(&source, query, GPT_SOURCE_COMPARE, NULL, NULL);
	gpt_options_check_rows(options, source.shape.task->rows, source.shape.task->name);
	check_tasks(models, &source.shape);
	for (int i = 0; i < 2; i++)
		gpt_evaluation_begin(&pair->of[i], models[i], &source.shape, options);
	source.n_readings = 2;
	source.cleaner = gpt_evaluation_cleaner(&pair->of[0]);
	source.chat = gpt_evaluation_chat(&pair->of[0]);
	source.second.cleaner = gpt_evaluation_cleaner(&pair->of[1]);
	source.second.chat = gpt_evaluation_chat(&pair->of[1]);
	gpt_source_run(&source, add_row, pair);
	for (int i = 0; i < 2; i++)
		gpt_evaluation_finish(&pair->of[i]);
	gpt_source_close(&source);
}

/* Callback of the query: a row counts for both models, or for neither. */
static void
add_row(void *context, const GptSourceRow *row)
{
	Pair *pair = context;

	if (row->reading == 0)
	{
		pair->first = *row;
		return;
	}
	if (!gpt_evaluation_takes(&pair->of[0], &pair->first) ||
		!gpt_evaluation_takes(&pair->of[1], row))
		return;
	gpt_evaluation_add(&pair->of[0], &pair->first);
	gpt_evaluation_add(&pair->of[1], row);
}

/* ---- Results ------------------------------------------------------------ */

static void
put_scores(FunctionCallInfo fcinfo, GptRowScores *first, GptRowScores *second,
		   const GptTrainOptions *options, bool per_token)
{
	int n = Min(gpt_row_scores_n_metrics(first), gpt_row_scores_n_metrics(second));
	GptComparedMetric *compared = palloc(n * sizeof(GptComparedMetric));

	gpt_row_scores_compare(compared, n, first, second, (int) options->resamples, options->seed);
	for (int i = 0; i < n; i++)
	{
		bool of_tokens =
			strcmp(compared[i].name, "loss") == 0 || strcmp(compared[i].name, "perplexity") == 0;

		if (per_token || !of_tokens)
			put_row(fcinfo, compared[i].name, compared[i].values[0], compared[i].values[1],
					compared[i].difference);
	}
}

static void
put_area(FunctionCallInfo fcinfo, const Pair *pair)
{
	const GptLabelRoc *first = gpt_classification_roc(pair->of[0].classification);
	const GptLabelRoc *second = gpt_classification_roc(pair->of[1].classification);

	put_row(fcinfo, "roc_auc", gpt_label_roc_area(first), gpt_label_roc_area(second),
			gpt_label_roc_difference(first, second));
}

/* Callback of the measures. */
static void
take_spearman(void *context, const char *metric, const char *label, const char *predicted,
			  double value)
{
	if (strcmp(metric, "spearman") == 0)
		*(double *) context = value;
}

/* Ranks are no sums over rows, so there is no interval. */
static void
put_spearman(FunctionCallInfo fcinfo, const Pair *pair)
{
	static const LmInterval none = {NAN, NAN, NAN};
	double values[2] = {NAN, NAN};

	for (int i = 0; i < 2; i++)
		gpt_regression_measure(pair->of[i].regression, take_spearman, &values[i]);
	put_row(fcinfo, "spearman", values[0], values[1], none);
}

static void
put_row(FunctionCallInfo fcinfo, const char *metric, double a, double b, LmInterval difference)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	double numbers[] = {a, b, b - a, difference.low, difference.high, difference.p};
	Datum values[lengthof(numbers) + 1] = {CStringGetTextDatum(metric)};
	bool nulls[lengthof(numbers) + 1] = {false};

	if (!isfinite(a) || !isfinite(b))
		return;
	for (int i = 0; i < lengthof(numbers); i++)
	{
		values[i + 1] = Float8GetDatum(numbers[i]);
		nulls[i + 1] = !isfinite(numbers[i]);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}
