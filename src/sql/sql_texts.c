/*
 * src/sql/sql_texts.c
 *
 * The type gpt_texts, for arguments that are one text or several: a value is a text[].
 *
 * An argument of type text[] takes no text, and two functions that differ in this argument alone
 * are ambiguous where it is left out. "any" leaves the parameters of prepared statements without a
 * type. So it is a type with an input of its own and casts from text and text[].
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "core/compat.h"
#include "serve/call.h"
#include "sql/arguments.h"
#include "sql/texts.h"

PG_FUNCTION_INFO_V1(gpt_texts_in);
PG_FUNCTION_INFO_V1(gpt_texts_out);
PG_FUNCTION_INFO_V1(gpt_texts_recv);
PG_FUNCTION_INFO_V1(gpt_texts_send);
PG_FUNCTION_INFO_V1(gpt_texts);

static Datum array_of(Datum one);

/*
 * gpt_texts_in(string cstring) RETURNS gpt_texts    STRICT
 *
 * What begins with a brace is an array as the server writes it, everything else one text.
 */
Datum
gpt_texts_in(PG_FUNCTION_ARGS)
{
	char *string;

	gpt_argument_check_io(fcinfo);
	string = PG_GETARG_CSTRING(0);
	if (string[0] == '{')
		PG_RETURN_DATUM(OidInputFunctionCall(F_ARRAY_IN, string, TEXTOID, -1));
	PG_RETURN_DATUM(array_of(CStringGetTextDatum(string)));
}

/* gpt_texts_out(texts gpt_texts) RETURNS cstring    STRICT */
Datum
gpt_texts_out(PG_FUNCTION_ARGS)
{
	gpt_argument_check_io(fcinfo);
	PG_RETURN_CSTRING(OidOutputFunctionCall(F_ARRAY_OUT, PG_GETARG_DATUM(0)));
}

/* gpt_texts_recv(bytes internal) RETURNS gpt_texts    STRICT: as of text[] */
Datum
gpt_texts_recv(PG_FUNCTION_ARGS)
{
	gpt_argument_check_receive(fcinfo);
	PG_RETURN_DATUM(
		OidReceiveFunctionCall(F_ARRAY_RECV, (StringInfo) PG_GETARG_POINTER(0), TEXTOID, -1));
}

/* gpt_texts_send(texts gpt_texts) RETURNS bytea    STRICT */
Datum
gpt_texts_send(PG_FUNCTION_ARGS)
{
	gpt_argument_check_io(fcinfo);
	PG_RETURN_BYTEA_P(OidSendFunctionCall(F_ARRAY_SEND, PG_GETARG_DATUM(0)));
}

/*
 * gpt_texts("text" text), gpt_texts(texts text[]), gpt_texts(texts varchar[]) RETURNS gpt_texts
 * STRICT
 *
 * The casts. An array is a value as it is.
 */
Datum
gpt_texts(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	if (gpt_call_is_for_elements(fcinfo, 0))
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	PG_RETURN_DATUM(array_of(PG_GETARG_DATUM(0)));
}

static Datum
array_of(Datum one)
{
	return PointerGetDatum(construct_array(&one, 1, TEXTOID, -1, false, TYPALIGN_INT));
}

LmBytes *
gpt_texts_read(int *n, FunctionCallInfo fcinfo, int number, const char *name, int most)
{
	ArrayType *array;
	LmBytes *texts;
	Datum *values;
	bool *nulls;

	*n = 0;
	if (number >= PG_NARGS() || PG_ARGISNULL(number))
		return NULL;
	array = PG_GETARG_ARRAYTYPE_P(number);
	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (*n > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s has %d texts", name, *n),
				 errhint("It may have up to %d.", most)));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, n);
	texts = palloc(Max(*n, 1) * sizeof(LmBytes));
	for (int i = 0; i < *n; i++)
	{
		text *one = nulls[i] ? NULL : DatumGetTextPP(values[i]);

		if (one == NULL)
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not contain null", name)));
		if (VARSIZE_ANY_EXHDR(one) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s must not contain an empty text", name)));
		texts[i] = (LmBytes){VARDATA_ANY(one), VARSIZE_ANY_EXHDR(one)};
	}
	pfree(values);
	pfree(nulls);
	return texts;
}
