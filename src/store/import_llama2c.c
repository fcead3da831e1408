/*
 * src/store/import_llama2c.c
 *
 * The tensors and sizes of a .bin file of llama2.c, https://github.com/karpathy/llama2.c. The
 * numbers that the file does not have are those of its run.c.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "engine/llama2c.h"
#include "store/import.h"
#include "store/import_parts.h"

#define NORM_EPSILON 1e-5f
#define ROPE_BASE 10000

void
gpt_import_list_llama2c(GptImport *import, GptImportFile *file)
{
	LmError error;
	LmLlama2c *model = lm_llama2c_open(&file->file, gpt_bridge_host(CurrentMemoryContext), &error);
	GptImportTensor *tensors;

	if (model == NULL)
		gpt_import_raise(import, &error);
	tensors = gpt_import_add(import, (int) model->n_tensors);
	for (size_t i = 0; i < model->n_tensors; i++)
	{
		tensors[i].tensor = model->tensors[i];
		tensors[i].file = file;
	}
	import->llama2c = model;
}

void
gpt_import_config_llama2c(LmConfig *config, GptImport *import, int context)
{
	const LmLlama2c *model = import->llama2c;
	LmError error;

	*config = lm_config_default();
	config->model_type = LM_LLAMA;
	config->vocabulary = model->vocabulary;
	config->context = model->context;
	config->layers = model->layers;
	config->heads = model->heads;
	config->kv_heads = model->kv_heads;
	config->channels = model->channels;
	config->mlp_channels = model->mlp_channels;
	config->norm = LM_RMSNORM;
	config->norm_epsilon = NORM_EPSILON;
	config->position = LM_ROPE;
	config->rope_base = ROPE_BASE;
	config->mlp = LM_SWIGLU;
	config->bias = false;
	config->tie_embeddings = model->tied;
	if (context > 0 && context < config->context)
		config->context = context;
	if (!lm_config_check(config, &error))
		gpt_import_raise(import, &error);
}
