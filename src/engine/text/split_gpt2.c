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
#include "text/split_class.h"

static size_t contraction_size(const char *text, size_t size);

size_t
lm_gpt2_piece_end(const LmHost *host, const char *text, size_t size, size_t position)
{
	size_t start = position, last = position, end;
	LmTextClass first;
	int length;

	if (text[position] == '\'')
	{
		size_t contraction = contraction_size(text + position, size - position);

		if (contraction)
			return position + contraction;
	}
	if (text[position] == ' ' && position + 1 < size)
		start++;
	first = lm_class_at(text + start, &length);
	if (first != LM_CLASS_SPACE)
		return lm_run_end(host, text, size, start, first, &last);

	end = lm_run_end(host, text, size, position, LM_CLASS_SPACE, &last);
	return end < size && end != 0 && last > position ? last : end;
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

size_t
lm_run_end(const LmHost *host, const char *text, size_t size, size_t position, LmTextClass wanted,
		   size_t *last)
{
	size_t poll = position + LM_POLL_SIZE;

	while (position < size)
	{
		int length = 0;

		/* Words: up to eight letters at once. */
		if (wanted == LM_CLASS_LETTER && size - position >= 8)
			length = lm_ascii_letters(text + position, 0x40);
		if (length > 0)
			*last = position + (size_t) length - 1;
		else if (lm_class_at(text + position, &length) != wanted)
			break;
		else
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
