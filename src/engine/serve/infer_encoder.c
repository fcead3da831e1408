/*
 * src/engine/serve/infer_encoder.c
 *
 * The encoder of a pass: prefixes go through its blocks, once each, and become keys and values of
 * every decoder block's cross-attention, which stay in the pages as long as the sequence does. So a
 * decoded token never runs the encoder.
 */
#include <string.h>

#include "serve/infer_pass.h"

static int part(LmInferPass *pass, int *n_wanted);
static void put_hidden(const LmInferPass *pass, float *hidden);
static void store_cross(LmInferPass *pass);

bool
lm_pass_encode(LmInferPass *pass, float *hidden, LmError *error)
{
	const LmModel *model = pass->model;
	int n_all = pass->n, n_wanted, n = part(pass, &n_wanted);

	if (n_wanted > 0 && (!hidden || n_wanted < pass->n_wanted))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a prefix of an encoder has no logits");
	pass->inputs = pass->parted;
	pass->n = n;
	if (n > 0)
	{
		lm_pass_embed(pass);
		pass->page_layer = 0;
		for (pass->layer = model->config.layers;
			 pass->layer < lm_config_blocks(&model->config) && !lm_engine_stopped(pass->engine);
			 pass->layer++)
			lm_pass_block(pass);
		lm_pass_norm(pass, pass->x, pass->x, model->encoder_norm_weight, model->encoder_norm_bias);
		if (n_wanted > 0)
			put_hidden(pass, hidden);
		store_cross(pass);
	}
	pass->inputs = pass->parted + n;
	pass->n = n_all - n;
	pass->n_wanted -= n_wanted;
	return true;
}

/* Inputs of prefixes come first, each kind in its order. Returns their number. */
static int
part(LmInferPass *pass, int *n_wanted)
{
	int n = 0, next = 0;

	*n_wanted = 0;
	for (int encoder = 1; encoder >= 0; encoder--)
	{
		for (int i = 0; i < pass->n; i++)
		{
			const LmInput *input = &pass->inputs[i];

			if ((input->position < lm_pass_prefix(pass, input)) != (encoder == 1))
				continue;
			pass->parted[next++] = *input;
			*n_wanted += encoder == 1 && input->wanted;
		}
		n = encoder == 1 ? next : n;
	}
	return n;
}

static void
put_hidden(const LmInferPass *pass, float *hidden)
{
	size_t C = (size_t) pass->model->config.channels;

	for (int i = 0; i < pass->n; i++)
		if (pass->inputs[i].wanted)
		{
			memcpy(hidden, pass->x + (size_t) i * C, C * sizeof *hidden);
			hidden += C;
		}
}

/* Keys and values of cross-attention, from the encoder's output in x. */
static void
store_cross(LmInferPass *pass)
{
	const LmConfig *config = &pass->model->config;
	LmHeads heads = lm_config_heads(config);

	heads.heads = 0;
	for (int layer = 0; layer < config->layers && !lm_engine_stopped(pass->engine); layer++)
	{
		const LmImageCross *w = &pass->model->blocks[layer].cross;

		heads.key_weight = w->key_norm_weight;
		lm_linear_infer(pass->engine, pass->qkv, pass->x, &w->key_value, pass->n, pass->packed);
		lm_heads_forward(pass->engine, pass->qkv, NULL, NULL, NULL, &heads, pass->n);
		pass->page_layer = layer;
		lm_pass_store(pass, pass->qkv, w->key_value.n_out, false);
	}
}

void
lm_pass_cross(LmInferPass *pass)
{
	const LmConfig *config = &pass->model->config;
	const LmImageCross *w = &pass->model->blocks[pass->layer].cross;
	LmHeads heads = lm_config_heads(config);
	LmResidual attended = {pass->x, pass->x, pass->norm, NULL};

	heads.kv_heads = 0;
	heads.query_weight = w->query_norm_weight;
	lm_residual_norm_forward(pass->engine, pass->norm, NULL, NULL, &attended, w->norm_weight,
							 w->norm_bias, pass->n_rows, config->channels, config->norm_epsilon,
							 config->norm);
	lm_linear_infer(pass->engine, pass->qkv, pass->norm, &w->query, pass->n_rows, pass->packed);
	lm_heads_forward(pass->engine, pass->qkv, NULL, NULL, NULL, &heads, pass->n_rows);
	pass->crosses = true;
	pass->ld_q = w->query.n_out;
	lm_pass_attend(pass);
	pass->crosses = false;
	lm_linear_infer(pass->engine, pass->norm, pass->attention, &w->projection, pass->n_rows,
					pass->packed);
	if (w->post_norm_weight)
		lm_pass_norm(pass, pass->norm, pass->norm, w->post_norm_weight, w->post_norm_bias);
}
