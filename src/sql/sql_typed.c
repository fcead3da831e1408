/*
 * src/sql/sql_typed.c
 *
 * gpt_generate_as: a prompt in, a value of a type out; gpt_extract: the same from a text;
 * gpt_extract_prompt, gpt_schema: what these give the model to read, and what it may write.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "serve/call_try.h"
#include "serve/constrained.h"
#include "sql/arguments.h"
#include "sql/call_kinds.h"
#include "sql/sampling.h"
#include "sql/type_schema.h"

#define TYPE_ARGUMENT 2
#define TRIES 3 /* draws until a domain's checks hold */

PG_FUNCTION_INFO_V1(gpt_generate_as);
PG_FUNCTION_INFO_V1(gpt_extract);
PG_FUNCTION_INFO_V1(gpt_extract_prompt);
PG_FUNCTION_INFO_V1(gpt_schema);

/* The type of a call, kept from call to call. */
typedef struct Typed
{
	Oid type;
	int32 modifier;
	GptTypeBase base; /* under a domain */
	bool is_json;
	GptConstraint constraint;
	DomainConstraintRef checks; /* of a domain */
	bool has_checks;
	FmgrInfo input; /* of the base type */
	Oid io_parameter;
	FmgrInfo populate; /* json_populate_record, of a row of one value of the type */
	TupleDesc row;
	ExprContext *context; /* for checks */
} Typed;

static Typed *typed_of(FunctionCallInfo fcinfo, int number);
static void type_of(Oid *type, int32 *modifier, FunctionCallInfo fcinfo, int number);
static bool read_typed(GptCall *call, FunctionCallInfo fcinfo);
static bool read_extract(GptCall *call, FunctionCallInfo fcinfo);
static bool complete(GptCall *call, FunctionCallInfo fcinfo);
static Typed *typed_from(const GptCall *call);
static Datum generate(FunctionCallInfo fcinfo, const GptCallKind *kind);
static Datum value_of(Typed *typed, char *text, bool *is_null);
static Datum populated(Typed *typed, const char *text, bool *is_null);
static void prepare_populate(Typed *typed, MemoryContext context);
static const char *broken_check(Typed *typed, Datum value);
static void fail_check(const char *function, const Typed *typed, const char *written,
					   const char *check, const char *model, bool nulls);
static text *extract_prompt(text *input, Oid type);
static Datum result_of(const GptCall *call, const GptServed *served, bool *is_null);
static Datum typed_result(const GptCall *call, const GptServed *served, bool *is_null);
static bool check_value(const GptCall *call, Datum value, LmError *error);

static const char *const arguments[] = {"model",	   "prompt", "type", "max_tokens",
										"temperature", "seed",	 NULL};

/* For many rows at once; the function itself is called for a row whose value breaks a check. */
const GptCallKind gpt_generate_as_call = {.name = "gpt_generate_as",
										  .function = gpt_generate_as,
										  .result_type = ANYELEMENTOID,
										  .task = LM_TASK_GENERATE,
										  .served = GPT_SERVED_LANGUAGE_MODEL,
										  .read = read_typed,
										  .prepare = gpt_sampling_prepare,
										  .result = typed_result,
										  .check = check_value};
const GptCallKind gpt_extract_call = {.name = "gpt_extract",
									  .function = gpt_extract,
									  .result_type = ANYELEMENTOID,
									  .task = LM_TASK_GENERATE,
									  .served = GPT_SERVED_LANGUAGE_MODEL,
									  .read = read_extract,
									  .prepare = gpt_sampling_prepare,
									  .result = typed_result,
									  .check = check_value};

/* The text before it becomes a value. */
static const GptCallKind text_call = {.name = "gpt_generate_as",
									  .result_type = TEXTOID,
									  .task = LM_TASK_GENERATE,
									  .served = GPT_SERVED_LANGUAGE_MODEL,
									  .prepare = gpt_sampling_prepare,
									  .result = result_of};

/*
 * gpt_generate_as(model text, prompt text, type anyelement, max_tokens integer DEFAULT 256,
 *     temperature float8 DEFAULT 0, seed bigint DEFAULT NULL) RETURNS anyelement
 *
 * The value of `type` does not count, only its type. NULL model or prompt gives NULL.
 */
Datum
gpt_generate_as(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	return generate(fcinfo, &gpt_generate_as_call);
}

