/*
 * src/engine/text/clean_steps.h
 *
 * The steps of a cleaner, and the way in which they write: a step names the ranges of its input
 * that change, in order, and what stands for each; all between them is copied as it is.
 */
#ifndef LM_TEXT_CLEAN_STEPS_H
#define LM_TEXT_CLEAN_STEPS_H

#include "engine/clean.h"
#include "text/normalize.h"
#include "text/utf8.h"

/* A set of words; open addressing, the words one after the other in `bytes`. */
typedef struct LmStopWords
{
	char *bytes;
	uint32_t *slots; /* [n_slots] place of a word plus 1; 0: empty */
	uint32_t n_slots; /* a power of two */
} LmStopWords;

struct LmCleaner
{
	LmHost host;
	LmCleanOptions options; /* its pointers lead into what the cleaner owns */
	char *placeholders;
	LmStopWords stop_words;
	LmText buffers[2]; /* a step reads one and writes the other */
};

/* The writing of one step. */
typedef struct LmRewrite
{
	const LmCleaner *cleaner;
	LmText *out;
	LmBytes in;
	size_t done; /* bytes of `in` that `out` already stands for */
	size_t next_poll;
	bool changed;
	LmError *error;
} LmRewrite;

/* Starts to rewrite a text into `out`, whose content goes. */
void lm_rewrite_begin(LmRewrite *rewrite, const LmCleaner *cleaner, LmText *out, LmBytes in,
					  LmError *error);
/*
 * Puts `with` in the place of bytes from..to of the input, which lie at or after all earlier ones.
 * False with LM_ERR_MEMORY or _LIMIT.
 */
bool lm_rewrite_replace(LmRewrite *rewrite, size_t from, size_t to, const char *with, size_t size);
/* Copies what remains. *in becomes the result if anything was replaced. */
bool lm_rewrite_end(LmRewrite *rewrite, LmBytes *in);
/* Asks the host whether to go on once in LM_POLL_SIZE bytes; `at` is the place in the input. */
static inline bool
lm_rewrite_go_on(LmRewrite *rewrite, size_t at)
{
	if (at < rewrite->next_poll)
		return true;
	rewrite->next_poll = at + LM_POLL_SIZE;
	return lm_text_go_on(&rewrite->cleaner->host, rewrite->error);
}

/*
 * The steps. Each reads *text, and where it changes anything writes to `out` and points *text
 * there. False as lm_cleaner_run.
 */
bool lm_clean_html(LmCleaner *cleaner, LmText *out, LmBytes *text, LmError *error);
bool lm_clean_unseen(LmCleaner *cleaner, LmText *out, LmBytes *text, LmError *error);
bool lm_clean_case(LmCleaner *cleaner, LmText *out, LmBytes *text, LmError *error);
bool lm_clean_form(LmCleaner *cleaner, LmText *out, LmBytes *text, LmError *error);
/* counts: [LM_N_MASKS], added to. */
bool lm_clean_masks(LmCleaner *cleaner, LmText *out, LmBytes *text, int64_t *counts,
					LmError *error);
bool lm_clean_words(LmCleaner *cleaner, LmText *out, LmBytes *text, LmError *error);
bool lm_clean_space(LmCleaner *cleaner, LmText *out, LmBytes *text, int flags, LmError *error);

/* ---- Parts of steps -------------------------------------------------------------------------- */

/*
 * The length of a character reference at text, from '&' to ';', and the character; 0: there is
 * none.
 */
size_t lm_entity(int32_t *code, const char *text, size_t size);

/*
 * The end of a telephone number that starts at `start`; `start` itself: there is none. Looks at a
 * bounded number of bytes.
 */
size_t lm_phone_end(LmBytes text, size_t start);
/*
 * The same of a number of n_digits or more; SIZE_MAX: the host wants to stop. All bytes that it
 * looks at but a bounded number belong to the number.
 */
size_t lm_number_end(LmRewrite *rewrite, size_t start, int n_digits);
/* The length of a digit (of scripts whose digits are in use) at a place; 0: there is none. */
int lm_digit_length(LmBytes text, size_t at);

/* Folded words in a table; false as lm_cleaner_create. */
bool lm_stop_words_create(LmStopWords *words, const LmHost *host, const LmBytes *list, int n,
						  LmError *error);
void lm_stop_words_free(LmStopWords *words, const LmHost *host);

/*
 * Letters of scripts that put no spaces between words, and of Korean, whose particles follow
 * without one: an address written in the midst of them ends before them.
 */
bool lm_is_unspaced(int32_t code);

#endif /* LM_TEXT_CLEAN_STEPS_H */
