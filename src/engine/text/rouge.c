/*
 * src/engine/text/rouge.c
 *
 * ROUGE-L: texts become arrays of the hashes of their words. The longest common subsequence of two
 * arrays comes from the usual dynamic programme over one row (Wagner and Fischer 1974).
 */
#include <string.h>

#include <unicode/ubrk.h>
#include <unicode/ustring.h>

#include "engine/rouge.h"
#include "text/utf8.h"

#define MAX_SIZE ((size_t) 16 << 20)
#define FOLDED 3 /* units of case-folded text for one of the text, at most (UAX 21) */
#define FNV_BASIS 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

typedef struct Words
{
	uint64_t *hashes;
	size_t count;
} Words;

static bool find_words(Words *words, const LmHost *host, LmBytes text, LmError *error);
static bool cut_words(Words *words, const LmHost *host, const UChar *units, int32_t n_units,
					  LmError *error);
static uint64_t hash_of(const UChar *units, int32_t n);
static bool common_length(size_t *length, const LmHost *host, const Words *one, const Words *other,
						  LmError *error);
static bool icu_failed(UErrorCode status, LmError *error);

bool
lm_rouge_l(double *rouge, const LmHost *host, LmBytes one, LmBytes other, LmError *error)
{
	Words a = {0}, b = {0};
	size_t common = 0;
	bool good = find_words(&a, host, one, error) && find_words(&b, host, other, error) &&
				common_length(&common, host, &a, &b, error);

	if (good)
		*rouge = a.count + b.count == 0 ? 1 : 2.0 * (double) common / (double) (a.count + b.count);
	lm_free(host, a.hashes);
	lm_free(host, b.hashes);
	return good;
}

/* Folds the case of the text and cuts it into words; ICU needs it in UTF-16. */
static bool
find_words(Words *words, const LmHost *host, LmBytes text, LmError *error)
{
	UChar *units, *folded;
	int32_t n_units = 0, n_folded = 0;
	UErrorCode status = U_ZERO_ERROR;
	bool good;

	if (text.size > MAX_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1, "a text of %zu MB is too long to compare",
					   text.size >> 20);
	/* A byte makes one unit at most. */
	units = lm_allocate_unset(host, (text.size + 1) * sizeof(UChar));
	folded = lm_allocate_unset(host, (FOLDED * text.size + 1) * sizeof(UChar));
	good = units && folded;
	if (!good)
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for the words of a text");
	if (good)
	{
		u_strFromUTF8(units, (int32_t) text.size + 1, &n_units, text.data, (int32_t) text.size,
					  &status);
		n_folded = u_strFoldCase(folded, (int32_t) (FOLDED * text.size) + 1, units, n_units,
								 U_FOLD_CASE_DEFAULT, &status);
		good = U_SUCCESS(status) ? cut_words(words, host, folded, n_folded, error)
								 : icu_failed(status, error);
	}
	lm_free(host, units);
	lm_free(host, folded);
	return good;
}

/* Keeps a hash of each word between ICU's word boundaries, without spaces and punctuation. */
static bool
cut_words(Words *words, const LmHost *host, const UChar *units, int32_t n_units, LmError *error)
{
	UErrorCode status = U_ZERO_ERROR;
	UBreakIterator *breaks = ubrk_open(UBRK_WORD, "", units, n_units, &status);
	bool good = U_SUCCESS(status);

	words->hashes = lm_allocate_unset(host, ((size_t) n_units + 1) * sizeof(uint64_t));
	if (!good)
		icu_failed(status, error);
	else if (!words->hashes)
		good = lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for the words of a text");
	for (int32_t start = 0, end; good && (end = ubrk_next(breaks)) != UBRK_DONE; start = end)
	{
		if (ubrk_getRuleStatus(breaks) >= UBRK_WORD_NONE_LIMIT)
			words->hashes[words->count++] = hash_of(units + start, end - start);
		good = words->count % 4096 != 0 || lm_text_go_on(host, error);
	}
	if (breaks)
		ubrk_close(breaks);
	return good;
}

/* FNV-1a over 16-bit units, 64 bits wide: different words practically never have the same hash. */
static uint64_t
hash_of(const UChar *units, int32_t n)
{
	uint64_t hash = FNV_BASIS;

	for (int32_t i = 0; i < n; i++)
		hash = (hash ^ units[i]) * FNV_PRIME;
	return hash;
}

/* The length of the longest common subsequence of words, by dynamic programming with one row. */
static bool
common_length(size_t *length, const LmHost *host, const Words *one, const Words *other,
			  LmError *error)
{
	/* row[j]: of the words of `one` so far and the first j of `other` */
	uint32_t *row = lm_allocate(host, (other->count + 1) * sizeof *row);

	if (!row)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for the words of a text");
	for (size_t i = 0; i < one->count; i++)
	{
		uint32_t diagonal = 0;

		if (!lm_text_go_on(host, error))
		{
			lm_free(host, row);
			return false;
		}
		for (size_t j = 0; j < other->count; j++)
		{
			uint32_t above = row[j + 1];

			if (one->hashes[i] == other->hashes[j])
				row[j + 1] = diagonal + 1;
			else if (row[j] > above)
				row[j + 1] = row[j];
			diagonal = above;
		}
	}
	*length = row[other->count];
	lm_free(host, row);
	return true;
}

static bool
icu_failed(UErrorCode status, LmError *error)
{
	if (status == U_INVALID_CHAR_FOUND)
		return lm_fail(error, LM_ERR_ENCODING, -1, "a text is not valid UTF-8");
	return lm_fail(error, status == U_MEMORY_ALLOCATION_ERROR ? LM_ERR_MEMORY : LM_ERR_LIBRARY, -1,
				   "ICU failed: %s", u_errorName(status));
}
