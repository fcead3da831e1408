/*
 * src/store/hf_config.c
 *
 * config.json to LmConfig and back. Names and defaults: the configuration classes of Transformers
 * 5.12, https://github.com/huggingface/transformers/tree/main/src/transformers/models
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "utils/json.h"

#include "core/bridge.h"
#include "engine/config_field.h"
#include "store/hf_config.h"
#include "store/hf_fields.h"
#include "store/model_config.h"

#define MAX_VALUES 100000
#define MAX_END_TOKENS 64

/* The types of fields; the last four have a function for each direction. */
typedef enum Kind
{
	NUMBER,
	SWITCH,
	NULLABLE, /* a number, or null for 0 */
	KV_HEADS, /* null: as many as heads */
	HEAD_SIZE, /* null: channels / heads */
	ACTIVATION,
	QUERY_SCALAR, /* scores are divided by its root */
	SCALED, /* false: scores are not scaled at all */
} Kind;

/* A field of config.json that is a field of LmConfig. */
typedef struct Field
{
	const char *name;
	unsigned types; /* HF() of the architectures that have it */
	Kind kind;
	const char *field; /* of LmConfig */
	double absent; /* the value of a file without the field */
} Field;

/* What the architectures of a model_type have in common. */
typedef struct Architecture
{
	LmModelType type;
	const char *model_type;
	const char *class_name;
	LmNorm norm;
	LmPosition position;
	bool bias;
	LmQkvBias qkv_bias;
	bool qk_norm;
	bool is_gemma; /* scaled embeddings, norms after branches */
	float attention_scale;
} Architecture;

typedef struct Activation
{
	const char *name;
	bool gated;
	LmActivation activation;
} Activation;

static const Architecture architectures[] = {
	{LM_GPT, "gpt2", "GPT2LMHeadModel", LM_LAYERNORM, LM_LEARNED, true},
	{LM_GPT_NEO, "gpt_neo", "GPTNeoForCausalLM", LM_LAYERNORM, LM_LEARNED, true, LM_QKV_NO_BIAS,
	 .attention_scale = 1},
	{LM_GPT_NEOX, "gpt_neox", "GPTNeoXForCausalLM", LM_LAYERNORM, LM_ROPE, true},
	{LM_LLAMA, "llama", "LlamaForCausalLM", LM_RMSNORM, LM_ROPE},
	{LM_MISTRAL, "mistral", "MistralForCausalLM", LM_RMSNORM, LM_ROPE},
	{LM_QWEN2, "qwen2", "Qwen2ForCausalLM", LM_RMSNORM, LM_ROPE, .qkv_bias = LM_QKV_BIAS},
	{LM_QWEN3, "qwen3", "Qwen3ForCausalLM", LM_RMSNORM, LM_ROPE, .qk_norm = true},
	{LM_SMOLLM3, "smollm3", "SmolLM3ForCausalLM", LM_RMSNORM, LM_ROPE},
	{LM_GEMMA2, "gemma2", "Gemma2ForCausalLM", LM_RMSNORM, LM_ROPE, .is_gemma = true},
	{LM_GEMMA3, "gemma3_text", "Gemma3ForCausalLM", LM_RMSNORM, LM_ROPE, .qk_norm = true,
	 .is_gemma = true},
};

/* The first name of an activation is the one that is written. */
static const Activation activations[] = {
	{"gelu_new", false, LM_GELU_TANH},	{"gelu_pytorch_tanh", false, LM_GELU_TANH},
	{"gelu_fast", false, LM_GELU_TANH}, {"gelu", false, LM_GELU},
	{"relu2", false, LM_RELU2},			{"silu", true, LM_SWIGLU},
	{"swish", true, LM_SWIGLU},			{"gelu_pytorch_tanh", true, LM_GEGLU},
	{"gelu_new", true, LM_GEGLU},		{"gelu_fast", true, LM_GEGLU},
};

