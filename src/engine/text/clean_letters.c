/*
 * src/engine/text/clean_letters.c
 *
 * Letter case and normal form, by ICU.
 *
 * Most texts need neither ICU nor a copy. Case: ASCII is changed in place, and ICU sees only the
 * pieces that have other letters with case. Normal form: a text of characters that no form changes,
 * and that combine with nothing before them, is in it (unsafe_for_nfc, unsafe_for_nfkc).
 */
#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include "text/array.h"
#include "text/clean_steps.h"

#define PIECE_SIZE 4096 /* bytes, about */
/* UTF-16 units of the result for one of the text, at most (CaseFolding.txt, SpecialCasing.txt) */
#define EXPANSION 3

static size_t first_upper(LmBytes text);
static bool change_piece(LmCleaner *cleaner, LmText *out, const char *piece, size_t size,
						 LmError *error);
static bool is_normal(LmCleaner *cleaner, LmBytes text, bool compatible, bool *normal,
					  LmError *error);

/* ---- Case --------------------------------------------------------------- */

/* Whether letters with case may start with this byte: not those of E3 to E9, EB, EC and ED. */
static inline bool
may_have_case(unsigned char byte)
{
	return byte >= 0xC2 && !(byte >= 0xE3 && byte <= 0xED && byte != 0xEA);
}

/* The end of a piece: about PIECE_SIZE on, after white space if there is some near. */
static size_t
piece_end(LmBytes text, size_t start)
{
	size_t end = lm_utf8_boundary(text.data, text.size, start + PIECE_SIZE);

	if (end == text.size)
		return end;
	for (size_t at = end; at > start + PIECE_SIZE / 2; at--)
	{
		if ((unsigned char) text.data[at - 1] <= ' ')
			return at;
	}
	return end;
}

bool
lm_clean_case(LmCleaner *cleaner, LmText *out, LmBytes *text, LmError *error)
{
	size_t start = first_upper(*text);

	if (start == text->size)
		return true;
	out->size = 0;
	if (!lm_array_reserve(&cleaner->host, &out->data, &out->capacity, text->size, 1, error))
		return false;
	for (size_t at = 0, end; at < text->size; at = end)
	{
		end = piece_end(*text, at);
		if (!lm_text_go_on(&cleaner->host, error) ||
			!change_piece(cleaner, out, text->data + at, end - at, error))
			return false;
	}
	*text = (LmBytes){out->data, out->size};
	return true;
}

/* The first byte of a letter that may change; the size: there is none. */
static size_t
first_upper(LmBytes text)
{
	size_t i = 0;

	while (i < text.size && (unsigned char) (text.data[i] - 'A') >= 26 &&
		   !may_have_case((unsigned char) text.data[i]))
		i++;
	return i;
}

static bool
has_case(const char *piece, size_t size)
{
	bool any = false;

	for (size_t i = 0; i < size; i++)
		any |= may_have_case((unsigned char) piece[i]);
	return any;
}

/* By way of UTF-16, which is how ICU offers it without an object of its own. */
static bool
change_by_icu(const LmCleaner *cleaner, LmText *out, const char *piece, size_t size, LmError *error)
{
	UChar units[PIECE_SIZE + 4], changed[EXPANSION * (PIECE_SIZE + 4)];
	int32_t n_units = 0, n_changed, n_bytes = 0;
	UErrorCode status = U_ZERO_ERROR;

	u_strFromUTF8(units, PIECE_SIZE + 4, &n_units, piece, (int32_t) size, &status);
	if (cleaner->options.letter_case == LM_CASE_FOLD)
		n_changed = u_strFoldCase(changed, EXPANSION * (PIECE_SIZE + 4), units, n_units,
								  U_FOLD_CASE_DEFAULT, &status);
	else
		n_changed =
			u_strToLower(changed, EXPANSION * (PIECE_SIZE + 4), units, n_units, "", &status);
	if (U_SUCCESS(status))
	{
		if (out->size + 3 * (size_t) n_changed > LM_MAX_TEXT_SIZE)
			return lm_fail(error, LM_ERR_LIMIT, -1, "cleaned text has more than %zu bytes",
						   LM_MAX_TEXT_SIZE);
		if (!lm_array_reserve(&cleaner->host, &out->data, &out->capacity,
							  out->size + 3 * (size_t) n_changed, 1, error))
			return false;
		u_strToUTF8(out->data + out->size, 3 * n_changed, &n_bytes, changed, n_changed, &status);
	}
	if (U_FAILURE(status))
		return lm_fail(error, LM_ERR_LIBRARY, -1, "ICU could not change the case of text: %s",
					   u_errorName(status));
	out->size += (size_t) n_bytes;
	return true;
}

