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
#include "model/label_figures.h"
#include "model/labels.h"
#include "model/number.h"
#include "model/pair.h"

/* Windows of a batch that are classified together. */
typedef struct Group
{
	const LmNetwork *network;
	const LmBatch *batch;
	int n;
	int first[LM_LABEL_WINDOWS]; /* row */
	int rows[LM_LABEL_WINDOWS];
	int firsts[LM_LABEL_WINDOWS]; /* rows of the first text of a pair; else all */
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
	size_t F = (size_t) lm_label_features(config);

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
		lm_label_figures_add(network->figures, &network->config,
							 &(LmLabelAnswers){a->logits, group.targets, group.values,
											   group.weights, &pass->batch->sets},
							 group.n);
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

void
lm_labels_logits(float *logits, size_t n, LmNetwork *network, const LmPass *pass)
{
	LmEngine *engine = network->engine;
	LmLabelActivations *a = &network->activations.labels;
	LmLinear linear = linear_of(network);
	Group group = {.network = network, .batch = pass->batch};
	size_t labels = (size_t) network->config.labels, done = 0;

	for (int row = 0; row < pass->batch->n_tokens && done < n && !lm_engine_stopped(engine);)
	{
		size_t count;

		row = gather(&group, pass->batch, row);
		drop_outputs(&group, pass);
		lm_engine_run(engine, pool_window, &group, group.n);
		lm_linear_forward(engine, a->logits, a->features, &linear, group.n);
		count = (size_t) group.n < n - done ? (size_t) group.n : n - done;
		memcpy(logits + done * labels, a->logits, count * labels * sizeof *logits);
		done += count;
	}
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
		int end = row + 1, second = row;

		while (end < batch->n_tokens && batch->starts[end] == batch->starts[row])
			end++;
		while (second < end - 1 && batch->targets[second] != LM_SECOND_TEXT)
			second++;
		group->firsts[i] = group->network->config.pair ? second - row : end - row;
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
		.n_in = lm_label_features(&network->config),
		.n_out = network->config.labels,
		.w = network->params.label_weight,
		.bias = network->params.label_bias,
	};
}

/* mean [C] of the outputs of rows, none of which gives 0. */
static void
mean_of(float *mean, const float *outputs, int rows, int C)
{
	memset(mean, 0, (size_t) C * sizeof(float));
	for (int row = 0; row < rows; row++)
		for (int i = 0; i < C; i++)
			mean[i] += outputs[(size_t) row * (size_t) C + (size_t) i];
	for (int i = 0; i < C && rows > 0; i++)
		mean[i] /= (float) rows;
}

/*
 * The features of one window: mean output, or those of both texts of a pair, scaled by its share;
 * mean embedding of its bag; of a pair what the texts share.
 */
static void
pool_window(void *work, int piece, int thread)
{
	const Group *group = work;
	const LmNetwork *network = group->network;
	const LmConfig *config = &network->config;
	int C = config->channels, n_hidden = lm_label_hidden(config), rows = group->rows[piece],
		first = group->firsts[piece], n_channels = lm_bag_channels(config->labels);
	float *feature =
		network->activations.labels.features + (size_t) piece * (size_t) lm_label_features(config);
	const float *outputs = network->activations.norm + (size_t) group->first[piece] * (size_t) C;
	const int32_t *tokens = group->batch->tokens + group->first[piece];
	double bag[LM_BAG_CHANNELS] = {0}, overlaps[LM_PAIR_OVERLAPS];
	double n_bag = (double) lm_bag_count((size_t) rows);

	(void) thread;
	mean_of(feature, outputs, first, C);
	if (config->pair)
	{
		mean_of(feature + C, outputs + (size_t) first * (size_t) C, rows - first, C);
		lm_pair_forward(feature, C);
		lm_pair_overlaps(overlaps, tokens, (size_t) first, (size_t) rows);
		for (int i = 0; i < LM_PAIR_OVERLAPS; i++)
			feature[n_hidden + n_channels + i] = (float) overlaps[i];
	}
	for (int i = 0; i < n_hidden; i++)
		feature[i] *= group->shares[piece];
	lm_bag_add(bag, network->params.bag_embedding, config, tokens, 0, (size_t) rows);
	for (int i = 0; i < n_channels; i++)
		feature[n_hidden + i] = (float) (bag[i] / n_bag);
}

/* Every output of a text has the same share in its mean. */
static void
spread_mean(float *doutputs, const float *dmean, int rows, int C, float share)
{
	for (int row = 0; row < rows; row++)
		for (int i = 0; i < C; i++)
			doutputs[(size_t) row * (size_t) C + (size_t) i] = dmean[i] / (float) rows * share;
}

/*
 * The same of both texts of a pair. Their features were scaled by the share, which is undone for
 * those from which the others were made; the gradients of u and v take their place.
 */
static void
spread_pair(const Group *group, int piece)
{
	const LmNetwork *network = group->network;
	int C = network->config.channels, rows = group->rows[piece], first = group->firsts[piece];
	size_t F = (size_t) lm_label_features(&network->config);
	float *feature = network->activations.labels.features + (size_t) piece * F;
	float *dfeature = network->activations.labels.dfeatures + (size_t) piece * F;
	float *doutputs = network->activations.narrow + (size_t) group->first[piece] * (size_t) C;
	float share = group->shares[piece];

	for (int i = 0; i < 2 * C && share > 0; i++)
		feature[i] /= share;
	lm_pair_backward(feature, feature + C, dfeature, feature, C);
	spread_mean(doutputs, feature, first, C, share);
	spread_mean(doutputs + (size_t) first * (size_t) C, feature + C, rows - first, C, share);
}

/* The gradient of a window's outputs; nothing of one that was dropped. */
static void
spread_window(void *work, int piece, int thread)
{
	const Group *group = work;
	const LmNetwork *network = group->network;
	int C = network->config.channels, rows = group->rows[piece];
	size_t F = (size_t) lm_label_features(&network->config);
	const float *dfeature = network->activations.labels.dfeatures + (size_t) piece * F;
	float *doutputs = network->activations.narrow + (size_t) group->first[piece] * (size_t) C;
	float share = group->shares[piece];

	(void) thread;
	if (network->config.pair)
		spread_pair(group, piece);
	else
		spread_mean(doutputs, dfeature, rows, C, share);
}

static void
add_bag_gradient(float *gradient, const Group *group)
{
	const LmNetwork *network = group->network;
	size_t F = (size_t) lm_label_features(&network->config);

	for (int window = 0; window < group->n; window++)
		lm_bag_add_gradient(gradient,
							network->activations.labels.dfeatures + (size_t) window * F +
								lm_label_hidden(&network->config),
							&network->config, group->batch->tokens + group->first[window],
							(size_t) group->rows[window]);
}
