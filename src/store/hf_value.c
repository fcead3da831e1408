/*
 * src/store/hf_value.c
 *
 * Values of the fields of a config.json, read with their types checked, shown in messages, and
 * written.
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "common/shortest_dec.h"

#include "store/hf_fields.h"

#define SHOWN_BYTES 60

const GptJson *
gpt_hf_find(const GptJson *object, const char *name)
{
	if (object == NULL || object->type != GPT_JSON_OBJECT)
		return NULL;
	for (const GptJson *field = object->first; field != NULL; field = field->next)
		if (strcmp(field->name, name) == 0)
		{
			(void) gpt_json_field(object, name); /* raises an error if it occurs twice */
			return field;
		}
	return NULL;
}

double
gpt_hf_number(const GptJson *object, const char *name, double absent)
{
	const GptJson *node = gpt_hf_find(object, name);
	double value;
	char *end;

	if (node == NULL)
		return absent;
	if (node->type == GPT_JSON_NULL)
		return 0;
	if (node->type != GPT_JSON_NUMBER)
		gpt_hf_refuse(name, node, "It must be a number.");
	value = strtod(node->text, &end);
	if (*end != '\0' || !isfinite(value))
		gpt_hf_refuse(name, node, "It is out of range.");
	return value;
}

int
gpt_hf_integer(const GptJson *object, const char *name, int absent)
{
	double value = gpt_hf_number(object, name, absent);

	if (value != floor(value) || value < 0 || value > INT_MAX)
		gpt_hf_refuse(name, gpt_hf_find(object, name), "It must be an integer from 0 on.");
	return (int) value;
}

bool
gpt_hf_boolean(const GptJson *object, const char *name, bool absent)
{
	const GptJson *node = gpt_hf_find(object, name);

	if (node == NULL)
		return absent;
	if (node->type != GPT_JSON_TRUE && node->type != GPT_JSON_FALSE && node->type != GPT_JSON_NULL)
		gpt_hf_refuse(name, node, "It must be true or false.");
	return node->type == GPT_JSON_TRUE;
}

bool
gpt_hf_is_empty(const GptJson *node)
{
	switch (node->type)
	{
		case GPT_JSON_NULL:
		case GPT_JSON_FALSE:
			return true;
		case GPT_JSON_TRUE:
			return false;
		case GPT_JSON_NUMBER:
			return strtod(node->text, NULL) == 0;
		case GPT_JSON_STRING:
			return node->text[0] == '\0';
		case GPT_JSON_ARRAY:
		case GPT_JSON_OBJECT:
			return node->count == 0;
	}
	return false;
}

char *
gpt_hf_show(const GptJson *node)
{
	if (node == NULL)
		return pstrdup("missing");
	switch (node->type)
	{
		case GPT_JSON_NULL:
			return pstrdup("null");
		case GPT_JSON_FALSE:
			return pstrdup("false");
		case GPT_JSON_TRUE:
			return pstrdup("true");
		case GPT_JSON_NUMBER:
			return psprintf("%.*s", SHOWN_BYTES, node->text);
		case GPT_JSON_STRING:
		{
			int size = (int) strnlen(node->text, SHOWN_BYTES);

			/* Never ends inside of a character. */
			while (size > 0 && ((unsigned char) node->text[size] & 0xc0) == 0x80)
				size--;
			return psprintf("\"%.*s\"", size, node->text);
		}
		case GPT_JSON_ARRAY:
			return psprintf("an array of %d values", node->count);
		case GPT_JSON_OBJECT:
			return psprintf("an object of %d %s", node->count,
							node->count == 1 ? "field" : "fields");
	}
	return NULL;
}

void
gpt_hf_refuse(const char *name, const GptJson *value, const char *supported)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("configuration is outside the supported family"),
					errdetail("Field \"%s\" is %s.%s%s", name, gpt_hf_show(value),
							  supported != NULL ? " " : "", supported != NULL ? supported : "")));
}

void
gpt_hf_append_integer(StringInfo json, const char *name, int value)
{
	appendStringInfo(json, ",\n  \"%s\": %d", name, value);
}

/* Transformers takes no integer where a field is a float; a float32 has nine digits. */
void
gpt_hf_append_real(StringInfo json, const char *name, double value)
{
	char number[FLOAT_SHORTEST_DECIMAL_LEN];

	float_to_shortest_decimal_buf((float) value, number);
	appendStringInfo(json, ",\n  \"%s\": %s%s", name, number,
					 strpbrk(number, ".e") == NULL ? ".0" : "");
}
