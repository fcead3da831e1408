/*
 * test/fuzz/target_gguf.h
 *
 * Any bytes as a GGUF file: an error, or keys that can be read and tensors that lie in the file,
 * and which the writer can write again.
 */
#ifndef TEST_TARGET_GGUF_H
#define TEST_TARGET_GGUF_H

#include "fuzz.h"
#include "engine/gguf_writer.h"

#define FUZZ_STRING 65536

/* Copies the items of an array, as far as they can be read. */
static inline bool
gguf_copy_items(LmGgufWriter *writer, const LmGguf *gguf, const LmGgufKey *key)
{
	static LmGgufItems items;
	LmError error;
	const char *bytes;
	size_t size;
	int64_t integer;
	double number;

	FUZZ_CHECK(lm_gguf_items(&items, gguf, key->name, &error) && items.left == key->n);
	lm_gguf_write_array(writer, key->name, key->item_type, key->n);
	while (items.left > 0)
		if (key->item_type == LM_GGUF_STRING)
		{
			if (!lm_gguf_next_string(&bytes, &size, &items, &error))
				return fuzz_check_error(&error), false;
			lm_gguf_write_string_item(writer, bytes, size);
		}
		else if (key->item_type == LM_GGUF_F32 || key->item_type == LM_GGUF_F64)
		{
			FUZZ_CHECK(lm_gguf_next_number(&number, &items, &error));
			if (key->item_type == LM_GGUF_F64)
				return false;
			lm_gguf_write_float_item(writer, (float) number);
		}
		else
		{
			if (!lm_gguf_next_integer(&integer, &items, &error))
				return fuzz_check_error(&error), false;
			lm_gguf_write_integer_item(writer, integer);
		}
	return true;
}

/* Copies a key; false where its value has no place in the writer. */
static inline bool
gguf_copy_key(LmGgufWriter *writer, const LmGguf *gguf, const LmGgufKey *key, const LmHost *host)
{
	LmError error;
	int64_t integer;
	double number;
	bool yes;
	char *text;

	FUZZ_CHECK(lm_gguf_find(gguf, key->name) == key);
	if (key->type == LM_GGUF_ARRAY)
		return gguf_copy_items(writer, gguf, key);
	if (key->type == LM_GGUF_STRING)
	{
		text = lm_gguf_string(gguf, key->name, FUZZ_STRING, &error);
		if (!text)
			return fuzz_check_error(&error), false;
		lm_gguf_write_string(writer, key->name, text, strlen(text));
		lm_free(host, text);
		return true;
	}
	FUZZ_CHECK(lm_gguf_bool(&yes, gguf, key->name, &error) == (key->type == LM_GGUF_BOOL));
	if (!lm_gguf_number(&number, gguf, key->name, &error))
		return fuzz_check_error(&error), false;
	if (key->type == LM_GGUF_F32)
		lm_gguf_write_float(writer, key->name, (float) number);
	else if (lm_gguf_integer(&integer, gguf, key->name, INT64_MIN, INT64_MAX, &error))
		lm_gguf_write_integer(writer, key->name, key->type, integer);
	else
		return fuzz_check_error(&error), false;
	return true;
}

static inline bool
gguf_count_bytes(void *context, const void *bytes, size_t size)
{
	*(uint64_t *) context += size;
	return true;
}

static inline void
gguf_copy(const LmGguf *gguf, const FuzzFile *file, const LmHost *host)
{
	static LmGgufWriter writer;
	uint64_t size = 0;
	bool whole = true;
	LmError error;

	lm_gguf_writer_start(&writer, gguf_count_bytes, &size, lm_gguf_n_keys(gguf),
						 lm_gguf_n_tensors(gguf));
	for (size_t i = 0; i < lm_gguf_n_keys(gguf); i++)
		whole = gguf_copy_key(&writer, gguf, lm_gguf_key(gguf, i), host) && whole;
	for (size_t i = 0; i < lm_gguf_n_tensors(gguf); i++)
	{
		const LmFileTensor *tensor = lm_gguf_tensor(gguf, i);

		FUZZ_CHECK(lm_gguf_find_tensor(gguf, tensor->name) == tensor);
		fuzz_check_tensor(tensor, file);
		lm_gguf_write_tensor(&writer, tensor);
	}
	for (size_t i = 0; i < lm_gguf_n_tensors(gguf); i++)
	{
		const LmFileTensor *tensor = lm_gguf_tensor(gguf, i);

		lm_gguf_write_data(&writer, file->data + tensor->offset, (size_t) tensor->size);
		lm_gguf_write_padding(&writer);
	}
	FUZZ_CHECK(lm_gguf_writer_end(&writer, &error) || !whole);
}

/* Whether the bytes are a file. */
static inline bool
target_gguf(const uint8_t *data, size_t size)
{
	FuzzFile bytes = {data, size};
	FuzzHost state;
	LmHost host = fuzz_host(&state, 1024 + LM_GGUF_MEMORY * size + FUZZ_STRING);
	LmFile file = fuzz_file(&bytes);
	LmError error = {0};
	LmGguf *gguf = lm_gguf_open(&file, &host, &error);

	if (gguf)
		gguf_copy(gguf, &bytes, &host);
	else
		fuzz_check_error(&error);
	lm_gguf_close(gguf);
	FUZZ_CHECK(state.live == 0);
	return gguf != NULL;
}

#endif /* TEST_TARGET_GGUF_H */
