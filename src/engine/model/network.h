/*
 * src/engine/model/network.h
 *
 * The network in training: pointers to its tensors, its activations, and the passes over it.
 *
 * It is one stack of blocks, or two: with an encoder, the rows of a batch are parted, and each
 * stack works on its own rows without gaps (LmParts). Blocks of both are in one array
 * (lm_config_blocks).
 *
 * Activations are kept from the forward pass for the backward pass. N is the capacity in tokens, M
 * the channels of the MLP and U those of its first product (2 M with a gate), A the channels of
 * queries and K those of keys, R the rows of logits that exist at once.
 */
#ifndef LM_NETWORK_H
#define LM_NETWORK_H

#include "engine/trainer.h"
#include "base/arena.h"

/* Tensors of a decoder block's cross-attention. */
typedef struct LmCrossTensors
{
	float *norm_weight;
	float *norm_bias;
	float *query_weight;
	float *query_bias;
	float *key_value_weight;
	float *key_value_bias;
	float *query_norm_weight; /* [head_size] */
	float *key_norm_weight;
	float *projection_weight;
	float *projection_bias;
	float *post_norm_weight;
	float *post_norm_bias;
} LmCrossTensors;

/*
 * Tensors of a block in a block of parameters or of gradients; NULL where the configuration has
 * none.
 */
typedef struct LmBlockTensors
{
	float *norm1_weight;
	float *norm1_bias;
	float *attention_weight;
	float *attention_bias;
	float *query_norm_weight; /* [head_size] */
	float *key_norm_weight;
	float *projection_weight;
	float *projection_bias;
	float *post_norm1_weight;
	float *post_norm1_bias;
	float *norm2_weight;
	float *norm2_bias;
	float *up_weight;
	float *up_bias;
	float *down_weight;
	float *down_bias;
	float *post_norm2_weight;
	float *post_norm2_bias;
	float *lora_a[LM_TARGETS]; /* [rank, n_in]; NULL: no target of an adapter */
	float *lora_b[LM_TARGETS]; /* [n_out, rank] */
	LmCrossTensors cross;
} LmBlockTensors;

/* All tensors of a model in a block of parameters or of gradients. */
typedef struct LmTensors
{
	float *token_embedding;
	float *position_embedding; /* NULL: none is learned */
	float *final_norm_weight;
	float *final_norm_bias;
	float *encoder_norm_weight; /* NULL without an encoder */
	float *encoder_norm_bias;
	float *head_weight; /* the token embedding where they are tied */
	float *embedding_runs; /* NULL, as the next, without a trained embedding */
	float *embedding_hidden;
	float *bag_embedding; /* NULL, as the next two, without labels */
	float *label_weight;
	float *label_bias;
	LmBlockTensors *blocks; /* [lm_config_blocks] */
} LmTensors;

/* What the backward pass of a norm behind a branch needs; NULLs without post_norm. */
typedef struct LmPostNorm
{
	float *x; /* [N, C] the branch */
	float *mean; /* [N] */
	float *rstd;
} LmPostNorm;

/* Activations of cross-attention; n_d rows of the decoder, n_e of the encoder. */
typedef struct LmCrossActivations
{
	float *x; /* [n_d, C] the stream after self-attention */
	float *norm; /* [n_d, C] */
	float *mean;
	float *rstd;
	float *q; /* [n_d, A] */
	float *q_raw; /* the same before its norm; with qk_norm, as the next */
	float *q_rstd; /* [n_d, heads] */
	float *kv; /* [n_e, 2 K] */
	float *k_raw; /* [n_e, K] */
	float *k_rstd; /* [n_e, kv_heads] */
	float *attention; /* [n_d, A] */
	float *lse; /* [n_d, H] */
	LmPostNorm post;
} LmCrossActivations;

/* Activations of one block. */
typedef struct LmBlockActivations
{
	float *x; /* [N, C] the block's input */
	float *norm1; /* [N, C] */
	float *mean1; /* [N] */
	float *rstd1;
	float *qkv; /* [N, A + 2 K] as attention takes it */
	float *raw; /* [N, A + K] queries and keys before their norm; only with qk_norm */
	float *head_rstd; /* [N, heads of queries and of keys] */
	float *attention; /* [N, A] */
	float *lse; /* [N, H] */
	float *middle; /* [N, C] x + the branches of attention */
	float *norm2; /* [N, C] */
	float *mean2;
	float *rstd2;
	float *up; /* [N, U] before the activation function */
	float *gelu; /* [N, M] */
	LmPostNorm post1;
	LmPostNorm post2;
	LmCrossActivations cross; /* NULLs without cross-attention */
} LmBlockActivations;

/* The end of a stack: the output of its last block, and the final norm of it. */
typedef struct LmStackOutput
{
	float *x; /* [N, C] */
	float *norm; /* [N, C] */
	float *mean; /* [N] */
	float *rstd;
} LmStackOutput;

/*
 * With an encoder, the rows of a batch by stacks, without gaps; targets, weights and values stay in
 * the whole batch.
 */
