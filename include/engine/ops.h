/*
 * include/engine/ops.h
 *
 * The arithmetic of the network. Functions return void and cannot fail; sizes were checked by the
 * caller.
 *
 * Legend, the only one-letter names in the engine:
 *   B sequences in a batch   T tokens in a sequence   C channels   V vocabulary
 *   H heads                  L layers
 *   x, y inputs and outputs; w weight; d + name: gradient of the loss with respect to name
 * Matrices are row-major and dense unless a leading dimension (ld_) is given. n_rows counts tokens.
 *
 * Outputs come first. "+=" marks a gradient that is added to; everything else is overwritten. Every
 * reduction adds fixed pieces in a fixed order: results are the same bits for any number of
 * threads. `scratch` is memory that the function may use as it likes, of at least the size that its
 * _scratch function returns (bytes), aligned to 64.
 */
#ifndef LM_OPS_H
#define LM_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/random.h"
#include "engine/weight_type.h"

/* ---- Matrix products (src/engine/kernels/matmul.c) ---------------------- */

/* Which operands of a product are stored transposed. */
typedef enum LmTranspose
{
	LM_NN, /* y = a b,   a [m, k], b [k, n] */
	LM_NT, /* y = a b',  a [m, k], b [n, k] */
	LM_TN, /* y = a' b,  a [k, m], b [k, n] */
} LmTranspose;

/*
 * y[m, n] = beta y + scale (a b), beta 0 or 1 (0: y is not read), on the calling thread only: for
 * use inside pieces. BLAS where it is loaded and not slower, else the built-in kernel: a choice
 * that follows from the shape and the processor alone. ld_ are the distances of rows in floats.
 */
void lm_matmul(const LmEngine *engine, float *y, const float *a, const float *b,
			   LmTranspose transpose, int m, int n, int k, int ld_y, int ld_a, int ld_b,
			   float scale, float beta);

/*
 * The same by the built-in kernels, whatever is loaded; and the naive twin that tests compare with.
 */
void lm_matmul_builtin(float *y, const float *a, const float *b, LmTranspose transpose, int m,
					   int n, int k, int ld_y, int ld_a, int ld_b, float scale, float beta);
void lm_matmul_naive(float *y, const float *a, const float *b, LmTranspose transpose, int m, int n,
					 int k, int ld_y, int ld_a, int ld_b, float scale, float beta);

/* "base", "avx2" or "avx512": the instruction set that run-time dispatch chose. */
const char *lm_simd_name(void);
/*
 * The instructions that multiply bfloat16 numbers, "amx" or "avx512_bf16"; NULL where this machine
 * has none.
 */
const char *lm_bf16_name(void);

/* ---- Products with a weight (kernels/linear.c) -------------------------- */

/* The activation of the MLP. */
typedef enum LmActivation
{
	LM_GELU, /* x Phi(x) (Hendrycks and Gimpel 2016), by erf */
	LM_GELU_TANH, /* the same paper's tanh approximation; GPT-2's */
	LM_RELU2, /* max(x, 0)^2 (So et al. 2021, section 3) */
	/* Gated: the activation of a gate times a second product (Shazeer 2020, section 2). */
	LM_SWIGLU, /* x sigmoid(x) of the gate */
	LM_GEGLU, /* the tanh approximation of GELU of the gate */
} LmActivation;

/*
 * y = x w' + bias, w [n_out, n_in]. Training uses w; inference uses panels, a packed copy in which
 * a row's result is the same bits whatever other rows are computed beside it.
 */
