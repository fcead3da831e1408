/*
 * src/engine/train/tree_step.c
 *
 * A step whose gradient is summed along a tree: leaves, sums of nodes, what travels when.
 *
 * The gradient of a leaf is computed in the trainer's gradient block. It is added to the sum of the
 * left side that it completes, in that one's buffer, or moves to a buffer of its own. With the
 * member's last leaf the sums go the other way, into the gradient block, range by range as the
 * backward pass ends with parameters: so ranges can travel while the pass goes on.
 *
 * Parameters are final in this order, whatever the batch: those of the head, which the loss's pass
 * writes alone; the blocks from the last one down, then those of an encoder; all others.
 */
#include <math.h>
#include <string.h>

#include "kernels/pieces.h"
#include "kernels/simd.h"
#include "train/trainer_private.h"
#include "train/tree.h"

#define MOST_TOKENS 1e15 /* of a step: exact as a double */

/* One step of one member. */
typedef struct TreeRun
{
	LmTrainer *trainer;
	const LmTreeStep *tree;
	int64_t step;
	double factor; /* on the weights of own leaves */
	float scale; /* of own leaves: factor / Σ weight of all leaves */
	int depth; /* of the stack of nodes, which gradient.nodes and .sums are */
	int n_joined; /* nodes on top of it that the last leaf joins */
	LmTreeGradient gradient;
} TreeRun;

/* y = x + y of a range, for each x from the last one on. */
typedef struct FoldWork
{
	const LmSimd *simd;
	float *y;
	float *const *x;
	int n;
	size_t first;
	size_t count;
} FoldWork;

static bool check(const LmTrainer *trainer, const LmTreeStep *tree, LmError *error);
static bool sum_weights(double *sum, TreeRun *run, LmError *error);
static bool take_share(TreeRun *run, LmError *error);
static bool compute_leaves(TreeRun *run, LmError *error);
static void compute_leaf(TreeRun *run, int leaf, bool last);
static void keep_leaf(TreeRun *run, int leaf);
static void open_last(TreeRun *run, int leaf);
static bool part_of_loss(const LmParam *param);
static void block_done(void *context, int layer);
static void send_ranges(TreeRun *run, int when, int layer);
static void send_range(TreeRun *run, size_t first, size_t count);
static void fold(LmEngine *engine, float *y, float *const *x, int n, size_t first, size_t count);
static void fold_piece(void *work, int piece, int thread);

enum
{
	AFTER_LOSS,
	AFTER_BLOCK,
	AT_END,
};

bool
lm_trainer_step_tree(LmStepResult *result, LmTrainer *trainer, int64_t step, const LmTreeStep *tree,
					 LmError *error)
{
	TreeRun run = {.trainer = trainer, .tree = tree, .step = step};
	LmTreeGradient *gradient = &run.gradient;
	double weight, tokens;

	memset(result, 0, sizeof *result);
	run.factor = !tree->dealt && tree->weight > 0 ? tree->weight : 1;
	lm_engine_begin(trainer->engine);
	if (!check(trainer, tree, error))
		return false;
	gradient->n_leaves = tree->n_leaves;
	gradient->own = tree->own;
	gradient->count = trainer->table->total;
	gradient->values = trainer->tree_values;
	if (!sum_weights(&weight, &run, error))
		return false;
	if (!(weight > 0) || !isfinite(weight))
		return lm_fail(error, LM_ERR_ARGUMENT, step, "the weights of step %lld sum to %g",
					   (long long) step, weight);
	run.scale = (float) (run.factor / weight);
	if (!compute_leaves(&run, error) ||
		(tree->hooks && !tree->hooks->reduce(tree->hooks->context, gradient, error)))
		return false;
	if (!take_share(&run, error))
		return false;
	result->learning_rate = lm_learning_rate(&trainer->options, step);
	result->loss = lm_tree_sum(gradient->values, LM_TREE_VALUES, tree->n_leaves) / weight;
	for (int i = 0; i < LM_MAX_FIGURES; i++)
		result->figures[i] =
			lm_tree_sum(gradient->values + 1 + i, LM_TREE_VALUES, tree->n_leaves) / weight;
	tokens = lm_tree_sum(gradient->values + LM_TREE_VALUES - 1, LM_TREE_VALUES, tree->n_leaves);
	/* Other members' numbers may be anything. */
	if (!(tokens >= 0 && tokens <= MOST_TOKENS))
		return lm_fail(error, LM_ERR_NUMERIC, step, "step %lld has %g tokens", (long long) step,
					   tokens);
	result->tokens = (int64_t) tokens;
	return lm_trainer_update(result, trainer, step, error);
}

