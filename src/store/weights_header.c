/*
 * src/store/weights_header.c
 *
 * The JSON header of a safetensors file goes in, a list of its tensors comes out:
 *
 *   {"__metadata__": {"key": "value", ...}, "name": {"dtype": "F32", "shape": [2, 3],
 *   "data_offsets": [0, 24]}, ...}
 *
 * weights.h says how tensors of blocks are written.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "core/json_tree.h"
#include "core/restoring.h"
#include "store/catalog.h"
#include "store/weights_header.h"

/* of a tensor: the object, its type, two arrays and their numbers */
#define VALUES_OF_TENSOR (4 + GPT_WEIGHTS_MAX_DIMENSIONS + 2)
#define MAX_METADATA 1024

/* A tensor whose type is not safetensors' own, in a hash table by its name. */
typedef struct Blocks
{
	char name[GPT_WEIGHTS_MAX_NAME];
	const LmBlockType *type;
} Blocks;

static HTAB *read_metadata(const GptJson *metadata, const GptVersion *version);
static HTAB *read_blocks(const char *json, const GptVersion *version);
static void read_tensor(GptTensor *tensor, const GptJson *object, const GptVersion *version);
static int read_numbers(uint64 *numbers, int most, const GptJson *array, const GptVersion *version);
static void set_type(GptTensor *tensor, HTAB *blocks, const GptVersion *version);
static void check_tensor(const GptTensor *tensor, const GptVersion *version);

GptWeightsHeader *
gpt_weights_parse(const char *json, size_t size, const GptVersion *version)
{
	const int most_values = GPT_WEIGHTS_MAX_TENSORS * VALUES_OF_TENSOR + MAX_METADATA;
	GptWeightsHeader *header = palloc0(sizeof(GptWeightsHeader));
	const GptJson *file;
	HTAB *blocks = NULL;

	if (!pg_verify_mbstr(PG_UTF8, json, (int) size, true))
		gpt_weights_corrupt(version, "Its header is not valid UTF-8.");
	file = gpt_json_try_parse(json, size, most_values, "header of weights");
	if (file == NULL || file->type != GPT_JSON_OBJECT)
		gpt_weights_corrupt(version, "Its header is not valid JSON.");
	if (file->count > GPT_WEIGHTS_MAX_TENSORS)
		gpt_weights_corrupt(version, "It has too many tensors.");
	header->tensors = palloc0(Max(file->count, 1) * sizeof(GptTensor));
	for (const GptJson *field = file->first; field != NULL; field = field->next)
	{
		if (strcmp(field->name, "__metadata__") == 0)
			blocks = read_metadata(field, version);
		else
			read_tensor(&header->tensors[header->n_tensors++], field, version);
	}
	for (int i = 0; i < header->n_tensors; i++)
	{
		set_type(&header->tensors[i], blocks, version);
		check_tensor(&header->tensors[i], version);
	}
	return header;
}

void
gpt_weights_corrupt(const GptVersion *version, const char *detail)
{
	const char *hint = gpt_restoring_hint();

	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("weights of model \"%s\" version %d are altered or truncated",
						   version->model, version->version),
					errdetail("%s", detail), hint != NULL ? errhint("%s", hint) : 0));
}

/* The format has texts there, and nothing else. Returns the types of blocks; NULL: none. */
static HTAB *
read_metadata(const GptJson *metadata, const GptVersion *version)
{
	bool good = metadata->type == GPT_JSON_OBJECT;
	HTAB *blocks = NULL;

	for (const GptJson *field = metadata->first; good && field != NULL; field = field->next)
	{
		good = field->type == GPT_JSON_STRING;
		if (good && strcmp(field->name, GPT_WEIGHTS_BLOCKS) == 0)
			blocks = read_blocks(field->text, version);
	}
	if (!good)
		gpt_weights_corrupt(version, "Its header has a value in a wrong place.");
	return blocks;
}

