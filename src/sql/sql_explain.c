/*
 * src/sql/sql_explain.c
 *
 * gpt_explain: which words of a text pushed a model to its label, its number, or its next token.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/words.h"
#include "engine/explain.h"
#include "serve/call.h"
#include "serve/model_probe.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"
#include "sql/explained_words.h"
#include "sql/occlusion.h"

#define MAX_EXPLAINED ((size_t) 256 * 1024) /* bytes */
/*
 * Sums that differ from the scores by more than this share are told to the user; scores are float32
 * at heart.
 */
#define GAP_SHARE 0.01
#define GAP_NOISE 2e-5
#define NEXT_TOKENS 4 /* a character has at most */
#define LABELS_IN_HINT 10

/* How words are weighed. */
typedef enum Method
{
	METHOD_GRADIENTS,
	METHOD_OCCLUSION,
} Method;

static GPT_WORDS(method_name, [METHOD_GRADIENTS] = "gradients", [METHOD_OCCLUSION] = "occlusion");
static GPT_WORDS(unit_name, [LM_EXPLAIN_WORDS] = "word", [LM_EXPLAIN_TOKENS] = "token");

/* The arguments of a call, in their order. */
typedef enum Argument
{
	ARGUMENT_MODEL,
	ARGUMENT_INPUT,
	ARGUMENT_TARGET,
	ARGUMENT_METHOD,
	ARGUMENT_UNIT,
	ARGUMENT_OTHER,
} Argument;

/* The columns of a row, in their order. */
typedef enum Column
{
	COLUMN_POSITION,
	COLUMN_TEXT,
	COLUMN_WEIGHT,
	COLUMN_START,
	COLUMN_PART,
	COLUMN_EXPLAINED,
	COLUMN_SCORE,
	COLUMN_BASELINE,
	N_COLUMNS,
} Column;

/* The rows that are being made. */
typedef struct Rows
{
	ReturnSetInfo *set;
	GptExplainedWords *words; /* get what rows would; NULL: there are rows */
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS];
	int position;
	/* how far the start is counted in the present text */
	LmBytes text;
	size_t seen;
	int start;
} Rows;

PG_FUNCTION_INFO_V1(gpt_explain);

static void read_answer(GptAnswerExplained *answer, FunctionCallInfo fcinfo,
						const GptServed *served);
static void check_texts(bool has_other, const GptServed *served);
static LmBytes text_argument(FunctionCallInfo fcinfo, int number, GptCleaner *cleaner);
static LmBytes clean_text(LmBytes text, GptCleaner *cleaner);
static void read_target(GptAnswerExplained *answer, FunctionCallInfo fcinfo,
						const GptServed *served);
static int find_label(const char *name, const GptServed *served);
static void find_next(GptAnswerExplained *answer, const GptServed *served);
static void explain_by_gradients(Rows *rows, GptAnswerExplained *answer, LmExplainUnit unit,
								 GptProbe *probe);
static LmExplain *create_explain(const GptAnswerExplained *answer, GptProbe *probe);
static void give_notices(const LmExplanation *result, GptProbe *probe);
static void explain_by_occlusion(Rows *rows, GptAnswerExplained *answer, const GptServed *served);
static void set_columns(Rows *rows, const GptAnswerExplained *answer, const GptServed *served,
						double score, const double *baseline);
static void begin_text(Rows *rows, LmBytes text, int part);
static void put_row(Rows *rows, size_t start, size_t end, double weight);
static void put_word(GptExplainedWords *words, GptExplainedWord word);

/*
 * gpt_explain(model text, input text, target text DEFAULT NULL, method text DEFAULT 'gradients',
 *     unit text DEFAULT 'word', other text DEFAULT NULL) RETURNS SETOF (position integer, text
 * text, weight float8, start integer, part integer, explained text, score float8, baseline float8)
 *
 * The words of input, and of the second text of a pair, with what each adds to the score of the
 * answer (engine/explain.h). target: a label, or the text that follows; NULL: the most probable.
 * NULL model or input gives no rows, NULL elsewhere means the default.
 */
