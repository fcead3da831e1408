/*
 * src/sql/evaluation.c
 *
 * Rows of a query go through a model, one by one; sums over them come out, from which the measures
 * are. The columns of the query decide the task, as in training.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "core/bridge.h"
#include "engine/marked_text.h"
#include "serve/call.h"
#include "sql/call_kinds.h"
#include "sql/evaluation.h"
#include "store/catalog.h"
#include "store/model_extras.h"

extern Datum gpt_evaluate(PG_FUNCTION_ARGS);

static const LmMetric metrics[] = {
	{"loss", LM_METRIC_RATIO, GPT_COLUMN_LOSS, GPT_COLUMN_TOKENS, 0},
	{"perplexity", LM_METRIC_EXP, GPT_COLUMN_LOSS, GPT_COLUMN_TOKENS, 0},
	{"bits_per_byte", LM_METRIC_RATIO, GPT_COLUMN_LOSS, GPT_COLUMN_BYTES, 1 / M_LN2}};

static Datum probabilities_of(const GptCall *call, const GptServed *served, bool *is_null);
static void ask(GptAnswer *answer, GptEvaluation *evaluation, const GptCallKind *kind,
				const GptCall *call, const GptSourceRow *row);
static void judge(GptEvaluation *evaluation, const GptSourceRow *row);
static int64 score(GptEvaluation *evaluation, const GptSourceRow *row, LmBytes prompt, LmBytes text,
				   size_t n_bytes);
static void converse(GptEvaluation *evaluation, const GptSourceRow *row);

/* A row that is judged: its value is float[labels], of the server's type internal. */
const GptCallKind gpt_judge_call = {.name = "gpt_evaluate",
									.function = gpt_evaluate,
									.result_type = INTERNALOID,
									.task = LM_TASK_CLASSIFY,
									.served = GPT_SERVED_ANY,
									.result = probabilities_of};

GptTrainOptions *
gpt_evaluation_options(FunctionCallInfo fcinfo, int number, GptTrainFunction function)
{
	Jsonb *json = PG_ARGISNULL(number)
					  ? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")))
					  : PG_GETARG_JSONB_P(number);

	return gpt_options_parse(json, function);
}

/* ---- Model -------------------------------------------------------------- */

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

void
gpt_evaluation_begin(GptEvaluation *evaluation, const char *model, const GptSourceShape *shape,
					 const GptTrainOptions *options)
{
	const GptServed *served;

	memset(evaluation, 0, sizeof(GptEvaluation));
	evaluation->options = options;
	evaluation->task = shape->task;
	evaluation->chats = shape->messages_column != 0;
	evaluation->prompted = shape->prompt_column != 0 || evaluation->chats;
	/* A conversation has the ends of its answers. */
	evaluation->include_end = !evaluation->chats && includes_end(options, evaluation->prompted);
	served = gpt_cache_acquire(model, kind_of(model, shape));
	evaluation->served = served;
	gpt_source_check_chat(shape, gpt_evaluation_chat(evaluation) != NULL);
	if (shape->task->measured)
	{
		GptNumbers numbers = gpt_numbers_of(served->config);

		evaluation->regression = gpt_regression_create(&numbers);
	}
	else if (shape->task->labelled)
		evaluation->classification =
			gpt_classification_create(served->config, served->labels,
									  lm_tokenizer_spec(served->tokenizer)->normalize_nfc, shape);
	else if (shape->task->rows == GPT_ROWS_PREFERENCE)
		evaluation->preferences = gpt_preferences_create(served, model, options);
	else if (shape->task->rows == GPT_ROWS_RETRIEVAL)
		evaluation->retrieval = gpt_retrieval_create(served);
	else
	{
		evaluation->language = true;
		evaluation->scores =
			gpt_row_scores_create(metrics, lengthof(metrics), lengthof(evaluation->sums), 0);
	}
	if (evaluation->language && evaluation->prompted && options->generate)
		evaluation->comparison = gpt_comparison_create(served, options, evaluation->chats);
}

GptCleaner *
gpt_evaluation_cleaner(const GptEvaluation *evaluation)
{
	return evaluation->served->cleaner;
}

const struct GptChatTemplate *
gpt_evaluation_chat(const GptEvaluation *evaluation)
{
	return evaluation->chats ? gpt_extras_chat(evaluation->served->extras) : NULL;
}

