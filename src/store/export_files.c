/*
 * src/store/export_files.c
 *
 * The texts beside exported weights: what Hugging Face's libraries read beside a safetensors file.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/json.h"

#include "core/chat.h"
#include "engine/tokenizer.h"
#include "store/export.h"
#include "store/export_parts.h"
#include "store/hf_config.h"
#include "store/model_extras.h"
#include "store/tokenizer_json.h"

/* A file: its text, and which versions have it. */
typedef struct TextFile
{
	const char *name;
	char *(*text)(const GptVersion *version);
	bool of_model;
	bool of_adapter;
} TextFile;

static char *config_text(const GptVersion *version);
static char *generation_text(const GptVersion *version);
static char *tokenizer_text(const GptVersion *version);
static char *tokenizer_config_text(const GptVersion *version);
static char *adapter_text(const GptVersion *version);
static void append_ends(StringInfo json, const GptVersion *version, int32 end);
static void append_sampling(StringInfo json, const GptVersion *version);
static void append_token(StringInfo json, const char *key, const LmTokenizerSpec *spec, int32 id);
static void append_targets(StringInfo json, const GptVersion *adapter);
static int32 beginning_of(const LmTokenizerSpec *spec);

static const TextFile files[] = {
	{"config.json", config_text, true, false},
	{"generation_config.json", generation_text, true, false},
	{"tokenizer.json", tokenizer_text, true, true},
	{"tokenizer_config.json", tokenizer_config_text, true, true},
	{"adapter_config.json", adapter_text, false, true},
	{"README.md", gpt_export_card, true, true},
};

static bool
has_file(const GptVersion *version, const TextFile *file)
{
	return version->base != NULL ? file->of_adapter : file->of_model;
}

char *
gpt_export_text(const GptVersion *version, const char *name)
{
	for (int i = 0; i < lengthof(files); i++)
		if (strcmp(files[i].name, name) == 0 && has_file(version, &files[i]))
			return files[i].text(version);
	return NULL;
}

const char *
gpt_export_file_name(const GptVersion *version, int number)
{
	for (int i = 0; i < lengthof(files); i++)
		if (has_file(version, &files[i]) && number-- == 0)
			return files[i].name;
	return NULL;
}

static char *
config_text(const GptVersion *version)
{
	LmTokenizerSpec *spec = gpt_catalog_read_tokenizer(version->tokenizer);

	gpt_export_check(version);
	return gpt_hf_config_write(&version->config, beginning_of(spec), spec->end_of_text,
							   gpt_export_file_type(version));
}

/* The token in front of a text, as scores and generated texts have it. */
static int32
beginning_of(const LmTokenizerSpec *spec)
{
	return spec->beginning >= 0 ? spec->beginning : spec->end_of_text;
}

static char *
generation_text(const GptVersion *version)
{
	LmTokenizerSpec *spec = gpt_catalog_read_tokenizer(version->tokenizer);
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\n  \"_from_model_config\": false");
	if (beginning_of(spec) >= 0)
		appendStringInfo(&json, ",\n  \"bos_token_id\": %d", beginning_of(spec));
	append_ends(&json, version, spec->end_of_text);
	append_sampling(&json, version);
	appendStringInfoString(&json, "\n}\n");
	return json.data;
}

/* The tokenizer's end of a text, and what ends an answer. */
static void
append_ends(StringInfo json, const GptVersion *version, int32 end)
{
	int32 *ends = NULL;
	int n = gpt_extras_ends(&ends, version->extras);
	const char *comma = "";

	if (end < 0 && n == 0)
		return;
	appendStringInfoString(json, ",\n  \"eos_token_id\": [");
	if (end >= 0)
	{
		appendStringInfo(json, "%d", end);
		comma = ", ";
	}
	for (int i = 0; i < n; i++)
	{
		if (ends[i] == end)
			continue;
		appendStringInfo(json, "%s%d", comma, ends[i]);
		comma = ", ";
	}
	appendStringInfoChar(json, ']');
}

