/*
 * src/sql/evaluate_retrieval.h
 *
 * The part of gpt_evaluate for texts that should be found: columns query, positive and negative.
 */
#ifndef GPT_EVALUATE_RETRIEVAL_H
#define GPT_EVALUATE_RETRIEVAL_H

#include "corpus/row_scores.h"
#include "corpus/source.h"
#include "serve/cache.h"

/* Embeddings of all rows. */
typedef struct GptRetrieval GptRetrieval;

/* For a model that is served; in the current memory context. */
extern GptRetrieval *gpt_retrieval_create(const GptServed *served);

/* Adds a row; returns the number of its texts that have an embedding. Checks gpt.max_memory. */
extern int64 gpt_retrieval_add(GptRetrieval *retrieval, const GptSourceRow *row);

/* Compares each query with all other texts, after the last row; what each row adds to measures. */
extern void gpt_retrieval_finish(GptRetrieval *retrieval);
extern GptRowScores *gpt_retrieval_scores(const GptRetrieval *retrieval);

/* Hands each measure to put, after _finish. */
extern void gpt_retrieval_measure(const GptRetrieval *retrieval,
								  void (*put)(void *context, const char *metric, double value),
								  void *context);

#endif /* GPT_EVALUATE_RETRIEVAL_H */
