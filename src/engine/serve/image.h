/*
 * src/engine/serve/image.h
 *
 * The slices of an image, and the model that points into them.
 */
#ifndef LM_IMAGE_H
#define LM_IMAGE_H

#include "engine/feature_table.h"
#include "engine/model.h"
#include "engine/ngram.h"
#include "base/arena.h"

/* Cross-attention of a block; all NULL without. */
typedef struct LmImageCross
{
	const float *norm_weight;
	const float *norm_bias;
	const float *query_norm_weight; /* [head_size]; NULL: no qk_norm */
	const float *key_norm_weight;
	const float *post_norm_weight; /* NULL without post_norm */
	const float *post_norm_bias;
	LmLinear query;
	LmLinear key_value;
	LmLinear projection;
} LmImageCross;

/* The vectors and packed matrices of one block; they point into the image. */
typedef struct LmImageBlock
{
	const float *norm1_weight;
	const float *norm1_bias;
	const float *norm2_weight;
	const float *norm2_bias;
	const float *query_norm_weight; /* [head_size]; NULL: no qk_norm */
	const float *key_norm_weight;
	const float *post_norm1_weight; /* NULL, as the next three, without post_norm */
	const float *post_norm1_bias;
	const float *post_norm2_weight;
	const float *post_norm2_bias;
	LmLinear attention;
	LmLinear projection;
	LmLinear up;
	LmLinear down;
	LmImageCross cross;
} LmImageBlock;

/*
 * A and scale B' for each target, packed (lm_lora_infer), as bfloat16 beside an image of another
 * type than float32; NULL where the adapter has no such target.
 */
typedef struct LmAdapterBlock
{
	const void *a[LM_TARGETS];
	const void *b[LM_TARGETS];
} LmAdapterBlock;

/* A model: the pointers are into its image and its adapter. */
struct LmModel
{
	LmHost host;
	LmConfig config;
	const LmWeightType *type;
	const float *token_embedding; /* [V, C]; NULL: tied, read from the head's panels */
	const float *positions; /* [context, C], learned or sinusoidal; NULL: rotary */
	const float *rotary; /* [context, rotary_size], or NULL */
	const float *local_rotary; /* the same with rope_local_base; NULL without one */
	const float *encoder_norm_weight; /* NULL without an encoder */
	const float *encoder_norm_bias;
	const float *final_norm_weight;
	const float *final_norm_bias;
	LmLinear head;
	const float *bag_embedding; /* NULL, as the next two, where the model is not a classifier */
	const float *label_weight;
	const float *label_bias;
	const float *embedding_runs; /* NULL, as the next, without a trained embedding */
	const float *embedding_hidden;
	LmNgram ngram; /* n 0: the model has none */
	LmFeatureTable features; /* n 0: the model has none */
	LmImageBlock *blocks; /* [lm_config_blocks] */
	LmAdapterBlock *adapters; /* the same, or NULL */
};

/*
 * The model whose slices lie in an image of lm_image_size bytes, whatever is in it. LM_ERR_MEMORY;
 * freed by lm_model_close.
 */
LmModel *lm_model_lay_out(const LmHost *host, const void *image, const LmConfig *config,
						  const LmWeightType *type, LmError *error);

/* Slices for a classifier's linear part, in an image or in an adapter's block. */
LmFeatureTable lm_image_features(LmArena *arena, const LmConfig *config);

/* adapter.c: whether the adapters beside an image of a type have matrices of bfloat16. */
bool lm_adapter_is_short(const LmWeightType *type);

/* Writes the header of an image of size bytes. */
void lm_image_put_header(void *image, const LmConfig *config, const LmWeightType *type,
						 size_t size);

/* y [C] = the embedding of a token, plus that of its position unless positions are rotary. */
void lm_model_embed(float *y, const LmModel *model, int32_t token, int position);

#endif /* LM_IMAGE_H */
