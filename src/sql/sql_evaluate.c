/*
 * src/sql/sql_evaluate.c
 *
 * gpt_evaluate: the rows of a query go through a model, measures of all of them together come out.
 * The columns of the query decide the task, as in training.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "core/bridge.h"
#include "core/extension.h"
#include "core/options.h"
#include "corpus/classification.h"
#include "corpus/regression.h"
#include "corpus/source.h"
#include "engine/marked_text.h"
#include "serve/call.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"
#include "sql/comparison.h"
#include "sql/evaluate_preference.h"
#include "sql/evaluate_retrieval.h"
#include "store/catalog.h"
#include "store/model_extras.h"

PG_FUNCTION_INFO_V1(gpt_evaluate);

/* Sums over rows. Every row counts with its weight but in the numbers of rows and tokens. */
typedef struct Evaluation
{
	const GptServed *served;
	const GptTrainOptions *options;
	const GptTask *task;
	bool prompted;
	bool chats; /* rows are conversations */
	bool include_end;
	GptClassification *classification; /* NULL: rows have no labels */
	GptRegression *regression; /* NULL: rows have no numbers */
	int64 documents;
	int64 skipped;
	GptSkipped why_skipped;
	GptPreferences *preferences; /* NULL: rows are no pairs of answers */
	GptRetrieval *retrieval; /* NULL: rows are not texts to find */
	int64 tokens;
	double weight; /* of documents */
	double token_weight;
	double byte_weight;
	double logprob;
	GptComparison *comparison; /* NULL: nothing is generated */
} Evaluation;

static Datum probabilities_of(const GptCall *call, const GptServed *served, bool *is_null);
static void evaluate_query(Evaluation *evaluation, const char *model, const char *query);
static void add_row(void *context, const GptSourceRow *row);
static void ask(GptAnswer *answer, Evaluation *evaluation, const GptCallKind *kind,
				const GptCall *call, const GptSourceRow *row);
static void judge(Evaluation *evaluation, const GptSourceRow *row);
static int64 score(Evaluation *evaluation, const GptSourceRow *row, LmBytes prompt, LmBytes text,
				   size_t n_bytes);
static void converse(Evaluation *evaluation, const GptSourceRow *row);
static void put_kept(FunctionCallInfo fcinfo, const char *model);
static void put_evaluation(FunctionCallInfo fcinfo, const Evaluation *evaluation);
static void put(FunctionCallInfo fcinfo, const char *metric, double value);
static void put_measure(void *context, const char *metric, const char *label, const char *predicted,
						double value);
static void put_judgement(FunctionCallInfo fcinfo, const Evaluation *evaluation);
static void put_preferences(FunctionCallInfo fcinfo, const Evaluation *evaluation);
static void put_retrieval(FunctionCallInfo fcinfo, const Evaluation *evaluation);

/* A row that is judged: its value is float[labels], of the server's type internal. */
const GptCallKind gpt_judge_call = {.name = "gpt_evaluate",
									.function = gpt_evaluate,
									.result_type = INTERNALOID,
									.task = LM_TASK_CLASSIFY,
									.served = GPT_SERVED_ANY,
									.result = probabilities_of};

/*
 * gpt_evaluate(model text, query text DEFAULT NULL, options jsonb DEFAULT '{}') -> setof (metric,
 * label, predicted, value)
 *
 * The query runs read-only as the caller, here and now. NULL query: what was measured when the
 * version was trained. NULL model is an error, NULL options are the defaults.
 */
Datum
gpt_evaluate(PG_FUNCTION_ARGS)
{
	Evaluation evaluation = {0};
	Jsonb *json;
	char *model;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "model");
	gpt_bridge_check_encoding();
	model = gpt_argument_text(fcinfo, 0);
	json = PG_ARGISNULL(2) ? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")))
						   : PG_GETARG_JSONB_P(2);
	evaluation.options = gpt_options_parse(json, GPT_FUNCTION_EVALUATE);
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(1))
	{
		put_kept(fcinfo, model);
		return (Datum) 0;
	}
	evaluate_query(&evaluation, model, gpt_argument_text(fcinfo, 1));
	if (evaluation.classification != NULL || evaluation.regression != NULL)
		put_judgement(fcinfo, &evaluation);
	else if (evaluation.preferences != NULL)
		put_preferences(fcinfo, &evaluation);
	else if (evaluation.retrieval != NULL)
		put_retrieval(fcinfo, &evaluation);
	else
		put_evaluation(fcinfo, &evaluation);
	return (Datum) 0;
}

/* ---- Rows --------------------------------------------------------------- */

