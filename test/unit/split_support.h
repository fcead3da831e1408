/*
 * test/unit/split_support.h
 *
 * What the tests of splits share: random texts, and the comparison of two splits of a text.
 */
#ifndef TEST_SPLIT_SUPPORT_H
#define TEST_SPLIT_SUPPORT_H

#include "tokenizer_fixture.h"
#include "text/split.h"
#include "text/utf8.h"

static uint32_t random_state = 1;

static inline uint32_t
random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % n;
}

/* The ends of the pieces of text under two splits are the same. */
static inline bool
splits_equal(LmSplit *a, LmSplit *b, const char *text, size_t size)
{
	static LmPieces pieces_a, pieces_b;
	int i = 0, j = 0;
	size_t position = 0;
	LmError error = {0};

	lm_split_start(a, text, size);
	lm_split_start(b, text, size);
	pieces_a.count = pieces_b.count = 0;
	while (position < size)
	{
		if (i == pieces_a.count && (i = 0, !lm_split_next(a, &pieces_a, &error)))
			break;
		if (j == pieces_b.count && (j = 0, !lm_split_next(b, &pieces_b, &error)))
			break;
		if (pieces_a.count == 0 || pieces_b.count == 0 ||
			pieces_a.pieces[i].data != text + position || pieces_a.pieces[i].size == 0 ||
			pieces_a.pieces[i].size != pieces_b.pieces[j].size)
			break;
		position += pieces_a.pieces[i].size;
		i++, j++;
	}
	if (position == size)
		return true;
	printf("# %s at byte %zu of %zu: %.20s\n", error.code ? error.message : "pieces differ",
		   position, size, text + position);
	return false;
}

/* Text of up to n characters, chosen to stumble over. */
static inline size_t
random_text(char *text, uint32_t n)
{
	static const int32_t codes[] = {' ',	 ' ',	   ' ',	 '\'',	 's',	 't',  'r',	   'e',
									'v',	 'm',	   'l',	 'd',	 'S',	 'x',  '1',	   '9',
									'.',	 '!',	   '\n', '\t',	 '\r',	 0xA0, 0x85,   0x3000,
									0x2028,	 0x200B,   0xE9, 0x301,	 0x4E00, 0xBD, 0x2167, 0x1F642,
									0x1D4B3, 0x10FFFF, 0xAD, 0xFEFF, 0x660,	 0x1};
	size_t size = 0;

	for (uint32_t i = random_below(n + 1); i > 0; i--)
		size +=
			(size_t) lm_utf8_encode(text + size, codes[random_below(sizeof codes / sizeof *codes)]);
	return size;
}

#endif /* TEST_SPLIT_SUPPORT_H */
