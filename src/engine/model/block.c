/*
 * src/engine/model/block.c
 *
 * A block of the decoder, forward and backward: attention and MLP, each on a normalised copy of the
 * residual stream and added to it (pre-norm: Radford et al. 2019, section 2.3).
 *
 *   middle = x      + dropout(projection(attention(heads(norm1(x)))))
 *   y      = middle + dropout(down(gelu(up(norm2(middle)))))
 *
 * heads() normalises and rotates queries and keys where the configuration has that; gelu() is the
 * activation of the configuration.
 */
#include "model/network.h"

static void attention_forward(LmNetwork *network, const LmBlockActivations *kept,
							  const LmPass *pass, int layer);
static void attention_backward(LmNetwork *network, const LmPass *pass, int layer);
static void mlp_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass,
						int layer);
static void mlp_backward(LmNetwork *network, const LmPass *pass, int layer);
static LmLinear linear_of(const LmNetwork *network, const LmPass *pass, int n_in, int n_out,
						  const float *w, const float *bias);
static void forward(LmNetwork *network, float *y, const float *x, const LmLinear *linear,
					LmTarget target, const LmPass *pass, int layer);
static void backward(LmNetwork *network, float *dx, float *dw, float *dbias, const float *dy,
					 const float *x, const LmLinear *linear, LmTarget target, const LmPass *pass,
					 int layer);
static LmLora lora_of(const LmNetwork *network, const LmPass *pass, const LmLinear *linear,
					  LmTarget target, int layer);
static const float *branch_gradient(LmNetwork *network, const LmPass *pass, LmPurpose purpose,
									int layer);

void
lm_block_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass, int layer)
{
	const LmBlockTensors *w = &network->params.blocks[layer];
	int C = network->config.channels, M = network->config.mlp_channels;
	LmLinear down = linear_of(network, pass, M, C, w->down_weight, w->down_bias);

	attention_forward(network, kept, pass, layer);
	mlp_forward(network, kept, pass, layer);
	forward(network, network->activations.narrow, kept->gelu, &down, LM_TARGET_DOWN, pass, layer);
}

void
lm_block_recompute(LmNetwork *network, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	const LmBlockActivations *kept = &network->activations.blocks[layer];

	lm_norm_forward(network->engine, kept->norm1, kept->mean1, kept->rstd1, kept->x,
					w->norm1_weight, w->norm1_bias, pass->batch->n_tokens, config->channels,
					config->norm_epsilon, config->norm);
	attention_forward(network, kept, pass, layer);
	mlp_forward(network, kept, pass, layer);
}

void
lm_block_backward(LmNetwork *network, const LmPass *pass, int layer)
{
	mlp_backward(network, pass, layer);
	attention_backward(network, pass, layer);
}

/* middle = x + dropout(projection(attention(qkv(norm1)))), norm2 = norm(middle). */
static void
attention_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	LmEngine *engine = network->engine;
	LmActivations *a = &network->activations;
	int n = pass->batch->n_tokens, C = config->channels;
	LmLinear to_qkv = linear_of(network, pass, C, 3 * C, w->attention_weight, w->attention_bias);
	LmLinear projection = linear_of(network, pass, C, C, w->projection_weight, w->projection_bias);
	LmHeads heads = lm_network_heads(network, layer);
	LmAttentionShape shape = lm_config_attention(config, layer);
	LmDropout inside = lm_pass_dropout(network, pass, LM_RANDOM_ATTENTION_DROPOUT, layer);
	LmDropout behind = lm_pass_dropout(network, pass, LM_RANDOM_PROJECTION_DROPOUT, layer);
	LmResidual middle = {kept->middle, kept->x, a->narrow, &behind};

	forward(network, kept->qkv, kept->norm1, &to_qkv, LM_TARGET_ATTENTION, pass, layer);
	lm_heads_forward(engine, kept->qkv, kept->raw, kept->head_rstd, pass->batch->positions, &heads,
					 n);
	lm_attention_forward(engine, kept->attention, kept->lse, kept->qkv, pass->batch->starts,
						 &inside, n, &shape, a->scratch);
	forward(network, a->narrow, kept->attention, &projection, LM_TARGET_PROJECTION, pass, layer);
	lm_residual_norm_forward(engine, kept->norm2, kept->mean2, kept->rstd2, &middle,
							 w->norm2_weight, w->norm2_bias, n, C, config->norm_epsilon,
							 config->norm);
}