/*
 * The kind of model that such rows measure. Rows with labels are for models with a head, and only
 * those.
 */
static GptServedKind
kind_of(const char *model, const GptSourceShape *shape)
{
	const GptVersion *version = gpt_catalog_version(model, false);
	const GptTask *task = shape->task;
	bool has_label = task->labelled || task->measured;

	gpt_catalog_check_use(version);
	if (version->config.labels > 0 && !has_label)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						version->config.number
							? errmsg("model \"%s\" is a regression model", version->model)
							: errmsg("model \"%s\" is a classifier", version->model),
						errdetail("The query has no column \"label\"."),
						errhint("Select the labels too, as in SELECT body, stars AS label.")));
	if (version->config.labels == 0 && has_label)
		ereport(
			ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("model \"%s\" is not a classifier", version->model),
			 errdetail("The query has a column \"label\"."),
			 errhint("Leave it out, or evaluate a model that was trained on rows with labels.")));
	if (!has_label)
		return task->rows == GPT_ROWS_RETRIEVAL ? GPT_SERVED_ANY : GPT_SERVED_LANGUAGE_MODEL;
	gpt_source_check_head(shape, &version->config);
	return task->measured ? GPT_SERVED_NUMBER : GPT_SERVED_CLASSIFIER;
}

static bool
includes_end(const GptTrainOptions *options, bool prompted)
{
	switch (options->include_end)
	{
		case GPT_SWITCH_AUTO:
			return prompted;
		case GPT_SWITCH_TRUE:
			return true;
		case GPT_SWITCH_FALSE:
			return false;
	}
	return false;
}

/* Opens the query first, because its columns decide whether the model must be a classifier. */
static void
evaluate_query(Evaluation *evaluation, const char *model, const char *query)
{
	const GptServed *served;
	GptServedKind kind;
	GptSource source;

	gpt_source_open(&source, query, GPT_SOURCE_EVALUATE, NULL, NULL);
	evaluation->task = source.shape.task;
	evaluation->chats = source.shape.messages_column != 0;
	evaluation->prompted = source.shape.prompt_column != 0 || evaluation->chats;
	/* A conversation has the ends of its answers. */
	evaluation->include_end =
		!evaluation->chats && includes_end(evaluation->options, evaluation->prompted);
	gpt_options_check_rows(evaluation->options, evaluation->task->rows, evaluation->task->name);
	kind = kind_of(model, &source.shape);
	served = gpt_cache_acquire(model, kind);
	evaluation->served = served;
	source.cleaner = served->cleaner;
	if (evaluation->chats)
		source.chat = gpt_extras_chat(served->extras);
	gpt_source_check_chat(&source.shape, source.chat != NULL);

	/* Now do the work. */
	if (source.shape.task->measured)
	{
		GptNumbers numbers = gpt_numbers_of(served->config);

		evaluation->regression = gpt_regression_create(&numbers);
	}
	else if (source.shape.task->labelled)
		evaluation->classification = gpt_classification_create(
			served->config, served->labels, lm_tokenizer_spec(served->tokenizer)->normalize_nfc,
			&source.shape);
	else if (source.shape.task->rows == GPT_ROWS_PREFERENCE)
		evaluation->preferences = gpt_preferences_create(served, model, evaluation->options);
	else if (source.shape.task->rows == GPT_ROWS_RETRIEVAL)
		evaluation->retrieval = gpt_retrieval_create(served);
	if (evaluation->prompted && evaluation->options->generate && evaluation->preferences == NULL)
		evaluation->comparison =
			gpt_comparison_create(served, evaluation->options, evaluation->chats);
	gpt_source_run(&source, add_row, evaluation);
	if (evaluation->comparison != NULL)
		gpt_comparison_finish(evaluation->comparison);
	if (evaluation->preferences != NULL)
		gpt_preferences_free(evaluation->preferences);
	gpt_cache_release(served);
	gpt_source_close(&source);
	if (kind != GPT_SERVED_LANGUAGE_MODEL ? evaluation->documents == 0 : evaluation->tokens == 0)
	{
		evaluation->why_skipped.n[GPT_SKIP_TOKENS] = evaluation->documents;
		gpt_source_raise_skipped("query", &evaluation->why_skipped);
	}
}

