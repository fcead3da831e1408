/*
 * src/engine/serve/image.c
 *
 * An image: the layout that inference reads, and a model over it. image_writer.c fills it.
 *
 *   | header | token embedding (untied only) | positions | per block: norms, biases, panels |
 *   the encoder's final norm | final norm | head panels | | bag, label weight and bias (of a
 *   classifier) | tokens, order, weights of n-grams | keys and weights of its features |
 *
 * Every slice begins at a multiple of 64 bytes. One walk over the configuration (lay_out) gives the
 * size of an image, the places to write to and the places to read from. With tied embeddings the
 * token embedding is read from the head's panels. Panels are of the image's type, all else is
 * float32.
 */
#include <string.h>

#include "engine/config_field.h"
#include "engine/search.h"
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
	WORDS = 76 /* with room for more; the header fills whole 64 bytes */
};

typedef struct LmImageHeader
{
	char magic[8];
	uint64_t size;
	int32_t words[WORDS];
} LmImageHeader;

static void lay_out(LmModel *model, LmArena *arena);
static void lay_out_ngram(LmNgram *ngram, LmArena *arena, int n);
static void lay_out_block(LmImageBlock *block, LmArena *arena, const LmConfig *config,
						  const LmWeightType *type);
static LmImageCross lay_out_cross(LmArena *arena, const LmConfig *config, const LmWeightType *type);
static const float *vector(LmArena *arena, size_t count, bool exists);
static LmLinear linear(LmArena *arena, const LmWeightType *type, int n_in, int n_out,
					   const float *bias);
static LmConfig config_of(const LmImageHeader *header);
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
		   T = (size_t) config->context, bag = (size_t) lm_bag_channels(config->labels);
	size_t rotary = T * (size_t) lm_config_rotary_size(config);
	bool rope = config->position == LM_ROPE;

	lm_arena_take(arena, 1, sizeof(LmImageHeader));
	model->token_embedding = config->tie_embeddings ? NULL : lm_arena_floats(arena, V, C);
	model->positions = vector(arena, T * C, !rope);
	model->rotary = vector(arena, rotary, rope);
	model->local_rotary = vector(arena, rotary, rope && config->rope_local_base > 0);
	for (int layer = 0; layer < lm_config_blocks(config); layer++)
	{
		LmImageBlock block;

		lay_out_block(&block, arena, config, model->type);
		block.cross = (LmImageCross){0};
		if (config->architecture == LM_ENCODER_DECODER && !lm_config_in_encoder(config, layer))
			block.cross = lay_out_cross(arena, config, model->type);
		if (model->blocks)
			model->blocks[layer] = block;
	}
	model->encoder_norm_weight = vector(arena, C, config->encoder_layers > 0);
	model->encoder_norm_bias = vector(
		arena, C, config->encoder_layers > 0 && config->bias && config->norm == LM_LAYERNORM);
	model->final_norm_weight = vector(arena, C, true);
	model->final_norm_bias = vector(arena, C, config->bias && config->norm == LM_LAYERNORM);
	model->head = linear(arena, model->type, config->channels, config->vocabulary, NULL);
	model->bag_embedding =
		vector(arena, (V + (size_t) lm_bag_hashed(config->labels)) * bag, config->labels > 0);
	model->label_weight = vector(
		arena, (size_t) config->labels * (size_t) lm_label_features(config), config->labels > 0);
	model->label_bias = vector(arena, (size_t) config->labels, config->labels > 0);
	model->embedding_runs =
		vector(arena, (size_t) config->embedding * LM_SEARCH_WIDE_RUNS, config->embedding > 0);
	model->embedding_hidden = vector(arena, (size_t) config->embedding * C, config->embedding > 0);
	lay_out_ngram(&model->ngram, arena, config->ngram_tokens);
	model->features = lm_image_features(arena, config);
}

static void
lay_out_ngram(LmNgram *ngram, LmArena *arena, int n)
{
	ngram->n = n;
	ngram->tokens = vector(arena, (size_t) n, n > 0);
	ngram->order = vector(arena, (size_t) n, n > 0);
	ngram->weights = vector(arena, LM_NGRAM_WEIGHTS, n > 0);
}

LmFeatureTable
lm_image_features(LmArena *arena, const LmConfig *config)
{
	size_t n = (size_t) config->features;

	if (n == 0)
		return (LmFeatureTable){0};
	return (LmFeatureTable){.keys = lm_arena_floats(arena, n, LM_FEATURE_KEY_COLUMNS),
							.weights = lm_arena_floats(arena, n, (size_t) config->labels),
							.n = config->features,
							.labels = config->labels};
}

