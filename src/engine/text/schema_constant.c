/*
 * src/engine/text/schema_constant.c
 *
 * Values of JSON as texts: constants, and values of any kind up to a depth.
 */
#include "text/schema.h"

static void quoted(const LmSchema *schema, LmBytes text);
static void begin_value(const LmSchema *schema, const LmJsonValue *json, bool is_member);
static void add(const LmSchema *schema, const char *sign);

void
lm_schema_sign(const LmSchema *schema, const char *sign)
{
	lm_build_ascii(schema->builder, sign);
	lm_build_ascii(schema->builder, " ");
	lm_build_repeat(schema->builder, 0, 1);
	lm_build_join(schema->builder);
}

/* Joins a sign onto what is on top. */
static void
add(const LmSchema *schema, const char *sign)
{
	lm_build_ascii(schema->builder, sign);
	lm_build_join(schema->builder);
}

static void
quoted(const LmSchema *schema, LmBytes text)
{
	bool before;

	lm_build_ascii(schema->builder, "\"");
	before = lm_builder_quote(schema->builder, true);
	lm_build_text(schema->builder, text);
	lm_builder_quote(schema->builder, before);
	lm_build_join(schema->builder);
	add(schema, "\"");
}

void
lm_schema_constant(const LmSchema *schema, int32_t value)
{
	const LmJsonValue *values = schema->values;
	int32_t open[LM_MOST_NESTED], at = value;
	int depth = 0;

	if (schema->bare && values[value].kind == LM_JSON_STRING)
	{
		lm_build_text(schema->builder, values[value].text);
		return;
	}
	lm_build_ascii(schema->builder, "");
	for (size_t i = 0; lm_builder_go_on(schema->builder, i); i++)
	{
		begin_value(schema, &values[at],
					depth > 0 && values[open[depth - 1]].kind == LM_JSON_OBJECT);
		if (values[at].kind >= LM_JSON_ARRAY && values[at].first >= 0)
		{
			if (depth == LM_MOST_NESTED)
				lm_builder_fail(schema->builder, LM_ERR_LIMIT, value,
								"a constant of the schema has more than %d levels", LM_MOST_NESTED);
			else
				open[depth++] = at;
			at = values[at].first;
			continue;
		}
		if (values[at].kind >= LM_JSON_ARRAY)
			add(schema, values[at].kind == LM_JSON_ARRAY ? "]" : "}");
		while (depth > 0 && values[at].next < 0)
		{
			at = open[--depth];
			add(schema, values[at].kind == LM_JSON_ARRAY ? "]" : "}");
		}
		if (depth == 0)
			return;
		lm_schema_sign(schema, ",");
		lm_build_join(schema->builder);
		at = values[at].next;
	}
}

/* A value without the values in it, and the name in front of it. */
static void
begin_value(const LmSchema *schema, const LmJsonValue *json, bool is_member)
{
	static const char *const words[] = {"null", "false", "true"};

	if (is_member)
	{
		quoted(schema, json->name);
		lm_build_join(schema->builder);
		lm_schema_sign(schema, ":");
		lm_build_join(schema->builder);
	}
	if (json->kind == LM_JSON_STRING)
	{
		quoted(schema, json->text);
		lm_build_join(schema->builder);
	}
	else if (json->kind == LM_JSON_NUMBER)
	{
		lm_build_text(schema->builder, json->text);
		lm_build_join(schema->builder);
	}
	else if (json->kind < LM_JSON_NUMBER)
		add(schema, words[json->kind]);
	else
		add(schema, json->kind == LM_JSON_ARRAY ? "[" : "{");
}

static void
scalars(const LmSchema *schema)
{
	LmBuilder *builder = schema->builder;
	static const char *const words[] = {"null", "false", "true"};

	lm_schema_any_string(schema);
	lm_build_decimals(builder, &(LmDecimals){.fraction = LM_ANY_FRACTION, .digits = LM_ANY_DIGITS});
	lm_build_either(builder);
	for (int i = 0; i < 3; i++)
	{
		lm_build_ascii(builder, words[i]);
		lm_build_either(builder);
	}
}

/* Puts the item on top between brackets, as a list of any length. */
static void
brackets(const LmSchema *schema, const char *open, const char *close)
{
	LmBuilder *builder = schema->builder;

	lm_schema_sign(schema, ",");
	lm_build_list(builder, 0, -1);
	lm_build_ascii(builder, open);
	lm_build_join_behind(builder);
	add(schema, close);
}

/* Puts the values on top into an object, as members of any names. */
static void
members(const LmSchema *schema)
{
	LmBuilder *builder = schema->builder;

	lm_schema_sign(schema, ":");
	lm_build_join_behind(builder);
	lm_schema_any_string(schema);
	lm_build_join_behind(builder);
	brackets(schema, "{", "}");
}

/* Calls itself up to `depth` times, a constant of the callers. */
void
lm_schema_any(const LmSchema *schema, int depth)
{
	LmSchema inner = *schema;

	inner.bare = false;
	scalars(schema);
	if (depth == 0 || schema->builder->failed)
		return;
	lm_schema_any(&inner, depth - 1);
	brackets(&inner, "[", "]");
	lm_build_either(schema->builder);
	lm_schema_any(&inner, depth - 1);
	members(&inner);
	lm_build_either(schema->builder);
}

void
lm_schema_any_object(const LmSchema *schema)
{
	LmSchema inner = *schema;

	inner.bare = false;
	lm_schema_any(&inner, LM_ANY_DEPTH - 1);
	members(&inner);
}
