/*
 * src/engine/train/trainer.c
 *
 * The step: from batches to an update of the parameters.
 *
 * Memory is five blocks: the trainer, the table, parameters with gradient, the moments,
 * activations. An adapter has two more: the table and the parameters of its base, which have
 * neither gradient nor moments, and a third where the base's matrices are kept in a type of their
 * own (model/frozen.h). Only the update changes parameters and moments; it runs while the
 * engine is held, so that a step is either done or not done.
 */
#include <math.h>
#include <string.h>

#include "engine/gradient_tree.h"
#include "engine/optimizer.h"
#include "train/trainer_private.h"

/* Bytes that lm_allocate adds to a block: slack for alignment and the host's pointer. */
#define BLOCK_OVERHEAD (64 + sizeof(void *))

/* torch.nn.utils.clip_grad_norm_ divides by norm + 1e-6. */
#define CLIP_EPSILON 1e-6

typedef struct Sizes
{
	size_t table;
	size_t pair; /* parameters and gradient */
	size_t moments;
	size_t tree; /* sums of nodes, 0 without tree_leaves or for one leaf */
	size_t tree_values; /* 0 without tree_leaves */
	size_t base_table; /* 0, as the next one, without an adapter */
	size_t base;
	size_t frozen; /* 0 where the base is float32 */
	size_t activations;
	size_t all; /* as allocated */
} Sizes;

static bool sizes_of(Sizes *sizes, const LmConfig *config, const LmTrainOptions *options,
					 int n_threads, LmError *error);
static void lay_out(LmTrainer *trainer, LmArena *arena, const LmConfig *config, size_t total,
					const LmTrainOptions *options, int n_threads);
static bool allocate(LmTrainer *trainer, const LmConfig *config, LmError *error);
static bool allocate_base(LmTrainer *trainer, const LmConfig *config, const Sizes *sizes,
						  LmError *error);
static bool plan_frozen(LmFrozen *frozen, size_t *count, const LmConfig *base,
						const LmTrainOptions *options, LmError *error);
static bool init(LmTrainer *trainer, LmError *error);
static bool compute_gradient(LmStepResult *result, LmTrainer *trainer, int64_t step,
							 const LmBatch *batches, int n_micro_batches, LmError *error);
static double sum_weights(const LmObjective *objective, const LmBatch *batches, int n);
static bool sizes_of_tree(Sizes *sizes, const LmTrainOptions *options, size_t total);
static float clip_scale(const LmTrainer *trainer, const LmStepResult *result);
static LmUpdate update_of(LmTrainer *trainer, const LmStepResult *result, int64_t step);

bool
lm_trainer_memory(size_t *bytes, const LmConfig *config, const LmTrainOptions *options,
				  int n_threads, LmError *error)
{
	LmConfig checked = *config;
	Sizes sizes;

	if (!lm_config_check(&checked, error) || !sizes_of(&sizes, &checked, options, n_threads, error))
		return false;
	*bytes = sizes.all;
	return true;
}

