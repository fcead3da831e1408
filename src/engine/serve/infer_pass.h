/*
 * src/engine/serve/infer_pass.h
 *
 * One pass of inference from the inside: infer.c has the way of the rows through the blocks,
 * infer_attention.c attention over pages, infer_adapters.c the adapters of rows, infer_encoder.c
 * the encoder and what its output is for.
 *
 * With an encoder the inputs are parted: those of prefixes go through the encoder's blocks first,
 * then the others through the decoder's. A page has for a position of a prefix the keys and values
 * of cross-attention, for any other those of self-attention:
 *
 *   positions of a sequence   | prefix: cross-attention of all rows | self-attention of later rows
 * |
 */
#ifndef LM_INFER_PASS_H
#define LM_INFER_PASS_H

#include "serve/image.h"
#include "serve/pages.h"

/* The rows of one adapter: order[first .. first + n). */
typedef struct LmPassGroup
{
	const LmModel *model;
	int first;
	int n;
} LmPassGroup;

/* A pass, with the rows of the stack of blocks that is running. */
typedef struct LmInferPass
{
	LmEngine *engine;
	const LmModel *model;
	LmPages *pages;
	LmSequence *sequences;
	const LmInput *inputs;
	int n; /* inputs */
	int n_wanted;

	/* the workspace */
	LmInput *parted; /* [n] the encoder's inputs, then the decoder's; NULL without an encoder */
	int *rows; /* [n] the input that a row of x stands for */
	int32_t *positions; /* [n] of the inputs */
	float *x; /* [n, C] residual stream of the rows */
	float *norm; /* [n, C] a norm, or a branch's output */
	float *qkv; /* [n, A + 2 K] of the inputs: channels of queries, keys and values */
	float *attention; /* [n, A] */
	float *wide; /* [n, M]; [n, 2 M] of a gated MLP */
	float *gated; /* [n, M]; NULL: not gated */
	float *norm2; /* [n, C]; NULL: the residual is not parallel */
	void *packed; /* lm_linear_infer_scratch of n rows of max(C, A, M) */
	LmPassGroup *groups; /* [n] of the rows that have an adapter */
	LmLoraRows *adapters; /* [n] */
	int *group_of; /* [n] of a row; -1: none */
	int *order; /* [n] rows, by groups */
	float *scores; /* [threads] lm_attention_rows_scratch */
	int *blocks; /* [n + 1] the rows of x at which blocks of attention begin */
	const float **tables; /* [threads, 2, pages of a sequence] */

	int n_rows;
	int n_groups_of_rows;
	int layer; /* number of the block (lm_config_blocks) */
	int page_layer; /* whose keys and values the pages have: the encoder uses the first */
	bool crosses; /* attention at hand is cross-attention: row i of q is that of row i of x */
	int ld_q;
	int n_blocks;
	int n_groups; /* pieces that a block's heads are cut into */
} LmInferPass;

/* The prefix of an input's sequence; 0 in a decoder. */
static inline int
lm_pass_prefix(const LmInferPass *pass, const LmInput *input)
{
	return pass->model->config.architecture == LM_DECODER ? 0
														  : pass->sequences[input->sequence].prefix;
}

static inline bool
lm_pass_in_encoder(const LmInferPass *pass)
{
	return lm_config_in_encoder(&pass->model->config, pass->layer);
}

/* Floats for the scores of a thread, whole cache lines. */
static inline size_t
lm_pass_scores(const LmConfig *config)
{
	return (lm_attention_rows_scratch(config->context, lm_config_head_size(config)) + 15) / 16 * 16;
}

/* infer.c: y = the configuration's norm of the rows x; y may be x. */
void lm_pass_norm(LmInferPass *pass, float *y, const float *x, const float *weight,
				  const float *bias);
/* infer.c: x [n, C] of the inputs, each of which is a row. */
void lm_pass_embed(LmInferPass *pass);
/* infer.c: one layer of all rows. */
void lm_pass_block(LmInferPass *pass);

/*
 * infer_adapters.c. _check: whether a sequence's model is a sibling of the pass's, else
 * LM_ERR_ARGUMENT. _group sorts the rows by their adapters. _add: y += the products of each row's
 * adapter, y and x as of the layer's own product.
 */
bool lm_pass_check_adapter(const LmInferPass *pass, const LmSequence *sequence, int i,
						   LmError *error);
void lm_pass_group(LmInferPass *pass);
void lm_pass_add_adapters(LmInferPass *pass, float *y, const float *x, const LmLinear *linear,
						  LmTarget target);

/*
 * infer_attention.c: keys and values of all inputs to their pages, from rows of ld floats that
 * begin with the keys; with is_self those of inputs that are alone are left to _attend.
 */
void lm_pass_store(LmInferPass *pass, const float *from, int ld, bool is_self);
/* attention [n_rows, A] from qkv and the pages, of self-attention or, where it crosses, of cross-.
 */
void lm_pass_attend(LmInferPass *pass);

/*
 * infer_encoder.c: parts the inputs and runs those of prefixes, up to the keys and values of
 * cross-attention in the pages; the pass goes on with the others. hidden: NULL, or gets the outputs
 * of wanted inputs. False for a wanted input without an output, with LM_ERR_ARGUMENT.
 */
bool lm_pass_encode(LmInferPass *pass, float *hidden, LmError *error);
/* x += the branch of self-attention in norm; then norm = the branch of cross-attention. */
void lm_pass_cross(LmInferPass *pass);

#endif /* LM_INFER_PASS_H */
