/*
 * src/engine/formats/gguf.c
 *
 * Reads the header of a GGUF file. The first pass goes through all of it and checks each number
 * against the bytes that the file still has; it adds up the lengths of the names. Then the memory
 * is allocated, and the second pass does the same again and keeps what it finds.
 *
 * The file may change between the passes, or between two reads: the second pass keeps no more than
 * the first one counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf_private.h"
#include "formats/half.h"

/* The fewest bytes of a key with its value, and of a tensor's entry. */
#define LEAST_KEY (8 + 1 + 4 + 1)
#define LEAST_TENSOR (8 + 1 + 4 + 8 + 4 + 8)

/* A pass over the header. */
typedef struct Pass
{
	LmCursor cursor;
	LmGguf *gguf; /* NULL in the first pass */
	char *names; /* the next name goes here */
	uint64_t names_left; /* bytes, in the second pass */
	uint64_t names_size; /* of all names with their zero bytes */
	uint64_t n_keys;
	uint64_t n_tensors;
	uint64_t alignment;
} Pass;

/* A name as it stands in the cursor's buffer. */
typedef struct Name
{
	char text[LM_GGUF_KEY + 1];
	size_t size;
} Name;

static bool run(Pass *pass, LmError *error);
static bool read_counts(Pass *pass, LmError *error);
static bool read_name(Pass *pass, Name *name, size_t most, const char *kind, uint64_t i,
					  LmError *error);
static bool keep_name(Pass *pass, const char **kept, const Name *name, LmError *error);
static bool read_key(Pass *pass, uint64_t i, LmError *error);
static bool read_value(Pass *pass, LmGgufKey *key, LmError *error);
static bool read_array(Pass *pass, LmGgufKey *key, LmError *error);
static bool read_alignment(Pass *pass, const LmGgufKey *key, LmError *error);
static bool read_tensor(Pass *pass, uint64_t i, LmError *error);
static bool read_shape(Pass *pass, LmFileTensor *tensor, LmError *error);
static bool read_tensor_type(Pass *pass, LmFileTensor *tensor, LmError *error);
static LmGguf *allocate(const Pass *counted, const LmFile *file, const LmHost *host,
						LmError *error);
static bool finish(LmGguf *gguf, Pass *pass, LmError *error);
static int compare_keys(const void *a, const void *b);
static int compare_tensors(const void *a, const void *b);
static bool changed(LmError *error);

LmGguf *
lm_gguf_open(const LmFile *file, const LmHost *host, LmError *error)
{
	Pass pass = {.gguf = NULL};
	LmGguf *gguf;

	if (file->size > INT64_MAX)
		return lm_fail(error, LM_ERR_LIMIT, -1, "the file has over 2^63 bytes"), NULL;
	lm_cursor_start(&pass.cursor, file, host, 0);
	if (!run(&pass, error))
		return NULL;
	gguf = allocate(&pass, file, host, error);
	if (!gguf)
		return NULL;
	pass.gguf = gguf;
	pass.names = (char *) (gguf->sorted_tensors + gguf->n_tensors);
	pass.names_left = pass.names_size;
	lm_cursor_start(&pass.cursor, file, &gguf->host, 0);
	if (run(&pass, error) && finish(gguf, &pass, error))
		return gguf;
	lm_gguf_close(gguf);
	return NULL;
}

void
lm_gguf_close(LmGguf *gguf)
{
	LmHost host;

	if (!gguf)
		return;
	host = gguf->host;
	lm_free(&host, gguf);
}

/* One pass; the cursor then stands after the last tensor's entry. */
static bool
run(Pass *pass, LmError *error)
{
	pass->names_size = 0;
	pass->alignment = LM_GGUF_ALIGNMENT;
	if (!read_counts(pass, error))
		return false;
	for (uint64_t i = 0; i < pass->n_keys; i++)
		if (!read_key(pass, i, error))
			return false;
	for (uint64_t i = 0; i < pass->n_tensors; i++)
		if (!read_tensor(pass, i, error))
			return false;
	return true;
}