/* clang-format off */
static const Field fields[] = {
	/* name                    architectures                          kind       field         absent */
	{"vocab_size", HF(LM_GPT) | HF(LM_GPT_NEO),                       NUMBER,    "vocabulary", 50257},
	{"vocab_size", HF(LM_GPT_NEOX),                                   NUMBER,    "vocabulary", 50432},
	{"vocab_size", HF(LM_LLAMA) | HF(LM_MISTRAL),                     NUMBER,    "vocabulary", 32000},
	{"vocab_size", HF_QWENS,                                          NUMBER,    "vocabulary", 151936},
	{"vocab_size", HF(LM_SMOLLM3),                                    NUMBER,    "vocabulary", 128256},
	{"vocab_size", HF(LM_GEMMA2),                                     NUMBER,    "vocabulary", 256000},
	{"vocab_size", HF(LM_GEMMA3),                                     NUMBER,    "vocabulary", 262208},
	{"n_positions", HF(LM_GPT),                                       NUMBER,    "context", 1024},
	{"max_position_embeddings", HF(LM_GPT_NEO) | HF(LM_GPT_NEOX) | HF(LM_LLAMA), NUMBER, "context", 2048},
	{"max_position_embeddings", HF(LM_MISTRAL) | HF(LM_GEMMA3),       NUMBER,    "context", 131072},
	{"max_position_embeddings", HF_QWENS | HF(LM_SMOLLM3),            NUMBER,    "context", 32768},
	{"max_position_embeddings", HF(LM_GEMMA2),                        NUMBER,    "context", 8192},
	{"n_embd", HF(LM_GPT),                                            NUMBER,    "channels", 768},
	{"hidden_size", HF(LM_GPT_NEO) | HF(LM_SMOLLM3),                  NUMBER,    "channels", 2048},
	{"hidden_size", HF(LM_GPT_NEOX),                                  NUMBER,    "channels", 6144},
	{"hidden_size", HF(LM_LLAMA) | HF(LM_MISTRAL) | HF_QWENS,         NUMBER,    "channels", 4096},
	{"hidden_size", HF_GEMMAS,                                        NUMBER,    "channels", 2304},
	{"n_layer", HF(LM_GPT),                                           NUMBER,    "layers", 12},
	{"num_layers", HF(LM_GPT_NEO),                                    NUMBER,    "layers", 24},
	{"num_hidden_layers", HF(LM_GPT_NEOX),                            NUMBER,    "layers", 44},
	{"num_hidden_layers", HF(LM_LLAMA) | HF(LM_MISTRAL) | HF_QWENS,   NUMBER,    "layers", 32},
	{"num_hidden_layers", HF(LM_SMOLLM3),                             NUMBER,    "layers", 36},
	{"num_hidden_layers", HF_GEMMAS,                                  NUMBER,    "layers", 26},
	{"n_head", HF(LM_GPT),                                            NUMBER,    "heads", 12},
	{"num_heads", HF(LM_GPT_NEO),                                     NUMBER,    "heads", 16},
	{"num_attention_heads", HF(LM_GPT_NEOX),                          NUMBER,    "heads", 64},
	{"num_attention_heads", HF(LM_LLAMA) | HF(LM_MISTRAL) | HF_QWENS, NUMBER,    "heads", 32},
	{"num_attention_heads", HF(LM_SMOLLM3),                           NUMBER,    "heads", 16},
	{"num_attention_heads", HF_GEMMAS,                                NUMBER,    "heads", 8},
	{"num_key_value_heads", HF(LM_LLAMA),                             KV_HEADS,  "kv_heads", 0},
	{"num_key_value_heads", HF(LM_MISTRAL),                           KV_HEADS,  "kv_heads", 8},
	{"num_key_value_heads", HF_QWENS,                                 KV_HEADS,  "kv_heads", 32},
	{"num_key_value_heads", HF(LM_SMOLLM3) | HF_GEMMAS,               KV_HEADS,  "kv_heads", 4},
	{"head_dim", HF(LM_LLAMA) | HF(LM_MISTRAL) | HF(LM_QWEN2) | HF(LM_SMOLLM3), HEAD_SIZE, "head_size", 0},
	{"head_dim", HF(LM_QWEN3),                                        HEAD_SIZE, "head_size", 128},
	{"head_dim", HF_GEMMAS,                                           HEAD_SIZE, "head_size", 256},
	{"n_inner", HF(LM_GPT),                                           NULLABLE,  "mlp_channels", 0},
	{"intermediate_size", HF(LM_GPT_NEO),                             NULLABLE,  "mlp_channels", 0},
	{"intermediate_size", HF(LM_GPT_NEOX),                            NUMBER,    "mlp_channels", 24576},
	{"intermediate_size", HF(LM_LLAMA) | HF(LM_SMOLLM3),              NUMBER,    "mlp_channels", 11008},
	{"intermediate_size", HF(LM_MISTRAL),                             NUMBER,    "mlp_channels", 14336},
	{"intermediate_size", HF_QWENS,                                   NUMBER,    "mlp_channels", 22016},
	{"intermediate_size", HF_GEMMAS,                                  NUMBER,    "mlp_channels", 9216},
	{"activation_function", HF(LM_GPT) | HF(LM_GPT_NEO),              ACTIVATION, "mlp", LM_GELU_TANH},
	{"hidden_act", HF(LM_GPT_NEOX),                                   ACTIVATION, "mlp", LM_GELU},
	{"hidden_act", HF_LLAMAS & ~HF_GEMMAS,                            ACTIVATION, "mlp", LM_SWIGLU},
	{"hidden_activation", HF_GEMMAS,                                  ACTIVATION, "mlp", LM_GEGLU},
	{"layer_norm_epsilon", HF(LM_GPT) | HF(LM_GPT_NEO),               NUMBER,    "norm_epsilon", 1e-5},
	{"layer_norm_eps", HF(LM_GPT_NEOX),                               NUMBER,    "norm_epsilon", 1e-5},
	{"rms_norm_eps", HF_LLAMAS,                                       NUMBER,    "norm_epsilon", 1e-6},
	{"tie_word_embeddings", HF(LM_GPT) | HF(LM_GPT_NEO) | HF(LM_SMOLLM3) | HF_GEMMAS, SWITCH, "tie_embeddings", true},
	{"tie_word_embeddings", HF(LM_GPT_NEOX) | HF(LM_LLAMA) | HF(LM_MISTRAL) | HF_QWENS, SWITCH,
	 "tie_embeddings", false},
	{"scale_attn_weights", HF(LM_GPT),                                SCALED,    "attention_scale", true},
	{"use_parallel_residual", HF(LM_GPT_NEOX),                        SWITCH,    "parallel_residual", true},
	{"attention_bias", HF(LM_LLAMA) | HF(LM_SMOLLM3),                 SWITCH,    "bias", false},
	{"query_pre_attn_scalar", HF_GEMMAS,                              QUERY_SCALAR, "attention_scale", 256},
	{"attn_logit_softcapping", HF(LM_GEMMA2),                         NULLABLE,  "attention_softcap", 50},
	{"attn_logit_softcapping", HF(LM_GEMMA3),                         NULLABLE,  "attention_softcap", 0},
	{"final_logit_softcapping", HF(LM_GEMMA2),                        NULLABLE,  "logit_softcap", 30},
	{"final_logit_softcapping", HF(LM_GEMMA3),                        NULLABLE,  "logit_softcap", 0},
};
/* clang-format on */