typedef struct LmLinear
{
	int n_in;
	int n_out;
	const float *w; /* [n_out, n_in], NULL where only panels exist */
	const float *bias; /* [n_out] or NULL */
	const void *panels; /* lm_linear_pack's output, or NULL */
	const LmWeightType *type; /* of the panels */
	/* lm_linear_backward writes dw = instead of dw +=, so that the caller need not clear it */
	bool overwrite;
	/*
	 * Scratch for packed copies of x, w and dy. Where it is not NULL, training multiplies by the
	 * engine's own kernels if it has any, with float32 sums, from copies in bfloat16
	 * (lm_engine_bf16) or in float32.
	 */
	void *packed;
	bool bf16;
	/*
	 * An activation beside the layer in training, computed on each tile of an output while it is in
	 * the cache. lm_linear_forward also writes activated [n_rows, n_out] = activation(y). In
	 * lm_linear_backward x is activation(before), before [n_rows, n_in], and dx becomes the
	 * gradient of before. NULL: none.
	 */
	LmActivation activation;
	float *activated;
	const float *before;
} LmLinear;

/*
 * Bytes of LmLinear.packed, enough for both directions; 0 where float32 is left to the matrix
 * library.
 */
size_t lm_linear_packed_size(int n_rows, int n_in, int n_out, bool bf16);

/* y [n_rows, n_out] = x [n_rows, n_in] w' + bias. */
void lm_linear_forward(LmEngine *engine, float *y, const float *x, const LmLinear *linear,
					   int n_rows);

/*
 * dx [n_rows, n_in] = dy w (NULL: not wanted); dw [n_out, n_in] += dy' x, or = where
 * linear->overwrite; dbias [n_out] += column sums of dy (NULL: frozen). Only dbias needs scratch.
 */
void lm_linear_backward(LmEngine *engine, float *dx, float *dw, float *dbias, const float *dy,
						const float *x, const LmLinear *linear, int n_rows, void *scratch);
size_t lm_linear_backward_scratch(int n_rows, int n_out);

/*
 * Panels of LM_PANEL output channels, zero beyond n_out and n_in; the files of the weight types
 * (kernels/weight_types.h) say how weights and rows are rounded. lm_linear_infer computes each
 * element of y in one order, so that its bits depend on its own row and weight alone: not on the
 * rows beside it, their number, or threads.
 */
/* Bytes of panels; false on overflow. */
bool lm_linear_panels_size(size_t *size, const LmWeightType *type, int n_in, int n_out);
/*
 * Packs w [n_out, n_in] into panels, aligned to 64; the other functions read them as
 * linear->panels.
 */
void lm_linear_pack(void *panels, const LmWeightType *type, const float *w, int n_in, int n_out);
/* row [n_in] = the weights of one output channel, as stored */
void lm_linear_weights(float *row, const LmLinear *linear, int output);
/*
 * y [n_rows, n_out] = x w' + bias by panels. scratch: NULL, or lm_linear_infer_scratch bytes, in
 * which threads share packed rows that each must otherwise make for itself.
 */
void lm_linear_infer(LmEngine *engine, float *y, const float *x, const LmLinear *linear, int n_rows,
					 void *scratch);
size_t lm_linear_infer_scratch(int n_rows, int n_in); /* grows with either */
/* The instruction set of lm_linear_infer's kernels, which run-time dispatch chose. */
const char *lm_linear_infer_name(void);

/* ---- Elementwise and row-wise (kernels/norm.c, gelu.c, gate.c, ...) */

/* The normalisation of rows. */
typedef enum LmNorm
{
	LM_LAYERNORM, /* Ba et al. 2016 */
	LM_RMSNORM, /* Zhang and Sennrich 2019, equation 4: the mean counts as 0 */
} LmNorm;

/*
 * y = (x - mean) rstd weight + bias, rstd = 1 / sqrt(average((x - mean)^2) + epsilon). mean, rstd
 * [n_rows] are kept for the backward pass (NULL: not wanted); bias may be NULL. y may be x.
 */
void lm_norm_forward(LmEngine *engine, float *y, float *mean, float *rstd, const float *x,
					 const float *weight, const float *bias, int n_rows, int C, float epsilon,
					 LmNorm kind);
/* dx [n_rows, C] +=, dweight [C] += (NULL: frozen, and dbias too), dbias [C] += (NULL: none) */
void lm_norm_backward(LmEngine *engine, float *dx, float *dweight, float *dbias, const float *dy,
					  const float *x, const float *mean, const float *rstd, const float *weight,
					  int n_rows, int C, LmNorm kind, void *scratch);
