/*
 * src/engine/model/config.c
 *
 * Whether the values of a configuration fit together, and the configuration of its base.
 */
#include <math.h>

#include "base/names.h"
#include "engine/config_field.h"
#include "engine/tokenizer.h"

static bool check_lora(LmConfig *config, LmError *error);
static bool check_range(LmError *error, const char *field, int value, int lowest, int highest);

LM_NAMES(lm_norm_name, [LM_LAYERNORM] = "layernorm", [LM_RMSNORM] = "rmsnorm");
LM_NAMES(
	lm_position_name, [LM_LEARNED] = "learned", [LM_SINUSOIDAL] = "sinusoidal", [LM_ROPE] = "rope");
LM_NAMES(
	lm_activation_name, [LM_GELU] = "gelu", [LM_GELU_TANH] = "gelu_tanh", [LM_RELU2] = "relu2");
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
	if (config->channels % config->heads != 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "channels %d is not a multiple of heads %d",
					   config->channels, config->heads);
	if (config->mlp_channels == 0)
		config->mlp_channels = 4 * config->channels;
	if (!check_range(error, "mlp_channels", config->mlp_channels, 1, 4 * LM_MAX_CHANNELS))
		return false;
	if (!lm_norm_name((int) config->norm))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "norm %d is not known", (int) config->norm);
	if (!(config->norm_epsilon > 0 && config->norm_epsilon <= 1))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "norm_epsilon %g is outside 0 .. 1",
					   config->norm_epsilon);
	if (!lm_position_name((int) config->position))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "position %d is not known",
					   (int) config->position);
	if (config->position == LM_ROPE && config->channels / config->heads % 2 != 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1,
					   "position rope needs an even number of channels a head, not %d",
					   config->channels / config->heads);
	if (!(config->rope_base > 1 && config->rope_base <= LM_MAX_ROPE_BASE))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "rope_base %g is outside 1 .. %g",
					   config->rope_base, LM_MAX_ROPE_BASE);
	if (!lm_activation_name((int) config->mlp))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "mlp %d is not known", (int) config->mlp);
	if (!check_range(error, "labels", config->labels, 0, LM_MAX_LABELS))
		return false;
	if (config->multi_label && config->labels == 0)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "multi_label is true, but labels is 0");
	if (!(config->dropout >= 0 && config->dropout < 1))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "dropout %g is outside 0 .. 1", config->dropout);
	return check_lora(config, error);
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