/* The file must have the bytes that so many keys and tensors take at least. */
static bool
read_counts(Pass *pass, LmError *error)
{
	LmCursor *cursor = &pass->cursor;
	const uint8_t *magic = lm_cursor_take(cursor, 4, error);
	uint32_t version;

	if (!magic)
		return false;
	if (memcmp(magic, LM_GGUF_MAGIC, 4) != 0)
		return lm_fail(error, LM_ERR_FORMAT, 0, "the file does not begin with \"GGUF\"");
	if (!lm_cursor_u32(cursor, &version, error))
		return false;
	if (version != 2 && version != 3)
		return lm_fail(error, LM_ERR_FORMAT, 4,
					   version << 16 && version != 1
						   ? "GGUF version is %u, versions 2 and 3 are read"
						   : "GGUF version is %u: version 1 and big-endian files are not read",
					   version);
	if (!lm_cursor_u64(cursor, &pass->n_tensors, error) ||
		!lm_cursor_u64(cursor, &pass->n_keys, error))
		return false;
	if (pass->n_tensors > LM_GGUF_MOST_TENSORS)
		return lm_fail(error, LM_ERR_LIMIT, 8, "the file has %llu tensors, the limit is %d",
					   (unsigned long long) pass->n_tensors, LM_GGUF_MOST_TENSORS);
	if (pass->n_keys > LM_GGUF_MOST_KEYS)
		return lm_fail(error, LM_ERR_LIMIT, 16, "the file has %llu keys, the limit is %d",
					   (unsigned long long) pass->n_keys, LM_GGUF_MOST_KEYS);
	if (pass->n_keys * LEAST_KEY + pass->n_tensors * LEAST_TENSOR > lm_cursor_left(cursor))
		return lm_fail(error, LM_ERR_FORMAT, 8,
					   "%llu keys and %llu tensors do not fit into a file of %llu bytes",
					   (unsigned long long) pass->n_keys, (unsigned long long) pass->n_tensors,
					   (unsigned long long) cursor->file.size);
	if (pass->gguf &&
		(pass->n_keys != pass->gguf->n_keys || pass->n_tensors != pass->gguf->n_tensors))
		return changed(error);
	return true;
}

/* Number i of the keys or tensors, for messages until the name is known. */
static bool
read_name(Pass *pass, Name *name, size_t most, const char *kind, uint64_t i, LmError *error)
{
	LmCursor *cursor = &pass->cursor;
	char text[LM_CURSOR_NAME - 16];
	const uint8_t *bytes;
	uint64_t size;

	snprintf(cursor->part, sizeof cursor->part, "the name of %s %llu", kind,
			 (unsigned long long) i + 1);
	if (!lm_cursor_u64(cursor, &size, error))
		return false;
	if (size == 0 || size > most)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
					   "%s has %llu bytes, 1 to %zu are allowed", cursor->part,
					   (unsigned long long) size, most);
	if (!(bytes = lm_cursor_take(cursor, size, error)))
		return false;
	lm_name_for_message(text, sizeof text, bytes, size);
	if (!lm_name_is_plain(bytes, size, most))
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
					   "%s is \"%s\", with a byte that is no printable character", cursor->part,
					   text);
	name->size = size;
	memcpy(name->text, bytes, size);
	name->text[size] = 0;
	snprintf(cursor->part, sizeof cursor->part, "%s \"%s\"", kind, text);
	pass->names_size += size + 1;
	return true;
}

/* *kept = the name in the block of names; in the first pass, the name itself. */
static bool
keep_name(Pass *pass, const char **kept, const Name *name, LmError *error)
{
	*kept = name->text;
	if (!pass->gguf)
		return true;
	if (name->size + 1 > pass->names_left)
		return changed(error);
	memcpy(pass->names, name->text, name->size + 1);
	*kept = pass->names;
	pass->names += name->size + 1;
	pass->names_left -= name->size + 1;
	return true;
}

static bool
read_key(Pass *pass, uint64_t i, LmError *error)
{
	LmGgufKey key = {0};
	Name name;
	uint32_t type;

	if (!read_name(pass, &name, LM_GGUF_KEY, "key", i, error) ||
		!keep_name(pass, &key.name, &name, error) || !lm_cursor_u32(&pass->cursor, &type, error))
		return false;
	if (type >= LM_GGUF_TYPES)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) pass->cursor.at,
					   "%s has type %u, which GGUF does not have", pass->cursor.part, type);
	key.type = key.item_type = (LmGgufType) type;
	key.n = 1;
	if (!read_value(pass, &key, error))
		return false;
	if (strcmp(name.text, LM_GGUF_ALIGNMENT_KEY) == 0 && !read_alignment(pass, &key, error))
		return false;
	if (pass->gguf)
		pass->gguf->keys[i] = key;
	return true;
}