void
gpt_evaluation_finish(GptEvaluation *evaluation)
{
	bool empty = evaluation->language || evaluation->preferences != NULL
					 ? evaluation->tokens == 0
					 : evaluation->documents == 0;

	if (evaluation->comparison != NULL)
		gpt_comparison_finish(evaluation->comparison);
	if (evaluation->preferences != NULL)
		gpt_preferences_free(evaluation->preferences);
	if (evaluation->retrieval != NULL)
		gpt_retrieval_finish(evaluation->retrieval);
	if (evaluation->classification != NULL)
		gpt_label_roc_finish(gpt_classification_roc(evaluation->classification));
	gpt_cache_release(evaluation->served);
	evaluation->served = NULL;
	if (empty)
	{
		evaluation->why_skipped.n[GPT_SKIP_TOKENS] = evaluation->documents;
		gpt_source_raise_skipped("query", &evaluation->why_skipped);
	}
}

int
gpt_evaluation_scores(GptRowScores *scores[2], const GptEvaluation *evaluation)
{
	int n = 0;

	if (evaluation->classification != NULL)
		scores[n++] = gpt_classification_scores(evaluation->classification);
	if (evaluation->regression != NULL)
		scores[n++] = gpt_regression_scores(evaluation->regression);
	if (evaluation->preferences != NULL)
		scores[n++] = gpt_preferences_scores(evaluation->preferences);
	if (evaluation->retrieval != NULL)
		scores[n++] = gpt_retrieval_scores(evaluation->retrieval);
	if (evaluation->language)
		scores[n++] = evaluation->scores;
	if (evaluation->comparison != NULL)
		scores[n++] = evaluation->comparison->scores;
	return n;
}

/* ---- Rows --------------------------------------------------------------- */

bool
gpt_evaluation_takes(GptEvaluation *evaluation, const GptSourceRow *row)
{
	if (gpt_source_skip(&evaluation->why_skipped, row, evaluation->task) == GPT_SKIP_NONE)
		return true;
	evaluation->skipped++;
	return false;
}

void
gpt_evaluation_add(GptEvaluation *evaluation, const GptSourceRow *row)
{
	LmBytes prompt = {row->prompt, row->prompt_size};
	int64 tokens;

	evaluation->documents++;
	evaluation->weight += row->weight;
	if (evaluation->classification != NULL || evaluation->regression != NULL)
		judge(evaluation, row);
	else if (evaluation->preferences != NULL)
		evaluation->tokens += gpt_preferences_add(evaluation->preferences, row);
	else if (evaluation->retrieval != NULL)
		evaluation->tokens += gpt_retrieval_add(evaluation->retrieval, row);
	if (!evaluation->language)
		return;
	memset(evaluation->row, 0, sizeof(evaluation->row));
	evaluation->row[GPT_COLUMN_WEIGHT] = row->weight;
	if (evaluation->chats)
		converse(evaluation, row);
	else
	{
		tokens = score(evaluation, row, prompt, (LmBytes){row->text, row->size}, row->size);
		if (evaluation->comparison != NULL)
			gpt_comparison_add(evaluation->comparison, row, prompt, (LmBytes){row->text, row->size},
							   tokens);
	}
	for (int i = 0; i < lengthof(evaluation->sums); i++)
		evaluation->sums[i] += evaluation->row[i];
	gpt_row_scores_add(evaluation->scores, evaluation->row);
}

/* Adds the score of a text after a prompt to the sums; returns how many tokens that are. */
static int64
score(GptEvaluation *evaluation, const GptSourceRow *row, LmBytes prompt, LmBytes text,
	  size_t n_bytes)
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
	evaluation->row[GPT_COLUMN_TOKENS] += row->weight * (double) answer.n_tokens;
	evaluation->row[GPT_COLUMN_BYTES] += row->weight * (double) n_bytes;
	if (!answer.is_null)
		evaluation->row[GPT_COLUMN_LOSS] -= row->weight * DatumGetFloat8(answer.value);
	return answer.n_tokens;
}

/* Scores each answer of a conversation after all before it, and compares the last one. */
static void
converse(GptEvaluation *evaluation, const GptSourceRow *row)
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
ask(GptAnswer *answer, GptEvaluation *evaluation, const GptCallKind *kind, const GptCall *call,
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
judge(GptEvaluation *evaluation, const GptSourceRow *row)
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
