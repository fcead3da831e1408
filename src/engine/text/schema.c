/*
 * src/engine/text/schema.c
 *
 * A JSON Schema becomes the texts that it describes. The subset of
 * https://json-schema.org/draft/2020-12:
 *
 *   true {}                    any JSON, of up to LM_ANY_DEPTH levels
 *   type                       one, or several; without it the keywords of a type tell it
 *   enum const                 values
 *   anyOf oneOf allOf          oneOf counts as anyOf; of allOf all must agree, with what stands
 *                              beside it too
 *   $ref                       "#", or "#/$defs/NAME" or "#/definitions/NAME"; within itself up to
 *                              LM_REFERENCE_DEPTH times
 *   string                     minLength maxLength pattern format
 *   number integer             minimum maximum exclusiveMinimum exclusiveMaximum multipleOf
 *   array                      items minItems maxItems
 *   object                     properties required additionalProperties (which are never written)
 *
 * Annotations (title, description ...) are passed over; any other keyword is an error. Members of
 * an object come in one order: those of `required` in its order, then the others. One space may
 * stand after ':' and ','; other white space is not written. Numbers have no exponent.
 */
#include "text/schema.h"

static void compile(LmSchema *schema, int32_t value);
static bool check_keywords(const LmSchema *schema, int32_t object);
static bool add_reference(LmSchema *schema, int32_t object);
static bool add_constants(const LmSchema *schema, int32_t object);
static const char *implied_type(const LmSchema *schema, int32_t object);
static void add_types(LmSchema *schema, int32_t object);
static void add_type(LmSchema *schema, int32_t object, LmBytes type);
static void add_alternatives(LmSchema *schema, int32_t list);
static void add_array(LmSchema *schema, int32_t object);
static void add_object(LmSchema *schema, int32_t object);

void
lm_build_schema(LmBuilder *builder, const LmJsonValue *values, int n, bool bare)
{
	LmSchema schema = {builder, values, n, bare, 0, NULL};

	if (n < 1 || n > LM_MOST_VALUES)
	{
		lm_builder_fail(builder, LM_ERR_LIMIT, -1, "a schema of %d values is not within 1 .. %d", n,
						LM_MOST_VALUES);
		return;
	}
	schema.visits = lm_allocate(&builder->host, (size_t) n);
	if (schema.visits)
		compile(&schema, 0);
	else
		lm_builder_fail(builder, LM_ERR_MEMORY, -1, "out of memory for a schema");
	lm_free(&builder->host, schema.visits);
}

/* Pushes the language of a schema. */
static void
compile(LmSchema *schema, int32_t value)
{
	const LmJsonValue *json = &schema->values[value];
	LmBuilder *builder = schema->builder;
	int32_t all = lm_schema_member(schema, value, "allOf");

	if (!lm_builder_go_on(builder, 1))
		return;
	if (json->kind == LM_JSON_TRUE || (json->kind == LM_JSON_OBJECT && json->first < 0))
		lm_schema_any(schema, LM_ANY_DEPTH);
	else if (json->kind == LM_JSON_FALSE)
		lm_build_nothing(builder);
	else if (json->kind != LM_JSON_OBJECT)
		lm_schema_fail(schema, value, json->name, "is not an object, true or false");
	else if (schema->depth == LM_MOST_NESTED)
		lm_builder_fail(builder, LM_ERR_LIMIT, value, "the schema has more than %d levels",
						LM_MOST_NESTED);
	else if (check_keywords(schema, value))
	{
		schema->depth++;
		if (!add_reference(schema, value) && !add_constants(schema, value))
			add_types(schema, value);
		for (int32_t i = all < 0 ? -1 : schema->values[all].first; i >= 0 && !builder->failed;
			 i = schema->values[i].next)
		{
			compile(schema, i);
			lm_build_both(builder);
		}
		schema->depth--;
	}
}

static bool
check_keywords(const LmSchema *schema, int32_t object)
{
	static const char *const known[] = {"type",
										"enum",
										"const",
										"anyOf",
										"oneOf",
										"allOf",
										"$ref",
										"$defs",
										"definitions",
										"minLength",
										"maxLength",
										"pattern",
										"format",
										"minimum",
										"maximum",
										"items",
										"exclusiveMinimum",
										"exclusiveMaximum",
										"multipleOf",
										"minItems",
										"maxItems",
										"properties",
										"required",
										"additionalProperties",
										"title",
										"default",
										"description",
										"examples",
										"$schema",
										"$id",
										"$comment",
										"deprecated",
										"readOnly",
										"writeOnly",
										NULL};

	for (int32_t i = schema->values[object].first; i >= 0; i = schema->values[i].next)
	{
		int k = 0;

		while (known[k] && !lm_json_is(schema->values[i].name, known[k]))
			k++;
		if (!known[k])
		{
			lm_schema_fail(schema, i, schema->values[i].name, "is a keyword that is not supported");
			return false;
		}
	}
	return true;
}

