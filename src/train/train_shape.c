/*
 * src/train/train_shape.c
 *
 * Options go in; out come the shape of the model and of the batch, and the memory that they need.
 */
#include "postgres.h"

#include <math.h>

#include "core/bridge.h"
#include "core/settings.h"
#include "engine/block_type.h"
#include "engine/config_field.h"
#include "engine/optimizer.h"
#include "engine/params.h"
#include "train/train_architecture.h"
#include "train/train_plan.h"

#define SMALL_BATCH 4096 /* tokens a step up to the preset small ... */
#define LARGE_BATCH 16384 /* ... and beyond */
#define SMALLEST_BATCH 512
#define LARGE_CHANNELS 512 /* from here on a model is beyond small */
#define MICRO_BATCH 4096 /* tokens at once: enough for the kernels */
#define COMPARED_TEXTS 64 /* in a batch of contrastive training, however long they are */
#define SMALLEST_MICRO_BATCH 1024 /* below it, activations are recomputed first */
#define FIXED_MEMORY (16 * 1024 * 1024) /* buffers of publication and log */
#define DEFAULT_LAYERS 4
#define DEFAULT_CHANNELS 128
#define DEFAULT_RANK 8
#define EMBEDDING_NUMBERS 256 /* of contrastive training */
#define LONG_CONTEXT 1024 /* beyond it, the windows of a fine-tune follow the documents */

static void take_context(GptTrainOptions *options, const LmConfig *config);
static void set_adapter(LmConfig *config, const GptTrainOptions *options);
static void set_base_type(GptTrainPlan *plan, const GptTrainOptions *options);
static int default_heads(int channels);
static int gated_channels(int channels);
static int tokens_of_step(const GptTrainPlan *plan);
static size_t memory_of(const GptTrainPlan *plan, int batch_size, int accumulate);

bool
gpt_plan_shape_is_open(const GptTrainOptions *options)
{
	return options->preset == GPT_CHOSEN && options->layers == GPT_CHOSEN &&
		   options->heads == GPT_CHOSEN && options->channels == GPT_CHOSEN;
}

/* The fields that the base or the options give; those of the shape's size may change with the
 * preset. */
static LmConfig
config_given(const GptTrainOptions *options)
{
	LmConfig config = options->base_shape != NULL ? *options->base_shape : lm_config_default();
	const LmConfigField *field;
	double value;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		if ((field->part == LM_PART_SHAPE || field->part == LM_PART_START) &&
			gpt_options_get(&value, options, field->name))
			lm_config_set(&config, field, value);
	}
	return config;
}

void
gpt_plan_shape(GptTrainPlan *plan, const GptTrainOptions *options, const char *preset,
			   int vocabulary, int context)
{
	LmConfig config = config_given(options);
	LmError error;

	plan->preset = "";
	config.layers = DEFAULT_LAYERS;
	config.channels = DEFAULT_CHANNELS;
	for (int i = 0; gpt_preset(i) != NULL; i++)
	{
		if (strcmp(gpt_preset(i)->name, preset) != 0)
			continue;
		plan->preset = gpt_preset(i)->name;
		config.layers = gpt_preset(i)->layers;
		config.heads = gpt_preset(i)->heads;
		config.channels = gpt_preset(i)->channels;
	}
	if (options->layers != GPT_CHOSEN)
		config.layers = (int) options->layers;
	gpt_architecture_split(&config, options);
	if (options->channels != GPT_CHOSEN || options->heads != GPT_CHOSEN)
		config.heads = 0;
	if (options->heads != GPT_CHOSEN)
		config.heads = (int) options->heads;
	if (options->channels != GPT_CHOSEN)
		config.channels = (int) options->channels;
	else if (config.heads > 0)
		config.channels = Max(config.channels / config.heads, 1) * config.heads;
	if (config.heads == 0)
		config.heads = default_heads(config.channels);

	if (options->mlp_channels == GPT_CHOSEN && lm_activation_is_gated(config.mlp))
		config.mlp_channels = gated_channels(config.channels);
	config.vocabulary = vocabulary;
	config.context = options->base_shape != NULL ? options->base_shape->context : context;
	plan->context = context;
	config.labels = plan->labels;
	config.multi_label = plan->multi_label;
	config.embedding = plan->training.objective == LM_OBJECTIVE_CONTRASTIVE ? EMBEDDING_NUMBERS : 0;
	config.pair = plan->pair;
	config.number = plan->numbers.scale > 0;
	config.number_mean = plan->numbers.mean;
	config.number_scale = config.number ? plan->numbers.scale : 1;
	/* If dropout is chosen later, memory and timed steps assume that there is some. */
	config.dropout = isnan(options->dropout) ? 0.1f : (float) options->dropout;
	set_adapter(&config, options);
	if (!lm_config_check(&config, &error))
		gpt_bridge_raise(&error);
	if (options->base_shape == NULL)
		config.model_type = lm_config_model_type(&config);
	plan->config = config;
	plan->training.optimizer = options->optimizer;
	set_base_type(plan, options);
}

