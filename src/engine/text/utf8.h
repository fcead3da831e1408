/*
 * src/engine/text/utf8.h
 *
 * Decoding of UTF-8 that is known to be valid, and the check that makes it known.
 */
#ifndef LM_TEXT_UTF8_H
#define LM_TEXT_UTF8_H

#include "engine/tokenizer.h"

#define LM_MAX_TEXT_SIZE ((size_t) 1 << 30)
/* bytes between two calls of should_stop, at most */
#define LM_POLL_SIZE ((size_t) 65536)

/* The code point at valid text; *size is its length in bytes. */
static inline int32_t
lm_utf8_decode(const char *text, int *size)
{
	const unsigned char *s = (const unsigned char *) text;

	if (s[0] < 0x80)
	{
		*size = 1;
		return s[0];
	}
	if (s[0] < 0xE0)
	{
		*size = 2;
		return (s[0] & 0x1F) << 6 | (s[1] & 0x3F);
	}
	if (s[0] < 0xF0)
	{
		*size = 3;
		return (s[0] & 0x0F) << 12 | (s[1] & 0x3F) << 6 | (s[2] & 0x3F);
	}
	*size = 4;
	return (s[0] & 0x07) << 18 | (s[1] & 0x3F) << 12 | (s[2] & 0x3F) << 6 | (s[3] & 0x3F);
}

/* Writes the 1 to 4 bytes of a code point; returns how many. */
static inline int
lm_utf8_encode(char *text, int32_t code)
{
	if (code < 0x80)
	{
		text[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		text[0] = (char) (0xC0 | code >> 6);
		text[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		text[0] = (char) (0xE0 | code >> 12);
		text[1] = (char) (0x80 | (code >> 6 & 0x3F));
		text[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	text[0] = (char) (0xF0 | code >> 18);
	text[1] = (char) (0x80 | (code >> 12 & 0x3F));
	text[2] = (char) (0x80 | (code >> 6 & 0x3F));
	text[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

/* The largest offset <= offset that does not cut a character of valid text[0..size). */
static inline size_t
lm_utf8_boundary(const char *text, size_t size, size_t offset)
{
	if (offset >= size)
		return size;
	while (offset > 0 && ((unsigned char) text[offset] & 0xC0) == 0x80)
		offset--;
	return offset;
}

/* True unless the host wants the engine to stop; then LM_ERR_STOPPED. */
bool lm_text_go_on(const LmHost *host, LmError *error);

/*
 * Size within LM_MAX_TEXT_SIZE and all of it valid UTF-8, else LM_ERR_LIMIT, _ENCODING or _STOPPED.
 */
bool lm_text_check(const LmHost *host, const char *text, size_t size, LmError *error);

#endif /* LM_TEXT_UTF8_H */
