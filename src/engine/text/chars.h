/*
 * src/engine/text/chars.h
 *
 * The table from code points to ids of a tokenizer of characters.
 */
#ifndef LM_TEXT_CHARS_H
#define LM_TEXT_CHARS_H

#include "engine/tokenizer.h"

#define LM_N_CODES 0x110000
#define LM_CODE_PAGE 256

/* A table of two levels: pages of 256 code points, of which only those with a token exist. */
typedef struct LmChars
{
	LmHost host;
	int32_t unknown; /* id, or -1 */
	int32_t pages[LM_N_CODES / LM_CODE_PAGE]; /* index into ids; page 0 is the empty one */
	int32_t (*ids)[LM_CODE_PAGE]; /* id + 1, 0: no token */
} LmChars;

/* From a checked spec; NULL with LM_ERR_MEMORY. */
LmChars *lm_chars_create(const LmHost *host, const LmTokenizerSpec *spec, LmError *error);
void lm_chars_free(LmChars *chars);
/* Shares the ids, which lm_chars_free must then not see. */
LmChars *lm_chars_fork(const LmChars *chars, const LmHost *host, LmError *error);

/*
 * Appends the ids of valid text. LM_ERR_ENCODING for a character without a token where `unknown` is
 * -1.
 */
bool lm_chars_encode(const LmChars *chars, LmTokens *tokens, const char *text, size_t size,
					 LmError *error);

#endif /* LM_TEXT_CHARS_H */