/*
 * gpt_extract(model text, input text, type anyelement, max_tokens integer DEFAULT 256, temperature
 *     float8 DEFAULT 0, seed bigint DEFAULT NULL) RETURNS anyelement
 *
 * gpt_generate_as of gpt_extract_prompt(input, type).
 */
Datum
gpt_extract(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	return generate(fcinfo, &gpt_extract_call);
}

static bool
read_typed(GptCall *call, FunctionCallInfo fcinfo)
{
	text *prompt;

	if (PG_ARGISNULL(1))
		return false;
	memset(call, 0, sizeof(GptCall));
	prompt = PG_GETARG_TEXT_PP(1);
	call->request.prompt = (LmBytes){VARDATA_ANY(prompt), VARSIZE_ANY_EXHDR(prompt)};
	return complete(call, fcinfo);
}

static bool
read_extract(GptCall *call, FunctionCallInfo fcinfo)
{
	text *prompt;
	int32 modifier;
	Oid type;

	if (PG_ARGISNULL(1))
		return false;
	memset(call, 0, sizeof(GptCall));
	type_of(&type, &modifier, fcinfo, TYPE_ARGUMENT);
	prompt = extract_prompt(PG_GETARG_TEXT_PP(1), type);
	call->request.prompt = (LmBytes){VARDATA(prompt), VARSIZE(prompt) - VARHDRSZ};
	return complete(call, fcinfo);
}

/* What both have. */
static bool
complete(GptCall *call, FunctionCallInfo fcinfo)
{
	call->request.task = LM_TASK_GENERATE;
	gpt_sampling_read(call, fcinfo, arguments, false);
	if (PG_ARGISNULL(3))
		call->request.sampling.max_tokens = 256;
	if (PG_ARGISNULL(4))
		call->request.sampling.temperature = 0;
	call->constraint = &typed_of(fcinfo, TYPE_ARGUMENT)->constraint;
	return true;
}

/* The type of a call: its constraint is a part of it. */
static Typed *
typed_from(const GptCall *call)
{
	return (Typed *) ((char *) call->constraint - offsetof(Typed, constraint));
}

/*
 * gpt_extract_prompt(input text, type anyelement) RETURNS text
 *
 * The prompt of gpt_extract. NULL input gives NULL.
 */
