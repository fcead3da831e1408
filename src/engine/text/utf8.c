/*
 * src/engine/text/utf8.c
 *
 * Bytes in, yes or no out: is it UTF-8 as table 3-7 of the Unicode Standard 15 defines it (no
 * surrogates, no overlong forms, nothing above U+10FFFF).
 */
#include <string.h>

#include "text/utf8.h"

static bool is_continuation(unsigned char byte);
static size_t ascii_prefix(const char *text, size_t size);

int
lm_utf8_length(const char *text, size_t size)
{
	const unsigned char *s = (const unsigned char *) text;
	unsigned char low = 0x80, high = 0xBF;

	if (size == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xC2 || s[0] > 0xF4)
		return 0;
	if (s[0] < 0xE0)
		return size >= 2 && is_continuation(s[1]) ? 2 : 0;

	/*
	 * The range of the second byte excludes overlong forms, surrogates and code points too
	 * large.
	 */
	if (s[0] == 0xE0)
		low = 0xA0;
	else if (s[0] == 0xED)
		high = 0x9F;
	else if (s[0] == 0xF0)
		low = 0x90;
	else if (s[0] == 0xF4)
		high = 0x8F;
	if (size < 3 || s[1] < low || s[1] > high || !is_continuation(s[2]))
		return 0;
	if (s[0] < 0xF0)
		return 3;
	return size >= 4 && is_continuation(s[3]) ? 4 : 0;
}

bool
lm_utf8_valid(const char *text, size_t size, size_t *position)
{
	size_t i = 0;

	while (i < size)
	{
		int length;

		i += ascii_prefix(text + i, size - i);
		if (i == size)
			break;
		length = lm_utf8_length(text + i, size - i);
		if (length == 0)
		{
			*position = i;
			return false;
		}
		i += (size_t) length;
	}
	return true;
}

bool
lm_text_go_on(const LmHost *host, LmError *error)
{
	if (host->should_stop && host->should_stop(host->context))
		return lm_fail(error, LM_ERR_STOPPED, -1, "stopped");
	return true;
}

bool
lm_text_check(const LmHost *host, const char *text, size_t size, LmError *error)
{
	size_t start = 0;

	if (size > LM_MAX_TEXT_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1, "text has %zu bytes, the limit is %zu", size,
					   LM_MAX_TEXT_SIZE);
	while (start < size)
	{
		size_t chunk = size - start < LM_POLL_SIZE ? size - start : LM_POLL_SIZE;
		size_t valid = chunk;

		if (!lm_text_go_on(host, error))
			return false;
		lm_utf8_valid(text + start, chunk, &valid);
		/*
		 * A character that the chunk's end cuts is looked at again, as the first of the next chunk.
		 */
		if (valid < chunk && (start + chunk == size || valid + 4 <= chunk))
			return lm_fail(error, LM_ERR_ENCODING, (int64_t) (start + valid),
						   "text is not valid UTF-8 at byte %zu: 0x%02x", start + valid,
						   (unsigned char) text[start + valid]);
		start += valid;
	}
	return true;
}

static bool
is_continuation(unsigned char byte)
{
	return (byte & 0xC0) == 0x80;
}

/* The number of leading bytes below 0x80, tested eight at a time. */
static size_t
ascii_prefix(const char *text, size_t size)
{
	size_t i = 0;
	uint64_t word;

	for (; i + 8 <= size; i += 8)
	{
		memcpy(&word, text + i, 8);
		if (word & UINT64_C(0x8080808080808080))
			break;
	}
	while (i < size && (unsigned char) text[i] < 0x80)
		i++;
	return i;
}