size_t lm_norm_backward_scratch(int n_rows, int C);

/* y [count] = gelu(x), or the activation that kind names; y may be x. */
void lm_gelu_forward(LmEngine *engine, float *y, const float *x, size_t count, LmActivation kind);
/* dx [count] = dy gelu'(x); dx may be dy. */
void lm_gelu_backward(LmEngine *engine, float *dx, const float *dy, const float *x, size_t count,
					  LmActivation kind);

/*
 * y [n_rows, M] = activation(gate) up of rows x [n_rows, 2 M]: M of the gate, then M of up (Shazeer
 * 2020, "GLU variants improve transformer", section 2). kind is a gated activation.
 */
void lm_gate_forward(LmEngine *engine, float *y, const float *x, int n_rows, int M,
					 LmActivation kind);
/* dx [n_rows, 2 M] = the gradient of x from dy [n_rows, M]; dx may be x. */
void lm_gate_backward(LmEngine *engine, float *dx, const float *dy, const float *x, int n_rows,
					  int M, LmActivation kind);

/* y [count] = cap tanh(x / cap) (Bello et al. 2016; logits of Gemma 2); y may be x. */
void lm_softcap_forward(LmEngine *engine, float *y, const float *x, size_t count, float cap);
/* dx [count] = dy (1 - (y / cap)^2), from the outputs y; dx may be dy. */
void lm_softcap_backward(LmEngine *engine, float *dx, const float *dy, const float *y, size_t count,
						 float cap);

/*
 * Dropout (Srivastava et al. 2014): an element is kept with probability 1 - rate and then scaled by
 * 1 / (1 - rate). The mask is a function of (key, example, position, channel). rate is rounded to
 * 1/65536.
 */
typedef struct LmDropout
{
	float rate; /* 0: none; the pointers are then not read */
	LmKey key;
	const int32_t *examples; /* [n_rows] number of the row's sequence in the step's whole batch */
	const int32_t *positions; /* [n_rows] */
} LmDropout;

/*
 * y = mask x, y may be x; the backward pass is the same call on the gradient. Nothing happens when
 * rate is 0.
 */
void lm_dropout(LmEngine *engine, float *y, const float *x, const LmDropout *dropout, int n_rows,
				int C);

/* ---- The product of a low-rank adapter (kernels/lora.c) ----------------- */

/*
 * A low-rank adapter of a layer: y += scale mask(x) A' B'; A [rank, n_in], B [n_out, rank]. The
 * pointers are the caller's.
 */
typedef struct LmLora
{
	int n_in;
	int n_out;
	int rank;
	float scale;
	const float *a;
	const float *b;
	LmDropout dropout;
	/* Scratch. */
	float *h; /* [n_rows, rank] */
	float *dh; /* [n_rows, rank]; of the backward pass */
	float *masked; /* [n_rows, n_in]; with dropout */
} LmLora;

/* y [n_rows, n_out] += scale mask(x) A' B', x [n_rows, n_in]. */
void lm_lora_forward(LmEngine *engine, float *y, const float *x, const LmLora *lora, int n_rows);
/* dx [n_rows, n_in] +=, da +=, db += (= where overwrite). dx is neither dy nor x. */
void lm_lora_backward(LmEngine *engine, float *dx, float *da, float *db, const float *dy,
					  const float *x, const LmLora *lora, bool overwrite, int n_rows);
/* w [n_out, n_in] += scale B A: the layer with the adapter folded in. The scratch is not used. */
void lm_lora_merge(LmEngine *engine, float *w, const LmLora *lora);

/*
 * The same in inference, where rows have adapters of their own: A and B' are packed in blocks of
 * LM_LORA_BLOCK columns, [block][rank][LM_LORA_BLOCK], zero beyond n columns; as float32, or
 * rounded to bfloat16. Products and sums are float32.
 */
