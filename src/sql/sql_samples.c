/*
 * src/sql/sql_samples.c
 *
 * gpt_generate_many: several continuations of a prompt, which is read once; gpt_generate_detail:
 * the tokens of one, and how likely each was.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "serve/call_try.h"
#include "sql/arguments.h"
#include "sql/named_tokenizer.h"
#include "sql/sampling.h"

#define MAX_SAMPLES 1000

PG_FUNCTION_INFO_V1(gpt_generate_many);
PG_FUNCTION_INFO_V1(gpt_generate_detail);

/* A continuation with its tokens, palloc'd. */
typedef struct Drawn
{
	LmBytes text; /* behind the scores */
	size_t n_given; /* bytes of the first token that the text does not have */
	size_t n; /* tokens, with the end token and those of a stop text */
	LmTokenScore scores[FLEXIBLE_ARRAY_MEMBER]; /* [n] */
} Drawn;

/* The columns of gpt_generate_many, in their order. */
typedef enum SampleColumn
{
	SAMPLE_NUMBER,
	SAMPLE_TEXT,
	SAMPLE_TOKENS,
	SAMPLE_LOGPROB,
	N_SAMPLE_COLUMNS,
} SampleColumn;

/* Those of gpt_generate_detail. */
typedef enum DetailColumn
{
	DETAIL_POSITION,
	DETAIL_TOKEN,
	DETAIL_TEXT,
	DETAIL_BYTES,
	DETAIL_LOGPROB,
	DETAIL_RANK,
	DETAIL_ENTROPY,
	DETAIL_EXPECTED,
	N_DETAIL_COLUMNS,
} DetailColumn;

static bool draw(GptAnswer *answers, FunctionCallInfo fcinfo, const GptServed *served,
				 const GptCallKind *kind, GptCall *call, int n, bool nulls);
static bool read_many(GptCall *call, FunctionCallInfo fcinfo);
static bool read_detail(GptCall *call, FunctionCallInfo fcinfo);
static bool read_call(GptCall *call, FunctionCallInfo fcinfo, GptArgumentNames names);
static Datum copy_drawn(const GptCall *call, const GptServed *served, bool *is_null);
static void put_sample(ReturnSetInfo *set, int number, const Drawn *drawn);
static void put_tokens(ReturnSetInfo *set, const Drawn *drawn, const GptServed *served);
static void put_token(ReturnSetInfo *set, int position, const LmTokenScore *score, LmBytes text,
					  LmBytes bytes, const LmTokenizer *tokenizer);
static size_t whole_until(LmBytes text, size_t at);

static const char *const many_arguments[] = {"model",
											 "prompt",
											 "n",
											 "max_tokens",
											 "temperature",
											 "top_k",
											 "top_p",
											 "min_p",
											 "repetition_penalty",
											 "stop",
											 "seed",
											 "presence_penalty",
											 "frequency_penalty",
											 "logit_bias",
											 "banned",
											 "choices",
											 "pattern",
											 "schema",
											 "on_error",
											 NULL};

static const char *const detail_arguments[] = {"model",
											   "prompt",
											   "max_tokens",
											   "temperature",
											   "top_k",
											   "top_p",
											   "min_p",
											   "repetition_penalty",
											   "stop",
											   "seed",
											   "presence_penalty",
											   "frequency_penalty",
											   "logit_bias",
											   "banned",
											   "choices",
											   "pattern",
											   "schema",
											   "on_error",
											   NULL};

/* Their results are rows, so they are in no list of kinds. */
static const GptCallKind many_call = {.name = "gpt_generate_many",
									  .result_type = INTERNALOID,
									  .task = LM_TASK_GENERATE,
									  .served = GPT_SERVED_LANGUAGE_MODEL,
									  .read = read_many,
									  .prepare = gpt_sampling_prepare,
									  .result = copy_drawn};
static const GptCallKind detail_call = {.name = "gpt_generate_detail",
										.result_type = INTERNALOID,
										.task = LM_TASK_GENERATE,
										.served = GPT_SERVED_LANGUAGE_MODEL,
										.read = read_detail,
										.prepare = gpt_sampling_prepare,
										.result = copy_drawn};

/*
 * gpt_generate_many(model text, prompt text, n integer, ... as gpt_generate without beams and
 * draft) RETURNS SETOF (sample integer, text text, tokens integer, logprob float8)
 *
 * Sample k is the text of gpt_generate with the seed plus k - 1. NULL model or prompt gives no
 * rows, NULL n is an error.
 */
