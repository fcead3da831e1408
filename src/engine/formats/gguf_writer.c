/*
 * src/engine/formats/gguf_writer.c
 *
 * Writes a GGUF file through a small buffer. What it refuses is what the reader would refuse.
 */
#include <string.h>

#include "engine/gguf_writer.h"
#include "formats/gguf_private.h"
#include "formats/half.h"

static void put(LmGgufWriter *writer, const void *bytes, size_t size);
static void flush(LmGgufWriter *writer);
static void put_u32(LmGgufWriter *writer, uint32_t value);
static void put_u64(LmGgufWriter *writer, uint64_t value);
static void put_text(LmGgufWriter *writer, const void *bytes, size_t size);
static void put_integer(LmGgufWriter *writer, LmGgufType type, int64_t value);
static void put_float(LmGgufWriter *writer, float value);
static bool begin_key(LmGgufWriter *writer, const char *key, LmGgufType type);
static bool begin_item(LmGgufWriter *writer, LmGgufType type);
static void wrong(LmGgufWriter *writer, const char *problem, const char *name);

void
lm_gguf_writer_start(LmGgufWriter *writer,
					 bool (*write)(void *context, const void *bytes, size_t size), void *context,
					 uint64_t n_keys, uint64_t n_tensors)
{
	memset(writer, 0, sizeof *writer);
	writer->write = write;
	writer->context = context;
	writer->n_keys = n_keys;
	writer->n_tensors = n_tensors;
	put(writer, LM_GGUF_MAGIC, 4);
	put_u32(writer, 3);
	put_u64(writer, n_tensors);
	put_u64(writer, n_keys);
}

void
lm_gguf_write_integer(LmGgufWriter *writer, const char *key, LmGgufType type, int64_t value)
{
	if (begin_key(writer, key, type))
		put_integer(writer, type, value);
}

void
lm_gguf_write_float(LmGgufWriter *writer, const char *key, float value)
{
	if (begin_key(writer, key, LM_GGUF_F32))
		put_float(writer, value);
}

void
lm_gguf_write_string(LmGgufWriter *writer, const char *key, const void *bytes, size_t size)
{
	if (begin_key(writer, key, LM_GGUF_STRING))
		put_text(writer, bytes, size);
}

void
lm_gguf_write_array(LmGgufWriter *writer, const char *key, LmGgufType item_type, uint64_t n)
{
	if (!begin_key(writer, key, LM_GGUF_ARRAY))
		return;
	put_u32(writer, item_type);
	put_u64(writer, n);
	writer->item_type = item_type;
	writer->n_items = n;
}

void
lm_gguf_write_integer_item(LmGgufWriter *writer, int64_t value)
{
	if (begin_item(writer, writer->item_type))
		put_integer(writer, writer->item_type, value);
}

void
lm_gguf_write_float_item(LmGgufWriter *writer, float value)
{
	if (begin_item(writer, LM_GGUF_F32))
		put_float(writer, value);
}

void
lm_gguf_write_string_item(LmGgufWriter *writer, const void *bytes, size_t size)
{
	if (begin_item(writer, LM_GGUF_STRING))
		put_text(writer, bytes, size);
}

void
lm_gguf_write_tensor(LmGgufWriter *writer, const LmFileTensor *tensor)
{
	LmFileTensor sized = *tensor;

	if (writer->error.code != LM_OK)
		return;
	if (writer->n_keys > 0 || writer->n_items > 0 || writer->n_tensors == 0)
		wrong(writer, "a tensor has no place here", tensor->name);
	else if (!lm_name_is_plain(tensor->name, strlen(tensor->name), LM_FILE_TENSOR_NAME))
		wrong(writer, "the name of a tensor is not plain", tensor->name);
	else if (!lm_file_tensor_size(&sized, &writer->error))
		return;
	else if (sized.size > INT64_MAX / 4 || writer->data_size > INT64_MAX / 4)
		wrong(writer, "the tensors have over 2^61 bytes", tensor->name);
	else
	{
		writer->n_tensors--;
		put_text(writer, tensor->name, strlen(tensor->name));
		put_u32(writer, (uint32_t) tensor->n_dimensions);
		for (int i = tensor->n_dimensions - 1; i >= 0; i--)
			put_u64(writer, tensor->shape[i]);
		put_u32(writer, (uint32_t) tensor->type->number);
		put_u64(writer, writer->data_size);
		writer->data_size +=
			(sized.size + LM_GGUF_ALIGNMENT - 1) & ~(uint64_t) (LM_GGUF_ALIGNMENT - 1);
		if (writer->n_tensors == 0)
			lm_gguf_write_padding(writer);
	}
}

