/*
 * src/corpus/worthwhile.h
 *
 * How many of the tokens that BPE has learnt a model should have.
 */
#ifndef GPT_WORTHWHILE_H
#define GPT_WORTHWHILE_H

#include "corpus/spool.h"
#include "store/progress.h"

/*
 * Numbers and identifiers make pairs without end, which cut them here so and there so, and shorten
 * the texts by next to nothing. The size grows while twice as many tokens would make the texts
 * shorter by least_gain; 0: all tokens. What the result does not share with spec is in the current
 * memory context.
 */
extern LmTokenizerSpec gpt_worthwhile_tokens(const LmTokenizerSpec *spec, double least_gain,
											 GptSpool *spool, GptProgress *progress);

/* The same, where a function counts the tokens that the tokenizer makes of the texts. */
typedef double (*GptTokenCounter)(void *context, LmTokenizer *tokenizer);
extern LmTokenizerSpec gpt_worthwhile_tokens_by(const LmTokenizerSpec *spec, double least_gain,
												GptTokenCounter count, void *context);

#endif /* GPT_WORTHWHILE_H */
