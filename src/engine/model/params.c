/*
 * src/engine/model/params.c
 *
 * The parameter table: from a configuration to the list of its matrices and vectors, in the order
 * in which they lie in a block.
 */
#include <stdio.h>
#include <string.h>

#include "engine/feature_table.h"
#include "engine/host.h"
#include "engine/ngram.h"
#include "engine/params.h"
#include "engine/search.h"
#include "model/param_names.h"

#define ALIGN_FLOATS 16

/* Rows and columns of a kind; size_of gives their sizes in a configuration. */
typedef enum Size
{
	ONE,
	CHANNELS,
	HEAD_SIZE,
	QKV_CHANNELS,
	QUERY_CHANNELS,
	KEY_VALUE_CHANNELS,
	UP_CHANNELS,
	MLP_CHANNELS,
	VOCABULARY,
	CONTEXT,
	LABELS,
	EMBEDDING,
	WIDE_RUNS,
	FEATURES,
	BAG_ROWS,
	BAG_CHANNELS,
	RANK,
	NGRAM_TOKENS,
	NGRAM_WEIGHTS,
	FEATURE_ROWS,
	KEY_COLUMNS,
} Size;

typedef struct Kind
{
	LmParamKind kind;
	const char *name; /* inside a block: after "block.<layer>." or "encoder.<layer>." */
	Size rows;
	Size columns;
	bool in_block;
	bool vector;
	bool decay;
	LmInit init;
} Kind;

