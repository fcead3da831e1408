/*
 * src/store/export_safetensors.c
 *
 * A version goes in, a safetensors file for Hugging Face's libraries comes out. Full versions have
 * their own tensors; an adapter's matrices are split as PEFT wants them.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "store/export.h"
#include "store/export_parts.h"

#define ALIGNMENT 64

static const LmBlockType *type_of(const LmBlockType *own, GptExportType type);
static void append(void *into, const void *bytes, size_t size);

/* Sees each tensor of PEFT's file. */
typedef void (*SeeTensor)(void *into, const char *name, const LmParam *param, int first_row,
						  int n_rows);
static void see_tensors(const LmParamTable *table, const LmParamTable *base, SeeTensor see,
						void *into);
static void see_entry(void *into, const char *name, const LmParam *param, int first_row,
					  int n_rows);
static void see_data(void *into, const char *name, const LmParam *param, int first_row, int n_rows);

/* The header of PEFT's file, and the place of the next tensor. */
typedef struct Header
{
	StringInfoData json;
	uint64 offset;
} Header;

/* Where tensors go. */
typedef struct Data
{
	GptBlob *blob;
	const float *block;
} Data;

Oid
gpt_export_safetensors(const GptVersion *version, GptExportType type)
{
	LmConfig network = lm_config_base(&version->config);
	LmParamTable *all = gpt_weights_table(&version->config);
	LmParamTable *table = gpt_weights_table(&network);
	GptWeightsReader *reader;
	GptWeightsWriter *writer;
	const LmBlockType **types = palloc(table->n_tensors * sizeof(const LmBlockType *));
	const GptWeightsNotes notes = {.extras = version->extras}; /* _check refuses labels */
	GptBlob *blob;
	int n = 0;

	gpt_export_check(version);
	reader = gpt_weights_open(version, all);
	for (int i = 0; i < table->n_tensors; i++)
		types[i] = type_of(gpt_weights_type(reader, i), type);
	blob = gpt_export_create();
	writer = gpt_weights_begin(blob, table, types, &notes);
	for (int i = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++, n++)
		{
			const LmParam *param = &table->params[i];
			int shape[2];
			bool vector = lm_part_shape(shape, param, &param->parts[part]) == 1;
			GptExportTensor tensor = {.name = param->parts[part].name,
									  .rows = shape[0],
									  .columns = vector ? 1 : shape[1],
									  .from = gpt_weights_type(reader, n),
									  .to = types[n]};

			gpt_export_tensor(reader, &tensor, append, writer);
		}
	gpt_weights_end(writer);
	gpt_export_skip_ngrams(reader, all);
	gpt_weights_close(reader);
	return gpt_export_finish(blob, version, "safetensors");
}

/* The type of a tensor; blocks have all their bits as float32. */
static const LmBlockType *
type_of(const LmBlockType *own, GptExportType type)
{
	const LmBlockType *wanted = gpt_export_block_type(type);

	if (type == GPT_EXPORT_KEEP || (type == GPT_EXPORT_AUTO && own->elements == 1))
		return own;
	if (type == GPT_EXPORT_AUTO)
		return lm_block_type_named("F32");
	if (wanted->elements > 1)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("safetensors has no type \"%s\"", gpt_export_type_name(type)),
						errhint("Export as \"gguf\", or use float32, float16 or bfloat16.")));
	return wanted;
}

static void
append(void *into, const void *bytes, size_t size)
{
	gpt_weights_append(into, bytes, size);
}

const char *
gpt_export_file_type(const GptVersion *version)
{
	LmParamTable *table = gpt_weights_table(&version->config);
	GptWeightsReader *reader = gpt_weights_open(version, table);
	const LmBlockType *type = type_of(gpt_weights_type(reader, 0), GPT_EXPORT_AUTO);

	gpt_weights_abandon(reader);
	if (strcmp(type->name, "BF16") == 0)
		return "bfloat16";
	return strcmp(type->name, "F16") == 0 ? "float16" : "float32";
}

/* ---- Adapters ----------------------------------------------------------- */

