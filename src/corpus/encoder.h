/*
 * src/corpus/encoder.h
 *
 * Documents to token ids, on all threads, in the order in which they are added.
 */
#ifndef GPT_ENCODER_H
#define GPT_ENCODER_H

#include "corpus/spool.h"
#include "engine/tokenizer.h"

typedef struct GptEncoder GptEncoder;

/*
 * Gets each document with its ids, in order. document->text is not set; ids live until it returns.
 */
typedef void (*GptEncoded)(void *context, const GptDocument *document, const int32 *ids,
						   size_t n_ids);

/*
 * Texts are collected up to some megabytes and encoded together. Everything lives in the current
 * memory context, but for some hundred bytes of ICU that a pattern of its own needs and
 * gpt_encoder_free gives back. Between two calls the tokenizer is not in use.
 */
extern GptEncoder *gpt_encoder_create(LmTokenizer *tokenizer, int n_threads, GptEncoded receive,
									  void *context);
extern void gpt_encoder_add(GptEncoder *encoder, const GptDocument *document);
extern void gpt_encoder_flush(GptEncoder *encoder); /* hands on what is collected */
extern void gpt_encoder_free(GptEncoder *encoder);

#endif /* GPT_ENCODER_H */