static const Architecture *architecture_of(const GptJson *json);
static const Architecture *architecture_of_type(LmModelType type);
static void check_names(const GptJson *json, const Architecture *architecture);
static bool is_known(const char *name, const Architecture *architecture);
static void read_field(LmConfig *config, const Field *field, const GptJson *json);
static void read_switches(LmConfig *config, const GptJson *json);
static void write_field(StringInfo json, const LmConfig *config, const Field *field);
static void check_restored(const LmConfig *config, const char *json);

const GptJson *
gpt_hf_json_parse(const char *json, size_t size, const char *noun)
{
	const GptJson *root;

	if (size > GPT_MAX_HF_CONFIG)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s has %zu bytes, the limit is %d", noun, size, GPT_MAX_HF_CONFIG)));
	root = gpt_json_parse(json, size, MAX_VALUES, noun);
	if (root == NULL || root->type != GPT_JSON_OBJECT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is not a JSON object", noun)));
	return root;
}

const GptJson *
gpt_hf_config_text(const GptJson *json)
{
	const char *model_type = gpt_json_string(gpt_json_field(json, "model_type"));
	const GptJson *text = gpt_json_field(json, "text_config");
	const GptJson *vision = gpt_json_field(json, "vision_config");

	if (model_type == NULL || strcmp(model_type, "gemma3") != 0 || text == NULL ||
		text->type != GPT_JSON_OBJECT)
		return json;
	if (vision != NULL)
		gpt_hf_refuse("vision_config", vision,
					  "Models that see images are not supported; a GGUF file of the model has its "
					  "text part alone.");
	return text;
}

void
gpt_hf_config_read(LmConfig *config, const GptJson *json, int context)
{
	const Architecture *architecture = architecture_of(json);
	LmError error;

	check_names(json, architecture);
	*config = lm_config_default();
	config->model_type = architecture->type;
	config->norm = architecture->norm;
	config->position = architecture->position;
	config->bias = architecture->bias;
	config->qkv_bias = architecture->qkv_bias;
	config->qk_norm = architecture->qk_norm;
	config->post_norm = architecture->is_gemma;
	config->attention_scale = architecture->attention_scale;
	for (int i = 0; i < lengthof(fields); i++)
		if (fields[i].types & HF(architecture->type))
			read_field(config, &fields[i], json);
	if (config->layers < 1 || config->layers > LM_MAX_LAYERS || config->heads < 1 ||
		config->channels < 1 || lm_config_head_size(config) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("configuration has sizes out of range"),
				 errdetail("It has %d layers, %d heads and %d channels; at most %d layers are "
						   "possible.",
						   config->layers, config->heads, config->channels, LM_MAX_LAYERS)));
	read_switches(config, json);
	if (architecture->is_gemma)
		config->embedding_scale = sqrtf((float) config->channels);
	if (config->position == LM_ROPE)
		gpt_hf_read_rotation(config, json);
	gpt_hf_read_windows(config, json);
	if (context > 0 && context < config->context)
		config->context = context;
	if (!lm_config_check(config, &error))
		ereport(ERROR, (errcode(gpt_bridge_sqlstate(error.code)),
						errmsg("configuration is outside the supported family"),
						errdetail("%s.", error.message)));
}