Datum
gpt_explain(PG_FUNCTION_ARGS)
{
	GptAnswerExplained answer = {.label = -1};
	Rows rows = {0};
	GptProbe *probe;
	int method, unit;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(ARGUMENT_MODEL) || PG_ARGISNULL(ARGUMENT_INPUT))
		return (Datum) 0;
	method = gpt_argument_word(fcinfo, ARGUMENT_METHOD, "method", method_name);
	unit = gpt_argument_word(fcinfo, ARGUMENT_UNIT, "unit", unit_name);
	if (method == METHOD_OCCLUSION && unit != LM_EXPLAIN_WORDS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("occlusion leaves out words, not tokens"),
						errhint("Use method \"gradients\" for the weights of tokens.")));
	probe = gpt_probe_acquire(fcinfo->flinfo, gpt_argument_text(fcinfo, ARGUMENT_MODEL),
							  GPT_SERVED_ANY, method == METHOD_GRADIENTS ? "gpt_explain" : NULL);
	read_answer(&answer, fcinfo, gpt_probe_served(probe));
	rows.set = (ReturnSetInfo *) fcinfo->resultinfo;

	/* Now do the work. */
	if (method == METHOD_GRADIENTS)
		explain_by_gradients(&rows, &answer, (LmExplainUnit) unit, probe);
	else
		explain_by_occlusion(&rows, &answer, gpt_probe_served(probe));
	return (Datum) 0;
}

void
gpt_explain_words(GptExplainedWords *words, FmgrInfo *function, const char *model, LmBytes input,
				  bool by_gradients)
{
	GptAnswerExplained answer = {.label = -1, .n_texts = 1};
	Rows rows = {.words = words};
	GptProbe *probe =
		gpt_probe_acquire(function, model, GPT_SERVED_ANY, by_gradients ? "gpt_explain" : NULL);
	const GptServed *served = gpt_probe_served(probe);

	memset(words, 0, sizeof(GptExplainedWords));
	check_texts(false, served);
	answer.is_target = served->config->labels == 0;
	answer.texts[0] = clean_text(input, served->cleaner);
	if (answer.is_target)
		find_next(&answer, served);
	if (by_gradients)
		explain_by_gradients(&rows, &answer, LM_EXPLAIN_WORDS, probe);
	else
		explain_by_occlusion(&rows, &answer, served);
}

/* ---- Arguments ------------------------------------------------------------ */

static void
read_answer(GptAnswerExplained *answer, FunctionCallInfo fcinfo, const GptServed *served)
{
	bool has_other = !PG_ARGISNULL(ARGUMENT_OTHER);

	answer->is_target = served->config->labels == 0;
	check_texts(has_other, served);
	answer->n_texts = has_other ? 2 : 1;
	answer->texts[0] = text_argument(fcinfo, ARGUMENT_INPUT, served->cleaner);
	if (has_other)
		answer->texts[1] = text_argument(fcinfo, ARGUMENT_OTHER, served->cleaner);
	read_target(answer, fcinfo, served);
}

static void
check_texts(bool has_other, const GptServed *served)
{
	if (has_other != served->config->pair)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 has_other ? errmsg("the model reads one text, not two")
						   : errmsg("the model judges two texts together, not one"),
				 has_other ? errhint("Leave \"other\" out.")
						   : errhint("Call gpt_explain with the second text as \"other\".")));
}

/* A text as the model reads it. */
static LmBytes
text_argument(FunctionCallInfo fcinfo, int number, GptCleaner *cleaner)
{
	text *value = PG_GETARG_TEXT_PP(number);

	return clean_text((LmBytes){VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)}, cleaner);
}

static LmBytes
clean_text(LmBytes bytes, GptCleaner *cleaner)
{
	if (bytes.size > MAX_EXPLAINED)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("text has %zu KB, gpt_explain reads at most %zu KB",
							   bytes.size >> 10, MAX_EXPLAINED >> 10),
						errhint("Cut it with gpt_chunk.")));
	return gpt_cleaner_text(NULL, cleaner, bytes, 0);
}

