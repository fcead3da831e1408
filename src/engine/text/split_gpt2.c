/*
 * src/engine/text/split_gpt2.c
 *
 * GPT-2's split (Radford et al. 2019, encoder.py) without the regular expression engine: one pass
 * over the bytes, the class of a code point from ICU's character properties. The pattern has seven
 * alternatives:
 *
 *   's|'t|'re|'ve|'m|'ll|'d | ?\p{L}+ | ?\p{N}+ | ?[^\s\p{L}\p{N}]+ | \s+(?!\S) | \s+
 *
 * The fifth takes a run of white space short of its last character when something else follows, so
 * that the last one can be the blank in front of a word; a run that ends the text is taken whole.
 */
#include <unicode/uchar.h>

#include "text/split.h"
#include "text/utf8.h"

typedef enum TextClass
{
	CLASS_OTHER,
	CLASS_LETTER,
	CLASS_NUMBER,
	CLASS_SPACE,
} TextClass;

static inline TextClass class_at(const char *text, int *length);
static TextClass class_of(int32_t code);
static size_t contraction_size(const char *text, size_t size);
static size_t run_end(const LmHost *host, const char *text, size_t size, size_t position,
					  TextClass wanted, size_t *last);

size_t
lm_gpt2_piece_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	size_t start = position, last = position, end;
	TextClass first;
	int length;

	if (text[position] == '\'')
	{
		size_t contraction = contraction_size(text + position, size - position);

		if (contraction)
			return position + contraction;
	}
	if (text[position] == ' ' && position + 1 < size)
		start++;
	first = class_at(text + start, &length);
	if (first != CLASS_SPACE)
		return run_end(host, text, size, start, first, &last);

	end = run_end(host, text, size, position, CLASS_SPACE, &last);
	return end < size && end != 0 && last > position ? last : end;
}

/*
 * The end of the run of one class that starts at position, 0 when stopped; *last is its last
 * character.
 */
static size_t
run_end(const LmHost *host, const char *text, size_t size, size_t position, TextClass wanted,
		size_t *last)
{
	size_t poll = position + LM_POLL_SIZE;

	while (position < size)
	{
		int length;

		if (class_at(text + position, &length) != wanted)
			break;
		*last = position;
		position += (size_t) length;
		if (position >= poll)
		{
			if (!lm_text_go_on(host, NULL))
				return 0;
			poll = position + LM_POLL_SIZE;
		}
	}
	return position;
}

/* Bytes of 's, 't, 'm, 'd, 're, 've or 'll at text, which begins with the apostrophe; else 0. */
static size_t
contraction_size(const char *text, size_t size)
{
	if (size < 2)
		return 0;
	switch (text[1])
	{
		case 's':
		case 't':
		case 'm':
		case 'd':
			return 2;
		case 'r':
		case 'v':
			return size >= 3 && text[2] == 'e' ? 3 : 0;
		case 'l':
			return size >= 3 && text[2] == 'l' ? 3 : 0;
		default:
			return 0;
	}
}

/* The class of the character at text, and its length in bytes; ASCII by a table. */
static inline TextClass
class_at(const char *text, int *length)
{
	static const unsigned char ascii[128] = {
		['\t' ... '\r'] = CLASS_SPACE, [' '] = CLASS_SPACE,			 ['0' ... '9'] = CLASS_NUMBER,
		['A' ... 'Z'] = CLASS_LETTER,  ['a' ... 'z'] = CLASS_LETTER,
	};
	unsigned char byte = (unsigned char) text[0];

	if (byte < 0x80)
	{
		*length = 1;
		return ascii[byte];
	}
	return class_of(lm_utf8_decode(text, length));
}

static TextClass
class_of(int32_t code)
{
	uint32_t mask = U_MASK(u_charType(code));

	if (mask & U_GC_L_MASK)
		return CLASS_LETTER;
	if (mask & U_GC_N_MASK)
		return CLASS_NUMBER;
	return u_isUWhiteSpace(code) ? CLASS_SPACE : CLASS_OTHER;
}
