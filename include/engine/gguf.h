/*
 * include/engine/gguf.h
 *
 * The header of a GGUF file, version 2 or 3, little endian: metadata, which are keys with typed
 * values, and the list of tensors. Layout:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
 *
 *   "GGUF" | u32 version | u64 n_tensors | u64 n_keys
 *   for each key:    string key | u32 type | value
 *   for each tensor: string name | u32 n | u64 dims [n], fastest first | u32 type | u64 offset
 *   padding up to the alignment | data, each tensor at a multiple of the alignment
 *
 * A string is u64 size | bytes; an array is u32 type | u64 n | values; a bool is a byte. The reader
 * keeps numbers, and the places of strings and arrays, which it reads when they are asked for.
 */
#ifndef LM_GGUF_H
#define LM_GGUF_H

#include "engine/file.h"

/* The types of values, with their numbers in files. */
typedef enum LmGgufType
{
	LM_GGUF_U8,
	LM_GGUF_I8,
	LM_GGUF_U16,
	LM_GGUF_I16,
	LM_GGUF_U32,
	LM_GGUF_I32,
	LM_GGUF_F32,
	LM_GGUF_BOOL,
	LM_GGUF_STRING,
	LM_GGUF_ARRAY,
	LM_GGUF_U64,
	LM_GGUF_I64,
	LM_GGUF_F64,
	LM_GGUF_TYPES,
} LmGgufType;

/* The limits of a file that is read. */
#define LM_GGUF_MOST_KEYS 65535
#define LM_GGUF_MOST_TENSORS 65535
#define LM_GGUF_KEY 255 /* bytes of a key */
#define LM_GGUF_MOST_ALIGNMENT (1 << 20)

/* A key of the metadata. */
typedef struct LmGgufKey
{
	const char *name;
	LmGgufType type;
	LmGgufType item_type; /* of an array's items, never LM_GGUF_ARRAY; else the type */
	uint64_t n; /* items of an array, bytes of a string, else 1 */
	uint64_t offset; /* of the first item, of the string's bytes, of the value */
	uint64_t bits; /* of a number or bool, as a number of 64 bits; floats as a double */
} LmGgufKey;

typedef struct LmGguf LmGguf;

/*
 * Reads the header and checks all of it: limits, names, duplicates, types, sizes, places. It
 * allocates only when it has seen all keys and tensors, less than 1 kB and LM_GGUF_MEMORY bytes for
 * each byte of the header. NULL with an error that names key or tensor. The file's context must
 * outlive the result, which the caller closes.
 */
#define LM_GGUF_MEMORY 4
LmGguf *lm_gguf_open(const LmFile *file, const LmHost *host, LmError *error);
void lm_gguf_close(LmGguf *gguf);

/* Keys and tensors in the order of the file. Names and pointers live as long as gguf. */
size_t lm_gguf_n_keys(const LmGguf *gguf);
const LmGgufKey *lm_gguf_key(const LmGguf *gguf, size_t i);
size_t lm_gguf_n_tensors(const LmGguf *gguf);
const LmFileTensor *lm_gguf_tensor(const LmGguf *gguf, size_t i);

/* By name; NULL where the file does not have it. */
const LmGgufKey *lm_gguf_find(const LmGguf *gguf, const char *key);
const LmFileTensor *lm_gguf_find_tensor(const LmGguf *gguf, const char *name);

/* The word for a type: "u32", "string". */
const char *lm_gguf_type_name(LmGgufType type);

/*
 * Values of keys that must be there: an integer of any width or a bool within low to high, a float
 * or integer, a bool. Fails where the key is missing, has another type or is out of range.
 */
bool lm_gguf_integer(int64_t *value, const LmGguf *gguf, const char *key, int64_t low, int64_t high,
					 LmError *error);
bool lm_gguf_number(double *value, const LmGguf *gguf, const char *key, LmError *error);
bool lm_gguf_bool(bool *value, const LmGguf *gguf, const char *key, LmError *error);

/*
 * The bytes of a string of at most `most` bytes, and a zero byte after them, in memory of the host
 * that the caller frees by lm_free. NULL with an error, also for a string with a zero byte inside.
 * The bytes need not be valid UTF-8.
 */
char *lm_gguf_string(const LmGguf *gguf, const char *key, size_t most, LmError *error);

/*
 * Reads the items of an array in order: integers and bools, floats and integers, or strings of at
 * most LM_CURSOR_MOST bytes. It has a buffer of its own, so that several arrays can be read at
 * once.
 */
typedef struct LmGgufItems
{
	LmGgufType type;
	uint64_t left; /* items */
	LmCursor cursor;
} LmGgufItems;

/* Fails where the key is missing or has no array. */
bool lm_gguf_items(LmGgufItems *items, const LmGguf *gguf, const char *key, LmError *error);
/*
 * The next item, of which at least one must be left. Fails for another type. A string's bytes are
 * valid until the next call.
 */
bool lm_gguf_next_integer(int64_t *value, LmGgufItems *items, LmError *error);
bool lm_gguf_next_number(double *value, LmGgufItems *items, LmError *error);
bool lm_gguf_next_string(const char **bytes, size_t *size, LmGgufItems *items, LmError *error);

#endif /* LM_GGUF_H */
