/*
 * src/engine/kernels/attention_backward.c
 *
 * The backward pass of attention (Dao et al. 2022, algorithm 4). With s = q k' scale, p =
 * softmax(s), o = (mask p) v and delta = do . o for each query:
 *
 *   dv += (mask p)' do      dp = do v'      ds = p (mask dp - delta)
 *   dq += scale ds k        dk += scale ds' q
 *
 * One head of a whole document is one piece, whose blocks of queries go in order: nobody else adds
 * to its dk and dv.
 */
#include <limits.h>
#include <string.h>

#include "kernels/attention.h"
#include "kernels/pieces.h"

static void backward_piece(void *work, int piece, int thread);
static void backward_document(const LmAttention *attention, LmSpan document, int head, int thread);
static void zero_gradient(const LmAttention *attention, LmSpan document, int head);
static void backward_queries(const LmAttention *attention, LmBlock block, float *p, float *ds);
static void row_gradients(const LmAttention *attention, const LmBlock *block, const float *delta,
						  float *p, float *ds);
static void add_products(const LmAttention *attention, const LmBlock *block, const float *p,
						 const float *ds);

void
lm_attention_backward(LmEngine *engine, float *dqkv, const float *dout, const float *out,
					  const float *lse, const float *qkv, const int32_t *starts,
					  const LmDropout *dropout, int n_rows, int H, int C, void *scratch)
{
	LmAttention attention = {.engine = engine,
							 .out = (float *) out,
							 .lse = (float *) lse,
							 .dqkv = dqkv,
							 .dout = dout,
							 .qkv = qkv,
							 .starts = starts,
							 .dropout = dropout,
							 .H = H,
							 .C = C};

	lm_attention_run(engine, &attention, backward_piece, n_rows, INT_MAX, scratch);
}

static void
backward_piece(void *work, int piece, int thread)
{
	lm_attention_documents(work, piece, thread, backward_document);
}

/* One head of one document, a block of queries at a time; adds to dqkv, which it zeroes first. */
static void
backward_document(const LmAttention *attention, LmSpan document, int head, int thread)
{
	float *p = lm_attention_block(attention, thread, 0),
		  *ds = lm_attention_block(attention, thread, 1);

	zero_gradient(attention, document, head);
	for (int query = document.first; query < document.last; query += LM_QUERY_BLOCK)
	{
		LmBlock block = {.start = document.start, .query = query, .head = head};

		block.n_queries = lm_smaller(LM_QUERY_BLOCK, document.last - query);
		backward_queries(attention, block, p, ds);
	}
}

static void
zero_gradient(const LmAttention *attention, LmSpan document, int head)
{
	for (int row = document.first; row < document.last; row++)
		for (int part = 0; part < 3; part++)
			memset(attention->dqkv + lm_attention_offset(attention, row, part, head), 0,
				   (size_t) attention->head_size * sizeof(float));
}

/* One block of queries: delta = sum(dout out), then p, ds and their products by block of keys. */
static void
backward_queries(const LmAttention *attention, LmBlock block, float *p, float *ds)
{
	int end = block.query + block.n_queries, C = attention->C;
	float delta[LM_QUERY_BLOCK];

	for (int i = 0; i < block.n_queries; i++)
	{
		size_t offset = lm_attention_row_offset(attention, block.query + i, block.head);

		delta[i] = attention->simd->dot(attention->dout + offset, attention->out + offset,
										(size_t) attention->head_size);
	}
	for (block.key = block.start; block.key < end; block.key += LM_KEY_BLOCK)
	{
		block.n_keys = lm_smaller(LM_KEY_BLOCK, end - block.key);
		lm_attention_scores(attention, &block, p);
		/* dp = do v' */
		lm_matmul(attention->engine, ds,
				  attention->dout + lm_attention_row_offset(attention, block.query, block.head),
				  attention->qkv + lm_attention_offset(attention, block.key, 2, block.head), LM_NT,
				  block.n_queries, block.n_keys, attention->head_size, LM_KEY_BLOCK, C, 3 * C, 1,
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

	for (int i = 0; i < block->n_queries; i++)
	{
		size_t offset = (size_t) i * LM_KEY_BLOCK;
		float lse =
			attention
				->lse[(size_t) (block->query + i) * (size_t) attention->H + (size_t) block->head];

		if (attention->threshold > 0)
			lm_attention_mask(attention, block, i, mask);
		attention->simd->attention_gradient(p + offset, ds + offset,
											attention->threshold > 0 ? mask : NULL, lse, delta[i],
											lm_attention_seen(block, i), block->n_keys);
	}
}

/* dv += p' dout, dk += scale ds' q, dq += scale ds k. */
static void
add_products(const LmAttention *attention, const LmBlock *block, const float *p, const float *ds)
{
	int C = attention->C, size = attention->head_size;
	size_t q = lm_attention_offset(attention, block->query, 0, block->head);
	size_t k = lm_attention_offset(attention, block->key, 1, block->head);
	size_t v = lm_attention_offset(attention, block->key, 2, block->head);
	const float *dout =
		attention->dout + lm_attention_row_offset(attention, block->query, block->head);

	lm_matmul(attention->engine, attention->dqkv + v, p, dout, LM_TN, block->n_keys, size,
			  block->n_queries, 3 * C, LM_KEY_BLOCK, C, 1, 1);
	lm_matmul(attention->engine, attention->dqkv + k, ds, attention->qkv + q, LM_TN, block->n_keys,
			  size, block->n_queries, 3 * C, LM_KEY_BLOCK, 3 * C, attention->scale, 1);
	lm_matmul(attention->engine, attention->dqkv + q, ds, attention->qkv + k, LM_NN,
			  block->n_queries, size, block->n_keys, 3 * C, LM_KEY_BLOCK, 3 * C, attention->scale,
			  1);
}