#define LM_LORA_BLOCK 16
/* Bytes of a packed matrix [rank, n]. */
size_t lm_lora_packed(int rank, int n, bool is_bfloat16);
/* Packs A [rank, n], or scale B' of B [n, rank]. */
void lm_lora_pack_a(void *packed, const float *a, int rank, int n, bool is_bfloat16);
void lm_lora_pack_b(void *packed, const float *b, int rank, int n, float scale, bool is_bfloat16);
/* w [n_in], a row of the layer's matrix, += that row of scale B A, of packed matrices. */
void lm_lora_add_weights(float *w, const void *a, const void *b, int rank, int row, int n_in,
						 bool is_bfloat16);

/* Some rows of y [.., n_out] and x [.., n_in], and their adapter. */
typedef struct LmLoraRows
{
	float *y;
	const float *x;
	const int *rows; /* [n_rows] their numbers */
	int n_rows;
	int n_in;
	int n_out;
	int rank;
	bool is_bfloat16;
	const void *a; /* packed */
	const void *b; /* scale B', packed */
} LmLoraRows;

/*
 * y += scale x A' B' for each of n groups of rows, all of them of one y. The bits of a row depend
 * on its own x and adapter alone.
 */
void lm_lora_infer(LmEngine *engine, const LmLoraRows *groups, int n_groups);

/* A residual connection: sum = x + mask branch. sum may be x. */
typedef struct LmResidual
{
	float *sum; /* [n_rows, C] */
	const float *x;
	const float *branch;
	const LmDropout *dropout;
} LmResidual;

/* lm_norm_forward of the sum; each row is normalised while it is in the cache. y may be branch. */
void lm_residual_norm_forward(LmEngine *engine, float *y, float *mean, float *rstd,
							  const LmResidual *residual, const float *weight, const float *bias,
							  int n_rows, int C, float epsilon, LmNorm kind);
/* The sum alone. */
void lm_residual_forward(LmEngine *engine, const LmResidual *residual, int n_rows, int C);

/*
 * y[t] = scale wte[tokens[t]] + wpe[positions[t]], wpe a learned or a computed table [context, C],
 * or NULL
 */
void lm_embedding_forward(LmEngine *engine, float *y, const int32_t *tokens,
						  const int32_t *positions, const float *wte, const float *wpe, float scale,
						  int n_rows, int C);
/*
 * dwte [V, C] +=, dwpe [context, C] += (NULL: fixed table). Split over channels: no two pieces add
 * to one place.
 */
void lm_embedding_backward(LmEngine *engine, float *dwte, float *dwpe, const float *dy,
						   const int32_t *tokens, const int32_t *positions, float scale, int n_rows,
						   int C);
/*
 * table [context, C]: sin(position / 10000^(2i/C)) in channel 2i, cos in 2i + 1 (Vaswani et al.
 * 2017, 3.5)
 */
void lm_sinusoid(float *table, int context, int C);

/* ---- Attention (kernels/attention.c) ------------------------------------ */

/*
 * The sizes and the rule of attention. A row of queries, keys and values has A + 2 K floats, A =
 * heads head_size and K = kv_heads head_size: first all queries, then keys, then values. Query h
 * reads keys and values kv_heads h / heads (Ainslie et al. 2023, "GQA", section 2.2).
 */
typedef struct LmAttentionShape
{
	int heads; /* of queries: a multiple of kv_heads */
	int kv_heads;
	int head_size;
	float scale; /* of scores */
	float softcap; /* c: a score s becomes c tanh(s / c) (Gemma 2, section 2); 0: none */
	int window; /* rows that a row sees, itself included (Beltagy et al. 2020); 0: all */
} LmAttentionShape;

/* Floats of a row of queries (and of attention's output): A. */
static inline int
lm_attention_query_channels(const LmAttentionShape *shape)
{
	return shape->heads * shape->head_size;
}

/* Floats of a row of queries, keys and values: A + 2 K. */
static inline int
lm_attention_qkv_channels(const LmAttentionShape *shape)
{
	return (shape->heads + 2 * shape->kv_heads) * shape->head_size;
}