static bool
read_value(Pass *pass, LmGgufKey *key, LmError *error)
{
	LmCursor *cursor = &pass->cursor;
	const uint8_t *bytes;

	if (key->type == LM_GGUF_ARRAY)
		return read_array(pass, key, error);
	if (key->type == LM_GGUF_STRING)
	{
		if (!lm_cursor_u64(cursor, &key->n, error))
			return false;
		key->offset = cursor->at;
		return lm_cursor_skip(cursor, key->n, error);
	}
	key->offset = cursor->at;
	bytes = lm_cursor_take(cursor, lm_gguf_type_size(key->type), error);
	if (!bytes)
		return false;
	if (key->type == LM_GGUF_BOOL && bytes[0] > 1)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) key->offset,
					   "%s is a bool of %d, which is neither 0 nor 1", cursor->part, bytes[0]);
	key->bits = lm_gguf_bits(key->type, bytes);
	return true;
}

/* Each string of an array takes eight bytes at least. */
static bool
read_array(Pass *pass, LmGgufKey *key, LmError *error)
{
	LmCursor *cursor = &pass->cursor;
	uint32_t type;
	size_t item_size;

	if (!lm_cursor_u32(cursor, &type, error) || !lm_cursor_u64(cursor, &key->n, error))
		return false;
	if (type >= LM_GGUF_TYPES)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
					   "%s is an array of type %u, which GGUF does not have", cursor->part, type);
	if (type == LM_GGUF_ARRAY)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
					   "%s is an array of arrays, which is not read", cursor->part);
	key->item_type = (LmGgufType) type;
	key->offset = cursor->at;
	item_size = type == LM_GGUF_STRING ? 8 : lm_gguf_type_size(type);
	if (key->n > lm_cursor_left(cursor) / item_size)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
					   "%s has %llu items, the file has %llu bytes", cursor->part,
					   (unsigned long long) key->n, (unsigned long long) cursor->file.size);
	if (type != LM_GGUF_STRING)
		return lm_cursor_skip(cursor, key->n * item_size, error);
	for (uint64_t i = 0; i < key->n; i++)
	{
		uint64_t size;

		if (!lm_cursor_u64(cursor, &size, error) || !lm_cursor_skip(cursor, size, error))
			return false;
	}
	return true;
}

static bool
read_alignment(Pass *pass, const LmGgufKey *key, LmError *error)
{
	if (key->type != LM_GGUF_U32)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) key->offset, "%s has type %s, must be u32",
					   pass->cursor.part, lm_gguf_type_name(key->type));
	if (key->bits == 0 || (key->bits & (key->bits - 1)) || key->bits > LM_GGUF_MOST_ALIGNMENT)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) key->offset,
					   "%s is %llu, must be a power of two up to %d", pass->cursor.part,
					   (unsigned long long) key->bits, LM_GGUF_MOST_ALIGNMENT);
	pass->alignment = key->bits;
	return true;
}

/* The offset is counted from the start of the data until the end of the header is known. */
static bool
read_tensor(Pass *pass, uint64_t i, LmError *error)
{
	LmCursor *cursor = &pass->cursor;
	LmFileTensor tensor = {0};
	Name name;

	if (!read_name(pass, &name, LM_FILE_TENSOR_NAME, "tensor", i, error) ||
		!keep_name(pass, &tensor.name, &name, error) || !read_shape(pass, &tensor, error) ||
		!read_tensor_type(pass, &tensor, error) || !lm_cursor_u64(cursor, &tensor.offset, error))
		return false;
	if (tensor.offset % pass->alignment != 0)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
					   "%s has offset %llu, the alignment is %llu", cursor->part,
					   (unsigned long long) tensor.offset, (unsigned long long) pass->alignment);
	if (tensor.size > cursor->file.size || tensor.offset > cursor->file.size)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
					   "%s has %llu bytes at offset %llu, the file has %llu", cursor->part,
					   (unsigned long long) tensor.size, (unsigned long long) tensor.offset,
					   (unsigned long long) cursor->file.size);
	if (pass->gguf)
		pass->gguf->tensors[i] = tensor;
	return true;
}

