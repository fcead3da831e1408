/*
 * src/engine/model/language.c
 *
 * The objective of a language model: the negative log-likelihood of each row's next token.
 *
 *   logits = cap(norm(x) head')
 *
 * Logits exist for a chunk of rows at a time: the loss turns them into their gradient in place, and
 * the head's backward pass follows at once, so that they are never computed twice. Rows without a
 * target, those of a prompt above all, do not pass the head: it is a third of the work of a small
 * model.
 */
#include <math.h>

#include "model/objective.h"

/* Rows that pass the head together. */
typedef struct Rows
{
	int n;
	const float *x; /* [n, C] */
	float *dx;
	const int32_t *targets;
	const float *weights;
	float *nll;
	double *right; /* += the weights of targets that are the most probable; NULL: not asked */
	float scale; /* 0: losses alone */
	float smoothing;
	bool is_first; /* the head's gradient is written instead of added to */
} Rows;

/* Rows whose most probable tokens are compared with their targets. */
typedef struct Hits
{
	const Rows *rows;
	const float *logits; /* [n, V] */
	int V;
	float *found; /* [n] 1 or 0 */
} Hits;

static double head_loss(LmNetwork *network, const LmPass *pass, Rows all);
static void count_right(LmNetwork *network, const Rows *rows, const float *logits);
static int list_rows(LmPredictions *p, const LmBatch *batch, const float *weights);
static bool chunks_loss(LmNetwork *network, Rows all, const float *x, float *dx,
						const int32_t *rows, int n);
static void chunk_loss(LmNetwork *network, const Rows *rows);
static void head_gradient(LmNetwork *network, const Rows *rows, float *logits);
static LmLinear head_of(const LmNetwork *network);
static double weighted_sum(const float *nll, const LmBatch *batch);
static void cap_logits(const LmNetwork *network, float *y, const float *x, int n);

double
lm_language_loss(LmNetwork *network, const LmPass *pass, float scale)
{
	return head_loss(network, pass,
					 (Rows){.weights = pass->batch->weights,
							.smoothing = (float) pass->options->label_smoothing,
							.scale = scale});
}

double
lm_language_objective(LmNetwork *network, const LmPass *pass, float scale)
{
	if (scale > 0)
	{
		network->figures[0] = NAN;
		return lm_language_loss(network, pass, scale);
	}
	return head_loss(network, pass,
					 (Rows){.weights = pass->batch->weights, .right = &network->figures[0]});
}

void
lm_language_gradient(LmNetwork *network, const LmPass *pass, const float *weights, float scale)
{
	(void) head_loss(network, pass, (Rows){.weights = weights, .scale = scale});
}

/* Of all rows of the batch that have a target; `all` has their weights, and how to read them. */
static double
head_loss(LmNetwork *network, const LmPass *pass, Rows all)
{
	const LmBatch *batch = pass->batch;
	LmActivations *a = &network->activations;
	LmPredictions *p = &a->predictions;
	int n = list_rows(p, batch, all.weights), C = network->config.channels;

	all.is_first = pass->first;
	if (n == batch->n_tokens)
	{
		all.targets = batch->targets;
		all.nll = a->nll;
		if (!chunks_loss(network, all, a->norm, a->narrow, NULL, n))
			return 0;
		return weighted_sum(a->nll, batch);
	}
	all.targets = p->targets;
	all.weights = p->weights;
	all.nll = p->nll;
	if (all.scale > 0)
	{
		lm_zero(network->engine, a->narrow, (size_t) batch->n_tokens * (size_t) C);
		if (n == 0 && pass->first && network->gradient.head_weight)
			lm_zero(network->engine, network->gradient.head_weight,
					(size_t) network->config.vocabulary * (size_t) C);
	}
	if (!chunks_loss(network, all, a->norm, a->narrow, p->rows, n))
		return 0;
	for (int i = 0; i < batch->n_tokens; i++)
		a->nll[i] = 0;
	for (int i = 0; i < n; i++)
		a->nll[p->rows[i]] = p->nll[i];
	return weighted_sum(a->nll, batch);
}

/* The rows that have a target; returns their number. */
static int
list_rows(LmPredictions *p, const LmBatch *batch, const float *weights)
{
	int n = 0;

	for (int row = 0; row < batch->n_tokens; row++)
	{
		if (batch->targets[row] < 0)
			continue;
		p->rows[n] = row;
		p->targets[n] = batch->targets[row];
		p->weights[n++] = weights[row];
	}
	return n;
}