/* Checks options and counts the bytes of each block that training allocates, and their sum. */
static bool
sizes_of(Sizes *sizes, const LmConfig *config, const LmTrainOptions *options, int n_threads,
		 LmError *error)
{
	LmTrainer counted = {0};
	LmArena arena = {0};
	LmConfig base = lm_config_base(config);
	bool has_base = config->lora_rank > 0;
	const LmOptimizer *optimizer = lm_optimizer(options->optimizer);
	LmFrozen frozen = {.type = NULL};
	size_t total, base_total = 0;
	int n_blocks;
	bool fits;

	counted.network.objective = lm_objective(config, options);
	if (!lm_train_options_check(options, error))
		return false;
	if (!counted.network.objective)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the model does not have objective %d",
					   (int) options->objective);
	if (options->max_tokens < 1)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a micro-batch of %d tokens is not possible",
					   options->max_tokens);
	if (has_base && optimizer->no_adapters)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "optimizer %s does not train adapters",
					   optimizer->name);
	if (has_base && !plan_frozen(&frozen, &base_total, &base, options, error))
		return false;
	sizes->tree = sizes->tree_values = 0;
	fits = lm_param_total(&total, config) &&
		   lm_size_multiply(&sizes->pair, total, 2 * sizeof(float)) &&
		   lm_size_multiply(&sizes->moments, total, (size_t) optimizer->n_moments * sizeof(float));
	fits = fits && sizes_of_tree(sizes, options, total);
	sizes->base = base_total * sizeof(float);
	sizes->frozen = frozen.size;
	sizes->base_table = has_base ? lm_param_table_size(&base) : 0;
	if (fits)
		lay_out(&counted, &arena, config, total, options, n_threads);
	sizes->table = lm_param_table_size(config);
	sizes->activations = arena.used;
	n_blocks = (has_base ? 7 : 5) - (optimizer->n_moments == 0) + (sizes->frozen > 0) +
			   (sizes->tree > 0) + (sizes->tree_values > 0);
	sizes->all =
		sizeof(LmTrainer) + sizes->table + sizes->base_table + (size_t) n_blocks * BLOCK_OVERHEAD;
	if (!fits || !lm_size_add(&sizes->all, sizes->all, sizes->base) || arena.overflow ||
		!lm_size_add(&sizes->all, sizes->all, sizes->frozen) ||
		!lm_size_add(&sizes->all, sizes->all, sizes->activations) ||
		!lm_size_add(&sizes->all, sizes->all, sizes->pair) ||
		!lm_size_add(&sizes->all, sizes->all, sizes->tree) ||
		!lm_size_add(&sizes->all, sizes->all, sizes->tree_values) ||
		!lm_size_add(&sizes->all, sizes->all, sizes->moments))
		return lm_fail(error, LM_ERR_LIMIT, -1,
					   "training would need more memory than the address space has");
	return true;
}

/* What a step along a tree keeps; nothing where options do not ask for one. */
static bool
sizes_of_tree(Sizes *sizes, const LmTrainOptions *options, size_t total)
{
	size_t n_leaves = (size_t) options->tree_leaves, n_buffers;

	if (n_leaves == 0)
		return true;
	n_buffers = (size_t) lm_tree_buffers(options->tree_leaves);
	sizes->tree_values = n_leaves * LM_TREE_VALUES * sizeof(double);
	return lm_size_multiply(&sizes->tree, total, n_buffers * sizeof(float));
}

/* The floats of the base, and the matrices that are kept in another type, if options say so. */
static bool
plan_frozen(LmFrozen *frozen, size_t *count, const LmConfig *base, const LmTrainOptions *options,
			LmError *error)
{
	size_t bytes;

	*frozen = (LmFrozen){.type = NULL};
	if (options->base_type != 0)
		return lm_frozen_plan(frozen, count, base, options->base_type, error);
	return (lm_param_total(count, base) && lm_size_multiply(&bytes, *count, sizeof(float))) ||
		   lm_fail(error, LM_ERR_LIMIT, -1,
				   "training would need more memory than the address space has");
}

static void
lay_out(LmTrainer *trainer, LmArena *arena, const LmConfig *config, size_t total,
		const LmTrainOptions *options, int n_threads)
{
	size_t scratch = 0;

	trainer->network.recompute = options->recompute;
	lm_network_layout(&trainer->network, arena, config, options->max_tokens, n_threads,
					  options->precision == LM_BFLOAT16);
	trainer->squares = lm_arena_take(arena, lm_sum_squares_scratch(total), 1);
	arena->overflow |= !lm_optimizer(options->optimizer)->scratch(&scratch, config, options);
	trainer->scratch = lm_arena_take(arena, scratch, 1);
}

