/*
 * src/engine/text/added.h
 *
 * Finds added tokens in a text: from left to right, of those that begin at one place the longest.
 * Special tokens are among them: unless the caller asks for them they are stepped over, so that
 * their letters stay one piece of text.
 */
#ifndef LM_TEXT_ADDED_H
#define LM_TEXT_ADDED_H

#include "text/array.h"

/* The added and special tokens in the order of their bytes. */
typedef struct LmAdded
{
	int32_t n;
	const int32_t *ids;
	int32_t *own; /* ids, where they are this tokenizer's */
	bool plain[2]; /* there are tokens that are not special: [0] of the raw text, [1] normalised */
	bool special[2];
	size_t longest_signed; /* bytes of the longest of LM_TOKEN_SIGNS; 0: there are none */
	bool first[256]; /* a token begins with this byte in a text */
} LmAdded;

/*
 * A token in a text: it takes bytes [start, end). The next one is looked for from `next`, which is
 * before the end of a token that took white space on its right: Hugging Face's library does so.
 */
typedef struct LmAddedMatch
{
	size_t start;
	size_t end;
	size_t next;
	int32_t id; /* -1: there is none, and start and end are the text's end */
} LmAddedMatch;

/* Lists the tokens of the spec; LM_ERR_MEMORY, _STOPPED. _open: from the list of an image. */
bool lm_added_create(LmTokenizer *tokenizer, LmError *error);
void lm_added_open(LmTokenizer *tokenizer, const int32_t *ids, int32_t n);

/* Whether a text has to be searched at all; flags are of LmEncodeFlag. */
bool lm_added_wanted(const LmAdded *added, bool normalized, int flags);

/* The match after this one; that before the first is all zero. False with LM_ERR_STOPPED. */
bool lm_added_next(const LmTokenizer *tokenizer, LmAddedMatch *match, LmBytes text, bool normalized,
				   int flags, LmError *error);

/* The longest token whose name a text begins with, but for those of LM_TOKEN_SIGNS; or -1. */
int32_t lm_added_named(const LmTokenizer *tokenizer, LmBytes text);

#endif /* LM_TEXT_ADDED_H */
