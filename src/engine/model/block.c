/*
 * src/engine/model/block.c
 *
 * A block of the decoder, forward and backward: attention and MLP, each on a normalised copy of the
 * residual stream and added to it (pre-norm: Radford et al. 2019, section 2.3).
 *
 *   middle = x      + dropout(post1(projection(attention(heads(norm1(x))))))
 *   y      = middle + dropout(post2(down(gelu(up(norm2(middle))))))
 *
 * heads() normalises and rotates queries and keys where the configuration has that; gelu() is the
 * activation of the configuration, which may have a gate. post1() and post2() are norms where it
 * has post_norm, else nothing. With parallel_residual it is norm2(x) in the place of norm2(middle)
 * (Black et al. 2022, "GPT-NeoX-20B", section 2.1). In a decoder beside an encoder, cross-attention
 * (model/cross.c) adds a branch to middle.
 */
#include "model/frozen.h"
#include "model/network.h"

static void attention_forward(LmNetwork *network, const LmBlockActivations *kept,
							  const LmPass *pass, int layer);
static void attention_backward(LmNetwork *network, const LmPass *pass, const float *dy, int layer);
static void norm2_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass,
						  int layer);
static void mlp_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass,
						int layer);
static void down_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass,
						 int layer);
static void mlp_backward(LmNetwork *network, const LmPass *pass, const float *dy, int layer);
static const float *down_backward(LmNetwork *network, const LmPass *pass, const float *dbranch,
								  int layer);
static void forward(LmNetwork *network, float *y, const float *x, const LmLinear *linear,
					LmTarget target, const LmPass *pass, int layer);
static void backward(LmNetwork *network, float *dx, float *dw, float *dbias, const float *dy,
					 const float *x, const LmLinear *linear, LmTarget target, const LmPass *pass,
					 int layer);
static LmLora lora_of(const LmNetwork *network, const LmPass *pass, const LmLinear *linear,
					  LmTarget target, int layer);
static LmDocumentRows rows_of(const LmNetwork *network, const LmPass *pass);

/* The rows that self-attention sees: in a decoder beside an encoder there is no prefix. */
static LmDocumentRows
rows_of(const LmNetwork *network, const LmPass *pass)
{
	const LmBatch *batch = pass->batch;
	bool sees_prefix =
		network->config.architecture == LM_PREFIX || batch == &network->parts.encoder;

	return (LmDocumentRows){batch->n_tokens, batch->starts, sees_prefix ? batch->prefixes : NULL};
}

/* Where a base is not kept as floats, the layer's matrices become floats. */
static void
expand(LmNetwork *network, int layer)
{
	if (network->frozen)
		lm_frozen_expand(network->frozen, network->engine, layer);
}

void
lm_block_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass, int layer)
{
	expand(network, layer);
	attention_forward(network, kept, pass, layer);
	mlp_forward(network, kept, pass, layer);
	down_forward(network, kept, pass, layer);
}

void
lm_block_recompute(LmNetwork *network, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	const LmBlockActivations *kept = &network->activations.blocks[layer];

	expand(network, layer);
	lm_norm_forward(network->engine, kept->norm1, kept->mean1, kept->rstd1, kept->x,
					w->norm1_weight, w->norm1_bias, pass->batch->n_tokens, config->channels,
					config->norm_epsilon, config->norm);
	attention_forward(network, kept, pass, layer);
	mlp_forward(network, kept, pass, layer);
	/* The backward pass of a norm needs its input; that of a product does not need its output. */
	if (config->post_norm)
		down_forward(network, kept, pass, layer);
}