/* The rows that attention sees; arrays are [n_rows], an entry for each query. */
typedef struct LmDocumentRows
{
	int n_rows;
	const int32_t *starts; /* the row at which a row's document begins */
	/* the row at which the document's prefix ends, which all of its rows see; NULL: no prefixes */
	const int32_t *prefixes;
} LmDocumentRows;

/*
 * Causal multi-head attention inside documents, in blocks of queries and keys with a running
 * maximum and sum (Dao et al. 2022, algorithm 1), so that no T x T array exists. qkv [n_rows, A + 2
 * K]. Row t sees rows starts[t] .. t, with a window max(starts[t], t - window + 1) .. t; with a
 * prefix, and no window, starts[t] .. max(t, prefixes[t] - 1). out [n_rows, A]; lse [n_rows,
 * heads]: log of the sum of exponentials, kept for the backward pass. dropout applies to the
 * probabilities; in its mask the channel is the key's position, and each head has a mask of its
 * own.
 */
void lm_attention_forward(LmEngine *engine, float *out, float *lse, const float *qkv,
						  const LmDocumentRows *rows, const LmDropout *dropout,
						  const LmAttentionShape *shape, void *scratch);
/* dqkv [n_rows, A + 2 K] = the gradient of qkv, from dout and from out and lse of the forward pass.
 */
void lm_attention_backward(LmEngine *engine, float *dqkv, const float *dout, const float *out,
						   const float *lse, const float *qkv, const LmDocumentRows *rows,
						   const LmDropout *dropout, const LmAttentionShape *shape, void *scratch);

/* The rows of cross-attention; arrays are [n_rows], an entry for each query. */
typedef struct LmCrossRows
{
	int n_rows;
	const int32_t *starts; /* the row at which a row's document begins, of queries */
	/* rows of the document's keys: from the first to before the second, perhaps none */
	const int32_t *first_keys;
	const int32_t *last_keys;
} LmCrossRows;

/*
 * Attention of queries q [n_rows, A] to all keys and values, kv [n_keys, 2 K], of their document
 * (Vaswani et al. 2017, section 3.2.3). Documents have their keys in the order of the documents, so
 * that no two share one. Without keys the output is 0. The rest is as above, without a window.
 */
void lm_cross_attention_forward(LmEngine *engine, float *out, float *lse, const float *q,
								const float *kv, const LmCrossRows *rows, const LmDropout *dropout,
								const LmAttentionShape *shape, void *scratch);
/* dq and dkv = the gradients of q and kv; rows of kv that no document has stay as they are. */
void lm_cross_attention_backward(LmEngine *engine, float *dq, float *dkv, const float *dout,
								 const float *out, const float *lse, const float *q,
								 const float *kv, const LmCrossRows *rows, const LmDropout *dropout,
								 const LmAttentionShape *shape, void *scratch);
/* Bytes of scratch, enough for both directions and every shape; _for: without an engine. */
size_t lm_attention_scratch(const LmEngine *engine, int n_rows);
size_t lm_attention_scratch_for(int n_threads, int n_rows);

/*
 * Attention of one sequence's queries at neighbouring positions against the KV cache, for
 * inference; on the calling thread. With K = kv_heads head_size a page of keys is [K, LM_PAGE], a
 * page of values [LM_PAGE, K]. Each score is one chain of multiply-adds over the head's
 * elements, each output one chain over the keys in order: a row's bits do not depend on the rows
 * beside it.
 */
#define LM_PAGE 32
#define LM_ATTENTION_ROWS 12 /* rows that one call takes at most */

