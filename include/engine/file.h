/*
 * include/engine/file.h
 *
 * A file of a model as the engine sees it: bytes that the caller's function reads. What a file says
 * is checked against its size before it is used.
 */
#ifndef LM_FILE_H
#define LM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/block_type.h"
#include "engine/error.h"
#include "engine/host.h"

/* A file; the memory of context is the caller's and outlives each object that reads the file. */
typedef struct LmFile
{
	/*
	 * Copies size bytes from offset on to the buffer. The engine asks for bytes within the file
	 * only. False when they cannot be read; must not jump out of the engine.
	 */
	bool (*read)(void *context, uint64_t offset, void *buffer, size_t size);
	void *context;
	uint64_t size;
} LmFile;

/* The most bytes that a cursor gives at once. */
#define LM_CURSOR_MOST ((size_t) 16 << 10)
#define LM_CURSOR_NAME 96

/*
 * Reads a file from some place on. part says in messages what is being read: `key "general.name"`.
 */
typedef struct LmCursor
{
	LmFile file;
	const LmHost *host; /* is asked whether to stop before each read */
	uint64_t at; /* the next byte */
	uint64_t begin; /* of the bytes in the buffer */
	size_t filled;
	char part[LM_CURSOR_NAME];
	uint8_t buffer[LM_CURSOR_MOST];
} LmCursor;

void lm_cursor_start(LmCursor *cursor, const LmFile *file, const LmHost *host, uint64_t at);

/* The next size bytes, at most LM_CURSOR_MOST; NULL with an error. Valid until the next call. */
const uint8_t *lm_cursor_take(LmCursor *cursor, size_t size, LmError *error);
bool lm_cursor_u32(LmCursor *cursor, uint32_t *value, LmError *error);
bool lm_cursor_u64(LmCursor *cursor, uint64_t *value, LmError *error);
/* Goes on by size bytes, which are not read. */
bool lm_cursor_skip(LmCursor *cursor, uint64_t size, LmError *error);
/* The bytes that follow. */
uint64_t lm_cursor_left(const LmCursor *cursor);

/*
 * Copies at most size - 1 bytes of a name from a file for a message: a byte that is no printable
 * character of ASCII becomes '?', so that the text is valid in each encoding.
 */
void lm_name_for_message(char *text, size_t size, const void *name, size_t length);

/* Whether a name from a file is one to 127 printable characters of ASCII without blanks. */
bool lm_name_is_plain(const void *name, size_t length, size_t most);

#define LM_FILE_DIMENSIONS 4
#define LM_FILE_TENSOR_NAME 127 /* the most bytes of a tensor's name */

/* A tensor in a file. */
typedef struct LmFileTensor
{
	const char *name;
	const LmBlockType *type; /* NULL: one that only safetensors has, for example "I64" */
	const char *type_name; /* as the format spells it */
	int n_dimensions; /* 1 to 4; 0 in safetensors, for one element */
	uint64_t shape[LM_FILE_DIMENSIONS]; /* the last one varies fastest; 1 beyond n_dimensions */
	uint64_t offset; /* from the start of the file */
	uint64_t size; /* bytes */
} LmFileTensor;

/*
 * Computes tensor->size from type, which is not NULL, and shape. Fails where a row is not whole
 * blocks or the product overflows.
 */
bool lm_file_tensor_size(LmFileTensor *tensor, LmError *error);

/* Where tensors may lie in a file. */
typedef struct LmTensorRoom
{
	uint64_t begin; /* the first byte of data */
	uint64_t end; /* the byte after the last */
	uint64_t most_gap; /* bytes between two tensors that belong to none; safetensors allows 0 */
	uint64_t most_tail; /* the same after the last one */
} LmTensorRoom;

/*
 * Whether no two tensors have the same name, and all lie in the room, apart from one another and
 * without larger gaps than the room allows. Tensors without bytes may lie at any place of the room.
 * Needs 16 bytes for each tensor from the host.
 */
bool lm_tensor_list_check(const LmFileTensor *tensors, size_t n, const LmTensorRoom *room,
						  const LmHost *host, LmError *error);

#endif /* LM_FILE_H */
