/*
 * src/sql/sql_perplexity.c
 *
 * The aggregate gpt_perplexity: exp(-sum of log p / number of tokens) over all rows. Texts are
 * collected up to a bound and scored together; what a partial aggregate hands on is two sums.
 *
 * A superuser may give these functions to an aggregate of his own, whose other parts make states of
 * another form: a pointer is a state only if it is among those that were made here and are not
 * freed.
 */
#include "postgres.h"

#include <math.h>

#include "common/int.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/settings.h"
#include "serve/call_try.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"

#define COLLECTED_TEXTS 256
#define COLLECTED_SIZE (1024 * 1024) /* bytes; a text that is larger is scored alone */

PG_FUNCTION_INFO_V1(gpt_perplexity_step);
PG_FUNCTION_INFO_V1(gpt_perplexity_combine);
PG_FUNCTION_INFO_V1(gpt_perplexity_serialize);
PG_FUNCTION_INFO_V1(gpt_perplexity_deserialize);
PG_FUNCTION_INFO_V1(gpt_perplexity_value);

typedef struct Perplexity
{
	MemoryContext context; /* of the aggregate */
	MemoryContext texts; /* below it: the collected texts */
	char *model; /* NULL: no row yet */
	double logprob; /* of the rows that are scored, in their order */
	int64 n_tokens;
	GptCall *calls; /* [COLLECTED_TEXTS], those that are not */
	int n_calls;
	size_t size;
	MemoryContextCallback forget;
} Perplexity;

static HTAB *states = NULL; /* of this session: their addresses */

static MemoryContext context_of(FunctionCallInfo fcinfo);
static Perplexity *create(MemoryContext context);
static void forget(void *state);
static Perplexity *state_of(FunctionCallInfo fcinfo, int number);
static void set_model(Perplexity *state, const char *model);
static void flush(Perplexity *state);

/*
 * gpt_perplexity_step(state internal, model text, input text [, include_end boolean]) RETURNS
 * internal. A NULL model or input is passed over; NULL include_end is false.
 */
Datum
gpt_perplexity_step(PG_FUNCTION_ARGS)
{
	MemoryContext context = context_of(fcinfo);
	Perplexity *state = PG_ARGISNULL(0) ? create(context) : state_of(fcinfo, 0);
	MemoryContext caller;
	GptCall *call;
	text *input;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_POINTER(state);
	gpt_bridge_check_encoding();
	set_model(state, gpt_argument_text(fcinfo, 1));
	caller = MemoryContextSwitchTo(state->texts);
	input = PG_GETARG_TEXT_P_COPY(2);
	if (state->calls == NULL)
		state->calls = palloc(COLLECTED_TEXTS * sizeof(GptCall));
	MemoryContextSwitchTo(caller);
	call = &state->calls[state->n_calls++];
	gpt_score_of_text(call, (LmBytes){VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)});
	call->request.include_end = gpt_argument_boolean(fcinfo, 3, false);
	state->size += VARSIZE_ANY(input);
	if (state->n_calls == COLLECTED_TEXTS || state->size >= COLLECTED_SIZE)
		flush(state);
	PG_RETURN_POINTER(state);
}

/* gpt_perplexity_combine(state internal, other internal) RETURNS internal */
Datum
gpt_perplexity_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = context_of(fcinfo);
	Perplexity *state = PG_ARGISNULL(0) ? create(context) : state_of(fcinfo, 0);
	Perplexity *other = PG_ARGISNULL(1) ? NULL : state_of(fcinfo, 1);

	if (other == NULL || other->model == NULL)
		PG_RETURN_POINTER(state);
	flush(other);
	set_model(state, other->model);
	flush(state);
	if (pg_add_s64_overflow(state->n_tokens, other->n_tokens, &state->n_tokens))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("the number of tokens is out of range")));
	state->logprob += other->logprob;
	PG_RETURN_POINTER(state);
}

/*
 * gpt_perplexity_serialize(state internal) RETURNS bytea: sum, tokens, and the name of the model,
 * empty before the first row
 */
Datum
gpt_perplexity_serialize(PG_FUNCTION_ARGS)
{
	StringInfoData bytes;
	Perplexity *state;

	(void) context_of(fcinfo);
	state = state_of(fcinfo, 0);
	flush(state);
	pq_begintypsend(&bytes);
	pq_sendfloat8(&bytes, state->logprob);
	pq_sendint64(&bytes, state->n_tokens);
	/* Raw bytes: a string would be converted to the encoding of the client. */
	pq_sendint32(&bytes, state->model == NULL ? 0 : strlen(state->model));
	pq_sendbytes(&bytes, state->model == NULL ? "" : state->model,
				 state->model == NULL ? 0 : strlen(state->model));
	PG_RETURN_BYTEA_P(pq_endtypsend(&bytes));
}

