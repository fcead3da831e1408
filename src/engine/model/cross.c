/*
 * src/engine/model/cross.c
 *
 * Cross-attention in a block of the decoder, forward and backward: between self-attention and MLP,
 * queries of the decoder's rows ask keys and values of the encoder's output (Vaswani et al. 2017,
 * section 3.2.3). Queries and keys are normalised where the configuration has qk_norm; nothing
 * rotates them.
 *
 *   y = x + dropout(post(projection(attention(query(norm(x)), key_value(encoded)))))
 */
#include "model/network.h"

/* The linear layers and the rules of one block's cross-attention. */
typedef struct Cross
{
	LmLinear query;
	LmLinear key_value;
	LmLinear projection;
	LmHeads queries;
	LmHeads keys;
	LmAttentionShape shape;
	LmDropout inside;
	LmCrossRows rows;
	int n; /* rows of the decoder */
	int n_keys; /* of the encoder */
} Cross;

static Cross cross_of(const LmNetwork *network, const LmPass *pass, int layer);
static void queries_backward(LmNetwork *network, const Cross *cross, float *dq, int layer);
static void keys_backward(LmNetwork *network, const Cross *cross, int layer);

static Cross
cross_of(const LmNetwork *network, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmCrossTensors *w = &network->params.blocks[layer].cross;
	int C = config->channels, A = lm_config_query_channels(config);
	Cross cross = {
		.query = lm_block_linear(network, pass, C, A, w->query_weight, w->query_bias),
		.key_value = lm_block_linear(network, pass, C, 2 * lm_config_kv_channels(config),
									 w->key_value_weight, w->key_value_bias),
		.projection =
			lm_block_linear(network, pass, A, C, w->projection_weight, w->projection_bias),
		.queries = lm_config_heads(config),
		.keys = lm_config_heads(config),
		.shape = lm_config_attention(config, layer),
		.inside = lm_pass_dropout(network, pass, LM_RANDOM_CROSS_DROPOUT, layer),
		.rows = {.n_rows = pass->batch->n_tokens,
				 .starts = pass->batch->starts,
				 .first_keys = network->parts.first_keys,
				 .last_keys = network->parts.last_keys},
		.n = pass->batch->n_tokens,
		.n_keys = network->parts.encoder.n_tokens,
	};

	/* A batch may have no rows for it (lm_network_overwrites). */
	cross.key_value.overwrite = false;
	cross.queries.kv_heads = cross.keys.heads = 0;
	cross.queries.query_weight = w->query_norm_weight;
	cross.keys.key_weight = w->key_norm_weight;
	return cross;
}

void
lm_cross_forward(LmNetwork *network, const LmBlockActivations *block, const LmPass *pass, int layer)
{
	const LmConfig *config = &network->config;
	const LmCrossTensors *w = &network->params.blocks[layer].cross;
	const LmCrossActivations *kept = &block->cross;
	LmActivations *a = &network->activations;
	Cross cross = cross_of(network, pass, layer);
	LmDropout before = lm_pass_dropout(network, pass, LM_RANDOM_PROJECTION_DROPOUT, layer);
	LmResidual x = {kept->x, block->x, a->narrow, &before};

	lm_residual_norm_forward(network->engine, kept->norm, kept->mean, kept->rstd, &x,
							 w->norm_weight, w->norm_bias, cross.n, config->channels,
							 config->norm_epsilon, config->norm);
	lm_linear_forward(network->engine, kept->q, kept->norm, &cross.query, cross.n);
	lm_heads_forward(network->engine, kept->q, kept->q_raw, kept->q_rstd, NULL, &cross.queries,
					 cross.n);
	if (cross.n_keys > 0)
	{
		lm_linear_forward(network->engine, kept->kv, a->encoded.norm, &cross.key_value,
						  cross.n_keys);
		lm_heads_forward(network->engine, kept->kv, kept->k_raw, kept->k_rstd, NULL, &cross.keys,
						 cross.n_keys);
	}
	lm_cross_attention_forward(network->engine, kept->attention, kept->lse, kept->q, kept->kv,
							   &cross.rows, &cross.inside, &cross.shape, a->scratch);
	lm_linear_forward(network->engine, config->post_norm ? kept->post.x : a->narrow,
					  kept->attention, &cross.projection, cross.n);
	lm_post_norm_forward(network, &kept->post, w->post_norm_weight, w->post_norm_bias, pass);
}