LmTrainer *
lm_trainer_create(LmEngine *engine, const LmConfig *config, const LmTrainOptions *options,
				  LmError *error)
{
	const LmHost *host = lm_engine_host(engine);
	LmConfig checked = *config;
	LmTrainer *trainer;

	if (!lm_config_check(&checked, error) || !lm_train_options_check(options, error))
		return NULL;
	if (options->precision == LM_BFLOAT16 && !lm_engine_bf16(engine))
	{
		lm_fail(error, LM_ERR_ARGUMENT, -1, "this processor has no bfloat16 products");
		return NULL;
	}
	trainer = lm_allocate(host, sizeof *trainer);
	if (!trainer)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for training");
		return NULL;
	}
	trainer->engine = engine;
	trainer->options = *options;
	trainer->optimizer = lm_optimizer(options->optimizer);
	trainer->network.engine = engine;
	trainer->network.objective = lm_objective(&checked, options);
	if (!allocate(trainer, &checked, error))
	{
		lm_trainer_free(trainer);
		return NULL;
	}
	if (!init(trainer, error))
	{
		lm_trainer_free(trainer);
		return NULL;
	}
	return trainer;
}

/* Allocates the blocks that sizes_of counts and binds the network's tensors to them. */
static bool
allocate(LmTrainer *trainer, const LmConfig *config, LmError *error)
{
	const LmHost *host = lm_engine_host(trainer->engine);
	int n_threads = lm_engine_threads(trainer->engine);
	LmArena arena = {0};
	Sizes sizes;

	if (!sizes_of(&sizes, config, &trainer->options, n_threads, error))
		return false;
	trainer->table = lm_param_table_create(host, config, error);
	if (!trainer->table)
		return false;
	if (config->lora_rank > 0 && !allocate_base(trainer, config, &sizes, error))
		return false;
	trainer->params = lm_allocate_huge(host, sizes.pair);
	if (sizes.moments > 0)
		trainer->moments = lm_allocate_huge(host, sizes.moments);
	trainer->activations = lm_allocate_huge(host, sizes.activations);
	if (sizes.tree > 0)
		trainer->tree_sums = lm_allocate_huge(host, sizes.tree);
	if (sizes.tree_values > 0)
		trainer->tree_values = lm_allocate(host, sizes.tree_values);
	if (!trainer->params || (!trainer->moments && sizes.moments > 0) || !trainer->activations ||
		(!trainer->tree_sums && sizes.tree > 0) || (!trainer->tree_values && sizes.tree_values > 0))
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory: training needs %zu MB",
					   sizes.all >> 20);
	trainer->gradient = trainer->params + trainer->table->total;
	arena.base = trainer->activations;
	lay_out(trainer, &arena, config, trainer->table->total, &trainer->options, n_threads);
	lm_network_bind(&trainer->network, trainer->table, trainer->params, trainer->gradient,
					trainer->base_table, trainer->base);
	return true;
}

static bool
allocate_base(LmTrainer *trainer, const LmConfig *config, const Sizes *sizes, LmError *error)
{
	const LmHost *host = lm_engine_host(trainer->engine);
	LmConfig base = lm_config_base(config);
	LmFrozen *frozen = &trainer->frozen;
	size_t count;

	trainer->base_table = lm_param_table_create(host, &base, error);
	if (!trainer->base_table || !plan_frozen(frozen, &count, &base, &trainer->options, error))
		return false;
	trainer->base = lm_allocate_unset(host, sizes->base);
	if (sizes->frozen > 0)
		frozen->bytes = lm_allocate_unset(host, sizes->frozen);
	if (!trainer->base || (!frozen->bytes && sizes->frozen > 0))
		return lm_fail(error, LM_ERR_MEMORY, -1,
					   "out of memory: the base of the adapter needs %zu MB",
					   (sizes->base + sizes->frozen) >> 20);
	if (sizes->frozen == 0)
		return true;
	lm_frozen_lay_out(frozen, trainer->base_table);
	frozen->scratch = trainer->base + trainer->base_table->total - frozen->scratch_count;
	trainer->network.frozen = frozen;
	return true;
}

/*
 * Initialises the blocks: the first touch of gigabytes, so on all threads, and stoppable like a
 * step.
 */