/* Callback of the query: scores or classifies one row and adds it to the sums. */
static void
add_row(void *context, const GptSourceRow *row)
{
	Evaluation *evaluation = context;
	LmBytes prompt = {row->prompt, row->prompt_size};
	int64 tokens;

	if (gpt_source_skip(&evaluation->why_skipped, row, evaluation->task) != GPT_SKIP_NONE)
	{
		evaluation->skipped++;
		return;
	}
	if (evaluation->classification != NULL || evaluation->regression != NULL)
	{
		judge(evaluation, row);
		evaluation->documents++;
		return;
	}
	evaluation->documents++;
	evaluation->weight += row->weight;
	if (evaluation->preferences != NULL)
	{
		evaluation->tokens += gpt_preferences_add(evaluation->preferences, row);
		return;
	}
	if (evaluation->retrieval != NULL)
	{
		evaluation->tokens += gpt_retrieval_add(evaluation->retrieval, row);
		return;
	}
	if (evaluation->chats)
	{
		converse(evaluation, row);
		return;
	}
	tokens = score(evaluation, row, prompt, (LmBytes){row->text, row->size}, row->size);
	if (evaluation->comparison != NULL)
		gpt_comparison_add(evaluation->comparison, row, prompt, (LmBytes){row->text, row->size},
						   tokens);
}

/* Adds the score of a text after a prompt to the sums; returns how many tokens that are. */
static int64
score(Evaluation *evaluation, const GptSourceRow *row, LmBytes prompt, LmBytes text, size_t n_bytes)
{
	GptAnswer answer;
	GptCall call;

	gpt_score_of_text(&call, text);
	if (prompt.data != NULL)
		call.request.prompt = prompt;
	call.request.include_end = evaluation->include_end;
	call.request.sampling.marked = evaluation->chats;
	ask(&answer, evaluation, &gpt_logprob_call, &call, row);
	evaluation->tokens += answer.n_tokens;
	evaluation->token_weight += row->weight * (double) answer.n_tokens;
	evaluation->byte_weight += row->weight * (double) n_bytes;
	if (!answer.is_null)
		evaluation->logprob += row->weight * DatumGetFloat8(answer.value);
	return answer.n_tokens;
}

/* Scores each answer of a conversation after all before it, and compares the last one. */
static void
converse(Evaluation *evaluation, const GptSourceRow *row)
{
	size_t size = row->prompt_size + row->size;
	char *whole = MemoryContextAllocHuge(CurrentMemoryContext, size);
	LmBytes text = {whole, size};
	LmBytes prompt = {whole, 0};
	LmBytes answer = {NULL, 0};
	LmBytes next;
	size_t position = row->prompt_size;
	int64 tokens = 0;

	memcpy(whole, row->prompt, row->prompt_size);
	memcpy(whole + row->prompt_size, row->text, row->size);
	while (lm_marked_next(&next, &position, text))
	{
		answer = next;
		prompt.size = answer.data - whole;
		tokens = score(evaluation, row, prompt, answer,
					   lm_marked_learned_size(answer.data, answer.size));
	}
	if (evaluation->comparison != NULL)
	{
		char *content = palloc(answer.size + 1);
		LmBytes wanted = {content, lm_marked_content(content, answer)};

		gpt_comparison_add(evaluation->comparison, row, prompt, wanted, tokens);
	}
}

/* A call about a row, whose errors name it. */
static void
ask(GptAnswer *answer, Evaluation *evaluation, const GptCallKind *kind, const GptCall *call,
	const GptSourceRow *row)
{
	GptCall clean = *call;

	clean.cleaning = GPT_CALL_CLEANED; /* with the row */
	gpt_call_answer(answer, kind, evaluation->served, &clean, 1, 0, NULL);
	if (answer->error != NULL)
		gpt_bridge_raise_row(answer->error, "query", row->number);
}

/* Gives a row a label or a number, and counts it beside the row's. */
static void
judge(Evaluation *evaluation, const GptSourceRow *row)
{
	LmBytes text = {row->text, row->size};
	LmBytes other = {row->other, row->other_size};
	const float *found;
	GptAnswer answer;
	GptCall call;

	if (gpt_task_is_pair(evaluation->task))
		gpt_judge_texts(&call, text, other);
	else
		gpt_judge_texts(&call, other, text);
	ask(&answer, evaluation, &gpt_judge_call, &call, row);
	found = (const float *) DatumGetPointer(answer.value);
	if (evaluation->regression != NULL)
	{
		GptNumbers numbers = gpt_numbers_of(evaluation->served->config);

		gpt_regression_add(evaluation->regression, row->target,
						   gpt_number_restore(&numbers, found[0]), row->weight);
	}
	else
		gpt_classification_add(evaluation->classification, found, row);
}

static Datum
probabilities_of(const GptCall *call, const GptServed *served, bool *is_null)
{
	size_t size = served->config->labels * sizeof(float);

	*is_null = false;
	return PointerGetDatum(memcpy(palloc(size), call->request.vector, size));
}

