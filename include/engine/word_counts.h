/*
 * include/engine/word_counts.h
 *
 * The words of texts, or their characters, with their counts, as bytes that travel: texts are
 * counted on several machines, and one of them trains a tokenizer from all counts, which never sees
 * a text. A word leaves a survey only if it is frequent enough there and stands in two different
 * rows.
 *
 *   table    | n | entry 1 | ... | entry n |
 *   entry    | bytes that it shares with the word before | further bytes | those | count |
 *
 * Numbers are unsigned, seven bits a byte, the lowest first (LEB128, https://dwarfstd.org, section
 * 7.6), in the shortest form. Words are in the order of their bytes, each once, and share as much
 * as they can: equal counts are equal bytes.
 */
#ifndef LM_WORD_COUNTS_H
#define LM_WORD_COUNTS_H

#include "engine/tokenizer.h"

/*
 * Bytes of all occurrences of a table's words, at most. Sums of 64 such tables stay below 2^46,
 * which the trainers multiply by 2^16.
 */
#define LM_COUNTED_MOST ((int64_t) 1 << 40)

/* How to count. */
typedef struct LmWordSurveyOptions
{
	const char *pattern; /* as in LmTokenizerSpec */
	bool normalize_nfc, normalize_nfkc; /* one at most */
	bool rows; /* counts of words in one row alone can be left out */
	bool characters; /* counts those of the texts too */
	size_t memory; /* bytes of tables beyond which it is full; 0: no limit */
} LmWordSurveyOptions;

typedef struct LmWordSurvey LmWordSurvey;

/* NULL with LM_ERR_FORMAT, _LIMIT, _MEMORY or _LIBRARY. */
LmWordSurvey *lm_word_survey_create(const LmHost *host, const LmWordSurveyOptions *options,
									LmError *error);
void lm_word_survey_free(LmWordSurvey *survey);

/*
 * Counts a text as the trainers of tokenizers do. row: any number that is the same for all texts of
 * a row, and for equal rows. Errors of lm_tokenizer_encode. After LM_ERR_STOPPED the same call goes
 * on. After LM_ERR_LIMIT, when it is full, and LM_ERR_MEMORY it is of no more use.
 */
bool lm_word_survey_add(LmWordSurvey *survey, LmBytes text, uint64_t row, LmError *error);
bool lm_word_survey_full(const LmWordSurvey *survey);

/* The tables of a survey. */
typedef enum LmSurveyed
{
	LM_SURVEYED_WORDS,
	LM_SURVEYED_CHARACTERS, /* empty unless options.characters */
	LM_N_SURVEYED
} LmSurveyed;

/* A table that was written, and what it lacks. */
typedef struct LmWordTable
{
	LmBytes bytes; /* from the host, until _free */
	int64_t floor; /* of counts: the wanted one, or a higher one that makes the table fit */
	int64_t n; /* words, and ... */
	int64_t occurrences; /* ... the sum of their counts */
	int64_t n_rare; /* words below the floor, or in one row alone ... */
	int64_t rare_occurrences; /* ... and the sum of their counts */
} LmWordTable;

/*
 * Writes the words that occur at least floor times, above 1 also in two different rows at least (a
 * survey with options.rows). Where the table would be larger than most bytes, the floor is doubled
 * until it fits. LM_ERR_MEMORY; LM_ERR_LIMIT beyond LM_COUNTED_MOST; LM_ERR_STOPPED: again.
 */
bool lm_word_survey_write(LmWordTable *table, const LmWordSurvey *survey, LmSurveyed which,
						  int64_t floor, size_t most, LmError *error);
void lm_word_table_free(const LmHost *host, LmWordTable *table);

/* A walk over a table that may have come from anybody. Nothing is allocated. */
typedef struct LmWordReader
{
	LmBytes rest;
	uint64_t n_left;
	int64_t counted; /* bytes of the occurrences so far */
	size_t size; /* of the last word */
	char word[LM_MAX_TOKEN_SIZE];
} LmWordReader;

/*
 * _next: the next word, which lives until the next call, and its count; size 0 after the last. The
 * words are valid UTF-8 without a zero, have 1 to LM_MAX_TOKEN_SIZE bytes, and ascend. Both:
 * LM_ERR_FORMAT for bytes that lm_word_survey_write does not write.
 */
bool lm_word_reader_open(LmWordReader *reader, LmBytes bytes, LmError *error);
bool lm_word_reader_next(LmBytes *word, int64_t *count, LmWordReader *reader, LmError *error);

#endif /* LM_WORD_COUNTS_H */
