/*
 * src/engine/model/config.c
 *
 * Whether the values of a configuration fit together, and the configuration of its base.
 */
#include <math.h>

#include "base/names.h"
#include "engine/config_field.h"
#include "engine/ngram.h"
#include "engine/tokenizer.h"

static bool check_heads(LmConfig *config, LmError *error);
static bool check_rotation(LmConfig *config, LmError *error);
static bool check_windows(const LmConfig *config, LmError *error);
static bool check_architecture(const LmConfig *config, LmError *error);
static bool check_words(const LmConfig *config, LmError *error);
static bool check_lora(LmConfig *config, LmError *error);
static bool check_real(LmError *error, const char *field, float value, float lowest, float highest);
static bool check_range(LmError *error, const char *field, int value, int lowest, int highest);

LM_NAMES(lm_norm_name, [LM_LAYERNORM] = "layernorm", [LM_RMSNORM] = "rmsnorm");
LM_NAMES(
	lm_position_name, [LM_LEARNED] = "learned", [LM_SINUSOIDAL] = "sinusoidal", [LM_ROPE] = "rope");
LM_NAMES(lm_activation_name, [LM_GELU] = "gelu", [LM_GELU_TANH] = "gelu_tanh", [LM_RELU2] = "relu2",
		 [LM_SWIGLU] = "swiglu", [LM_GEGLU] = "geglu");
LM_NAMES(lm_architecture_name, [LM_DECODER] = "decoder", [LM_PREFIX] = "prefix",
		 [LM_ENCODER_DECODER] = "encoder_decoder");
LM_NAMES(lm_model_type_name, [LM_GPT] = "gpt", [LM_GPT_NEO] = "gpt_neo", [LM_GPT_NEOX] = "gpt_neox",
		 [LM_LLAMA] = "llama", [LM_MISTRAL] = "mistral", [LM_QWEN2] = "qwen2", [LM_QWEN3] = "qwen3",
		 [LM_SMOLLM3] = "smollm3", [LM_GEMMA2] = "gemma2", [LM_GEMMA3] = "gemma3_text");
LM_NAMES(lm_qkv_bias_name, [LM_QKV_AS_OTHERS] = "as_others", [LM_QKV_BIAS] = "yes",
		 [LM_QKV_NO_BIAS] = "no");
LM_NAMES(lm_rope_style_name, [LM_ROPE_HALF] = "half", [LM_ROPE_INTERLEAVED] = "interleaved");
LM_NAMES(lm_rope_scaling_name, [LM_ROPE_UNSCALED] = "none", [LM_ROPE_LINEAR] = "linear",
		 [LM_ROPE_LLAMA3] = "llama3", [LM_ROPE_YARN] = "yarn");
LM_NAMES(lm_target_name, [LM_TARGET_ATTENTION] = "attention", [LM_TARGET_PROJECTION] = "projection",
		 [LM_TARGET_UP] = "up", [LM_TARGET_DOWN] = "down");