static void
read_target(GptAnswerExplained *answer, FunctionCallInfo fcinfo, const GptServed *served)
{
	bool has_target = !PG_ARGISNULL(ARGUMENT_TARGET);
	text *value;

	if (has_target && served->config->number)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the model gives a number, which has no target"),
						errhint("Leave \"target\" out.")));
	if (!answer->is_target && has_target)
		answer->label = find_label(gpt_argument_text(fcinfo, ARGUMENT_TARGET), served);
	if (!answer->is_target)
		return;
	if (!has_target)
	{
		find_next(answer, served);
		return;
	}
	value = PG_GETARG_TEXT_PP(ARGUMENT_TARGET);
	answer->target = (LmBytes){VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	answer->target = gpt_cleaner_text(NULL, served->cleaner, answer->target, LM_CLEAN_KEEP_START);
	answer->is_end = answer->target.size == 0;
}

static int
find_label(const char *name, const GptServed *served)
{
	StringInfoData names;
	int n = served->config->labels;

	for (int i = 0; i < n; i++)
	{
		if (strcmp(served->labels[i], name) == 0)
			return i;
	}
	initStringInfo(&names);
	for (int i = 0; i < Min(n, LABELS_IN_HINT); i++)
		appendStringInfo(&names, "%s\"%s\"", i == 0 ? "" : ", ", served->labels[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("label \"%s\" is not one of the model's", name),
			 errhint("%s %s%s.", n > LABELS_IN_HINT ? "It has, among others," : "Its labels are",
					 names.data, "")));
}

/*
 * The most likely next token of a language model, as text; of a character that takes several tokens
 * all of them. An end has no text.
 */
