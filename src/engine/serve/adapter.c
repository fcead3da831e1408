/*
 * src/engine/serve/adapter.c
 *
 * An adapter beside an image: from its block of parameters to the layout that inference reads.
 *
 *   | per block: A and scale B' of each target, packed | bag, label weight and bias (of a
 *   classifier) |
 *
 * Inference adds its products to those of the base (src/engine/serve/infer_adapters.c).
 */
#include <string.h>

#include "engine/search.h"
#include "kernels/weight_types.h"
#include "serve/image.h"

static void lay_out(LmModel *model, LmArena *arena, const LmConfig *config);
static void put_block(LmModel *model, int layer, const float *block, const LmParamTable *table);
static void put(const float *place, const float *block, const LmParamTable *table,
				LmParamKind kind);

bool
lm_adapter_is_short(const LmWeightType *type)
{
	return type->number != LM_WEIGHTS_FLOAT32;
}

bool
lm_adapter_size(size_t *size, const LmConfig *config, const LmWeightType *type, LmError *error)
{
	LmConfig checked = *config;
	LmArena arena = {0};
	LmModel model = {.type = type};
	size_t total;

	if (!lm_config_check(&checked, error))
		return false;
	if (checked.lora_rank == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "the configuration is not that of an adapter");
	if (lm_param_total(&total, &checked))
		lay_out(&model, &arena, &checked);
	else
		arena.overflow = true;
	if (arena.overflow)
		return lm_fail(error, LM_ERR_LIMIT, -1, "the adapter exceeds the address space");
	*size = arena.used;
	return true;
}

/* Slices in arena.base; while counting, adapters may be NULL. */
static void
lay_out(LmModel *model, LmArena *arena, const LmConfig *config)
{
	int C = config->channels;
	const int n_in[LM_TARGETS] = {C, lm_config_query_channels(config), C, config->mlp_channels};
	const int n_out[LM_TARGETS] = {lm_config_qkv_channels(config), C, lm_config_up_channels(config),
								   C};
	bool is_short = lm_adapter_is_short(model->type);
	size_t V = (size_t) config->vocabulary, n = (size_t) config->labels,
		   bag = (size_t) lm_bag_channels(config->labels);

	for (int layer = 0; layer < lm_config_blocks(config); layer++)
		for (int target = 0; target < LM_TARGETS; target++)
		{
			const void *a, *b;

			if ((config->lora_targets >> target & 1) == 0)
				continue;
			a = lm_arena_take(arena, 1, lm_lora_packed(config->lora_rank, n_in[target], is_short));
			b = lm_arena_take(arena, 1, lm_lora_packed(config->lora_rank, n_out[target], is_short));
			if (!model->adapters)
				continue;
			model->adapters[layer].a[target] = a;
			model->adapters[layer].b[target] = b;
		}
	if (config->embedding > 0)
	{
		size_t d = (size_t) config->embedding;

		model->embedding_runs = lm_arena_floats(arena, d, LM_SEARCH_WIDE_RUNS);
		model->embedding_hidden = lm_arena_floats(arena, d, (size_t) C);
	}
	if (n == 0)
		return;
	model->bag_embedding = lm_arena_floats(arena, V + (size_t) lm_bag_hashed(config->labels), bag);
	model->label_weight = lm_arena_floats(arena, n, (size_t) lm_label_features(config));
	model->label_bias = lm_arena_floats(arena, 1, n);
	model->features = lm_image_features(arena, config);
}

bool
lm_adapter_build(void *adapter, const float *block, const LmParamTable *table,
				 const LmWeightType *type, const LmHost *host, LmError *error)
{
	LmArena arena = {.base = adapter};
	LmModel model = {.config = table->config, .type = type};
	bool stopped = false;
	size_t size;

	if (!lm_adapter_size(&size, &table->config, type, error))
		return false;
	model.adapters =
		lm_allocate(host, (size_t) lm_config_blocks(&table->config) * sizeof(LmAdapterBlock));
	if (!model.adapters)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for an adapter");
	lay_out(&model, &arena, &table->config);
	for (int layer = 0; layer < lm_config_blocks(&table->config) && !stopped; layer++)
	{
		put_block(&model, layer, block, table);
		stopped = host->should_stop && host->should_stop(host->context);
	}
	put(model.bag_embedding, block, table, LM_BAG_EMBEDDING);
	put(model.label_weight, block, table, LM_LABEL_WEIGHT);
	put(model.label_bias, block, table, LM_LABEL_BIAS);
	put(model.features.keys, block, table, LM_FEATURE_KEY);
	put(model.features.weights, block, table, LM_FEATURE_WEIGHT);
	put(model.embedding_runs, block, table, LM_EMBEDDING_RUNS);
	put(model.embedding_hidden, block, table, LM_EMBEDDING_HIDDEN);
	lm_free(host, model.adapters);
	return !stopped || lm_fail(error, LM_ERR_STOPPED, -1, "building the adapter was stopped");
}