/* One row for each kind, in the order of the block of parameters. */
/* clang-format off */
static const Kind kinds[] = {
	/*                                                                in a   vector decay  init */
	{LM_TOKEN_EMBEDDING, "token_embedding", VOCABULARY, CHANNELS,     false, false, false, LM_INIT_NORMAL},
	{LM_POSITION_EMBEDDING, "position_embedding", CONTEXT, CHANNELS,  false, false, false, LM_INIT_NORMAL},
	{LM_NORM1_WEIGHT, "norm1.weight", ONE, CHANNELS,                  true,  true,  false, LM_INIT_ONE},
	{LM_NORM1_BIAS, "norm1.bias", ONE, CHANNELS,                      true,  true,  false, LM_INIT_ZERO},
	{LM_ATTENTION_WEIGHT, "attention.weight", QKV_CHANNELS, CHANNELS, true,  false, true,  LM_INIT_NORMAL},
	{LM_ATTENTION_BIAS, "attention.bias", ONE, QKV_CHANNELS,          true,  true,  false, LM_INIT_ZERO},
	{LM_QUERY_NORM_WEIGHT, "query_norm.weight", ONE, HEAD_SIZE,       true,  true,  false, LM_INIT_ONE},
	{LM_KEY_NORM_WEIGHT, "key_norm.weight", ONE, HEAD_SIZE,           true,  true,  false, LM_INIT_ONE},
	{LM_PROJECTION_WEIGHT, "projection.weight", CHANNELS, QUERY_CHANNELS,
	                                                                  true,  false, true,  LM_INIT_RESIDUAL},
	{LM_PROJECTION_BIAS, "projection.bias", ONE, CHANNELS,            true,  true,  false, LM_INIT_ZERO},
	{LM_POST_NORM1_WEIGHT, "post_norm1.weight", ONE, CHANNELS,        true,  true,  false, LM_INIT_ONE},
	{LM_POST_NORM1_BIAS, "post_norm1.bias", ONE, CHANNELS,            true,  true,  false, LM_INIT_ZERO},
	{LM_CROSS_NORM_WEIGHT, "cross_norm.weight", ONE, CHANNELS,        true,  true,  false, LM_INIT_ONE},
	{LM_CROSS_NORM_BIAS, "cross_norm.bias", ONE, CHANNELS,            true,  true,  false, LM_INIT_ZERO},
	{LM_CROSS_QUERY_WEIGHT, "cross_query.weight", QUERY_CHANNELS, CHANNELS,
	                                                                  true,  false, true,  LM_INIT_NORMAL},
	{LM_CROSS_QUERY_BIAS, "cross_query.bias", ONE, QUERY_CHANNELS,    true,  true,  false, LM_INIT_ZERO},
	{LM_CROSS_KEY_VALUE_WEIGHT, "cross_key_value.weight", KEY_VALUE_CHANNELS, CHANNELS,
	                                                                  true,  false, true,  LM_INIT_NORMAL},
	{LM_CROSS_KEY_VALUE_BIAS, "cross_key_value.bias", ONE, KEY_VALUE_CHANNELS,
	                                                                  true,  true,  false, LM_INIT_ZERO},
	{LM_CROSS_QUERY_NORM_WEIGHT, "cross_query_norm.weight", ONE, HEAD_SIZE,
	                                                                  true,  true,  false, LM_INIT_ONE},
	{LM_CROSS_KEY_NORM_WEIGHT, "cross_key_norm.weight", ONE, HEAD_SIZE,
	                                                                  true,  true,  false, LM_INIT_ONE},
	{LM_CROSS_PROJECTION_WEIGHT, "cross_projection.weight", CHANNELS, QUERY_CHANNELS,
	                                                                  true,  false, true,  LM_INIT_RESIDUAL},
	{LM_CROSS_PROJECTION_BIAS, "cross_projection.bias", ONE, CHANNELS,
	                                                                  true,  true,  false, LM_INIT_ZERO},
	{LM_CROSS_POST_NORM_WEIGHT, "cross_post_norm.weight", ONE, CHANNELS,
	                                                                  true,  true,  false, LM_INIT_ONE},
	{LM_CROSS_POST_NORM_BIAS, "cross_post_norm.bias", ONE, CHANNELS,  true,  true,  false, LM_INIT_ZERO},
	{LM_NORM2_WEIGHT, "norm2.weight", ONE, CHANNELS,                  true,  true,  false, LM_INIT_ONE},
	{LM_NORM2_BIAS, "norm2.bias", ONE, CHANNELS,                      true,  true,  false, LM_INIT_ZERO},
	{LM_UP_WEIGHT, "up.weight", UP_CHANNELS, CHANNELS,                true,  false, true,  LM_INIT_NORMAL},
	{LM_UP_BIAS, "up.bias", ONE, UP_CHANNELS,                         true,  true,  false, LM_INIT_ZERO},
	{LM_DOWN_WEIGHT, "down.weight", CHANNELS, MLP_CHANNELS,           true,  false, true,  LM_INIT_RESIDUAL},
	{LM_DOWN_BIAS, "down.bias", ONE, CHANNELS,                        true,  true,  false, LM_INIT_ZERO},
	{LM_POST_NORM2_WEIGHT, "post_norm2.weight", ONE, CHANNELS,        true,  true,  false, LM_INIT_ONE},
	{LM_POST_NORM2_BIAS, "post_norm2.bias", ONE, CHANNELS,            true,  true,  false, LM_INIT_ZERO},
	{LM_LORA_ATTENTION_A, "attention.lora_a", RANK, CHANNELS,         true,  false, true,  LM_INIT_FAN_IN},
	{LM_LORA_ATTENTION_B, "attention.lora_b", QKV_CHANNELS, RANK,     true,  false, true,  LM_INIT_ZERO},
	{LM_LORA_PROJECTION_A, "projection.lora_a", RANK, QUERY_CHANNELS, true,  false, true,  LM_INIT_FAN_IN},
	{LM_LORA_PROJECTION_B, "projection.lora_b", CHANNELS, RANK,       true,  false, true,  LM_INIT_ZERO},
	{LM_LORA_UP_A, "up.lora_a", RANK, CHANNELS,                       true,  false, true,  LM_INIT_FAN_IN},
	{LM_LORA_UP_B, "up.lora_b", UP_CHANNELS, RANK,                    true,  false, true,  LM_INIT_ZERO},
	{LM_LORA_DOWN_A, "down.lora_a", RANK, MLP_CHANNELS,               true,  false, true,  LM_INIT_FAN_IN},
	{LM_LORA_DOWN_B, "down.lora_b", CHANNELS, RANK,                   true,  false, true,  LM_INIT_ZERO},
	{LM_ENCODER_NORM_WEIGHT, "encoder_norm.weight", ONE, CHANNELS,    false, true,  false, LM_INIT_ONE},
	{LM_ENCODER_NORM_BIAS, "encoder_norm.bias", ONE, CHANNELS,        false, true,  false, LM_INIT_ZERO},
	{LM_FINAL_NORM_WEIGHT, "final_norm.weight", ONE, CHANNELS,        false, true,  false, LM_INIT_ONE},
	{LM_FINAL_NORM_BIAS, "final_norm.bias", ONE, CHANNELS,            false, true,  false, LM_INIT_ZERO},
	{LM_HEAD_WEIGHT, "head.weight", VOCABULARY, CHANNELS,             false, false, true,  LM_INIT_NORMAL},
	{LM_BAG_EMBEDDING, "bag.weight", BAG_ROWS, BAG_CHANNELS,          false, false, false, LM_INIT_NORMAL},
	{LM_LABEL_WEIGHT, "label.weight", LABELS, FEATURES,               false, false, true,  LM_INIT_NORMAL},
	{LM_LABEL_BIAS, "label.bias", ONE, LABELS,                        false, true,  false, LM_INIT_ZERO},
	{LM_EMBEDDING_RUNS, "embedding.runs.weight", EMBEDDING, WIDE_RUNS, false, false, false, LM_INIT_NORMAL},
	{LM_EMBEDDING_HIDDEN, "embedding.hidden.weight", EMBEDDING, CHANNELS,
	                                                                  false, false, false, LM_INIT_ZERO},
	{LM_NGRAM_TOKENS, "ngram.tokens", ONE, NGRAM_TOKENS,              false, true,  false, LM_INIT_ZERO},
	{LM_NGRAM_ORDER, "ngram.order", ONE, NGRAM_TOKENS,                false, true,  false, LM_INIT_ZERO},
	{LM_NGRAM_WEIGHTING, "ngram.weights", ONE, NGRAM_WEIGHTS,         false, true,  false, LM_INIT_ZERO},
	{LM_FEATURE_KEY, "feature.key", FEATURE_ROWS, KEY_COLUMNS,        false, false, false, LM_INIT_ZERO},
	{LM_FEATURE_WEIGHT, "feature.weight", FEATURE_ROWS, LABELS,       false, false, false, LM_INIT_ZERO},
};
/* clang-format on */

