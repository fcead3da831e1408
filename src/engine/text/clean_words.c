/*
 * src/engine/text/clean_words.c
 *
 * Removes stop words.
 *
 * A word is a run of letters, marks, digits and underscores, with apostrophes inside. It goes, with
 * the blanks that follow it, if its folded form is in the list; or if it has apostrophes and
 * all its parts are, as lists for the server's parser, which cuts there, have "don" and "t". Case
 * does not matter. Where no spaces part words (Chinese, Thai), a run is a phrase that no list has.
 */
#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include "text/array.h"
#include "text/clean_steps.h"

#define FOLDED_UNITS (3 * LM_MAX_STOP_WORD)

/* ---- The table ---------------------------------------------------------- */

/* The folded form of a word; 0: it is longer than words of the table are. */
static size_t
fold(char *folded, const char *word, size_t size)
{
	UChar units[LM_MAX_STOP_WORD], changed[FOLDED_UNITS];
	int32_t n_units = 0, n_changed, n_bytes = 0;
	UErrorCode status = U_ZERO_ERROR;
	unsigned char any = 0;

	if (size > LM_MAX_STOP_WORD)
		return 0;
	for (size_t i = 0; i < size; i++)
	{
		folded[i] = (char) (word[i] | ((unsigned char) (word[i] - 'A') < 26 ? 0x20 : 0));
		any |= (unsigned char) word[i];
	}
	if (any < 0x80)
		return size;
	u_strFromUTF8(units, LM_MAX_STOP_WORD, &n_units, word, (int32_t) size, &status);
	n_changed = u_strFoldCase(changed, FOLDED_UNITS, units, n_units, U_FOLD_CASE_DEFAULT, &status);
	u_strToUTF8(folded, LM_MAX_STOP_WORD, &n_bytes, changed, n_changed, &status);
	return U_SUCCESS(status) ? (size_t) n_bytes : 0;
}

/* The slot of a folded word, or the empty one where it would stand. */
static uint32_t *
slot_of(const LmStopWords *words, LmHashKey key, const char *folded, size_t size)
{
	uint32_t mask = words->n_slots - 1, at = lm_hash_bytes(key, folded, size) & mask;

	for (; words->slots[at] != 0; at = (at + 1) & mask)
	{
		const char *word = words->bytes + words->slots[at] - 1;

		if ((unsigned char) word[0] == size && memcmp(word + 1, folded, size) == 0)
			break;
	}
	return &words->slots[at];
}

/* The table's bytes are, for each word, its length and its bytes. */
bool
lm_stop_words_create(LmStopWords *words, const LmHost *host, const LmBytes *list, int n,
					 LmError *error)
{
	size_t used = 0;

	*words = (LmStopWords){0};
	if (n == 0)
		return true;
	words->bytes = lm_array_allocate(host, (size_t) n, LM_MAX_STOP_WORD + 1, error);
	for (words->n_slots = 16; words->n_slots < 2 * (uint32_t) n;)
		words->n_slots *= 2;
	words->slots = lm_array_allocate(host, words->n_slots, sizeof *words->slots, error);
	if (!words->bytes || !words->slots)
		return false;
	for (int i = 0; i < n; i++)
	{
		char folded[LM_MAX_STOP_WORD];
		size_t size;
		uint32_t *slot;

		if (!lm_text_check(host, list[i].data, list[i].size, error))
			return false;
		size = fold(folded, list[i].data, list[i].size);
		if (size == 0)
			return lm_fail(error, LM_ERR_ARGUMENT, i,
						   "stop word %d has %zu bytes; between 1 and %d are possible", i + 1,
						   list[i].size, LM_MAX_STOP_WORD);
		slot = slot_of(words, host->hash_key, folded, size);
		if (*slot != 0)
			continue;
		*slot = (uint32_t) used + 1;
		words->bytes[used] = (char) size;
		memcpy(words->bytes + used + 1, folded, size);
		used += size + 1;
	}
	return true;
}

