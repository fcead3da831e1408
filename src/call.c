/*
 * src/call.c
 *
 * Many calls of a function of a model, answered together: the elements of an array one after another as arguments, their requests
 * to the engine in runs of bounded size, answers in the order of the elements.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "arguments.h"
#include "bridge.h"
#include "call.h"
#include "compat.h"
#include "continuation.h"

#define RUN_CALLS 1024
#define RUN_SIZE (4 * 1024 * 1024) /* bytes of text; one that is larger has a run of its own */

/* Some elements of an array. */
typedef struct Slice
{
	FunctionCallInfo fcinfo;
	const Datum *elements;
	const bool *nulls;
	int n;
	int first; /* index of the first one in the array */
	MemoryContext scratch; /* reset behind each */
} Slice;

static int run_of(const GptCall *calls, int n);
static void answer_run(GptAnswer *answers, const GptCallKind *kind, const GptServed *served, const GptCall *calls, int n,
					   GptCallTotals *totals);
static void give_vectors(LmRequest *requests, int n, LmTask task, const LmConfig *config);
static void run(LmMany *many, LmRequest *requests, int n);
static void take_answer(GptAnswer *answer, const GptCallKind *kind, const GptServed *served, const GptCall *call, const LmRequest *request);
static GptAnswer *answer_elements(const GptCallKind *kind, FunctionCallInfo fcinfo, const Datum *elements, const bool *nulls, int n);
static void answer_slice(GptAnswer *answers, const GptCallKind *kind, const GptServed *served, const Slice *slice);

void
gpt_call_answer(GptAnswer *answers, const GptCallKind *kind, const GptServed *served, const GptCall *calls, int n, GptCallTotals *totals)
{
	int done = 0;

	while (done < n)
	{
		int size = run_of(calls + done, n - done);

		answer_run(answers + done, kind, served, calls + done, size, totals);
		done += size;
	}
}

/* How many of the next calls go together. */
static int
run_of(const GptCall *calls, int n)
{
	size_t size = 0;
	int i;

	for (i = 0; i < n && i < RUN_CALLS; i++)
	{
		size += calls[i].request.prompt.size + calls[i].request.text.size;
		if (i > 0 && size > RUN_SIZE)
			break;
	}
	return i;
}

static void
answer_run(GptAnswer *answers, const GptCallKind *kind, const GptServed *served, const GptCall *calls, int n, GptCallTotals *totals)
{
	LmRequest *requests = palloc0(n * sizeof(LmRequest));
	int *places = palloc(n * sizeof(int));
	instr_time begin;
	instr_time end;
	int64 tokens;
	LmMany *many;
	int n_requests = 0;

	INSTR_TIME_SET_CURRENT(begin);
	for (int i = 0; i < n; i++)
	{
		const LmRequest *request = &calls[i].request;

		memset(&answers[i], 0, sizeof(GptAnswer));
		if (request->task == LM_TASK_GENERATE)
			answers[i].error = gpt_continue_error(request->prompt.size);
		answers[i].is_null = true;
		if (answers[i].error != NULL)
			continue;
		requests[n_requests] = *request;
		requests[n_requests].sampling.heal = served->heals;
		places[n_requests++] = i;
	}
	give_vectors(requests, n_requests, kind->task, served->config);
	many = gpt_cache_many(served, requests, n_requests);
	tokens = lm_many_tokens(many);
	run(many, requests, n_requests);
	for (int i = 0; i < n_requests; i++)
		take_answer(&answers[places[i]], kind, served, &calls[places[i]], &requests[i]);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, begin);
	totals->tokens += lm_many_tokens(many) - tokens;
	totals->seconds += INSTR_TIME_GET_DOUBLE(end);
	if (n_requests > 0 && requests[0].vector != NULL)
		pfree(requests[0].vector);
	pfree(requests);
	pfree(places);
}

static void
give_vectors(LmRequest *requests, int n, LmTask task, const LmConfig *config)
{
	int size = task == LM_TASK_EMBED ? config->channels : task == LM_TASK_CLASSIFY ? config->labels
																				   : 0;
	float *vectors;

	if (size == 0 || n == 0)
		return;
	vectors = MemoryContextAllocHuge(CurrentMemoryContext, (Size) n * size * sizeof(float));
	for (int i = 0; i < n; i++)
		requests[i].vector = vectors + (Size) i * size;
}

static void
run(LmMany *many, LmRequest *requests, int n)
{
	bool done = n == 0;
	LmError error;

	if (!lm_many_start(many, requests, n, &error))
		gpt_bridge_raise(&error);
	while (!done)
	{
		CHECK_FOR_INTERRUPTS();
		if (!lm_many_step(many, &done, &error))
			gpt_bridge_raise(&error);
	}
}

static void
take_answer(GptAnswer *answer, const GptCallKind *kind, const GptServed *served, const GptCall *call, const LmRequest *request)
{
	GptCall done = *call;

	if (request->error.code != LM_OK)
	{
		answer->is_null = true;
		answer->error = palloc(sizeof(LmError));
		*answer->error = request->error;
		return;
	}
	done.request = *request;
	answer->is_truncated = request->truncated;
	answer->n_tokens = request->score.n_tokens;
	answer->value = kind->result(&done, served, &answer->is_null);
}