bool
lm_config_check(LmConfig *config, LmError *error)
{
	if (!check_range(error, "vocabulary", config->vocabulary, 1, LM_MAX_VOCABULARY) ||
		!check_range(error, "context", config->context, 1, LM_MAX_CONTEXT) ||
		!check_range(error, "layers", config->layers, 1, LM_MAX_LAYERS) ||
		!check_range(error, "channels", config->channels, 1, LM_MAX_CHANNELS) ||
		!check_range(error, "heads", config->heads, 1, config->channels))
		return false;
	if (!check_heads(config, error))
		return false;
	if (config->mlp_channels == 0)
		config->mlp_channels = 4 * config->channels;
	if (!check_range(error, "mlp_channels", config->mlp_channels, 1, 4 * LM_MAX_CHANNELS))
		return false;
	if (!check_words(config, error))
		return false;
	if (!(config->norm_epsilon > 0 && config->norm_epsilon <= 1))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "norm_epsilon %g is outside 0 .. 1",
					   config->norm_epsilon);
	if (!check_rotation(config, error) || !check_windows(config, error) ||
		!check_real(error, "embedding_scale", config->embedding_scale, 1e-6f, 1e6f) ||
		!check_real(error, "attention_scale", config->attention_scale, 0, 1e6f) ||
		!check_real(error, "attention_softcap", config->attention_softcap, 0, 1e6f) ||
		!check_real(error, "logit_softcap", config->logit_softcap, 0, 1e6f))
		return false;
	if (!check_range(error, "labels", config->labels, 0, LM_MAX_LABELS) ||
		!check_range(error, "embedding", config->embedding, 0,
					 config->labels > 0 ? 0 : LM_MAX_EMBEDDING) ||
		!check_range(error, "ngram_tokens", config->ngram_tokens, 0, LM_NGRAM_LARGEST))
		return false;
	if (config->ngram_tokens > 0 && (config->labels > 0 || config->lora_rank > 0))
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "ngram_tokens is %d, but a classifier or an adapter has no n-grams",
					   config->ngram_tokens);
	if (!check_range(error, "features", config->features, 0, LM_MAX_FEATURE_ROWS))
		return false;
	if (config->features > 0 && config->labels == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "features is %d, but labels is 0",
					   config->features);
	if (config->multi_label && config->labels == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "multi_label is true, but labels is 0");
	if (config->pair && config->labels == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "pair is true, but labels is 0");
	if (config->number && (config->labels != 1 || config->multi_label))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "number is true, but labels is %d",
					   config->labels);
	if (!check_real(error, "number_mean", config->number_mean, -1e30f, 1e30f) ||
		!check_real(error, "number_scale", config->number_scale, 1e-30f, 1e30f))
		return false;
	if (!(config->dropout >= 0 && config->dropout < 1))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "dropout %g is outside 0 .. 1", config->dropout);
	return check_architecture(config, error) && check_lora(config, error);
}

/* A size that is what it would be without being given becomes 0, so that equal models are equal. */
static bool
check_heads(LmConfig *config, LmError *error)
{
	if (!check_range(error, "head_size", config->head_size, 0, LM_MAX_HEAD_SIZE) ||
		!check_range(error, "kv_heads", config->kv_heads, 0, config->heads))
		return false;
	if (config->head_size == 0 && config->channels % config->heads != 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "channels %d is not a multiple of heads %d",
					   config->channels, config->heads);
	if (config->kv_heads > 0 && config->heads % config->kv_heads != 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "heads %d is not a multiple of kv_heads %d",
					   config->heads, config->kv_heads);
	if (config->head_size * config->heads == config->channels)
		config->head_size = 0;
	if (config->kv_heads == config->heads)
		config->kv_heads = 0;
	return check_range(error, "heads * head_size", lm_config_query_channels(config), 1,
					   2 * LM_MAX_CHANNELS);
}

/* The words of a configuration, and switches that exclude each other. */
static bool
check_words(const LmConfig *config, LmError *error)
{
	const LmConfigField *field;

	for (int i = 0; (field = lm_config_field(i)) != NULL; i++)
	{
		int value = (int) lm_config_get(config, field);

		if (field->type == LM_FIELD_WORD && !field->name_of(value))
			return lm_fail(error, LM_ERR_ARGUMENT, -1, "%s %d is not known", field->name, value);
	}
	if (config->model_type == LM_GPT_NEOX && config->kv_heads != 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "a model of model_type gpt_neox has as many keys as queries");
	if (config->parallel_residual && config->post_norm)
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "parallel_residual and post_norm exclude each other");
	return true;
}