void
lm_block_backward(LmNetwork *network, const LmPass *pass, int layer)
{
	LmActivations *a = &network->activations;
	const float *dy = a->dx;

	expand(network, layer);
	/* Both branches have the gradient of y, while dx adds up that of x. */
	if (network->config.parallel_residual)
	{
		lm_copy(network->engine, a->apart, a->dx,
				(size_t) pass->batch->n_tokens * (size_t) network->config.channels);
		dy = a->apart;
	}
	mlp_backward(network, pass, dy, layer);
	if (a->blocks[layer].cross.x)
		lm_cross_backward(network, pass, layer);
	attention_backward(network, pass, dy, layer);
}

/* middle = x + dropout(post1(projection(attention(heads(norm1))))), and norm2. */
static void
attention_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	LmEngine *engine = network->engine;
	LmActivations *a = &network->activations;
	int n = pass->batch->n_tokens, C = config->channels;
	LmLinear to_qkv = lm_block_linear(network, pass, C, lm_config_qkv_channels(config),
									  w->attention_weight, w->attention_bias);
	LmLinear projection = lm_block_linear(network, pass, lm_config_query_channels(config), C,
										  w->projection_weight, w->projection_bias);
	LmHeads heads = lm_network_heads(network, layer);
	LmAttentionShape shape = lm_config_attention(config, layer);
	LmDropout inside = lm_pass_dropout(network, pass, LM_RANDOM_ATTENTION_DROPOUT, layer);
	LmDocumentRows rows = rows_of(network, pass);

	forward(network, kept->qkv, kept->norm1, &to_qkv, LM_TARGET_ATTENTION, pass, layer);
	lm_heads_forward(engine, kept->qkv, kept->raw, kept->head_rstd, pass->batch->positions, &heads,
					 n);
	lm_attention_forward(engine, kept->attention, kept->lse, kept->qkv, &rows, &inside, &shape,
						 a->scratch);
	forward(network, config->post_norm ? kept->post1.x : a->narrow, kept->attention, &projection,
			LM_TARGET_PROJECTION, pass, layer);
	lm_post_norm_forward(network, &kept->post1, w->post_norm1_weight, w->post_norm1_bias, pass);
	if (kept->cross.x)
		lm_cross_forward(network, kept, pass, layer);
	norm2_forward(network, kept, pass, layer);
}

/* middle, from the last branch in narrow; norm2 of it or, with parallel_residual, of x. */
static void
norm2_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	bool crosses = kept->cross.x != NULL;
	LmDropout behind = lm_pass_dropout(
		network, pass, crosses ? LM_RANDOM_CROSS_PROJECTION_DROPOUT : LM_RANDOM_PROJECTION_DROPOUT,
		layer);
	LmResidual middle = {kept->middle, crosses ? kept->cross.x : kept->x,
						 network->activations.narrow, &behind};
	int n = pass->batch->n_tokens, C = config->channels;

	if (!config->parallel_residual)
	{
		lm_residual_norm_forward(network->engine, kept->norm2, kept->mean2, kept->rstd2, &middle,
								 w->norm2_weight, w->norm2_bias, n, C, config->norm_epsilon,
								 config->norm);
		return;
	}
	lm_residual_forward(network->engine, &middle, n, C);
	lm_norm_forward(network->engine, kept->norm2, kept->mean2, kept->rstd2, kept->x,
					w->norm2_weight, w->norm2_bias, n, C, config->norm_epsilon, config->norm);
}

