/*
 * src/engine/text/schema_member.c
 *
 * Keywords of a schema: finding them, reading counts, and naming what is wrong.
 */
#include "text/schema.h"

bool
lm_json_is(LmBytes text, const char *name)
{
	return text.size == strlen(name) && memcmp(text.data, name, text.size) == 0;
}

void
lm_schema_fail(const LmSchema *schema, int32_t value, LmBytes keyword, const char *what)
{
	if (keyword.size == 0)
		lm_builder_fail(schema->builder, LM_ERR_FORMAT, value, "a value of the schema %s", what);
	lm_builder_fail(schema->builder, LM_ERR_FORMAT, value, "\"%.*s\" of the schema %s",
					keyword.size > 60 ? 60 : (int) keyword.size, keyword.data, what);
}

int32_t
lm_schema_member(const LmSchema *schema, int32_t object, const char *name)
{
	int32_t member = object < 0 || schema->values[object].kind != LM_JSON_OBJECT
						 ? -1
						 : schema->values[object].first;

	while (member >= 0 && !lm_json_is(schema->values[member].name, name))
		member = schema->values[member].next;
	return member;
}

int64_t
lm_schema_count(const LmSchema *schema, int32_t object, const char *name, int64_t by_default)
{
	int32_t member = lm_schema_member(schema, object, name);
	int64_t count = 0;
	LmBytes text;

	if (member < 0)
		return by_default;
	text = schema->values[member].text;
	if (schema->values[member].kind != LM_JSON_NUMBER || text.size == 0 || text.size > 9)
	{
		lm_schema_fail(schema, member, (LmBytes){name, strlen(name)}, "is no count");
		return by_default;
	}
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] < '0' || text.data[i] > '9')
		{
			lm_schema_fail(schema, member, (LmBytes){name, strlen(name)}, "is no count");
			return by_default;
		}
		else
			count = count * 10 + (text.data[i] - '0');
	return count;
}