/* Arguments of lm_attention_rows; all memory is the caller's. */
typedef struct LmAttentionRows
{
	float *out; /* [n_rows] of distance ld_out, each [heads, head_size] */
	int ld_out;
	const float *q; /* the same of distance ld_q */
	int ld_q;
	int n_rows;
	int n_keys; /* up to the position of the first row; each further row sees one more ... */
	bool alike; /* ... unless all rows see the same */
	int first_key; /* no row sees those before it */
	const float *const *key_pages; /* those without a key that is seen are not read */
	const float *const *value_pages;
	LmAttentionShape shape;
	float *scratch; /* lm_attention_rows_scratch floats, aligned to 64 */
} LmAttentionRows;

/* Computes heads first_head .. last_head - 1 of up to LM_ATTENTION_ROWS rows. */
void lm_attention_rows(const LmAttentionRows *rows, int first_head, int last_head);
/* Floats of scratch for up to n_keys keys of the last row. */
size_t lm_attention_rows_scratch(int n_keys, int head_size);

/* ---- Queries and keys of each head, before attention (kernels/heads.c) -- */

/* Which elements of a head a rotation turns together. */
typedef enum LmRopeStyle
{
	LM_ROPE_HALF, /* i and i + half of them */
	LM_ROPE_INTERLEAVED, /* 2 i and 2 i + 1, as in the paper */
} LmRopeStyle;

/* How the angles of a rotation are stretched for positions beyond those of pre-training. */
typedef enum LmRopeScaling
{
	LM_ROPE_UNSCALED,
	LM_ROPE_LINEAR, /* Chen et al. 2023, "Extending context window ... interpolation" */
	LM_ROPE_LLAMA3, /* low frequencies alone, with a smooth passage (Llama 3.1) */
	LM_ROPE_YARN, /* Peng et al. 2023, "YaRN", section 3 */
} LmRopeScaling;

/* The angles of a rotation. lm_config_rotation makes it from a model's configuration. */
typedef struct LmRotation
{
	int size; /* elements of a head that are rotated, even */
	float base;
	LmRopeScaling scaling;
	float factor; /* of all scalings: the new context per original_context */
	/* Of llama3 and yarn: between how many turns within original_context the passage lies. */
	float low;
	float high;
	int original_context;
	float attention; /* of yarn: the factor of cosines and sines; 0: 0.1 ln(factor) + 1 */
} LmRotation;

/*
 * Each head's query and key is normalised (RMSNorm over the head, Henry et al. 2020 with a learnt
 * weight in the place of the scale), then its first rotary_size elements are rotated by its
 * position (RoPE, Su et al. 2021, section 3.2.2): pair i of them is turned by the angle position
 * base^(-2 i / rotary_size).
 */
typedef struct LmHeads
{
	int heads; /* of queries; 0: rows have keys and values alone */
	int kv_heads; /* 0: rows have queries alone */
	int head_size;
	const float *query_weight; /* [head_size]; NULL: not normalised */
	const float *key_weight;
	float epsilon;
	int rotary_size;
	LmRopeStyle style;
	/* [positions, rotary_size]: cosines, then sines; NULL: not rotated */
	const float *rotary;
} LmHeads;

/*
 * qkv [n_rows, A + 2 K] in place (LmAttentionShape has A and K). The backward pass of the norm
 * needs raw [n_rows, A + K] and rstd [n_rows, heads + kv_heads] (NULL: not wanted).
 */
void lm_heads_forward(LmEngine *engine, float *qkv, float *raw, float *rstd,
					  const int32_t *positions, const LmHeads *heads, int n_rows);
/* dqkv in place; dquery_weight, dkey_weight [head_size] += (NULL: frozen) */
void lm_heads_backward(LmEngine *engine, float *dqkv, float *dquery_weight, float *dkey_weight,
					   const float *raw, const float *rstd, const int32_t *positions,
					   const LmHeads *heads, int n_rows, void *scratch);
size_t lm_heads_backward_scratch(int n_rows, int head_size);
/* Fills table [context, rotation->size]: cosines, then sines of each position's angles. */
void lm_rotary(float *table, const LmRotation *rotation, int context);

/* The two columns of one pair, for callers that ask between pairs whether to stop. */
void lm_rotary_pair(float *table, const LmRotation *rotation, int context, int pair);

