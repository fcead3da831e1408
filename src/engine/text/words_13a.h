/*
 * src/engine/text/words_13a.h
 *
 * Words as mteval-v13a cuts them for BLEU, and white space as the tools of that field see it.
 */
#ifndef LM_WORDS_13A_H
#define LM_WORDS_13A_H

#include "text/utf8.h"

/* A text with spaces around each word; the caller frees data with lm_free. */
typedef struct LmSpaced
{
	char *data;
	size_t size;
} LmSpaced;

/* LM_ERR_MEMORY, LM_ERR_STOPPED. */
bool lm_words_13a(LmSpaced *spaced, const LmHost *host, LmBytes text, LmError *error);

/* Unicode's white space, and the four separators of ASCII, which Python counts as such. */
bool lm_is_python_space(int32_t character);

#endif /* LM_WORDS_13A_H */
