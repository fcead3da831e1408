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
	LmAttentionShape shape;
	int A; /* floats of a row of queries, and of out */
	int ld; /* floats of a row of qkv */
	int group; /* queries that share a head of keys and values */
	int pieces; /* of a span: heads of queries, or of keys and values */
	LmSpan *spans;
	float *blocks; /* [threads][2][LM_QUERY_BLOCK][LM_KEY_BLOCK] */
} LmAttention;

/*
 * Queries [query, query + n_queries) of a document against keys [key, key + n_keys) of it, for one
 * head of queries.
 */
typedef struct LmBlock
{
	int start;
	int query;
	int n_queries;
	int first_key; /* of the first block of keys that these queries see */
	int key;
	int n_keys;
	int head;
} LmBlock;

/* The whole of a call's arguments but its arrays. */
LmAttention lm_attention_begin(const LmEngine *engine, const LmAttentionShape *shape,
							   const float *qkv, const int32_t *starts, const LmDropout *dropout);
/* Runs piece attention->pieces times for each span. */
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

/* Offset of a head's query in an array [n_rows, A + 2 K]. */
static inline size_t
lm_attention_query(const LmAttention *attention, int row, int head)
{
	return (size_t) row * (size_t) attention->ld +
		   (size_t) head * (size_t) attention->shape.head_size;
}

/* Offset of the key that a head of queries reads, and of the value. */
static inline size_t
lm_attention_key(const LmAttention *attention, int row, int head)
{
	return lm_attention_query(attention, row, attention->shape.heads + head / attention->group);
}

static inline size_t
lm_attention_value(const LmAttention *attention, int row, int head)
{
	return lm_attention_query(attention, row,
							  attention->shape.heads + attention->shape.kv_heads +
								  head / attention->group);
}

/* Offset in an array [n_rows, A]. */
static inline size_t
lm_attention_row_offset(const LmAttention *attention, int row, int head)
{
	return (size_t) row * (size_t) attention->A +
		   (size_t) head * (size_t) attention->shape.head_size;
}

/*
 * Sets first_key and key: to the first block of keys that the block's first query sees, at a
 * distance from the document's start of which masks are made.
 */
void lm_attention_first_keys(const LmAttention *attention, LmBlock *block);

/* scores [n_queries, LM_KEY_BLOCK] = the capped q k' scale */
void lm_attention_scores(const LmAttention *attention, const LmBlock *block, float *scores);

/* A count of keys, cut to those of the block. */
static inline int
lm_attention_clamp(const LmBlock *block, int n)
{
	return n < 0 ? 0 : n < block->n_keys ? n : block->n_keys;
}

/* The block's keys that query i sees end here: with itself. */
static inline int
lm_attention_seen(const LmBlock *block, int i)
{
	return lm_attention_clamp(block, block->query + i + 1 - block->key);
}

/* The block's keys before this one are outside the window of query i. */
static inline int
lm_attention_hidden(const LmAttention *attention, const LmBlock *block, int i)
{
	int window = attention->shape.window;

	return window > 0 ? lm_attention_clamp(block, block->query + i + 1 - window - block->key) : 0;
}

/* The mask of query i for the block's keys; writes whole groups of LM_MASK_GROUP. */
void lm_attention_mask(const LmAttention *attention, const LmBlock *block, int i, float *mask);

#endif /* LM_ATTENTION_H */