typedef struct LmParts
{
	LmBatch encoder; /* the rows of prefixes; perhaps none */
	LmBatch decoder; /* the others: at least one in each window */
	int32_t *rows; /* of the decoder's in the whole batch */
	int32_t *first_keys; /* of each decoder row: the encoder's rows of its window */
	int32_t *last_keys;
} LmParts;

/* Rows with a target, where others have none. */
typedef struct LmPredictions
{
	int32_t *rows; /* [N] */
	int32_t *targets;
	float *weights;
	float *nll;
	float *x; /* [R, C] of a chunk of them */
	float *dx;
} LmPredictions;

#define LM_LABEL_WINDOWS 64 /* that are classified at once */

/* Activations of a classifier's head; F = C + lm_bag_channels. */
typedef struct LmLabelActivations
{
	float *features; /* [LM_LABEL_WINDOWS, F] */
	float *dfeatures;
	float *logits; /* [LM_LABEL_WINDOWS, labels] */
} LmLabelActivations;

#define LM_CONTRAST_WINDOWS 512 /* that are compared with each other, at most */

/* Activations of contrastive training; W windows, d numbers of an embedding. */
typedef struct LmContrastActivations
{
	float *runs; /* [W, LM_SEARCH_WIDE_RUNS] */
	float *hidden; /* [W, C] mean outputs, scaled */
	float *dhidden; /* [W, C] */
	float *z; /* [W, d] of length 1 */
	float *dz; /* [W, d] */
	float *lengths; /* [W] of z before */
	/* of queries [W / 2] with candidates [W], and of positives [W / 2] with queries [W / 2] */
	float *forward;
	float *reverse;
} LmContrastActivations;

/* Activations of the whole network, and scratch of its passes. */
typedef struct LmActivations
{
	LmBlockActivations *blocks; /* [lm_config_blocks] */
	void *block_memory; /* with an encoder: blocks are laid out in it for each batch */
	LmStackOutput encoded; /* NULLs, as the next two, without an encoder */
	float *dencoded; /* [N, C] gradient of encoded.norm */
	float *dkv; /* [N, 2 K] */
	float *x; /* [N, C] the last block's output; of the decoder's rows */
	float *norm; /* [N, C] of the whole batch: 0 in an encoder's rows */
	float *mean;
	float *rstd;
	float *logits; /* [R, V] */
	LmPredictions predictions;
	float *capped; /* [R, V] logits behind their soft cap; NULL without one */
	float *nll; /* [N] */
	float *dx; /* [N, C] gradient of the residual stream */
	float *dbranch; /* [N, C] the same after a dropout mask; only with dropout */
	/*
	 * [N, C] gradient of a branch before its post norm, or with parallel_residual of the block's
	 * output; NULL without either
	 */
	float *apart;
	/* [N, max(C, A)] a branch's output, or the gradient of a norm or of the attention's output */
	float *narrow;
	float *wide; /* [N, max(M, A + 2 K)] gradient inside a branch */
	float *sinusoid; /* [context, C]; only where positions are sinusoidal */
	float *rotary; /* [context, rotary_size]; only with rope */
	float *rotary_local; /* the same for the layers with rope_local_base */
	LmLabelActivations labels; /* NULLs without labels */
	LmContrastActivations contrast; /* NULLs without a contrastive objective */
	float *row_weights; /* [N] in the place of the batch's; only with pairs */
	/* [N, rank], of one layer at a time; NULL, as the next two, without an adapter */
	float *lora_h;
	float *lora_dh;
	float *lora_masked; /* [N, max(M, C, A)]; only with dropout in the adapter */
	void *scratch;
	void *packed; /* LmLinear.packed, for one layer at a time */
	bool bf16;
} LmActivations;

/* A network in training. All memory is the trainer's; tensors and activations point into it. */
typedef struct LmNetwork
{
	LmEngine *engine;
	LmConfig config;
	int capacity; /* N */
	bool recompute; /* only the input of each block is kept; set before lm_network_layout */
	int logits_rows; /* R */
	const struct LmObjective *objective; /* set before lm_network_layout */
	double figures[LM_MAX_FIGURES]; /* sums that the objective adds to; zeroed by the caller */
	LmTensors params;
	LmTensors gradient; /* NULL where a parameter is frozen: all of an adapter's base */
	/* NULL: params has all of the base; else its matrices are those of one layer at a time */
	struct LmFrozen *frozen;
	LmParts parts;
	const LmTokenizer *tokenizer; /* of contrastive training, as the next; NULL: none */
	const LmSearch *search;
	LmActivations activations;
} LmNetwork;

/* One batch's way through the network. */
typedef struct LmPass
{
	const LmBatch *batch; /* of blocks: the rows of their stack */
	bool training; /* with dropout, and activations of every block are kept */
	bool first; /* of a step: what lm_network_overwrites names is written instead of added to */
	/*
	 * [n_tokens, C] in the place of what the embeddings of the batch's tokens and positions add up
	 * to; NULL: none. Without an encoder; the backward pass leaves their gradient in
	 * activations.dx.
	 */
	const float *inputs;
	const LmTrainOptions *options; /* those of the objective matter */
	uint64_t seed;
	int64_t step;
	/*
	 * Called in the backward pass once the gradient of all parameters of a block is final: once for
	 * each block, of the decoder from the last one down, then of the encoder. NULL: none.
	 */
	void (*block_done)(void *context, int layer);
	void *done_context;
} LmPass;

