/*
 * src/engine/text/function_words.h
 *
 * The languages of a word.
 */
#ifndef LM_TEXT_FUNCTION_WORDS_H
#define LM_TEXT_FUNCTION_WORDS_H

#include "engine/survey.h"

#define LM_LONGEST_WORD 63 /* bytes */

/* The languages that have the word, one bit each. */
uint32_t lm_function_words_find(const LmFunctionWords *words, LmBytes word);

#endif /* LM_TEXT_FUNCTION_WORDS_H */
