/*
 * src/engine/formats/gguf_values.c
 *
 * Looks up keys and tensors of a GGUF header, and reads values: numbers from the header, strings
 * and arrays from the file.
 */
#include <math.h>
#include <string.h>

#include "formats/gguf_private.h"
#include "formats/half.h"

/* How a type stores its values. */
typedef enum Storage
{
	UNSIGNED,
	SIGNED,
	FLOAT,
	OTHER,
} Storage;

static const struct
{
	const char *name;
	size_t size;
	Storage storage;
} types[LM_GGUF_TYPES] = {
	[LM_GGUF_U8] = {"u8", 1, UNSIGNED},		 [LM_GGUF_I8] = {"i8", 1, SIGNED},
	[LM_GGUF_U16] = {"u16", 2, UNSIGNED},	 [LM_GGUF_I16] = {"i16", 2, SIGNED},
	[LM_GGUF_U32] = {"u32", 4, UNSIGNED},	 [LM_GGUF_I32] = {"i32", 4, SIGNED},
	[LM_GGUF_F32] = {"f32", 4, FLOAT},		 [LM_GGUF_BOOL] = {"bool", 1, UNSIGNED},
	[LM_GGUF_STRING] = {"string", 0, OTHER}, [LM_GGUF_ARRAY] = {"array", 0, OTHER},
	[LM_GGUF_U64] = {"u64", 8, UNSIGNED},	 [LM_GGUF_I64] = {"i64", 8, SIGNED},
	[LM_GGUF_F64] = {"f64", 8, FLOAT},
};

static bool integer(int64_t *value, LmGgufType type, uint64_t bits);
static bool number(double *value, LmGgufType type, uint64_t bits);
static const LmGgufKey *need(const LmGguf *gguf, const char *key, LmError *error);
static bool mistyped(const LmGgufKey *key, const char *wanted, LmError *error);
static bool any_left(const LmGgufItems *items, LmError *error);
static bool next_bits(uint64_t *bits, LmGgufItems *items, LmError *error);
static bool wrong_items(const LmGgufItems *items, const char *wanted, LmError *error);

const char *
lm_gguf_type_name(LmGgufType type)
{
	return types[type].name;
}

size_t
lm_gguf_type_size(uint32_t type)
{
	return type < LM_GGUF_TYPES ? types[type].size : 0;
}

/* A signed number is extended to 64 bits, a float to a double. */
uint64_t
lm_gguf_bits(LmGgufType type, const uint8_t *bytes)
{
	uint64_t bits = 0;
	int unused = 64 - 8 * (int) types[type].size;
	double value;

	for (size_t i = types[type].size; i-- > 0;)
		bits = bits << 8 | bytes[i];
	if (types[type].storage == SIGNED)
		return (uint64_t) ((int64_t) (bits << unused) >> unused);
	if (type != LM_GGUF_F32)
		return bits;
	value = lm_float_of_bits((uint32_t) bits);
	memcpy(&bits, &value, sizeof bits);
	return bits;
}

/* False where the value is no integer of 64 bits with a sign. */
static bool
integer(int64_t *value, LmGgufType type, uint64_t bits)
{
	*value = (int64_t) bits;
	return types[type].storage == SIGNED ||
		   (types[type].storage == UNSIGNED && bits <= (uint64_t) INT64_MAX);
}

static bool
number(double *value, LmGgufType type, uint64_t bits)
{
	switch (types[type].storage)
	{
		case UNSIGNED:
			*value = (double) bits;
			return true;
		case SIGNED:
			*value = (double) (int64_t) bits;
			return true;
		case FLOAT:
			memcpy(value, &bits, sizeof bits);
			return true;
		case OTHER:
			break;
	}
	return false;
}

size_t
lm_gguf_n_keys(const LmGguf *gguf)
{
	return gguf->n_keys;
}

const LmGgufKey *
lm_gguf_key(const LmGguf *gguf, size_t i)
{
	return &gguf->keys[i];
}

size_t
lm_gguf_n_tensors(const LmGguf *gguf)
{
	return gguf->n_tensors;
}

const LmFileTensor *
lm_gguf_tensor(const LmGguf *gguf, size_t i)
{
	return &gguf->tensors[i];
}

const LmGgufKey *
lm_gguf_find(const LmGguf *gguf, const char *key)
{
	size_t low = 0, high = gguf->n_keys;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;
		int order = strcmp(gguf->sorted_keys[middle]->name, key);

		if (order == 0)
			return gguf->sorted_keys[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const LmFileTensor *
lm_gguf_find_tensor(const LmGguf *gguf, const char *name)
{
	size_t low = 0, high = gguf->n_tensors;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;
		int order = strcmp(gguf->sorted_tensors[middle]->name, name);

		if (order == 0)
			return gguf->sorted_tensors[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static const LmGgufKey *
need(const LmGguf *gguf, const char *key, LmError *error)
{
	const LmGgufKey *found = lm_gguf_find(gguf, key);

	if (!found)
		lm_fail(error, LM_ERR_FORMAT, -1, "key \"%s\" is missing", key);
	return found;
}

static bool
mistyped(const LmGgufKey *key, const char *wanted, LmError *error)
{
	return lm_fail(error, LM_ERR_FORMAT, (int64_t) key->offset,
				   "key \"%s\" has type %s, must be %s", key->name, lm_gguf_type_name(key->type),
				   wanted);
}

bool
lm_gguf_integer(int64_t *value, const LmGguf *gguf, const char *name, int64_t low, int64_t high,
				LmError *error)
{
	const LmGgufKey *key = need(gguf, name, error);

	if (!key)
		return false;
	if (types[key->type].storage != SIGNED && types[key->type].storage != UNSIGNED)
		return mistyped(key, "an integer", error);
	if (!integer(value, key->type, key->bits) || *value < low || *value > high)
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) key->offset,
					   types[key->type].storage == SIGNED
						   ? "key \"%s\" is %lld, must be %lld to %lld"
						   : "key \"%s\" is %llu, must be %lld to %lld",
					   name, (long long) key->bits, (long long) low, (long long) high);
	return true;
}

bool
lm_gguf_number(double *value, const LmGguf *gguf, const char *name, LmError *error)
{
	const LmGgufKey *key = need(gguf, name, error);

	if (!key)
		return false;
	if (!number(value, key->type, key->bits))
		return mistyped(key, "a number", error);
	if (!isfinite(*value))
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) key->offset,
					   "key \"%s\" is %g, must be finite", name, *value);
	return true;
}

