/*
 * src/store/gguf_config.c
 *
 * GGUF's metadata to LmConfig and back. The values of a file without a key are those of llama.cpp,
 * https://github.com/ggml-org/llama.cpp/tree/master/src/models
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "core/bridge.h"
#include "engine/config_field.h"
#include "store/gguf_config.h"
#include "store/gguf_rope.h"
#include "store/hf_fields.h"
#include "store/model_config.h"

#define MAX_WRITTEN 32 /* keys */
#define KEY_SIZE 64
#define REQUIRED (-1)
#define GEMMA2_27B_LAYERS 46 /* these two scale scores by the channels of a head of all */
#define GEMMA3_27B_LAYERS 62
#define GEMMA_LOCAL_BASE 10000
#define SMOLLM3_NOPE_PERIOD 4

typedef enum Kind
{
	SIZE,
	REAL,
	SWITCH,
	KV_HEADS, /* absent: as many as heads */
	HEAD_SIZE, /* absent: channels / heads */
	VALUE_SIZE, /* must be that of keys */
	ROTARY_SIZE, /* absent: all */
	SOFTCAP,
	SCALE,
} Kind;

/* A key that is a field of LmConfig. */
typedef struct Key
{
	const char *name; /* after "llama." */
	unsigned types; /* HF() of the architectures that have it */
	Kind kind;
	const char *field;
	double absent; /* of a file without it; REQUIRED: an error */
} Key;

typedef struct Architecture
{
	LmModelType type;
	const char *name;
	LmActivation mlp;
} Architecture;

/* A model of Mistral has the architecture "llama". GPT-2's activation is the tanh approximation. */
static const Architecture architectures[] = {
	{LM_GPT, "gpt2", LM_GELU_TANH},		{LM_GPT_NEOX, "gptneox", LM_GELU},
	{LM_LLAMA, "llama", LM_SWIGLU},		{LM_MISTRAL, "llama", LM_SWIGLU},
	{LM_QWEN2, "qwen2", LM_SWIGLU},		{LM_QWEN3, "qwen3", LM_SWIGLU},
	{LM_SMOLLM3, "smollm3", LM_SWIGLU}, {LM_GEMMA2, "gemma2", LM_GEGLU},
	{LM_GEMMA3, "gemma3", LM_GEGLU},
};

/* clang-format off */
static const Key keys[] = {
	{"context_length",                   ~0u,                     SIZE,        "context", REQUIRED},
	{"embedding_length",                 ~0u,                     SIZE,        "channels", REQUIRED},
	{"block_count",                      ~0u,                     SIZE,        "layers", REQUIRED},
	{"feed_forward_length",              ~0u,                     SIZE,        "mlp_channels", REQUIRED},
	{"attention.head_count",             ~0u,                     SIZE,        "heads", REQUIRED},
	{"attention.head_count_kv",          ~0u,                     KV_HEADS,    "kv_heads", 0},
	{"attention.key_length",             HF_LLAMAS,               HEAD_SIZE,   "head_size", 0},
	{"attention.value_length",           HF_LLAMAS,               VALUE_SIZE,  "head_size", 0},
	{"attention.layer_norm_epsilon",     HF_GPTS,                 REAL,        "norm_epsilon", REQUIRED},
	{"attention.layer_norm_rms_epsilon", HF_LLAMAS,               REAL,        "norm_epsilon", REQUIRED},
	{"rope.dimension_count",             HF_LLAMAS | HF(LM_GPT_NEOX), ROTARY_SIZE, "rotary_size", 0},
	{"rope.freq_base",                   HF_LLAMAS | HF(LM_GPT_NEOX), REAL,    "rope_base", 10000},
	{"rope.freq_base_swa",               HF(LM_GEMMA3),           REAL,        "rope_local_base", GEMMA_LOCAL_BASE},
	{"use_parallel_residual",            HF(LM_GPT_NEOX),         SWITCH,      "parallel_residual", true},
	{"attention.scale",                  HF_LLAMAS,               SCALE,       "attention_scale", 0},
	{"attn_logit_softcapping",           HF(LM_GEMMA2),           SOFTCAP,     "attention_softcap", 50},
	{"attn_logit_softcapping",           HF(LM_GEMMA3),           SOFTCAP,     "attention_softcap", 0},
	{"final_logit_softcapping",          HF(LM_GEMMA2),           SOFTCAP,     "logit_softcap", 30},
	{"final_logit_softcapping",          HF(LM_GEMMA3),           SOFTCAP,     "logit_softcap", 0},
};