/* Blocks of a file's types, by GptBaseType. */
static const char *const base_blocks[] = {[GPT_BASE_FLOAT32] = "F32",
										  [GPT_BASE_BFLOAT16] = "BF16",
										  [GPT_BASE_FLOAT16] = "F16",
										  [GPT_BASE_INT8] = "Q8_0"};

static void
set_base_type(GptTrainPlan *plan, const GptTrainOptions *options)
{
	const LmBlockType *type;

	plan->training.base_type = options->file_type;
	if (options->base_type == GPT_CHOSEN)
		return;
	type = lm_block_type_named(base_blocks[options->base_type]);
	plan->training.base_type = type->number;
	if (!gpt_plan_base_type_fits(options, &plan->config))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"base_type\" cannot be \"%s\" for this model",
							   gpt_base_type_name(options->base_type)),
						errdetail("It keeps weights in groups of %d, and a matrix has rows of "
								  "another number.",
								  type->elements)));
}

bool
gpt_plan_base_type_fits(const GptTrainOptions *options, const LmConfig *config)
{
	int elements = lm_block_type_named(base_blocks[options->base_type])->elements;

	return config->channels % elements == 0 && config->mlp_channels % elements == 0 &&
		   lm_config_query_channels(config) % elements == 0;
}

const char *
gpt_plan_base_type(const GptTrainPlan *plan)
{
	const char *name = lm_block_type_numbered(plan->training.base_type)->name;

	for (int i = 0; i < lengthof(base_blocks); i++)
	{
		if (strcmp(base_blocks[i], name) == 0)
			return gpt_base_type_name(i);
	}
	return name;
}

void
gpt_plan_take_shape(GptTrainOptions *options, const LmConfig *config)
{
	LmConfig *shape = palloc(sizeof(LmConfig));
	const LmConfigField *field;

	*shape = lm_config_base(config);
	options->base_shape = shape;
	options->preset = GPT_CHOSEN;
	take_context(options, config);
	gpt_architecture_take(options, config);
	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		/* The vocabulary is that of the tokenizer. */
		if ((field->part == LM_PART_SHAPE || field->part == LM_PART_START) &&
			field->offset != offsetof(LmConfig, vocabulary) &&
			field->offset != offsetof(LmConfig, context) &&
			field->offset != offsetof(LmConfig, architecture))
			gpt_options_set(options, field->name, lm_config_get(config, field));
	}
}

static void
take_context(GptTrainOptions *options, const LmConfig *config)
{
	if (!options->is_finetune)
		options->context = config->context;
	else if (options->context > config->context)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"context\" must be at most the context of the base model, "
							   "%d, not " INT64_FORMAT,
							   config->context, options->context)));
	else if (options->context == GPT_CHOSEN && config->context <= LONG_CONTEXT)
		options->context = config->context;
}

static void
set_adapter(LmConfig *config, const GptTrainOptions *options)
{
	if (!gpt_options_lora(options))
		return;
	config->lora_rank = options->rank == GPT_CHOSEN ? DEFAULT_RANK : (int) options->rank;
	config->lora_alpha =
		isnan(options->alpha) ? 2 * (float) config->lora_rank : (float) options->alpha;
	config->lora_targets = options->targets == NULL ? LM_ALL_TARGETS : gpt_options_targets(options);
	config->lora_dropout = isnan(options->lora_dropout) ? 0 : (float) options->lora_dropout;
}

/* Heads of 64 channels, of 32 in a narrow model, else of a divisor of the width. */
static int
default_heads(int channels)
{
	int size = channels >= 256 ? 64 : 32;

	while (channels % size != 0)
		size /= 2;
	return channels / size;
}

/* Three matrices of this width have the parameters of two of 4 channels; a multiple of 32. */
static int
gated_channels(int channels)
{
	return (8 * channels / 3 + 31) / 32 * 32;
}

/*
 * Kaplan et al. 2020, section 2.1, with attention: 6 per weight that is multiplied with, and the
 * two products of attention.
 */
double
gpt_plan_work(const LmConfig *config)
{
	double C = config->channels;
	double A = lm_config_query_channels(config);
	double K2 = 2.0 * lm_config_kv_channels(config);
	double block = C * (lm_config_qkv_channels(config) + A) +
				   C * (lm_config_up_channels(config) + (double) config->mlp_channels);
	double layers = config->layers;
	double weights = (double) config->vocabulary * C;

	/* Each token goes through one of the stacks; prompts are taken to be half of the tokens. */
	if (config->architecture == LM_ENCODER_DECODER)
	{
		layers = (config->layers + config->encoder_layers) / 2.0;
		weights = weights / 2 + config->layers * C * (2 * A + K2) / 2;
	}
	return 6 * (weights + layers * block) + 12.0 * layers * A * config->context;
}