/* Pushes what a $ref leads to. Where it leads to itself too often, nothing. */
static bool
add_reference(LmSchema *schema, int32_t object)
{
	int32_t reference = lm_schema_member(schema, object, "$ref"), to = -1;
	LmBytes text;

	if (reference < 0)
		return false;
	text = schema->values[reference].text;
	if (lm_json_is(text, "#"))
		to = 0;
	else
		for (int i = 0; i < 2; i++)
		{
			const char *front = i == 0 ? "#/$defs/" : "#/definitions/";
			size_t size = strlen(front);
			int32_t all = lm_schema_member(schema, 0, i == 0 ? "$defs" : "definitions");

			if (text.size <= size || memcmp(text.data, front, size) != 0 || all < 0)
				continue;
			for (to = schema->values[all].first; to >= 0; to = schema->values[to].next)
				if (schema->values[to].name.size == text.size - size &&
					memcmp(schema->values[to].name.data, text.data + size, text.size - size) == 0)
					break;
		}
	if (to < 0)
		lm_schema_fail(schema, reference, text, "leads nowhere");
	else if (schema->visits[to] >= LM_REFERENCE_DEPTH)
		lm_build_nothing(schema->builder);
	else
	{
		schema->visits[to]++;
		compile(schema, to);
		schema->visits[to]--;
	}
	return true;
}

static bool
add_constants(const LmSchema *schema, int32_t object)
{
	int32_t constant = lm_schema_member(schema, object, "const"),
			list = lm_schema_member(schema, object, "enum");

	if (constant >= 0)
		lm_schema_constant(schema, constant);
	else if (list >= 0)
	{
		lm_build_nothing(schema->builder);
		for (int32_t i = schema->values[list].first; i >= 0 && !schema->builder->failed;
			 i = schema->values[i].next)
		{
			lm_schema_constant(schema, i);
			lm_build_either(schema->builder);
		}
	}
	return constant >= 0 || list >= 0;
}

/* The type that a schema without one means by its other keywords, or NULL. */
static const char *
implied_type(const LmSchema *schema, int32_t object)
{
	static const char *const keywords[][2] = {
		{"properties", "object"}, {"required", "object"},		  {"items", "array"},
		{"minItems", "array"},	  {"maxItems", "array"},		  {"pattern", "string"},
		{"format", "string"},	  {"minLength", "string"},		  {"maxLength", "string"},
		{"minimum", "number"},	  {"exclusiveMinimum", "number"}, {"maximum", "number"},
		{"multipleOf", "number"}, {"exclusiveMaximum", "number"}};

	for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
		if (lm_schema_member(schema, object, keywords[i][0]) >= 0)
			return keywords[i][1];
	return NULL;
}

/* The types that a schema names, and its alternatives; both, where it has both. */
static void
add_types(LmSchema *schema, int32_t object)
{
	LmBuilder *builder = schema->builder;
	int32_t type = lm_schema_member(schema, object, "type"),
			either = lm_schema_member(schema, object, "anyOf");
	bool has_types = type >= 0;

	if (either < 0)
		either = lm_schema_member(schema, object, "oneOf");
	if (type >= 0 && schema->values[type].kind == LM_JSON_ARRAY)
	{
		lm_build_nothing(builder);
		for (int32_t i = schema->values[type].first; i >= 0 && !builder->failed;
			 i = schema->values[i].next)
		{
			add_type(schema, object, schema->values[i].text);
			lm_build_either(builder);
		}
	}
	else if (type >= 0)
		add_type(schema, object, schema->values[type].text);
	else if (implied_type(schema, object))
	{
		LmBytes implied = {implied_type(schema, object), 0};

		implied.size = strlen(implied.data);
		add_type(schema, object, implied);
		has_types = true;
	}
	if (either >= 0)
	{
		add_alternatives(schema, either);
		if (has_types)
			lm_build_both(builder);
	}
	else if (!has_types)
		lm_schema_any(schema, LM_ANY_DEPTH);
}