/* Keys that are read apart, or say nothing about the arithmetic. */
static const char *const other_keys[] = {
	"vocab_size", "tensor_data_layout", "attention.sliding_window", "attention.sliding_window_pattern",
	"attention.causal", "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length",
	"rope.scaling.finetuned", "rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor",
	"rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "rope.scale_linear",
};
/* clang-format on */

static const Architecture *architecture_of(const GptGgufValues *values);
static void check_keys(const GptGgufValues *values, const Architecture *architecture);
static void set_switches(LmConfig *config, const GptGgufValues *values);
static void read_key(LmConfig *config, const Key *key, const GptGgufValues *values,
					 const char *architecture);
static void set_windows(LmConfig *config, const GptGgufValues *values, const char *architecture);
static double implied_scale(const LmConfig *config);
static int standard_period(const LmConfig *config);
static void write_key(GptGgufValues *values, const LmConfig *config, const Key *key,
					  const char *architecture);
static void check_restored(const LmConfig *config, const GptGgufValues *values);

void
gpt_gguf_config_read(LmConfig *config, const GptGgufValues *values, int context)
{
	const Architecture *architecture = architecture_of(values);
	const char *name = architecture->name;
	LmError error;

	check_keys(values, architecture);
	*config = lm_config_default();
	config->model_type = architecture->type;
	config->mlp = architecture->mlp;
	config->vocabulary = values->vocabulary;
	config->tie_embeddings = !values->has_head;
	set_switches(config, values);
	for (int i = 0; i < lengthof(keys); i++)
		if (keys[i].types & HF(architecture->type))
			read_key(config, &keys[i], values, name);
	if (config->layers < 1 || config->layers > LM_MAX_LAYERS || config->heads < 1 ||
		config->channels < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("GGUF file has sizes out of range"),
						errdetail("It has %d layers, %d heads and %d channels; at most %d layers "
								  "are possible.",
								  config->layers, config->heads, config->channels, LM_MAX_LAYERS)));
	if (config->post_norm)
		config->embedding_scale = sqrtf((float) config->channels);
	if (config->attention_scale == 0)
		config->attention_scale = (float) implied_scale(config);
	if (config->position == LM_ROPE)
		gpt_gguf_read_scaling(config, values, name);
	set_windows(config, values, name);
	if (context > 0 && context < config->context)
		config->context = context;
	if (!lm_config_check(config, &error))
		ereport(ERROR, (errcode(gpt_bridge_sqlstate(error.code)),
						errmsg("GGUF file is outside the supported family"),
						errdetail("%s.", error.message)));
}

const GptGgufValue *
gpt_gguf_value(const GptGgufValues *values, const char *architecture, const char *name)
{
	char key[2 * KEY_SIZE];

	snprintf(key, sizeof(key), "%s.%s", architecture, name);
	for (int i = 0; i < values->n; i++)
		if (strcmp(values->values[i].key, key) == 0)
			return &values->values[i];
	return NULL;
}

double
gpt_gguf_number(const GptGgufValues *values, const char *architecture, const char *name,
				double absent)
{
	const GptGgufValue *value = gpt_gguf_value(values, architecture, name);

	if (value == NULL)
		return absent;
	if (value->type == LM_GGUF_STRING || value->type == LM_GGUF_ARRAY || !isfinite(value->number))
		gpt_gguf_refuse(value, "It must be a number.");
	return value->number;
}

void
gpt_gguf_refuse(const GptGgufValue *value, const char *supported)
{
	char shown[KEY_SIZE];

	if (value->type == LM_GGUF_STRING)
		lm_name_for_message(shown, sizeof(shown), value->text, strlen(value->text));
	else if (value->type == LM_GGUF_ARRAY)
		strlcpy(shown, "an array", sizeof(shown));
	else
		snprintf(shown, sizeof(shown), "%.10g", value->number);
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("GGUF file is outside the supported family"),
					errdetail("Key \"%s\" is %s.%s%s", value->key, shown,
							  supported != NULL ? " " : "", supported != NULL ? supported : "")));
}

/* The architecture that the file names; another one is an error with the list. */
static const Architecture *
architecture_of(const GptGgufValues *values)
{
	const GptGgufValue *name = gpt_gguf_value(values, "general", "architecture");
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(architectures); i++)
	{
		if (name != NULL && name->type == LM_GGUF_STRING &&
			strcmp(name->text, architectures[i].name) == 0)
			return &architectures[i];
		if (architectures[i].type != LM_MISTRAL)
			appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", architectures[i].name);
	}
	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("GGUF file has no key \"general.architecture\"")));
	gpt_gguf_refuse(name, psprintf("Supported are: %s.", list.data));
}

