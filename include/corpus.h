/*
 * include/corpus.h
 *
 * From the rows of a query to a mapped token file and its tokenizer.
 */
#ifndef GPT_CORPUS_H
#define GPT_CORPUS_H

#include "catalog.h"
#include "engine/batch.h"
#include "engine/tokenizer.h"
#include "job.h"
#include "options.h"
#include "progress.h"
#include "spool.h"

typedef struct GptCorpus
{
	GptJobCorpus counts;
	LmTokenizer *tokenizer;
	bool tokenizer_is_stored;
	uint8 tokenizer_hash[GPT_SHA256_SIZE]; /* where it is stored; otherwise it is stored with the model */
	LmDataset dataset; /* shuffle, documents, context and seed are set */
	bool has_validation;
} GptCorpus;

/*
 * Reads the job's rows in one read-only transaction, as the current role, then trains or loads the tokenizer and
 * writes the token file. The corpus lives in the current memory context. Outside of transactions.
 */
extern GptCorpus *gpt_corpus_create(const GptJob *job, const GptTrainOptions *options, GptProgress *progress);
extern void gpt_corpus_free(GptCorpus *corpus);

/* src/corpus_tokenizer.c: the tokenizer that the options ask for, in the current context. */
extern LmTokenizer *gpt_corpus_tokenizer(const GptTrainOptions *options, GptSpool *spool, uint8 *sha256, bool *stored,
										 GptProgress *progress);

#endif /* GPT_CORPUS_H */