/* Bases, scaling and the elements that are rotated. */
static bool
check_rotation(LmConfig *config, LmError *error)
{
	if (!check_range(error, "rotary_size", config->rotary_size, 0, lm_config_head_size(config)))
		return false;
	if (config->rotary_size % 2 != 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "rotary_size %d is not even",
					   config->rotary_size);
	if (config->position == LM_ROPE && lm_config_rotary_size(config) % 2 != 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "position rope needs an even number of channels a head, not %d",
					   lm_config_rotary_size(config));
	if (config->rotary_size == lm_config_head_size(config))
		config->rotary_size = 0;
	if (!(config->rope_base > 1 && config->rope_base <= LM_MAX_ROPE_BASE))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "rope_base %g is outside 1 .. %g",
					   config->rope_base, LM_MAX_ROPE_BASE);
	if (!check_real(error, "rope_factor", config->rope_factor, 1, 1e4f) ||
		!check_real(error, "rope_low", config->rope_low, 0, 1e4f) ||
		!check_real(error, "rope_high", config->rope_high, 0, 1e4f) ||
		!check_real(error, "rope_attention", config->rope_attention, 0, 100) ||
		!check_real(error, "rope_local_base", config->rope_local_base, 0, LM_MAX_ROPE_BASE) ||
		!check_range(error, "rope_context", config->rope_context, 0, LM_MAX_CONTEXT) ||
		!check_range(error, "nope_period", config->nope_period, 0, LM_MAX_LAYERS))
		return false;
	if (config->rope_local_base > 0 && !(config->rope_local_base > 1))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "rope_local_base %g is not above 1",
					   config->rope_local_base);
	if (config->rope_scaling != LM_ROPE_LLAMA3 && config->rope_scaling != LM_ROPE_YARN)
		return true;
	if (config->rope_context < 1)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "rope_scaling %s needs a rope_context",
					   lm_rope_scaling_name((int) config->rope_scaling));
	if (!(config->rope_low > 0 && config->rope_high > config->rope_low))
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "rope_scaling %s needs 0 < rope_low < rope_high, not %g and %g",
					   lm_rope_scaling_name((int) config->rope_scaling), config->rope_low,
					   config->rope_high);
	return true;
}

static bool
check_windows(const LmConfig *config, LmError *error)
{
	return check_range(error, "window", config->window, 0, LM_MAX_CONTEXT) &&
		   check_range(error, "window_period", config->window_period, 0, LM_MAX_LAYERS) &&
		   check_range(error, "window_full", config->window_full, 0,
					   config->window_period > 0 ? config->window_period - 1 : 0);
}

/* What the architectures beside LM_DECODER do not have. */
static bool
check_architecture(const LmConfig *config, LmError *error)
{
	const char *name = lm_architecture_name((int) config->architecture);
	bool encodes = config->architecture == LM_ENCODER_DECODER;

	if (!check_range(error, "encoder_layers", config->encoder_layers, encodes ? 1 : 0,
					 encodes ? LM_MAX_LAYERS : 0))
		return false;
	if (config->architecture != LM_DECODER && config->window > 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "architecture %s and window exclude each other",
					   name);
	if (encodes && config->parallel_residual)
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "architecture %s and parallel_residual exclude each other", name);
	if (encodes && config->embedding > 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "a trained embedding cannot have the architecture %s", name);
	if (encodes && config->labels > 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a classifier cannot have the architecture %s",
					   name);
	return true;
}

/* Fills in an adapter's defaults and checks its ranges; without a rank the rest must be 0. */
static bool
check_lora(LmConfig *config, LmError *error)
{
	if (!check_range(error, "lora_rank", config->lora_rank, 0, LM_MAX_LORA_RANK))
		return false;
	if (config->lora_rank == 0)
	{
		if (config->lora_alpha != 0 || config->lora_targets != 0 || config->lora_dropout != 0)
			return lm_fail(error, LM_ERR_ARGUMENT, -1, "an adapter needs a lora_rank");
		return true;
	}
	if (config->lora_alpha == 0)
		config->lora_alpha = 2 * (float) config->lora_rank;
	if (config->lora_targets == 0)
		config->lora_targets = LM_ALL_TARGETS;
	if (!(config->lora_alpha > 0 && config->lora_alpha <= LM_MAX_LORA_ALPHA))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "lora_alpha %g is outside 0 .. %g",
					   config->lora_alpha, LM_MAX_LORA_ALPHA);
	if (!(config->lora_dropout >= 0 && config->lora_dropout < 1))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "lora_dropout %g is outside 0 .. 1",
					   config->lora_dropout);
	return check_range(error, "lora_targets", config->lora_targets, 1, LM_ALL_TARGETS);
}