int
gpt_hf_end_tokens(int **ids, const GptJson *json)
{
	const GptJson *field = gpt_json_field(json, "eos_token_id");
	const GptJson *node = field != NULL && field->type == GPT_JSON_ARRAY ? field->first : field;
	int n = 0;

	*ids = palloc(MAX_END_TOKENS * sizeof(int));
	for (; node != NULL && n < MAX_END_TOKENS; node = node == field ? NULL : node->next)
	{
		int id = gpt_json_integer(node, INT_MAX);

		if (id >= 0)
			(*ids)[n++] = id;
	}
	return n;
}

/* The architecture that model_type names; another one is an error with the list. */
static const Architecture *
architecture_of(const GptJson *json)
{
	const GptJson *field = gpt_hf_find(json, "model_type");
	const char *name = gpt_json_string(field);
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(architectures); i++)
	{
		if (name != NULL && strcmp(name, architectures[i].model_type) == 0)
			return &architectures[i];
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", architectures[i].model_type);
	}
	if (field == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("configuration has no field \"model_type\""),
						errdetail("Supported are: %s.", list.data)));
	gpt_hf_refuse("model_type", field, psprintf("Supported are: %s.", list.data));
}

static const Architecture *
architecture_of_type(LmModelType type)
{
	for (int i = 0; i < lengthof(architectures); i++)
		if (architectures[i].type == type)
			return &architectures[i];
	elog(ERROR, "no architecture for model type %d", (int) type);
}

