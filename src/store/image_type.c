/*
 * src/store/image_type.c
 *
 * Words to types of images, and weights to images of a type.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "store/catalog.h"
#include "store/image_type.h"
#include "store/weights.h"

const char *
gpt_image_type_name(GptImageType type)
{
	return type == GPT_IMAGE_TOKENIZER ? "tokenizer" : lm_weight_type_name(type);
}

bool
gpt_image_type_find(GptImageType *type, const char *name)
{
	const LmWeightType *found = lm_weight_type_find(name);

	if (found != NULL)
		*type = found->number;
	return found != NULL;
}

/* The word of the images for a type of a file. */
static const char *
word_for(const LmBlockType *type)
{
	static const char *const words[][2] = {
		{"F32", "float32"}, {"F16", "bfloat16"}, {"BF16", "bfloat16"}, {"Q4_0", "int4"}};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strcmp(words[i][0], type->name) == 0)
			return words[i][1];
	}
	return "int8";
}

GptImageType
gpt_image_type_for(const LmParamTable *table, const LmBlockType *const *types)
{
	GptImageType type = 0;
	uint64 *counts = palloc0(lm_weight_type_count() * sizeof(uint64));

	for (int i = 0, n = 0; i < table->n_params; i++)
		for (int part = 0; part < table->params[i].n_parts; part++, n++)
		{
			const LmParam *param = &table->params[i];

			if (param->layer >= 0 && !param->vector)
				counts[lm_weight_type_find(word_for(types[n]))->number] +=
					lm_part_count(param, &param->parts[part]);
		}
	for (int i = 1; i < lm_weight_type_count(); i++)
	{
		if (counts[i] > counts[type])
			type = i;
	}
	pfree(counts);
	return type;
}

size_t
gpt_image_type_size(const LmConfig *config, GptImageType type)
{
	LmError error;
	size_t size;

	if (!lm_image_size(&size, config, lm_weight_type(type), &error))
		gpt_bridge_raise(&error);
	return size;
}

static void
put_rows(void *into, const LmParam *param, int first_row, int n_rows, const float *rows)
{
	LmError error;

	if (!lm_image_put_rows(into, param, first_row, n_rows, rows, &error))
		gpt_bridge_raise(&error);
}

void
gpt_image_type_fill(void *image, const LmParamTable *table, const GptVersion *version,
					GptImageType type)
{
	LmError error;
	LmImageWriter *writer;

	while ((writer = lm_image_begin(gpt_bridge_host(CurrentMemoryContext), image, table,
									lm_weight_type(type), &error)) == NULL)
		gpt_bridge_retry(&error);
	gpt_weights_scan(version, table, put_rows, writer);
	if (!lm_image_end(writer, &error))
		gpt_bridge_raise(&error);
}
