/*
 * src/engine/model/language.c
 *
 * The objective of a language model: the negative log-likelihood of each row's next token.
 *
 *   logits = cap(norm(x) head')
 *
 * Logits exist for a chunk of rows at a time: the loss turns them into their gradient in place, and
 * the head's backward pass follows at once, so that they are never computed twice.
 */
#include "model/objective.h"

static double head_loss(LmNetwork *network, const LmPass *pass, const float *weights, float scale,
						float smoothing);
static void head_gradient(LmNetwork *network, const LmPass *pass, float *logits, int first, int n);
static LmLinear head_of(const LmNetwork *network);
static double weighted_sum(const float *nll, const LmBatch *batch);
static void cap_logits(const LmNetwork *network, float *y, const float *x, int n);

double
lm_language_loss(LmNetwork *network, const LmPass *pass, float scale)
{
	return head_loss(network, pass, pass->batch->weights, scale,
					 (float) pass->options->label_smoothing);
}

void
lm_language_gradient(LmNetwork *network, const LmPass *pass, const float *weights, float scale)
{
	(void) head_loss(network, pass, weights, scale, 0);
}

static double
head_loss(LmNetwork *network, const LmPass *pass, const float *weights, float scale,
		  float smoothing)
{
	const LmBatch *batch = pass->batch;
	LmEngine *engine = network->engine;
	LmActivations *a = &network->activations;
	LmLinear head = head_of(network);
	float *logits = a->capped ? a->capped : a->logits;
	int C = network->config.channels, V = network->config.vocabulary;

	for (int first = 0; first < batch->n_tokens; first += network->logits_rows)
	{
		int left = batch->n_tokens - first;
		int n = left < network->logits_rows ? left : network->logits_rows;

		lm_linear_forward(engine, a->logits, a->norm + (size_t) first * C, &head, n);
		cap_logits(network, logits, a->logits, n);
		if (scale > 0)
		{
			lm_cross_entropy(engine, logits, a->nll + first, batch->targets + first,
							 weights + first, scale, smoothing, n, V);
			head_gradient(network, pass, logits, first, n);
		}
		else
			lm_cross_entropy_forward(engine, a->nll + first, logits, batch->targets + first, n, V);
		if (lm_engine_stopped(engine))
			return 0;
	}
	return weighted_sum(a->nll, batch);
}

/* From the gradient of n rows of logits to that of the head and of the last norm. */
static void
head_gradient(LmNetwork *network, const LmPass *pass, float *logits, int first, int n)
{
	LmActivations *a = &network->activations;
	LmLinear head = head_of(network);
	size_t C = (size_t) network->config.channels, V = (size_t) network->config.vocabulary;

	if (a->capped)
	{
		/* The gradient took the place of the capped logits, which are made again. */
		cap_logits(network, a->logits, a->logits, n);
		lm_softcap_backward(network->engine, logits, logits, a->logits, (size_t) n * V,
							network->config.logit_softcap);
	}
	/* logits = norm head' */
	head.overwrite = pass->first && first == 0;
	lm_linear_backward(network->engine, a->narrow + (size_t) first * C,
					   network->gradient.head_weight, NULL, logits, a->norm + (size_t) first * C,
					   &head, n, a->scratch);
}

void
lm_network_logits(LmNetwork *network, float *out, int first_row, int n_rows)
{
	LmLinear head = head_of(network);
	int C = network->config.channels, V = network->config.vocabulary;

	for (int done = 0; done < n_rows; done += network->logits_rows)
	{
		int left = n_rows - done;
		int n = left < network->logits_rows ? left : network->logits_rows;
		float *logits = out + (size_t) done * V;

		lm_linear_forward(network->engine, logits,
						  network->activations.norm + (size_t) (first_row + done) * C, &head, n);
		cap_logits(network, logits, logits, n);
	}
}

/* y = the soft cap of logits x of n rows; without one nothing, y is x then. */
static void
cap_logits(const LmNetwork *network, float *y, const float *x, int n)
{
	if (network->config.logit_softcap > 0)
		lm_softcap_forward(network->engine, y, x, (size_t) n * (size_t) network->config.vocabulary,
						   network->config.logit_softcap);
}

static LmLinear
head_of(const LmNetwork *network)
{
	return (LmLinear){
		.n_in = network->config.channels,
		.n_out = network->config.vocabulary,
		.w = network->params.head_weight,
		.packed = network->activations.packed,
		.bf16 = network->activations.bf16,
	};
}

static double
weighted_sum(const float *nll, const LmBatch *batch)
{
	double sum = 0;

	for (int i = 0; i < batch->n_tokens; i++)
		if (batch->targets[i] >= 0 && batch->weights[i] != 0)
			sum += (double) batch->weights[i] * nll[i];
	return sum;
}
