/*
 * src/engine/text/split_deepseek.c
 *
 * The last of DeepSeek V3's splits without the regular expression engine, equal to ICU's matches of
 * its pattern on every text, for Q the signs of ASCII:
 *
 *   Q[A-Za-z]+ | [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+ |  ?[\p{P}\p{S}]+[\r\n]* |
 *   \s*[\r\n]+ | \s+(?!\S) | \s+
 *
 * No alternative takes a number, or a character without a class, that has no letter after it: such
 * characters are a gap up to the next match.
 */
#include "text/split_class.h"

#define LETTER_MASK (U_GC_L_MASK | U_GC_M_MASK)
#define SIGN_MASK (U_GC_P_MASK | U_GC_S_MASK)

/* What the pattern tells apart. */
typedef enum Kind
{
	OTHER,
	LETTER, /* or a mark */
	SIGN,
	SPACE, /* but for the next ones */
	NEWLINE, /* \r, \n */
} Kind;

static Kind kind_at(const char *text, int *length);
static size_t letters_end(const LmHost *host, const char *text, size_t size, size_t position);
static size_t signs_end(const LmHost *host, const char *text, size_t size, size_t position);
static size_t gap_end(const LmHost *host, const char *text, size_t size, size_t position);
static bool is_ascii_letter(char byte);

size_t
lm_deepseek_piece_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	int length, next_length;
	Kind first = kind_at(text + position, &length), next = OTHER;
	size_t start = position + (size_t) length;

	if (start < size)
		next = kind_at(text + start, &next_length);
	switch (first)
	{
		case LETTER:
			return letters_end(host, text, size, position);
		case SIGN:
			if (length > 1 || next != LETTER || !is_ascii_letter(text[start]))
				return signs_end(host, text, size, position);
			while (start < size && is_ascii_letter(text[start]))
				if (++start % LM_POLL_SIZE == 0 && !lm_text_go_on(host, NULL))
					return 0;
			return start;
		case OTHER:
			return next == LETTER ? letters_end(host, text, size, start)
								  : gap_end(host, text, size, start);
		case SPACE:
			if (next == LETTER)
				return letters_end(host, text, size, start);
			if (next == SIGN && text[position] == ' ')
				return signs_end(host, text, size, start);
			break;
		case NEWLINE:
			break;
	}
	return lm_spaces_end(host, text, size, position);
}

static Kind
kind_at(const char *text, int *length)
{
	static const unsigned char ascii[128] = {
		['\t'] = SPACE,			['\n'] = NEWLINE,		[0x0B ... 0x0C] = SPACE,
		['\r'] = NEWLINE,		[' '] = SPACE,			['!' ... '/'] = SIGN,
		[':' ... '@'] = SIGN,	['A' ... 'Z'] = LETTER, ['[' ... '`'] = SIGN,
		['a' ... 'z'] = LETTER, ['{' ... '~'] = SIGN,
	};
	unsigned char byte = (unsigned char) text[0];
	uint32_t mask;
	int32_t code;

	if (byte < 0x80)
	{
		*length = 1;
		return (Kind) ascii[byte];
	}
	code = lm_utf8_decode(text, length);
	mask = U_MASK(u_charType(code));
	if (mask & LETTER_MASK)
		return LETTER;
	if (mask & SIGN_MASK)
		return SIGN;
	return u_isUWhiteSpace(code) ? SPACE : OTHER;
}

/* The end of letters and marks; 0 when stopped, as below. */
static size_t
letters_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	size_t poll = position + LM_POLL_SIZE;

	while (position < size)
	{
		int length = size - position >= 8 ? lm_ascii_letters(text + position, 0x40) : 0;

		if (length == 0 && kind_at(text + position, &length) != LETTER)
			break;
		position += (size_t) length;
		if (position < poll)
			continue;
		if (!lm_text_go_on(host, NULL))
			return 0;
		poll = position + LM_POLL_SIZE;
	}
	return position;
}

/* The end of signs and the ends of lines after them. */
static size_t
signs_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	size_t poll = position + LM_POLL_SIZE;
	bool in_signs = true;

	while (position < size)
	{
		int length;
		Kind kind = kind_at(text + position, &length);

		in_signs = in_signs && kind == SIGN;
		if (!in_signs && kind != NEWLINE)
			break;
		position += (size_t) length;
		if (position < poll)
			continue;
		if (!lm_text_go_on(host, NULL))
			return 0;
		poll = position + LM_POLL_SIZE;
	}
	return position;
}

/* The end of a gap: where another kind begins, or in front of the last of it if a letter follows.
 */
static size_t
gap_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	size_t poll = position + LM_POLL_SIZE, last = position;

	while (position < size)
	{
		int length;
		Kind kind = kind_at(text + position, &length);

		if (kind == LETTER)
			return last;
		if (kind != OTHER)
			break;
		last = position;
		position += (size_t) length;
		if (position < poll)
			continue;
		if (!lm_text_go_on(host, NULL))
			return 0;
		poll = position + LM_POLL_SIZE;
	}
	return position;
}

static bool
is_ascii_letter(char byte)
{
	return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}