/*
 * A field that is neither read nor known to be harmless may change the arithmetic (num_experts,
 * quantization_config, scale_attn_by_inverse_layer_idx ...), unless its value is empty.
 */
static void
check_names(const GptJson *json, const Architecture *architecture)
{
	for (const GptJson *field = json->first; field != NULL; field = field->next)
	{
		if (is_known(field->name, architecture) || gpt_hf_is_empty(field))
			continue;
		gpt_hf_refuse(field->name, field,
					  psprintf("gpt does not know how the field changes the results of \"%s\".",
							   architecture->model_type));
	}
}

static bool
is_known(const char *name, const Architecture *architecture)
{
	for (int i = 0; i < lengthof(fields); i++)
		if ((fields[i].types & HF(architecture->type)) && strcmp(fields[i].name, name) == 0)
			return true;
	return gpt_hf_knows(name, architecture->type);
}

/* Stores the value of one field, or that of a file without it. */
static void
read_field(LmConfig *config, const Field *field, const GptJson *json)
{
	const GptJson *node = gpt_hf_find(json, field->name);
	const LmConfigField *target = gpt_config_field(field->field);
	const char *name = gpt_json_string(node);
	double value;

	if (field->kind == ACTIVATION && node != NULL)
	{
		bool gated = lm_activation_is_gated((LmActivation) field->absent);

		for (int i = 0; i < lengthof(activations); i++)
			if (name != NULL && activations[i].gated == gated &&
				strcmp(activations[i].name, name) == 0)
			{
				lm_config_set(config, target, activations[i].activation);
				return;
			}
		gpt_hf_refuse(field->name, node,
					  gated ? "Supported are: silu, swish, gelu_pytorch_tanh."
							: "Supported are: gelu, gelu_new, gelu_pytorch_tanh, relu2.");
	}
	if (field->kind == SWITCH || field->kind == SCALED)
		value = gpt_hf_boolean(json, field->name, field->absent != 0);
	else
		value = gpt_hf_number(json, field->name, field->absent);
	if (node != NULL && node->type == GPT_JSON_NULL && field->kind == NUMBER)
		gpt_hf_refuse(field->name, node, "It must be a number.");
	if (target->type == LM_FIELD_INTEGER &&
		(value != floor(value) || value > INT_MAX || value < (field->kind == NUMBER ? 1 : 0)))
		gpt_hf_refuse(field->name, node, "It must be an integer above 0.");
	if (field->kind == SCALED)
		value = value != 0 ? 0 : 1;
	if (field->kind == QUERY_SCALAR)
	{
		if (!(value > 0))
			gpt_hf_refuse(field->name, node, "It must be above 0.");
		value = value == lm_config_head_size(config) ? 0 : 1 / sqrt(value);
	}
	lm_config_set(config, target, value);
}

/* Biases that LmConfig has in a combination only. */
static void
read_switches(LmConfig *config, const GptJson *json)
{
	if (config->model_type == LM_GPT_NEOX && !gpt_hf_boolean(json, "attention_bias", true))
		gpt_hf_refuse("attention_bias", gpt_hf_find(json, "attention_bias"),
					  "GPT-NeoX is supported with biases.");
	if ((config->model_type == LM_LLAMA || config->model_type == LM_SMOLLM3) &&
		gpt_hf_boolean(json, "mlp_bias", false) != config->bias)
		gpt_hf_refuse("mlp_bias", gpt_hf_find(json, "mlp_bias"),
					  "It must be as \"attention_bias\" is.");
}

