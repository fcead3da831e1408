/*
 * src/engine/text/normalize.h
 *
 * Normalisation forms C and KC (Unicode Standard Annex 15) by ICU, and the spaces of SentencePiece.
 */
#ifndef LM_TEXT_NORMALIZE_H
#define LM_TEXT_NORMALIZE_H

#include "engine/tokenizer.h"

/* A growing text. */
typedef struct LmText
{
	char *data;
	size_t size;
	size_t capacity;
} LmText;

/*
 * Replaces what `out` held by the NFC form of valid text; `out` is zeroed before its first use,
 * grows as needed and is released with lm_array_free(out->data). Linear in time even for hostile
 * text: a run of more than 1,024 characters that all may combine with the one before is normalised
 * in parts. False with LM_ERR_STOPPED, _MEMORY, _LIMIT (the form is larger than a text may be) or
 * _LIBRARY.
 */
bool lm_text_normalize(const LmHost *host, LmText *out, const char *text, size_t size,
					   LmError *error);
/* The same for form KC. */
bool lm_text_normalize_kc(const LmHost *host, LmText *out, const char *text, size_t size,
						  LmError *error);

/*
 * Replaces what `out` held by valid text with a space in front of it (`prefix`) and spaces for each
 * U+2581 (`signs`). Errors as above.
 */
bool lm_text_set_spaces(const LmHost *host, LmText *out, LmBytes text, bool prefix, bool signs,
						LmError *error);

#endif /* LM_TEXT_NORMALIZE_H */
