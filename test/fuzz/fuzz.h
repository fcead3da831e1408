/*
 * test/fuzz/fuzz.h
 *
 * What the targets of libFuzzer share: files in memory that are never read beyond their end, a host
 * with a bound on memory, and a check that stops the program. A target takes any bytes and must
 * come back without a leak; test/unit/test_mutations.c gives each one mutated files too.
 */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/file.h"

/* A host that aborts above a bound, and knows what is in use. */
typedef struct FuzzHost
{
	size_t live;
	size_t most;
} FuzzHost;

typedef struct FuzzFile
{
	const uint8_t *data;
	size_t size;
} FuzzFile;

#define FUZZ_CHECK(condition)                                               \
	do                                                                      \
	{                                                                       \
		if (!(condition))                                                   \
		{                                                                   \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                   \
	} while (0)

/* The size stands before each block. */
static inline void *
fuzz_reallocate(void *context, void *pointer, size_t size)
{
	FuzzHost *host = context;
	size_t *block = pointer ? (size_t *) pointer - 2 : NULL;

	host->live -= block ? block[0] : 0;
	if (size == 0)
	{
		free(block);
		return NULL;
	}
	host->live += size;
	FUZZ_CHECK(host->live <= host->most);
	block = realloc(block, size + 2 * sizeof(size_t));
	FUZZ_CHECK(block != NULL);
	block[0] = size;
	return block + 2;
}

static inline LmHost
fuzz_host(FuzzHost *state, size_t most)
{
	*state = (FuzzHost){.most = most};
	return (LmHost){.reallocate = fuzz_reallocate, .context = state};
}

static inline bool
fuzz_read(void *context, uint64_t offset, void *buffer, size_t size)
{
	FuzzFile *file = context;

	FUZZ_CHECK(offset <= file->size && size <= file->size - offset);
	memcpy(buffer, file->data + offset, size);
	return true;
}

static inline LmFile
fuzz_file(FuzzFile *file)
{
	return (LmFile){.read = fuzz_read, .context = file, .size = file->size};
}

/* Looks at each byte of a message: it must be printable, as it goes into an error of the server. */
static inline void
fuzz_check_error(const LmError *error)
{
	FUZZ_CHECK(error->code != LM_OK && error->message[0] != 0);
	for (const char *c = error->message; *c; c++)
		FUZZ_CHECK(*c >= 0x20 && *c < 0x7f);
}

/* A listed tensor lies in the file, and its first blocks decode. */
static inline void
fuzz_check_tensor(const LmFileTensor *tensor, const FuzzFile *file)
{
	float y[2 * LM_BLOCK_MOST];
	uint64_t n = 1;

	FUZZ_CHECK(lm_name_is_plain(tensor->name, strlen(tensor->name), LM_FILE_TENSOR_NAME));
	FUZZ_CHECK(tensor->offset <= file->size && tensor->size <= file->size - tensor->offset);
	for (int i = 0; i < LM_FILE_DIMENSIONS; i++)
	{
		FUZZ_CHECK(tensor->shape[i] <= file->size * LM_BLOCK_MOST);
		n *= tensor->shape[i];
	}
	if (!tensor->type)
		return;
	FUZZ_CHECK(n / (uint64_t) tensor->type->elements * (uint64_t) tensor->type->bytes ==
			   tensor->size);
	n = n < LM_BLOCK_MOST ? n : (uint64_t) tensor->type->elements;
	lm_block_decode(y, tensor->type, file->data + tensor->offset, (size_t) n);
}

#endif /* TEST_FUZZ_H */