/* dx holds d middle, and leaves as d x. */
static void
attention_backward(LmNetwork *network, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	const LmBlockTensors *dw = &network->gradient.blocks[layer];
	const LmBlockActivations *kept = &network->activations.blocks[layer];
	LmEngine *engine = network->engine;
	LmActivations *a = &network->activations;
	int n = pass->batch->n_tokens, C = config->channels;
	LmLinear to_qkv = linear_of(network, pass, C, 3 * C, w->attention_weight, w->attention_bias);
	LmLinear projection = linear_of(network, pass, C, C, w->projection_weight, w->projection_bias);
	LmHeads heads = lm_network_heads(network, layer);
	LmAttentionShape shape = lm_config_attention(config, layer);
	LmDropout inside = lm_pass_dropout(network, pass, LM_RANDOM_ATTENTION_DROPOUT, layer);
	float *dattention = a->narrow, *dqkv = a->wide, *dnorm1 = a->narrow;

	/* middle = x + dropout(projection(attention)) */
	const float *dbranch = branch_gradient(network, pass, LM_RANDOM_PROJECTION_DROPOUT, layer);

	backward(network, dattention, dw->projection_weight, dw->projection_bias, dbranch,
			 kept->attention, &projection, LM_TARGET_PROJECTION, pass, layer);
	/* attention = softmax(q k') v */
	lm_attention_backward(engine, dqkv, dattention, kept->attention, kept->lse, kept->qkv,
						  pass->batch->starts, &inside, n, &shape, a->scratch);
	/* qkv = heads(norm1 w' + bias) */
	lm_heads_backward(engine, dqkv, dw->query_norm_weight, dw->key_norm_weight, kept->raw,
					  kept->head_rstd, pass->batch->positions, &heads, n, a->scratch);
	backward(network, dnorm1, dw->attention_weight, dw->attention_bias, dqkv, kept->norm1, &to_qkv,
			 LM_TARGET_ATTENTION, pass, layer);
	/* norm1 = norm(x); the branch's gradient joins that of the stream */
	lm_norm_backward(engine, a->dx, dw->norm1_weight, dw->norm1_bias, dnorm1, kept->x, kept->mean1,
					 kept->rstd1, w->norm1_weight, n, C, config->norm, a->scratch);
}

static void
mlp_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass, int layer)
{
	const LmBlockTensors *w = &network->params.blocks[layer];
	int C = network->config.channels, M = network->config.mlp_channels;
	LmLinear up = linear_of(network, pass, C, M, w->up_weight, w->up_bias);

	up.activation = network->config.mlp;
	up.activated = kept->gelu;
	forward(network, kept->up, kept->norm2, &up, LM_TARGET_UP, pass, layer);
}

/* dx holds d y, and leaves as d middle. */
static void
mlp_backward(LmNetwork *network, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	const LmBlockTensors *dw = &network->gradient.blocks[layer];
	const LmBlockActivations *kept = &network->activations.blocks[layer];
	LmEngine *engine = network->engine;
	LmActivations *a = &network->activations;
	int n = pass->batch->n_tokens, C = config->channels, M = config->mlp_channels;
	LmLinear up = linear_of(network, pass, C, M, w->up_weight, w->up_bias);
	LmLinear down = linear_of(network, pass, M, C, w->down_weight, w->down_bias);
	float *dup = a->wide, *dnorm2 = a->narrow;

	/* y = middle + dropout(down(gelu(up))) */
	const float *dbranch = branch_gradient(network, pass, LM_RANDOM_MLP_DROPOUT, layer);

	down.activation = config->mlp;
	down.before = kept->up;
	backward(network, dup, dw->down_weight, dw->down_bias, dbranch, kept->gelu, &down,
			 LM_TARGET_DOWN, pass, layer);
	/* up = norm2 w' + bias */
	backward(network, dnorm2, dw->up_weight, dw->up_bias, dup, kept->norm2, &up, LM_TARGET_UP, pass,
			 layer);
	/* norm2 = norm(middle) */
	lm_norm_backward(engine, a->dx, dw->norm2_weight, dw->norm2_bias, dnorm2, kept->middle,
					 kept->mean2, kept->rstd2, w->norm2_weight, n, C, config->norm, a->scratch);
}