/*
 * Losses of n rows of x, and with a scale above 0 the gradient dx of x. With a list of rows only
 * these, gathered for each chunk. False where the engine was stopped.
 */
static bool
chunks_loss(LmNetwork *network, Rows all, const float *x, float *dx, const int32_t *rows, int n)
{
	const LmPredictions *p = &network->activations.predictions;
	int C = network->config.channels;

	for (int first = 0; first < n; first += network->logits_rows)
	{
		int left = n - first, n_rows = left < network->logits_rows ? left : network->logits_rows;
		Rows chunk = all;

		chunk.n = n_rows;
		chunk.targets += first;
		chunk.weights += first;
		chunk.nll += first;
		chunk.is_first = all.is_first && first == 0;
		chunk.x = rows ? p->x : x + (size_t) first * (size_t) C;
		chunk.dx = rows ? p->dx : dx + (size_t) first * (size_t) C;
		if (rows)
			lm_gather_rows(network->engine, p->x, x, rows + first, n_rows, C);
		chunk_loss(network, &chunk);
		if (rows && all.scale > 0)
			lm_scatter_rows(network->engine, dx, p->dx, rows + first, n_rows, C);
		if (lm_engine_stopped(network->engine))
			return false;
	}
	return true;
}

static void
chunk_loss(LmNetwork *network, const Rows *rows)
{
	LmActivations *a = &network->activations;
	LmLinear head = head_of(network);
	float *logits = a->capped ? a->capped : a->logits;
	int V = network->config.vocabulary;

	lm_linear_forward(network->engine, a->logits, rows->x, &head, rows->n);
	cap_logits(network, logits, a->logits, rows->n);
	if (rows->scale > 0)
	{
		lm_cross_entropy(network->engine, logits, rows->nll, rows->targets, rows->weights,
						 rows->scale, rows->smoothing, rows->n, V);
		head_gradient(network, rows, logits);
	}
	else
	{
		lm_cross_entropy_forward(network->engine, rows->nll, logits, rows->targets, rows->n, V);
		if (rows->right)
			count_right(network, rows, logits);
	}
}

/* Without a branch in the loop, so that the compiler vectorises it. */
static void
find_hit(void *work, int row, int thread)
{
	const Hits *hits = work;
	const float *logits = hits->logits + (size_t) row * (size_t) hits->V;
	float target = logits[hits->rows->targets[row]];
	int n_larger = 0;

	(void) thread;
	for (int token = 0; token < hits->V; token++)
		n_larger += logits[token] > target;
	hits->found[row] = n_larger == 0;
}

/* Without gradients, the array of their rows is free. */
static void
count_right(LmNetwork *network, const Rows *rows, const float *logits)
{
	Hits hits = {rows, logits, network->config.vocabulary, network->activations.predictions.dx};

	lm_engine_run(network->engine, find_hit, &hits, rows->n);
	for (int row = 0; row < rows->n; row++)
		*rows->right += (double) rows->weights[row] * (double) hits.found[row];
}

/* From the gradient of rows of logits to that of the head and of the last norm. */
static void
head_gradient(LmNetwork *network, const Rows *rows, float *logits)
{
	LmActivations *a = &network->activations;
	LmLinear head = head_of(network);
	size_t V = (size_t) network->config.vocabulary;

	if (a->capped)
	{
		/* The gradient took the place of the capped logits, which are made again. */
		cap_logits(network, a->logits, a->logits, rows->n);
		lm_softcap_backward(network->engine, logits, logits, a->logits, (size_t) rows->n * V,
							network->config.logit_softcap);
	}
	/* logits = norm head' */
	head.overwrite = rows->is_first;
	lm_linear_backward(network->engine, rows->dx, network->gradient.head_weight, NULL, logits,
					   rows->x, &head, rows->n, a->scratch);
}

void
lm_network_logits(LmNetwork *network, float *out, const float *x, int n)
{
	LmLinear head = head_of(network);
	size_t C = (size_t) network->config.channels, V = (size_t) network->config.vocabulary;

	for (int first = 0; first < n; first += network->logits_rows)
	{
		int left = n - first, rows = left < network->logits_rows ? left : network->logits_rows;
		float *logits = out + (size_t) first * V;

		lm_linear_forward(network->engine, logits, x + (size_t) first * C, &head, rows);
		cap_logits(network, logits, logits, rows);
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