char *
gpt_hf_config_write(const LmConfig *config, int beginning, int end, const char *type)
{
	const Architecture *architecture = architecture_of_type(config->model_type);
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\n  \"architectures\": [\n    \"%s\"\n  ]", architecture->class_name);
	appendStringInfo(&json, ",\n  \"model_type\": \"%s\"", architecture->model_type);
	for (int i = 0; i < lengthof(fields); i++)
		if (fields[i].types & HF(architecture->type))
			write_field(&json, config, &fields[i]);
	if (config->model_type == LM_LLAMA || config->model_type == LM_SMOLLM3)
		appendStringInfo(&json, ",\n  \"mlp_bias\": %s", config->bias ? "true" : "false");
	if (config->position == LM_ROPE)
		gpt_hf_write_rotation(&json, config);
	gpt_hf_write_windows(&json, config);
	if (beginning >= 0)
		gpt_hf_append_integer(&json, "bos_token_id", beginning);
	if (end >= 0)
		gpt_hf_append_integer(&json, "eos_token_id", end);
	/* Some defaults of Transformers are beyond a small vocabulary. */
	appendStringInfoString(&json, ",\n  \"pad_token_id\": null");
	appendStringInfo(&json, ",\n  \"torch_dtype\": \"%s\"\n}\n", type);
	check_restored(config, json.data);
	return json.data;
}

static void
write_field(StringInfo json, const LmConfig *config, const Field *field)
{
	const LmConfigField *source = gpt_config_field(field->field);
	double value = lm_config_get(config, source);

	switch (field->kind)
	{
		case NUMBER:
			if (source->type == LM_FIELD_REAL)
				gpt_hf_append_real(json, field->name, value);
			else
				gpt_hf_append_integer(json, field->name, (int) value);
			break;
		case NULLABLE:
			if (value == 0)
				appendStringInfo(json, ",\n  \"%s\": null", field->name);
			else if (source->type == LM_FIELD_REAL)
				gpt_hf_append_real(json, field->name, value);
			else
				gpt_hf_append_integer(json, field->name, (int) value);
			break;
		case SWITCH:
			appendStringInfo(json, ",\n  \"%s\": %s", field->name, value != 0 ? "true" : "false");
			break;
		case SCALED:
			appendStringInfo(json, ",\n  \"%s\": %s", field->name, value == 1 ? "false" : "true");
			break;
		case KV_HEADS:
			gpt_hf_append_integer(json, field->name, lm_config_kv_heads(config));
			break;
		case HEAD_SIZE:
			gpt_hf_append_integer(json, field->name, lm_config_head_size(config));
			break;
		case QUERY_SCALAR:
			value = 1 / pow(lm_config_attention_scale(config), 2);
			/* Transformers wants an integer, and the scale has 24 bits. */
			if (fabs(value - rint(value)) < 1e-5 * value)
				gpt_hf_append_integer(json, field->name, (int) rint(value));
			else
				gpt_hf_append_real(json, field->name, value);
			break;
		case ACTIVATION:
			for (int i = 0; i < lengthof(activations); i++)
				if (activations[i].activation == (LmActivation) value)
				{
					appendStringInfo(json, ",\n  \"%s\": \"%s\"", field->name, activations[i].name);
					break;
				}
			break;
	}
}

/* What is read back must be what was written: then nothing that Transformers lacks is lost. */
static void
check_restored(const LmConfig *config, const char *json)
{
	const Architecture *architecture = architecture_of_type(config->model_type);
	const LmConfigField *field;
	LmConfig restored;

	if (config->labels > 0 || config->lora_rank > 0)
		elog(ERROR, "a configuration with labels or an adapter is not written");
	if (!lm_activation_is_gated(config->mlp) == ((HF_LLAMAS & HF(architecture->type)) != 0))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("Transformers has no architecture for this model"),
						errdetail("\"%s\" does not have mlp \"%s\".", architecture->model_type,
								  lm_activation_name((int) config->mlp))));
	/* Another one's fields would be refused as fields that are not known. */
	if (config->position != architecture->position)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("Transformers has no architecture for this model"),
						errdetail("\"%s\" does not have position \"%s\".", architecture->model_type,
								  lm_position_name((int) config->position))));
	gpt_hf_config_read(&restored, gpt_hf_json_parse(json, strlen(json), "config"), 0);
	field = gpt_config_lost(config, &restored, 1e-6);
	if (field != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("Transformers has no architecture for this model"),
						errdetail("\"%s\" does not have the model's value of \"%s\".",
								  architecture->model_type, field->name)));
}
