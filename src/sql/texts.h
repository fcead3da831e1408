/*
 * src/sql/texts.h
 *
 * Values of type gpt_texts: one text, or an array of texts.
 */
#ifndef GPT_TEXTS_H
#define GPT_TEXTS_H

#include "fmgr.h"

#include "engine/tokenizer.h"

/*
 * The texts of an argument, palloc'd; the bytes stay in the argument's value, detoasted. NULL with
 * *n 0 for a NULL argument or one that the function does not have. More than `most` texts, a NULL
 * among them and an empty one are errors that name the argument.
 */
extern LmBytes *gpt_texts_read(int *n, FunctionCallInfo fcinfo, int number, const char *name,
							   int most);

#endif /* GPT_TEXTS_H */