Oid
gpt_export_adapter(const GptVersion *adapter)
{
	LmParamTable *table = gpt_weights_table(&adapter->config);
	LmConfig config = lm_config_base(&adapter->config);
	LmParamTable *base = gpt_weights_table(&config);
	GptBlob *blob;
	Header header = {.offset = 0};
	Data data;
	float *block;
	uint64 size;

	gpt_export_check(adapter);
	gpt_bridge_check_memory(table->total * sizeof(float));
	block = MemoryContextAllocExtended(CurrentMemoryContext, table->total * sizeof(float),
									   MCXT_ALLOC_HUGE);
	gpt_weights_read(block, table, adapter);
	initStringInfo(&header.json);
	appendStringInfoString(&header.json, "{\"__metadata__\":{\"format\":\"pt\"}");
	see_tensors(table, base, see_entry, &header);
	appendStringInfoChar(&header.json, '}');
	while ((sizeof(uint64) + header.json.len) % ALIGNMENT != 0)
		appendStringInfoChar(&header.json, ' ');
	size = header.json.len;
	blob = gpt_export_create();
	gpt_blob_write(blob, &size, sizeof(size));
	gpt_blob_write(blob, header.json.data, size);
	data = (Data){blob, block};
	see_tensors(table, base, see_data, &data);
	pfree(block);
	return gpt_export_finish(blob, adapter, "adapter of PEFT");
}

/* The parameter of the base that a target of an adapter adds to. */
static LmParamKind
kind_of(LmTarget target)
{
	switch (target)
	{
		case LM_TARGET_ATTENTION:
			return LM_ATTENTION_WEIGHT;
		case LM_TARGET_PROJECTION:
			return LM_PROJECTION_WEIGHT;
		case LM_TARGET_UP:
			return LM_UP_WEIGHT;
		case LM_TARGET_DOWN:
		case LM_TARGETS:
			break;
	}
	return LM_DOWN_WEIGHT;
}

/*
 * PEFT names an adapter by its layer: "base_model.model.", the layer's name without ".weight", and
 * ".lora_A.weight" or ".lora_B.weight". Layers that are parts of one matrix share its A.
 */
static void
see_tensors(const LmParamTable *table, const LmParamTable *base, SeeTensor see, void *into)
{
	for (int layer = 0; layer < lm_config_blocks(&table->config); layer++)
		for (LmTarget target = 0; target < LM_TARGETS; target++)
		{
			const LmParam *matrix = lm_param_find(base, kind_of(target), layer);
			const LmParam *a = lm_param_find(table, LM_LORA_A(target), layer);
			const LmParam *b = lm_param_find(table, LM_LORA_B(target), layer);

			for (int i = 0; a != NULL && i < matrix->n_parts; i++)
			{
				const LmFilePart *part = &matrix->parts[i];
				char *name = psprintf("base_model.model.%s", part->name);

				name[strlen(name) - strlen(".weight")] = '\0';
				see(into, psprintf("%s.lora_A.weight", name), a, 0, a->rows);
				see(into, psprintf("%s.lora_B.weight", name), b, part->first_row, part->n_rows);
			}
		}
}

static void
see_entry(void *into, const char *name, const LmParam *param, int first_row, int n_rows)
{
	Header *header = into;
	uint64 size = (uint64) n_rows * param->columns * sizeof(float);

	appendStringInfoChar(&header->json, ',');
	escape_json(&header->json, name);
	appendStringInfo(&header->json,
					 ":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[" UINT64_FORMAT
					 "," UINT64_FORMAT "]}",
					 n_rows, param->columns, header->offset, header->offset + size);
	header->offset += size;
}

/* In the order of the architecture's files: GPT-NeoX's has the rows by heads. */
static void
see_data(void *into, const char *name, const LmParam *param, int first_row, int n_rows)
{
	const Data *data = into;
	size_t count = (size_t) n_rows * param->columns;
	float *values = palloc(count * sizeof(float));

	CHECK_FOR_INTERRUPTS();
	lm_param_get(values, data->block, param, (size_t) first_row * param->columns, count);
	gpt_blob_write(data->blob, values, count * sizeof(float));
	pfree(values);
}