static void
add_alternatives(LmSchema *schema, int32_t list)
{
	lm_build_nothing(schema->builder);
	for (int32_t i = schema->values[list].first; i >= 0 && !schema->builder->failed;
		 i = schema->values[i].next)
	{
		compile(schema, i);
		lm_build_either(schema->builder);
	}
}

static void
add_type(LmSchema *schema, int32_t object, LmBytes type)
{
	LmBuilder *builder = schema->builder;

	if (lm_json_is(type, "string"))
		lm_schema_string(schema, object);
	else if (lm_json_is(type, "integer") || lm_json_is(type, "number"))
		lm_schema_number(schema, object, lm_json_is(type, "integer"));
	else if (lm_json_is(type, "boolean"))
		lm_build_ascii(builder, "true"), lm_build_ascii(builder, "false"), lm_build_either(builder);
	else if (lm_json_is(type, "null"))
		lm_build_ascii(builder, "null");
	else if (lm_json_is(type, "array"))
		add_array(schema, object);
	else if (lm_json_is(type, "object"))
		add_object(schema, object);
	else
		lm_schema_fail(schema, object, type,
					   "is not a type: those are string, integer, number, boolean, null, array "
					   "and object");
}

static void
add_array(LmSchema *schema, int32_t object)
{
	LmBuilder *builder = schema->builder;
	int32_t items = lm_schema_member(schema, object, "items");
	int64_t least = lm_schema_count(schema, object, "minItems", 0),
			most = lm_schema_count(schema, object, "maxItems", -1);
	bool bare = schema->bare;

	schema->bare = false;
	if (items >= 0)
		compile(schema, items);
	else
		lm_schema_any(schema, LM_ANY_DEPTH - 1);
	schema->bare = bare;
	lm_schema_sign(schema, ",");
	lm_build_list(builder, least, most < least && most >= 0 ? least : most);
	lm_build_ascii(builder, "[");
	lm_build_join_behind(builder);
	lm_build_ascii(builder, "]");
	lm_build_join(builder);
	if (most >= 0 && most < least)
		lm_build_nothing(builder), lm_build_both(builder);
}

/* Pushes "name": value. */
static void
add_member(LmSchema *schema, LmBytes name, int32_t value)
{
	LmBuilder *builder = schema->builder;
	bool before;

	lm_build_ascii(builder, "\"");
	before = lm_builder_quote(builder, true);
	lm_build_text(builder, name);
	lm_builder_quote(builder, before);
	lm_build_join(builder);
	lm_build_ascii(builder, "\"");
	lm_build_join(builder);
	lm_schema_sign(schema, ":");
	lm_build_join(builder);
	if (value >= 0)
		compile(schema, value);
	else
		lm_schema_any(schema, LM_ANY_DEPTH - 1);
	lm_build_join(builder);
}

static bool
is_required(const LmSchema *schema, int32_t list, LmBytes name)
{
	for (int32_t i = list < 0 ? -1 : schema->values[list].first; i >= 0; i = schema->values[i].next)
		if (schema->values[i].text.size == name.size &&
			memcmp(schema->values[i].text.data, name.data, name.size) == 0)
			return true;
	return false;
}

/* Members that are required, in that order, then the others. */
static void
add_object(LmSchema *schema, int32_t object)
{
	LmBuilder *builder = schema->builder;
	int32_t properties = lm_schema_member(schema, object, "properties"),
			required = lm_schema_member(schema, object, "required");
	int n_required = 0, n = 0;
	bool bare = schema->bare;

	if (properties < 0 && required < 0)
	{
		lm_schema_any_object(schema);
		return;
	}
	schema->bare = false;
	for (int32_t i = required < 0 ? -1 : schema->values[required].first; i >= 0 && !builder->failed;
		 i = schema->values[i].next)
	{
		int32_t property = properties < 0 ? -1 : schema->values[properties].first;
		LmBytes name = schema->values[i].text;

		while (property >= 0 && (schema->values[property].name.size != name.size ||
								 memcmp(schema->values[property].name.data, name.data, name.size)))
			property = schema->values[property].next;
		add_member(schema, name, property);
		n_required++;
	}
	n = n_required;
	for (int32_t i = properties < 0 ? -1 : schema->values[properties].first;
		 i >= 0 && !builder->failed; i = schema->values[i].next)
		if (!is_required(schema, required, schema->values[i].name))
		{
			add_member(schema, schema->values[i].name, i);
			n++;
		}
	schema->bare = bare;
	lm_build_members(builder, n, n_required);
	lm_build_ascii(builder, "{");
	lm_build_join_behind(builder);
	lm_build_ascii(builder, "}");
	lm_build_join(builder);
}