/* ---- Batch -------------------------------------------------------------- */

/*
 * Bytes of the trainer, the copy of the best weights and the batches. SIZE_MAX: more than the
 * address space.
 */
static size_t
memory_of(const GptTrainPlan *plan, int batch_size, int accumulate)
{
	const size_t batch_row = 7 * sizeof(int32);
	double tokens = (double) batch_size * plan->context;
	LmTrainOptions training = plan->training;
	size_t size;
	size_t total;
	LmError error;

	if (tokens > PG_INT32_MAX)
		return SIZE_MAX;
	training.max_tokens = (int) tokens;
	if (!lm_param_total(&total, &plan->config) ||
		!lm_trainer_memory(&size, &plan->config, &training, plan->n_threads, &error) ||
		!lm_size_add(&size, size, FIXED_MEMORY) ||
		!lm_size_add(&size, size,
					 ((size_t) plan->reference_windows +
					  2 * (size_t) plan->reference_rows * (size_t) plan->config.vocabulary) *
						 sizeof(float)) ||
		!lm_size_add(&size, size, plan->keep_best ? total * sizeof(float) : 0) ||
		!lm_size_add(&size, size,
					 plan->ngram_memory > 0 ? plan->ngram_memory + total * sizeof(float) : 0) ||
		!lm_size_add(&size, size, (size_t) tokens * batch_row * (2 * (size_t) accumulate + 1)))
		return SIZE_MAX;
	return size;
}

static double
wanted_steps(const GptTrainPlan *plan, int tokens)
{
	const LmOptimizer *optimizer = lm_optimizer(plan->training.optimizer);

	return tokens > 2 * SMALLEST_BATCH ? optimizer->steps : optimizer->fewest;
}

/* Whether texts of a micro-batch are compared with each other, so that more of them teach more. */
static bool
compares(const GptTrainPlan *plan)
{
	return plan->training.objective == LM_OBJECTIVE_CONTRASTIVE;
}

/* A power of two; of texts that are compared at least as many as the longest of them need. */
static int
tokens_of_step(const GptTrainPlan *plan)
{
	int tokens = plan->config.channels < LARGE_CHANNELS ? SMALL_BATCH : LARGE_BATCH;

	if (compares(plan))
		return Max(tokens, Min(COMPARED_TEXTS * plan->context, LARGE_BATCH));
	while (plan->token_budget > 0 && tokens > SMALLEST_BATCH &&
		   plan->token_budget / tokens < wanted_steps(plan, tokens))
		tokens /= 2;
	return tokens;
}

/* Micro-batches have at least that many tokens unless the options say otherwise. */
static bool
batch_fits(GptTrainPlan *plan, const GptTrainOptions *options, int least)
{
	int context = plan->context;
	int wanted = tokens_of_step(plan);
	bool batch_given = options->batch_size != GPT_CHOSEN;
	bool accumulate_given = options->accumulate != GPT_CHOSEN;
	int fewest = Max(plan->group, 1);
	int batch_size =
		batch_given ? (int) options->batch_size
					: Max(fewest, (compares(plan) ? wanted : Min(wanted, MICRO_BATCH)) / context);
	int accumulate = accumulate_given ? (int) options->accumulate : 1;

	if (!batch_given && !accumulate_given)
		accumulate = Max(1, wanted / (batch_size * context));
	while (!batch_given && batch_size / 2 >= fewest && batch_size / 2 * context >= least &&
		   memory_of(plan, batch_size, accumulate) > (size_t) gpt_settings_max_memory())
	{
		batch_size = batch_size / 2;
		if (!accumulate_given)
			accumulate = Max(1, wanted / (batch_size * context));
	}
	plan->memory = memory_of(plan, batch_size, accumulate);
	plan->batch_size = batch_size;
	plan->accumulate = accumulate;
	plan->training.max_tokens = (int) Min((int64) batch_size * context, PG_INT32_MAX);
	return plan->memory <= (size_t) gpt_settings_max_memory();
}

/* Smaller micro-batches cost less time than recomputation as long as they are not too small. */
bool
gpt_plan_batch_fits(GptTrainPlan *plan, const GptTrainOptions *options)
{
	bool open = options->recompute == GPT_SWITCH_AUTO;

	plan->training.recompute = options->recompute == GPT_SWITCH_TRUE;
	if (!open)
		return batch_fits(plan, options, 1);
	if (batch_fits(plan, options, SMALLEST_MICRO_BATCH))
		return true;
	plan->training.recompute = true;
	return batch_fits(plan, options, 1);
}

void
gpt_plan_batch(GptTrainPlan *plan, const GptTrainOptions *options)
{
	if (!gpt_plan_batch_fits(plan, options))
		gpt_plan_raise_memory(plan, options);
}
