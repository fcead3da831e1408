/*
 * src/engine/serve/image.h
 *
 * Where the slices of an image lie, and the model that points into them.
 */
#ifndef LM_IMAGE_H
#define LM_IMAGE_H

#include "engine/model.h"
#include "model/arena.h"

typedef struct LmImageBlock
{
	const float *norm1_weight;
	const float *norm1_bias;
	const float *norm2_weight;
	const float *norm2_bias;
	const float *query_norm_weight; /* [head_size]; NULL: no qk_norm */
	const float *key_norm_weight;
	LmLinear attention;
	LmLinear projection;
	LmLinear up;
	LmLinear down;
} LmImageBlock;

struct LmModel
{
	LmHost host;
	LmConfig config;
	LmImageType type;
	const float *token_embedding; /* [V, C]; NULL: tied, read from the head's panels */
	const float *positions; /* [context, C], learned or sinusoidal; NULL: rotary */
	const float *rotary; /* [context, head_size], or NULL */
	const float *final_norm_weight;
	const float *final_norm_bias;
	LmLinear head;
	const float *bag_embedding; /* NULL, as the next two, where the model is no classifier */
	const float *label_weight;
	const float *label_bias;
	LmImageBlock *blocks; /* [L] */
};

/* y [C] = embedding of a token at a position */
void lm_model_embed(float *y, const LmModel *model, int32_t token, int position);

#endif /* LM_IMAGE_H */