static bool
init(LmTrainer *trainer, LmError *error)
{
	LmEngine *engine = trainer->engine;
	size_t total = trainer->table->total;

	lm_engine_begin(engine);
	lm_params_init(engine, trainer->params, trainer->table, trainer->options.seed);
	if (trainer->base && trainer->frozen.type)
	{
		lm_zero(engine, trainer->base, trainer->base_table->total);
		lm_zero(engine, (float *) trainer->frozen.bytes, trainer->frozen.size / sizeof(float));
	}
	else if (trainer->base)
		lm_params_init(engine, trainer->base, trainer->base_table, trainer->options.seed);
	lm_zero(engine, trainer->gradient, total);
	lm_zero(engine, trainer->moments, (size_t) trainer->optimizer->n_moments * total);
	return !lm_engine_stopped(engine) || lm_fail(error, LM_ERR_STOPPED, -1, "training was stopped");
}

void
lm_trainer_free(LmTrainer *trainer)
{
	const LmHost *host;

	if (!trainer)
		return;
	host = lm_engine_host(trainer->engine);
	lm_free(host, trainer->activations);
	lm_free(host, trainer->tree_values);
	lm_free(host, trainer->tree_sums);
	lm_free(host, trainer->moments);
	lm_free(host, trainer->params);
	lm_free(host, trainer->base);
	lm_free(host, trainer->frozen.bytes);
	lm_param_table_free(host, trainer->base_table);
	lm_param_table_free(host, trainer->table);
	lm_free(host, trainer);
}

bool
lm_trainer_step(LmStepResult *result, LmTrainer *trainer, int64_t step, const LmBatch *batches,
				int n_micro_batches, LmReduce reduce, void *reduce_context, LmError *error)
{
	memset(result, 0, sizeof *result);
	result->learning_rate = lm_learning_rate(&trainer->options, step);
	lm_engine_begin(trainer->engine);
	if (!compute_gradient(result, trainer, step, batches, n_micro_batches, error))
		return false;
	if (reduce && !reduce(reduce_context, trainer->gradient, trainer->table->total, error))
		return false;
	return lm_trainer_update(result, trainer, step, error);
}

bool
lm_trainer_update(LmStepResult *result, LmTrainer *trainer, int64_t step, LmError *error)
{
	LmEngine *engine = trainer->engine;
	size_t total = trainer->table->total;
	LmUpdate update;

	result->grad_norm = sqrt(lm_sum_squares(engine, trainer->gradient, total, trainer->squares));
	if (lm_engine_stopped(engine))
		return lm_fail(error, LM_ERR_STOPPED, step, "training was stopped");
	if (!isfinite(result->loss))
		return lm_fail(error, LM_ERR_NUMERIC, step, "loss is not finite at step %lld",
					   (long long) step);
	if (!isfinite(result->grad_norm))
		return lm_fail(error, LM_ERR_NUMERIC, step, "gradient is not finite at step %lld",
					   (long long) step);
	update = update_of(trainer, result, step);
	if (trainer->optimizer->prepare)
		trainer->optimizer->prepare(&update);
	if (lm_engine_stopped(engine))
		return lm_fail(error, LM_ERR_STOPPED, step, "training was stopped");
	lm_engine_hold(engine, true);
	trainer->optimizer->update(&update);
	lm_engine_hold(engine, false);
	return true;
}

/* clear -> forward, loss and backward of each micro-batch */
static bool
compute_gradient(LmStepResult *result, LmTrainer *trainer, int64_t step, const LmBatch *batches,
				 int n_micro_batches, LmError *error)
{
	LmNetwork *network = &trainer->network;
	double weight;

	for (int i = 0; i < n_micro_batches; i++)
		if (!lm_network_check(network, &batches[i], error))
			return false;
	weight = sum_weights(network->objective, batches, n_micro_batches);
	if (!(weight > 0) || !isfinite(weight))
		return lm_fail(error, LM_ERR_ARGUMENT, step, "the weights of step %lld sum to %g",
					   (long long) step, weight);
	lm_trainer_clear_gradient(trainer);
	memset(network->figures, 0, sizeof network->figures);
	for (int i = 0; i < n_micro_batches; i++)
	{
		LmPass pass = {.batch = &batches[i],
					   .training = true,
					   .first = i == 0,
					   .options = &trainer->options,
					   .seed = trainer->options.seed,
					   .step = step};

		lm_network_forward(network, &pass);
		result->loss += lm_network_loss(network, &pass, (float) (1 / weight));
		lm_network_backward(network, &pass);
		result->tokens += batches[i].n_tokens;
		if (lm_engine_stopped(trainer->engine))
			return lm_fail(error, LM_ERR_STOPPED, step, "training was stopped");
	}
	result->loss /= weight;
	for (int i = 0; i < LM_MAX_FIGURES; i++)
		result->figures[i] = network->figures[i] / weight;
	return true;
}

