/*
 * src/engine/model/labels.c
 *
 * The head of a classifier: forward, loss and backward for some windows at a time. Threads pool one
 * window each. Windows share rows of the bag, so one thread adds up their gradient, in the order of
 * the batch.
 */
#include <string.h>

#include "engine/random.h"
#include "model/bag.h"
#include "model/labels.h"
#include "model/number.h"

/* Windows of a batch that are classified together. */
typedef struct Group
{
	const LmNetwork *network;
	const LmBatch *batch;
	int n;
	int first[LM_LABEL_WINDOWS]; /* row */
	int rows[LM_LABEL_WINDOWS];
	int32_t targets[LM_LABEL_WINDOWS];
	float weights[LM_LABEL_WINDOWS];
	float values[LM_LABEL_WINDOWS]; /* of regression */
	/* of the mean of the outputs: 1, or in training with dropout 0 or 2 */
	float shares[LM_LABEL_WINDOWS];
} Group;

static void loss_of_group(LmLabelActivations *activations, float *nll, const Group *group,
						  float scale, float smoothing);
static int gather(Group *group, const LmBatch *batch, int row);
static void drop_outputs(Group *group, const LmPass *pass);
static void pool_window(void *work, int piece, int thread);
static void spread_window(void *work, int piece, int thread);
static void add_bag_gradient(float *gradient, const Group *group);
static LmLinear linear_of(const LmNetwork *network);

void
lm_labels_layout(LmNetwork *network, LmArena *arena)
{
	const LmConfig *config = &network->config;
	size_t F = (size_t) config->channels + (size_t) lm_bag_channels(config->labels);

	network->activations.labels = (LmLabelActivations){
		.features = lm_arena_floats(arena, LM_LABEL_WINDOWS, F),
		.dfeatures = lm_arena_floats(arena, LM_LABEL_WINDOWS, F),
		.logits = lm_arena_floats(arena, LM_LABEL_WINDOWS, (size_t) config->labels),
	};
}

size_t
lm_labels_scratch(const LmNetwork *network)
{
	return lm_linear_backward_scratch(LM_LABEL_WINDOWS, network->config.labels);
}

double
lm_labels_loss(LmNetwork *network, const LmPass *pass, float scale)
{
	LmEngine *engine = network->engine;
	LmLabelActivations *a = &network->activations.labels;
	LmLinear linear = linear_of(network);
	Group group = {.network = network, .batch = pass->batch};
	float nll[LM_LABEL_WINDOWS];
	double sum = 0;

	for (int row = 0; row < pass->batch->n_tokens && !lm_engine_stopped(engine);)
	{
		row = gather(&group, pass->batch, row);
		drop_outputs(&group, pass);
		lm_engine_run(engine, pool_window, &group, group.n);
		lm_linear_forward(engine, a->logits, a->features, &linear, group.n);
		loss_of_group(a, nll, &group, scale, (float) pass->options->label_smoothing);
		if (scale > 0)
		{
			/* logits = features label_weight' + label_bias */
			lm_linear_backward(engine, a->dfeatures, network->gradient.label_weight,
							   network->gradient.label_bias, a->logits, a->features, &linear,
							   group.n, network->activations.scratch);
			lm_engine_run(engine, spread_window, &group, group.n);
			add_bag_gradient(network->gradient.bag_embedding, &group);
		}
		for (int i = 0; i < group.n; i++)
		{
			network->activations.nll[group.first[i] + group.rows[i] - 1] = nll[i];
			if (group.targets[i] >= 0 && group.weights[i] != 0)
				sum += (double) group.weights[i] * nll[i];
		}
	}
	return lm_engine_stopped(engine) ? 0 : sum;
}

/* Leaves their gradient in the logits where scale is above 0. */
static void
loss_of_group(LmLabelActivations *activations, float *nll, const Group *group, float scale,
			  float smoothing)
{
	LmEngine *engine = group->network->engine;
	const LmLabelSets *sets = &group->batch->sets;
	float *logits = activations->logits;
	int n_labels = group->network->config.labels;

	if (group->network->config.number)
		lm_number_loss(logits, nll, group->values, group->weights, scale, group->n);
	else if (group->network->config.multi_label && scale > 0)
		lm_binary_cross_entropy(engine, logits, nll, group->targets, sets, group->weights, scale,
								smoothing, group->n, n_labels);
	else if (group->network->config.multi_label)
		lm_binary_cross_entropy_forward(engine, nll, logits, group->targets, sets, group->n,
										n_labels);
	else if (scale > 0)
		lm_cross_entropy(engine, logits, nll, group->targets, group->weights, scale, smoothing,
						 group->n, n_labels);
	else
		lm_cross_entropy_forward(engine, nll, logits, group->targets, group->n, n_labels);
}

