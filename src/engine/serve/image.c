/*
 * src/engine/serve/image.c
 *
 * An image: from a block of parameters to the layout that inference reads, and from an image to a
 * model.
 *
 *   | header | token embedding (untied only) | positions | per block: norms, biases, panels |
 *   final norm | head panels | | bag, label weight and bias (of a classifier) |
 *
 * Every slice begins at a multiple of 64 bytes. One walk over the configuration (lay_out) gives the
 * size of an image, the places to write to and the places to read from. With tied embeddings the
 * token embedding is read from the head's panels. Panels are of the image's type, all else is
 * float32.
 */
#include <string.h>

#include "engine/config_field.h"
#include "kernels/panels.h"
#include "serve/image.h"

#define IMAGE_MAGIC "gpt img6"

/*
 * Other processes map the file, so words have a fixed size. config_field.c gives the words of the
 * configuration; these are the others.
 */
enum
{
	WORD_PANEL = 13,
	WORD_TYPE = 18,
	WORD_GROUP = 19,
	WORDS = 64 /* with room for more */
};

typedef struct LmImageHeader
{
	char magic[8];
	uint64_t size;
	int32_t words[WORDS];
} LmImageHeader;

static void lay_out(LmModel *model, LmArena *arena);
static void lay_out_block(LmImageBlock *block, LmArena *arena, const LmConfig *config,
						  const LmWeightType *type);
static const float *vector(LmArena *arena, size_t count, bool exists);
static LmLinear linear(LmArena *arena, const LmWeightType *type, int n_in, int n_out,
					   const float *bias);
static LmImageHeader header_of(const LmConfig *config, const LmWeightType *type, size_t size);
static LmConfig config_of(const LmImageHeader *header);
static LmModel *create_model(const LmHost *host, const LmConfig *config, const LmWeightType *type,
							 LmError *error);
static void put_positions(LmModel *model, const float *block, const LmParamTable *table);
static void put_block(const LmModel *model, int layer, const float *block,
					  const LmParamTable *table);
static void put(const float *place, const float *block, const LmParamTable *table, LmParamKind kind,
				int layer);
static void pack(const LmLinear *linear, const float *block, const LmParamTable *table,
				 LmParamKind kind, int layer);

bool
lm_image_size(size_t *size, const LmConfig *config, const LmWeightType *type, LmError *error)
{
	LmModel model = {.config = *config, .type = type};
	LmArena arena = {0};
	size_t total;

	if (!lm_config_check(&model.config, error))
		return false;
	if (config->lora_rank > 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "an adapter has no image of its own");
	if (lm_param_total(&total, &model.config))
		lay_out(&model, &arena);
	else
		arena.overflow = true;
	if (arena.overflow)
		return lm_fail(error, LM_ERR_LIMIT, -1, "the model's image exceeds the address space");
	*size = arena.used;
	return true;
}

/* Slices of an image in arena.base; while counting, blocks may be NULL. */
static void
lay_out(LmModel *model, LmArena *arena)
{
	const LmConfig *config = &model->config;
	size_t C = (size_t) config->channels, V = (size_t) config->vocabulary,
		   bag = (size_t) lm_bag_channels(config->labels);

	lm_arena_take(arena, 1, sizeof(LmImageHeader));
	model->token_embedding = config->tie_embeddings ? NULL : lm_arena_floats(arena, V, C);
	model->positions =
		config->position == LM_ROPE ? NULL : lm_arena_floats(arena, (size_t) config->context, C);
	model->rotary = config->position == LM_ROPE ? lm_arena_floats(arena, (size_t) config->context,
																  C / (size_t) config->heads)
												: NULL;
	for (int layer = 0; layer < config->layers; layer++)
	{
		LmImageBlock block;

		lay_out_block(&block, arena, config, model->type);
		if (model->blocks)
			model->blocks[layer] = block;
	}
	model->final_norm_weight = vector(arena, C, true);
	model->final_norm_bias = vector(arena, C, config->bias && config->norm == LM_LAYERNORM);
	model->head = linear(arena, model->type, config->channels, config->vocabulary, NULL);
	model->bag_embedding =
		vector(arena, (V + (size_t) lm_bag_hashed(config->labels)) * bag, config->labels > 0);
	model->label_weight = vector(arena, (size_t) config->labels * (C + bag), config->labels > 0);
	model->label_bias = vector(arena, (size_t) config->labels, config->labels > 0);
}

