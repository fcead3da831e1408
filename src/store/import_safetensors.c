/*
 * src/store/import_safetensors.c
 *
 * A safetensors file of any project in, its tensors out. The engine reads the header
 * (include/engine/safetensors.h); the metadata of files that this extension wrote are read here.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "core/bridge.h"
#include "core/json_tree.h"
#include "store/import.h"
#include "store/import_parts.h"
#include "store/weights_header.h"

static char *read_text(GptImport *import, const LmSafetensors *safetensors, const char *key);
static GptJson *read_blocks(GptImport *import, const LmSafetensors *safetensors);
static void set_blocks(GptImport *import, LmFileTensor *tensor, const GptJson *blocks);

void
gpt_import_list_safetensors(GptImport *import, GptImportFile *file)
{
	LmError error;
	LmSafetensors *safetensors =
		lm_safetensors_open(&file->file, gpt_bridge_host(CurrentMemoryContext), &error);
	GptImportTensor *tensors;
	const GptJson *blocks;
	int n;

	if (safetensors == NULL)
		gpt_import_raise(import, &error);
	file->safetensors = safetensors;
	if (lm_safetensors_has_text(safetensors, GPT_WEIGHTS_CONFIG))
		import->own_config = read_text(import, safetensors, GPT_WEIGHTS_CONFIG);
	if (lm_safetensors_has_text(safetensors, GPT_WEIGHTS_EXTRAS))
		import->own_extras = read_text(import, safetensors, GPT_WEIGHTS_EXTRAS);
	blocks = read_blocks(import, safetensors);
	n = (int) lm_safetensors_n_tensors(safetensors);
	tensors = gpt_import_add(import, n);
	for (int i = 0; i < n; i++)
	{
		LmFileTensor *tensor = &tensors[i].tensor;

		*tensor = *lm_safetensors_tensor(safetensors, i);
		tensors[i].file = file;
		/* One element is a vector of length 1. */
		tensor->n_dimensions = Max(tensor->n_dimensions, 1);
		set_blocks(import, tensor, blocks);
	}
}

/* A text of the metadata, in the server's encoding. */
static char *
read_text(GptImport *import, const LmSafetensors *safetensors, const char *key)
{
	LmError error;
	char *text = lm_safetensors_text(safetensors, key, GPT_WEIGHTS_MAX_HEADER, &error);

	if (text == NULL)
		gpt_import_raise(import, &error);
	/* The first one is freed with the memory context. */
	return pstrdup(pg_any_to_server(text, (int) strlen(text), PG_UTF8));
}

/*
 * The names of types of blocks, which files of this extension have, or NULL. Other metadata are
 * notes, and aliases of tensors that are not in the file.
 */
static GptJson *
read_blocks(GptImport *import, const LmSafetensors *safetensors)
{
	char *text;

	if (!lm_safetensors_has_text(safetensors, GPT_WEIGHTS_BLOCKS))
		return NULL;
	text = read_text(import, safetensors, GPT_WEIGHTS_BLOCKS);
	return gpt_json_parse(text, strlen(text), GPT_IMPORT_MAX_TENSORS + 1, "types of blocks");
}

/*
 * Where the metadata have a type of blocks for a tensor of U8, the last dimension is the bytes of a
 * row.
 */
static void
set_blocks(GptImport *import, LmFileTensor *tensor, const GptJson *blocks)
{
	uint64_t *row = &tensor->shape[tensor->n_dimensions - 1];
	const char *name = gpt_json_string(gpt_json_field(blocks, tensor->name));
	const LmBlockType *type;
	LmError error;

	if (name == NULL || strcmp(tensor->type_name, GPT_WEIGHTS_BYTES) != 0)
		return;
	type = lm_block_type_named(name);
	if (type == NULL || *row % type->bytes != 0 || *row > PG_INT64_MAX / LM_BLOCK_MOST)
	{
		lm_fail(&error, LM_ERR_FORMAT, -1, "rows of tensor \"%s\" are not whole blocks",
				tensor->name);
		gpt_import_raise(import, &error);
	}
	*row = *row / type->bytes * type->elements;
	tensor->type = type;
	tensor->type_name = type->name;
}
