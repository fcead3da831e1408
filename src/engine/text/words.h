/*
 * src/engine/text/words.h
 *
 * Distinct pieces of text and how often each occurs, from which tokenizers are trained.
 *
 * A word is a record in a block; blocks never move, so that the table grows without copies of them.
 * A slot of the hash table has the word's hash and the place of its record.
 *
 *   block   | count << 11 | size | bytes ... padding to 8 | count << 11 | size | bytes ... | 0 |
 *   slot    hash << 32 | block << 17 | offset / 8         0 where empty; offset 0 of block 0 is
 * none
 */
#ifndef LM_TEXT_WORDS_H
#define LM_TEXT_WORDS_H

#include "engine/tokenizer.h"

#define LM_WORD_BLOCK ((size_t) 1 << 20) /* bytes */
#define LM_WORD_MOST LM_MAX_TOKEN_SIZE /* bytes of a word */

/* A hash table of words. Zero it and set host before the first use. */
typedef struct LmWords
{
	LmHost host;
	char **blocks;
	size_t n_blocks, blocks_capacity;
	size_t last, used; /* the block that is being filled, and bytes of it */
	uint64_t *slots;
	size_t n_slots; /* a power of two, or 0; at most 2/3 are filled */
	size_t count; /* of words */
	size_t size; /* bytes of all words */
} LmWords;

/* Where a walk over the words is. Zero it to begin. */
typedef struct LmWordCursor
{
	size_t block, offset;
} LmWordCursor;

/*
 * Room for n further words of together size bytes: lm_words_put of them cannot fail. False with
 * LM_ERR_MEMORY or LM_ERR_LIMIT; the table stays.
 */
bool lm_words_reserve(LmWords *words, size_t n, size_t size, LmError *error);
/* Whether there is. */
bool lm_words_room(const LmWords *words, size_t n, size_t size);
/* Adds count occurrences of each word of 1 to LM_WORD_MOST bytes. There must be room. */
void lm_words_put(LmWords *words, const LmBytes *batch, int n, int64_t count);
/* Both for one word. */
bool lm_words_add(LmWords *words, LmBytes word, int64_t count, LmError *error);

/* The next word and its count, in no order that means anything; false after the last. */
bool lm_words_next(const LmWords *words, LmWordCursor *cursor, LmBytes *word, int64_t *count);

/* The count of a word; 0 where there is none. */
int64_t lm_words_count(const LmWords *words, LmBytes word);

/* Without words; keeps the memory. */
void lm_words_clear(LmWords *words);
void lm_words_free(LmWords *words);
/* The bytes that it holds. */
size_t lm_words_memory(const LmWords *words);

#endif /* LM_TEXT_WORDS_H */
