/*
 * src/engine/text/schema_value.c
 *
 * Strings and numbers of a schema.
 */
#include "text/schema.h"

/* Forms of strings, as regular expressions. */
typedef struct Format
{
	const char *name;
	const char *pattern;
} Format;

#define LEAP "[02468][048]|[13579][26]"
#define DATE                                                          \
	"(?:(?:000[1-9]|00[1-9]\\d|0[1-9]\\d\\d|[1-9]\\d{3})-"            \
	"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|"                 \
	"(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|" \
	"(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|"                     \
	"(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
#define TIME "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?"
#define ZONE "(?:Z|[+\\-](?:0\\d|1[0-3]):[0-5]\\d)"

/*
 * date, time and date-time are those of RFC 3339 but that of a date-time the zone, and of a time
 * always, and that a space may stand for the T, as PostgreSQL writes it.
 */
static const Format formats[] = {
	{"date", DATE},
	{"time", TIME},
	{"date-time", DATE "[T ]" TIME ZONE},
	{"local-date-time", DATE "[T ]" TIME},
	{"uuid", "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"},
};

static void content(const LmSchema *schema, int32_t object);
static void any_character(const LmSchema *schema);
static bool add_format(const LmSchema *schema, int32_t object);
static int fraction_of(const LmSchema *schema, int32_t object, bool is_integer);
static LmBytes bound(const LmSchema *schema, int32_t object, const char *name, const char *open,
					 bool *is_open);

void
lm_schema_string(const LmSchema *schema, int32_t object)
{
	LmBuilder *builder = schema->builder;
	bool before = lm_builder_quote(builder, !schema->bare);

	content(schema, object);
	lm_builder_quote(builder, before);
	if (schema->bare)
		return;
	lm_build_ascii(builder, "\"");
	lm_build_join_behind(builder);
	lm_build_ascii(builder, "\"");
	lm_build_join(builder);
}

void
lm_schema_any_string(const LmSchema *schema)
{
	lm_schema_string(schema, -1);
}

/* What all keywords that are there allow. */
static void
content(const LmSchema *schema, int32_t object)
{
	LmBuilder *builder = schema->builder;
	int32_t pattern = lm_schema_member(schema, object, "pattern");
	int64_t least = lm_schema_count(schema, object, "minLength", 0),
			most = lm_schema_count(schema, object, "maxLength", -1);
	bool has_length = least > 0 || most >= 0, has_format;

	if (pattern >= 0 && schema->values[pattern].kind != LM_JSON_STRING)
		lm_schema_fail(schema, pattern, (LmBytes){"pattern", 7}, "is no text");
	has_format = add_format(schema, object);
	if (pattern >= 0)
	{
		lm_build_regex(builder, schema->values[pattern].text, true);
		if (has_format)
			lm_build_both(builder);
	}
	if ((has_format || pattern >= 0) && !has_length)
		return;
	any_character(schema);
	lm_build_repeat(builder, least, most);
	if (most >= 0 && most < least)
		lm_build_nothing(builder), lm_build_both(builder);
	if (has_format || pattern >= 0)
		lm_build_both(builder);
}

/* Characters of texts: no control characters but white space. */
static void
any_character(const LmSchema *schema)
{
	static const LmCodeRange ranges[] = {{'\t', '\n'}, {'\r', '\r'}, {' ', '~'}, {0xA0, 0x10FFFF}};

	lm_build_class(schema->builder, ranges, 4);
}

static bool
add_format(const LmSchema *schema, int32_t object)
{
	int32_t format = lm_schema_member(schema, object, "format");

	if (format < 0)
		return false;
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (schema->values[format].kind == LM_JSON_STRING &&
			lm_json_is(schema->values[format].text, formats[i].name))
		{
			lm_build_regex(schema->builder,
						   (LmBytes){formats[i].pattern, strlen(formats[i].pattern)}, false);
			return true;
		}
	lm_schema_fail(schema, format, schema->values[format].text,
				   "is a format that is not supported");
	return false;
}

void
lm_schema_number(const LmSchema *schema, int32_t object, bool is_integer)
{
	LmDecimals decimals = {.digits = LM_ANY_DIGITS};

	decimals.min = bound(schema, object, "minimum", "exclusiveMinimum", &decimals.open_min);
	decimals.max = bound(schema, object, "maximum", "exclusiveMaximum", &decimals.open_max);
	decimals.fraction = fraction_of(schema, object, is_integer);
	lm_build_decimals(schema->builder, &decimals);
}

static LmBytes
bound(const LmSchema *schema, int32_t object, const char *name, const char *open, bool *is_open)
{
	int32_t closed_member = lm_schema_member(schema, object, name),
			open_member = lm_schema_member(schema, object, open),
			member = open_member >= 0 ? open_member : closed_member;

	*is_open = open_member >= 0;
	if (member < 0)
		return (LmBytes){NULL, 0};
	if (open_member >= 0 && closed_member >= 0)
		lm_schema_fail(schema, member, (LmBytes){open, strlen(open)},
					   "stands beside another bound");
	else if (schema->values[member].kind != LM_JSON_NUMBER)
		lm_schema_fail(schema, member, (LmBytes){name, strlen(name)}, "is no number");
	return schema->values[member].text;
}

/* multipleOf is 1, 0.1, 0.01 ...: the digits after the point. */
static int
fraction_of(const LmSchema *schema, int32_t object, bool is_integer)
{
	int32_t step = lm_schema_member(schema, object, "multipleOf");
	LmBytes text;

	if (step < 0)
		return is_integer ? 0 : LM_ANY_FRACTION;
	text = schema->values[step].text;
	if (lm_json_is(text, "1"))
		return 0;
	if (schema->values[step].kind == LM_JSON_NUMBER && text.size > 2 && text.size <= 22 &&
		memcmp(text.data, "0.", 2) == 0 && text.data[text.size - 1] == '1')
	{
		size_t i = 2;

		while (text.data[i] == '0')
			i++;
		if (i == text.size - 1)
			return is_integer ? 0 : (int) text.size - 2;
	}
	lm_schema_fail(schema, step, (LmBytes){"multipleOf", 10}, "is no power of ten up to 1");
	return 0;
}