void
lm_cross_backward(LmNetwork *network, const LmPass *pass, int layer)
{
	const LmCrossTensors *w = &network->params.blocks[layer].cross;
	const LmCrossTensors *dw = &network->gradient.blocks[layer].cross;
	const LmCrossActivations *kept = &network->activations.blocks[layer].cross;
	LmActivations *a = &network->activations;
	Cross cross = cross_of(network, pass, layer);
	float *dattention = a->narrow, *dq = a->wide;

	/* y = x + dropout(post(projection(attention))) */
	const float *dbranch =
		lm_block_branch_gradient(network, pass, a->dx, LM_RANDOM_CROSS_PROJECTION_DROPOUT, layer);

	dbranch = lm_post_norm_backward(network, dw->post_norm_weight, dw->post_norm_bias, dbranch,
									&kept->post, w->post_norm_weight, pass);
	lm_linear_backward(network->engine, dattention, dw->projection_weight, dw->projection_bias,
					   dbranch, kept->attention, &cross.projection, cross.n, a->scratch);
	/* attention = softmax(q k') v */
	lm_cross_attention_backward(network->engine, dq, a->dkv, dattention, kept->attention, kept->lse,
								kept->q, kept->kv, &cross.rows, &cross.inside, &cross.shape,
								a->scratch);
	queries_backward(network, &cross, dq, layer);
	if (cross.n_keys > 0)
		keys_backward(network, &cross, layer);
}

/* q = heads(norm(x) w' + bias); the gradient of x joins that of the stream. */
static void
queries_backward(LmNetwork *network, const Cross *cross, float *dq, int layer)
{
	const LmConfig *config = &network->config;
	const LmCrossTensors *w = &network->params.blocks[layer].cross;
	const LmCrossTensors *dw = &network->gradient.blocks[layer].cross;
	const LmCrossActivations *kept = &network->activations.blocks[layer].cross;
	LmActivations *a = &network->activations;
	float *dnorm = a->narrow;

	lm_heads_backward(network->engine, dq, dw->query_norm_weight, NULL, kept->q_raw, kept->q_rstd,
					  NULL, &cross->queries, cross->n, a->scratch);
	lm_linear_backward(network->engine, dnorm, dw->query_weight, dw->query_bias, dq, kept->norm,
					   &cross->query, cross->n, a->scratch);
	lm_norm_backward(network->engine, a->dx, dw->norm_weight, dw->norm_bias, dnorm, kept->x,
					 kept->mean, kept->rstd, w->norm_weight, cross->n, config->channels,
					 config->norm, a->scratch);
}

/* kv = heads(encoded w' + bias) */
static void
keys_backward(LmNetwork *network, const Cross *cross, int layer)
{
	const LmCrossTensors *dw = &network->gradient.blocks[layer].cross;
	const LmCrossActivations *kept = &network->activations.blocks[layer].cross;
	LmActivations *a = &network->activations;

	lm_heads_backward(network->engine, a->dkv, NULL, dw->key_norm_weight, kept->k_raw, kept->k_rstd,
					  NULL, &cross->keys, cross->n_keys, a->scratch);
	lm_linear_backward(network->engine, a->narrow, dw->key_value_weight, dw->key_value_bias, a->dkv,
					   a->encoded.norm, &cross->key_value, cross->n_keys, a->scratch);
	lm_add(network->engine, a->dencoded, a->narrow,
		   (size_t) cross->n_keys * (size_t) network->config.channels);
}
