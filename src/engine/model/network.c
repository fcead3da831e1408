/*
 * src/engine/model/network.c
 *
 * The network in training: embeddings, blocks, final norm and head, forward and backward.
 *
 *   x = dropout(scale wte[token] + wpe[position])
 *   x = block_l(x) for each layer
 *   logits = cap(norm(x) head')
 *
 * With an encoder, the rows of prefixes go through a stack of their own, up to its final norm, of
 * which the decoder's blocks take keys and values. Both stacks have the same embeddings.
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

/* A stack of blocks, the pass over its rows, and its end. */
typedef struct Stack
{
	LmPass pass;
	int first; /* number of its first block */
	int last;
	LmStackOutput output;
	const float *norm_weight;
	const float *norm_bias;
	float *dnorm_weight;
	float *dnorm_bias;
} Stack;

static bool encodes(const LmNetwork *network);
static void part(LmNetwork *network, const LmBatch *batch);
static Stack decoder_of(const LmNetwork *network, const LmPass *pass);
static Stack encoder_of(const LmNetwork *network, const LmPass *pass);
static void stack_forward(LmNetwork *network, const Stack *stack);
static void leave_block(LmNetwork *network, const Stack *stack, const LmBlockActivations *kept,
						int layer);
static void stack_backward(LmNetwork *network, const Stack *stack, const float *dnorm);
static void tell_done(const LmPass *pass, int layer);
static void embedding_forward(LmNetwork *network, const LmPass *pass, float *x);
static void embedding_backward(LmNetwork *network, const LmPass *pass);

void
lm_network_forward(LmNetwork *network, const LmPass *pass)
{
	LmActivations *a = &network->activations;
	int C = network->config.channels;
	Stack decoder, encoder;

	if (encodes(network))
		part(network, pass->batch);
	decoder = decoder_of(network, pass);
	if (!encodes(network))
	{
		stack_forward(network, &decoder);
		return;
	}
	encoder = encoder_of(network, pass);
	if (encoder.pass.batch->n_tokens > 0)
		stack_forward(network, &encoder);
	stack_forward(network, &decoder);
	/* Rows of the encoder predict nothing. */
	lm_zero(network->engine, a->norm, (size_t) pass->batch->n_tokens * (size_t) C);
	lm_scatter_rows(network->engine, a->norm, decoder.output.norm, network->parts.rows,
					decoder.pass.batch->n_tokens, C);
}

void
lm_network_backward(LmNetwork *network, const LmPass *pass)
{
	LmActivations *a = &network->activations;
	Stack decoder = decoder_of(network, pass), encoder;
	int n = decoder.pass.batch->n_tokens, C = network->config.channels;

	if (!encodes(network))
	{
		stack_backward(network, &decoder, a->narrow);
		return;
	}
	encoder = encoder_of(network, pass);
	lm_zero(network->engine, a->dencoded, (size_t) encoder.pass.batch->n_tokens * (size_t) C);
	lm_gather_rows(network->engine, a->wide, a->narrow, network->parts.rows, n, C);
	stack_backward(network, &decoder, a->wide);
	if (encoder.pass.batch->n_tokens > 0)
		stack_backward(network, &encoder, a->dencoded);
	else
		for (int layer = encoder.last; layer >= encoder.first; layer--)
			tell_done(pass, layer);
}

static bool
encodes(const LmNetwork *network)
{
	return network->config.architecture == LM_ENCODER_DECODER;
}

/* Parts a batch, and lays out the blocks for the number of rows of each stack. */
static void
part(LmNetwork *network, const LmBatch *batch)
{
	LmArena arena = {.base = network->activations.block_memory};

	lm_parts_split(network, batch);
	lm_blocks_layout(network, &arena, network->parts.decoder.n_tokens,
					 network->parts.encoder.n_tokens);
}

static Stack
decoder_of(const LmNetwork *network, const LmPass *pass)
{
	const LmActivations *a = &network->activations;
	Stack stack = {
		.pass = *pass,
		.first = 0,
		.last = network->config.layers - 1,
		.output = {a->x, a->norm, a->mean, a->rstd},
		.norm_weight = network->params.final_norm_weight,
		.norm_bias = network->params.final_norm_bias,
		.dnorm_weight = network->gradient.final_norm_weight,
		.dnorm_bias = network->gradient.final_norm_bias,
	};

	if (encodes(network))
	{
		stack.pass.batch = &network->parts.decoder;
		stack.output.norm = a->wide;
	}
	return stack;
}