static LmLinear
linear_of(const LmNetwork *network, const LmPass *pass, int n_in, int n_out, const float *w,
		  const float *bias)
{
	return (LmLinear){
		.n_in = n_in,
		.n_out = n_out,
		.w = w,
		.bias = bias,
		.overwrite = pass->first,
		.packed = network->activations.packed,
		.bf16 = network->activations.bf16,
	};
}

/* y of a layer, plus the product of its adapter, and then the activation of the layer. */
static void
forward(LmNetwork *network, float *y, const float *x, const LmLinear *linear, LmTarget target,
		const LmPass *pass, int layer)
{
	LmLora lora = lora_of(network, pass, linear, target, layer);
	LmLinear plain = *linear;
	int n = pass->batch->n_tokens;

	if (!lora.a)
	{
		lm_linear_forward(network->engine, y, x, linear, n);
		return;
	}
	plain.activated = NULL;
	lm_linear_forward(network->engine, y, x, &plain, n);
	lm_lora_forward(network->engine, y, x, &lora, n);
	if (linear->activated)
		lm_gelu_forward(network->engine, linear->activated, y, (size_t) n * (size_t) linear->n_out,
						linear->activation);
}

/* Gradients of a linear layer, of its adapter where it has one, and of the activation before it. */
static void
backward(LmNetwork *network, float *dx, float *dw, float *dbias, const float *dy, const float *x,
		 const LmLinear *linear, LmTarget target, const LmPass *pass, int layer)
{
	const LmBlockTensors *gradient = &network->gradient.blocks[layer];
	LmLora lora = lora_of(network, pass, linear, target, layer);
	LmLinear plain = *linear;
	int n = pass->batch->n_tokens;

	if (!lora.a)
	{
		lm_linear_backward(network->engine, dx, dw, dbias, dy, x, linear, n,
						   network->activations.scratch);
		return;
	}
	plain.before = NULL;
	lm_linear_backward(network->engine, dx, dw, dbias, dy, x, &plain, n,
					   network->activations.scratch);
	/* y = x w' + scale mask(x) A' B' */
	lm_lora_backward(network->engine, dx, gradient->lora_a[target], gradient->lora_b[target], dy, x,
					 &lora, pass->first, n);
	if (linear->before)
		lm_gelu_backward(network->engine, dx, dx, linear->before,
						 (size_t) n * (size_t) linear->n_in, linear->activation);
}

/* The adapter of one target in one layer; a is NULL where the target has none. */
static LmLora
lora_of(const LmNetwork *network, const LmPass *pass, const LmLinear *linear, LmTarget target,
		int layer)
{
	const LmBlockTensors *w = &network->params.blocks[layer];
	const LmActivations *a = &network->activations;

	return (LmLora){
		.n_in = linear->n_in,
		.n_out = linear->n_out,
		.rank = network->config.lora_rank,
		.scale = lm_config_lora_scale(&network->config),
		.a = w->lora_a[target],
		.b = w->lora_b[target],
		.dropout =
			{
				.rate = pass->training ? network->config.lora_dropout : 0.0f,
				.key = lm_key(pass->seed, LM_RANDOM_LORA_DROPOUT, (uint64_t) pass->step,
							  (uint32_t) (layer * LM_TARGETS + (int) target)),
				.examples = pass->batch->examples,
				.positions = pass->batch->positions,
			},
		.h = a->lora_h,
		.dh = a->lora_dh,
		.masked = a->lora_masked,
	};
}

/* The gradient of a branch's output: that of the stream, masked where there is dropout. */
static const float *
branch_gradient(LmNetwork *network, const LmPass *pass, LmPurpose purpose, int layer)
{
	LmActivations *a = &network->activations;
	LmDropout dropout = lm_pass_dropout(network, pass, purpose, layer);
	int n = pass->batch->n_tokens, C = network->config.channels;

	if (dropout.rate == 0)
		return a->dx;
	lm_dropout(network->engine, a->dbranch, a->dx, &dropout, n, C);
	return a->dbranch;
}

LmDropout
lm_pass_dropout(const LmNetwork *network, const LmPass *pass, LmPurpose purpose, int layer)
{
	return (LmDropout){
		.rate = pass->training ? network->config.dropout : 0.0f,
		.key = lm_key(pass->seed, purpose, (uint64_t) pass->step, (uint32_t) layer),
		.examples = pass->batch->examples,
		.positions = pass->batch->positions,
	};
}