void
lm_stop_words_free(LmStopWords *words, const LmHost *host)
{
	lm_free(host, words->bytes);
	lm_free(host, words->slots);
}

static bool
has_word(const LmCleaner *cleaner, const char *word, size_t size)
{
	char folded[LM_MAX_STOP_WORD];
	size_t folded_size = fold(folded, word, size);

	return folded_size > 0 &&
		   *slot_of(&cleaner->stop_words, cleaner->host.hash_key, folded, folded_size) != 0;
}

/* ---- Words of a text ---------------------------------------------------- */

/* The length of a character of a word at a place; 0: it is none. */
static int
word_length(LmBytes text, size_t at)
{
	unsigned char byte = (unsigned char) text.data[at];
	int length;
	int32_t code;

	if (byte < 0x80)
		return (unsigned char) ((byte | 0x20) - 'a') < 26 || (unsigned char) (byte - '0') < 10 ||
			   byte == '_';
	code = lm_utf8_decode(text.data + at, &length);
	return (U_GET_GC_MASK(code) & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) != 0 ? length : 0;
}

/* The length of an apostrophe at a place; 0: it is none. */
static int
apostrophe_length(LmBytes text, size_t at)
{
	if (text.data[at] == '\'')
		return 1;
	return text.size - at >= 3 && memcmp(text.data + at, "\xE2\x80\x99", 3) == 0 ? 3 : 0;
}

/* A word, and whether each of its parts between apostrophes is in the list. */
typedef struct Word
{
	size_t end;
	bool has_parts;
	bool parts_are_listed;
} Word;

static bool
read_word(Word *word, LmRewrite *rewrite, size_t start)
{
	LmBytes text = rewrite->in;
	size_t part = start, i = start;

	*word = (Word){.parts_are_listed = true};
	for (;;)
	{
		int length, apostrophe;

		while (i < text.size && (length = word_length(text, i)) > 0)
		{
			if (!lm_rewrite_go_on(rewrite, i))
				return false;
			i += (size_t) length;
		}
		word->parts_are_listed =
			word->parts_are_listed && has_word(rewrite->cleaner, text.data + part, i - part);
		apostrophe = i < text.size ? apostrophe_length(text, i) : 0;
		if (apostrophe == 0 || i + (size_t) apostrophe >= text.size ||
			word_length(text, i + (size_t) apostrophe) == 0)
			break;
		word->has_parts = true;
		i += (size_t) apostrophe;
		part = i;
	}
	word->end = i;
	return true;
}

/* The end of the blanks at a place, or of the first LM_POLL_SIZE bytes of them. */
static size_t
skip_blanks(LmBytes text, size_t at)
{
	size_t start = at;

	while (at < text.size && at - start < LM_POLL_SIZE)
	{
		int length;
		int32_t code = lm_utf8_decode(text.data + at, &length);

		if (!u_isUWhiteSpace(code) || code == '\n')
			break;
		at += (size_t) length;
	}
	return at;
}

bool
lm_clean_words(LmCleaner *cleaner, LmText *out, LmBytes *text, LmError *error)
{
	LmRewrite rewrite;
	size_t i = 0;

	lm_rewrite_begin(&rewrite, cleaner, out, *text, error);
	while (i < text->size)
	{
		size_t start = i;
		Word word;
		int length;

		if (!lm_rewrite_go_on(&rewrite, i))
			return false;
		if (word_length(*text, i) == 0)
		{
			(void) lm_utf8_decode(text->data + i, &length);
			i += (size_t) length;
			continue;
		}
		if (!read_word(&word, &rewrite, start))
			return false;
		i = word.end;
		if (!word.parts_are_listed &&
			!(word.has_parts && has_word(cleaner, text->data + start, i - start)))
			continue;
		i = skip_blanks(*text, i);
		if (!lm_rewrite_replace(&rewrite, start, i, "", 0))
			return false;
	}
	return lm_rewrite_end(&rewrite, text);
}
