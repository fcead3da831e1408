/*
 * src/sql/named_tokenizer.h
 *
 * The tokenizer that an argument of a SQL function names.
 */
#ifndef GPT_NAMED_TOKENIZER_H
#define GPT_NAMED_TOKENIZER_H

#include "engine/tokenizer.h"

/*
 * A reference is "bytes", a model ("name" or "name@3"), or else the name of a tokenizer, in this
 * order: a model hides a tokenizer of the same name. Raises an error if there is neither, or if the
 * current role may not use it. The tokenizer is valid until the next call of a function of
 * serve/cache.h.
 */
extern LmTokenizer *gpt_named_tokenizer(const char *reference);

/* Raises an error unless the tokenizer has a token with this id. */
extern void gpt_check_token(const LmTokenizer *tokenizer, int32 id);

/* src/sql/sql_token.c: what a token spells, as gpt_token_text returns it, palloc'd. */
extern char *gpt_token_spelled(const LmTokenizer *tokenizer, int32 id);

#endif /* GPT_NAMED_TOKENIZER_H */
