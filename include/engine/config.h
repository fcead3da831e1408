/*
 * include/engine/config.h
 *
 * The model family: one decoder, composed from switches. A switch has a value here when the engine
 * computes it; further ones (swiglu, grouped keys ...) join their enumerations.
 */
#ifndef LM_CONFIG_H
#define LM_CONFIG_H

#include "engine/error.h"
#include "engine/ops.h"

/* How a model knows the positions of tokens. */
typedef enum LmPosition
{
	LM_LEARNED,
	LM_SINUSOIDAL,
	LM_ROPE,
} LmPosition;

/*
 * The names of norms, positions, activations and targets of adapters, as options and JSON spell
 * them; NULL for a number that is none. Static strings.
 */
const char *lm_norm_name(int norm);
const char *lm_position_name(int position);
const char *lm_activation_name(int activation);
const char *lm_target_name(int target);

/*
 * The linear layers of a block that an adapter can add to: bits of LmConfig.lora_targets, in this
 * order.
 */
typedef enum LmTarget
{
	LM_TARGET_ATTENTION,
	LM_TARGET_PROJECTION,
	LM_TARGET_UP,
	LM_TARGET_DOWN,
	LM_TARGETS
} LmTarget;

#define LM_ALL_TARGETS ((1 << LM_TARGETS) - 1)

/* The configuration of a model. lm_config_check has the ranges of its fields. */
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
	bool zero_init; /* residual branches initialised to zero: the last matrix of each is 0 */
	bool tie_embeddings; /* the head uses the token embedding */
	float dropout;
	int labels; /* classes that a classifier tells apart; 0: a language model */
	/* a text may have several of them, or none: each has a probability of its own */
	bool multi_label;
	/*
	 * An adapter (Hu et al. 2021, "LoRA: Low-rank adaptation of large language models"): y += alpha
	 * / rank B A x in the target layers of a base that stays as it is. lm_config_base is the
	 * configuration of that base.
	 */
	int lora_rank; /* 0: no adapter, and the next three are 0 too */
	float lora_alpha; /* 0 becomes 2 rank in lm_config_check */
	int lora_targets; /* bits 1 << LmTarget; 0 becomes all in lm_config_check */
	float lora_dropout; /* of the input of A, in training */
} LmConfig;

#define LM_MAX_LAYERS 512
#define LM_MAX_CHANNELS 65536
#define LM_MAX_CONTEXT 65536
#define LM_MAX_ROPE_BASE 1e9
#define LM_MAX_LABELS 10000
#define LM_MAX_LORA_RANK 1024
#define LM_MAX_LORA_ALPHA 1e6f

/* GPT-2's switches; sizes are 0 and the caller's to set. */
LmConfig lm_config_default(void);

/*
 * Fills in the fields that have a rule for 0 and checks all. LM_ERR_ARGUMENT or LM_ERR_LIMIT with
 * the first field that is out of range.
 */
bool lm_config_check(LmConfig *config, LmError *error);

/*
 * The configuration of the base that an adapter needs: the same without adapter and without labels,
 * because a classifier's head belongs to the adapter.
 */
LmConfig lm_config_base(const LmConfig *config);

/*
 * Whether two configurations have blocks, embeddings and head of the same shape and arithmetic, so
 * that an adapter of one fits the other.
 */
bool lm_config_same_base(const LmConfig *a, const LmConfig *b);

/* The factor of an adapter's product: alpha / rank. */
float lm_config_lora_scale(const LmConfig *config);

#endif /* LM_CONFIG_H */
