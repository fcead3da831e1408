/*
 * src/store/import_safetensors.c
 *
 * The header of a safetensors file of any project in, its tensors out.
 * https://github.com/huggingface/safetensors#format
 */
#include "postgres.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/json_tree.h"
#include "store/import.h"
#include "store/import_parts.h"
#include "store/weights_header.h"

/* of a tensor: the object, its type, two arrays and their numbers */
#define VALUES_OF_TENSOR (4 + LM_FILE_DIMENSIONS + 2)
#define MAX_METADATA 10000
#define MAX_BLOCKS_JSON (8 * 1024 * 1024)

static GptJson *read_header(GptImportFile *file, uint64 *data);
static GptJson *read_metadata(GptImport *import, const GptJson *metadata);
static void read_tensor(GptImportTensor *tensor, const GptJson *object, uint64 data,
						const GptJson *blocks);
static void set_type(LmFileTensor *tensor, const char *type, const GptJson *blocks);
static int read_numbers(uint64_t *numbers, int most, const GptJson *array, const char *tensor);
pg_noreturn static void refuse(const char *detail);

void
gpt_import_list_safetensors(GptImport *import, GptImportFile *file)
{
	uint64 data;
	const GptJson *header = read_header(file, &data);
	const GptJson *metadata = gpt_json_field(header, "__metadata__");
	const GptJson *blocks = read_metadata(import, metadata);
	LmTensorRoom room = {.begin = data, .end = file->file.size};
	int n = header->count - (metadata != NULL);
	GptImportTensor *tensors = gpt_import_add(import, n);
	LmFileTensor *list = palloc(Max(n, 1) * sizeof(LmFileTensor));
	LmError error;
	int i = 0;

	for (const GptJson *field = header->first; field != NULL; field = field->next)
	{
		if (field == metadata)
			continue;
		read_tensor(&tensors[i], field, data, blocks);
		tensors[i].file = file;
		list[i] = tensors[i].tensor;
		i++;
	}
	if (!lm_tensor_list_check(list, n, &room, gpt_bridge_host(CurrentMemoryContext), &error))
		gpt_import_raise(import, &error);
	pfree(list);
}

/* Nothing is allocated before the file is known to be as long as its header. */
static GptJson *
read_header(GptImportFile *file, uint64 *data)
{
	const int most_values = GPT_IMPORT_MAX_TENSORS * VALUES_OF_TENSOR + MAX_METADATA;
	GptJson *header;
	uint64 size;
	char *json;

	gpt_import_read(file, 0, &size, sizeof(size));
	if (size > file->file.size - sizeof(size))
		refuse("The header is longer than the file.");
	if (size > GPT_WEIGHTS_MAX_HEADER)
		refuse(psprintf("The header would have " UINT64_FORMAT " bytes.", size));
	json = palloc(size + 1);
	gpt_import_read(file, sizeof(size), json, size);
	json[size] = '\0';
	header = gpt_json_parse(json, size, most_values, "header of the safetensors file");
	if (header == NULL || header->type != GPT_JSON_OBJECT)
		refuse("The header is not a JSON object.");
	pfree(json);
	*data = sizeof(size) + size;
	return header;
}

/*
 * Returns the names of types of blocks, which files of this extension have; other metadata are
 * notes, and aliases of tensors that are not in the file.
 */
static GptJson *
read_metadata(GptImport *import, const GptJson *metadata)
{
	const char *config = gpt_json_string(gpt_json_field(metadata, GPT_WEIGHTS_CONFIG));
	const char *blocks = gpt_json_string(gpt_json_field(metadata, GPT_WEIGHTS_BLOCKS));

	if (metadata != NULL && metadata->type != GPT_JSON_OBJECT)
		refuse("The metadata are not a JSON object.");
	if (config != NULL)
		import->own_config = pstrdup(config);
	if (blocks == NULL || strlen(blocks) > MAX_BLOCKS_JSON)
		return NULL;
	return gpt_json_parse(blocks, strlen(blocks), GPT_IMPORT_MAX_TENSORS + 1, "types of blocks");
}

