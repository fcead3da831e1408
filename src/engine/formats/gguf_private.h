/*
 * src/engine/formats/gguf_private.h
 *
 * The inside of a GGUF file's header.
 */
#ifndef LM_GGUF_PRIVATE_H
#define LM_GGUF_PRIVATE_H

#include "engine/gguf.h"

#define LM_GGUF_MAGIC "GGUF"
#define LM_GGUF_ALIGNMENT_KEY "general.alignment"
#define LM_GGUF_ALIGNMENT 32

/* One block of memory holds this, keys, tensors, both in the order of names, and the names. */
struct LmGguf
{
	LmFile file;
	LmHost host;
	LmGgufKey *keys;
	const LmGgufKey **sorted_keys;
	size_t n_keys;
	LmFileTensor *tensors;
	const LmFileTensor **sorted_tensors;
	size_t n_tensors;
};

/* Bytes of a value of a type other than string and array; 0 for these and for no type. */
size_t lm_gguf_type_size(uint32_t type);

/* The value in the bytes of a number or bool, as LmGgufKey keeps it. */
uint64_t lm_gguf_bits(LmGgufType type, const uint8_t *bytes);

#endif /* LM_GGUF_PRIVATE_H */