/* gpt_perplexity_deserialize(bytes bytea, state internal) RETURNS internal */
Datum
gpt_perplexity_deserialize(PG_FUNCTION_ARGS)
{
	StringInfoData buffer;
	Perplexity *state;
	const char *model;
	bytea *bytes;
	int size;

	(void) context_of(fcinfo);
	bytes = PG_GETARG_BYTEA_PP(0);
	state = create(CurrentMemoryContext);
	initStringInfo(&buffer);
	appendBinaryStringInfo(&buffer, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	state->logprob = pq_getmsgfloat8(&buffer);
	state->n_tokens = pq_getmsgint64(&buffer);
	size = (int) pq_getmsgint(&buffer, 4);
	model = pq_getmsgbytes(&buffer, size);
	pq_getmsgend(&buffer);
	if (state->n_tokens < 0 || isnan(state->logprob) || !pg_verifymbstr(model, size, true))
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("bytes are not a state of gpt_perplexity")));
	if (size > 0)
		set_model(state, pnstrdup(model, size));
	PG_RETURN_POINTER(state);
}

/* gpt_perplexity_value(state internal) RETURNS float8. NULL where no token was scored. */
Datum
gpt_perplexity_value(PG_FUNCTION_ARGS)
{
	Perplexity *state;
	double perplexity;

	(void) context_of(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = state_of(fcinfo, 0);
	flush(state);
	if (state->n_tokens == 0)
		PG_RETURN_NULL();
	perplexity = exp(-state->logprob / (double) state->n_tokens);
	if (!isfinite(perplexity))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("result of model \"%s\" is out of range for double precision",
							   state->model)));
	PG_RETURN_FLOAT8(perplexity);
}

static MemoryContext
context_of(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("this function is a part of the aggregate gpt_perplexity")));
	return context;
}

/* A state below the aggregate's context, which is entered in `states` as long as it lives. */
static Perplexity *
create(MemoryContext context)
{
	Perplexity *state = MemoryContextAllocZero(context, sizeof(Perplexity));

	if (states == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Perplexity *),
						   .entrysize = sizeof(Perplexity *),
						   .hcxt = TopMemoryContext};

		states = hash_create("states of gpt_perplexity", 64, &control,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	state->context = context;
	state->texts = AllocSetContextCreate(context, "gpt texts", ALLOCSET_DEFAULT_SIZES);
	(void) hash_search(states, &state, HASH_ENTER, NULL);
	state->forget.func = forget;
	state->forget.arg = state;
	MemoryContextRegisterResetCallback(context, &state->forget);
	return state;
}

/* Callback: the memory of the state is being freed. */
static void
forget(void *state)
{
	(void) hash_search(states, &state, HASH_REMOVE, NULL);
}

/* The state in an argument that is not NULL. */
static Perplexity *
state_of(FunctionCallInfo fcinfo, int number)
{
	void *pointer = PG_GETARG_POINTER(number);

	if (states == NULL || hash_search(states, &pointer, HASH_FIND, NULL) == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("the state is not one of the aggregate gpt_perplexity")));
	return pointer;
}

static void
set_model(Perplexity *state, const char *model)
{
	if (state->model == NULL)
		state->model = MemoryContextStrdup(state->context, model);
	else if (strcmp(state->model, model) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("rows name the models \"%s\" and \"%s\"", state->model, model),
						errhint("Group by the model.")));
}

/*
 * Scores the collected texts and adds the results in the order of the rows. A row with an error
 * that gives NULL counts as a NULL.
 */
static void
flush(Perplexity *state)
{
	const GptServed *served;
	MemoryContext caller;
	GptAnswer *answers;
	bool nulls = gpt_on_error == GPT_ROW_ERROR_NULL;

	if (state->n_calls == 0)
		return;
	caller = MemoryContextSwitchTo(state->texts);
	answers = palloc(state->n_calls * sizeof(GptAnswer));
	served = gpt_cache_acquire(state->model, GPT_SERVED_LANGUAGE_MODEL);
	gpt_call_answer(answers, &gpt_logprob_call, served, state->calls, state->n_calls, 0, NULL);
	for (int i = 0; i < state->n_calls; i++)
	{
		if (!gpt_try_error(answers[i].error, "gpt_perplexity", served->model, nulls) ||
			answers[i].is_null)
			continue;
		state->logprob += DatumGetFloat8(answers[i].value);
		state->n_tokens += answers[i].n_tokens;
	}
	gpt_cache_release(served);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(state->texts);
	state->calls = NULL;
	state->n_calls = 0;
	state->size = 0;
}