/*
 * Clears only parameters whose gradient is added to. The first micro-batch overwrites the gradient
 * of matrices, which are nearly all of the block.
 */
void
lm_trainer_clear_gradient(LmTrainer *trainer)
{
	for (int i = 0; i < trainer->table->n_params; i++)
	{
		const LmParam *param = &trainer->table->params[i];

		if (!lm_network_overwrites(&trainer->network, param))
			lm_zero(trainer->engine, trainer->gradient + param->offset, param->count);
	}
}

static double
sum_weights(const LmObjective *objective, const LmBatch *batches, int n)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += objective->weight(&batches[i]);
	return sum;
}

/* Clips by scaling the gradient while it is read, so the block itself stays as computed. */
static float
clip_scale(const LmTrainer *trainer, const LmStepResult *result)
{
	double most = trainer->options.grad_clip;
	double clip = most > 0 ? most / (result->grad_norm + CLIP_EPSILON) : 1;

	return clip < 1 ? (float) clip : 1.0f;
}

/* The optimizer's view of one update: blocks, scale by clipping, learning rate and step. */
static LmUpdate
update_of(LmTrainer *trainer, const LmStepResult *result, int64_t step)
{
	LmUpdate update = {
		.engine = trainer->engine,
		.options = &trainer->options,
		.table = trainer->table,
		.params = trainer->params,
		.gradient = trainer->gradient,
		.gradient_scale = clip_scale(trainer, result),
		.learning_rate = result->learning_rate,
		.step = step,
		.scratch = trainer->scratch,
	};

	for (int i = 0; i < trainer->optimizer->n_moments; i++)
		update.moments[i] = lm_trainer_moments(trainer, i);
	return update;
}

void
lm_trainer_set_search(LmTrainer *trainer, const LmTokenizer *tokenizer, const LmSearch *search)
{
	trainer->network.tokenizer = tokenizer;
	trainer->network.search = search;
}

LmEngine *
lm_trainer_engine(const LmTrainer *trainer)
{
	return trainer->engine;
}

const LmParamTable *
lm_trainer_table(const LmTrainer *trainer)
{
	return trainer->table;
}

LmParamTable *
lm_trainer_table_mutable(LmTrainer *trainer)
{
	return trainer->table;
}

float *
lm_trainer_params(LmTrainer *trainer)
{
	return trainer->params;
}

const LmParamTable *
lm_trainer_base_table(const LmTrainer *trainer)
{
	return trainer->base_table;
}

float *
lm_trainer_base(LmTrainer *trainer)
{
	return trainer->base;
}

bool
lm_trainer_put_base(LmTrainer *trainer, LmParamKind kind, int layer, int first_row, int n_rows,
					const float *rows)
{
	const LmParam *param =
		trainer->base_table ? lm_param_find(trainer->base_table, kind, layer) : NULL;

	if (!param)
		return false;
	if (!trainer->frozen.type || !lm_frozen_put(&trainer->frozen, param, first_row, n_rows, rows))
		memcpy(trainer->base + param->offset + (size_t) first_row * (size_t) param->columns, rows,
			   (size_t) n_rows * (size_t) param->columns * sizeof(float));
	return true;
}

float *
lm_trainer_gradient(LmTrainer *trainer)
{
	return trainer->gradient;
}

float *
lm_trainer_moments(LmTrainer *trainer, int number)
{
	return trainer->moments + (size_t) number * trainer->table->total;
}

int
lm_trainer_n_moments(const LmTrainer *trainer)
{
	return trainer->optimizer->n_moments;
}

LmTrainOptions *
lm_trainer_options(LmTrainer *trainer)
{
	return &trainer->options;
}
