/*
 * src/engine/text/split_class.h
 *
 * The classes of characters that the hand-written splits tell apart, and runs of them.
 */
#ifndef LM_TEXT_SPLIT_CLASS_H
#define LM_TEXT_SPLIT_CLASS_H

#include <unicode/uchar.h>

#include "text/split.h"
#include "text/utf8.h"

/* \p{L}, \p{N}, \s of Unicode, and all others. */
typedef enum LmTextClass
{
	LM_CLASS_OTHER,
	LM_CLASS_LETTER,
	LM_CLASS_NUMBER,
	LM_CLASS_SPACE,
} LmTextClass;

/* The class of a code point that is not ASCII. */
static inline LmTextClass
lm_class_of(int32_t code)
{
	uint32_t mask = U_MASK(u_charType(code));

	if (mask & U_GC_L_MASK)
		return LM_CLASS_LETTER;
	if (mask & U_GC_N_MASK)
		return LM_CLASS_NUMBER;
	return u_isUWhiteSpace(code) ? LM_CLASS_SPACE : LM_CLASS_OTHER;
}

/* The class of the character at text, and its length in bytes; ASCII by a table. */
static inline LmTextClass
lm_class_at(const char *text, int *length)
{
	static const unsigned char ascii[128] = {
		['\t' ... '\r'] = LM_CLASS_SPACE, [' '] = LM_CLASS_SPACE,
		['0' ... '9'] = LM_CLASS_NUMBER,  ['A' ... 'Z'] = LM_CLASS_LETTER,
		['a' ... 'z'] = LM_CLASS_LETTER,
	};
	unsigned char byte = (unsigned char) text[0];

	if (byte < 0x80)
	{
		*length = 1;
		return ascii[byte];
	}
	return lm_class_of(lm_utf8_decode(text, length));
}

/*
 * How many of the eight bytes at text are ASCII letters up to the first that is none; letters of
 * one case if `bit` is 0x20 (small) or 0 (capital), of both if it is 0x40.
 */
static inline int
lm_ascii_letters(const char *text, int bit)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t word, folded, letters;

	memcpy(&word, text, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	/* Bytes below 0x80 do not carry into the next one. */
	folded = (word | (bit == 0x40 ? 0x20 * ones : 0)) & 0x7F * ones;
	letters = (folded + (0x80 - (bit == 0 ? 'A' : 'a')) * ones) &
			  ~(folded + (0x7F - (bit == 0 ? 'Z' : 'z')) * ones) & ~word & 0x80 * ones;
	letters ^= 0x80 * ones;
	return letters == 0 ? 8 : __builtin_ctzll(letters) / 8;
}

/*
 * The end of the run of one class that starts at position, 0 when stopped; *last is its last
 * character.
 */
size_t lm_run_end(const LmHost *host, const char *text, size_t size, size_t position,
				  LmTextClass wanted, size_t *last);

/*
 * \s*[\r\n]+|\s+(?!\S)|\s+ at white space: up to its last end of a line; where it has none, all of
 * it at the end of the text, else all but its last character. 0 when stopped.
 */
size_t lm_spaces_end(const LmHost *host, const char *text, size_t size, size_t position);

#endif /* LM_TEXT_SPLIT_CLASS_H */
