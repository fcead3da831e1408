/*
 * src/store/weights_header.h
 *
 * The JSON header of a safetensors file: JSON in, a list of tensors in the order of the text out.
 */
#ifndef GPT_WEIGHTS_HEADER_H
#define GPT_WEIGHTS_HEADER_H

#include "core/compat.h"
#include "engine/block_type.h"
#include "utils/uuid.h"

#define GPT_WEIGHTS_RUN_ID "gpt_run_id" /* keys of __metadata__ */
#define GPT_WEIGHTS_CONFIG "gpt_config"
#define GPT_WEIGHTS_EXTRAS "gpt_extras"
#define GPT_WEIGHTS_BLOCKS "gpt.blocks"
#define GPT_WEIGHTS_BYTES "U8" /* the type of tensors of blocks */

/* 10,000 labels of 255 control characters, escaped twice, take 18 MB */
#define GPT_WEIGHTS_MAX_HEADER (32 * 1024 * 1024)
#define GPT_WEIGHTS_MAX_TENSORS 65536
#define GPT_WEIGHTS_MAX_NAME 256
#define GPT_WEIGHTS_MAX_DIMENSIONS 4

/* An entry of the header. */
typedef struct GptTensor
{
	char name[GPT_WEIGHTS_MAX_NAME];
	char dtype[8];
	const LmBlockType *type;
	int n_dimensions;
	/* of elements, also where the header has the bytes of a row of blocks */
	uint64 shape[GPT_WEIGHTS_MAX_DIMENSIONS];
	int n_offsets;
	uint64 begin; /* offset from the end of the header */
	uint64 end;
} GptTensor;

/* All entries, in the order of the header. */
typedef struct GptWeightsHeader
{
	int n_tensors;
	GptTensor *tensors; /* [n_tensors] */
} GptWeightsHeader;

struct GptVersion;

/*
 * Parses a header, palloc'd; errors name the version. Checks each tensor alone: its fields, limits,
 * its type, and that the product of its shape is its span. Raises ERRCODE_DATA_CORRUPTED otherwise.
 */
extern GptWeightsHeader *gpt_weights_parse(const char *json, size_t size,
										   const struct GptVersion *version);

/* Raises ERRCODE_DATA_CORRUPTED: weights of model "x" version 3 are altered or truncated. */
pg_noreturn extern void gpt_weights_corrupt(const struct GptVersion *version, const char *detail);

/* The 36 characters of a run's id, palloc'd. */
extern char *gpt_weights_uuid_text(const pg_uuid_t *uuid);

#endif /* GPT_WEIGHTS_HEADER_H */
