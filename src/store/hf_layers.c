/*
 * src/store/hf_layers.c
 *
 * Rotation, windows and layers without positions, between config.json and LmConfig.
 *
 * Transformers 5 has all about rotation in rope_parameters, for Gemma 3 one such object for each
 * type of layer; before, rope_theta stood beside rope_scaling. Version 5 still reads the old form,
 * which is written here: older releases and llama.cpp's converter know it alone.
 */
#include "postgres.h"

#include <math.h>

#include "store/hf_fields.h"

#define NO_FULL_LAYER (-1)

/* The absent values of rope_theta, by architecture: 10,000 but for these. */
#define SMOLLM3_BASE 2000000
#define GEMMA3_BASE 1000000
#define STANDARD_BASE 10000
#define NEOX_ROTATED 0.25 /* rotary_pct */
#define YARN_LOW 1 /* beta_slow */
#define YARN_HIGH 32 /* beta_fast */
#define NEO_WINDOW 256
#define NEO_LAYERS 24 /* of attention_types, where it is missing */
#define WINDOW 4096
#define QWEN_WINDOW_LAYERS 28 /* max_window_layers */
#define GEMMA3_PERIOD 6
#define NOPE_PERIOD 4

static const GptJson *rope_object(const GptJson *json, const char *layer_type);
static void read_scaling(LmConfig *config, const GptJson *json, const GptJson *rope);
static double yarn_attention(const LmConfig *config, const GptJson *rope);
static void read_rotary_size(LmConfig *config, const GptJson *json, const GptJson *rope);
static void check_local(const GptJson *local);
static void read_nope(LmConfig *config, const GptJson *json);
static void read_neo_windows(LmConfig *config, const GptJson *json);
static void read_layer_types(LmConfig *config, const GptJson *types, bool *full);

void
gpt_hf_read_rotation(LmConfig *config, const GptJson *json)
{
	bool is_gemma3 = config->model_type == LM_GEMMA3;
	const GptJson *rope = rope_object(json, is_gemma3 ? "full_attention" : NULL);
	const GptJson *local = is_gemma3 ? rope_object(json, "sliding_attention") : NULL;
	double base = config->model_type == LM_SMOLLM3 ? SMOLLM3_BASE
				  : is_gemma3					   ? GEMMA3_BASE
												   : STANDARD_BASE;

	base = gpt_hf_number(json, config->model_type == LM_GPT_NEOX ? "rotary_emb_base" : "rope_theta",
						 base);
	config->rope_base = (float) gpt_hf_number(rope, "rope_theta", base);
	read_scaling(config, json, rope);
	read_rotary_size(config, json, rope);
	if (is_gemma3)
	{
		check_local(local);
		base = gpt_hf_number(json, "rope_local_base_freq", STANDARD_BASE);
		config->rope_local_base = (float) gpt_hf_number(local, "rope_theta", base);
	}
	if (config->model_type == LM_SMOLLM3)
		read_nope(config, json);
}

/*
 * The object with the parameters, NULL if there is none. rope_scaling of older releases comes
 * first, as in Transformers. An object for each type of layer is one with these names.
 */
static const GptJson *
rope_object(const GptJson *json, const char *layer_type)
{
	const GptJson *scaling = gpt_json_field(json, "rope_scaling");
	const GptJson *parameters = gpt_json_field(json, "rope_parameters");
	const GptJson *found = scaling != NULL ? scaling : parameters;

	if (found != NULL && found->type != GPT_JSON_OBJECT)
		gpt_hf_refuse(found->name, found, "It must be an object.");
	if (layer_type == NULL || parameters == NULL)
		return layer_type != NULL && strcmp(layer_type, "sliding_attention") == 0 ? NULL : found;
	found = gpt_json_field(parameters, layer_type);
	if (found != NULL && found->type != GPT_JSON_OBJECT)
		gpt_hf_refuse(psprintf("rope_parameters.%s", layer_type), found, "It must be an object.");
	return found;
}

