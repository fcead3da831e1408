/*
 * src/engine/kernels/attention.c
 *
 * Attention inside documents, causal, to a prefix, or to keys of other rows: a block of queries
 * against blocks of keys with a running maximum and sum (Dao et al. 2022, "FlashAttention",
 * algorithm 1). Blocks of keys are long,
 * because a document seldom is longer than one: then there are two large products a block of
 * queries, and nothing to correct.
 *
 * A piece is one head of queries in a span of rows. Short documents share a span; long ones are cut
 * into spans of queries. With a window, blocks of keys begin where the first query's window does.
 */
#include <math.h>
#include <string.h>

#include "kernels/attention.h"
#include "kernels/pieces.h"

/* short documents share a span up to here, because handing out smaller pieces costs time */
#define SPAN_ROWS 128
#define FORWARD_QUERIES 256 /* of a longer document in one piece */

typedef struct RunningSoftmax
{
	float max[LM_QUERY_BLOCK];
	float sum[LM_QUERY_BLOCK];
} RunningSoftmax;

static size_t spans_size(int n_rows);
static int cut_spans(LmSpan *spans, const int32_t *starts, int n_rows, int most_queries);
static int document_end(const int32_t *starts, int row, int n_rows);
static void forward_piece(void *work, int piece, int thread);
static void forward_document(const LmAttention *attention, LmSpan document, int head, int thread);
static void forward_queries(const LmAttention *attention, LmBlock block, float *scores);
static void forward_block(const LmAttention *attention, const LmBlock *block,
						  RunningSoftmax *running, float *scores);
static float softmax_row(const LmAttention *attention, const LmBlock *block, int i,
						 RunningSoftmax *running, float *row);

size_t
lm_attention_scratch_for(int n_threads, int n_rows)
{
	return spans_size(n_rows) +
		   (size_t) n_threads * 2 * LM_QUERY_BLOCK * LM_KEY_BLOCK * sizeof(float);
}

size_t
lm_attention_scratch(const LmEngine *engine, int n_rows)
{
	return lm_attention_scratch_for(lm_engine_threads(engine), n_rows);
}

/* At worst every row is a span. Rounded up, so that the next blocks stay aligned. */
static size_t
spans_size(int n_rows)
{
	return ((size_t) n_rows * sizeof(LmSpan) + 63) / 64 * 64;
}

void
lm_attention_forward(LmEngine *engine, float *out, float *lse, const float *qkv,
					 const LmDocumentRows *rows, const LmDropout *dropout,
					 const LmAttentionShape *shape, void *scratch)
{
	LmAttention attention = lm_attention_begin(engine, shape, qkv, rows, dropout);

	attention.out = out;
	attention.lse = lse;
	lm_attention_run(engine, &attention, forward_piece, rows->n_rows, FORWARD_QUERIES, scratch);
}

void
lm_cross_attention_forward(LmEngine *engine, float *out, float *lse, const float *q,
						   const float *kv, const LmCrossRows *rows, const LmDropout *dropout,
						   const LmAttentionShape *shape, void *scratch)
{
	LmAttention attention = lm_cross_attention_begin(engine, shape, q, kv, rows, dropout);

	attention.out = out;
	attention.lse = lse;
	lm_attention_run(engine, &attention, forward_piece, rows->n_rows, FORWARD_QUERIES, scratch);
}

LmAttention
lm_attention_begin(const LmEngine *engine, const LmAttentionShape *shape, const float *qkv,
				   const LmDocumentRows *rows, const LmDropout *dropout)
{
	return (LmAttention){
		.engine = engine,
		.simd = lm_simd(),
		.q = qkv,
		.k = qkv + lm_attention_query_channels(shape),
		.v = qkv + lm_attention_query_channels(shape) + shape->kv_heads * shape->head_size,
		.starts = rows->starts,
		.prefixes = rows->prefixes,
		.dropout = dropout,
		.threshold = lm_dropout_threshold(dropout),
		.shape = *shape,
		.A = lm_attention_query_channels(shape),
		.ld_q = lm_attention_qkv_channels(shape),
		.ld_k = lm_attention_qkv_channels(shape),
		.group = shape->heads / shape->kv_heads,
		.pieces = shape->heads,
	};
}