/* Reads the entry of one tensor. */
static void
read_tensor(GptImportTensor *tensor, const GptJson *object, uint64 data, const GptJson *blocks)
{
	LmFileTensor *out = &tensor->tensor;
	const char *type = gpt_json_string(gpt_json_field(object, "dtype"));
	uint64_t offsets[2];
	uint64_t size;
	LmError error;

	if (!lm_name_is_plain(object->name, strlen(object->name), LM_FILE_TENSOR_NAME))
		refuse(psprintf("The name of a tensor is not valid: \"%.100s\".", object->name));
	out->name = object->name;
	if (object->type != GPT_JSON_OBJECT || type == NULL)
		refuse(psprintf("Tensor \"%s\" has no type.", object->name));
	for (int i = 0; i < LM_FILE_DIMENSIONS; i++)
		out->shape[i] = 1;
	out->n_dimensions =
		read_numbers(out->shape, LM_FILE_DIMENSIONS, gpt_json_field(object, "shape"), object->name);
	if (out->n_dimensions == 0)
		out->n_dimensions = 1;
	set_type(out, type, blocks);
	if (read_numbers(offsets, 2, gpt_json_field(object, "data_offsets"), object->name) != 2 ||
		offsets[0] > offsets[1])
		refuse(psprintf("Tensor \"%s\" has no valid offsets.", object->name));
	if (!lm_file_tensor_size(out, &error))
		refuse(psprintf("%s.", error.message));
	size = offsets[1] - offsets[0];
	if (size != out->size)
		refuse(psprintf("The shape of tensor \"%s\" does not fit its offsets.", object->name));
	out->offset = data + offsets[0];
}

/* U8 stands for the blocks that the metadata name: the last dimension is the bytes of a row. */
static void
set_type(LmFileTensor *tensor, const char *type, const GptJson *blocks)
{
	uint64_t *row = &tensor->shape[tensor->n_dimensions - 1];
	bool in_blocks = strcmp(type, GPT_WEIGHTS_BYTES) == 0;

	if (in_blocks)
		type = gpt_json_string(gpt_json_field(blocks, tensor->name));
	tensor->type = type != NULL ? lm_block_type_named(type) : NULL;
	if (tensor->type == NULL || (tensor->type->elements > 1) != in_blocks)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("tensor \"%s\" has type \"%s\"", tensor->name, type != NULL ? type : "U8"),
				 errdetail("Supported are F32, F16 and BF16.")));
	if (!in_blocks)
		return;
	if (*row % tensor->type->bytes != 0 ||
		*row / tensor->type->bytes > PG_INT64_MAX / tensor->type->elements)
		refuse(psprintf("Rows of tensor \"%s\" are not whole blocks.", tensor->name));
	*row = *row / tensor->type->bytes * tensor->type->elements;
}

/* Whole numbers below 2^63 only: no sign, fraction or exponent. Returns how many there are. */
static int
read_numbers(uint64_t *numbers, int most, const GptJson *array, const char *tensor)
{
	int n = 0;

	if (array == NULL || array->type != GPT_JSON_ARRAY || array->count > most)
		refuse(psprintf("Tensor \"%s\" has no valid shape or offsets.", tensor));
	for (const GptJson *node = array->first; node != NULL; node = node->next)
	{
		uint64 number = 0;

		if (node->type != GPT_JSON_NUMBER)
			refuse(psprintf("Tensor \"%s\" has no number where one is expected.", tensor));
		for (const char *digit = node->text; *digit != '\0'; digit++)
		{
			if (*digit < '0' || *digit > '9' || number > (PG_INT64_MAX - 9) / 10)
				refuse(psprintf("Tensor \"%s\" has a number that is out of range.", tensor));
			number = number * 10 + (uint64) (*digit - '0');
		}
		numbers[n++] = number;
	}
	return n;
}

static void
refuse(const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					errmsg("safetensors file is not valid"), errdetail("%s", detail)));
}
