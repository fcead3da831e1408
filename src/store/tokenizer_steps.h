/*
 * src/store/tokenizer_steps.h
 *
 * The steps of a tokenizer.json around its model.
 */
#ifndef GPT_TOKENIZER_STEPS_H
#define GPT_TOKENIZER_STEPS_H

#include "store/tokenizer_reader.h"

/*
 * Read the steps into the spec; the decoder comes after the pre-tokenizer, which says whether the
 * model is one of bytes. NULL: there is no such step. Raise an error for a step that is not
 * supported.
 */
extern void gpt_reader_normalizer(GptTokenizerReader *reader, const GptJson *normalizer);
extern void gpt_reader_pre_tokenizer(GptTokenizerReader *reader, const GptJson *pre_tokenizer);
extern void gpt_reader_decoder(GptTokenizerReader *reader, const GptJson *decoder);
extern void gpt_reader_post_processor(GptTokenizerReader *reader, const GptJson *processor);

/* The regular expression of a "Split" whose pieces are all kept, palloc'd or the file's. */
extern const char *gpt_reader_split(const GptJson *split);

/* Splits by one more pattern, which is copied. */
extern void gpt_reader_add_pattern(GptTokenizerReader *reader, const char *pattern);

#endif /* GPT_TOKENIZER_STEPS_H */
