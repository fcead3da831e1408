/*
 * include/store/image_type.h
 *
 * The types that the weights of an image can have, and how an image of a type is made: the one
 * place that knows which of them the engine builds.
 */
#ifndef GPT_IMAGE_TYPE_H
#define GPT_IMAGE_TYPE_H

#include "engine/model.h"

/* In the order of the words. */
typedef enum GptImageType
{
	GPT_IMAGE_FLOAT32,
	GPT_IMAGE_BFLOAT16,
	GPT_IMAGE_INT8,
	GPT_IMAGE_INT4,
	GPT_IMAGE_TYPES, /* how many a model can have */
	GPT_IMAGE_TOKENIZER = GPT_IMAGE_TYPES, /* of a tokenizer, not of a model */
	GPT_IMAGE_KINDS,
} GptImageType;

/* The word of a type, as gpt_set_image_type takes it and the names of files have it. */
extern const char *gpt_image_type_name(GptImageType type);

/* False where no type has that name. */
extern bool gpt_image_type_find(GptImageType *type, const char *name);

/*
 * lm_image_size and lm_image_build for a type; errors are raised. _build does not return before it
 * is done.
 */
extern size_t gpt_image_type_size(const LmConfig *config, GptImageType type);
extern void gpt_image_type_build(void *image, const float *block, const LmParamTable *table,
								 GptImageType type, const LmHost *host);

#endif /* GPT_IMAGE_TYPE_H */
