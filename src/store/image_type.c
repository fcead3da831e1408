/*
 * src/store/image_type.c
 *
 * Words to types of images, and images of a type.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "store/image_type.h"

static const char *const names[GPT_IMAGE_KINDS] = {"float32", "bfloat16", "int8", "int4",
												   "tokenizer"};

const char *
gpt_image_type_name(GptImageType type)
{
	return names[type];
}

bool
gpt_image_type_find(GptImageType *type, const char *name)
{
	for (int i = 0; i < GPT_IMAGE_TYPES; i++)
	{
		if (strcmp(names[i], name) == 0)
		{
			*type = (GptImageType) i;
			return true;
		}
	}
	return false;
}

StaticAssertDecl((int) GPT_IMAGE_TYPES == (int) LM_IMAGE_TYPES &&
					 (int) GPT_IMAGE_INT4 == (int) LM_IMAGE_INT4,
				 "the engine's types are these");

size_t
gpt_image_type_size(const LmConfig *config, GptImageType type)
{
	LmError error;
	size_t size;

	if (!lm_image_size(&size, config, (LmImageType) type, &error))
		gpt_bridge_raise(&error);
	return size;
}

void
gpt_image_type_build(void *image, const float *block, const LmParamTable *table, GptImageType type,
					 const LmHost *host)
{
	LmError error;

	while (!lm_image_build(image, block, table, (LmImageType) type, host, &error))
		gpt_bridge_raise(&error);
}
