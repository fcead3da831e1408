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
					  const float *lse, const float *qkv, const int32_t *starts,
					  const LmDropout *dropout, int n_rows, const LmAttentionShape *shape,
					  void *scratch)
{
	LmAttention attention = lm_attention_begin(engine, shape, qkv, starts, dropout);

	attention.out = (float *) out;
	attention.lse = (float *) lse;
	attention.dqkv = dqkv;
	attention.dout = dout;
	attention.pieces = shape->kv_heads;
	lm_attention_run(engine, &attention, backward_piece, n_rows, INT_MAX, scratch);
}

static void
backward_piece(void *work, int piece, int thread)
{
	lm_attention_documents(work, piece, thread, backward_document);
}

/* The queries that share one head of keys and values; adds to dqkv, which it zeroes first. */
static void
backward_document(const LmAttention *attention, LmSpan document, int kv_head, int thread)
{
	float *p = lm_attention_block(attention, thread, 0),
		  *ds = lm_attention_block(attention, thread, 1);
	int first = kv_head * attention->group;

	zero_gradient(attention, document, first);
	for (int head = first; head < first + attention->group; head++)
		for (int query = document.first; query < document.last; query += LM_QUERY_BLOCK)
		{
			LmBlock block = {.start = document.start, .query = query, .head = head};

			block.n_queries = lm_smaller(LM_QUERY_BLOCK, document.last - query);
			backward_queries(attention, block, p, ds);
		}
}

/* Gradients of a group of queries, from the head first, and of their keys and values. */
static void
zero_gradient(const LmAttention *attention, LmSpan document, int first)
{
	size_t size = (size_t) attention->shape.head_size * sizeof(float);

	for (int row = document.first; row < document.last; row++)
	{
		memset(attention->dqkv + lm_attention_query(attention, row, first), 0,
			   (size_t) attention->group * size);
		memset(attention->dqkv + lm_attention_key(attention, row, first), 0, size);
		memset(attention->dqkv + lm_attention_value(attention, row, first), 0, size);
	}
}

/* One block of queries: delta = sum(dout out), then p, ds and their products by block of keys. */
static void
backward_queries(const LmAttention *attention, LmBlock block, float *p, float *ds)
{
	int end = block.query + block.n_queries, size = attention->shape.head_size;
	float delta[LM_QUERY_BLOCK];

	for (int i = 0; i < block.n_queries; i++)
	{
		size_t offset = lm_attention_row_offset(attention, block.query + i, block.head);

		delta[i] =
			attention->simd->dot(attention->dout + offset, attention->out + offset, (size_t) size);
	}
	for (lm_attention_first_keys(attention, &block); block.key < end; block.key += LM_KEY_BLOCK)
	{
		block.n_keys = lm_smaller(LM_KEY_BLOCK, end - block.key);
		lm_attention_scores(attention, &block, p);
		/* dp = do v' */
		lm_matmul(attention->engine, ds,
				  attention->dout + lm_attention_row_offset(attention, block.query, block.head),
				  attention->qkv + lm_attention_value(attention, block.key, block.head), LM_NT,
				  block.n_queries, block.n_keys, size, LM_KEY_BLOCK, attention->A, attention->ld, 1,
				  0);
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
		int hidden = lm_attention_hidden(attention, block, i), seen = lm_attention_seen(block, i);
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
	int A = attention->A, ld = attention->ld, size = attention->shape.head_size;
	float scale = attention->shape.scale;
	size_t q = lm_attention_query(attention, block->query, block->head);
	size_t k = lm_attention_key(attention, block->key, block->head);
	size_t v = lm_attention_value(attention, block->key, block->head);
	const float *dout =
		attention->dout + lm_attention_row_offset(attention, block->query, block->head);

	lm_matmul(attention->engine, attention->dqkv + v, p, dout, LM_TN, block->n_keys, size,
			  block->n_queries, ld, LM_KEY_BLOCK, A, 1, 1);
	lm_matmul(attention->engine, attention->dqkv + k, ds, attention->qkv + q, LM_TN, block->n_keys,
			  size, block->n_queries, ld, LM_KEY_BLOCK, ld, scale, 1);
	lm_matmul(attention->engine, attention->dqkv + q, ds, attention->qkv + k, LM_NN,
			  block->n_queries, size, block->n_keys, ld, LM_KEY_BLOCK, ld, scale, 1);
}