/* Rows of kinds. */
#define FIRST_IN_FRONT 0
#define FIRST_IN_BLOCK 2
#define FIRST_BEHIND (FIRST_IN_BLOCK + 30 + 2 * LM_TARGETS)

static bool exists(const LmConfig *config, LmParamKind kind);
static bool exists_in(const LmConfig *config, LmParamKind kind, int layer);
static size_t copies_of(const LmConfig *config, const Kind *kind);
static int count_in_block(const LmConfig *config, int layer);
static int count_kinds(const LmConfig *config, int first, int last);
static int size_of(const LmConfig *config, Size size);
static bool padded_count(size_t *count, size_t rows, size_t columns);
static bool add_kinds(LmParamTable *table, int first, int last, int layer, LmError *error);
static bool add_param(LmParamTable *table, const Kind *kind, int layer, LmError *error);

LmParamTable *
lm_param_table_create(const LmHost *host, const LmConfig *config, LmError *error)
{
	LmConfig checked = *config;
	LmParamTable *table;
	bool complete;

	if (!lm_config_check(&checked, error) || !lm_params_have_names(&checked, error))
		return NULL;
	table = lm_allocate(host, lm_param_table_size(&checked));
	if (!table)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for the parameter table");
		return NULL;
	}
	table->config = checked;
	table->params = (LmParam *) (table + 1);
	complete = add_kinds(table, FIRST_IN_FRONT, FIRST_IN_BLOCK, -1, error);
	for (int layer = 0; complete && layer < lm_config_blocks(&checked); layer++)
		complete = add_kinds(table, FIRST_IN_BLOCK, FIRST_BEHIND, layer, error);
	complete = complete && add_kinds(table, FIRST_BEHIND, LM_PARAM_KINDS, -1, error);
	if (complete)
		return table;
	lm_param_table_free(host, table);
	return NULL;
}