static bool
change_piece(LmCleaner *cleaner, LmText *out, const char *piece, size_t size, LmError *error)
{
	if (has_case(piece, size))
		return change_by_icu(cleaner, out, piece, size, error);
	if (!lm_array_reserve(&cleaner->host, &out->data, &out->capacity, out->size + size, 1, error))
		return false;
	for (size_t i = 0; i < size; i++)
	{
		char byte = piece[i];

		out->data[out->size + i] = (char) (byte | ((unsigned char) (byte - 'A') < 26 ? 0x20 : 0));
	}
	out->size += size;
	return true;
}

/* ---- Normal form -------------------------------------------------------- */

bool
lm_clean_form(LmCleaner *cleaner, LmText *out, LmBytes *text, LmError *error)
{
	bool compatible = cleaner->options.form == LM_FORM_NFKC, normal;

	if (!is_normal(cleaner, *text, compatible, &normal, error))
		return false;
	if (normal)
		return true;
	if (compatible)
	{
		if (!lm_text_normalize_kc(&cleaner->host, out, text->data, text->size, error))
			return false;
	}
	else if (!lm_text_normalize(&cleaner->host, out, text->data, text->size, error))
		return false;
	*text = (LmBytes){out->data, out->size};
	return true;
}

/*
 * Whether a character, by its bytes, may change in NFC or combine with one before it. Safe are
 * U+0000 to U+02FF, the Cyrillic of U+0400 to U+047F, U+2000 to U+20CF but for two spaces that are
 * others, U+2190 to U+22FF and U+2400 to U+2AFF but for three, kana and all ideographs but the
 * compatible ones, and the syllables of Korean. (Quick_Check and ccc of
 * DerivedNormalizationProps.txt; the unit test compares each character with ICU's answer.)
 */
static inline bool
unsafe_for_nfc(const unsigned char *bytes)
{
	switch (bytes[0])
	{
		case 0xD0:
		case 0xD1:
			return false;
		case 0xE2:
			return (bytes[1] == 0x80 && bytes[2] <= 0x81) || bytes[1] == 0x83 || bytes[1] == 0x84 ||
				   bytes[1] == 0x8C || bytes[1] >= 0xAB;
		case 0xE3:
			return (bytes[1] == 0x80 && bytes[2] >= 0xAA && bytes[2] <= 0xAF) ||
				   (bytes[1] == 0x82 && (bytes[2] == 0x99 || bytes[2] == 0x9A));
		case 0xEF: /* U+FF00 to U+FFFF, the full-width forms */
			return bytes[1] < 0xBC;
		case 0xF0: /* U+1F000 and above: emoji, and ideographs of plane 2 */
			return bytes[1] == 0xAF || (bytes[1] != 0x9F && bytes[1] < 0xA0);
		default:
			return bytes[0] >= 0xCC && (bytes[0] < 0xE4 || bytes[0] == 0xEA || bytes[0] > 0xEC);
	}
}

/* The same for NFKC. */
static inline bool
unsafe_for_nfkc(const unsigned char *bytes)
{
	switch (bytes[0])
	{
		case 0xD0:
		case 0xD1:
			return false;
		case 0xE3: /* U+3001 to U+302F, kana */
			return !((bytes[1] == 0x80 && bytes[2] >= 0x81 && bytes[2] <= 0xA9) ||
					 bytes[1] == 0x81 ||
					 (bytes[1] == 0x82 && (bytes[2] < 0x99 || bytes[2] > 0x9F)) ||
					 (bytes[1] == 0x83 && bytes[2] != 0xBF));
		default:
			return bytes[0] >= 0x80 && (bytes[0] < 0xE4 || bytes[0] == 0xEA || bytes[0] > 0xEC);
	}
}

/* Whether all characters are safe. */
static bool
is_normal(LmCleaner *cleaner, LmBytes text, bool compatible, bool *normal, LmError *error)
{
	const unsigned char *bytes = (const unsigned char *) text.data;

	*normal = false;
	for (size_t i = 0, end; i < text.size;)
	{
		end = lm_utf8_boundary(text.data, text.size, i + LM_POLL_SIZE);
		if (!lm_text_go_on(&cleaner->host, error))
			return false;
		while (i < end)
		{
			unsigned char byte = bytes[i];

			if (byte < 0x80)
			{
				i++;
				continue;
			}
			if (compatible ? unsafe_for_nfkc(bytes + i) : unsafe_for_nfc(bytes + i))
				return true;
			i += byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
		}
	}
	*normal = true;
	return true;
}
