/*
 * src/engine/serve/probe_look.c
 *
 * What a probe shows of a text that it has read: the attention of a layer, and the guesses of each
 * layer.
 */
#include <math.h>

#include "serve/probe.h"

#define GUESS_ROWS 16 /* between two looks at whether to stop */

bool
lm_probe_layer(LmProbe *probe, int layer, LmError *error)
{
	LmPass pass = lm_probe_pass(probe, NULL);

	if (probe->n_read == 0 || layer < 0 || layer >= probe->network.config.layers)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "layer %d is not within 0 .. %d", layer,
					   probe->network.config.layers - 1);
	lm_engine_begin(probe->engine);
	lm_block_recompute(&probe->network, &pass, layer);
	if (lm_engine_stopped(probe->engine))
		return lm_fail(error, LM_ERR_STOPPED, -1, "looking into a layer was stopped");
	probe->layer = layer;
	return true;
}

/* The score of a key of one head, before the softmax. */
static double
score_of(const float *q, const float *k, const LmAttentionShape *shape)
{
	double score = 0;

	for (int i = 0; i < shape->head_size; i++)
		score += (double) q[i] * k[i];
	score *= shape->scale;
	return shape->softcap > 0 ? shape->softcap * tanh(score / shape->softcap) : score;
}

/* Adds share times the probabilities of one head for keys first .. last. */
static void
add_head(float *probabilities, const float *qkv, const LmAttentionShape *shape, int query, int head,
		 int first, int last, float share)
{
	size_t size = (size_t) shape->head_size, ld = (size_t) lm_attention_qkv_channels(shape);
	size_t kv = (size_t) (head * shape->kv_heads / shape->heads);
	const float *q = qkv + (size_t) query * ld + (size_t) head * size;
	const float *keys = qkv + ((size_t) shape->heads + kv) * size;
	double largest = -INFINITY, sum = 0;

	for (int i = first; i <= last; i++)
	{
		double score = score_of(q, keys + (size_t) i * ld, shape);

		if (score > largest)
			sum = sum * exp(largest - score);
		largest = score > largest ? score : largest;
		sum += exp(score - largest);
	}
	for (int i = first; i <= last; i++)
		probabilities[i] +=
			share * (float) (exp(score_of(q, keys + (size_t) i * ld, shape) - largest) / sum);
}

void
lm_probe_attention(float *probabilities, const LmProbe *probe, int query, int head)
{
	const LmNetwork *network = &probe->network;
	const LmConfig *config = &network->config;
	LmAttentionShape shape = lm_config_attention(config, probe->layer);
	const float *qkv = network->activations.blocks[probe->layer].qkv;
	int first = shape.window > 0 && query >= shape.window ? query - shape.window + 1 : 0;
	int last = query, n_heads = head < 0 ? shape.heads : 1;

	if (config->architecture == LM_PREFIX && probe->batch.prefixes[query] > query)
		last = probe->batch.prefixes[query] - 1;
	for (int i = 0; i < probe->n_read; i++)
		probabilities[i] = 0;
	for (int i = 0; i < n_heads; i++)
		add_head(probabilities, qkv, &shape, query, head < 0 ? i : head, first, last,
				 1.0f / (float) n_heads);
}

/* The guess of one row of logits. */
static LmGuess
guess_of(const float *logits, int V, int32_t next)
{
	double lse = lm_log_sum_exp(logits, V);
	LmGuess guess = {.id = 0};

	for (int32_t id = 1; id < V; id++)
		if (logits[id] > logits[guess.id])
			guess.id = id;
	guess.logprob = logits[guess.id] - lse;
	if (next < 0)
		return guess;
	guess.next_logprob = logits[next] - lse;
	guess.next_rank = 1;
	for (int32_t id = 0; id < V; id++)
		guess.next_rank += logits[id] > logits[next] || (logits[id] == logits[next] && id < next);
	return guess;
}

bool
lm_probe_guess(LmGuess *guesses, float *logits, LmProbe *probe, int layer, int first, int n,
			   const int32_t *next, LmError *error)
{
	LmNetwork *network = &probe->network;
	const LmConfig *config = &network->config;
	int C = config->channels, V = config->vocabulary;
	const float *x;

	if (layer < 0 || layer > config->layers || n < 1 || first < 0 || first + n > probe->n_read)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "layer %d has no rows %d .. %d", layer, first,
					   first + n - 1);
	x = layer < config->layers ? network->activations.blocks[layer].x : network->activations.x;
	lm_engine_begin(probe->engine);
	for (int row = 0; row < n && !lm_engine_stopped(probe->engine); row += GUESS_ROWS)
	{
		int rows = n - row < GUESS_ROWS ? n - row : GUESS_ROWS;
		float *norm = network->activations.narrow, *out = logits + (size_t) row * (size_t) V;

		lm_norm_forward(probe->engine, norm, NULL, NULL, x + (size_t) (first + row) * (size_t) C,
						network->params.final_norm_weight, network->params.final_norm_bias, rows, C,
						config->norm_epsilon, config->norm);
		lm_network_logits(network, out, norm, rows);
		for (int i = 0; i < rows && !lm_engine_stopped(probe->engine); i++)
			guesses[row + i] = guess_of(out + (size_t) i * (size_t) V, V, next[row + i]);
	}
	if (lm_engine_stopped(probe->engine))
		return lm_fail(error, LM_ERR_STOPPED, -1, "looking into a layer was stopped");
	for (int i = 0; i < n; i++)
		if (!isfinite(guesses[i].logprob))
			return lm_fail(error, LM_ERR_NUMERIC, first + i, "the model's output is not finite");
	return true;
}
