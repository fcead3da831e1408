/*
 * src/engine/kernels/attention_backward.c
 *
 * The backward pass of attention (Dao et al. 2022, algorithm 4). With s = q k' scale, p =
 * softmax(s), o = (mask p) v and delta = do . o for each query:
 *
 *   dv += (mask p)' do      dp = do v'      ds = p (mask dp - delta)
 *   dq += scale ds k        dk += scale ds' q
 *
 * With a soft cap s = c tanh(q k' scale / c), and ds is multiplied by 1 - (s / c)^2.
 *
 * One head of keys and values of a whole document is one piece, whose heads and blocks of queries
 * go in order: nobody else adds to its dk and dv.
 */
#include <limits.h>
#include <string.h>

#include "kernels/attention.h"
#include "kernels/pieces.h"

static void run(LmEngine *engine, LmAttention *attention, const float *dout, const float *out,
				const float *lse, int n_rows, void *scratch);
static void backward_piece(void *work, int piece, int thread);
static void backward_document(const LmAttention *attention, LmSpan document, int kv_head,
							  int thread);
static void zero_gradient(const LmAttention *attention, LmSpan document, int first);
static void backward_queries(const LmAttention *attention, LmBlock block, float *p, float *ds);
static void row_gradients(const LmAttention *attention, const LmBlock *block, const float *delta,
						  float *p, float *ds);
static void add_products(const LmAttention *attention, const LmBlock *block, const float *p,
						 const float *ds);

void
lm_attention_backward(LmEngine *engine, float *dqkv, const float *dout, const float *out,
					  const float *lse, const float *qkv, const LmDocumentRows *rows,
					  const LmDropout *dropout, const LmAttentionShape *shape, void *scratch)
{
	LmAttention attention = lm_attention_begin(engine, shape, qkv, rows, dropout);

	attention.dq = dqkv;
	attention.dk = dqkv + (attention.k - qkv);
	attention.dv = dqkv + (attention.v - qkv);
	run(engine, &attention, dout, out, lse, rows->n_rows, scratch);
}

void
lm_cross_attention_backward(LmEngine *engine, float *dq, float *dkv, const float *dout,
							const float *out, const float *lse, const float *q, const float *kv,
							const LmCrossRows *rows, const LmDropout *dropout,
							const LmAttentionShape *shape, void *scratch)
{
	LmAttention attention = lm_cross_attention_begin(engine, shape, q, kv, rows, dropout);

	attention.dq = dq;
	attention.dk = dkv;
	attention.dv = dkv + (attention.v - kv);
	run(engine, &attention, dout, out, lse, rows->n_rows, scratch);
}

static void
run(LmEngine *engine, LmAttention *attention, const float *dout, const float *out, const float *lse,
	int n_rows, void *scratch)
{
	attention->out = (float *) out;
	attention->lse = (float *) lse;
	attention->dout = dout;
	attention->pieces = attention->shape.kv_heads;
	lm_attention_run(engine, attention, backward_piece, n_rows, INT_MAX, scratch);
}

static void
backward_piece(void *work, int piece, int thread)
{
	lm_attention_documents(work, piece, thread, backward_document);
}

/* The queries that share one head of keys and values; adds to gradients, which it zeroes first. */
static void
backward_document(const LmAttention *attention, LmSpan document, int kv_head, int thread)
{
	float *p = lm_attention_block(attention, thread, 0),
		  *ds = lm_attention_block(attention, thread, 1);
	int first = kv_head * attention->group;

	zero_gradient(attention, document, first);
	for (int head = first; head < first + attention->group; head++)
		for (int query = document.first; query < document.last; query += LM_QUERY_BLOCK)
			backward_queries(attention, lm_attention_queries(attention, document, head, query), p,
							 ds);
}

/* Gradients of a group of queries, from the head first, and of their keys and values. */
static void
zero_gradient(const LmAttention *attention, LmSpan document, int first)
{
	size_t size = (size_t) attention->shape.head_size * sizeof(float);

	int key = document.first, end = document.last;

	for (int row = document.first; row < document.last; row++)
		memset(attention->dq + lm_attention_query(attention, row, first), 0,
			   (size_t) attention->group * size);
	if (attention->first_keys)
	{
		key = attention->first_keys[document.first];
		end = attention->prefixes[document.first];
	}
	for (; key < end; key++)
	{
		memset(attention->dk + lm_attention_key(attention, key, first), 0, size);
		memset(attention->dv + lm_attention_key(attention, key, first), 0, size);
	}
}

