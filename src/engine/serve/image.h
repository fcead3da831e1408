/*
 * src/engine/serve/image.h
 *
 * Where the slices of an image lie, and the model that points into them.
 */
#ifndef LM_IMAGE_H
#define LM_IMAGE_H

#include "engine/model.h"
#include "base/arena.h"

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

/* Panels of A and of scale B; without panels where the layer is no target. */
typedef struct LmAdapterBlock
{
	LmLinear a[LM_TARGETS];
	LmLinear b[LM_TARGETS];
} LmAdapterBlock;

struct LmModel
{
	LmHost host;
	LmConfig config;
	const LmWeightType *type;
	const float *token_embedding; /* [V, C]; NULL: tied, read from the head's panels */
	const float *positions; /* [context, C], learned or sinusoidal; NULL: rotary */
	const float *rotary; /* [context, head_size], or NULL */
	const float *final_norm_weight;
	const float *final_norm_bias;
	LmLinear head;
	const float *bag_embedding; /* NULL, as the next two, where the model is not a classifier */
	const float *label_weight;
	const float *label_bias;
	LmImageBlock *blocks; /* [L] */
	LmAdapterBlock *adapters; /* [L], or NULL */
};

/* y [C] = embedding of a token at a position */
void lm_model_embed(float *y, const LmModel *model, int32_t token, int position);

/*
 * y [n_rows, n_out] += what the model's adapter, if it has one, adds to that layer for x [n_rows,
 * n_in]. Scratch: h [n_rows, rank], sum [n_rows, n_out].
 */
void lm_adapter_add(LmEngine *engine, float *y, const float *x, const LmModel *model,
					LmTarget target, int layer, int n_rows, float *h, float *sum);

#endif /* LM_IMAGE_H */