/* A key of the architecture that is not known may change the arithmetic, unless it is 0. */
static void
check_keys(const GptGgufValues *values, const Architecture *architecture)
{
	size_t prefix = strlen(architecture->name);

	for (int i = 0; i < values->n; i++)
	{
		const GptGgufValue *value = &values->values[i];
		const char *name = value->key + prefix + 1;
		bool known = false;

		if (strncmp(value->key, architecture->name, prefix) != 0 || value->key[prefix] != '.')
			continue;
		for (int j = 0; j < lengthof(keys); j++)
			known = known ||
					((keys[j].types & HF(architecture->type)) && strcmp(keys[j].name, name) == 0);
		for (int j = 0; j < lengthof(other_keys); j++)
			known = known || strcmp(other_keys[j], name) == 0;
		if (known ||
			(value->type != LM_GGUF_STRING && value->type != LM_GGUF_ARRAY && value->number == 0))
			continue;
		gpt_gguf_refuse(value, psprintf("gpt does not know how the key changes the results of "
										"\"%s\".",
										architecture->name));
	}
}

/* The switches that the architecture and the tensors decide. */
static void
set_switches(LmConfig *config, const GptGgufValues *values)
{
	unsigned type = HF(config->model_type);
	const GptGgufValue *causal =
		gpt_gguf_value(values, architecture_of(values)->name, "attention.causal");

	if (causal != NULL && causal->type == LM_GGUF_BOOL && causal->number == 0)
		gpt_gguf_refuse(causal, "It must be true.");
	config->norm = (type & HF_GPTS) ? LM_LAYERNORM : LM_RMSNORM;
	config->position = (type & HF(LM_GPT)) ? LM_LEARNED : LM_ROPE;
	config->bias = (type & HF_GPTS) != 0;
	if (type & (HF(LM_LLAMA) | HF(LM_SMOLLM3)))
		config->bias = values->has_attention_bias;
	config->qkv_bias = (type & HF(LM_QWEN2)) ? LM_QKV_BIAS : LM_QKV_AS_OTHERS;
	config->qk_norm = (type & (HF(LM_QWEN3) | HF(LM_GEMMA3))) != 0;
	config->post_norm = (type & HF_GEMMAS) != 0;
	config->nope_period = (type & HF(LM_SMOLLM3)) ? SMOLLM3_NOPE_PERIOD : 0;
}

static void
read_key(LmConfig *config, const Key *key, const GptGgufValues *values, const char *architecture)
{
	const GptGgufValue *value = gpt_gguf_value(values, architecture, key->name);
	const LmConfigField *field = gpt_config_field(key->field);
	double number = gpt_gguf_number(values, architecture, key->name, key->absent);

	if (value == NULL && key->absent == REQUIRED)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("GGUF file has no key \"%s.%s\"", architecture, key->name)));
	if (field->type == LM_FIELD_INTEGER &&
		(number != floor(number) || number > INT_MAX || number < (key->kind == SIZE ? 1 : 0)))
		gpt_gguf_refuse(value, "It must be an integer above 0.");
	if (key->kind == VALUE_SIZE)
	{
		if (value != NULL && number != lm_config_head_size(config))
			gpt_gguf_refuse(value, "It must be the length of keys.");
		return;
	}
	lm_config_set(config, field, number);
}

/* Windows: Gemma's architectures alone have them; period - 1 layers of each period. */
static void
set_windows(LmConfig *config, const GptGgufValues *values, const char *architecture)
{
	const GptGgufValue *window = gpt_gguf_value(values, architecture, "attention.sliding_window");
	const GptGgufValue *pattern =
		gpt_gguf_value(values, architecture, "attention.sliding_window_pattern");
	double size = gpt_gguf_number(values, architecture, "attention.sliding_window",
								  config->model_type == LM_GEMMA2 ? 4096 : 0);
	double period = standard_period(config);
	bool *full;

	if (!config->post_norm)
	{
		if (size != 0)
			gpt_gguf_refuse(window, "Windows are supported for gemma2 and gemma3.");
		return;
	}
	if (pattern != NULL)
		period = gpt_gguf_number(values, architecture, "attention.sliding_window_pattern", 0);
	if (size != floor(size) || size < 0 || size > INT_MAX)
		gpt_gguf_refuse(window, "It must be an integer from 0 on.");
	if (period != floor(period) || period < 1 || period > LM_MAX_LAYERS)
		gpt_gguf_refuse(pattern, "It must be an integer from 1 on.");
	full = palloc0(config->layers * sizeof(bool));
	for (int layer = 0; layer < config->layers; layer++)
		full[layer] = (layer + 1) % (int) period == 0;
	(void) gpt_hf_set_windows(config, full, (int) size);
}

/* The period of windows of a file without sliding_window_pattern. */
static int
standard_period(const LmConfig *config)
{
	return config->model_type == LM_GEMMA3 ? 6 : 2;
}