/* The type of scaling and its numbers. */
static void
read_scaling(LmConfig *config, const GptJson *json, const GptJson *rope)
{
	const GptJson *field = gpt_hf_find(rope, "rope_type");
	const char *type;
	double factor;

	if (field == NULL)
		field = gpt_hf_find(rope, "type");
	type = field != NULL ? gpt_json_string(field) : "default";
	if (type != NULL && strcmp(type, "default") == 0)
		return;
	if (type != NULL && strcmp(type, "linear") == 0)
		config->rope_scaling = LM_ROPE_LINEAR;
	else if (type != NULL && strcmp(type, "llama3") == 0)
		config->rope_scaling = LM_ROPE_LLAMA3;
	else if (type != NULL && strcmp(type, "yarn") == 0)
		config->rope_scaling = LM_ROPE_YARN;
	else
		gpt_hf_refuse("rope_type", field, "Supported are: default, linear, llama3, yarn.");
	if (config->rope_scaling != LM_ROPE_LINEAR)
	{
		config->rope_context =
			gpt_hf_integer(rope, "original_max_position_embeddings", config->context);
		config->rope_context =
			gpt_hf_integer(json, "original_max_position_embeddings", config->rope_context);
	}
	factor = gpt_hf_number(rope, "factor", 0);
	if (factor == 0 && config->rope_scaling == LM_ROPE_YARN && config->rope_context > 0)
		factor = (double) config->context / config->rope_context;
	if (!(factor >= 1))
		gpt_hf_refuse("factor", gpt_hf_find(rope, "factor"), "It must be a number from 1 on.");
	config->rope_factor = (float) factor;
	if (config->rope_scaling == LM_ROPE_LLAMA3)
	{
		config->rope_low = (float) gpt_hf_number(rope, "low_freq_factor", 1);
		config->rope_high = (float) gpt_hf_number(rope, "high_freq_factor", 4);
	}
	if (config->rope_scaling == LM_ROPE_YARN)
	{
		double low = gpt_hf_number(rope, "beta_slow", 0);
		double high = gpt_hf_number(rope, "beta_fast", 0);

		config->rope_low = (float) (low != 0 ? low : YARN_LOW);
		config->rope_high = (float) (high != 0 ? high : YARN_HIGH);
		config->rope_attention = (float) yarn_attention(config, rope);
		if (!gpt_hf_boolean(rope, "truncate", true))
			gpt_hf_refuse("truncate", gpt_hf_find(rope, "truncate"), "It must be true.");
	}
}

/* The factor of cosines and sines where it is not the rule's (0): DeepSeek's mscale, or given. */
static double
yarn_attention(const LmConfig *config, const GptJson *rope)
{
	double given = gpt_hf_number(rope, "attention_factor", 0);
	double mscale = gpt_hf_number(rope, "mscale", 0);
	double mscale_all_dim = gpt_hf_number(rope, "mscale_all_dim", 0);
	double logarithm = 0.1 * log(config->rope_factor);

	if (gpt_json_field(rope, "attention_factor") != NULL)
		return given;
	if (mscale == 0 || mscale_all_dim == 0)
		return 0;
	return (mscale * logarithm + 1) / (mscale_all_dim * logarithm + 1);
}

/* The part of each head that is rotated: GPT-NeoX alone has one. */
static void
read_rotary_size(LmConfig *config, const GptJson *json, const GptJson *rope)
{
	bool is_neox = config->model_type == LM_GPT_NEOX;
	double part = gpt_hf_number(json, is_neox ? "rotary_pct" : "partial_rotary_factor",
								is_neox ? NEOX_ROTATED : 1);

	part = gpt_hf_number(rope, "partial_rotary_factor", part);
	if (!(part > 0 && part <= 1) || (!is_neox && part != 1))
		gpt_hf_refuse("partial_rotary_factor", gpt_hf_find(rope, "partial_rotary_factor"),
					  is_neox ? "It must be above 0 and at most 1." : "It must be 1.");
	config->rotary_size = (int) (lm_config_head_size(config) * part);
	if (config->rotary_size < 1)
		gpt_hf_refuse("rotary_pct", gpt_hf_find(json, "rotary_pct"),
					  "It leaves no element of a head to rotate.");
}

/* Layers with a window are not scaled. */
static void
check_local(const GptJson *local)
{
	const GptJson *field = gpt_hf_find(local, "rope_type");

	if (field != NULL &&
		(gpt_json_string(field) == NULL || strcmp(gpt_json_string(field), "default") != 0))
		gpt_hf_refuse("rope_parameters.sliding_attention.rope_type", field,
					  "Supported is: default.");
}

/* no_rope_layers has a 0 for each layer without positions. */
static void
read_nope(LmConfig *config, const GptJson *json)
{
	const GptJson *list = gpt_json_field(json, "no_rope_layers");
	int interval = gpt_hf_integer(json, "no_rope_layer_interval", NOPE_PERIOD);

	if (list == NULL)
	{
		config->nope_period = interval;
		return;
	}
	if (list->type != GPT_JSON_ARRAY || list->count != config->layers)
		gpt_hf_refuse("no_rope_layers", list, "It must have a number for each layer.");
	for (int period = 0; period <= config->layers; period++)
	{
		const GptJson *node = list->first;
		bool fits = true;

		config->nope_period = period;
		for (int layer = 0; layer < config->layers; layer++, node = node->next)
			fits = fits && gpt_hf_is_empty(node) == !lm_config_rotates(config, layer);
		if (fits)
			return;
	}
	gpt_hf_refuse("no_rope_layers", list, "Supported is every n-th layer without positions.");
}