static Stack
encoder_of(const LmNetwork *network, const LmPass *pass)
{
	Stack stack = {
		.pass = *pass,
		.first = network->config.layers,
		.last = lm_config_blocks(&network->config) - 1,
		.output = network->activations.encoded,
		.norm_weight = network->params.encoder_norm_weight,
		.norm_bias = network->params.encoder_norm_bias,
		.dnorm_weight = network->gradient.encoder_norm_weight,
		.dnorm_bias = network->gradient.encoder_norm_bias,
	};

	stack.pass.batch = &network->parts.encoder;
	/* A batch may have no rows for it (lm_network_overwrites). */
	stack.pass.first = false;
	return stack;
}

static void
stack_forward(LmNetwork *network, const Stack *stack)
{
	const LmConfig *config = &network->config;
	LmActivations *a = &network->activations;
	const LmBlockTensors *w = &network->params.blocks[stack->first];
	const LmBlockActivations *first = &a->blocks[stack->first];

	embedding_forward(network, &stack->pass, first->x);
	lm_norm_forward(network->engine, first->norm1, first->mean1, first->rstd1, first->x,
					w->norm1_weight, w->norm1_bias, stack->pass.batch->n_tokens, config->channels,
					config->norm_epsilon, config->norm);
	for (int layer = stack->first; layer <= stack->last; layer++)
	{
		/* Without a backward pass, every block works in the place of the first. */
		const LmBlockActivations *kept = stack->pass.training ? &a->blocks[layer] : first;

		lm_block_forward(network, kept, &stack->pass, layer);
		leave_block(network, stack, kept, layer);
	}
}

/* The block's output, and the next norm of it: that of the next block, or the final one. */
static void
leave_block(LmNetwork *network, const Stack *stack, const LmBlockActivations *kept, int layer)
{
	const LmConfig *config = &network->config;
	LmActivations *a = &network->activations;
	const LmStackOutput *end = &stack->output;
	LmDropout dropout = lm_pass_dropout(network, &stack->pass, LM_RANDOM_MLP_DROPOUT, layer);
	LmResidual output = {end->x, kept->middle, a->narrow, &dropout};
	int n = stack->pass.batch->n_tokens, C = config->channels;

	if (layer == stack->last)
		lm_residual_norm_forward(network->engine, end->norm, end->mean, end->rstd, &output,
								 stack->norm_weight, stack->norm_bias, n, C, config->norm_epsilon,
								 config->norm);
	else
	{
		const LmBlockActivations *next = stack->pass.training ? &a->blocks[layer + 1] : kept;
		const LmBlockTensors *w = &network->params.blocks[layer + 1];

		output.sum = next->x;
		lm_residual_norm_forward(network->engine, next->norm1, next->mean1, next->rstd1, &output,
								 w->norm1_weight, w->norm1_bias, n, C, config->norm_epsilon,
								 config->norm);
	}
}

/* From the gradient of the stack's final norm to those of its parameters and of the embeddings. */
static void
stack_backward(LmNetwork *network, const Stack *stack, const float *dnorm)
{
	const LmConfig *config = &network->config;
	LmActivations *a = &network->activations;
	int n = stack->pass.batch->n_tokens, C = config->channels;

	/* norm = norm(x) */
	lm_zero(network->engine, a->dx, (size_t) n * (size_t) C);
	lm_norm_backward(network->engine, a->dx, stack->dnorm_weight, stack->dnorm_bias, dnorm,
					 stack->output.x, stack->output.mean, stack->output.rstd, stack->norm_weight, n,
					 C, config->norm, a->scratch);
	for (int layer = stack->last; layer >= stack->first; layer--)
	{
		/* The activations of the last block are still there. */
		if (network->recompute && layer < stack->last)
			lm_block_recompute(network, &stack->pass, layer);
		lm_block_backward(network, &stack->pass, layer);
		tell_done(&stack->pass, layer);
	}
	if (network->gradient.token_embedding)
		embedding_backward(network, &stack->pass);
}

static void
tell_done(const LmPass *pass, int layer)
{
	if (pass->block_done)
		pass->block_done(pass->done_context, layer);
}

static void
embedding_forward(LmNetwork *network, const LmPass *pass, float *x)
{
	const LmBatch *batch = pass->batch;
	LmActivations *a = &network->activations;
	const float *wpe = a->sinusoid ? a->sinusoid : network->params.position_embedding;
	LmDropout dropout = lm_pass_dropout(network, pass, LM_RANDOM_EMBEDDING_DROPOUT, 0);
	int C = network->config.channels;

	if (pass->inputs)
	{
		lm_copy(network->engine, x, pass->inputs, (size_t) batch->n_tokens * (size_t) C);
		return;
	}
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
	/* Some batches have no rows for an encoder, which then writes nothing. */
	if (param->layer >= network->config.layers || param->kind == LM_CROSS_KEY_VALUE_WEIGHT)
		return false;
	if (param->layer >= 0)
		return !param->vector;
	return network->objective->writes_head &&
		   param->kind == (network->config.tie_embeddings ? LM_TOKEN_EMBEDDING : LM_HEAD_WEIGHT);
}
