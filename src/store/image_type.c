/*
 * src/store/image_type.c
 *
 * Words to types of images, and images of a type.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "store/image_type.h"

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

size_t
gpt_image_type_size(const LmConfig *config, GptImageType type)
{
	LmError error;
	size_t size;

	if (!lm_image_size(&size, config, lm_weight_type(type), &error))
		gpt_bridge_raise(&error);
	return size;
}

void
gpt_image_type_build(void *image, const float *block, const LmParamTable *table, GptImageType type,
					 const LmHost *host)
{
	LmError error;

	while (!lm_image_build(image, block, table, lm_weight_type(type), host, &error))
		gpt_bridge_retry(&error);
}
