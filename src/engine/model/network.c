/*
 * src/engine/model/network.c
 *
 * The decoder in training: embeddings, blocks, final norm and head, forward and backward.
 *
 *   x = dropout(scale wte[token] + wpe[position])
 *   x = block_l(x) for each layer
 *   logits = cap(norm(x) head')
 *
 * With recomputation (Chen et al. 2016, "Training deep nets with sublinear memory cost", section 3)
 * all blocks keep their inner activations in one place, and each block is computed a second time
 * from its input before its backward pass. The operations are the same ones, so the gradient is the
 * same bits.
 *
 * The loss is that of an objective (model/objective.h).
 */
#include "model/objective.h"
#include "model/network.h"

static void leave_block(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass,
						int layer);
static void embedding_forward(LmNetwork *network, const LmPass *pass);
static void embedding_backward(LmNetwork *network, const LmPass *pass);

void
lm_network_forward(LmNetwork *network, const LmPass *pass)
{
	const LmConfig *config = &network->config;
	LmActivations *a = &network->activations;
	const LmBlockActivations *first = &a->blocks[0];

	embedding_forward(network, pass);
	lm_norm_forward(network->engine, first->norm1, first->mean1, first->rstd1, first->x,
					network->params.blocks[0].norm1_weight, network->params.blocks[0].norm1_bias,
					pass->batch->n_tokens, config->channels, config->norm_epsilon, config->norm);
	for (int layer = 0; layer < config->layers; layer++)
	{
		/* Without a backward pass, every block works in the place of the first. */
		const LmBlockActivations *kept = pass->training ? &a->blocks[layer] : first;

		lm_block_forward(network, kept, pass, layer);
		leave_block(network, kept, pass, layer);
	}
}

/* The block's output, and the next norm of it: that of the next block, or the final one. */
static void
leave_block(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	LmActivations *a = &network->activations;
	LmDropout dropout = lm_pass_dropout(network, pass, LM_RANDOM_MLP_DROPOUT, layer);
	LmResidual output = {a->x, kept->middle, a->narrow, &dropout};
	int n = pass->batch->n_tokens, C = config->channels;

	if (layer == config->layers - 1)
		lm_residual_norm_forward(network->engine, a->norm, a->mean, a->rstd, &output,
								 network->params.final_norm_weight, network->params.final_norm_bias,
								 n, C, config->norm_epsilon, config->norm);
	else
	{
		const LmBlockActivations *next = pass->training ? &a->blocks[layer + 1] : kept;
		const LmBlockTensors *w = &network->params.blocks[layer + 1];

		output.sum = next->x;
		lm_residual_norm_forward(network->engine, next->norm1, next->mean1, next->rstd1, &output,
								 w->norm1_weight, w->norm1_bias, n, C, config->norm_epsilon,
								 config->norm);
	}
}

void
lm_network_backward(LmNetwork *network, const LmPass *pass)
{
	const LmConfig *config = &network->config;
	LmActivations *a = &network->activations;
	int n = pass->batch->n_tokens, C = config->channels;

	/* norm = norm(x) */
	lm_zero(network->engine, a->dx, (size_t) n * C);
	lm_norm_backward(network->engine, a->dx, network->gradient.final_norm_weight,
					 network->gradient.final_norm_bias, a->narrow, a->x, a->mean, a->rstd,
					 network->params.final_norm_weight, n, C, config->norm, a->scratch);
	for (int layer = config->layers - 1; layer >= 0; layer--)
	{
		/* The activations of the last block are still there. */
		if (network->recompute && layer < config->layers - 1)
			lm_block_recompute(network, pass, layer);
		lm_block_backward(network, pass, layer);
	}
	if (network->gradient.token_embedding)
		embedding_backward(network, pass);
}

static void
embedding_forward(LmNetwork *network, const LmPass *pass)
{
	const LmBatch *batch = pass->batch;
	LmActivations *a = &network->activations;
	const float *wpe = a->sinusoid ? a->sinusoid : network->params.position_embedding;
	LmDropout dropout = lm_pass_dropout(network, pass, LM_RANDOM_EMBEDDING_DROPOUT, 0);
	float *x = a->blocks[0].x;
	int C = network->config.channels;

	lm_embedding_forward(network->engine, x, batch->tokens, batch->positions,
						 network->params.token_embedding, wpe, network->config.embedding_scale,
						 batch->n_tokens, C);
	lm_dropout(network->engine, x, x, &dropout, batch->n_tokens, C);
}

static void
embedding_backward(LmNetwork *network, const LmPass *pass)
{
	const LmBatch *batch = pass->batch;
	LmActivations *a = &network->activations;
	LmDropout dropout = lm_pass_dropout(network, pass, LM_RANDOM_EMBEDDING_DROPOUT, 0);
	int C = network->config.channels;

	/* x = dropout(scale wte[tokens] + wpe[positions]) */
	lm_dropout(network->engine, a->dx, a->dx, &dropout, batch->n_tokens, C);
	lm_embedding_backward(network->engine, network->gradient.token_embedding,
						  network->gradient.position_embedding, a->dx, batch->tokens,
						  batch->positions, network->config.embedding_scale, batch->n_tokens, C);
}

double
lm_network_loss(LmNetwork *network, const LmPass *pass, float scale)
{
	return network->objective->loss(network, pass, scale);
}

bool
lm_network_overwrites(const LmNetwork *network, const LmParam *param)
{
	if (param->layer >= 0)
		return !param->vector;
	return network->objective->writes_head &&
		   param->kind == (network->config.tie_embeddings ? LM_TOKEN_EMBEDDING : LM_HEAD_WEIGHT);
}
