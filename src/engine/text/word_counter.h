/*
 * src/engine/text/word_counter.h
 *
 * Texts go in, their distinct words and how often each occurs come out: split and counted on all
 * threads of an engine, each of which has a table of its own. The counts depend on the texts alone.
 *
 * Beyond a limit of memory the words go out in parts by their hash, so that the caller can store
 * them, and come back a part at a time with their counts added up.
 */
#ifndef LM_TEXT_WORD_COUNTER_H
#define LM_TEXT_WORD_COUNTER_H

#include "text/words.h"

#define LM_SPILL_PARTS 32
#define LM_SPILL_BLOCK ((size_t) 64 << 10)

/* How to count. */
typedef struct LmCounterOptions
{
	const char *pattern; /* as in LmTokenizerSpec */
	bool normalize_nfc, normalize_nfkc;
	LmEngine *engine; /* NULL: on the caller's thread */
	size_t memory; /* bytes of tables beyond which it is full; 0: none */
} LmCounterOptions;

/* Tables of words, one for each thread. */
typedef struct LmWordCounter LmWordCounter;

/* NULL with LM_ERR_FORMAT, _LIMIT, _MEMORY or _LIBRARY. */
LmWordCounter *lm_counter_create(const LmHost *host, const LmCounterOptions *options,
								 LmError *error);
void lm_counter_free(LmWordCounter *counter);

/*
 * Counts the words of n texts. A piece longer than LM_WORD_MOST is cut into several words. Errors
 * of lm_tokenizer_encode; *failed is the text that one is about. After LM_ERR_STOPPED, and after
 * LM_ERR_LIMIT when the counter is full and the caller has spilled it, the same call with the same
 * texts goes on where it ended; lm_counter_forget gives that up.
 */
bool lm_counter_add(LmWordCounter *counter, const LmBytes *texts, int n, int *failed,
					LmError *error);
void lm_counter_forget(LmWordCounter *counter);

/*
 * Adds count occurrences of a word of 1 to LM_WORD_MOST bytes, counted elsewhere, between two calls
 * of _add. LM_ERR_LIMIT when the counter is full, LM_ERR_MEMORY.
 */
bool lm_counter_put(LmWordCounter *counter, LmBytes word, int64_t count, LmError *error);

bool lm_counter_full(const LmWordCounter *counter);
size_t lm_counter_memory(const LmWordCounter *counter);
/* Words in the tables; one that is in those of two threads counts twice. */
size_t lm_counter_count(const LmWordCounter *counter);

/*
 * The next block of words of a part, which lives until the next call; size 0 when all words are
 * out and the tables are empty. No words are added in between. LM_ERR_MEMORY: data is NULL.
 */
LmBytes lm_counter_spill(LmWordCounter *counter, int *part, LmError *error);
/* Adds the words of a block that was spilled. LM_ERR_FORMAT for one that was not. */
bool lm_counter_restore(LmWordCounter *counter, LmBytes block, LmError *error);

/*
 * All words in one table, which is the counter's; NULL with LM_ERR_MEMORY, _LIMIT or _STOPPED, and
 * then it can be called again.
 */
const LmWords *lm_counter_words(LmWordCounter *counter, LmError *error);
/* Frees the tables, or just empties them. */
void lm_counter_release(LmWordCounter *counter);
void lm_counter_clear(LmWordCounter *counter);

#endif /* LM_TEXT_WORD_COUNTER_H */