void
gpt_hf_read_windows(LmConfig *config, const GptJson *json)
{
	LmModelType type = config->model_type;
	bool *full = palloc0(config->layers * sizeof(bool));
	const GptJson *types = gpt_json_field(json, "layer_types");
	int window = 0;
	int first = gpt_hf_integer(json, "max_window_layers", QWEN_WINDOW_LAYERS);
	int period =
		type == LM_GEMMA3 ? gpt_hf_integer(json, "sliding_window_pattern", GEMMA3_PERIOD) : 2;

	if (type == LM_GPT_NEO)
	{
		read_neo_windows(config, json);
		return;
	}
	if (type == LM_MISTRAL || (HF(type) & HF_GEMMAS) ||
		((HF(type) & (HF_QWENS | HF(LM_SMOLLM3))) &&
		 gpt_hf_boolean(json, "use_sliding_window", false)))
		window = gpt_hf_integer(json, "sliding_window", type == LM_SMOLLM3 ? 0 : WINDOW);
	if (window == 0)
		return;
	for (int layer = 0; layer < config->layers; layer++)
	{
		if (HF(type) & HF_QWENS)
			full[layer] = layer < first;
		else if (HF(type) & HF_GEMMAS)
			full[layer] = period < 1 || (layer + 1) % period == 0;
		else if (type == LM_SMOLLM3)
			full[layer] = lm_config_rotates(config, layer);
	}
	if (types != NULL && type != LM_MISTRAL)
		read_layer_types(config, types, full);
	if (!gpt_hf_set_windows(config, full, window))
		gpt_hf_refuse(types != NULL ? "layer_types" : "max_window_layers",
					  gpt_hf_find(json, types != NULL ? "layer_types" : "max_window_layers"),
					  "Supported is every n-th layer without a window, or none.");
}

/* full_attention or sliding_attention for each layer. */
static void
read_layer_types(LmConfig *config, const GptJson *types, bool *full)
{
	const GptJson *node = types->first;

	if (types->type != GPT_JSON_ARRAY || types->count != config->layers)
		gpt_hf_refuse("layer_types", types, "It must have a word for each layer.");
	for (int layer = 0; layer < config->layers; layer++, node = node->next)
	{
		const char *word = gpt_json_string(node);

		full[layer] = word != NULL && strcmp(word, "full_attention") == 0;
		if (!full[layer] && (word == NULL || strcmp(word, "sliding_attention") != 0))
			gpt_hf_refuse("layer_types", node, "Supported are: full_attention, sliding_attention.");
	}
}

/* [[["global", "local"], 12]]: each list of words so many times. */
static void
read_neo_windows(LmConfig *config, const GptJson *json)
{
	static const char supported[] = "It must have global or local for each layer.";
	const GptJson *types = gpt_json_field(json, "attention_types");
	bool *full = palloc0(config->layers * sizeof(bool));
	int n = 0;

	if (types == NULL)
		for (; n < NEO_LAYERS && n < config->layers; n++)
			full[n] = n % 2 == 0;
	else if (types->type != GPT_JSON_ARRAY)
		gpt_hf_refuse("attention_types", types, supported);
	for (const GptJson *item = types != NULL ? types->first : NULL; item != NULL; item = item->next)
	{
		const GptJson *words =
			item->type == GPT_JSON_ARRAY && item->count == 2 ? item->first : NULL;
		int repeats = words != NULL ? gpt_json_integer(words->next, LM_MAX_LAYERS) : -1;

		if (words == NULL || words->type != GPT_JSON_ARRAY || repeats < 0)
			gpt_hf_refuse("attention_types", types, supported);
		for (int i = 0; i < repeats; i++)
			for (const GptJson *word = words->first; word != NULL; word = word->next)
			{
				const char *text = gpt_json_string(word);
				bool is_global = text != NULL && strcmp(text, "global") == 0;

				if (n == config->layers ||
					(!is_global && (text == NULL || strcmp(text, "local") != 0)))
					gpt_hf_refuse("attention_types", types, supported);
				full[n++] = is_global;
			}
	}
	if (n != config->layers)
		gpt_hf_refuse("attention_types", types, supported);
	if (!gpt_hf_set_windows(config, full, gpt_hf_integer(json, "window_size", NEO_WINDOW)))
		gpt_hf_refuse("attention_types", types,
					  "Supported is every n-th layer without a window, or none.");
}

