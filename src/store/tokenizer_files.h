/*
 * src/store/tokenizer_files.h
 *
 * What the readers of a tokenizer's file in bytes and in text share.
 */
#ifndef GPT_TOKENIZER_FILES_H
#define GPT_TOKENIZER_FILES_H

#include "engine/tokenizer.h"

#define GPT_BYTE_ORDER_MARK "\xEF\xBB\xBF"

/*
 * A tokenizer.json, a tokenizer.model, or ranks, by what they begin with. split is only for ranks;
 * an error elsewhere.
 */
extern LmTokenizerSpec *gpt_tokenizer_from_file(const char *data, size_t size, const char *split);

#endif /* GPT_TOKENIZER_FILES_H */