void
lm_param_table_free(const LmHost *host, LmParamTable *table)
{
	lm_free(host, table);
}

size_t
lm_param_table_size(const LmConfig *config)
{
	return sizeof(LmParamTable) + lm_param_table_count(config) * sizeof(LmParam);
}

size_t
lm_param_table_count(const LmConfig *config)
{
	size_t n = 0;

	for (int i = 0; i < LM_PARAM_KINDS; i++)
		if (exists(config, kinds[i].kind))
			n += copies_of(config, &kinds[i]);
	return n;
}

bool
lm_param_total(size_t *total, const LmConfig *config)
{
	size_t bytes;

	*total = 0;
	for (int i = 0; i < LM_PARAM_KINDS; i++)
	{
		size_t count;

		if (!exists(config, kinds[i].kind))
			continue;
		if (!padded_count(&count, size_of(config, kinds[i].rows),
						  size_of(config, kinds[i].columns)) ||
			!lm_size_multiply(&count, count, copies_of(config, &kinds[i])) ||
			!lm_size_add(total, *total, count))
			return false;
	}
	return lm_size_multiply(&bytes, *total, sizeof(float));
}

bool
lm_params_have_names(const LmConfig *config, LmError *error)
{
	for (int i = 0; i < LM_PARAM_KINDS; i++)
		if (exists(config, kinds[i].kind) && !lm_param_has_name(kinds[i].kind, config))
			return lm_fail(error, LM_ERR_ARGUMENT, -1, "a model of model_type %s has no %s%s",
						   lm_model_type_name((int) config->model_type), kinds[i].name,
						   kinds[i].kind == LM_UP_WEIGHT ? " without a gate" : "");
	return true;
}

/* rows x columns, rounded up so that the next parameter is aligned */
static bool
padded_count(size_t *count, size_t rows, size_t columns)
{
	if (!lm_size_multiply(count, rows, columns) || !lm_size_add(count, *count, ALIGN_FLOATS - 1))
		return false;
	*count -= *count % ALIGN_FLOATS;
	return true;
}

/* Appends those of the rows [first, last) of kinds that the configuration has. */
static bool
add_kinds(LmParamTable *table, int first, int last, int layer, LmError *error)
{
	for (int i = first; i < last; i++)
		if (exists_in(&table->config, kinds[i].kind, layer) &&
			!add_param(table, &kinds[i], layer, error))
			return false;
	return true;
}

/* Appends a row to the table: shape, names, initialisation, decay, and its place in the block. */
static bool
add_param(LmParamTable *table, const Kind *kind, int layer, LmError *error)
{
	LmParam *param = &table->params[table->n_params++];
	size_t padded, bytes;

	*param = (LmParam){.kind = kind->kind, .layer = layer, .vector = kind->vector};
	param->rows = size_of(&table->config, kind->rows);
	param->columns = size_of(&table->config, kind->columns);
	param->init =
		kind->init == LM_INIT_RESIDUAL && table->config.zero_init ? LM_INIT_ZERO : kind->init;
	param->decay =
		kind->decay || (kind->kind == LM_TOKEN_EMBEDDING && table->config.tie_embeddings);
	if (layer >= table->config.layers)
		snprintf(param->name, sizeof param->name, "encoder.%d.%s", layer - table->config.layers,
				 kind->name);
	else if (layer >= 0)
		snprintf(param->name, sizeof param->name, "block.%d.%s", layer, kind->name);
	else
		snprintf(param->name, sizeof param->name, "%s", kind->name);
	lm_param_set_names(param, &table->config);
	table->n_tensors += param->n_parts;
	param->offset = table->total;
	param->count = (size_t) param->rows * (size_t) param->columns;
	if (!padded_count(&padded, param->rows, param->columns) ||
		!lm_size_add(&table->total, table->total, padded) ||
		!lm_size_multiply(&bytes, table->total, sizeof(float)))
		return lm_fail(error, LM_ERR_LIMIT, -1, "the model's parameters exceed the address space");
	table->parameter_count += lm_param_of_ngrams(param) ? 0 : param->count;
	return true;
}