static void
append_sampling(StringInfo json, const GptVersion *version)
{
	static const char *const names[] = {"temperature", "top_k", "top_p", "min_p",
										"repetition_penalty"};
	bool samples = gpt_extras_sampling(version->extras, "temperature", 1) > 0;

	for (int i = 0; samples && i < lengthof(names); i++)
	{
		double value = gpt_extras_sampling(version->extras, names[i], -1);

		if (value >= 0)
			appendStringInfo(json, ",\n  \"%s\": %g", names[i], value);
	}
	appendStringInfo(json, ",\n  \"do_sample\": %s", samples ? "true" : "false");
}

static char *
tokenizer_text(const GptVersion *version)
{
	size_t size;

	return gpt_tokenizer_to_json(gpt_catalog_read_tokenizer(version->tokenizer), &size);
}

static char *
tokenizer_config_text(const GptVersion *version)
{
	LmTokenizerSpec *spec = gpt_catalog_read_tokenizer(version->tokenizer);
	char *chat = gpt_extras_chat_json(version->extras);
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json,
					 "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
					 "  \"clean_up_tokenization_spaces\": false,\n  \"model_max_length\": %d",
					 version->config.context);
	append_token(&json, "bos_token", spec, beginning_of(spec));
	append_token(&json, "eos_token", spec, spec->end_of_text);
	append_token(&json, "unk_token", spec, spec->unknown);
	if (chat != NULL)
	{
		appendStringInfoString(&json, ",\n  \"chat_template\": ");
		escape_json(&json, gpt_chat_to_jinja(gpt_extras_chat(version->extras), chat));
	}
	appendStringInfoString(&json, "\n}\n");
	return json.data;
}

static void
append_token(StringInfo json, const char *key, const LmTokenizerSpec *spec, int32 id)
{
	if (id < 0)
		return;
	appendStringInfo(json, ",\n  \"%s\": ", key);
	escape_json(json, pnstrdup(spec->tokens[id].data, spec->tokens[id].size));
}

/* ---- Adapters ----------------------------------------------------------- */

static char *
adapter_text(const GptVersion *adapter)
{
	const LmConfig *config = &adapter->config;
	StringInfoData json;

	gpt_export_check(adapter);
	initStringInfo(&json);
	appendStringInfo(&json,
					 "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\",\n"
					 "  \"r\": %d,\n  \"lora_alpha\": %g,\n  \"lora_dropout\": %g,\n"
					 "  \"bias\": \"none\",\n  \"fan_in_fan_out\": %s,\n"
					 "  \"inference_mode\": true,\n  \"target_modules\": [",
					 config->lora_rank, config->lora_alpha, config->lora_dropout,
					 config->model_type == LM_GPT ? "true" : "false");
	append_targets(&json, adapter);
	appendStringInfoString(&json, "],\n  \"base_model_name_or_path\": ");
	escape_json(&json, adapter->base);
	appendStringInfoString(&json, "\n}\n");
	return json.data;
}

/* The layers of a block by the last two words of their names, which PEFT compares. */
static void
append_targets(StringInfo json, const GptVersion *adapter)
{
	static const LmParamKind kinds[LM_TARGETS] = {LM_ATTENTION_WEIGHT, LM_PROJECTION_WEIGHT,
												  LM_UP_WEIGHT, LM_DOWN_WEIGHT};
	LmConfig config = lm_config_base(&adapter->config);
	LmParamTable *base = gpt_weights_table(&config);
	const char *comma = "";

	for (LmTarget target = 0; target < LM_TARGETS; target++)
	{
		const LmParam *matrix = lm_param_find(base, kinds[target], 0);

		if ((adapter->config.lora_targets >> target & 1) == 0)
			continue;
		for (int i = 0; i < matrix->n_parts; i++)
		{
			char *name = pstrdup(matrix->parts[i].name);
			char *word = name + strlen(name) - strlen(".weight");

			*word = '\0';
			for (int dots = 0; word > name; word--)
				if (word[-1] == '.' && ++dots == 2)
					break;
			appendStringInfoString(json, comma);
			escape_json(json, word);
			comma = ", ";
		}
	}
}
