/*
 * src/engine/text/words.h
 *
 * The number of occurrences of each piece of text, from which BPE training starts.
 */
#ifndef LM_TEXT_WORDS_H
#define LM_TEXT_WORDS_H

#include "engine/tokenizer.h"

/* A distinct piece and its count. */
typedef struct LmWord
{
	size_t offset; /* in the arena */
	uint32_t size;
	uint32_t hash;
	int64_t count;
} LmWord;

/* A hash table of pieces. Zero it and set host before the first use. */
typedef struct LmWords
{
	LmHost host;
	LmWord *words;
	size_t count, capacity;
	char *arena; /* the words' bytes, one after the other */
	size_t arena_size, arena_capacity;
	int32_t *slots; /* index of the word + 1, 0 where empty */
	size_t n_slots; /* a power of two, or 0 */
} LmWords;

/* Counts a word once more. False with LM_ERR_MEMORY or LM_ERR_LIMIT; then nothing was counted. */
bool lm_words_add(LmWords *words, LmBytes word, LmError *error);
void lm_words_free(LmWords *words);
/* The bytes that it holds. */
size_t lm_words_memory(const LmWords *words);

#endif /* LM_TEXT_WORDS_H */
