/*
 * src/engine/text/normalize.c
 *
 * Valid UTF-8 in, its NFC or NFKC form out, in chunks that end where nothing can combine across the
 * cut.
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
/* UTF-16 units of NFC, of NFKC, for one of the text, at most (UAX 15, table 10) */
#define EXPANSION 3
#define EXPANSION_KC 18

static bool normalize(const LmHost *host, const UNormalizer2 *form, LmText *out, const char *text,
					  size_t size, LmError *error);
static size_t chunk_end(const UNormalizer2 *nfc, const char *text, size_t size, size_t start);
static bool is_ascii(const char *text, size_t size);
static bool fail_size(LmError *error);
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

	if (U_FAILURE(status))
		return lm_fail(error, LM_ERR_LIBRARY, -1, "ICU has no data for NFC: %s",
					   u_errorName(status));
	return normalize(host, nfc, out, text, size, error);
}

bool
lm_text_normalize_kc(const LmHost *host, LmText *out, const char *text, size_t size, LmError *error)
{
	UErrorCode status = U_ZERO_ERROR;
	const UNormalizer2 *nfkc = unorm2_getNFKCInstance(&status);

	if (U_FAILURE(status))
		return lm_fail(error, LM_ERR_LIBRARY, -1, "ICU has no data for NFKC: %s",
					   u_errorName(status));
	return normalize(host, nfkc, out, text, size, error);
}

/* Replaces what `out` held by a normal form of the text, chunk after chunk. */
static bool
normalize(const LmHost *host, const UNormalizer2 *form, LmText *out, const char *text, size_t size,
		  LmError *error)
{
	out->size = 0;
	for (size_t start = 0, end; start < size; start = end)
	{
		const char *chunk = text + start;

		end = chunk_end(form, text, size, start);
		if (!lm_text_go_on(host, error))
			return false;
		if (is_ascii(chunk, end - start))
		{
			if (!append(host, out, chunk, end - start, error))
				return false;
		}
		else if (!append_normalized(host, form, out, chunk, end - start, error))
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
		return fail_size(error);
	if (!lm_array_reserve(host, &out->data, &out->capacity, out->size + size, 1, error))
		return false;
	memcpy(out->data + out->size, text, size);
	out->size += size;
	return true;
}

/* Normalises size bytes of UTF-8, at most a chunk, by way of UTF-16, and appends them to out. */
static bool
append_normalized(const LmHost *host, const UNormalizer2 *form, LmText *out, const char *text,
				  size_t size, LmError *error)
{
	enum
	{
		MAX_UNITS = CHUNK_SIZE + 4 * MAX_COMBINING_RUN
	};
	UChar units[MAX_UNITS], normal[EXPANSION * MAX_UNITS], *large = NULL;
	int32_t n_units = 0, n_normal, n_bytes = 0, capacity = EXPANSION * MAX_UNITS;
	UErrorCode status = U_ZERO_ERROR;

	u_strFromUTF8(units, MAX_UNITS, &n_units, text, (int32_t) size, &status);
	n_normal = unorm2_normalize(form, units, n_units, normal, capacity, &status);
	if (status == U_BUFFER_OVERFLOW_ERROR)
	{
		/* Only NFKC can need this much, of a few characters. */
		capacity = EXPANSION_KC * MAX_UNITS;
		large = lm_array_allocate(host, (size_t) capacity, sizeof *large, error);
		if (!large)
			return false;
		status = U_ZERO_ERROR;
		n_normal = unorm2_normalize(form, units, n_units, large, capacity, &status);
	}
	if (U_SUCCESS(status) && !lm_array_reserve(host, &out->data, &out->capacity,
											   out->size + 3 * (size_t) n_normal, 1, error))
	{
		lm_free(host, large);
		return false;
	}
	if (U_SUCCESS(status))
		u_strToUTF8(out->data + out->size, 3 * n_normal, &n_bytes, large ? large : normal, n_normal,
					&status);
	lm_free(host, large);
	if (U_FAILURE(status))
		return lm_fail(error, status == U_MEMORY_ALLOCATION_ERROR ? LM_ERR_MEMORY : LM_ERR_LIBRARY,
					   -1, "ICU could not normalize text: %s", u_errorName(status));
	out->size += (size_t) n_bytes;
	return out->size <= LM_MAX_TEXT_SIZE || fail_size(error);
}

static bool
fail_size(LmError *error)
{
	return lm_fail(error, LM_ERR_LIMIT, -1, "normalized text has more than %zu bytes",
				   LM_MAX_TEXT_SIZE);
}

bool
lm_text_set_spaces(const LmHost *host, LmText *out, LmBytes text, bool prefix, bool signs,
				   LmError *error)
{
	const size_t sign_size = sizeof LM_SPACE_SIGN - 1;

	out->size = 0;
	if (prefix && !append(host, out, " ", 1, error))
		return false;
	for (size_t start = 0, end; start < text.size; start = end)
	{
		end = lm_utf8_boundary(text.data, text.size, start + LM_POLL_SIZE);
		if (!lm_text_go_on(host, error) ||
			!append(host, out, text.data + start, end - start, error))
			return false;
		if (!signs)
			continue;
		/* What was appended shrinks in its place. */
		out->size -= end - start;
		for (size_t i = start; i < end;)
		{
			bool sign =
				end - i >= sign_size && memcmp(text.data + i, LM_SPACE_SIGN, sign_size) == 0;

			out->data[out->size++] = sign ? ' ' : text.data[i];
			i += sign ? sign_size : 1;
		}
	}
	return true;
}
