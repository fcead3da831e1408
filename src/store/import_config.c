/*
 * src/store/import_config.c
 *
 * The configuration that a model file has in it: GGUF's metadata, the sizes of llama2.c, or the
 * metadata of a file that this extension wrote.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "core/bridge.h"
#include "store/gguf_config.h"
#include "store/import.h"
#include "store/import_parts.h"
#include "store/model_config.h"

#define MAX_STRING 255 /* bytes of a string of the metadata that is read here */
#define MAX_NOTE 200
#define MAX_CHAT_TEMPLATE (1024 * 1024) /* bytes; real ones have up to 20 KB */
#define ARCHITECTURE "general.architecture"

static void read_own(LmConfig *config, GptImport *import, int context);
static void load_keys(GptGgufValues *values, GptImport *import);
static void load_tensors(GptGgufValues *values, GptImport *import);

bool
gpt_import_config(LmConfig *config, GptImport *import, int context)
{
	GptGgufValues values = {0};

	switch (import->format)
	{
		case GPT_IMPORT_SAFETENSORS:
			if (import->own_config == NULL)
				return false;
			read_own(config, import, context);
			return true;
		case GPT_IMPORT_GGUF:
			load_keys(&values, import);
			load_tensors(&values, import);
			gpt_gguf_config_read(config, &values, context);
			return true;
		case GPT_IMPORT_LLAMA2C:
			gpt_import_config_llama2c(config, import, context);
			return true;
	}
	return false;
}

/* The configuration of a file that was a version's object here or elsewhere. */
static void
read_own(LmConfig *config, GptImport *import, int context)
{
	gpt_config_from_jsonb(config,
						  DirectFunctionCall1(jsonb_in, CStringGetDatum(import->own_config)));
	if (config->lora_rank > 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("file has an adapter"),
						errhint("Export the adapter's model after gpt_merge, and import that.")));
	if (context > 0 && context < config->context)
		config->context = context;
}

/* The keys of the architecture; arrays are not read. */
static void
load_keys(GptGgufValues *values, GptImport *import)
{
	const LmGgufKey *name = lm_gguf_find(import->gguf, ARCHITECTURE);
	size_t n = lm_gguf_n_keys(import->gguf);
	char *architecture = NULL;
	LmError error;

	if (name != NULL)
	{
		architecture = lm_gguf_string(import->gguf, ARCHITECTURE, MAX_STRING, &error);
		if (architecture == NULL)
			gpt_import_raise(import, &error);
	}
	values->values = palloc0((n + 1) * sizeof(GptGgufValue));
	for (size_t i = 0; i < n && architecture != NULL; i++)
	{
		const LmGgufKey *key = lm_gguf_key(import->gguf, i);
		GptGgufValue *value = &values->values[values->n];
		size_t size = strlen(architecture);

		if (strcmp(key->name, ARCHITECTURE) != 0 &&
			(strncmp(key->name, architecture, size) != 0 || key->name[size] != '.'))
			continue;
		value->key = key->name;
		value->type = key->type;
		values->n++;
		if (key->type == LM_GGUF_STRING)
		{
			value->text = lm_gguf_string(import->gguf, key->name, MAX_STRING, &error);
			if (value->text == NULL)
				gpt_import_raise(import, &error);
		}
		else if (key->type == LM_GGUF_BOOL)
			value->number = key->bits != 0;
		else if (key->type != LM_GGUF_ARRAY &&
				 !lm_gguf_number(&value->number, import->gguf, key->name, &error))
			gpt_import_raise(import, &error);
	}
}

int
gpt_import_end_tokens(int **ids, GptImport *import)
{
	static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
									   "tokenizer.ggml.eom_token_id"};
	int n = 0;

	*ids = palloc(lengthof(keys) * sizeof(int));
	for (int i = 0; i < lengthof(keys) && import->gguf != NULL; i++)
	{
		int64_t id;
		LmError error;

		if (lm_gguf_find(import->gguf, keys[i]) == NULL)
			continue;
		if (!lm_gguf_integer(&id, import->gguf, keys[i], 0, INT_MAX, &error))
			gpt_import_raise(import, &error);
		(*ids)[n++] = (int) id;
	}
	return n;
}

/* A text of at most that many bytes, if it is valid UTF-8; else NULL. */
static char *
text_of_key(GptImport *import, const char *key, size_t size)
{
	const LmGgufKey *found = import->gguf != NULL ? lm_gguf_find(import->gguf, key) : NULL;
	char *text = NULL;
	LmError error;

	if (found == NULL || found->type != LM_GGUF_STRING || found->n > size)
		return NULL;
	text = lm_gguf_string(import->gguf, key, size, &error);
	/* An error of the server, such as a cancelled query, is not one of the text. */
	if (text == NULL && error.code == LM_ERR_LIBRARY)
		gpt_import_raise(import, &error);
	return text != NULL && pg_verify_mbstr(PG_UTF8, text, (int) strlen(text), true) ? text : NULL;
}

char *
gpt_import_note(GptImport *import, const char *key)
{
	return text_of_key(import, key, MAX_NOTE);
}

char *
gpt_import_chat_template(GptImport *import)
{
	return text_of_key(import, "tokenizer.chat_template", MAX_CHAT_TEMPLATE);
}

/* What tensors say about the architecture. */
static void
load_tensors(GptGgufValues *values, GptImport *import)
{
	const GptImportTensor *embedding = gpt_import_find(import, "token_embd.weight");
	const GptImportTensor *factors = gpt_import_find(import, "rope_freqs.weight");

	if (embedding != NULL && embedding->tensor.n_dimensions == 2)
		values->vocabulary = (int) Min(embedding->tensor.shape[0], PG_INT32_MAX);
	values->has_head = gpt_import_find(import, "output.weight") != NULL;
	values->has_attention_bias = gpt_import_find(import, "blk.0.attn_q.bias") != NULL;
	if (factors == NULL)
		return;
	if (factors->tensor.n_dimensions != 1 || factors->tensor.shape[0] > LM_MAX_HEAD_SIZE ||
		strcmp(factors->tensor.type->name, "F32") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("tensor \"rope_freqs.weight\" is not a vector of floats")));
	values->n_factors = (int) factors->tensor.shape[0];
	values->factors = palloc(Max(values->n_factors, 1) * sizeof(float));
	gpt_import_read(factors->file, factors->tensor.offset, values->factors,
					values->n_factors * sizeof(float));
}
