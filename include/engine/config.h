/*
 * include/engine/config.h
 *
 * The model family: one decoder, composed from switches. A switch has a value here when the engine computes
 * it; further ones (swiglu, grouped keys ...) join their enumerations.
 */
#ifndef LM_CONFIG_H
#define LM_CONFIG_H

#include "engine/error.h"
#include "engine/ops.h"

typedef enum LmPosition
{
	LM_LEARNED,
	LM_SINUSOIDAL,
	LM_ROPE,
} LmPosition;

typedef struct LmConfig
{
	int vocabulary; /* unpadded */
	int context; /* tokens a window may have */
	int layers;
	int heads;
	int channels; /* a multiple of heads */
	int mlp_channels; /* 0 becomes 4 channels in lm_config_check */
	LmNorm norm;
	float norm_epsilon;
	LmPosition position;
	float rope_base; /* of LM_ROPE: 10,000 in the paper */
	bool qk_norm; /* queries and keys of each head are normalised (LmHeads) */
	LmActivation mlp;
	bool bias; /* in linear layers, and in norms of LM_LAYERNORM */
	bool zero_init; /* what a branch adds begins as nothing: its last matrix as zero */
	bool tie_embeddings; /* the head uses the token embedding */
	float dropout;
	int labels; /* classes that a classifier tells apart; 0: a language model */
	bool multi_label; /* a text may have several of them, or none: each has a probability of its own */
} LmConfig;

#define LM_MAX_LAYERS 512
#define LM_MAX_CHANNELS 65536
#define LM_MAX_CONTEXT 65536
#define LM_MAX_ROPE_BASE 1e9
#define LM_MAX_LABELS 10000

/* GPT-2's switches, sizes 0. */
LmConfig lm_config_default(void);

/* Fills in what is 0 by rule; LM_ERR_ARGUMENT or _LIMIT names the first field that is out of range. */
bool lm_config_check(LmConfig *config, LmError *error);

#endif /* LM_CONFIG_H */
