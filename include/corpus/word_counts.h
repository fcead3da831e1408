/*
 * include/corpus/word_counts.h
 *
 * The counted words of several servers (engine/word_counts.h). A tokenizer that is trained on them
 * (gpt_corpus_tokenizer) is that of all their rows, bit for bit, where no word was left out.
 */
#ifndef GPT_WORD_COUNTS_H
#define GPT_WORD_COUNTS_H

#include "engine/word_counts.h"

/* The words of one server. */
typedef struct GptWordPart
{
	const char *server; /* named in errors */
	LmBytes words; /* a table ... */
	LmBytes characters; /* ... and that of characters, which may have none */
	double weight; /* bytes of all its texts for each byte of those that were counted */
} GptWordPart;

typedef struct GptWordCounts
{
	int n;
	const GptWordPart *parts;
	int64 least; /* words with smaller counts are left out; 0: none */
} GptWordCounts;

/* A walk over all words; one that several servers have comes several times. Zero it and set counts.
 */
typedef struct GptWordWalk
{
	const GptWordCounts *counts;
	bool of_characters;
	int part;
	bool in_part;
	LmWordReader reader;
	double bytes; /* of the occurrences of the part's words so far */
} GptWordWalk;

/*
 * False after the last. ERRCODE_DATA_CORRUPTED, with the server's name, for a damaged table, and
 * where its words, multiplied by the weight, have more than LM_COUNTED_MOST bytes.
 */
extern bool gpt_word_walk_next(LmBytes *word, int64 *count, GptWordWalk *walk);

/* How a trainer takes a word. */
typedef bool (*GptWordPut)(void *trainer, LmBytes word, int64 count, LmError *error);

/* Gives all words to a trainer. False where they need more memory than it may take. */
extern bool gpt_word_counts_put(void *trainer, GptWordPut put, const GptWordCounts *counts);

/* The tokens that a tokenizer makes of all words, and the bytes of these. */
extern double gpt_word_counts_tokens(double *bytes, LmTokenizer *tokenizer,
									 const GptWordCounts *counts);

#endif /* GPT_WORD_COUNTS_H */