LmConfig
lm_config_base(const LmConfig *config)
{
	const LmConfig none = lm_config_default();
	LmConfig base = *config;

	lm_config_copy(&base, &none, LM_PART_HEAD);
	lm_config_copy(&base, &none, LM_PART_ADAPTER);
	return base;
}

bool
lm_config_same_base(const LmConfig *a, const LmConfig *b)
{
	return lm_config_same(a, b, LM_PART_SHAPE);
}

LmModelType
lm_config_model_type(const LmConfig *config)
{
	LmConfig llama = *config;

	/* The switches that Llama fixes; sizes, the base and scaling of the rotation may be any. */
	llama.norm = LM_RMSNORM;
	llama.position = LM_ROPE;
	llama.mlp = LM_SWIGLU;
	llama.bias = false;
	llama.qkv_bias = LM_QKV_AS_OTHERS;
	llama.rope_style = LM_ROPE_HALF;
	llama.rope_local_base = 0;
	llama.rotary_size = llama.nope_period = 0;
	llama.window = llama.window_period = llama.window_full = 0;
	llama.parallel_residual = llama.post_norm = false;
	llama.embedding_scale = 1;
	llama.attention_scale = llama.attention_softcap = llama.logit_softcap = 0;
	llama.architecture = LM_DECODER;
	llama.encoder_layers = 0;
	if (!lm_config_same(&llama, config, LM_PART_SHAPE))
		return LM_GPT;
	return config->qk_norm ? LM_QWEN3 : LM_LLAMA;
}

float
lm_config_attention_scale(const LmConfig *config)
{
	return config->attention_scale > 0 ? config->attention_scale
									   : 1 / sqrtf((float) lm_config_head_size(config));
}

LmAttentionShape
lm_config_attention(const LmConfig *config, int layer)
{
	return (LmAttentionShape){
		.heads = config->heads,
		.kv_heads = lm_config_kv_heads(config),
		.head_size = lm_config_head_size(config),
		.scale = lm_config_attention_scale(config),
		.softcap = config->attention_softcap,
		.window = lm_config_window(config, layer),
	};
}

LmHeads
lm_config_heads(const LmConfig *config)
{
	return (LmHeads){
		.heads = config->heads,
		.kv_heads = lm_config_kv_heads(config),
		.head_size = lm_config_head_size(config),
		.epsilon = config->norm_epsilon,
		.rotary_size = lm_config_rotary_size(config),
		.style = config->rope_style,
	};
}

LmRotation
lm_config_rotation(const LmConfig *config, bool local)
{
	if (local)
		return (LmRotation){
			.size = lm_config_rotary_size(config),
			.base = config->rope_local_base,
			.scaling = LM_ROPE_UNSCALED,
		};
	return (LmRotation){
		.size = lm_config_rotary_size(config),
		.base = config->rope_base,
		.scaling = config->rope_scaling,
		.factor = config->rope_factor,
		.low = config->rope_low,
		.high = config->rope_high,
		.original_context = config->rope_context,
		.attention = config->rope_attention,
	};
}

float
lm_config_lora_scale(const LmConfig *config)
{
	return config->lora_rank > 0 ? config->lora_alpha / (float) config->lora_rank : 0;
}

static bool
check_range(LmError *error, const char *field, int value, int lowest, int highest)
{
	if (value > highest)
		return lm_fail(error, LM_ERR_LIMIT, -1, "%s is %d, at most %d is possible", field, value,
					   highest);
	if (value < lowest)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "%s is %d, at least %d is needed", field, value,
					   lowest);
	return true;
}

/* Infinities and NaN are out of range, too. */
static bool
check_real(LmError *error, const char *field, float value, float lowest, float highest)
{
	if (value >= lowest && value <= highest)
		return true;
	return lm_fail(error, LM_ERR_ARGUMENT, -1, "%s %g is outside %g .. %g", field, value, lowest,
				   highest);
}