bool
lm_gguf_bool(bool *value, const LmGguf *gguf, const char *name, LmError *error)
{
	const LmGgufKey *key = need(gguf, name, error);

	if (!key)
		return false;
	*value = key->bits != 0;
	return key->type == LM_GGUF_BOOL || mistyped(key, "bool", error);
}

char *
lm_gguf_string(const LmGguf *gguf, const char *name, size_t most, LmError *error)
{
	const LmGgufKey *key = need(gguf, name, error);
	const LmFile *file = &gguf->file;
	char *text;

	if (!key)
		return NULL;
	if (key->type != LM_GGUF_STRING)
		return mistyped(key, "string", error), NULL;
	if (key->n > most || key->n >= SIZE_MAX)
		return lm_fail(error, LM_ERR_LIMIT, (int64_t) key->offset,
					   "key \"%s\" has %llu bytes, the limit is %zu", name,
					   (unsigned long long) key->n, most),
			   NULL;
	text = lm_allocate_unset(&gguf->host, (size_t) key->n + 1);
	if (!text)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for key \"%s\"", name), NULL;
	text[key->n] = 0;
	if (key->n == 0 || file->read(file->context, key->offset, text, (size_t) key->n))
	{
		if (!memchr(text, 0, (size_t) key->n))
			return text;
		lm_fail(error, LM_ERR_FORMAT, (int64_t) key->offset, "key \"%s\" has a zero byte", name);
	}
	else
		lm_fail(error, LM_ERR_LIBRARY, (int64_t) key->offset,
				"could not read byte %llu of the file", (unsigned long long) key->offset);
	lm_free(&gguf->host, text);
	return NULL;
}

bool
lm_gguf_items(LmGgufItems *items, const LmGguf *gguf, const char *name, LmError *error)
{
	const LmGgufKey *key = need(gguf, name, error);

	if (!key)
		return false;
	if (key->type != LM_GGUF_ARRAY)
		return mistyped(key, "an array", error);
	items->type = key->item_type;
	items->left = key->n;
	lm_cursor_start(&items->cursor, &gguf->file, &gguf->host, key->offset);
	/* The longest key is cut in messages. */
	lm_name_for_message(items->cursor.part, sizeof items->cursor.part, name, strlen(name));
	return true;
}

static bool
any_left(const LmGgufItems *items, LmError *error)
{
	return items->left > 0 || lm_fail(error, LM_ERR_ARGUMENT, -1, "key \"%s\" has no further item",
									  items->cursor.part);
}

/* The next number or bool. */
static bool
next_bits(uint64_t *bits, LmGgufItems *items, LmError *error)
{
	const uint8_t *bytes;

	if (!any_left(items, error))
		return false;
	bytes = lm_cursor_take(&items->cursor, types[items->type].size, error);
	if (!bytes)
		return false;
	*bits = lm_gguf_bits(items->type, bytes);
	items->left--;
	return true;
}

static bool
wrong_items(const LmGgufItems *items, const char *wanted, LmError *error)
{
	return lm_fail(error, LM_ERR_FORMAT, (int64_t) items->cursor.at,
				   "key \"%s\" is an array of %s, must be one of %s", items->cursor.part,
				   lm_gguf_type_name(items->type), wanted);
}

bool
lm_gguf_next_integer(int64_t *value, LmGgufItems *items, LmError *error)
{
	uint64_t bits;

	if (types[items->type].storage != SIGNED && types[items->type].storage != UNSIGNED)
		return wrong_items(items, "integers", error);
	if (!next_bits(&bits, items, error))
		return false;
	if (!integer(value, items->type, bits) || (items->type == LM_GGUF_BOOL && bits > 1))
		return lm_fail(error, LM_ERR_FORMAT, (int64_t) items->cursor.at,
					   "key \"%s\" has an item of %llu, which is out of range", items->cursor.part,
					   (unsigned long long) bits);
	return true;
}

bool
lm_gguf_next_number(double *value, LmGgufItems *items, LmError *error)
{
	uint64_t bits;

	if (types[items->type].storage == OTHER)
		return wrong_items(items, "numbers", error);
	return next_bits(&bits, items, error) && number(value, items->type, bits);
}

bool
lm_gguf_next_string(const char **bytes, size_t *size, LmGgufItems *items, LmError *error)
{
	uint64_t n;

	if (items->type != LM_GGUF_STRING)
		return wrong_items(items, "strings", error);
	if (!any_left(items, error) || !lm_cursor_u64(&items->cursor, &n, error))
		return false;
	if (n > LM_CURSOR_MOST)
		return lm_fail(error, LM_ERR_LIMIT, (int64_t) items->cursor.at,
					   "key \"%s\" has an item of %llu bytes, the limit is %zu", items->cursor.part,
					   (unsigned long long) n, LM_CURSOR_MOST);
	*bytes = (const char *) lm_cursor_take(&items->cursor, (size_t) n, error);
	*size = (size_t) n;
	items->left--;
	return *bytes != NULL;
}