static void
put_block(LmModel *model, int layer, const float *block, const LmParamTable *table)
{
	const LmAdapterBlock *adapter = &model->adapters[layer];
	bool is_short = lm_adapter_is_short(model->type);

	for (int target = 0; target < LM_TARGETS; target++)
	{
		const LmParam *a = lm_param_find(table, LM_LORA_A(target), layer),
					  *b = lm_param_find(table, LM_LORA_B(target), layer);

		if (!adapter->a[target])
			continue;
		lm_lora_pack_a((void *) adapter->a[target], block + a->offset, a->rows, a->columns,
					   is_short);
		lm_lora_pack_b((void *) adapter->b[target], block + b->offset, b->columns, b->rows,
					   lm_config_lora_scale(&table->config), is_short);
	}
}

static void
put(const float *place, const float *block, const LmParamTable *table, LmParamKind kind)
{
	const LmParam *param = lm_param_find(table, kind, -1);

	if (place)
		memcpy((float *) place, block + param->offset, param->count * sizeof(float));
}

LmModel *
lm_model_open_adapter(const LmHost *host, const void *image, size_t size, const void *adapter,
					  size_t adapter_size, const LmConfig *config, LmError *error)
{
	LmArena arena = {.base = (char *) adapter};
	LmConfig checked = *config;
	LmModel *base, *model;
	size_t wanted;

	base = lm_model_open(host, image, size, error);
	if (!base)
		return NULL;
	if (!lm_adapter_size(&wanted, config, base->type, error) || !lm_config_check(&checked, error))
	{
		lm_model_close(base);
		return NULL;
	}
	if (adapter_size < wanted || !lm_config_same_base(&base->config, &checked))
	{
		lm_fail(error, LM_ERR_FORMAT, -1, "the adapter does not fit its base");
		lm_model_close(base);
		return NULL;
	}
	model = lm_allocate(host, sizeof *model + (size_t) lm_config_blocks(&checked) *
												  (sizeof(LmImageBlock) + sizeof(LmAdapterBlock)));
	if (!model)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for a model");
		lm_model_close(base);
		return NULL;
	}
	*model = *base;
	model->config = checked;
	model->blocks = (LmImageBlock *) (model + 1);
	memcpy(model->blocks, base->blocks, (size_t) lm_config_blocks(&checked) * sizeof(LmImageBlock));
	model->adapters = (LmAdapterBlock *) (model->blocks + lm_config_blocks(&checked));
	model->bag_embedding = model->label_weight = model->label_bias = NULL;
	model->ngram.n = 0;
	model->features = (LmFeatureTable){0};
	lay_out(model, &arena, &checked);
	lm_model_close(base);
	return model;
}

/* The matrices that targets add to. */
static const LmParamKind target_weights[LM_TARGETS] = {LM_ATTENTION_WEIGHT, LM_PROJECTION_WEIGHT,
													   LM_UP_WEIGHT, LM_DOWN_WEIGHT};

void
lm_adapter_merge(LmEngine *engine, float *block, const LmParamTable *table, const float *adapter,
				 const LmParamTable *adapter_table, int layer)
{
	for (int target = 0; target < LM_TARGETS; target++)
	{
		const LmParam *w = lm_param_find(table, target_weights[target], layer);

		(void) lm_adapter_merge_param(engine, block + w->offset, w, adapter, adapter_table);
	}
}

bool
lm_adapter_merge_param(LmEngine *engine, float *w, const LmParam *param, const float *adapter,
					   const LmParamTable *adapter_table)
{
	LmLora lora = {.n_in = param->columns,
				   .n_out = param->rows,
				   .rank = adapter_table->config.lora_rank,
				   .scale = lm_config_lora_scale(&adapter_table->config)};
	int target = 0;
	const LmParam *a, *b;

	while (target < LM_TARGETS && target_weights[target] != param->kind)
		target++;
	if (target == LM_TARGETS)
		return false;
	a = lm_param_find(adapter_table, LM_LORA_A(target), param->layer);
	b = lm_param_find(adapter_table, LM_LORA_B(target), param->layer);
	if (!a || !w)
		return a != NULL;
	lora.a = adapter + a->offset;
	lora.b = adapter + b->offset;
	lm_engine_begin(engine);
	lm_engine_hold(engine, true);
	lm_lora_merge(engine, w, &lora);
	lm_engine_hold(engine, false);
	return true;
}

void
lm_adapter_copy_head(float *block, const LmParamTable *table, const float *from,
					 const LmParamTable *from_table)
{
	static const LmParamKind kinds[] = {LM_BAG_EMBEDDING,	LM_LABEL_WEIGHT,   LM_LABEL_BIAS,
										LM_FEATURE_KEY,		LM_FEATURE_WEIGHT, LM_EMBEDDING_RUNS,
										LM_EMBEDDING_HIDDEN};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
	{
		const LmParam *to = lm_param_find(table, kinds[i], -1),
					  *source = lm_param_find(from_table, kinds[i], -1);

		if (to && source && to->count == source->count)
			memcpy(block + to->offset, from + source->offset, to->count * sizeof(float));
	}
}
