/*
 * src/core/json_writer.c
 *
 * Members go in, a jsonb object comes out.
 */
#include "postgres.h"

#include <math.h>

#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "core/compat.h"
#include "core/json_writer.h"

static void
put_name(GptJsonWriter *writer, const char *name)
{
	JsonbValue key = {.type = jbvString};

	if (name == NULL)
		return;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = (int) strlen(name);
	(void) pushJsonbValue(&writer->state, WJB_KEY, &key);
}

static void
put(GptJsonWriter *writer, const char *name, JsonbValue *value)
{
	put_name(writer, name);
	(void) pushJsonbValue(&writer->state, name != NULL ? WJB_VALUE : WJB_ELEM, value);
}

void
gpt_json_begin(GptJsonWriter *writer, const char *name)
{
	put_name(writer, name);
	(void) pushJsonbValue(&writer->state, WJB_BEGIN_OBJECT, NULL);
}

void
gpt_json_end(GptJsonWriter *writer)
{
	(void) pushJsonbValue(&writer->state, WJB_END_OBJECT, NULL);
}

void
gpt_json_begin_array(GptJsonWriter *writer, const char *name)
{
	put_name(writer, name);
	(void) pushJsonbValue(&writer->state, WJB_BEGIN_ARRAY, NULL);
}

void
gpt_json_end_array(GptJsonWriter *writer)
{
	(void) pushJsonbValue(&writer->state, WJB_END_ARRAY, NULL);
}

void
gpt_json_put_value(GptJsonWriter *writer, const char *name, Jsonb *json)
{
	JsonbValue value = {.type = jbvBinary};

	value.val.binary.data = &json->root;
	value.val.binary.len = (int) (VARSIZE(json) - VARHDRSZ);
	put(writer, name, &value);
}

void
gpt_json_put_text(GptJsonWriter *writer, const char *name, const char *text)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = (int) strlen(text);
	put(writer, name, &value);
}

void
gpt_json_put_boolean(GptJsonWriter *writer, const char *name, bool boolean)
{
	JsonbValue value = {.type = jbvBool};

	value.val.boolean = boolean;
	put(writer, name, &value);
}

/* A number by its text; NULL: null. */
static void
put_numeric(GptJsonWriter *writer, const char *name, const char *text)
{
	JsonbValue value = {.type = jbvNull};

	if (text != NULL)
	{
		value.type = jbvNumeric;
		value.val.numeric = DatumGetNumeric(DirectFunctionCall3(
			numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	put(writer, name, &value);
}

void
gpt_json_put_integer(GptJsonWriter *writer, const char *name, int64 integer)
{
	put_numeric(writer, name, psprintf(INT64_FORMAT, integer));
}

void
gpt_json_put_number(GptJsonWriter *writer, const char *name, double number)
{
	gpt_json_put_rounded(writer, name, number, 6);
}

void
gpt_json_put_rounded(GptJsonWriter *writer, const char *name, double number, int digits)
{
	if (!isfinite(number))
		put_numeric(writer, name, NULL);
	else if (number == floor(number))
		put_numeric(writer, name, psprintf("%.0f", number));
	else
		put_numeric(writer, name, psprintf("%.*g", digits, number));
}

void
gpt_json_put_share(GptJsonWriter *writer, const char *name, double share)
{
	gpt_json_put_number(writer, name, rint(share * 10000) / 10000);
}

Jsonb *
gpt_json_finish(GptJsonWriter *writer)
{
	return JsonbValueToJsonb(pushJsonbValue(&writer->state, WJB_END_OBJECT, NULL));
}