LmAttention
lm_cross_attention_begin(const LmEngine *engine, const LmAttentionShape *shape, const float *q,
						 const float *kv, const LmCrossRows *rows, const LmDropout *dropout)
{
	return (LmAttention){
		.engine = engine,
		.simd = lm_simd(),
		.q = q,
		.k = kv,
		.v = kv + shape->kv_heads * shape->head_size,
		.starts = rows->starts,
		.prefixes = rows->last_keys,
		.first_keys = rows->first_keys,
		.dropout = dropout,
		.threshold = lm_dropout_threshold(dropout),
		.shape = *shape,
		.A = lm_attention_query_channels(shape),
		.ld_q = lm_attention_query_channels(shape),
		.ld_k = 2 * shape->kv_heads * shape->head_size,
		.group = shape->heads / shape->kv_heads,
		.pieces = shape->heads,
	};
}

void
lm_attention_run(LmEngine *engine, LmAttention *attention, LmPiece piece, int n_rows,
				 int most_queries, void *scratch)
{
	int n_spans;

	attention->spans = scratch;
	attention->blocks = (float *) ((char *) scratch + spans_size(n_rows));
	n_spans = cut_spans(attention->spans, attention->starts, n_rows, most_queries);
	lm_engine_run(engine, piece, attention, n_spans * attention->pieces);
}

/* Joins short documents up to SPAN_ROWS and cuts long ones; returns the number of spans. */
static int
cut_spans(LmSpan *spans, const int32_t *starts, int n_rows, int most_queries)
{
	int n_spans = 0;

	for (int row = 0; row < n_rows;)
	{
		int end = document_end(starts, row, n_rows);
		LmSpan *last = n_spans > 0 ? &spans[n_spans - 1] : NULL;

		if (last && end - last->first <= SPAN_ROWS)
			last->last = end;
		else
			for (int first = row; first < end; first = spans[n_spans - 1].last)
				spans[n_spans++] =
					(LmSpan){row, first, end - first > most_queries ? first + most_queries : end};
		row = end;
	}
	return n_spans;
}

static int
document_end(const int32_t *starts, int row, int n_rows)
{
	int start = starts[row];

	while (row < n_rows && starts[row] == start)
		row++;
	return row;
}

void
lm_attention_documents(const LmAttention *attention, int piece, int thread,
					   LmDocumentFunction function)
{
	LmSpan span = attention->spans[piece / attention->pieces], document = span;

	while (document.first < span.last)
	{
		document.last = document_end(attention->starts, document.first, span.last);
		function(attention, document, piece % attention->pieces, thread);
		document.start = document.first = document.last;
	}
}

static void
forward_piece(void *work, int piece, int thread)
{
	lm_attention_documents(work, piece, thread, forward_document);
}

static void
forward_document(const LmAttention *attention, LmSpan document, int head, int thread)
{
	float *scores = lm_attention_block(attention, thread, 0);

	for (int query = document.first; query < document.last; query += LM_QUERY_BLOCK)
		forward_queries(attention, lm_attention_queries(attention, document, head, query), scores);
}

LmBlock
lm_attention_queries(const LmAttention *attention, LmSpan document, int head, int query)
{
	LmBlock block = {
		.prefix = {.first = document.start, .last = document.start},
		.query = query,
		.n_queries = lm_smaller(LM_QUERY_BLOCK, document.last - query),
		.head = head,
	};

	if (attention->prefixes)
		block.prefix.last = attention->prefixes[query];
	block.end = query + block.n_queries;
	if (attention->first_keys)
	{
		block.prefix.first = attention->first_keys[query];
		block.end = block.prefix.last;
	}
	if (block.end < block.prefix.last)
		block.end = block.prefix.last;
	return block;
}