/* LmConfig.attention_scale of a file without attention.scale: it follows from the size. */
static double
implied_scale(const LmConfig *config)
{
	int large = config->model_type == LM_GEMMA2	  ? GEMMA2_27B_LAYERS
				: config->model_type == LM_GEMMA3 ? GEMMA3_27B_LAYERS
												  : 0;

	if (config->layers != large || config->channels / config->heads == lm_config_head_size(config))
		return 0;
	return 1 / sqrt(config->channels / config->heads);
}

/* ---- Writing ------------------------------------------------------------ */

GptGgufValues *
gpt_gguf_config_write(const LmConfig *config)
{
	GptGgufValues *values = palloc0(sizeof(GptGgufValues));
	const char *name = NULL;

	values->values = palloc0(MAX_WRITTEN * sizeof(GptGgufValue));
	for (int i = 0; i < lengthof(architectures); i++)
		if (architectures[i].type == config->model_type)
			name = architectures[i].name;
	if (name == NULL || config->labels > 0 || config->lora_rank > 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("llama.cpp has no architecture for this model"),
						errdetail("Its model_type is \"%s\".",
								  lm_model_type_name((int) config->model_type))));
	if (config->window > 0 && !config->post_norm)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("llama.cpp has no architecture for this model"),
						errdetail("\"%s\" does not have its window.", name)));
	gpt_gguf_put(values, "general", "architecture", LM_GGUF_STRING, 0)->text = name;
	for (int i = 0; i < lengthof(keys); i++)
		if (keys[i].types & HF(config->model_type))
			write_key(values, config, &keys[i], name);
	gpt_gguf_put(values, name, "vocab_size", LM_GGUF_U32, config->vocabulary);
	if (config->window > 0)
	{
		gpt_gguf_put(values, name, "attention.sliding_window", LM_GGUF_U32, config->window);
		if (config->window_period != standard_period(config))
			gpt_gguf_put(values, name, "attention.sliding_window_pattern", LM_GGUF_U32,
						 config->window_period > 0 ? config->window_period : LM_MAX_LAYERS);
	}
	if (config->position == LM_ROPE)
		gpt_gguf_write_scaling(values, config, name);
	values->vocabulary = config->vocabulary;
	values->has_head = !config->tie_embeddings;
	values->has_attention_bias = lm_config_has_qkv_bias(config);
	check_restored(config, values);
	return values;
}

GptGgufValue *
gpt_gguf_put(GptGgufValues *values, const char *architecture, const char *name, LmGgufType type,
			 double number)
{
	GptGgufValue *value = &values->values[values->n++];

	Assert(values->n <= MAX_WRITTEN);
	value->key = psprintf("%s.%s", architecture, name);
	value->type = type;
	value->number = number;
	return value;
}

/* Writes a key, unless llama.cpp has the value without it. */
static void
write_key(GptGgufValues *values, const LmConfig *config, const Key *key, const char *architecture)
{
	double number = lm_config_get(config, gpt_config_field(key->field));
	LmGgufType type = key->kind == REAL || key->kind == SOFTCAP || key->kind == SCALE ? LM_GGUF_F32
					  : key->kind == SWITCH											  ? LM_GGUF_BOOL
																					  : LM_GGUF_U32;

	switch (key->kind)
	{
		case KV_HEADS:
			number = lm_config_kv_heads(config);
			break;
		case HEAD_SIZE:
		case VALUE_SIZE:
			number = lm_config_head_size(config);
			break;
		case ROTARY_SIZE:
			number = lm_config_rotary_size(config);
			break;
		case SOFTCAP:
			if (number == key->absent)
				return;
			break;
		case SCALE:
			/* llama.cpp does not read the key for these architectures. */
			if (fabs(number - implied_scale(config)) > 1e-6 * number)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("llama.cpp has no architecture for this model"),
						 errdetail("\"%s\" does not have its attention_scale.", architecture)));
			return;
		case SIZE:
		case REAL:
		case SWITCH:
			break;
	}
	gpt_gguf_put(values, architecture, key->name, type, number);
}

/* What is read back must be what was written. */
static void
check_restored(const LmConfig *config, const GptGgufValues *values)
{
	const LmConfigField *field;
	LmConfig restored;

	gpt_gguf_config_read(&restored, values, 0);
	/* llama.cpp has one name for Llama and Mistral, and one GELU. */
	if (config->model_type == LM_MISTRAL)
		restored.model_type = LM_MISTRAL;
	field = gpt_config_lost(config, &restored, 1e-5);
	if (field != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("llama.cpp has no architecture for this model"),
						errdetail("\"%s\" does not have the model's value of \"%s\".",
								  values->values[0].text, field->name)));
}