/* Reads names of tensors and of their types, which is JSON text as well. */
static HTAB *
read_blocks(const char *json, const GptVersion *version)
{
	HASHCTL control = {
		.keysize = GPT_WEIGHTS_MAX_NAME, .entrysize = sizeof(Blocks), .hcxt = CurrentMemoryContext};
	const GptJson *tree =
		gpt_json_try_parse(json, strlen(json), GPT_WEIGHTS_MAX_TENSORS + 1, "types of blocks");
	HTAB *blocks;

	if (tree == NULL || tree->type != GPT_JSON_OBJECT)
		gpt_weights_corrupt(version, "Its types of blocks are not a JSON object.");
	blocks = hash_create("gpt types of blocks", Max(tree->count, 1), &control,
						 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	for (const GptJson *field = tree->first; field != NULL; field = field->next)
	{
		const char *name = gpt_json_string(field);
		const LmBlockType *type = name != NULL ? lm_block_type_named(name) : NULL;
		bool found = false;

		if (type != NULL && type->elements > 1 && strlen(field->name) < GPT_WEIGHTS_MAX_NAME)
			((Blocks *) hash_search(blocks, field->name, HASH_ENTER, &found))->type = type;
		else
			found = true;
		if (found)
			gpt_weights_corrupt(version, "A tensor has a type of blocks that is not known.");
	}
	return blocks;
}

/* Reads the entry of one tensor; a field of a wrong type is an error. */
static void
read_tensor(GptTensor *tensor, const GptJson *object, const GptVersion *version)
{
	uint64 offsets[2];

	if (strlen(object->name) >= GPT_WEIGHTS_MAX_NAME)
		gpt_weights_corrupt(version, "The name of a tensor is too long.");
	strlcpy(tensor->name, object->name, sizeof(tensor->name));
	if (object->type != GPT_JSON_OBJECT)
		gpt_weights_corrupt(version, "Its header has a value in a wrong place.");
	for (const GptJson *field = object->first; field != NULL; field = field->next)
	{
		if (strcmp(field->name, "dtype") == 0 && field->type == GPT_JSON_STRING)
			strlcpy(tensor->dtype, field->text, sizeof(tensor->dtype));
		else if (strcmp(field->name, "shape") == 0)
			tensor->n_dimensions =
				read_numbers(tensor->shape, GPT_WEIGHTS_MAX_DIMENSIONS, field, version);
		else if (strcmp(field->name, "data_offsets") == 0)
			tensor->n_offsets = read_numbers(offsets, lengthof(offsets), field, version);
		else
			gpt_weights_corrupt(version, "A tensor has a field that the format does not have.");
	}
	if (tensor->n_offsets != lengthof(offsets))
		gpt_weights_corrupt(version, "A tensor has no valid offsets.");
	tensor->begin = offsets[0];
	tensor->end = offsets[1];
}

/* Whole numbers below 2^63 only: no sign, fraction or exponent. Returns how many there are. */
static int
read_numbers(uint64 *numbers, int most, const GptJson *array, const GptVersion *version)
{
	int n = 0;

	if (array->type != GPT_JSON_ARRAY || array->count > most)
		gpt_weights_corrupt(version, "Its header has a value in a wrong place.");
	for (const GptJson *node = array->first; node != NULL; node = node->next)
	{
		uint64 number = 0;

		if (node->type != GPT_JSON_NUMBER)
			gpt_weights_corrupt(version, "Its header has no number where one is expected.");
		for (const char *digit = node->text; *digit != '\0'; digit++)
		{
			if (*digit < '0' || *digit > '9' || number > (PG_INT64_MAX - 9) / 10)
				gpt_weights_corrupt(version, "Its header has a number that is out of range.");
			number = number * 10 + (uint64) (*digit - '0');
		}
		numbers[n++] = number;
	}
	return n;
}

/* Finds the type, and makes the last dimension of a tensor of blocks that of its elements. */
static void
set_type(GptTensor *tensor, HTAB *blocks, const GptVersion *version)
{
	uint64 *row = &tensor->shape[Max(tensor->n_dimensions, 1) - 1];
	const Blocks *found = NULL;

	if (strcmp(tensor->dtype, GPT_WEIGHTS_BYTES) != 0)
	{
		tensor->type = lm_block_type_named(tensor->dtype);
		if (tensor->type == NULL || tensor->type->elements != 1)
			gpt_weights_corrupt(version, "A tensor has a type that is not known.");
		return;
	}
	if (blocks != NULL)
		found = hash_search(blocks, tensor->name, HASH_FIND, NULL);
	if (found == NULL)
		gpt_weights_corrupt(version, "A tensor has a type of blocks that is not known.");
	tensor->type = found->type;
	if (tensor->n_dimensions == 0 || *row % tensor->type->bytes != 0 ||
		*row / tensor->type->bytes > PG_INT64_MAX / tensor->type->elements)
		gpt_weights_corrupt(version, "A tensor's rows are not whole blocks.");
	*row = *row / tensor->type->bytes * tensor->type->elements;
}

/* The offsets must span exactly the product of the shape, in the tensor's type. */
static void
check_tensor(const GptTensor *tensor, const GptVersion *version)
{
	size_t count = 1;
	size_t span = 0;
	bool fits = true;

	for (int i = 0; i < tensor->n_dimensions; i++)
		fits = fits && lm_size_multiply(&count, count, tensor->shape[i]);
	fits = fits && lm_block_size(&span, tensor->type, count);
	if (tensor->begin > tensor->end)
		gpt_weights_corrupt(version, "A tensor has no valid offsets.");
	if (!fits || tensor->end - tensor->begin != span)
		gpt_weights_corrupt(version, "The shape of a tensor does not fit its offsets.");
}

char *
gpt_weights_uuid_text(const pg_uuid_t *uuid)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(uuid)));
}
