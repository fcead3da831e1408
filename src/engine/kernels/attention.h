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

/* Rows [first, last) of keys that all queries of a document see; the first is the document's. */
typedef struct LmPrefix
{
	int first;
	int last;
} LmPrefix;

/* The arguments of one call, forward or backward, and its scratch; shapes as in engine/ops.h. */
typedef struct LmAttention
{
	const LmEngine *engine;
	const LmSimd *simd;
	float *out;
	float *lse;
	const float *dout;
	/* of rows of ld_q floats, and of rows of ld_k floats; in self-attention all in one array */
	const float *q;
	const float *k;
	const float *v;
	float *dq;
	float *dk;
	float *dv;
	int ld_q;
	int ld_k;
	const int32_t *starts;
	const int32_t *prefixes; /* where they end; NULL: there are none */
	const int32_t *first_keys; /* of cross-attention, where prefixes have all keys; NULL */
	const LmDropout *dropout;
	uint32_t threshold; /* 0: no dropout */
	LmAttentionShape shape;
	int A; /* floats of a row of out */
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
	LmPrefix prefix;
	int end; /* of all keys that the block's queries see */
	int query;
	int n_queries;
	int first_key; /* of the first block of keys that these queries see */
	int key;
	int n_keys;
	int head;
} LmBlock;

/* The arguments of a call but its outputs: of self-attention, and of cross-attention. */
LmAttention lm_attention_begin(const LmEngine *engine, const LmAttentionShape *shape,
							   const float *qkv, const LmDocumentRows *rows,
							   const LmDropout *dropout);
LmAttention lm_cross_attention_begin(const LmEngine *engine, const LmAttentionShape *shape,
									 const float *q, const float *kv, const LmCrossRows *rows,
									 const LmDropout *dropout);
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

/* Offset of a head's query in q and dq. */
static inline size_t
lm_attention_query(const LmAttention *attention, int row, int head)
{
	return (size_t) row * (size_t) attention->ld_q +
		   (size_t) head * (size_t) attention->shape.head_size;
}

/* Offset in k, v, dk and dv of the key, and of the value, that a head of queries reads. */
static inline size_t
lm_attention_key(const LmAttention *attention, int row, int head)
{
	return (size_t) row * (size_t) attention->ld_k +
		   (size_t) (head / attention->group) * (size_t) attention->shape.head_size;
}

/* Offset in an array [n_rows, A]. */
static inline size_t
lm_attention_row_offset(const LmAttention *attention, int row, int head)
{
	return (size_t) row * (size_t) attention->A +
		   (size_t) head * (size_t) attention->shape.head_size;
}

/* The block of queries from `query` on, without keys. */
LmBlock lm_attention_queries(const LmAttention *attention, LmSpan document, int head, int query);

/*
 * Sets first_key and key: to the first block of keys that the block's first query sees, at a
 * distance from the document's first key of which masks are made.
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

/* The block's keys that query i sees end here: with itself, or with the prefix. */
static inline int
lm_attention_seen(const LmAttention *attention, const LmBlock *block, int i)
{
	int own = attention->first_keys ? 0 : block->query + i + 1;
	int end = own > block->prefix.last ? own : block->prefix.last;

	return lm_attention_clamp(block, end - block->key);
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
