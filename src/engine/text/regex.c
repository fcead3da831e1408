/*
 * src/engine/text/regex.c
 *
 * A regular expression becomes a language on a builder's stack. A text must match it as a whole.
 *
 *   x            the character itself; \ in front of a sign makes it a character
 *   .            any character but \n and \r
 *   [a-z_] [^"]  one of some characters, or any other one
 *   \d \w \s     [0-9], [A-Za-z0-9_], [ \t\n\v\f\r]; \D \W \S any other; also within [...]
 *   [[:alpha:]]  classes of POSIX, of ASCII: alnum alpha blank digit lower punct space upper word
 *                xdigit
 *   \n \t \r \f \v \e \xHH \x{H...} \uHHHH    a character by its number
 *   ab  a|b  (a)  (?:a)                        one after the other, either, groups
 *   a?  a*  a+  a{2}  a{2,}  a{2,5}           repetition; a ? after one of these changes nothing
 *   ^ $          at the beginning and at the end of the pattern, or of an alternative outside of
 *                groups, where they change nothing
 *
 * Everything else is an error with its position: assertions, back references, \b, \p{...}, flags,
 * possessive repetition. \d, \w and \s are those of ECMA-262, which JSON Schema refers to.
 */
#include "text/regex.h"
#include "text/utf8.h"

#define MOST_BOUND 1000000
#define ANY ((LmCodeRange){1, 0x10FFFF})

/* An expression on its way to the builder. */
typedef struct Parser
{
	LmBuilder *builder;
	const char *data;
	size_t size;
	size_t at;
	bool search;
	bool ended; /* $ has been read */
	int depth; /* groups that are open */
	bool has_alternative[LM_MOST_NESTED + 1]; /* each of them, and outside */
} Parser;

static void begin_sequence(Parser *parser);
static void end_sequence(Parser *parser);
static void read_one(Parser *parser);
static void read_repetition(Parser *parser);
static void open_group(Parser *parser);
static void close_group(Parser *parser);
static bool read_bounds(Parser *parser, int64_t *min, int64_t *max);

void
lm_build_regex(LmBuilder *builder, LmBytes pattern, bool search)
{
	Parser parser = {.builder = builder, .data = pattern.data, .size = pattern.size};
	size_t position;

	parser.search = search;
	if (pattern.size > LM_MOST_PATTERN)
	{
		lm_builder_fail(builder, LM_ERR_LIMIT, -1, "the pattern has %zu bytes, more than %d",
						pattern.size, LM_MOST_PATTERN);
		return;
	}
	if (!lm_utf8_valid(pattern.data, pattern.size, &position))
	{
		lm_builder_fail(builder, LM_ERR_ENCODING, (int64_t) position,
						"the pattern is not valid UTF-8");
		return;
	}
	begin_sequence(&parser);
	for (size_t i = 0; parser.at < parser.size && lm_builder_go_on(builder, i); i++)
		read_one(&parser);
	if (parser.depth > 0)
		lm_regex_fail(builder, parser.size, "a group is not closed by )");
	end_sequence(&parser);
}

void
lm_regex_fail(LmBuilder *builder, size_t at, const char *what)
{
	lm_builder_fail(builder, LM_ERR_FORMAT, (int64_t) at, "%s at byte %zu of the pattern", what,
					at + 1);
}

static bool
looks_at(const Parser *parser, const char *text)
{
	size_t n = strlen(text);

	return parser->size - parser->at >= n && memcmp(parser->data + parser->at, text, n) == 0;
}

static void
any_text(LmBuilder *builder)
{
	LmCodeRange any = ANY;

	lm_build_class(builder, &any, 1);
	lm_build_repeat(builder, 0, -1);
}

/* The sequence so far, onto which what follows is joined. */
static void
begin_sequence(Parser *parser)
{
	bool outside = parser->depth == 0;

	parser->ended = false;
	if (outside && looks_at(parser, "^"))
		parser->at++;
	else if (outside && parser->search)
	{
		any_text(parser->builder);
		return;
	}
	lm_build_ascii(parser->builder, "");
}

/* After the last of a sequence: puts it together with the alternatives before it. */
static void
end_sequence(Parser *parser)
{
	if (parser->depth == 0 && parser->search && !parser->ended)
	{
		any_text(parser->builder);
		lm_build_join(parser->builder);
	}
	if (parser->has_alternative[parser->depth])
		lm_build_either(parser->builder);
}