/* One block of queries against all keys it sees; out is divided by the running sums at the end. */
static void
forward_queries(const LmAttention *attention, LmBlock block, float *scores)
{
	RunningSoftmax running;

	for (int i = 0; i < block.n_queries; i++)
	{
		running.max[i] = -INFINITY;
		running.sum[i] = 0;
	}
	for (lm_attention_first_keys(attention, &block); block.key < block.end;
		 block.key += LM_KEY_BLOCK)
	{
		block.n_keys = lm_smaller(LM_KEY_BLOCK, block.end - block.key);
		forward_block(attention, &block, &running, scores);
	}
	for (int i = 0; i < block.n_queries; i++)
	{
		int row = block.query + i;
		float *out = attention->out + lm_attention_row_offset(attention, row, block.head);

		if (block.first_key == block.end)
		{
			memset(out, 0, (size_t) attention->shape.head_size * sizeof *out);
			running.max[i] = 0;
			running.sum[i] = 1;
		}
		attention->simd->scale(out, 1 / running.sum[i], (size_t) attention->shape.head_size);
		attention->lse[(size_t) row * (size_t) attention->shape.heads + (size_t) block.head] =
			running.max[i] + logf(running.sum[i]);
	}
}

void
lm_attention_first_keys(const LmAttention *attention, LmBlock *block)
{
	int before = attention->shape.window > 0
					 ? block->query + 1 - attention->shape.window - block->prefix.first
					 : 0;

	block->first_key =
		block->prefix.first + (before > 0 ? before / LM_MASK_GROUP * LM_MASK_GROUP : 0);
	block->key = block->first_key;
}

/* One block of keys: out = correction out + mask(softmax(scores)) v, by running maxima and sums. */
static void
forward_block(const LmAttention *attention, const LmBlock *block, RunningSoftmax *running,
			  float *scores)
{
	float *out = attention->out + lm_attention_row_offset(attention, block->query, block->head);
	int size = attention->shape.head_size;
	bool is_first = block->key == block->first_key;

	lm_attention_scores(attention, block, scores);
	for (int i = 0; i < block->n_queries; i++)
	{
		float *row = scores + (size_t) i * LM_KEY_BLOCK;
		float correction = softmax_row(attention, block, i, running, row);

		if (!is_first && correction != 1)
			attention->simd->scale(out + (size_t) i * (size_t) attention->A, correction,
								   (size_t) size);
		if (attention->threshold > 0)
		{
			_Alignas(64) float mask[LM_KEY_BLOCK];

			lm_attention_mask(attention, block, i, mask);
			attention->simd->multiply(row, mask, (size_t) lm_attention_seen(attention, block, i));
		}
	}
	lm_matmul(attention->engine, out, scores,
			  attention->v + lm_attention_key(attention, block->key, block->head), LM_NN,
			  block->n_queries, size, block->n_keys, attention->A, LM_KEY_BLOCK, attention->ld_k, 1,
			  is_first ? 0 : 1);
}

/* scores of query i -> exponentials, 0 for keys that it does not see; the factor of what was. */
static float
softmax_row(const LmAttention *attention, const LmBlock *block, int i, RunningSoftmax *running,
			float *row)
{
	int hidden = lm_attention_hidden(attention, block, i);

	memset(row, 0, (size_t) hidden * sizeof *row);
	return attention->simd->attention_softmax(row + hidden, &running->max[i], &running->sum[i],
											  lm_attention_seen(attention, block, i) - hidden,
											  block->n_keys - hidden);
}

void
lm_attention_scores(const LmAttention *attention, const LmBlock *block, float *scores)
{
	lm_matmul(attention->engine, scores,
			  attention->q + lm_attention_query(attention, block->query, block->head),
			  attention->k + lm_attention_key(attention, block->key, block->head), LM_NT,
			  block->n_queries, block->n_keys, attention->shape.head_size, LM_KEY_BLOCK,
			  attention->ld_q, attention->ld_k, attention->shape.scale, 0);
	if (attention->shape.softcap > 0)
		for (int i = 0; i < block->n_queries; i++)
			attention->simd->softcap(scores + (size_t) i * LM_KEY_BLOCK,
									 scores + (size_t) i * LM_KEY_BLOCK, attention->shape.softcap,
									 (size_t) lm_attention_seen(attention, block, i));
}

void
lm_attention_mask(const LmAttention *attention, const LmBlock *block, int i, float *mask)
{
	/*
	 * The head is a word of the counter beside the place, so that one key serves all heads of a
	 * layer.
	 */
	LmMaskRow row = lm_mask_row(attention->dropout, attention->threshold, block->query + i,
								(uint32_t) block->head);

	attention->simd->dropout_mask(mask, &row, block->key - block->prefix.first,
								  lm_attention_seen(attention, block, i));
}