static bool
check(const LmTrainer *trainer, const LmTreeStep *tree, LmError *error)
{
	int n_batches = tree->dealt ? tree->n_leaves : tree->own.count;
	int first = tree->own.first, count = tree->own.count;

	if (tree->n_leaves < 1 || tree->n_leaves > trainer->options.tree_leaves)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "%d micro-batches do not fit a tree of %d",
					   tree->n_leaves, trainer->options.tree_leaves);
	if (first < 0 || count < 1 || count > tree->n_leaves - first ||
		(!tree->hooks && count < tree->n_leaves))
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "micro-batches %d to %d are not a share of %d of them", first,
					   first + count - 1, tree->n_leaves);
	for (int i = 0; i < n_batches; i++)
		if (!lm_network_check(&trainer->network, &tree->batches[i], error))
			return false;
	return true;
}

/* Of all leaves of all members. */
static bool
sum_weights(double *sum, TreeRun *run, LmError *error)
{
	const LmTreeStep *tree = run->tree;
	double *weights = run->gradient.values;
	int first = tree->dealt ? 0 : tree->own.first;
	int count = tree->dealt ? tree->n_leaves : tree->own.count;

	for (int i = 0; i < count; i++)
		weights[first + i] =
			run->factor * run->trainer->network.objective->weight(&tree->batches[i]);
	if (count < tree->n_leaves &&
		!tree->hooks->gather(tree->hooks->context, weights, 1, tree->own, tree->n_leaves, error))
		return false;
	*sum = lm_tree_sum(weights, 1, tree->n_leaves);
	return true;
}

/* That of the member with leaf 0, whose number may be anything. */
static bool
take_share(TreeRun *run, LmError *error)
{
	LmTrainOptions *options = &run->trainer->options;
	double share = run->gradient.values[LM_TREE_VALUES - 2];

	if (options->share < 0)
		return true;
	if (!(share >= 0 && share <= 1))
		return lm_fail(error, LM_ERR_NUMERIC, run->step, "step %lld is at %g of the time",
					   (long long) run->step, share);
	options->share = share;
	return true;
}

static bool
compute_leaves(TreeRun *run, LmError *error)
{
	LmTreeNode own = run->tree->own;
	int last = own.first + own.count - 1;

	memset(run->gradient.values, 0, (size_t) run->tree->n_leaves * LM_TREE_VALUES * sizeof(double));
	for (int leaf = own.first; leaf <= last; leaf++)
	{
		if (leaf == last)
			open_last(run, leaf);
		compute_leaf(run, leaf, leaf == last);
		if (leaf < last)
			keep_leaf(run, leaf);
		if (lm_engine_stopped(run->trainer->engine))
			return lm_fail(error, LM_ERR_STOPPED, run->step, "training was stopped");
	}
	return true;
}

/* Forward, loss and backward of a leaf into the gradient block. */
static void
compute_leaf(TreeRun *run, int leaf, bool last)
{
	LmTrainer *trainer = run->trainer;
	LmNetwork *network = &trainer->network;
	const LmTreeStep *tree = run->tree;
	const LmBatch *batch = &tree->batches[tree->dealt ? leaf : leaf - tree->own.first];
	double *values = run->gradient.values + (size_t) leaf * LM_TREE_VALUES;
	LmPass pass = {.batch = batch,
				   .training = true,
				   .first = true,
				   .options = &trainer->options,
				   .seed = trainer->options.seed,
				   .step = run->step};

	if (last)
	{
		pass.block_done = block_done;
		pass.done_context = run;
	}
	lm_trainer_clear_gradient(trainer);
	memset(network->figures, 0, sizeof network->figures);
	lm_network_forward(network, &pass);
	values[0] = run->factor * lm_network_loss(network, &pass, run->scale);
	for (int i = 0; i < LM_MAX_FIGURES; i++)
		values[1 + i] = run->factor * network->figures[i];
	values[LM_TREE_VALUES - 2] = trainer->options.share;
	values[LM_TREE_VALUES - 1] = batch->n_tokens;
	if (last)
		send_ranges(run, AFTER_LOSS, -1);
	lm_network_backward(network, &pass);
	if (last)
		send_ranges(run, AT_END, -1);
}