Datum
gpt_extract_prompt(PG_FUNCTION_ARGS)
{
	int32 modifier;
	Oid type;

	gpt_argument_check_call(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	type_of(&type, &modifier, fcinfo, 1);
	PG_RETURN_TEXT_P(extract_prompt(PG_GETARG_TEXT_PP(0), type));
}

/*
 * gpt_schema(type anyelement) RETURNS jsonb
 *
 * The JSON Schema of what gpt_generate_as lets a model write for the type.
 */
Datum
gpt_schema(PG_FUNCTION_ARGS)
{
	int32 modifier;
	Oid type;

	gpt_argument_check_call(fcinfo);
	type_of(&type, &modifier, fcinfo, 0);
	PG_RETURN_JSONB_P(gpt_type_schema(type, modifier));
}

/* The type of an argument, with its modifier where the expression has one. */
static void
type_of(Oid *type, int32 *modifier, FunctionCallInfo fcinfo, int number)
{
	Node *call = fcinfo->flinfo->fn_expr;

	*type = get_fn_expr_argtype(fcinfo->flinfo, number);
	if (!OidIsValid(*type))
		ereport(ERROR, (errcode(ERRCODE_INDETERMINATE_DATATYPE),
						errmsg("could not determine the type of the result")));
	*modifier = -1;
	if (call != NULL && IsA(call, FuncExpr))
		*modifier = exprTypmod((Node *) list_nth(((FuncExpr *) call)->args, number));
}

/* What a call needs to know of its type, for as long as the call's place in the query lives. */
static Typed *
typed_of(FunctionCallInfo fcinfo, int number)
{
	MemoryContext context = fcinfo->flinfo->fn_mcxt;
	Typed *typed = fcinfo->flinfo->fn_extra;
	int32 modifier;
	Oid input;
	Oid type;
	Jsonb *schema;

	type_of(&type, &modifier, fcinfo, number);
	if (typed != NULL && typed->type == type && typed->modifier == modifier)
		return typed;
	schema = gpt_type_schema(type, modifier);
	typed = MemoryContextAllocZero(context, sizeof(Typed));
	typed->type = type;
	typed->modifier = modifier;
	typed->base = gpt_type_base(type, modifier);
	typed->is_json = gpt_type_is_json(type);
	typed->constraint.kind = typed->is_json ? GPT_CONSTRAINT_SCHEMA : GPT_CONSTRAINT_BARE;
	typed->constraint.value =
		memcpy(MemoryContextAlloc(context, VARSIZE(schema)), schema, VARSIZE(schema));
	getTypeInputInfo(typed->base.type, &input, &typed->io_parameter);
	fmgr_info_cxt(input, &typed->input, context);
	if (typed->base.type != type && !typed->is_json)
	{
		InitDomainConstraintRef(type, &typed->checks, context, true);
		typed->has_checks = true;
	}
	if (typed->is_json)
		prepare_populate(typed, context);
	fcinfo->flinfo->fn_extra = typed;
	return typed;
}

/*
 * A drawn value that breaks a check of its domain which the schema does not know is drawn again
 * with the next seeds, unless nothing is drawn.
 */
static Datum
generate(FunctionCallInfo fcinfo, const GptCallKind *kind)
{
	Typed *typed;
	const GptServed *served;
	GptAnswer answer;
	GptCall call;
	const char *broken = NULL;
	char *written = NULL;
	bool is_null = false;
	bool nulls;
	Datum value = (Datum) 0;
	int tries;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	gpt_bridge_check_encoding();
	nulls = gpt_try_nulls(fcinfo, NULL);
	if (!kind->read(&call, fcinfo))
		PG_RETURN_NULL();
	typed = typed_from(&call);
	tries = call.request.sampling.temperature > 0 ? TRIES : 1;
	served = gpt_try_acquire(fcinfo, kind->name, gpt_argument_text(fcinfo, 0),
							 GPT_SERVED_LANGUAGE_MODEL, nulls);
	if (served == NULL)
		PG_RETURN_NULL();
	do
	{
		gpt_call_answer(&answer, &text_call, served, &call, 1, 0, NULL);
		if (!gpt_try_error(answer.error, kind->name, served->model, nulls))
		{
			gpt_cache_release(served);
			PG_RETURN_NULL();
		}
		written = TextDatumGetCString(answer.value);
		value = value_of(typed, written, &is_null);
		broken = broken_check(typed, value);
		call.request.sampling.seed++;
	} while (broken != NULL && --tries > 0);
	gpt_call_notice(fcinfo, answer.notices, served);
	if (broken != NULL)
	{
		fail_check(kind->name, typed, written, broken, served->model, nulls);
		is_null = true;
	}
	gpt_cache_release(served);
	if (is_null)
		PG_RETURN_NULL();
	return value;
}

/* Raises the error of a value that breaks a check, or counts it as one of its row. */
static void
fail_check(const char *function, const Typed *typed, const char *written, const char *check,
		   const char *model, bool nulls)
{
	GptFailure failure = {.sqlstate = ERRCODE_CHECK_VIOLATION};

	failure.message =
		psprintf("value \"%s\" of the model violates check constraint \"%s\" of domain %s", written,
				 check, format_type_be(typed->type));
	failure.detail = "The check is not one that decides token by token.";
	failure.hint =
		"Write it as a regular expression, a list of values, or a comparison with a number, "
		"or draw again with a temperature above 0.";
	if (!nulls)
		ereport(ERROR, (errcode(failure.sqlstate), errmsg("%s", failure.message),
						errdetail("%s", failure.detail), errhint("%s", failure.hint)));
	gpt_row_errors_add(function, model, &failure);
}

/* The text as a value of the type; of a domain without its checks, unless it is written as JSON. */
static Datum
value_of(Typed *typed, char *text, bool *is_null)
{
	if (typed->is_json && typed->base.type != JSONOID && typed->base.type != JSONBOID)
		return populated(typed, text, is_null);
	*is_null = false;
	if (typed->is_json)
		return OidInputFunctionCall(typed->input.fn_oid, text, typed->io_parameter,
									typed->base.modifier);
	return InputFunctionCall(&typed->input, text, typed->io_parameter, typed->base.modifier);
}

/* JSON becomes a value as the server's json_populate_record makes it: in a row of its own. */
static Datum
populated(Typed *typed, const char *text, bool *is_null)
{
	LOCAL_FCINFO(fcinfo, 3);
	Datum nothing = (Datum) 0;
	bool missing = true;
	HeapTuple base = heap_form_tuple(typed->row, &nothing, &missing);
	HeapTupleData tuple = {0};

	InitFunctionCallInfoData(*fcinfo, &typed->populate, 3, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = HeapTupleGetDatum(base);
	fcinfo->args[1].value = CStringGetTextDatum(psprintf("{\"value\":%s}", text));
	fcinfo->args[2].value = BoolGetDatum(false);
	for (int i = 0; i < 3; i++)
		fcinfo->args[i].isnull = false;
	tuple.t_data = DatumGetHeapTupleHeader(FunctionCallInvoke(fcinfo));
	tuple.t_len = HeapTupleHeaderGetDatumLength(tuple.t_data);
	return heap_getattr(&tuple, 1, typed->row, is_null);
}

/* Prepares that call: the function learns from its expression that the row is anonymous. */
static void
prepare_populate(Typed *typed, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	List *arguments =
		list_make3(makeNullConst(RECORDOID, -1, InvalidOid), makeNullConst(JSONOID, -1, InvalidOid),
				   makeBoolConst(false, false));

	typed->row = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(typed->row, 1, "value", typed->type, typed->modifier, 0);
	typed->row = BlessTupleDesc(typed->row);
	fmgr_info_cxt(F_JSON_POPULATE_RECORD, &typed->populate, context);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_JSON_POPULATE_RECORD, RECORDOID, arguments,
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &typed->populate);
	MemoryContextSwitchTo(caller);
}

/* The name of a check that the value breaks, or NULL. */
static const char *
broken_check(Typed *typed, Datum value)
{
	ListCell *cell;

	if (!typed->has_checks)
		return NULL;
	UpdateDomainConstraintRef(&typed->checks);
	if (typed->context == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(typed->input.fn_mcxt);

		typed->context = CreateStandaloneExprContext();
		MemoryContextSwitchTo(caller);
	}
	foreach (cell, typed->checks.constraints)
	{
		DomainConstraintState *check = lfirst(cell);
		bool holds;

		if (check->constrainttype != DOM_CONSTRAINT_CHECK)
			continue;
		typed->context->domainValue_datum = value;
		typed->context->domainValue_isNull = false;
		holds = ExecCheck(check->check_exprstate, typed->context);
		ResetExprContext(typed->context);
		if (!holds)
			return check->name;
	}
	return NULL;
}

/*
 * The text, an empty line, and the names of what is wanted: of the attributes of a composite, or of
 * the type.
 */
static text *
extract_prompt(text *input, Oid type)
{
	StringInfoData prompt;
	Oid base = getBaseType(type);
	const char *separator = "";

	initStringInfo(&prompt);
	appendBinaryStringInfo(&prompt, VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input));
	appendStringInfoString(&prompt, "\n\n");
	if (type_is_rowtype(base) && base != RECORDOID)
	{
		TupleDesc descriptor = lookup_rowtype_tupdesc_copy(base, -1);

		for (int i = 0; i < descriptor->natts; i++)
		{
			if (TupleDescAttr(descriptor, i)->attisdropped)
				continue;
			appendStringInfo(&prompt, "%s%s", separator,
							 NameStr(TupleDescAttr(descriptor, i)->attname));
			separator = ", ";
		}
		FreeTupleDesc(descriptor);
	}
	else
		appendStringInfoString(&prompt, format_type_be(type));
	appendStringInfoChar(&prompt, ':');
	return cstring_to_text_with_len(prompt.data, prompt.len);
}

static Datum
result_of(const GptCall *call, const GptServed *served, bool *is_null)
{
	*is_null = false;
	return PointerGetDatum(
		cstring_to_text_with_len(call->request.output.data, call->request.output.size));
}

static Datum
typed_result(const GptCall *call, const GptServed *served, bool *is_null)
{
	LmBytes output = call->request.output;

	return value_of(typed_from(call), pnstrdup(output.data, output.size), is_null);
}

static bool
check_value(const GptCall *call, Datum value, LmError *error)
{
	return broken_check(typed_from(call), value) == NULL ||
		   lm_fail(error, LM_ERR_ARGUMENT, -1, "the value breaks a check of its domain");
}