/* ---- Softmax and cross-entropy (kernels/loss.c) ------------------------- */

/*
 * logits [n_rows, V] becomes the gradient (softmax - wanted) weight scale, in place; wanted is (1 -
 * smoothing) onehot(target) + smoothing / V (Szegedy et al. 2016, section 7). nll [n_rows] gets
 * -log softmax[target], without smoothing. A row with target -1 or weight 0 has gradient 0 and
 * nll 0.
 */
void lm_cross_entropy(LmEngine *engine, float *logits, float *nll, const int32_t *targets,
					  const float *weights, float scale, float smoothing, int n_rows, int V);
/* nll only; logits are not changed. */
void lm_cross_entropy_forward(LmEngine *engine, float *nll, const float *logits,
							  const int32_t *targets, int n_rows, int V);

/*
 * The sets of labels of rows that may have several labels, or none. The arrays are the dataset's.
 */
typedef struct LmLabelSets
{
	uint64_t n_sets;
	/* [n_sets] a set begins in members where the one before ends, the first at 0 */
	const uint64_t *ends;
	const uint32_t *members; /* numbers of labels, ascending in each set */
} LmLabelSets;

/* The labels of a set, *n of them; points into sets->members. */
static inline const uint32_t *
lm_label_set(uint64_t *n, const LmLabelSets *sets, uint64_t set)
{
	uint64_t begin = set > 0 ? sets->ends[set - 1] : 0;

	*n = sets->ends[set] - begin;
	return sets->members + begin;
}

/*
 * The loss of rows that may have several labels, or none. Each label has a sigmoid of its own, and
 * a row's loss is the sum of their binary cross-entropies (Nam et al. 2014, "Large-scale
 * multi-label text classification - revisiting neural networks"): -log of the probability of the
 * row's set. It is a sum, not a mean, so that a rare label weighs the same among few labels and
 * among many. targets [n_rows] are numbers of sets. logits [n_rows, n_labels] becomes the gradient
 * (sigmoid - wanted) weight scale, in place; wanted is (1 - smoothing) (1 where the label is in the
 * set, else 0) + smoothing / 2: that of lm_cross_entropy with the two answers yes and no. nll
 * [n_rows] gets the loss without smoothing. A row with target -1 or weight 0 has gradient 0 and nll
 * 0.
 */
void lm_binary_cross_entropy(LmEngine *engine, float *logits, float *nll, const int32_t *targets,
							 const LmLabelSets *sets, const float *weights, float scale,
							 float smoothing, int n_rows, int n_labels);
/* nll only; logits are not changed. */
void lm_binary_cross_entropy_forward(LmEngine *engine, float *nll, const float *logits,
									 const int32_t *targets, const LmLabelSets *sets, int n_rows,
									 int n_labels);

/* log(sum(exp(x))) of x [n], summed in float64 relative to the maximum; on the calling thread. */
double lm_log_sum_exp(const float *x, int n);

/* ---- Update (kernels/sum_squares.c, train/adamw.c) ---------------------- */

/*
 * Sum of squares of x [count] in float64, by fixed pieces of 64 Ki elements added in order.
 * scratch: a double for each piece.
 */
double lm_sum_squares(LmEngine *engine, const float *x, size_t count, void *scratch);
size_t lm_sum_squares_scratch(size_t count);

/*
 * AdamW (Loshchilov and Hutter 2019, algorithm 2, with Adam's bias correction):
 *   g = gradient gradient_scale;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *   p -= rate (m / correction1) / (sqrt(v / correction2) + epsilon) + rate decay p
 */
typedef struct LmAdamW
{
	float rate;
	float beta1;
	float beta2;
	float epsilon;
	float decay;
	float correction1; /* 1 - beta1^step, step counted from 1 */
	float correction2;
	float gradient_scale; /* clipping */
} LmAdamW;

/* y [count] += x; each element has one addition, so there is no order to fix. */
void lm_add(LmEngine *engine, float *y, const float *x, size_t count);

#endif /* LM_OPS_H */