/* Collects windows from a row on until the group is full; returns the row after them. */
static int
gather(Group *group, const LmBatch *batch, int row)
{
	group->n = 0;
	while (row < batch->n_tokens && group->n < LM_LABEL_WINDOWS)
	{
		int i = group->n++;
		int end = row + 1;

		while (end < batch->n_tokens && batch->starts[end] == batch->starts[row])
			end++;
		group->first[i] = row;
		group->rows[i] = end - row;
		group->targets[i] = batch->targets[end - 1];
		group->weights[i] = batch->weights[end - 1];
		group->values[i] = batch->values[end - 1];
		row = end;
	}
	return row;
}

/*
 * With dropout, a window in training has its outputs dropped as a whole with probability
 * LM_OUTPUTS_DROPOUT (after Neverova et al. 2016, "ModDrop"); those that are kept are scaled so
 * that their mean stays. Otherwise the outputs, which over-fit first, explain the labels of the
 * training rows, and the bag learns little.
 */
static void
drop_outputs(Group *group, const LmPass *pass)
{
	double rate = pass->training && group->network->config.dropout > 0 ? LM_OUTPUTS_DROPOUT : 0;
	LmKey key = lm_key(pass->seed, LM_RANDOM_OUTPUTS_DROPOUT, (uint64_t) pass->step, 0);

	for (int i = 0; i < group->n; i++)
	{
		int row = group->first[i];
		bool dropped =
			rate > 0 && lm_random_uniform(key, (uint32_t) pass->batch->examples[row],
										  (uint32_t) pass->batch->positions[row], 0) < rate;

		group->shares[i] = dropped ? 0 : (float) (1 / (1 - rate));
	}
}

static LmLinear
linear_of(const LmNetwork *network)
{
	return (LmLinear){
		.n_in = network->config.channels + lm_bag_channels(network->config.labels),
		.n_out = network->config.labels,
		.w = network->params.label_weight,
		.bias = network->params.label_bias,
	};
}

/* The features of one window: mean output (scaled by its share), then mean embedding of its bag. */
static void
pool_window(void *work, int piece, int thread)
{
	const Group *group = work;
	const LmNetwork *network = group->network;
	int C = network->config.channels, n_channels = lm_bag_channels(network->config.labels),
		rows = group->rows[piece];
	float *feature =
		network->activations.labels.features + (size_t) piece * (size_t) (C + n_channels);
	const float *outputs = network->activations.norm + (size_t) group->first[piece] * (size_t) C;
	double bag[LM_BAG_CHANNELS] = {0};
	double n_bag = (double) lm_bag_count((size_t) rows);

	(void) thread;
	memset(feature, 0, (size_t) C * sizeof(float));
	for (int row = 0; row < rows; row++)
		for (int i = 0; i < C; i++)
			feature[i] += outputs[(size_t) row * (size_t) C + (size_t) i];
	for (int i = 0; i < C; i++)
		feature[i] = feature[i] / (float) rows * group->shares[piece];
	lm_bag_add(bag, network->params.bag_embedding, &network->config,
			   group->batch->tokens + group->first[piece], 0, (size_t) rows);
	for (int i = 0; i < n_channels; i++)
		feature[C + i] = (float) (bag[i] / n_bag);
}

/* Every output of a window that was not dropped has the same share in the mean. */
static void
spread_window(void *work, int piece, int thread)
{
	const Group *group = work;
	const LmNetwork *network = group->network;
	int C = network->config.channels, rows = group->rows[piece];
	const float *dfeature = network->activations.labels.dfeatures +
							(size_t) piece * (size_t) (C + lm_bag_channels(network->config.labels));
	float *doutputs = network->activations.narrow + (size_t) group->first[piece] * (size_t) C;

	(void) thread;
	for (int row = 0; row < rows; row++)
		for (int i = 0; i < C; i++)
			doutputs[(size_t) row * (size_t) C + (size_t) i] =
				dfeature[i] / (float) rows * group->shares[piece];
}

static void
add_bag_gradient(float *gradient, const Group *group)
{
	const LmNetwork *network = group->network;
	size_t F = (size_t) network->config.channels + (size_t) lm_bag_channels(network->config.labels);

	for (int window = 0; window < group->n; window++)
		lm_bag_add_gradient(gradient,
							network->activations.labels.dfeatures + (size_t) window * F +
								network->config.channels,
							&network->config, group->batch->tokens + group->first[window],
							(size_t) group->rows[window]);
}
