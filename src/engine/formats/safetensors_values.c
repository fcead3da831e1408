/*
 * src/engine/formats/safetensors_values.c
 *
 * Looks up the tensors of a safetensors file, and reads texts of its metadata: JSON strings, whose
 * escapes become UTF-8.
 */
#include <string.h>

#include "formats/safetensors_private.h"

static const LmSafetensorsText *find_text(const LmSafetensors *safetensors, const char *key);
static bool decode(char *text, size_t *size);
static size_t decode_escape(char *out, const char *escape, size_t *taken);
static uint32_t hexadecimal(const char *digits);
static size_t put_utf8(char *out, uint32_t code);

size_t
lm_safetensors_n_tensors(const LmSafetensors *safetensors)
{
	return safetensors->n_tensors;
}

const LmFileTensor *
lm_safetensors_tensor(const LmSafetensors *safetensors, size_t i)
{
	return &safetensors->tensors[i];
}

const LmFileTensor *
lm_safetensors_find(const LmSafetensors *safetensors, const char *name)
{
	size_t low = 0, high = safetensors->n_tensors;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;
		int order = strcmp(safetensors->sorted[middle]->name, name);

		if (order == 0)
			return safetensors->sorted[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static const LmSafetensorsText *
find_text(const LmSafetensors *safetensors, const char *key)
{
	size_t low = 0, high = safetensors->n_texts;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;
		int order = strcmp(safetensors->texts[middle].key, key);

		if (order == 0)
			return &safetensors->texts[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool
lm_safetensors_has_text(const LmSafetensors *safetensors, const char *key)
{
	return find_text(safetensors, key) != NULL;
}

char *
lm_safetensors_text(const LmSafetensors *safetensors, const char *key, size_t most, LmError *error)
{
	const LmSafetensorsText *found = find_text(safetensors, key);
	const LmFile *file = &safetensors->file;
	char *text;
	size_t size;

	if (!found)
		return lm_fail(error, LM_ERR_FORMAT, -1, "the metadata have no \"%s\"", key), NULL;
	if (found->size > most)
		return lm_fail(error, LM_ERR_LIMIT, (int64_t) found->offset,
					   "the metadata's \"%s\" has %llu bytes, the limit is %zu", key,
					   (unsigned long long) found->size, most),
			   NULL;
	size = (size_t) found->size;
	text = lm_allocate_unset(&safetensors->host, size + 1);
	if (!text)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for \"%s\"", key), NULL;
	if (size > 0 && !file->read(file->context, found->offset, text, size))
		lm_fail(error, LM_ERR_LIBRARY, (int64_t) found->offset,
				"could not read byte %llu of the file", (unsigned long long) found->offset);
	else if (!decode(text, &size) || memchr(text, 0, size))
		lm_fail(error, LM_ERR_FORMAT, (int64_t) found->offset,
				"the metadata's \"%s\" has a zero byte or half of a character", key);
	else
	{
		text[size] = 0;
		return text;
	}
	lm_free(&safetensors->host, text);
	return NULL;
}

/*
 * Resolves the escapes in place: none becomes longer. False for what is no text of JSON, which only
 * a file that changed since it was checked has, or half of a surrogate pair.
 */
static bool
decode(char *text, size_t *size)
{
	size_t n = 0, i = 0;

	while (i < *size)
	{
		char escape[13] = {0};
		size_t taken, made, left = *size - i;

		if (text[i] != '\\')
		{
			text[n++] = text[i++];
			continue;
		}
		memcpy(escape, text + i, left < 12 ? left : 12);
		made = decode_escape(text + n, escape, &taken);
		if (made == 0 || taken > left)
			return false;
		n += made;
		i += taken;
	}
	*size = n;
	return true;
}

/*
 * The bytes of one escape, which is followed by zero bytes: their number, 0 where it is none.
 * *taken = bytes of the escape.
 */
static size_t
decode_escape(char *out, const char *escape, size_t *taken)
{
	static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *letter = escape[1] ? strchr(letters, escape[1]) : NULL;
	uint32_t code, low;

	*taken = 2;
	if (letter)
	{
		*out = values[letter - letters];
		return 1;
	}
	if (escape[1] != 'u')
		return 0;
	*taken = 6;
	code = hexadecimal(escape + 2);
	if (code < 0xD800 || (code > 0xDFFF && code <= 0xFFFF))
		return put_utf8(out, code);
	if (code > 0xDBFF || escape[6] != '\\' || escape[7] != 'u')
		return 0;
	low = hexadecimal(escape + 8);
	if (low < 0xDC00 || low > 0xDFFF)
		return 0;
	*taken = 12;
	return put_utf8(out, 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00));
}

/* Four digits; above 0xFFFF where they are none. */
static uint32_t
hexadecimal(const char *digits)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
	{
		char c = digits[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t) (c - '0');
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			value = value << 4 | (uint32_t) ((c | 0x20) - 'a' + 10);
		else
			return UINT32_MAX;
	}
	return value;
}

static size_t
put_utf8(char *out, uint32_t code)
{
	static const uint32_t first[] = {0, 0, 0xC0, 0xE0, 0xF0};
	size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = n; i-- > 1; code >>= 6)
		out[i] = (char) (0x80 | (code & 0x3F));
	out[0] = (char) (n == 1 ? code : first[n] | code);
	return n;
}
