/*
 * src/serve/call_elements.c
 *
 * The elements of an array go in, one after another as the second argument of a function; answers
 * come in their order, as an array or some at a time.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "core/argument_type.h"
#include "core/bridge.h"
#include "core/compat.h"
#include "serve/call_try.h"

struct GptElements
{
	const GptCallKind *kind;
	FunctionCallInfo fcinfo;
	const char *model;
	ArrayType *array;
	ArrayIterator iterator;
	MemoryContext scratch; /* reset after each slice */
	uint64 held; /* bytes of a copy of the array */
	int n;
	int n_read;
	bool nulls; /* errors of elements are counted, without a warning */
};

/* Answers on their way to an array. */
typedef struct Results
{
	MemoryContext context; /* of values, if they are pointers */
	Datum *values; /* [n] */
	bool *nulls; /* [n] */
	int n;
	uint64 size; /* in the array that they will be */
	int16 type_size;
	bool by_value;
	char align;
} Results;

static Datum call_elements(const GptCallKind *kind, FunctionCallInfo fcinfo);
static void start_results(Results *results, Oid type, int n);
static void add_result(Results *results, const GptAnswer *answer);
static uint64 results_size(const Results *results);
static int read_slice(GptCall *calls, int *places, GptElements *elements, int n);

Datum
gpt_call(const GptCallKind *kind, FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	if (gpt_call_is_for_elements(fcinfo, 1))
		return call_elements(kind, fcinfo);
	return gpt_call_one(kind, fcinfo);
}

bool
gpt_call_is_for_elements(FunctionCallInfo fcinfo, int number)
{
	Oid type = gpt_argument_type(fcinfo, number);

	return type == TEXTARRAYOID || (OidIsValid(type) && get_element_type(type) != InvalidOid);
}
GptElements *
gpt_elements_begin(const GptCallKind *kind, FunctionCallInfo fcinfo)
{
	GptElements *elements;
	Datum argument;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return NULL;
	gpt_bridge_check_encoding();
	argument = PG_GETARG_DATUM(1);
	elements = palloc0(sizeof(GptElements));
	if (VARATT_IS_EXTENDED(DatumGetPointer(argument)))
		elements->held = toast_raw_datum_size(argument);
	gpt_bridge_check_memory(elements->held);
	elements->kind = kind;
	elements->fcinfo = fcinfo;
	elements->nulls = gpt_try_nulls(fcinfo, kind->arguments);
	elements->model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	elements->array = PG_GETARG_ARRAYTYPE_P(1);
	elements->iterator = array_create_iterator(elements->array, 0, NULL);
	elements->n = ArrayGetNItems(ARR_NDIM(elements->array), ARR_DIMS(elements->array));
	elements->scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt elements", ALLOCSET_DEFAULT_SIZES);
	return elements;
}

/* Slices bound the memory for what is known of an element besides its answer. */
int
gpt_elements_next(GptAnswer *answers, GptElements *elements, const GptServed *served, uint64 held)
{
	int first = elements->n_read;
	int n = Min(GPT_ELEMENTS, elements->n - first);
	MemoryContext caller = MemoryContextSwitchTo(elements->scratch);
	GptAnswer *found = palloc(n * sizeof(GptAnswer));
	GptCall *calls = palloc(n * sizeof(GptCall));
	int *places = palloc(n * sizeof(int));
	int n_calls;

	for (int i = 0; i < n; i++)
		answers[i] = (GptAnswer){.is_null = true};
	n_calls = read_slice(calls, places, elements, n);
	MemoryContextSwitchTo(caller);
	gpt_call_answer(found, elements->kind, served, calls, n_calls, elements->held + held, NULL);
	for (int i = 0; i < n_calls; i++)
	{
		answers[places[i]] = found[i];
		gpt_call_notice(elements->fcinfo, found[i].notices, served);
		/* A lack of memory is no fault of the text. */
		if (found[i].error != NULL && found[i].error->code == LM_ERR_MEMORY)
			gpt_bridge_raise(found[i].error);
		if (found[i].error != NULL && elements->nulls)
			(void) gpt_try_error(found[i].error, elements->kind->name, served->model, true);
		else if (found[i].error != NULL)
			ereport(WARNING, (errcode(gpt_bridge_sqlstate(found[i].error->code)),
							  errmsg("element %d has no result: %s", first + places[i] + 1,
									 found[i].error->message)));
	}
	MemoryContextReset(elements->scratch);
	return n;
}

