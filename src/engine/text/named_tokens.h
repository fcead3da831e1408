/*
 * src/engine/text/named_tokens.h
 *
 * The tokens of a tokenizer that a chat template can name: found once, then looked up.
 */
#ifndef LM_TEXT_NAMED_TOKENS_H
#define LM_TEXT_NAMED_TOKENS_H

#include "text/tokenizer_parts.h"

/* Frees tokenizer->named; NULL is fine. */
void lm_named_tokens_free(LmTokenizer *tokenizer);

/*
 * The token whose name the text begins with: *id, and in *length the bytes of its name; 0: there is
 * none. Of several special tokens the longest one. LM_ERR_MEMORY.
 */
bool lm_named_tokens_find(size_t *length, int32_t *id, LmTokenizer *tokenizer, LmBytes text,
						  LmError *error);

#endif /* LM_TEXT_NAMED_TOKENS_H */
