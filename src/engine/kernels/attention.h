/*
 * src/engine/kernels/attention.h
 *
 * How attention is cut into pieces and where a piece keeps its blocks of scores; shared by both
 * directions.
 */
#ifndef LM_ATTENTION_H
#define LM_ATTENTION_H

#include "kernels/dropout.h"

#define LM_QUERY_BLOCK 64
/* a multiple of LM_MASK_GROUP: masks are made for a block at a time */
#define LM_KEY_BLOCK 512

/* Rows [first, last) of queries; whole documents, or a part of the one that begins at `start`. */
typedef struct LmSpan
{
	int start;
	int first;
	int last;
} LmSpan;

/* The arguments of one call, forward or backward, and its scratch; shapes as in engine/ops.h. */
typedef struct LmAttention
{
	const LmEngine *engine;
	const LmSimd *simd;
	float *out;
	float *lse;
	float *dqkv;
	const float *dout;
	const float *qkv;
	const int32_t *starts;
	const LmDropout *dropout;
	uint32_t threshold; /* 0: no dropout */
	int H;
	int C;
	int head_size;
	float scale;
	LmSpan *spans;
	float *blocks; /* [threads][2][LM_QUERY_BLOCK][LM_KEY_BLOCK] */
} LmAttention;

/*
 * Queries [query, query + n_queries) of a document against keys [key, key + n_keys) of it, for one
 * head.
 */
typedef struct LmBlock
{
	int start;
	int query;
	int n_queries;
	int key;
	int n_keys;
	int head;
} LmBlock;

/* Runs piece once for each head of each span. */
void lm_attention_run(LmEngine *engine, LmAttention *attention, LmPiece piece, int n_rows,
					  int most_queries, void *scratch);

/* Calls block for each document of the span, in order. */
typedef void (*LmDocumentFunction)(const LmAttention *attention, LmSpan document, int head,
								   int thread);
void lm_attention_documents(const LmAttention *attention, int piece, int thread,
							LmDocumentFunction function);

/* This thread's block of scores, 0 or 1. */
static inline float *
lm_attention_block(const LmAttention *attention, int thread, int number)
{
	return attention->blocks +
		   ((size_t) thread * 2 + (size_t) number) * LM_QUERY_BLOCK * LM_KEY_BLOCK;
}

/* Part 0 queries, 1 keys, 2 values of a row in an array [n_rows, 3 C]. */
static inline size_t
lm_attention_offset(const LmAttention *attention, int row, int part, int head)
{
	return ((size_t) row * 3 + (size_t) part) * (size_t) attention->C +
		   (size_t) head * (size_t) attention->head_size;
}

/* Offset in an array [n_rows, C]. */
static inline size_t
lm_attention_row_offset(const LmAttention *attention, int row, int head)
{
	return (size_t) row * (size_t) attention->C + (size_t) head * (size_t) attention->head_size;
}

/* scores [n_queries, LM_KEY_BLOCK] = q k' / sqrt(head_size) */
void lm_attention_scores(const LmAttention *attention, const LmBlock *block, float *scores);

/* The block's keys that query i sees: those up to itself. */
static inline int
lm_attention_seen(const LmBlock *block, int i)
{
	int n = block->query + i + 1 - block->key;

	return n < 0 ? 0 : n < block->n_keys ? n : block->n_keys;
}

/* The mask of query i for the block's keys; writes whole groups of LM_MASK_GROUP. */
void lm_attention_mask(const LmAttention *attention, const LmBlock *block, int i, float *mask);

#endif /* LM_ATTENTION_H */