static void
find_next(GptAnswerExplained *answer, const GptServed *served)
{
	for (int n = 1; n <= NEXT_TOKENS && answer->target.size == 0; n += NEXT_TOKENS - 1)
	{
		GptCall call;
		GptAnswer next;
		text *value;

		memset(&call, 0, sizeof(call));
		call.request.task = LM_TASK_GENERATE;
		call.request.prompt = answer->texts[0];
		call.request.sampling = (LmSampling){.max_tokens = n, .top_p = 1, .repetition_penalty = 1};
		call.cleaning = GPT_CALL_CLEANED;
		gpt_call_answer(&next, &gpt_generate_call, served, &call, 1, 0, NULL);
		if (next.error != NULL)
			gpt_bridge_raise(next.error);
		if (next.is_null)
			continue;
		value = DatumGetTextPP(next.value);
		answer->target = (LmBytes){VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	}
	answer->is_end = answer->target.size == 0;
}

/* ---- Gradients ------------------------------------------------------------ */

static void
explain_by_gradients(Rows *rows, GptAnswerExplained *answer, LmExplainUnit unit, GptProbe *probe)
{
	LmExplain *explain = create_explain(answer, probe);
	LmProbe *network =
		gpt_probe_get(probe, Max(lm_explain_window(explain), 1), lm_explain_memory(explain));
	LmExplanation result;
	bool done = false;
	LmError error;

	while (!done)
	{
		CHECK_FOR_INTERRUPTS();
		if (!lm_explain_step(explain, network, &done, &error))
			gpt_bridge_retry(&error);
	}
	result = lm_explain_result(explain);
	gpt_probe_count(probe, (int64) result.n_tokens);
	answer->label = result.label;
	set_columns(rows, answer, gpt_probe_served(probe), result.score, &result.baseline);
	for (int i = 0; i < answer->n_texts; i++)
	{
		const LmExplainRow *found;
		LmBytes text;
		size_t n;

		while (!lm_explain_rows(&found, &n, &text, explain, i, unit, &error))
			gpt_bridge_retry(&error);
		begin_text(rows, text, i + 1);
		for (size_t k = 0; k < n; k++)
			put_row(rows, found[k].start, found[k].end, found[k].weight);
	}
	give_notices(&result, probe);
	lm_explain_free(explain);
}

/* All of its memory is in the current context. */
static LmExplain *
create_explain(const GptAnswerExplained *answer, GptProbe *probe)
{
	const LmHost *host = gpt_bridge_host(CurrentMemoryContext);
	LmRequest request = {.task = answer->is_target ? LM_TASK_SCORE : LM_TASK_CLASSIFY};
	LmExplain *explain;
	LmError error;

	request.text = answer->is_target ? answer->target : answer->texts[answer->n_texts - 1];
	if (answer->is_target || answer->n_texts == 2)
		request.prompt = answer->texts[0];
	request.include_end = answer->is_end;
	while ((explain = lm_explain_create(host, gpt_probe_session(probe), &request, answer->label,
										&error)) == NULL)
		gpt_bridge_retry(&error);
	return explain;
}

static void
give_notices(const LmExplanation *result, GptProbe *probe)
{
	double difference = result->score - result->baseline;
	double gap = fabs(result->sum - difference);

	if (gap > GAP_SHARE * fabs(difference) + GAP_NOISE * (1 + fabs(result->score)))
		ereport(NOTICE, (errmsg("the weights sum to %g, the score differs from its baseline by %g",
								result->sum, difference),
						 errdetail("The path was followed at %d points.", result->n_points),
						 errhint("Use method \"occlusion\", which is exact.")));
	if (result->n_dropped > 0 && gpt_probe_first_notice(probe))
		ereport(NOTICE, (errmsg("the first %zu tokens do not fit the model's context and have no "
								"rows",
								result->n_dropped)));
}

/* ---- Occlusion ------------------------------------------------------------ */

static void
explain_by_occlusion(Rows *rows, GptAnswerExplained *answer, const GptServed *served)
{
	GptOccluded occluded[2];
	double score = gpt_occlude(occluded, answer, served);

	set_columns(rows, answer, served, score, NULL);
	for (int i = 0; i < answer->n_texts; i++)
	{
		begin_text(rows, answer->texts[i], i + 1);
		for (size_t k = 0; k < occluded[i].n; k++)
			put_row(rows, occluded[i].words[k].start, occluded[i].words[k].end,
					occluded[i].weights[k]);
	}
}

/* ---- Rows ----------------------------------------------------------------- */

/* The columns that are the same in all rows. baseline NULL: there is none. */
static void
set_columns(Rows *rows, const GptAnswerExplained *answer, const GptServed *served, double score,
			const double *baseline)
{
	rows->nulls[COLUMN_EXPLAINED] = served->config->number;
	if (answer->is_target)
		rows->values[COLUMN_EXPLAINED] = PointerGetDatum(
			cstring_to_text_with_len(answer->target.data, (int) answer->target.size));
	else if (!served->config->number)
		rows->values[COLUMN_EXPLAINED] = CStringGetTextDatum(served->labels[answer->label]);
	rows->values[COLUMN_SCORE] = Float8GetDatum(score);
	rows->nulls[COLUMN_BASELINE] = baseline == NULL;
	if (baseline != NULL)
		rows->values[COLUMN_BASELINE] = Float8GetDatum(*baseline);
}

static void
begin_text(Rows *rows, LmBytes text, int part)
{
	rows->text = text;
	if (rows->words != NULL && text.size > 0)
	{
		char *copy = palloc(text.size);

		memcpy(copy, text.data, text.size);
		rows->words->text = (LmBytes){copy, text.size};
	}
	rows->seen = 0;
	rows->start = 1;
	rows->values[COLUMN_PART] = Int32GetDatum(part);
}

static void
put_row(Rows *rows, size_t start, size_t end, double weight)
{
	CHECK_FOR_INTERRUPTS();
	if (rows->words != NULL)
	{
		put_word(rows->words, (GptExplainedWord){start, end, weight});
		return;
	}
	for (; rows->seen < start; rows->seen++)
		rows->start += (rows->text.data[rows->seen] & 0xC0) != 0x80;
	rows->values[COLUMN_POSITION] = Int32GetDatum(++rows->position);
	rows->values[COLUMN_TEXT] =
		PointerGetDatum(cstring_to_text_with_len(rows->text.data + start, (int) (end - start)));
	rows->values[COLUMN_WEIGHT] = Float8GetDatum(weight);
	rows->values[COLUMN_START] = Int32GetDatum(rows->start);
	tuplestore_putvalues(rows->set->setResult, rows->set->setDesc, rows->values, rows->nulls);
	pfree(DatumGetPointer(rows->values[COLUMN_TEXT]));
}

static void
put_word(GptExplainedWords *words, GptExplainedWord word)
{
	if (words->n == words->capacity)
	{
		size_t capacity = Max(2 * words->capacity, 64);

		words->words = words->n == 0 ? palloc(capacity * sizeof(GptExplainedWord))
									 : repalloc(words->words, capacity * sizeof(GptExplainedWord));
		words->capacity = capacity;
	}
	words->words[words->n++] = word;
}