static bool
read_shape(Pass *pass, LmFileTensor *tensor, LmError *error)
{
	LmCursor *cursor = &pass->cursor;
	uint32_t n;

	if (!lm_cursor_u32(cursor, &n, error))
		return false;
	if (n < 1 || n > LM_FILE_DIMENSIONS)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
					   "%s has %u dimensions, 1 to %d are allowed", cursor->part, n,
					   LM_FILE_DIMENSIONS);
	tensor->n_dimensions = (int) n;
	for (uint32_t i = 0; i < LM_FILE_DIMENSIONS; i++)
		tensor->shape[i] = 1;
	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t *length = &tensor->shape[n - 1 - i];

		if (!lm_cursor_u64(cursor, length, error))
			return false;
		if (*length == 0)
			return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
						   "%s has a dimension of length 0", cursor->part);
	}
	return true;
}

static bool
read_tensor_type(Pass *pass, LmFileTensor *tensor, LmError *error)
{
	LmCursor *cursor = &pass->cursor;
	uint32_t number;

	if (!lm_cursor_u32(cursor, &number, error))
		return false;
	tensor->type = lm_block_type_numbered(number);
	if (!tensor->type)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
					   "%s has type %u of ggml, which is not read", cursor->part, number);
	tensor->type_name = tensor->type->name;
	return lm_file_tensor_size(tensor, error);
}

/* One block for all; the names come last, as they need no alignment. */
static LmGguf *
allocate(const Pass *counted, const LmFile *file, const LmHost *host, LmError *error)
{
	size_t keys_size = counted->n_keys * (sizeof(LmGgufKey) + sizeof(LmGgufKey *));
	size_t tensors_size = counted->n_tensors * (sizeof(LmFileTensor) + sizeof(LmFileTensor *));
	size_t size = sizeof(LmGguf) + keys_size + tensors_size + counted->names_size;
	LmGguf *gguf = lm_allocate(host, size);

	if (!gguf)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for a GGUF header of %zu bytes",
					   size),
			   NULL;
	gguf->file = *file;
	gguf->host = *host;
	gguf->n_keys = counted->n_keys;
	gguf->n_tensors = counted->n_tensors;
	gguf->tensors = (LmFileTensor *) (gguf + 1);
	gguf->keys = (LmGgufKey *) (gguf->tensors + gguf->n_tensors);
	gguf->sorted_keys = (const LmGgufKey **) (gguf->keys + gguf->n_keys);
	gguf->sorted_tensors = (const LmFileTensor **) (gguf->sorted_keys + gguf->n_keys);
	return gguf;
}

/* Sorts the names and checks what concerns all keys or all tensors. */
static bool
finish(LmGguf *gguf, Pass *pass, LmError *error)
{
	uint64_t begin = (pass->cursor.at + pass->alignment - 1) & ~(pass->alignment - 1);
	LmTensorRoom room = {begin, gguf->file.size, pass->alignment - 1, UINT64_MAX};

	for (size_t i = 0; i < gguf->n_keys; i++)
		gguf->sorted_keys[i] = &gguf->keys[i];
	qsort(gguf->sorted_keys, gguf->n_keys, sizeof *gguf->sorted_keys, compare_keys);
	for (size_t i = 1; i < gguf->n_keys; i++)
		if (compare_keys(&gguf->sorted_keys[i - 1], &gguf->sorted_keys[i]) == 0)
			return lm_fail(error, LM_ERR_FORMAT, -1, "the file has two keys \"%s\"",
						   gguf->sorted_keys[i]->name);
	/* A file of a tokenizer alone has no tensors, and may end without padding. */
	if (gguf->n_tensors == 0)
		return true;
	if (begin > gguf->file.size)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) begin,
					   "data begin at byte %llu, the file has %llu", (unsigned long long) begin,
					   (unsigned long long) gguf->file.size);
	for (size_t i = 0; i < gguf->n_tensors; i++)
	{
		gguf->tensors[i].offset += begin;
		gguf->sorted_tensors[i] = &gguf->tensors[i];
	}
	qsort(gguf->sorted_tensors, gguf->n_tensors, sizeof *gguf->sorted_tensors, compare_tensors);
	return lm_tensor_list_check(gguf->tensors, gguf->n_tensors, &room, &gguf->host, error);
}

static int
compare_keys(const void *a, const void *b)
{
	return strcmp((*(LmGgufKey *const *) a)->name, (*(LmGgufKey *const *) b)->name);
}

static int
compare_tensors(const void *a, const void *b)
{
	return strcmp((*(LmFileTensor *const *) a)->name, (*(LmFileTensor *const *) b)->name);
}

static bool
changed(LmError *error)
{
	return lm_fail(error, LM_ERR_FORMAT, -1, "the file changed while it was read");
}
