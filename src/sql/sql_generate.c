/*
 * src/sql/sql_generate.c
 *
 * gpt_generate: a prompt in, its continuation out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "core/compat.h"
#include "serve/call.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"
#include "store/model_extras.h"

#define MAX_TOKENS 1000000
#define MAX_TEMPERATURE 100
#define MIN_PENALTY 0.01
#define MAX_PENALTY 100
#define MAX_STOPS 1000
#define MAX_LENGTH_PENALTY 10
#define BEAMS 10 /* number of the argument */
#define OPEN (-1) /* a value that the model may choose; no argument has it */

PG_FUNCTION_INFO_V1(gpt_generate);

static void read_stops(LmSampling *sampling, ArrayType *array);
static uint64 draw_seed(void);
static bool read_call(GptCall *call, FunctionCallInfo fcinfo);
static Datum result_of(const GptCall *call, const GptServed *served, bool *is_null);

const GptCallKind gpt_generate_call = {
	"gpt_generate", gpt_generate, TEXTOID, LM_TASK_GENERATE, GPT_SERVED_LANGUAGE_MODEL,
	read_call,		result_of};

/*
 * gpt_generate(model text, prompt text, max_tokens integer DEFAULT 64, temperature float8 DEFAULT
 * 0.8, top_k integer DEFAULT 0, top_p float8 DEFAULT 1, min_p float8 DEFAULT 0, repetition_penalty
 *     float8 DEFAULT 1, stop text[] DEFAULT NULL, seed bigint DEFAULT NULL, beams integer DEFAULT
 * 1, length_penalty float8 DEFAULT 0.6) RETURNS text
 *
 * NULL model or prompt gives NULL; NULL elsewhere means the default, and a NULL seed draws one.
 * With beams above 1 nothing is drawn: temperature and seed are not used, and top_k, top_p and
 * min_p, which limit a draw, are errors.
 * With prompt text[] it returns text[]: each element continued as by a call of its own, with the
 * same seed.
 */
Datum
gpt_generate(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	return gpt_call(&gpt_generate_call, fcinfo);
}

static bool
read_call(GptCall *call, FunctionCallInfo fcinfo)
{
	text *prompt;

	if (PG_ARGISNULL(1))
		return false;
	memset(call, 0, sizeof(GptCall));
	prompt = PG_GETARG_TEXT_PP(1);
	call->request.task = LM_TASK_GENERATE;
	call->request.prompt = (LmBytes){VARDATA_ANY(prompt), VARSIZE_ANY_EXHDR(prompt)};
	gpt_read_sampling(&call->request.sampling, fcinfo, false);
	gpt_read_beams(&call->request.sampling, fcinfo, BEAMS);
	return true;
}

/* gpt_stream, which has no such arguments, reads its call here too. */
void
gpt_read_beams(LmSampling *sampling, FunctionCallInfo fcinfo, int number)
{
	const char *limit = NULL;

	sampling->beams = gpt_argument_integer(fcinfo, number, "beams", 1, 1, LM_MAX_BEAMS);
	sampling->length_penalty = gpt_argument_real(fcinfo, number + 1, "length_penalty",
												 GPT_LENGTH_PENALTY, 0, MAX_LENGTH_PENALTY, false);
	if (sampling->beams == 1)
		return;
	if (sampling->top_k > 0)
		limit = "top_k";
	else if (sampling->top_p != OPEN && sampling->top_p < 1)
		limit = "top_p";
	else if (sampling->min_p > 0)
		limit = "min_p";
	if (limit != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s cannot be used with %d beams", limit, sampling->beams),
						errdetail("A beam search draws no tokens.")));
}

static Datum
result_of(const GptCall *call, const GptServed *served, bool *is_null)
{
	*is_null = false;
	return PointerGetDatum(
		cstring_to_text_with_len(call->request.output.data, call->request.output.size));
}

void
gpt_read_sampling(LmSampling *sampling, FunctionCallInfo fcinfo, bool open)
{
	memset(sampling, 0, sizeof(LmSampling));
	sampling->max_tokens = gpt_argument_integer(fcinfo, 2, "max_tokens", 64, 1, MAX_TOKENS);
	sampling->temperature =
		gpt_argument_real(fcinfo, 3, "temperature", 0.8, 0, MAX_TEMPERATURE, false);
	sampling->top_k = gpt_argument_integer(fcinfo, 4, "top_k", 0, 0, LM_MAX_VOCABULARY);
	sampling->top_p = gpt_argument_real(fcinfo, 5, "top_p", 1, 0, 1, true);
	sampling->min_p = gpt_argument_real(fcinfo, 6, "min_p", 0, 0, 1, false);
	sampling->repetition_penalty =
		gpt_argument_real(fcinfo, 7, "repetition_penalty", 1, MIN_PENALTY, MAX_PENALTY, false);
	if (open && PG_ARGISNULL(3))
		sampling->temperature = OPEN;
	if (open && PG_ARGISNULL(4))
		sampling->top_k = OPEN;
	if (open && PG_ARGISNULL(5))
		sampling->top_p = OPEN;
	if (open && PG_ARGISNULL(6))
		sampling->min_p = OPEN;
	if (open && PG_ARGISNULL(7))
		sampling->repetition_penalty = OPEN;
	if (!PG_ARGISNULL(8))
		read_stops(sampling, PG_GETARG_ARRAYTYPE_P(8));
	sampling->seed = PG_ARGISNULL(9) ? draw_seed() : (uint64) PG_GETARG_INT64(9);
}

void
gpt_complete_sampling(LmSampling *sampling, const char *extras)
{
	/* A search draws nothing, so the model's own limits of a draw do not count. */
	const char *limits = sampling->beams > 1 ? NULL : extras;

	if (sampling->temperature == OPEN)
		sampling->temperature = gpt_extras_sampling(extras, "temperature", 0.8);
	if (sampling->top_k == OPEN)
		sampling->top_k = (int) gpt_extras_sampling(limits, "top_k", 0);
	if (sampling->top_p == OPEN)
		sampling->top_p = gpt_extras_sampling(limits, "top_p", 1);
	if (sampling->min_p == OPEN)
		sampling->min_p = gpt_extras_sampling(limits, "min_p", 0);
	if (sampling->repetition_penalty == OPEN)
		sampling->repetition_penalty = gpt_extras_sampling(extras, "repetition_penalty", 1);
}

/* Reads the array "stop"; the texts stay in the array, which must outlive *sampling. */
static void
read_stops(LmSampling *sampling, ArrayType *array)
{
	int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	LmBytes *stops;
	Datum *values;
	bool *nulls;

	if (n > MAX_STOPS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("stop has %d texts", n),
						errhint("It may have up to %d.", MAX_STOPS)));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	stops = palloc(Max(n, 1) * sizeof(LmBytes));
	for (int i = 0; i < n; i++)
	{
		text *stop = nulls[i] ? NULL : DatumGetTextPP(values[i]);

		if (stop == NULL)
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("stop must not contain null")));
		if (VARSIZE_ANY_EXHDR(stop) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("stop must not contain an empty text")));
		stops[i].data = VARDATA_ANY(stop);
		stops[i].size = VARSIZE_ANY_EXHDR(stop);
	}
	sampling->n_stops = n;
	sampling->stops = stops;
	pfree(values);
	pfree(nulls);
}

static uint64
draw_seed(void)
{
	uint64 seed;

	if (!pg_strong_random(&seed, sizeof(seed)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not draw a random seed")));
	return seed;
}