/* One block of queries: delta = sum(dout out), then p, ds and their products by block of keys. */
static void
backward_queries(const LmAttention *attention, LmBlock block, float *p, float *ds)
{
	int size = attention->shape.head_size;
	float delta[LM_QUERY_BLOCK];

	for (int i = 0; i < block.n_queries; i++)
	{
		size_t offset = lm_attention_row_offset(attention, block.query + i, block.head);

		delta[i] =
			attention->simd->dot(attention->dout + offset, attention->out + offset, (size_t) size);
	}
	for (lm_attention_first_keys(attention, &block); block.key < block.end;
		 block.key += LM_KEY_BLOCK)
	{
		block.n_keys = lm_smaller(LM_KEY_BLOCK, block.end - block.key);
		lm_attention_scores(attention, &block, p);
		/* dp = do v' */
		lm_matmul(attention->engine, ds,
				  attention->dout + lm_attention_row_offset(attention, block.query, block.head),
				  attention->v + lm_attention_key(attention, block.key, block.head), LM_NT,
				  block.n_queries, block.n_keys, size, LM_KEY_BLOCK, attention->A, attention->ld_k,
				  1, 0);
		row_gradients(attention, &block, delta, p, ds);
		add_products(attention, &block, p, ds);
	}
}

/* scores -> mask p, dp -> ds */
static void
row_gradients(const LmAttention *attention, const LmBlock *block, const float *delta, float *p,
			  float *ds)
{
	_Alignas(64) float mask[LM_KEY_BLOCK];
	_Alignas(64) float scores[LM_KEY_BLOCK];
	float cap = attention->shape.softcap;

	for (int i = 0; i < block->n_queries; i++)
	{
		size_t offset = (size_t) i * LM_KEY_BLOCK;
		int hidden = lm_attention_hidden(attention, block, i),
			seen = lm_attention_seen(attention, block, i);
		float lse = attention->lse[(size_t) (block->query + i) * (size_t) attention->shape.heads +
								   (size_t) block->head];

		if (attention->threshold > 0)
			lm_attention_mask(attention, block, i, mask);
		if (cap > 0)
			memcpy(scores, p + offset, (size_t) seen * sizeof *scores);
		memset(p + offset, 0, (size_t) hidden * sizeof *p);
		memset(ds + offset, 0, (size_t) hidden * sizeof *ds);
		attention->simd->attention_gradient(p + offset + hidden, ds + offset + hidden,
											attention->threshold > 0 ? mask + hidden : NULL, lse,
											delta[i], seen - hidden, block->n_keys - hidden);
		if (cap > 0)
			attention->simd->softcap_gradient(ds + offset, ds + offset, scores, cap, (size_t) seen);
	}
}

/* dv += p' dout, dk += scale ds' q, dq += scale ds k. */
static void
add_products(const LmAttention *attention, const LmBlock *block, const float *p, const float *ds)
{
	int A = attention->A, size = attention->shape.head_size;
	int ld_q = attention->ld_q, ld_k = attention->ld_k;
	float scale = attention->shape.scale;
	size_t q = lm_attention_query(attention, block->query, block->head);
	size_t k = lm_attention_key(attention, block->key, block->head);
	const float *dout =
		attention->dout + lm_attention_row_offset(attention, block->query, block->head);

	lm_matmul(attention->engine, attention->dv + k, p, dout, LM_TN, block->n_keys, size,
			  block->n_queries, ld_k, LM_KEY_BLOCK, A, 1, 1);
	lm_matmul(attention->engine, attention->dk + k, ds, attention->q + q, LM_TN, block->n_keys,
			  size, block->n_queries, ld_k, LM_KEY_BLOCK, ld_q, scale, 1);
	lm_matmul(attention->engine, attention->dq + q, ds, attention->k + k, LM_NN, block->n_queries,
			  size, block->n_keys, ld_q, LM_KEY_BLOCK, ld_k, scale, 1);
}