/* An atom with its repetition, or a sign between them. */
static void
read_one(Parser *parser)
{
	LmBuilder *builder = parser->builder;
	char c = parser->data[parser->at];

	if (parser->ended && (c != '|' || parser->depth > 0))
		lm_regex_fail(builder, parser->at - 1, "$ stands before the end");
	else if (c == '|')
	{
		parser->at++;
		end_sequence(parser);
		parser->has_alternative[parser->depth] = true;
		begin_sequence(parser);
	}
	else if (c == '(')
		open_group(parser);
	else if (c == ')')
		close_group(parser);
	else if (c == '$' && parser->depth == 0)
	{
		parser->ended = true;
		parser->at++;
	}
	else if (c == '^' || c == '$')
		lm_regex_fail(builder, parser->at,
					  c == '^' ? "^ stands after the beginning" : "$ stands inside a group");
	else if (c == '*' || c == '+' || c == '?' || c == '{')
		lm_regex_fail(builder, parser->at, "a repetition of nothing stands");
	else
	{
		lm_regex_atom(builder, parser->data, parser->size, &parser->at);
		read_repetition(parser);
		lm_build_join(builder);
	}
}

static void
open_group(Parser *parser)
{
	size_t at = parser->at++;

	if (looks_at(parser, "?:"))
		parser->at += 2;
	else if (looks_at(parser, "?"))
	{
		lm_regex_fail(parser->builder, at,
					  "an assertion, a flag or a named group, which is not supported, stands");
		return;
	}
	if (parser->depth == LM_MOST_NESTED)
	{
		lm_builder_fail(parser->builder, LM_ERR_LIMIT, (int64_t) at,
						"the pattern has more than %d groups within each other", LM_MOST_NESTED);
		return;
	}
	parser->has_alternative[++parser->depth] = false;
	begin_sequence(parser);
}

static void
close_group(Parser *parser)
{
	if (parser->depth == 0)
	{
		lm_regex_fail(parser->builder, parser->at, ") without a group stands");
		return;
	}
	parser->at++;
	end_sequence(parser);
	parser->depth--;
	read_repetition(parser);
	lm_build_join(parser->builder);
}

static void
read_repetition(Parser *parser)
{
	size_t at = parser->at;
	int64_t min = 0, max = -1;

	if (parser->at >= parser->size || parser->builder->failed)
		return;
	switch (parser->data[parser->at])
	{
		case '?':
			max = 1;
			break;
		case '*':
			break;
		case '+':
			min = 1;
			break;
		case '{':
			if (!read_bounds(parser, &min, &max))
				return;
			break;
		default:
			return;
	}
	parser->at++;
	lm_build_repeat(parser->builder, min, max);
	if (looks_at(parser, "?"))
		parser->at++;
	if (looks_at(parser, "+"))
		lm_regex_fail(parser->builder, at, "possessive repetition, which is not supported, stands");
	else if (looks_at(parser, "*") || looks_at(parser, "?") || looks_at(parser, "{"))
		lm_regex_fail(parser->builder, parser->at, "a repetition of a repetition stands");
}

/* Digits of a bound; -1 where there are none. */
static int64_t
read_bound(Parser *parser)
{
	int64_t bound = -1;

	while (parser->at < parser->size && parser->data[parser->at] >= '0' &&
		   parser->data[parser->at] <= '9')
	{
		bound = (bound < 0 ? 0 : bound) * 10 + (parser->data[parser->at++] - '0');
		if (bound > MOST_BOUND)
		{
			lm_builder_fail(parser->builder, LM_ERR_LIMIT, (int64_t) parser->at,
							"a repetition of the pattern is beyond %d", MOST_BOUND);
			return -1;
		}
	}
	return bound;
}

/* {2}, {2,} or {2,5}, up to its }. */
static bool
read_bounds(Parser *parser, int64_t *min, int64_t *max)
{
	size_t at = parser->at++;
	bool open = false;

	*min = *max = read_bound(parser);
	if (*min >= 0 && looks_at(parser, ","))
	{
		parser->at++;
		*max = read_bound(parser);
		open = *max < 0;
	}
	if (*min < 0 || !looks_at(parser, "}") || (!open && *max < *min))
	{
		lm_regex_fail(parser->builder, at, "a repetition that is not {n}, {n,} or {n,m} stands");
		return false;
	}
	return !parser->builder->failed;
}