/* Adds the leaf to the sum that it completes, or keeps it in a buffer. */
static void
keep_leaf(TreeRun *run, int leaf)
{
	LmTrainer *trainer = run->trainer;
	LmTreeGradient *gradient = &run->gradient;
	size_t total = gradient->count;
	int before = run->depth;
	int n = lm_tree_push(gradient->nodes, &run->depth, (LmTreeNode){leaf, 1}, gradient->n_leaves);

	if (n == 0)
	{
		gradient->sums[before] = trainer->tree_sums + (size_t) before * total;
		lm_copy(trainer->engine, gradient->sums[before], trainer->gradient, total);
		return;
	}
	fold(trainer->engine, gradient->sums[before - 1], &trainer->gradient, 1, 0, total);
	for (int j = 2; j <= n; j++)
		fold(trainer->engine, gradient->sums[before - j], &gradient->sums[before - j + 1], 1, 0,
			 total);
}

/* The nodes that the member has after its last leaf; their sums follow range by range. */
static void
open_last(TreeRun *run, int leaf)
{
	LmTreeGradient *gradient = &run->gradient;

	run->n_joined =
		lm_tree_push(gradient->nodes, &run->depth, (LmTreeNode){leaf, 1}, gradient->n_leaves);
	gradient->n_nodes = run->depth;
}

static void
block_done(void *context, int layer)
{
	send_ranges(context, AFTER_BLOCK, layer);
}

/* Whether the backward pass of the network, after that of the loss, leaves it alone. */
static bool
part_of_loss(const LmParam *param)
{
	return param->kind == LM_HEAD_WEIGHT || param->kind == LM_BAG_EMBEDDING ||
		   param->kind == LM_LABEL_WEIGHT || param->kind == LM_LABEL_BIAS ||
		   param->kind == LM_EMBEDDING_RUNS || param->kind == LM_EMBEDDING_HIDDEN;
}

/*
 * Parameters that are final now, with the gaps behind them, in runs that follow each other in the
 * block.
 */
static void
send_ranges(TreeRun *run, int when, int layer)
{
	const LmParamTable *table = run->trainer->table;
	size_t first = 0, count = 0;

	for (int i = 0; i < table->n_params; i++)
	{
		const LmParam *param = &table->params[i];
		size_t end = i + 1 < table->n_params ? param[1].offset : table->total;
		int own = param->layer >= 0 ? AFTER_BLOCK : part_of_loss(param) ? AFTER_LOSS : AT_END;

		if (own != when || (when == AFTER_BLOCK && param->layer != layer))
			continue;
		if (count > 0 && first + count != param->offset)
		{
			send_range(run, first, count);
			count = 0;
		}
		if (count == 0)
			first = param->offset;
		count = end - first;
	}
	if (count > 0)
		send_range(run, first, count);
}

/* The sums of a range: those that the last leaf joins, into the gradient block. */
static void
send_range(TreeRun *run, size_t first, size_t count)
{
	LmTrainer *trainer = run->trainer;
	LmTreeGradient *gradient = &run->gradient;
	const LmTreeHooks *hooks = run->tree->hooks;
	/* Joined nodes are above the last one, in whose place on the stack the sum is. */
	float *joined[LM_TREE_NODES];
	int place = run->depth - 1;

	for (int i = 0; i < run->n_joined; i++)
		joined[i] = trainer->tree_sums + (size_t) (place + i) * gradient->count;
	fold(trainer->engine, trainer->gradient, joined, run->n_joined, first, count);
	gradient->sums[place] = trainer->gradient;
	if (hooks && hooks->ready && !lm_engine_stopped(trainer->engine))
		hooks->ready(hooks->context, gradient, first, count);
}

static void
fold(LmEngine *engine, float *y, float *const *x, int n, size_t first, size_t count)
{
	FoldWork work = {lm_simd(), y, x, n, first, count};

	if (n > 0)
		lm_engine_run(engine, fold_piece, &work, lm_divide_up(count, LM_PIECE_ELEMENTS));
}

static void
fold_piece(void *argument, int piece, int thread)
{
	const FoldWork *work = argument;
	size_t first = (size_t) piece * LM_PIECE_ELEMENTS;
	size_t count = lm_piece_size(first, work->count, LM_PIECE_ELEMENTS);

	first += work->first;
	for (int i = work->n - 1; i >= 0; i--)
		work->simd->add(work->y + first, work->x[i] + first, count);
}
