/*
 * include/engine/config.h
 *
 * The model family: one decoder, and an encoder before it where asked for, composed from switches.
 * The architectures of other projects are points in that space.
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
 * Which rows attention sees. The prefix of a window is its prompt: the rows whose predictions do
 * not count; of a text that is classified, the whole text.
 */
typedef enum LmArchitecture
{
	LM_DECODER, /* each row sees those before it */
	/* rows of the prefix see the whole prefix (Raffel et al. 2020, "T5", section 3.2.1) */
	LM_PREFIX,
	/*
	 * the prefix goes through encoder blocks; the other rows through decoder blocks, whose
	 * cross-attention sees the encoder's output (Vaswani et al. 2017, section 3.1)
	 */
	LM_ENCODER_DECODER,
} LmArchitecture;

/*
 * The architecture whose names of tensors a model's file has, by Hugging Face's `model_type`. The
 * arithmetic follows from the switches alone.
 */
typedef enum LmModelType
{
	LM_GPT, /* GPT-2's names, for any combination of switches */
	LM_GPT_NEO,
	LM_GPT_NEOX,
	LM_LLAMA,
	LM_MISTRAL,
	LM_QWEN2,
	LM_QWEN3,
	LM_SMOLLM3,
	LM_GEMMA2,
	LM_GEMMA3,
} LmModelType;

/* Which linear layers of queries, keys and values have a bias. */
typedef enum LmQkvBias
{
	LM_QKV_AS_OTHERS, /* as `bias` says for all linear layers */
	LM_QKV_BIAS, /* they alone have one: Qwen 2 */
	LM_QKV_NO_BIAS, /* they alone have none: GPT-Neo */
} LmQkvBias;

/*
 * The names of norms, positions, activations and targets of adapters, as options and JSON spell
 * them; NULL for a number that is none. Static strings.
 */
const char *lm_architecture_name(int architecture);
const char *lm_model_type_name(int model_type);
const char *lm_qkv_bias_name(int qkv_bias);
const char *lm_rope_style_name(int rope_style);
const char *lm_rope_scaling_name(int rope_scaling);
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
	int layers; /* blocks of the decoder */
	int heads;
	int channels; /* a multiple of heads where head_size is 0 */
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
	 * regression: labels is 1, and its logit z gives the number number_mean + number_scale z, with
	 * the mean and the standard deviation of the numbers of the first training
	 */
	bool number;
	float number_mean;
	float number_scale;
	bool pair; /* the head judges two texts together */
	/* numbers of a trained embedding (model/contrastive.h); 0: there is none */
	int embedding;
	LmModelType model_type;
	int kv_heads; /* keys and values, each shared by heads / kv_heads queries; 0: heads */
	int head_size; /* 0: channels / heads */
	LmQkvBias qkv_bias;
	LmRopeStyle rope_style;
	LmRopeScaling rope_scaling;
	float rope_factor; /* of all scalings: the new context per rope_context */
	/*
	 * Of llama3 low_freq_factor and high_freq_factor, of yarn beta_slow and beta_fast: between how
	 * many turns within rope_context the passage lies.
	 */
	float rope_low;
	float rope_high;
	int rope_context; /* of pre-training, before scaling */
	float rope_attention; /* of yarn: the factor of cosines and sines; 0: 0.1 ln(factor) + 1 */
	float rope_local_base; /* of layers with a window, unscaled; 0: they rotate as the others */
	int rotary_size; /* the first elements of each head, which are rotated; 0: all */
	int nope_period; /* layers p - 1, 2 p - 1, ... know no positions; 0: all do (SmolLM3) */
	int window; /* tokens that attention sees, its own included; 0: all (Beltagy et al. 2020) */
	/* layers with number modulo window_period = window_full see all; period 0: none of them */
	int window_period;
	int window_full;
	bool parallel_residual; /* attention and MLP both read the block's input (GPT-NeoX) */
	bool post_norm; /* the output of each branch is normalised too (Gemma 2) */
	float embedding_scale; /* factor of token embeddings; 1, or Gemma's sqrt(channels) */
	float attention_scale; /* of scores; 0: 1 / sqrt(head_size) */
	float attention_softcap; /* c: scores become c tanh(score / c) (Gemma 2); 0: none */
	float logit_softcap; /* the same of logits */
	int ngram_tokens; /* of training text that the model keeps (engine/ngram.h); 0: no n-grams */
	LmArchitecture architecture;
	int encoder_layers; /* blocks of the encoder; above 0 with LM_ENCODER_DECODER alone */
	/*
	 * An adapter (Hu et al. 2021, "LoRA: Low-rank adaptation of large language models"): y += alpha
	 * / rank B A x in the target layers of a base that stays as it is. lm_config_base is the
	 * configuration of that base.
	 */
	int lora_rank; /* 0: no adapter, and the next three are 0 too */
	float lora_alpha; /* 0 becomes 2 rank in lm_config_check */
	int lora_targets; /* bits 1 << LmTarget; 0 becomes all in lm_config_check */
	float lora_dropout; /* of the input of A, in training */
	int features; /* of a classifier's linear part (engine/feature_table.h); 0: it has none */
} LmConfig;

