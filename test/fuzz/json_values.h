/*
 * test/fuzz/json_values.h
 *
 * A JSON text as the values that the engine takes; a parser for tests, which takes what is wrong
 * for something right.
 */
#ifndef TEST_JSON_VALUES_H
#define TEST_JSON_VALUES_H

#include "engine/constraint.h"

#define JSON_VALUES 4096
#define JSON_DEPTH 200

typedef struct JsonValues
{
	LmJsonValue values[JSON_VALUES];
	int n;
	const char *at;
	const char *end;
} JsonValues;

static inline void
json_skip(JsonValues *json)
{
	while (json->at < json->end && strchr(" \n\t", *json->at))
		json->at++;
}

/* The bytes between quotes; escapes stay as they are. */
static inline LmBytes
json_text(JsonValues *json)
{
	LmBytes text = {++json->at, 0};

	while (json->at < json->end && *json->at != '"')
		json->at += *json->at == '\\' && json->at + 1 < json->end ? 2 : 1;
	text.size = (size_t) (json->at - text.data);
	json->at += json->at < json->end;
	return text;
}

/* Reads one value and those in it; its number, or -1. */
static inline int32_t
json_read(JsonValues *json, int depth)
{
	int32_t number = json->n, last = -1;
	LmJsonValue *value;
	char c;

	json_skip(json);
	if (json->at >= json->end || json->n == JSON_VALUES || depth == JSON_DEPTH)
		return -1;
	value = &json->values[json->n++];
	*value = (LmJsonValue){.first = -1, .next = -1};
	c = *json->at;
	if (c == '"')
	{
		value->kind = LM_JSON_STRING;
		value->text = json_text(json);
		return number;
	}
	if (c != '{' && c != '[')
	{
		value->text.data = json->at;
		while (json->at < json->end && !strchr(",]} \n\t", *json->at))
			json->at++;
		value->text.size = (size_t) (json->at - value->text.data);
		value->kind = c == 't'	 ? LM_JSON_TRUE
					  : c == 'f' ? LM_JSON_FALSE
					  : c == 'n' ? LM_JSON_NULL
								 : LM_JSON_NUMBER;
		return number;
	}
	value->kind = c == '{' ? LM_JSON_OBJECT : LM_JSON_ARRAY;
	json->at++;
	for (;;)
	{
		LmBytes name = {NULL, 0};
		int32_t child;

		json_skip(json);
		if (json->at < json->end && *json->at == ',')
			json->at++;
		json_skip(json);
		if (json->at >= json->end || *json->at == '}' || *json->at == ']')
			break;
		if (c == '{' && *json->at == '"')
		{
			name = json_text(json);
			json_skip(json);
			if (json->at < json->end && *json->at == ':')
				json->at++;
		}
		child = json_read(json, depth + 1);
		if (child < 0)
			break;
		json->values[child].name = name;
		if (last < 0)
			json->values[number].first = child;
		else
			json->values[last].next = child;
		last = child;
	}
	json->at += json->at < json->end;
	return number;
}

static inline void
json_parse(JsonValues *json, const char *text, size_t size)
{
	json->n = 0;
	json->at = text;
	json->end = text + size;
	json_read(json, 0);
}

#endif /* TEST_JSON_VALUES_H */
