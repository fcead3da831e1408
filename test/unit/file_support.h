/*
 * test/unit/file_support.h
 *
 * Files of models in memory for tests: bytes that grow, and the LmFile that reads them. A read
 * beyond the end fails the test program.
 */
#ifndef TEST_FILE_SUPPORT_H
#define TEST_FILE_SUPPORT_H

#include "tap.h"
#include "engine/gguf_writer.h"
#include "formats/half.h"

typedef struct Bytes
{
	uint8_t *data;
	size_t size;
	size_t room;
	long reads;
	long broken_read; /* the number of the read that fails; 0: none */
} Bytes;

static inline bool
bytes_add(void *context, const void *data, size_t size)
{
	Bytes *bytes = context;

	if (bytes->size + size > bytes->room)
	{
		bytes->room = 2 * bytes->room + size + 64;
		bytes->data = realloc(bytes->data, bytes->room);
	}
	if (size > 0)
		memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
	return true;
}

static inline void
bytes_u8(Bytes *bytes, uint8_t value)
{
	bytes_add(bytes, &value, 1);
}

static inline void
bytes_u32(Bytes *bytes, uint32_t value)
{
	uint8_t stored[4];

	lm_store_u32(stored, value);
	bytes_add(bytes, stored, 4);
}

static inline void
bytes_u64(Bytes *bytes, uint64_t value)
{
	uint8_t stored[8];

	lm_store_u64(stored, value);
	bytes_add(bytes, stored, 8);
}

static inline void
bytes_string(Bytes *bytes, const char *text)
{
	bytes_u64(bytes, strlen(text));
	bytes_add(bytes, text, strlen(text));
}

static inline void
bytes_zeros(Bytes *bytes, size_t n)
{
	while (n-- > 0)
		bytes_u8(bytes, 0);
}

/* Zeros up to a multiple of n. */
static inline void
bytes_align(Bytes *bytes, size_t n)
{
	while (bytes->size % n)
		bytes_u8(bytes, 0);
}

static inline void
bytes_free(Bytes *bytes)
{
	free(bytes->data);
	*bytes = (Bytes){0};
}

static inline bool
bytes_read(void *context, uint64_t offset, void *buffer, size_t size)
{
	Bytes *bytes = context;

	bytes->reads++;
	if (bytes->reads == bytes->broken_read)
		return false;
	if (offset > bytes->size || size > bytes->size - offset)
	{
		printf("Bail out! a read of %zu bytes at byte %llu of %zu\n", size,
			   (unsigned long long) offset, bytes->size);
		abort();
	}
	memcpy(buffer, bytes->data + offset, size);
	return true;
}

static inline LmFile
bytes_file(Bytes *bytes)
{
	return (LmFile){.read = bytes_read, .context = bytes, .size = bytes->size};
}

#endif /* TEST_FILE_SUPPORT_H */
