/*
 * include/store/image_type.h
 *
 * The types of images: the engine's weight types (engine/weight_type.h) by their numbers, and one
 * more for the image of a tokenizer.
 */
#ifndef GPT_IMAGE_TYPE_H
#define GPT_IMAGE_TYPE_H

#include "engine/model.h"

/* The content of an image: a weight type of the engine, or GPT_IMAGE_TOKENIZER. */
typedef int GptImageType;

#define GPT_IMAGE_TOKENIZER ((GptImageType) lm_weight_type_count())
#define GPT_IMAGE_KINDS (GPT_IMAGE_TOKENIZER + 1)

/* The word of a type, for gpt_set_image_type and for names of files. */
extern const char *gpt_image_type_name(GptImageType type);

/* Finds a weight type by its word; false if there is none. */
extern bool gpt_image_type_find(GptImageType *type, const char *name);

/*
 * The type of images for an imported model, by the type that most of its blocks' weights have in
 * the file: float32, bfloat16 for 16 bits, int4 for Q4_0, whose values it can hold, and int8 for
 * all other blocks. types: as gpt_weights_begin takes them.
 */
struct LmBlockType;
extern GptImageType gpt_image_type_for(const LmParamTable *table,
									   const struct LmBlockType *const *types);

/* lm_image_size for a weight type; errors are raised. */
extern size_t gpt_image_type_size(const LmConfig *config, GptImageType type);

/*
 * Fills an image [gpt_image_type_size] with the weights of a version, which are read in pieces:
 * beside the image it needs gpt_weights_memory. Errors as gpt_weights_read; the image is worthless
 * then. Serves interrupts.
 */
struct GptVersion;
extern void gpt_image_type_fill(void *image, const LmParamTable *table,
								const struct GptVersion *version, GptImageType type);

#endif /* GPT_IMAGE_TYPE_H */