/*
 * Slices of everything but parameters and gradients; with an arena that only counts, their size.
 * bf16: products with a weight in bfloat16.
 */
void lm_network_layout(LmNetwork *network, LmArena *arena, const LmConfig *config, int capacity,
					   int n_threads, bool bf16);

/*
 * Points the tensors at blocks in table order. gradient NULL: all parameters are frozen. base_table
 * and base belong to an adapter's base, which has no gradient; NULL without one. Call
 * lm_network_layout before it.
 */
void lm_network_bind(LmNetwork *network, const LmParamTable *table, float *params, float *gradient,
					 const LmParamTable *base_table, float *base);

/* Whether the network and its objective can take the batch: else LM_ERR_ARGUMENT. */
bool lm_network_check(const LmNetwork *network, const LmBatch *batch, LmError *error);

/* tokens -> normalised output of the last block, in activations.norm, for each row of the batch */
void lm_network_forward(LmNetwork *network, const LmPass *pass);

/*
 * Σ weight loss of the batch after lm_network_forward, by the objective. With scale above 0 also
 * the gradient of scale times that sum: in activations.narrow with respect to activations.norm, and
 * += in the head's.
 */
double lm_network_loss(LmNetwork *network, const LmPass *pass, float scale);

/* From activations.narrow to the gradient of every parameter (+=). */
void lm_network_backward(LmNetwork *network, const LmPass *pass);

/*
 * Whether the first pass of a step writes the whole gradient of a parameter instead of adding to
 * it, so that it need not be cleared: the matrices of linear layers, which are nearly all of the
 * parameters.
 */
bool lm_network_overwrites(const LmNetwork *network, const LmParam *param);

/* out [n, V] of x [n, C], rows of activations.norm after lm_network_forward */
void lm_network_logits(LmNetwork *network, float *out, const float *x, int n);

/*
 * From kept->x and its norm, kept->norm1, to the MLP's branch in activations.narrow, which the
 * block's output adds to kept->middle after a dropout mask.
 */
void lm_block_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass,
					  int layer);
/* From kept->x to all that the backward pass of the layer needs. */
void lm_block_recompute(LmNetwork *network, const LmPass *pass, int layer);
/* activations.dx: from the gradient of the block's output to that of its input */
void lm_block_backward(LmNetwork *network, const LmPass *pass, int layer);

/*
 * Cross-attention of a decoder block (model/cross.c): from the self-attention's branch in
 * activations.narrow to its own branch there, and kept->cross.x = the stream between them. Backward
 * from the gradient of the stream after it in activations.dx to that of kept->cross.x; the gradient
 * of the encoder's output is added to activations.dencoded.
 */
void lm_cross_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass,
					  int layer);
void lm_cross_backward(LmNetwork *network, const LmPass *pass, int layer);

/* Parts of blocks that block.c and cross.c share; see block.c. */
LmLinear lm_block_linear(const LmNetwork *network, const LmPass *pass, int n_in, int n_out,
						 const float *w, const float *bias);
const float *lm_block_branch_gradient(LmNetwork *network, const LmPass *pass, const float *dy,
									  LmPurpose purpose, int layer);
void lm_post_norm_forward(LmNetwork *network, const LmPostNorm *kept, const float *weight,
						  const float *bias, const LmPass *pass);
const float *lm_post_norm_backward(LmNetwork *network, float *dweight, float *dbias,
								   const float *dy, const LmPostNorm *kept, const float *weight,
								   const LmPass *pass);

/* Slices of the activations of blocks (model/block_layout.c): n rows of each stack. */
void lm_blocks_layout(LmNetwork *network, LmArena *arena, int n_decoder, int n_encoder);
/* Bytes that are enough for any parting of the capacity; false on overflow. */
bool lm_blocks_size(size_t *bytes, LmNetwork *network);

/* With an encoder (model/parts.c): slices of network->parts, and the parting of a batch. */
void lm_parts_layout(LmNetwork *network, LmArena *arena);
void lm_parts_split(LmNetwork *network, const LmBatch *batch);

/* The operations on queries and keys of a layer. */
LmHeads lm_network_heads(const LmNetwork *network, int layer);

/* The mask of one place in the network during this pass. */
LmDropout lm_pass_dropout(const LmNetwork *network, const LmPass *pass, LmPurpose purpose,
						  int layer);

/* Bulk memory, in pieces (model/bulk.c). */
void lm_zero(LmEngine *engine, float *y, size_t count);
void lm_copy(LmEngine *engine, float *y, const float *x, size_t count);
/* y [n, C] = rows of x, and rows of y = x [n, C] */
void lm_gather_rows(LmEngine *engine, float *y, const float *x, const int32_t *rows, int n, int C);
void lm_scatter_rows(LmEngine *engine, float *y, const float *x, const int32_t *rows, int n, int C);

#endif /* LM_NETWORK_H */