/*
 * Each element in turn is the argument. How many of the next n make a call: it is of the element in
 * its place.
 */
static int
read_slice(GptCall *calls, int *places, GptElements *elements, int n)
{
	NullableDatum *argument = &elements->fcinfo->args[1];
	NullableDatum array = *argument;
	int n_calls = 0;

	for (int i = 0; i < n; i++)
	{
		if (!array_iterate(elements->iterator, &argument->value, &argument->isnull))
			elog(ERROR, "array has fewer elements than it says");
		if (!argument->isnull &&
			gpt_try_read(&calls[n_calls], elements->kind, elements->fcinfo, elements->nulls))
			places[n_calls++] = i;
	}
	elements->n_read += n;
	*argument = array;
	return n_calls;
}

const GptServed *
gpt_elements_acquire(const GptElements *elements)
{
	return gpt_try_acquire(elements->fcinfo, elements->kind->name, elements->model,
						   elements->kind->served, elements->nulls);
}

bool
gpt_elements_end(const GptElements *elements)
{
	return elements->n_read == elements->n;
}

/*
 * An array of the same shape and bounds. A null element gives null; one that fails gives null too.
 * The model is held for all of them.
 */
static Datum
call_elements(const GptCallKind *kind, FunctionCallInfo fcinfo)
{
	GptElements *elements = gpt_elements_begin(kind, fcinfo);
	GptAnswer *answers = palloc(GPT_ELEMENTS * sizeof(GptAnswer));
	ArrayType *array = elements->array;
	const GptServed *served;
	MemoryContext caller = CurrentMemoryContext;
	Results results;

	served = gpt_elements_acquire(elements);
	if (served == NULL)
		PG_RETURN_NULL();
	start_results(&results, kind->result_type, elements->n);
	while (!gpt_elements_end(elements))
	{
		int n;

		MemoryContextSwitchTo(results.context);
		n = gpt_elements_next(answers, elements, served, results_size(&results));
		MemoryContextSwitchTo(caller);
		for (int i = 0; i < n; i++)
			add_result(&results, &answers[i]);
	}
	gpt_cache_release(served);
	gpt_bridge_check_memory(elements->held + results_size(&results));
	array = construct_md_array(results.values, results.nulls, ARR_NDIM(array), ARR_DIMS(array),
							   ARR_LBOUND(array), kind->result_type, results.type_size,
							   results.by_value, results.align);
	MemoryContextDelete(results.context);
	PG_RETURN_ARRAYTYPE_P(array);
}

static void
start_results(Results *results, Oid type, int n)
{
	gpt_bridge_check_memory((uint64) n * (sizeof(Datum) + sizeof(bool)));
	results->context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt results", ALLOCSET_DEFAULT_SIZES);
	results->values = MemoryContextAllocHuge(results->context, Max(n, 1) * sizeof(Datum));
	results->nulls = MemoryContextAllocHuge(results->context, Max(n, 1) * sizeof(bool));
	results->n = 0;
	get_typlenbyvalalign(type, &results->type_size, &results->by_value, &results->align);
	results->size = ARR_OVERHEAD_WITHNULLS(MAXDIM, n);
	if (results->type_size > 0)
		results->size += (uint64) n * att_align_nominal(results->type_size, results->align);
}

static void
add_result(Results *results, const GptAnswer *answer)
{
	results->values[results->n] = answer->value;
	results->nulls[results->n++] = answer->is_null;
	if (!answer->is_null && results->type_size < 0)
		results->size +=
			att_align_nominal(VARSIZE_ANY(DatumGetPointer(answer->value)), results->align);
}

/* Bytes of the results and of the array that is made of them. */
static uint64
results_size(const Results *results)
{
	return MemoryContextMemAllocated(results->context, true) + results->size;
}