/* dy is the gradient of what the branch is added to; that of x is added to dx. */
static void
attention_backward(LmNetwork *network, const LmPass *pass, const float *dy, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	const LmBlockTensors *dw = &network->gradient.blocks[layer];
	const LmBlockActivations *kept = &network->activations.blocks[layer];
	LmEngine *engine = network->engine;
	LmActivations *a = &network->activations;
	int n = pass->batch->n_tokens, C = config->channels;
	LmLinear to_qkv = lm_block_linear(network, pass, C, lm_config_qkv_channels(config),
									  w->attention_weight, w->attention_bias);
	LmLinear projection = lm_block_linear(network, pass, lm_config_query_channels(config), C,
										  w->projection_weight, w->projection_bias);
	LmHeads heads = lm_network_heads(network, layer);
	LmAttentionShape shape = lm_config_attention(config, layer);
	LmDropout inside = lm_pass_dropout(network, pass, LM_RANDOM_ATTENTION_DROPOUT, layer);
	LmDocumentRows rows = rows_of(network, pass);
	float *dattention = a->narrow, *dqkv = a->wide, *dnorm1 = a->narrow;

	/* middle = x + dropout(post1(projection(attention))) */
	const float *dbranch =
		lm_block_branch_gradient(network, pass, dy, LM_RANDOM_PROJECTION_DROPOUT, layer);

	dbranch = lm_post_norm_backward(network, dw->post_norm1_weight, dw->post_norm1_bias, dbranch,
									&kept->post1, w->post_norm1_weight, pass);
	backward(network, dattention, dw->projection_weight, dw->projection_bias, dbranch,
			 kept->attention, &projection, LM_TARGET_PROJECTION, pass, layer);
	/* attention = softmax(q k') v */
	lm_attention_backward(engine, dqkv, dattention, kept->attention, kept->lse, kept->qkv, &rows,
						  &inside, &shape, a->scratch);
	/* qkv = heads(norm1 w' + bias) */
	lm_heads_backward(engine, dqkv, dw->query_norm_weight, dw->key_norm_weight, kept->raw,
					  kept->head_rstd, pass->batch->positions, &heads, n, a->scratch);
	backward(network, dnorm1, dw->attention_weight, dw->attention_bias, dqkv, kept->norm1, &to_qkv,
			 LM_TARGET_ATTENTION, pass, layer);
	/* norm1 = norm(x); the branch's gradient joins that of the stream */
	lm_norm_backward(engine, a->dx, dw->norm1_weight, dw->norm1_bias, dnorm1, kept->x, kept->mean1,
					 kept->rstd1, w->norm1_weight, n, C, config->norm, a->scratch);
}

/* From norm2 to the activation, with its gate where it has one. */
static void
mlp_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	bool gated = lm_activation_is_gated(config->mlp);
	LmLinear up = lm_block_linear(network, pass, config->channels, lm_config_up_channels(config),
								  w->up_weight, w->up_bias);

	if (!gated)
	{
		up.activation = config->mlp;
		up.activated = kept->gelu;
	}
	forward(network, kept->up, kept->norm2, &up, LM_TARGET_UP, pass, layer);
	if (gated)
		lm_gate_forward(network->engine, kept->gelu, kept->up, pass->batch->n_tokens,
						config->mlp_channels, config->mlp);
}

/* narrow = post2(down(gelu)) */
static void
down_forward(LmNetwork *network, const LmBlockActivations *kept, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	LmLinear down = lm_block_linear(network, pass, config->mlp_channels, config->channels,
									w->down_weight, w->down_bias);

	forward(network, config->post_norm ? kept->post2.x : network->activations.narrow, kept->gelu,
			&down, LM_TARGET_DOWN, pass, layer);
	lm_post_norm_forward(network, &kept->post2, w->post_norm2_weight, w->post_norm2_bias, pass);
}

