/*
 * src/engine/text/letters.h
 *
 * The characters of a vocabulary whose tokens are characters: their ids, and where a text may be
 * cut without a change of its tokens.
 *
 * SentencePiece merges within a whole text. But two neighbours of a text that are neighbours in no
 * token are never in one token, whatever is merged, so that a text has the tokens of its pieces
 * between such neighbours. A set of bits knows the neighbours of all tokens by their hash; a pair
 * that it takes for another one only makes a piece longer.
 */
#ifndef LM_TEXT_LETTERS_H
#define LM_TEXT_LETTERS_H

#include "text/array.h"

#define LM_PAIR_BITS ((size_t) 1 << 21)
#define LM_PAIR_WORDS (LM_PAIR_BITS / 64)

/* The token of a character; code is the code point plus 1, 0 where the slot is empty. */
typedef struct LmLetterSlot
{
	int32_t code;
	int32_t id;
} LmLetterSlot;

/* The table of characters and the set of neighbours; both may be an image's. */
typedef struct LmLetters
{
	LmLetterSlot *slots;
	uint32_t mask;
	uint64_t *pairs; /* [LM_PAIR_WORDS] */
	LmHashKey key;
} LmLetters;

/* Whether the merges or the scores of a checked spec can make this token. */
static inline bool
lm_spec_makes(const LmTokenizerSpec *spec, int32_t id)
{
	return !spec->special[id] &&
		   !(spec->flags && spec->flags[id] & (LM_TOKEN_OUTSIDE | LM_TOKEN_BYTE));
}

/* From a checked spec; false with LM_ERR_MEMORY or _STOPPED. _free releases what it allocated. */
bool lm_letters_create(LmLetters *letters, const LmHost *host, const LmTokenizerSpec *spec,
					   LmError *error);
void lm_letters_free(LmLetters *letters, const LmHost *host);

/*
 * The end of the piece of valid text[0..size) that starts at position, 0 when stopped; each space
 * begins one where split_spaces.
 */
size_t lm_letters_piece_end(const LmLetters *letters, const LmHost *host, LmBytes text,
							size_t position, bool split_spaces);

/* The token of a character, or -1. */
static inline int32_t
lm_letter_id(const LmLetters *letters, int32_t code)
{
	uint32_t slot = lm_hash_pair(letters->key, (uint64_t) code) & letters->mask;

	while (letters->slots[slot].code != code + 1)
	{
		if (letters->slots[slot].code == 0)
			return -1;
		slot = (slot + 1) & letters->mask;
	}
	return letters->slots[slot].id;
}

/* The place of a pair of neighbours in the set of bits. */
static inline size_t
lm_letter_pair(const LmLetters *letters, int32_t left, int32_t right)
{
	uint64_t pair = (uint64_t) left << 32 | (uint32_t) right;

	return lm_hash_pair(letters->key, pair) & (LM_PAIR_BITS - 1);
}

#endif /* LM_TEXT_LETTERS_H */
