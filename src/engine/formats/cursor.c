/*
 * src/engine/formats/cursor.c
 *
 * Reads the bytes of a file in order through a buffer, none of them beyond the file's end.
 */
#include <string.h>

#include "engine/file.h"
#include "formats/half.h"

static bool fill(LmCursor *cursor, size_t size, LmError *error);
static bool ends(const LmCursor *cursor, uint64_t size, LmError *error);

void
lm_cursor_start(LmCursor *cursor, const LmFile *file, const LmHost *host, uint64_t at)
{
	cursor->file = *file;
	cursor->host = host;
	cursor->at = at;
	cursor->begin = 0;
	cursor->filled = 0;
	strcpy(cursor->part, "the header");
}

uint64_t
lm_cursor_left(const LmCursor *cursor)
{
	return cursor->at < cursor->file.size ? cursor->file.size - cursor->at : 0;
}

const uint8_t *
lm_cursor_take(LmCursor *cursor, size_t size, LmError *error)
{
	const uint8_t *bytes;

	if (size > lm_cursor_left(cursor))
		return ends(cursor, size, error), NULL;
	if (cursor->at < cursor->begin || cursor->at - cursor->begin > cursor->filled ||
		cursor->filled - (cursor->at - cursor->begin) < size)
	{
		if (!fill(cursor, size, error))
			return NULL;
	}
	bytes = cursor->buffer + (cursor->at - cursor->begin);
	cursor->at += size;
	return bytes;
}

/* Fills the buffer from the next byte on, as far as buffer and file go. */
static bool
fill(LmCursor *cursor, size_t size, LmError *error)
{
	const LmHost *host = cursor->host;
	uint64_t left = lm_cursor_left(cursor);

	if (size > LM_CURSOR_MOST)
		return lm_fail(error, LM_ERR_LIMIT, (int64_t) cursor->at,
					   "%s has %zu bytes at once, the limit is %zu", cursor->part, size,
					   LM_CURSOR_MOST);
	if (host->should_stop && host->should_stop(host->context))
		return lm_fail(error, LM_ERR_STOPPED, -1, "stopped");
	cursor->filled = left < LM_CURSOR_MOST ? (size_t) left : LM_CURSOR_MOST;
	cursor->begin = cursor->at;
	if (cursor->file.read(cursor->file.context, cursor->at, cursor->buffer, cursor->filled))
		return true;
	cursor->filled = 0;
	return lm_fail(error, LM_ERR_LIBRARY, (int64_t) cursor->at,
				   "could not read byte %llu of the file", (unsigned long long) cursor->at);
}

static bool
ends(const LmCursor *cursor, uint64_t size, LmError *error)
{
	return lm_fail(error, LM_ERR_FORMAT, (int64_t) cursor->at,
				   "%s needs %llu bytes at byte %llu, the file has %llu", cursor->part,
				   (unsigned long long) size, (unsigned long long) cursor->at,
				   (unsigned long long) cursor->file.size);
}

bool
lm_cursor_u32(LmCursor *cursor, uint32_t *value, LmError *error)
{
	const uint8_t *bytes = lm_cursor_take(cursor, sizeof *value, error);

	*value = bytes ? lm_load_u32(bytes) : 0;
	return bytes != NULL;
}

bool
lm_cursor_u64(LmCursor *cursor, uint64_t *value, LmError *error)
{
	const uint8_t *bytes = lm_cursor_take(cursor, sizeof *value, error);

	*value = bytes ? lm_load_u64(bytes) : 0;
	return bytes != NULL;
}

bool
lm_cursor_skip(LmCursor *cursor, uint64_t size, LmError *error)
{
	if (size > lm_cursor_left(cursor))
		return ends(cursor, size, error);
	cursor->at += size;
	return true;
}

void
lm_name_for_message(char *text, size_t size, const void *name, size_t length)
{
	const unsigned char *bytes = name;
	size_t n = length < size - 1 ? length : size - 1;

	for (size_t i = 0; i < n; i++)
		text[i] = bytes[i] >= 0x20 && bytes[i] < 0x7f ? (char) bytes[i] : '?';
	text[n] = 0;
}

bool
lm_name_is_plain(const void *name, size_t length, size_t most)
{
	const unsigned char *bytes = name;

	for (size_t i = 0; i < length && i < most; i++)
		if (bytes[i] <= 0x20 || bytes[i] >= 0x7f)
			return false;
	return length >= 1 && length <= most;
}