/* dy is the gradient of y; that of middle (of x, with parallel_residual) is added to dx. */
static void
mlp_backward(LmNetwork *network, const LmPass *pass, const float *dy, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	const LmBlockTensors *dw = &network->gradient.blocks[layer];
	const LmBlockActivations *kept = &network->activations.blocks[layer];
	LmActivations *a = &network->activations;
	int n = pass->batch->n_tokens, C = config->channels;
	LmLinear up =
		lm_block_linear(network, pass, C, lm_config_up_channels(config), w->up_weight, w->up_bias);
	float *dnorm2 = a->narrow;

	/* y = middle + dropout(post2(down(gelu(up)))) */
	const float *dup,
		*dbranch = lm_block_branch_gradient(network, pass, dy, LM_RANDOM_MLP_DROPOUT, layer);

	dbranch = lm_post_norm_backward(network, dw->post_norm2_weight, dw->post_norm2_bias, dbranch,
									&kept->post2, w->post_norm2_weight, pass);
	dup = down_backward(network, pass, dbranch, layer);
	/* up = norm2 w' + bias */
	backward(network, dnorm2, dw->up_weight, dw->up_bias, dup, kept->norm2, &up, LM_TARGET_UP, pass,
			 layer);
	/* norm2 = norm(middle) */
	lm_norm_backward(network->engine, a->dx, dw->norm2_weight, dw->norm2_bias, dnorm2,
					 config->parallel_residual ? kept->x : kept->middle, kept->mean2, kept->rstd2,
					 w->norm2_weight, n, C, config->norm, a->scratch);
}

/* The gradient of up: in wide or, with a gate, in the place of up, which is not needed again. */
static const float *
down_backward(LmNetwork *network, const LmPass *pass, const float *dbranch, int layer)
{
	const LmConfig *config = &network->config;
	const LmBlockTensors *w = &network->params.blocks[layer];
	const LmBlockTensors *dw = &network->gradient.blocks[layer];
	const LmBlockActivations *kept = &network->activations.blocks[layer];
	float *dgelu = network->activations.wide;
	bool gated = lm_activation_is_gated(config->mlp);
	LmLinear down = lm_block_linear(network, pass, config->mlp_channels, config->channels,
									w->down_weight, w->down_bias);

	if (!gated)
	{
		down.activation = config->mlp;
		down.before = kept->up;
	}
	backward(network, dgelu, dw->down_weight, dw->down_bias, dbranch, kept->gelu, &down,
			 LM_TARGET_DOWN, pass, layer);
	if (!gated)
		return dgelu;
	lm_gate_backward(network->engine, kept->up, dgelu, kept->up, pass->batch->n_tokens,
					 config->mlp_channels, config->mlp);
	return kept->up;
}

/* narrow = norm(kept->x); nothing without post_norm, where narrow is the branch already. */
void
lm_post_norm_forward(LmNetwork *network, const LmPostNorm *kept, const float *weight,
					 const float *bias, const LmPass *pass)
{
	const LmConfig *config = &network->config;

	if (config->post_norm)
		lm_norm_forward(network->engine, network->activations.narrow, kept->mean, kept->rstd,
						kept->x, weight, bias, pass->batch->n_tokens, config->channels,
						config->norm_epsilon, config->norm);
}

/* The gradient of the norm's input; dy itself without post_norm. */
const float *
lm_post_norm_backward(LmNetwork *network, float *dweight, float *dbias, const float *dy,
					  const LmPostNorm *kept, const float *weight, const LmPass *pass)
{
	const LmConfig *config = &network->config;
	LmActivations *a = &network->activations;
	int n = pass->batch->n_tokens, C = config->channels;

	if (!config->post_norm)
		return dy;
	lm_zero(network->engine, a->apart, (size_t) n * (size_t) C);
	lm_norm_backward(network->engine, a->apart, dweight, dbias, dy, kept->x, kept->mean, kept->rstd,
					 weight, n, C, config->norm, a->scratch);
	return a->apart;
}

LmLinear
lm_block_linear(const LmNetwork *network, const LmPass *pass, int n_in, int n_out, const float *w,
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

/* The gradient of a branch's output: that of the sum, masked where there is dropout. */
const float *
lm_block_branch_gradient(LmNetwork *network, const LmPass *pass, const float *dy, LmPurpose purpose,
						 int layer)
{
	LmActivations *a = &network->activations;
	LmDropout dropout = lm_pass_dropout(network, pass, purpose, layer);
	int n = pass->batch->n_tokens, C = network->config.channels;

	if (dropout.rate == 0)
		return dy;
	lm_dropout(network->engine, a->dbranch, dy, &dropout, n, C);
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