bool
gpt_hf_set_windows(LmConfig *config, const bool *full, int window)
{
	int n_full = 0;

	for (int layer = 0; layer < config->layers; layer++)
		n_full += full[layer];
	config->window = n_full < config->layers ? window : 0;
	config->window_period = config->window_full = 0;
	if (config->window == 0 || n_full == 0)
		return true;
	for (int period = 2; period <= config->layers; period++)
		for (int place = 0; place < period; place++)
		{
			bool fits = true;

			for (int layer = 0; layer < config->layers && fits; layer++)
				fits = full[layer] == (layer % period == place);
			config->window_period = period;
			config->window_full = place;
			if (fits)
				return true;
		}
	return false;
}

void
gpt_hf_write_rotation(StringInfo json, const LmConfig *config)
{
	gpt_hf_append_real(json, config->model_type == LM_GPT_NEOX ? "rotary_emb_base" : "rope_theta",
					   config->rope_base);
	if (config->model_type == LM_GPT_NEOX)
		gpt_hf_append_real(json, "rotary_pct",
						   (double) lm_config_rotary_size(config) / lm_config_head_size(config));
	if (config->rope_local_base > 0)
		gpt_hf_append_real(json, "rope_local_base_freq", config->rope_local_base);
	if (config->model_type == LM_SMOLLM3)
	{
		appendStringInfoString(json, ",\n  \"no_rope_layers\": [");
		for (int layer = 0; layer < config->layers; layer++)
			appendStringInfo(json, "%s%d", layer > 0 ? ", " : "", lm_config_rotates(config, layer));
		appendStringInfoChar(json, ']');
		gpt_hf_append_integer(json, "no_rope_layer_interval", config->nope_period);
	}
	if (config->rope_scaling == LM_ROPE_UNSCALED)
		return;
	appendStringInfo(json, ",\n  \"rope_scaling\": {\n  \"rope_type\": \"%s\"",
					 lm_rope_scaling_name((int) config->rope_scaling));
	gpt_hf_append_real(json, "factor", config->rope_factor);
	if (config->rope_scaling != LM_ROPE_LINEAR)
		gpt_hf_append_integer(json, "original_max_position_embeddings", config->rope_context);
	if (config->rope_scaling == LM_ROPE_LLAMA3)
	{
		gpt_hf_append_real(json, "low_freq_factor", config->rope_low);
		gpt_hf_append_real(json, "high_freq_factor", config->rope_high);
	}
	if (config->rope_scaling == LM_ROPE_YARN)
	{
		gpt_hf_append_real(json, "beta_slow", config->rope_low);
		gpt_hf_append_real(json, "beta_fast", config->rope_high);
		if (config->rope_attention > 0)
			gpt_hf_append_real(json, "attention_factor", config->rope_attention);
	}
	appendStringInfoString(json, "\n  }");
}

void
gpt_hf_write_windows(StringInfo json, const LmConfig *config)
{
	unsigned type = HF(config->model_type);
	bool has_types = (type & (HF_QWENS | HF(LM_SMOLLM3) | HF_GEMMAS)) != 0;

	if (type & HF(LM_GPT_NEO))
	{
		gpt_hf_append_integer(json, "window_size",
							  config->window > 0 ? config->window : NEO_WINDOW);
		appendStringInfoString(json, ",\n  \"attention_types\": [[[");
		for (int layer = 0; layer < config->layers; layer++)
			appendStringInfo(json, "%s\"%s\"", layer > 0 ? ", " : "",
							 lm_config_window(config, layer) > 0 ? "local" : "global");
		appendStringInfoString(json, "], 1]]");
	}
	if (type & (HF_QWENS | HF(LM_SMOLLM3)))
		appendStringInfo(json, ",\n  \"use_sliding_window\": %s",
						 config->window > 0 ? "true" : "false");
	if (config->window > 0 && !(type & HF_GPTS))
		gpt_hf_append_integer(json, "sliding_window", config->window);
	else if (type & HF(LM_MISTRAL))
		appendStringInfoString(json, ",\n  \"sliding_window\": null");
	if (!has_types)
		return;
	appendStringInfoString(json, ",\n  \"layer_types\": [");
	for (int layer = 0; layer < config->layers; layer++)
		appendStringInfo(json, "%s\"%s\"", layer > 0 ? ", " : "",
						 lm_config_window(config, layer) > 0 ? "sliding_attention"
															 : "full_attention");
	appendStringInfoChar(json, ']');
}