/* ---- Measures ----------------------------------------------------------- */

/* Returns one row per measure of a language model; means are weighted by the rows' weights. */
static void
put_evaluation(FunctionCallInfo fcinfo, const Evaluation *evaluation)
{
	double loss = -evaluation->logprob / evaluation->token_weight;

	put(fcinfo, "documents", (double) evaluation->documents);
	put(fcinfo, "skipped", (double) evaluation->skipped);
	put(fcinfo, "tokens", (double) evaluation->tokens);
	put(fcinfo, "loss", loss);
	put(fcinfo, "perplexity", exp(loss));
	put(fcinfo, "bits_per_byte", -evaluation->logprob / (M_LN2 * evaluation->byte_weight));
	if (evaluation->comparison != NULL)
	{
		put(fcinfo, "exact_match", evaluation->comparison->exact / evaluation->weight);
		put(fcinfo, "rouge_l", evaluation->comparison->rouge / evaluation->weight);
		put(fcinfo, "bleu", lm_overlap_bleu(&evaluation->comparison->overlap));
		put(fcinfo, "chrf", lm_overlap_chrf(&evaluation->comparison->overlap));
	}
}

static void
put_judgement(FunctionCallInfo fcinfo, const Evaluation *evaluation)
{
	put(fcinfo, "documents", (double) evaluation->documents);
	put(fcinfo, "skipped", (double) evaluation->skipped);
	if (evaluation->regression != NULL)
		gpt_regression_measure(evaluation->regression, put_measure, fcinfo);
	else
		gpt_classification_measure(evaluation->classification, put_measure, fcinfo);
}

static void
put_metric(void *context, const char *metric, double value)
{
	put(context, metric, value);
}

static void
put_preferences(FunctionCallInfo fcinfo, const Evaluation *evaluation)
{
	put(fcinfo, "documents", (double) evaluation->documents);
	put(fcinfo, "skipped", (double) evaluation->skipped);
	put(fcinfo, "tokens", (double) evaluation->tokens);
	gpt_preferences_measure(evaluation->preferences, put_metric, fcinfo);
}

static void
put_retrieval(FunctionCallInfo fcinfo, const Evaluation *evaluation)
{
	put(fcinfo, "documents", (double) evaluation->documents);
	put(fcinfo, "skipped", (double) evaluation->skipped);
	gpt_retrieval_measure(evaluation->retrieval, put_metric, fcinfo);
}

/* The measures in the version's row; missing ones are left out. */
static void
put_kept(FunctionCallInfo fcinfo, const char *model)
{
	static const char *const metrics[] = {"training_loss", "loss", "perplexity", "bits_per_byte"};
	const GptVersion *version = gpt_catalog_version(model, false);
	Oid types[] = {TEXTOID, INT4OID};
	Datum values[] = {CStringGetTextDatum(version->model), Int32GetDatum(version->version)};
	char *command = psprintf("SELECT loss, validation_loss, CASE WHEN validation_loss "
							 "OPERATOR(pg_catalog.<) 700 THEN pg_catalog.exp(validation_loss) END, "
							 "validation_bits_per_byte FROM %s.gpt_versions WHERE model "
							 "OPERATOR(pg_catalog.=) $1 AND version OPERATOR(pg_catalog.=) $2",
							 gpt_extension_schema());

	gpt_catalog_check_use(version);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(command, lengthof(types), types, values, NULL, true, 1) !=
			SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read the measures of model \"%s\"", model);
	for (int i = 0; i < lengthof(metrics); i++)
	{
		bool isnull;
		Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull);

		if (!isnull)
			put(fcinfo, metrics[i], DatumGetFloat8(value));
	}
	SPI_finish();
}

static void
put(FunctionCallInfo fcinfo, const char *metric, double value)
{
	put_measure(fcinfo, metric, NULL, NULL, value);
}

static void
put_measure(void *context, const char *metric, const char *label, const char *predicted,
			double value)
{
	FunctionCallInfo fcinfo = context;
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum values[4] = {CStringGetTextDatum(metric), (Datum) 0, (Datum) 0, Float8GetDatum(value)};
	bool nulls[4] = {false, label == NULL, predicted == NULL, false};

	/* A perplexity of a bad model, say, beyond the largest float8. */
	if (!isfinite(value))
		return;
	if (label != NULL)
		values[1] = CStringGetTextDatum(label);
	if (predicted != NULL)
		values[2] = CStringGetTextDatum(predicted);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}
