/*
 * src/corpus/encoder.h
 *
 * Documents to token ids, on all threads, in the order in which they are added.
 */
#ifndef GPT_ENCODER_H
#define GPT_ENCODER_H

#include "corpus/spool.h"
#include "engine/prompt.h"
#include "engine/tokenizer.h"

/* Encodes documents on several threads. */
typedef struct GptEncoder GptEncoder;

/*
 * Receives each document with its token ids, in order. Text and ids live until it returns.
 */
typedef void (*GptEncoded)(void *context, const GptDocument *document, const int32 *ids,
						   size_t n_ids);

/*
 * Collects texts up to some megabytes and encodes them together. Everything lives in the current
 * memory context; a tokenizer with its own pattern also needs some hundred bytes of ICU, which
 * _free gives back. The tokenizer is in use only during the calls. prompt: how prompts are written;
 * its texts must outlive the encoder.
 */
extern GptEncoder *gpt_encoder_create(LmTokenizer *tokenizer, const LmPromptTemplate *prompt,
									  int n_threads, GptEncoded receive, void *context);
extern void gpt_encoder_add(GptEncoder *encoder, const GptDocument *document);
extern void gpt_encoder_flush(GptEncoder *encoder); /* encodes the collected documents */
extern void gpt_encoder_free(GptEncoder *encoder);

#endif /* GPT_ENCODER_H */
