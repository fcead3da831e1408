/*
 * src/serve/call_try.c
 *
 * An error of a call goes in; it is raised, or counted as one of its row.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "core/argument_type.h"
#include "core/bridge.h"
#include "core/settings.h"
#include "serve/call_try.h"

static bool is_of_row(int sqlstate);
static bool others_are_constant(FunctionCallInfo fcinfo);
static void detoast(FunctionCallInfo fcinfo);
static bool read_caught(GptCall *call, const GptCallKind *kind, FunctionCallInfo fcinfo);
static void keep_caught(const char *function, FunctionCallInfo fcinfo);

bool
gpt_try_nulls(FunctionCallInfo fcinfo, const char *const *names)
{
	Oid type;

	for (int i = 0; names != NULL && names[i] != NULL; i++)
	{
		char *word;

		if (strcmp(names[i], "on_error") != 0 || i >= PG_NARGS() || PG_ARGISNULL(i))
			continue;
		word = text_to_cstring(PG_GETARG_TEXT_PP(i));
		if (strcmp(word, "error") != 0 && strcmp(word, "null") != 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("on_error \"%s\" is not known", word),
							errhint("It is error or null.")));
		return strcmp(word, "null") == 0;
	}
	if (gpt_on_error != GPT_ROW_ERROR_NULL)
		return false;
	type = gpt_argument_type(fcinfo, 0);
	return type == TEXTOID || !OidIsValid(type);
}

/* Values that do not fit, and sizes: never a lack of memory, a cancel or a damaged file. */
static bool
is_of_row(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_DATA_EXCEPTION ||
		   sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

bool
gpt_try_read(GptCall *call, const GptCallKind *kind, FunctionCallInfo fcinfo, bool nulls)
{
	if (!nulls || (others_are_constant(fcinfo) && !kind->checks_text))
		return kind->read(call, fcinfo);
	return read_caught(call, kind, fcinfo);
}

/* Whether all arguments but the text, which is the second one, are the same for every row. */
static bool
others_are_constant(FunctionCallInfo fcinfo)
{
	for (int i = 0; i < PG_NARGS(); i++)
		if (i != 1 && !get_fn_expr_arg_stable(fcinfo->flinfo, i))
			return false;
	return true;
}

/*
 * It is safe to go on after an error here: `read` only looks at arguments and allocates in the
 * current context. What could leave something open, the reading of values that are stored apart,
 * comes before. Other errors than those of values are thrown on.
 */
static bool
read_caught(GptCall *call, const GptCallKind *kind, FunctionCallInfo fcinfo)
{
	MemoryContext context = CurrentMemoryContext;
	NullableDatum *given = palloc(PG_NARGS() * sizeof(NullableDatum));
	uint32 held_off = InterruptHoldoffCount;
	volatile bool is_read = false;

	memcpy(given, fcinfo->args, PG_NARGS() * sizeof(NullableDatum));
	detoast(fcinfo);
	PG_TRY();
	{
		is_read = kind->read(call, fcinfo);
	}
	PG_CATCH();
	{
		if (!is_of_row(geterrcode()))
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		InterruptHoldoffCount = held_off;
		keep_caught(kind->name, fcinfo);
	}
	PG_END_TRY();
	memcpy(fcinfo->args, given, PG_NARGS() * sizeof(NullableDatum));
	pfree(given);
	return is_read;
}

/* The call reads from these copies; the executor may keep a constant for the next row. */
static void
detoast(FunctionCallInfo fcinfo)
{
	for (int i = 0; i < PG_NARGS(); i++)
	{
		NullableDatum *argument = &fcinfo->args[i];
		Oid type = get_fn_expr_argtype(fcinfo->flinfo, i);

		if (!argument->isnull && OidIsValid(type) && get_typlen(type) == -1)
			argument->value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(argument->value));
	}
}

static void
keep_caught(const char *function, FunctionCallInfo fcinfo)
{
	ErrorData *caught = CopyErrorData();
	GptFailure failure = {caught->sqlerrcode, caught->message, caught->detail, caught->hint};

	FlushErrorState();
	gpt_row_errors_add(function, PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)),
					   &failure);
	FreeErrorData(caught);
}

/* A model that a row names may be missing; nothing is open when that is found. */
const GptServed *
gpt_try_acquire(FunctionCallInfo fcinfo, const char *function, const char *model,
				GptServedKind kind, bool nulls)
{
	GptFailure failure;

	if (nulls && !get_fn_expr_arg_stable(fcinfo->flinfo, 0) &&
		!gpt_cache_may_acquire(&failure, model, kind))
	{
		gpt_row_errors_add(function, model, &failure);
		return NULL;
	}
	return gpt_cache_acquire(model, kind);
}

bool
gpt_try_error(const LmError *error, const char *function, const char *model, bool nulls)
{
	GptFailure failure;

	if (error == NULL || error->code == LM_OK)
		return true;
	failure = (GptFailure){.sqlstate = gpt_bridge_sqlstate(error->code), .message = error->message};
	/* Bytes that are no UTF-8 are of the text as well. */
	if (!nulls || (!is_of_row(failure.sqlstate) && error->code != LM_ERR_ENCODING))
		gpt_bridge_raise(error);
	gpt_row_errors_add(function, model, &failure);
	return false;
}