Datum
gpt_generate_many(PG_FUNCTION_ARGS)
{
	const GptServed *served;
	GptAnswer *answers;
	GptCall *calls;
	bool nulls;
	int n;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	gpt_argument_required(fcinfo, 2, "n");
	n = gpt_argument_integer(fcinfo, 2, "n", 1, 1, MAX_SAMPLES);
	calls = palloc(n * sizeof(GptCall));
	answers = palloc(n * sizeof(GptAnswer));
	nulls = gpt_try_nulls(fcinfo, many_arguments);
	if (!gpt_try_read(&calls[0], &many_call, fcinfo, nulls))
		return (Datum) 0;
	for (int i = 1; i < n; i++)
	{
		calls[i] = calls[0];
		calls[i].request.sampling.seed += i;
	}
	served = gpt_try_acquire(fcinfo, many_call.name, gpt_argument_text(fcinfo, 0),
							 GPT_SERVED_LANGUAGE_MODEL, nulls);
	if (served == NULL)
		return (Datum) 0;

	/* Now do the work. */
	if (!draw(answers, fcinfo, served, &many_call, calls, n, nulls))
		n = 0;
	for (int i = 0; i < n; i++)
		put_sample((ReturnSetInfo *) fcinfo->resultinfo, i + 1,
				   (Drawn *) DatumGetPointer(answers[i].value));
	gpt_cache_release(served);
	return (Datum) 0;
}

/*
 * gpt_generate_detail(model text, prompt text, ... as gpt_generate without beams and draft)
 *     RETURNS SETOF (position integer, token integer, text text, bytes bytea, logprob float8, rank
 *     integer, entropy float8, expected text)
 *
 * NULL model or prompt gives no rows.
 */
Datum
gpt_generate_detail(PG_FUNCTION_ARGS)
{
	const GptServed *served;
	GptAnswer answer;
	GptCall call;
	bool nulls;

	gpt_argument_check_call(fcinfo);
	gpt_bridge_check_encoding();
	InitMaterializedSRF(fcinfo, 0);
	nulls = gpt_try_nulls(fcinfo, detail_arguments);
	if (PG_ARGISNULL(0) || !gpt_try_read(&call, &detail_call, fcinfo, nulls))
		return (Datum) 0;
	served = gpt_try_acquire(fcinfo, detail_call.name, gpt_argument_text(fcinfo, 0),
							 GPT_SERVED_LANGUAGE_MODEL, nulls);
	if (served == NULL)
		return (Datum) 0;

	/* Now do the work. */
	if (draw(&answer, fcinfo, served, &detail_call, &call, 1, nulls))
		put_tokens((ReturnSetInfo *) fcinfo->resultinfo, (Drawn *) DatumGetPointer(answer.value),
				   served);
	gpt_cache_release(served);
	return (Datum) 0;
}

static bool
read_call(GptCall *call, FunctionCallInfo fcinfo, GptArgumentNames names)
{
	text *prompt;

	if (PG_ARGISNULL(1))
		return false;
	memset(call, 0, sizeof(GptCall));
	prompt = PG_GETARG_TEXT_PP(1);
	call->request.task = LM_TASK_GENERATE;
	call->request.prompt = (LmBytes){VARDATA_ANY(prompt), VARSIZE_ANY_EXHDR(prompt)};
	call->request.each = true;
	gpt_sampling_read(call, fcinfo, names, false);
	return true;
}

static bool
read_many(GptCall *call, FunctionCallInfo fcinfo)
{
	return read_call(call, fcinfo, many_arguments);
}

static bool
read_detail(GptCall *call, FunctionCallInfo fcinfo)
{
	return read_call(call, fcinfo, detail_arguments);
}

/*
 * All of them together: the engine reads what they share, the prompt, once. False after an error
 * that gives no rows.
 */
static bool
draw(GptAnswer *answers, FunctionCallInfo fcinfo, const GptServed *served, const GptCallKind *kind,
	 GptCall *call, int n, bool nulls)
{
	gpt_call_answer(answers, kind, served, call, n, 0, NULL);
	for (int i = 0; i < n; i++)
	{
		if (!gpt_try_error(answers[i].error, kind->name, served->model, nulls))
			return false;
		gpt_call_notice(fcinfo, answers[i].notices, served);
	}
	return true;
}

