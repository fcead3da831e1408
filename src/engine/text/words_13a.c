/*
 * src/engine/text/words_13a.c
 *
 * A text goes in, and comes out with spaces between its words, as the script mteval-v13a of NIST
 * writes it: four rules, one after the other, each from the left.
 *
 *   1. a space on both sides of ASCII's signs but ' , - .
 *   2. of a period or comma after anything but a digit
 *   3. of one before anything but a digit
 *   4. of a dash after a digit
 *
 * All signs of the rules are ASCII, so bytes serve as well as characters.
 */
#include <string.h>

#include <unicode/uchar.h>

#include "text/words_13a.h"

/* Rule 1 makes three bytes of one; a period gets up to four spaces by rules 2 and 3. */
#define GROWTH 5
#define ENDS 2 /* a space at each end */

typedef struct Replacement
{
	const char *from;
	const char *to;
} Replacement;

/* They follow one another: "&amp;lt;" becomes "<". */
static const Replacement replacements[] = {{"<skipped>", ""}, {"-\n", ""},	  {"\n", " "},
										   {"&quot;", "\""},  {"&amp;", "&"}, {"&lt;", "<"},
										   {"&gt;", ">"}};

bool
lm_is_python_space(int32_t character)
{
	return u_isUWhiteSpace(character) || (character >= 0x1C && character <= 0x1F);
}

/* Asks the host every LM_POLL_SIZE bytes; *poll: the next offset to ask at. */
static bool
go_on(size_t *poll, size_t offset, const LmHost *host, LmError *error)
{
	if (offset < *poll)
		return true;
	*poll = offset + LM_POLL_SIZE;
	return lm_text_go_on(host, error);
}

/* Replaces a string by one that is not longer, in place. False for LM_ERR_STOPPED. */
static bool
replace(char *text, size_t *size, Replacement change, const LmHost *host, LmError *error)
{
	size_t from_size = strlen(change.from), to_size = strlen(change.to), n = 0, poll = 0;

	for (size_t i = 0; i < *size;)
	{
		if (!go_on(&poll, i, host, error))
			return false;
		if (text[i] != change.from[0] || i + from_size > *size ||
			memcmp(text + i, change.from, from_size) != 0)
		{
			text[n++] = text[i++];
			continue;
		}
		memcpy(text + n, change.to, to_size);
		n += to_size;
		i += from_size;
	}
	*size = n;
	return true;
}

/* The size of the text without white space at its end. */
static size_t
without_end(LmBytes text)
{
	size_t size = text.size;

	while (size > 0)
	{
		size_t start = lm_utf8_boundary(text.data, size, size - 1);
		int decoded;

		if (!lm_is_python_space(lm_utf8_decode(text.data + start, &decoded)))
			break;
		size = start;
	}
	return size;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_point(char c)
{
	return c == '.' || c == ',';
}

/* Whether the byte is a sign of rule 1. */
static bool
is_sign(char c)
{
	return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
		   (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

/* How many bytes a rule takes from the front of a text: 0 where it does not apply. */
static int
taken_by(int rule, const char *text, size_t size)
{
	switch (rule)
	{
		case 1:
			return is_sign(text[0]) ? 1 : 0;
		case 2:
			return size > 1 && !is_digit(text[0]) && is_point(text[1]) ? 2 : 0;
		case 3:
			return size > 1 && is_point(text[0]) && !is_digit(text[1]) ? 2 : 0;
		default:
			return size > 1 && is_digit(text[0]) && text[1] == '-' ? 2 : 0;
	}
}

/* Writes the text by a rule, whose sign gets its spaces. False for LM_ERR_STOPPED. */
static bool
apply(char *out, int rule, const char *text, size_t *size, const LmHost *host, LmError *error)
{
	size_t n = 0, poll = 0;

	for (size_t i = 0; i < *size;)
	{
		int taken = taken_by(rule, text + i, *size - i);
		bool sign_is_first = rule == 1 || rule == 3;

		if (!go_on(&poll, i, host, error))
			return false;
		if (taken == 2 && !sign_is_first)
			out[n++] = text[i];
		if (taken > 0)
		{
			out[n++] = ' ';
			out[n++] = text[i + (sign_is_first ? 0 : 1)];
			out[n++] = ' ';
		}
		if (taken == 0 || (taken == 2 && sign_is_first))
			out[n++] = text[i + (taken == 2 ? 1 : 0)];
		i += taken > 0 ? (size_t) taken : 1;
	}
	*size = n;
	return true;
}

bool
lm_words_13a(LmSpaced *spaced, const LmHost *host, LmBytes text, LmError *error)
{
	size_t room = GROWTH * (text.size + ENDS);
	char *one = lm_allocate_unset(host, room), *other = lm_allocate_unset(host, room);
	bool good = one && other;
	size_t size = without_end(text);

	if (!good)
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for the words of a text");
	else
	{
		one[0] = ' ';
		if (size > 0)
			memcpy(one + 1, text.data, size);
		for (size_t i = 0; good && i < sizeof replacements / sizeof *replacements; i++)
			good = replace(one + 1, &size, replacements[i], host, error);
		one[1 + size] = ' ';
		size += ENDS;
	}
	for (int rule = 1; good && rule <= 4; rule++)
	{
		char *written = other;

		good = apply(other, rule, one, &size, host, error);
		other = one;
		one = written;
	}
	lm_free(host, other);
	if (!good)
		lm_free(host, one);
	else
		*spaced = (LmSpaced){one, size};
	return good;
}