/* Places the slices of one block, in the order in which a layer reads them. */
static void
lay_out_block(LmImageBlock *block, LmArena *arena, const LmConfig *config, const LmWeightType *type)
{
	int C = config->channels, M = config->mlp_channels;
	bool bias = config->bias, norm_bias = bias && config->norm == LM_LAYERNORM;
	size_t head_size = (size_t) (C / config->heads);

	block->norm1_weight = vector(arena, (size_t) C, true);
	block->norm1_bias = vector(arena, (size_t) C, norm_bias);
	block->norm2_weight = vector(arena, (size_t) C, true);
	block->norm2_bias = vector(arena, (size_t) C, norm_bias);
	block->query_norm_weight = vector(arena, head_size, config->qk_norm);
	block->key_norm_weight = vector(arena, head_size, config->qk_norm);
	block->attention = linear(arena, type, C, 3 * C, vector(arena, 3 * (size_t) C, bias));
	block->projection = linear(arena, type, C, C, vector(arena, (size_t) C, bias));
	block->up = linear(arena, type, C, M, vector(arena, (size_t) M, bias));
	block->down = linear(arena, type, M, C, vector(arena, (size_t) C, bias));
}

static const float *
vector(LmArena *arena, size_t count, bool exists)
{
	return exists ? lm_arena_floats(arena, 1, count) : NULL;
}

static LmLinear
linear(LmArena *arena, const LmWeightType *type, int n_in, int n_out, const float *bias)
{
	LmLinear linear = {.n_in = n_in, .n_out = n_out, .bias = bias, .type = type};
	size_t size;

	if (lm_linear_panels_size(&size, type, n_in, n_out))
		linear.panels = lm_arena_take(arena, 1, size);
	else
		arena->overflow = true;
	return linear;
}

bool
lm_image_build(void *image, const float *block, const LmParamTable *table, const LmWeightType *type,
			   const LmHost *host, LmError *error)
{
	const LmConfig *config = &table->config;
	LmImageHeader header;
	LmArena arena = {.base = image};
	LmModel *model;
	size_t size;
	bool stopped = false;

	if (!lm_image_size(&size, config, type, error))
		return false;
	model = create_model(host, config, type, error);
	if (!model)
		return false;
	lay_out(model, &arena);
	header = header_of(config, type, size);
	memcpy(image, &header, sizeof header);
	put_positions(model, block, table);
	for (int layer = 0; layer < config->layers && !stopped; layer++)
	{
		put_block(model, layer, block, table);
		stopped = host->should_stop && host->should_stop(host->context);
	}
	put(model->final_norm_weight, block, table, LM_FINAL_NORM_WEIGHT, -1);
	put(model->final_norm_bias, block, table, LM_FINAL_NORM_BIAS, -1);
	put(model->token_embedding, block, table, LM_TOKEN_EMBEDDING, -1);
	pack(&model->head, block, table, config->tie_embeddings ? LM_TOKEN_EMBEDDING : LM_HEAD_WEIGHT,
		 -1);
	put(model->bag_embedding, block, table, LM_BAG_EMBEDDING, -1);
	put(model->label_weight, block, table, LM_LABEL_WEIGHT, -1);
	put(model->label_bias, block, table, LM_LABEL_BIAS, -1);
	lm_model_close(model);
	return !stopped || lm_fail(error, LM_ERR_STOPPED, -1, "building the model's image was stopped");
}

/* Copies learned positions, or computes the sinusoids or the rotary table in their place. */
static void
put_positions(LmModel *model, const float *block, const LmParamTable *table)
{
	const LmConfig *config = &model->config;

	switch (config->position)
	{
		case LM_LEARNED:
			put(model->positions, block, table, LM_POSITION_EMBEDDING, -1);
			break;
		case LM_SINUSOIDAL:
			lm_sinusoid((float *) model->positions, config->context, config->channels);
			break;
		case LM_ROPE:
			lm_rotary((float *) model->rotary, config->context, config->channels / config->heads,
					  config->rope_base);
			break;
	}
}

/* Copies a block's vectors from the parameters and packs its matrices. */
static void
put_block(const LmModel *model, int layer, const float *block, const LmParamTable *table)
{
	const LmImageBlock *to = &model->blocks[layer];

	put(to->norm1_weight, block, table, LM_NORM1_WEIGHT, layer);
	put(to->norm1_bias, block, table, LM_NORM1_BIAS, layer);
	put(to->norm2_weight, block, table, LM_NORM2_WEIGHT, layer);
	put(to->norm2_bias, block, table, LM_NORM2_BIAS, layer);
	put(to->query_norm_weight, block, table, LM_QUERY_NORM_WEIGHT, layer);
	put(to->key_norm_weight, block, table, LM_KEY_NORM_WEIGHT, layer);
	put(to->attention.bias, block, table, LM_ATTENTION_BIAS, layer);
	put(to->projection.bias, block, table, LM_PROJECTION_BIAS, layer);
	put(to->up.bias, block, table, LM_UP_BIAS, layer);
	put(to->down.bias, block, table, LM_DOWN_BIAS, layer);
	pack(&to->attention, block, table, LM_ATTENTION_WEIGHT, layer);
	pack(&to->projection, block, table, LM_PROJECTION_WEIGHT, layer);
	pack(&to->up, block, table, LM_UP_WEIGHT, layer);
	pack(&to->down, block, table, LM_DOWN_WEIGHT, layer);
}