/* The engine's scores and text live until the next request. */
static Datum
copy_drawn(const GptCall *call, const GptServed *served, bool *is_null)
{
	const LmRequest *request = &call->request;
	size_t size = request->n_each * sizeof(LmTokenScore);
	Drawn *drawn = MemoryContextAllocHuge(CurrentMemoryContext,
										  offsetof(Drawn, scores) + size + request->output.size);
	char *text = (char *) drawn + offsetof(Drawn, scores) + size;

	drawn->n = request->n_each;
	drawn->n_given = request->n_given;
	drawn->text = (LmBytes){text, request->output.size};
	if (size > 0)
		memcpy(drawn->scores, request->tokens, size);
	memcpy(text, request->output.data, request->output.size);
	*is_null = false;
	return PointerGetDatum(drawn);
}

static void
put_sample(ReturnSetInfo *set, int number, const Drawn *drawn)
{
	Datum values[N_SAMPLE_COLUMNS];
	bool nulls[N_SAMPLE_COLUMNS] = {false};
	double logprob = 0;

	for (size_t i = 0; i < drawn->n; i++)
		logprob += drawn->scores[i].logprob;
	values[SAMPLE_NUMBER] = Int32GetDatum(number);
	values[SAMPLE_TEXT] =
		PointerGetDatum(cstring_to_text_with_len(drawn->text.data, (int) drawn->text.size));
	values[SAMPLE_TOKENS] = Int32GetDatum((int32) drawn->n);
	values[SAMPLE_LOGPROB] = Float8GetDatum(logprob);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	pfree(DatumGetPointer(values[SAMPLE_TEXT]));
}

/* A row for each token; the texts of all rows are the text. */
static void
put_tokens(ReturnSetInfo *set, const Drawn *drawn, const GptServed *served)
{
	size_t at = 0, given = drawn->n_given, text_at = 0;

	for (size_t i = 0; i < drawn->n; i++)
	{
		LmBytes bytes = lm_tokenizer_bytes(served->tokenizer, drawn->scores[i].id);
		size_t end;

		CHECK_FOR_INTERRUPTS();
		bytes = (LmBytes){bytes.data + given, bytes.size - given};
		given = 0;
		at += bytes.size;
		end = Max(whole_until(drawn->text, at), text_at);
		put_token(set, (int) i + 1, &drawn->scores[i],
				  (LmBytes){drawn->text.data + text_at, end - text_at}, bytes, served->tokenizer);
		text_at = end;
	}
}

static void
put_token(ReturnSetInfo *set, int position, const LmTokenScore *score, LmBytes text, LmBytes bytes,
		  const LmTokenizer *tokenizer)
{
	bool is_scored = score->rank > 0;
	Datum values[N_DETAIL_COLUMNS] = {0};
	bool nulls[N_DETAIL_COLUMNS] = {false};
	char *expected = NULL;

	values[DETAIL_POSITION] = Int32GetDatum(position);
	values[DETAIL_TOKEN] = Int32GetDatum(score->id);
	values[DETAIL_TEXT] = PointerGetDatum(cstring_to_text_with_len(text.data, (int) text.size));
	values[DETAIL_BYTES] = PointerGetDatum(cstring_to_text_with_len(bytes.data, (int) bytes.size));
	values[DETAIL_LOGPROB] = Float8GetDatum(score->logprob);
	nulls[DETAIL_RANK] = nulls[DETAIL_ENTROPY] = !is_scored;
	/* A model may have more rows of logits than its tokenizer has tokens. */
	nulls[DETAIL_EXPECTED] =
		!is_scored || score->expected >= lm_tokenizer_spec(tokenizer)->n_tokens;
	values[DETAIL_RANK] = Int32GetDatum(score->rank);
	values[DETAIL_ENTROPY] = Float8GetDatum(score->entropy);
	if (!nulls[DETAIL_EXPECTED])
	{
		expected = gpt_token_spelled(tokenizer, score->expected);
		values[DETAIL_EXPECTED] = CStringGetTextDatum(expected);
	}
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	pfree(DatumGetPointer(values[DETAIL_TEXT]));
	pfree(DatumGetPointer(values[DETAIL_BYTES]));
	if (expected == NULL)
		return;
	pfree(expected);
	pfree(DatumGetPointer(values[DETAIL_EXPECTED]));
}

/* The end of the last whole character before a place. */
static size_t
whole_until(LmBytes text, size_t at)
{
	if (at >= text.size)
		return text.size;
	while (at > 0 && ((unsigned char) text.data[at] & 0xC0) == 0x80)
		at--;
	return at;
}
