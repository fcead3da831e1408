/*
 * src/engine/text/normalize.c
 *
 * Valid UTF-8 in, its NFC form out, in chunks that end where nothing can combine across the cut.
 *
 * ASCII characters matter to normalisation only where a combining mark follows them, so a chunk
 * that is all ASCII is copied as it is.
 */
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "text/array.h"
#include "text/normalize.h"
#include "text/utf8.h"

#define CHUNK_SIZE 4096 /* bytes, about */
/* characters; ICU's canonical ordering is quadratic in this */
#define MAX_COMBINING_RUN 1024
/* UTF-16 units of NFC for one of the text, at most (UAX 15, table 10) */
#define EXPANSION 3

static size_t chunk_end(const UNormalizer2 *nfc, const char *text, size_t size, size_t start);
static bool is_ascii(const char *text, size_t size);
static bool append(const LmHost *host, LmText *out, const char *text, size_t size, LmError *error);
static bool append_normalized(const LmHost *host, const UNormalizer2 *nfc, LmText *out,
							  const char *text, size_t size, LmError *error);

bool
lm_normalize_nfc(const LmHost *host, LmBytes *normal, LmBytes text, LmError *error)
{
	LmText out = {0};

	*normal = (LmBytes){0};
	if (lm_text_check(host, text.data, text.size, error) &&
		lm_text_normalize(host, &out, text.data, text.size, error))
	{
		*normal = (LmBytes){out.data, out.size};
		return true;
	}
	lm_array_free(host, out.data);
	return false;
}

void
lm_normal_free(const LmHost *host, LmBytes normal)
{
	lm_array_free(host, (char *) normal.data);
}

bool
lm_text_normalize(const LmHost *host, LmText *out, const char *text, size_t size, LmError *error)
{
	UErrorCode status = U_ZERO_ERROR;
	const UNormalizer2 *nfc = unorm2_getNFCInstance(&status);

	out->size = 0;
	if (U_FAILURE(status))
		return lm_fail(error, LM_ERR_LIBRARY, -1, "ICU has no data for NFC: %s",
					   u_errorName(status));
	for (size_t start = 0, end; start < size; start = end)
	{
		const char *chunk = text + start;

		end = chunk_end(nfc, text, size, start);
		if (!lm_text_go_on(host, error))
			return false;
		if (is_ascii(chunk, end - start))
		{
			if (!append(host, out, chunk, end - start, error))
				return false;
		}
		else if (!append_normalized(host, nfc, out, chunk, end - start, error))
			return false;
	}
	return true;
}

/*
 * The end of a chunk: about CHUNK_SIZE on, before a character that does not combine with earlier
 * ones.
 */
static size_t
chunk_end(const UNormalizer2 *nfc, const char *text, size_t size, size_t start)
{
	size_t end = lm_utf8_boundary(text, size, start + CHUNK_SIZE);

	for (int i = 0; end < size && i < MAX_COMBINING_RUN; i++)
	{
		int length;
		int32_t code = lm_utf8_decode(text + end, &length);

		if (unorm2_hasBoundaryBefore(nfc, code))
			break;
		end += (size_t) length;
	}
	return end;
}

static bool
is_ascii(const char *text, size_t size)
{
	unsigned char any = 0;

	for (size_t i = 0; i < size; i++)
		any |= (unsigned char) text[i];
	return any < 0x80;
}

static bool
append(const LmHost *host, LmText *out, const char *text, size_t size, LmError *error)
{
	if (out->size + size > LM_MAX_TEXT_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1, "normalized text has more than %zu bytes",
					   LM_MAX_TEXT_SIZE);
	if (!lm_array_reserve(host, &out->data, &out->capacity, out->size + size, 1, error))
		return false;
	memcpy(out->data + out->size, text, size);
	out->size += size;
	return true;
}

/* Normalises size bytes of UTF-8, at most a chunk, by way of UTF-16, and appends them to out. */
static bool
append_normalized(const LmHost *host, const UNormalizer2 *nfc, LmText *out, const char *text,
				  size_t size, LmError *error)
{
	enum
	{
		MAX_UNITS = CHUNK_SIZE + 4 * MAX_COMBINING_RUN
	};
	UChar units[MAX_UNITS], normal[EXPANSION * MAX_UNITS];
	char bytes[3 * EXPANSION * MAX_UNITS];
	int32_t n_units = 0, n_normal, n_bytes = 0;
	UErrorCode status = U_ZERO_ERROR;

	u_strFromUTF8(units, MAX_UNITS, &n_units, text, (int32_t) size, &status);
	n_normal = unorm2_normalize(nfc, units, n_units, normal, EXPANSION * MAX_UNITS, &status);
	u_strToUTF8(bytes, sizeof bytes, &n_bytes, normal, n_normal, &status);
	if (U_FAILURE(status))
		return lm_fail(error, status == U_MEMORY_ALLOCATION_ERROR ? LM_ERR_MEMORY : LM_ERR_LIBRARY,
					   -1, "ICU could not normalize text: %s", u_errorName(status));
	return append(host, out, bytes, (size_t) n_bytes, error);
}