/* Whether a configuration has parameters of a kind; an adapter has its own and a head's only. */
static bool
exists(const LmConfig *config, LmParamKind kind)
{
	if (kind >= LM_LORA_ATTENTION_A && kind <= LM_LORA_DOWN_B)
		return config->lora_rank > 0 &&
			   (config->lora_targets >> (kind - LM_LORA_ATTENTION_A) / 2 & 1) != 0;
	if (config->lora_rank > 0 && !lm_kind_in_head(kind))
		return false;
	if (kind >= LM_CROSS_NORM_WEIGHT && kind <= LM_ENCODER_NORM_BIAS &&
		config->architecture != LM_ENCODER_DECODER)
		return false;
	switch (kind)
	{
		case LM_POSITION_EMBEDDING:
			return config->position == LM_LEARNED;
		case LM_HEAD_WEIGHT:
			return !config->tie_embeddings;
		case LM_QUERY_NORM_WEIGHT:
		case LM_KEY_NORM_WEIGHT:
		case LM_CROSS_QUERY_NORM_WEIGHT:
		case LM_CROSS_KEY_NORM_WEIGHT:
			return config->qk_norm;
		case LM_NORM1_BIAS:
		case LM_NORM2_BIAS:
		case LM_FINAL_NORM_BIAS:
		case LM_CROSS_NORM_BIAS:
		case LM_ENCODER_NORM_BIAS:
			return config->bias && config->norm == LM_LAYERNORM;
		case LM_POST_NORM1_WEIGHT:
		case LM_POST_NORM2_WEIGHT:
		case LM_CROSS_POST_NORM_WEIGHT:
			return config->post_norm;
		case LM_POST_NORM1_BIAS:
		case LM_POST_NORM2_BIAS:
		case LM_CROSS_POST_NORM_BIAS:
			return config->post_norm && config->bias && config->norm == LM_LAYERNORM;
		case LM_ATTENTION_BIAS:
		case LM_CROSS_QUERY_BIAS:
		case LM_CROSS_KEY_VALUE_BIAS:
			return lm_config_has_qkv_bias(config);
		case LM_CROSS_PROJECTION_BIAS:
		case LM_PROJECTION_BIAS:
		case LM_UP_BIAS:
		case LM_DOWN_BIAS:
			return config->bias;
		case LM_EMBEDDING_RUNS:
		case LM_EMBEDDING_HIDDEN:
			return config->embedding > 0;
		case LM_BAG_EMBEDDING:
		case LM_LABEL_WEIGHT:
		case LM_LABEL_BIAS:
			return config->labels > 0;
		case LM_NGRAM_TOKENS:
		case LM_NGRAM_ORDER:
		case LM_NGRAM_WEIGHTING:
			return config->ngram_tokens > 0;
		case LM_FEATURE_KEY:
		case LM_FEATURE_WEIGHT:
			return config->features > 0;
		default:
			return true;
	}
}

/* The same of one block: those of the encoder have no cross-attention. */
static bool
exists_in(const LmConfig *config, LmParamKind kind, int layer)
{
	return exists(config, kind) && !(lm_param_kind_is_cross(kind) && layer >= config->layers);
}