/* Places the slices of one block, in the order in which a layer reads them. */
static void
lay_out_block(LmImageBlock *block, LmArena *arena, const LmConfig *config, const LmWeightType *type)
{
	int C = config->channels, A = lm_config_query_channels(config),
		qkv = lm_config_qkv_channels(config), M = config->mlp_channels,
		up = lm_config_up_channels(config);
	bool bias = config->bias, norm_bias = bias && config->norm == LM_LAYERNORM,
		 post_norm = config->post_norm;
	size_t head_size = (size_t) lm_config_head_size(config);

	block->norm1_weight = vector(arena, (size_t) C, true);
	block->norm1_bias = vector(arena, (size_t) C, norm_bias);
	block->norm2_weight = vector(arena, (size_t) C, true);
	block->norm2_bias = vector(arena, (size_t) C, norm_bias);
	block->query_norm_weight = vector(arena, head_size, config->qk_norm);
	block->key_norm_weight = vector(arena, head_size, config->qk_norm);
	block->post_norm1_weight = vector(arena, (size_t) C, post_norm);
	block->post_norm1_bias = vector(arena, (size_t) C, post_norm && norm_bias);
	block->post_norm2_weight = vector(arena, (size_t) C, post_norm);
	block->post_norm2_bias = vector(arena, (size_t) C, post_norm && norm_bias);
	block->attention =
		linear(arena, type, C, qkv, vector(arena, (size_t) qkv, lm_config_has_qkv_bias(config)));
	block->projection = linear(arena, type, A, C, vector(arena, (size_t) C, bias));
	block->up = linear(arena, type, C, up, vector(arena, (size_t) up, bias));
	block->down = linear(arena, type, M, C, vector(arena, (size_t) C, bias));
}

static LmImageCross
lay_out_cross(LmArena *arena, const LmConfig *config, const LmWeightType *type)
{
	int C = config->channels, A = lm_config_query_channels(config),
		kv = 2 * lm_config_kv_channels(config);
	bool norm_bias = config->bias && config->norm == LM_LAYERNORM,
		 qkv_bias = lm_config_has_qkv_bias(config);
	size_t head_size = (size_t) lm_config_head_size(config);
	LmImageCross cross;

	cross.norm_weight = vector(arena, (size_t) C, true);
	cross.norm_bias = vector(arena, (size_t) C, norm_bias);
	cross.query_norm_weight = vector(arena, head_size, config->qk_norm);
	cross.key_norm_weight = vector(arena, head_size, config->qk_norm);
	cross.post_norm_weight = vector(arena, (size_t) C, config->post_norm);
	cross.post_norm_bias = vector(arena, (size_t) C, config->post_norm && norm_bias);
	cross.query = linear(arena, type, C, A, vector(arena, (size_t) A, qkv_bias));
	cross.key_value = linear(arena, type, C, kv, vector(arena, (size_t) kv, qkv_bias));
	cross.projection = linear(arena, type, A, C, vector(arena, (size_t) C, config->bias));
	return cross;
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

LmModel *
lm_model_open(const LmHost *host, const void *image, size_t size, LmError *error)
{
	LmImageHeader header;
	const LmWeightType *type;
	LmConfig config;
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
	return lm_model_lay_out(host, image, &config, type, error);
}

LmModel *
lm_model_lay_out(const LmHost *host, const void *image, const LmConfig *config,
				 const LmWeightType *type, LmError *error)
{
	LmArena arena = {.base = (char *) image};
	LmModel *model =
		lm_allocate(host, sizeof *model + (size_t) lm_config_blocks(config) * sizeof(LmImageBlock));

	if (!model)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for a model");
		return NULL;
	}
	model->host = *host;
	model->config = *config;
	model->type = type;
	model->blocks = (LmImageBlock *) (model + 1);
	lay_out(model, &arena);
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
	float scale = model->config.embedding_scale;
	const float *wpe = model->positions ? model->positions + (size_t) position * C : NULL;

	if (model->token_embedding)
		memcpy(y, model->token_embedding + (size_t) token * C, (size_t) C * sizeof *y);
	else
		lm_linear_weights(y, &model->head, token);
	for (int i = 0; scale != 1 && i < C; i++)
		y[i] *= scale;
	for (int i = 0; wpe && i < C; i++)
		y[i] += wpe[i];
}

/* All fields that the table of fields gives a word in it. */
void
lm_image_put_header(void *image, const LmConfig *config, const LmWeightType *type, size_t size)
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
	memcpy(image, &header, sizeof header);
}

/* The inverse of lm_image_put_header; fields without a word in the image have their default. */
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