#define LM_MAX_LAYERS 512
#define LM_MAX_CHANNELS 65536
#define LM_MAX_HEAD_SIZE 1024
#define LM_MAX_CONTEXT 262144
#define LM_MAX_ROPE_BASE 1e9
#define LM_MAX_LABELS 10000
#define LM_MAX_FEATURE_ROWS (1 << 24)
#define LM_MAX_EMBEDDING 4096
#define LM_MAX_LORA_RANK 1024
#define LM_MAX_LORA_ALPHA 1e6f

/* GPT-2's switches; sizes are 0 and the caller's to set. */
LmConfig lm_config_default(void);

/*
 * Fills in the fields that have a rule for 0 and checks all. LM_ERR_ARGUMENT or LM_ERR_LIMIT with
 * the first field that is out of range.
 */
bool lm_config_check(LmConfig *config, LmError *error);

/* ---- What follows from the fields of a checked configuration ------------ */

/*
 * Blocks of the decoder and, after them, of the encoder: block layers + e is the encoder's block e.
 * "Layer" of a parameter and of a random stream is this number.
 */
static inline int
lm_config_blocks(const LmConfig *config)
{
	return config->layers + config->encoder_layers;
}

/* Whether a block is one of the encoder, and its number in its own stack. */
static inline bool
lm_config_in_encoder(const LmConfig *config, int block)
{
	return block >= config->layers;
}

static inline int
lm_config_layer(const LmConfig *config, int block)
{
	return lm_config_in_encoder(config, block) ? block - config->layers : block;
}

/* Elements of a head. */
static inline int
lm_config_head_size(const LmConfig *config)
{
	return config->head_size > 0 ? config->head_size : config->channels / config->heads;
}

/* Heads of keys and values. */
static inline int
lm_config_kv_heads(const LmConfig *config)
{
	return config->kv_heads > 0 ? config->kv_heads : config->heads;
}

/* Channels of all queries (and of attention's output), and of all keys (or values). */
static inline int
lm_config_query_channels(const LmConfig *config)
{
	return config->heads * lm_config_head_size(config);
}

static inline int
lm_config_kv_channels(const LmConfig *config)
{
	return lm_config_kv_heads(config) * lm_config_head_size(config);
}

/* Channels of a row of queries, keys and values. */
static inline int
lm_config_qkv_channels(const LmConfig *config)
{
	return lm_config_query_channels(config) + 2 * lm_config_kv_channels(config);
}

/* Elements of a head that are rotated. */
static inline int
lm_config_rotary_size(const LmConfig *config)
{
	return config->rotary_size > 0 ? config->rotary_size : lm_config_head_size(config);
}

/* Whether the MLP multiplies its activation by a second product (Shazeer 2020, "GLU variants"). */
static inline bool
lm_activation_is_gated(LmActivation activation)
{
	return activation == LM_SWIGLU || activation == LM_GEGLU;
}

/* Rows of the MLP's first matrix: a gated one has the gate's, then the others. */
static inline int
lm_config_up_channels(const LmConfig *config)
{
	return lm_activation_is_gated(config->mlp) ? 2 * config->mlp_channels : config->mlp_channels;
}

/* Whether queries, keys and values have biases. */
static inline bool
lm_config_has_qkv_bias(const LmConfig *config)
{
	return config->qkv_bias == LM_QKV_AS_OTHERS ? config->bias : config->qkv_bias == LM_QKV_BIAS;
}

/* Tokens that attention sees in a layer; 0: all. */
static inline int
lm_config_window(const LmConfig *config, int layer)
{
	bool full = config->window_period > 0 && layer % config->window_period == config->window_full;

	return full ? 0 : config->window;
}

/* Whether a block's self-attention rotates queries and keys; cross-attention never does. */
static inline bool
lm_config_rotates(const LmConfig *config, int block)
{
	return config->position == LM_ROPE &&
		   (config->nope_period == 0 ||
			(lm_config_layer(config, block) + 1) % config->nope_period != 0);
}

/* Whether a layer rotates by rope_local_base. */
static inline bool
lm_config_is_local(const LmConfig *config, int layer)
{
	return config->rope_local_base > 0 && lm_config_window(config, layer) > 0;
}

/*
 * The architecture of Transformers that computes exactly what a model of the type LM_GPT with these
 * switches does: LM_QWEN3 or LM_LLAMA; LM_GPT where there is none, or it is GPT-2.
 */
LmModelType lm_config_model_type(const LmConfig *config);

/* The factor of attention's scores. */
float lm_config_attention_scale(const LmConfig *config);

/* The attention of a layer. */
LmAttentionShape lm_config_attention(const LmConfig *config, int layer);

/* The sizes of heads and of their rotation; weights and table are the caller's to set. */
LmHeads lm_config_heads(const LmConfig *config);

/*
 * The rotation of the layers that rotate; local: of those with rope_local_base, which have a table
 * of their own.
 */
LmRotation lm_config_rotation(const LmConfig *config, bool local);

/*
 * The configuration of the base that an adapter needs: the same without adapter, and without what
 * stands beside the network: labels, because a classifier's head belongs to the adapter, and
 * n-grams.
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