/*
 * Copies a parameter and clears the rest of its last 64 bytes, so that equal models have equal
 * images.
 */
static void
put(const float *place, const float *block, const LmParamTable *table, LmParamKind kind, int layer)
{
	const LmParam *param = lm_param_find(table, kind, layer);
	float *to = (float *) place;

	if (!place)
		return;
	memcpy(to, block + param->offset, param->count * sizeof(float));
	for (size_t i = param->count; i % 16 != 0; i++)
		to[i] = 0;
}

static void
pack(const LmLinear *linear, const float *block, const LmParamTable *table, LmParamKind kind,
	 int layer)
{
	lm_linear_pack((void *) linear->panels, linear->type,
				   block + lm_param_find(table, kind, layer)->offset, linear->n_in, linear->n_out);
}

LmModel *
lm_model_open(const LmHost *host, const void *image, size_t size, LmError *error)
{
	LmArena arena = {.base = (char *) image};
	LmImageHeader header;
	const LmWeightType *type;
	LmConfig config;
	LmModel *model;
	size_t wanted;

	if (size < sizeof header)
	{
		lm_fail(error, LM_ERR_FORMAT, 0, "the model's image is truncated");
		return NULL;
	}
	memcpy(&header, image, sizeof header);
	config = config_of(&header);
	if (memcmp(header.magic, IMAGE_MAGIC, 8) != 0 || header.words[WORD_PANEL] != LM_PANEL ||
		header.words[WORD_GROUP] != LM_GROUP)
	{
		lm_fail(error, LM_ERR_FORMAT, 0, "the model's image has another format");
		return NULL;
	}
	type = lm_weight_type(header.words[WORD_TYPE]);
	if (!type)
	{
		lm_fail(error, LM_ERR_FORMAT, -1, "image type %d is not known",
				(int) header.words[WORD_TYPE]);
		return NULL;
	}
	if (!lm_image_size(&wanted, &config, type, error))
		return NULL;
	if (header.size != wanted || size < wanted)
	{
		lm_fail(error, LM_ERR_FORMAT, (int64_t) size,
				"the model's image has %zu bytes, %zu are needed", size, wanted);
		return NULL;
	}
	model = create_model(host, &config, type, error);
	if (model)
		lay_out(model, &arena);
	return model;
}

/* Allocates a model with its blocks; the caller lays them out. */
static LmModel *
create_model(const LmHost *host, const LmConfig *config, const LmWeightType *type, LmError *error)
{
	LmModel *model =
		lm_allocate(host, sizeof *model + (size_t) config->layers * sizeof(LmImageBlock));

	if (!model)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for a model");
		return NULL;
	}
	model->host = *host;
	model->config = *config;
	model->type = type;
	model->blocks = (LmImageBlock *) (model + 1);
	return model;
}

void
lm_model_close(LmModel *model)
{
	LmHost host;

	if (!model)
		return;
	host = model->host;
	lm_free(&host, model);
}

const LmConfig *
lm_model_config(const LmModel *model)
{
	return &model->config;
}

const LmWeightType *
lm_model_weight_type(const LmModel *model)
{
	return model->type;
}

void
lm_model_embed(float *y, const LmModel *model, int32_t token, int position)
{
	int C = model->config.channels;
	const float *wpe = model->positions ? model->positions + (size_t) position * C : NULL;

	if (model->token_embedding)
		memcpy(y, model->token_embedding + (size_t) token * C, (size_t) C * sizeof *y);
	else
		lm_linear_weights(y, &model->head, token);
	for (int i = 0; wpe && i < C; i++)
		y[i] += wpe[i];
}

/* The header of an image: all fields that the table of fields gives a word in it. */
static LmImageHeader
header_of(const LmConfig *config, const LmWeightType *type, size_t size)
{
	LmImageHeader header = {.size = size};
	const LmConfigField *field;

	memcpy(header.magic, IMAGE_MAGIC, 8);
	header.words[WORD_PANEL] = LM_PANEL;
	header.words[WORD_TYPE] = type->number;
	header.words[WORD_GROUP] = LM_GROUP;
	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		double value = lm_config_get(config, field);
		float real = (float) value;

		if (field->image_word == LM_NOT_IN_IMAGE)
			continue;
		if (field->type == LM_FIELD_REAL)
			memcpy(&header.words[field->image_word], &real, sizeof real);
		else
			header.words[field->image_word] = (int32_t) value;
	}
	return header;
}

/* The inverse of header_of; fields without a word in the image have their default. */
static LmConfig
config_of(const LmImageHeader *header)
{
	LmConfig config = lm_config_default();
	const LmConfigField *field;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		float real;

		if (field->image_word == LM_NOT_IN_IMAGE)
			continue;
		memcpy(&real, &header->words[field->image_word], sizeof real);
		lm_config_set(&config, field,
					  field->type == LM_FIELD_REAL ? (double) real
												   : (double) header->words[field->image_word]);
	}
	return config;
}