/* How many parameters are of a kind that exists. */
static size_t
copies_of(const LmConfig *config, const Kind *kind)
{
	if (!kind->in_block)
		return 1;
	return (size_t) (lm_param_kind_is_cross(kind->kind) ? config->layers
														: lm_config_blocks(config));
}

/* The number that a symbolic size stands for in a configuration; 1 for a vector's rows. */
static int
size_of(const LmConfig *config, Size size)
{
	switch (size)
	{
		case CHANNELS:
			return config->channels;
		case HEAD_SIZE:
			return lm_config_head_size(config);
		case QKV_CHANNELS:
			return lm_config_qkv_channels(config);
		case QUERY_CHANNELS:
			return lm_config_query_channels(config);
		case KEY_VALUE_CHANNELS:
			return 2 * lm_config_kv_channels(config);
		case UP_CHANNELS:
			return lm_config_up_channels(config);
		case MLP_CHANNELS:
			return config->mlp_channels;
		case VOCABULARY:
			return config->vocabulary;
		case CONTEXT:
			return config->context;
		case LABELS:
			return config->labels;
		case EMBEDDING:
			return config->embedding;
		case WIDE_RUNS:
			return LM_SEARCH_WIDE_RUNS;
		case FEATURES:
			return lm_label_features(config);
		case BAG_ROWS:
			return config->vocabulary + lm_bag_hashed(config->labels);
		case BAG_CHANNELS:
			return lm_bag_channels(config->labels);
		case RANK:
			return config->lora_rank;
		case NGRAM_TOKENS:
			return config->ngram_tokens;
		case NGRAM_WEIGHTS:
			return LM_NGRAM_WEIGHTS;
		case FEATURE_ROWS:
			return config->features;
		case KEY_COLUMNS:
			return LM_FEATURE_KEY_COLUMNS;
		default:
			return 1;
	}
}

int
lm_param_stack(int rows[LM_FILE_PARTS], const LmParam *param, const LmConfig *config)
{
	if (param->kind == LM_ATTENTION_WEIGHT)
	{
		rows[0] = lm_config_query_channels(config);
		rows[1] = rows[2] = lm_config_kv_channels(config);
		return 3;
	}
	if (param->kind == LM_CROSS_KEY_VALUE_WEIGHT)
	{
		rows[0] = rows[1] = lm_config_kv_channels(config);
		return 2;
	}
	if (param->kind == LM_UP_WEIGHT && lm_activation_is_gated(config->mlp))
	{
		rows[0] = rows[1] = config->mlp_channels;
		return 2;
	}
	rows[0] = param->rows;
	return 1;
}

/* The number of rows [first, last) of kinds that the configuration has. */
static int
count_kinds(const LmConfig *config, int first, int last)
{
	int n = 0;

	for (int i = first; i < last; i++)
		n += exists(config, kinds[i].kind);
	return n;
}

/* The number of parameters of a block. */
static int
count_in_block(const LmConfig *config, int layer)
{
	int n = 0;

	for (int i = FIRST_IN_BLOCK; i < FIRST_BEHIND; i++)
		n += exists_in(config, kinds[i].kind, layer);
	return n;
}

const LmParam *
lm_param_find(const LmParamTable *table, LmParamKind kind, int layer)
{
	const LmConfig *config = &table->config;
	int first = 0, last = table->n_params;

	if (layer >= 0)
	{
		/* Blocks of a stack are alike, so the search is over one of them. */
		int before = layer < config->layers ? layer : config->layers;

		if (layer >= lm_config_blocks(config))
			return NULL;
		first = count_kinds(config, FIRST_IN_FRONT, FIRST_IN_BLOCK) +
				before * count_in_block(config, 0) +
				(layer - before) * count_in_block(config, config->layers);
		last = first + count_in_block(config, layer);
	}
	for (int i = first; i < last; i++)
		if (table->params[i].kind == kind && table->params[i].layer == layer)
			return &table->params[i];
	return NULL;
}