bool
gpt_call_is_for_elements(FunctionCallInfo fcinfo, int number)
{
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, number);

	/* Without an expression to ask: what the function is declared with. */
	if (!OidIsValid(type) && OidIsValid(fcinfo->flinfo->fn_oid))
	{
		Oid *types;
		int n;

		get_func_signature(fcinfo->flinfo->fn_oid, &types, &n);
		type = number < n ? types[number] : InvalidOid;
	}
	return type == TEXTARRAYOID || (OidIsValid(type) && get_element_type(type) != InvalidOid);
}

Datum
gpt_call_elements(const GptCallKind *kind, FunctionCallInfo fcinfo)
{
	ArrayType *array;
	GptAnswer *answers;
	Datum *values;
	bool *nulls;
	int16 size;
	bool by_value;
	char align;
	int n;

	answers = gpt_call_answers(&n, kind, fcinfo);
	if (answers == NULL)
		PG_RETURN_NULL();
	values = palloc(Max(n, 1) * sizeof(Datum));
	nulls = palloc(Max(n, 1) * sizeof(bool));
	for (int i = 0; i < n; i++)
	{
		values[i] = answers[i].value;
		nulls[i] = answers[i].is_null;
	}
	array = PG_GETARG_ARRAYTYPE_P(1);
	get_typlenbyvalalign(kind->result_type, &size, &by_value, &align);
	array = construct_md_array(values, nulls, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array), kind->result_type, size, by_value, align);
	PG_RETURN_ARRAYTYPE_P(array);
}

GptAnswer *
gpt_call_answers(int *n, const GptCallKind *kind, FunctionCallInfo fcinfo)
{
	NullableDatum argument;
	GptAnswer *answers;
	Datum *elements;
	bool *nulls;

	*n = 0;
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return NULL;
	gpt_bridge_check_encoding();
	argument = fcinfo->args[1];
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, n);
	answers = answer_elements(kind, fcinfo, elements, nulls, *n);
	fcinfo->args[1] = argument;
	return answers;
}

/* In slices, so that what is known of an element beside its answer is bounded. The model is held for all of them. */
static GptAnswer *
answer_elements(const GptCallKind *kind, FunctionCallInfo fcinfo, const Datum *elements, const bool *nulls, int n)
{
	GptAnswer *answers = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * sizeof(GptAnswer));
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "gpt elements", ALLOCSET_DEFAULT_SIZES);
	const GptServed *served = gpt_cache_acquire(gpt_argument_text(fcinfo, 0), kind->served);

	PG_TRY();
	{
		for (int first = 0; first < n; first += RUN_CALLS)
		{
			Slice slice = {fcinfo, elements + first, nulls + first, Min(RUN_CALLS, n - first), first, scratch};

			answer_slice(answers + first, kind, served, &slice);
			MemoryContextReset(scratch);
		}
	}
	PG_FINALLY();
	{
		gpt_cache_release(served);
	}
	PG_END_TRY();
	MemoryContextDelete(scratch);
	return answers;
}

/* Each element in turn is the argument. */
static void
answer_slice(GptAnswer *answers, const GptCallKind *kind, const GptServed *served, const Slice *slice)
{
	MemoryContext caller = MemoryContextSwitchTo(slice->scratch);
	GptAnswer *found = palloc(slice->n * sizeof(GptAnswer));
	GptCall *calls = palloc(slice->n * sizeof(GptCall));
	int *places = palloc(slice->n * sizeof(int));
	GptCallTotals totals = {0};
	int n_calls = 0;

	for (int i = 0; i < slice->n; i++)
	{
		memset(&answers[i], 0, sizeof(GptAnswer));
		answers[i].is_null = true;
		slice->fcinfo->args[1].value = slice->elements[i];
		slice->fcinfo->args[1].isnull = slice->nulls[i];
		if (!slice->nulls[i] && kind->read(&calls[n_calls], slice->fcinfo))
			places[n_calls++] = i;
	}
	MemoryContextSwitchTo(caller);
	gpt_call_answer(found, kind, served, calls, n_calls, &totals);
	for (int i = 0; i < n_calls; i++)
	{
		answers[places[i]] = found[i];
		if (found[i].is_truncated)
			gpt_call_notice_truncation(slice->fcinfo, served->config->context);
		if (found[i].error != NULL)
			ereport(WARNING,
					(errcode(gpt_bridge_sqlstate(found[i].error->code)),
					 errmsg("element %d has no result: %s", slice->first + places[i] + 1, found[i].error->message)));
	}
}

/* fn_extra lives as long as the call in the plan. */
void
gpt_call_notice_truncation(FunctionCallInfo fcinfo, int context)
{
	if (fcinfo->flinfo->fn_extra != NULL)
		return;
	fcinfo->flinfo->fn_extra = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, 1);
	ereport(NOTICE, (errmsg("prompt is longer than the context of the model, only its last %d tokens are used", context - 1)));
}
