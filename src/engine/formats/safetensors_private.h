/*
 * src/engine/formats/safetensors_private.h
 *
 * The inside of a safetensors file's header.
 */
#ifndef LM_SAFETENSORS_PRIVATE_H
#define LM_SAFETENSORS_PRIVATE_H

#include "engine/safetensors.h"

/* A key of the metadata, and where its text stands in the file, with escapes. */
typedef struct LmSafetensorsText
{
	const char *key;
	uint64_t offset;
	uint64_t size;
} LmSafetensorsText;

/* One block of memory holds this, the tensors, their order by name, the texts by key, the names. */
struct LmSafetensors
{
	LmFile file;
	LmHost host;
	LmFileTensor *tensors;
	const LmFileTensor **sorted;
	size_t n_tensors;
	LmSafetensorsText *texts;
	size_t n_texts;
};

#endif /* LM_SAFETENSORS_PRIVATE_H */
