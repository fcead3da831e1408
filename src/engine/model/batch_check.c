/*
 * src/engine/model/batch_check.c
 *
 * Checks everything in a batch that the network uses as an index, and its groups.
 */
#include "model/objective.h"

static bool check_set(const LmLabelSets *sets, int32_t set, int n_labels);
static bool check_prefix(const LmConfig *config, const LmBatch *batch, int row);
static bool check_groups(const LmObjective *objective, const LmBatch *batch, LmError *error);

bool
lm_network_check(const LmNetwork *network, const LmBatch *batch, LmError *error)
{
	const LmConfig *config = &network->config;
	int64_t n_targets = network->objective->n_targets(config, batch);

	if (batch->n_tokens < 1 || batch->n_tokens > network->capacity)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a batch of %d tokens is not within 1 .. %d",
					   batch->n_tokens, network->capacity);
	for (int i = 0; i < batch->n_tokens; i++)
	{
		int start = batch->starts[i], position = batch->positions[i];

		if (batch->tokens[i] < 0 || batch->tokens[i] >= config->vocabulary ||
			batch->targets[i] >= n_targets)
			return lm_fail(error, LM_ERR_ARGUMENT, i,
						   "row %d of the batch is outside the vocabulary", i);
		if (config->multi_label && batch->targets[i] >= 0 &&
			!check_set(&batch->sets, batch->targets[i], config->labels))
			return lm_fail(error, LM_ERR_ARGUMENT, i,
						   "row %d of the batch has a label that the model does not know", i);
		if (position < 0 || position >= config->context || start < 0 || start > i)
			return lm_fail(error, LM_ERR_ARGUMENT, i, "row %d of the batch is outside the context",
						   i);
		if (!check_prefix(config, batch, i))
			return lm_fail(error, LM_ERR_ARGUMENT, i,
						   "row %d of the batch has a prefix that is not its window's", i);
	}
	return check_groups(network->objective, batch, error);
}

/*
 * Whether a row's prefix is that of its window and ends in it; a decoder beside an encoder needs a
 * row after it.
 */
static bool
check_prefix(const LmConfig *config, const LmBatch *batch, int row)
{
	int start = batch->starts[row], prefix, last;

	if (config->architecture == LM_DECODER)
		return true;
	prefix = batch->prefixes[row];
	last = config->architecture == LM_PREFIX ? prefix - 1 : prefix;
	return prefix >= start && prefix == batch->prefixes[start] && last < batch->n_tokens &&
		   (last < start || batch->starts[last] == start);
}

/* Whether the batch has whole groups of the size that the objective takes. */
static bool
check_groups(const LmObjective *objective, const LmBatch *batch, LmError *error)
{
	int group = batch->group > 0 ? batch->group : 1, n_windows = 0;

	for (int i = 0; i < batch->n_tokens; i++)
		n_windows += batch->starts[i] == i;
	if (group < objective->least_group || group > objective->most_group)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "objective %s does not take groups of %d",
					   objective->name, group);
	if (n_windows % group != 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a batch of %d windows has no groups of %d",
					   n_windows, group);
	return true;
}

static bool
check_set(const LmLabelSets *sets, int32_t set, int n_labels)
{
	uint64_t n;
	const uint32_t *members = lm_label_set(&n, sets, (uint64_t) set);

	/* They are ascending. */
	return n == 0 || members[n - 1] < (uint32_t) n_labels;
}