void
lm_gguf_write_data(LmGgufWriter *writer, const void *bytes, size_t size)
{
	if (writer->n_keys > 0 || writer->n_items > 0 || writer->n_tensors > 0)
		wrong(writer, "data have no place here", "");
	else
		put(writer, bytes, size);
}

void
lm_gguf_write_padding(LmGgufWriter *writer)
{
	static const uint8_t zeros[LM_GGUF_ALIGNMENT];

	put(writer, zeros, (size_t) (-writer->at % LM_GGUF_ALIGNMENT));
	if (writer->data_begin == 0)
		writer->data_begin = writer->at;
}

bool
lm_gguf_writer_end(LmGgufWriter *writer, LmError *error)
{
	if (writer->error.code == LM_OK)
		flush(writer);
	if (writer->error.code == LM_OK &&
		(writer->n_keys > 0 || writer->n_items > 0 || writer->n_tensors > 0 ||
		 (writer->data_size > 0 && writer->at - writer->data_begin != writer->data_size)))
		wrong(writer, "the file ends too early or too late", "");
	if (writer->error.code != LM_OK && error)
		*error = writer->error;
	return writer->error.code == LM_OK;
}

/* The first failure stays. */
static void
wrong(LmGgufWriter *writer, const char *problem, const char *name)
{
	if (writer->error.code == LM_OK)
		lm_fail(&writer->error, LM_ERR_ARGUMENT, (int64_t) writer->at, "%s: GGUF file, \"%.100s\"",
				problem, name);
}

static bool
begin_key(LmGgufWriter *writer, const char *key, LmGgufType type)
{
	if (writer->error.code != LM_OK)
		return false;
	if (writer->n_keys == 0 || writer->n_items > 0)
		wrong(writer, "a key has no place here", key);
	else if (!lm_name_is_plain(key, strlen(key), LM_GGUF_KEY))
		wrong(writer, "a key is not plain", key);
	else
	{
		writer->n_keys--;
		put_text(writer, key, strlen(key));
		put_u32(writer, type);
	}
	return writer->error.code == LM_OK;
}

static bool
begin_item(LmGgufWriter *writer, LmGgufType type)
{
	if (writer->error.code == LM_OK && (writer->n_items == 0 || writer->item_type != type))
		wrong(writer, "an item has no place here", lm_gguf_type_name(type));
	writer->n_items -= writer->error.code == LM_OK;
	return writer->error.code == LM_OK;
}

/* The reader must get the same value back. */
static void
put_integer(LmGgufWriter *writer, LmGgufType type, int64_t value)
{
	uint8_t bytes[8];
	size_t size = lm_gguf_type_size(type);

	lm_store_u64(bytes, (uint64_t) value);
	if (size == 0 || type == LM_GGUF_F32 || type == LM_GGUF_F64 ||
		(type == LM_GGUF_BOOL && (value & ~(int64_t) 1)) ||
		(int64_t) lm_gguf_bits(type, bytes) != value || (type == LM_GGUF_U64 && value < 0))
		wrong(writer, "an integer does not fit its type", lm_gguf_type_name(type));
	else
		put(writer, bytes, size);
}

static void
put_float(LmGgufWriter *writer, float value)
{
	put_u32(writer, lm_float_bits(value));
}

static void
put_text(LmGgufWriter *writer, const void *bytes, size_t size)
{
	put_u64(writer, size);
	put(writer, bytes, size);
}

static void
put_u32(LmGgufWriter *writer, uint32_t value)
{
	uint8_t bytes[4];

	lm_store_u32(bytes, value);
	put(writer, bytes, sizeof bytes);
}

static void
put_u64(LmGgufWriter *writer, uint64_t value)
{
	uint8_t bytes[8];

	lm_store_u64(bytes, value);
	put(writer, bytes, sizeof bytes);
}

/* What does not fit into the empty buffer goes past it. */
static void
put(LmGgufWriter *writer, const void *bytes, size_t size)
{
	if (size > sizeof writer->buffer - writer->filled)
		flush(writer);
	if (writer->error.code != LM_OK || size == 0)
		return;
	writer->at += size;
	if (size > sizeof writer->buffer)
	{
		if (!writer->write(writer->context, bytes, size))
			wrong(writer, "the file cannot be written", "");
		return;
	}
	memcpy(writer->buffer + writer->filled, bytes, size);
	writer->filled += size;
}

static void
flush(LmGgufWriter *writer)
{
	if (writer->error.code == LM_OK && writer->filled > 0 &&
		!writer->write(writer->context, writer->buffer, writer->filled))
		wrong(writer, "the file cannot be written", "");
	writer->filled = 0;
}
