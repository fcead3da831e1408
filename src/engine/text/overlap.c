/*
 * src/engine/text/overlap.c
 *
 * Pairs of texts go in, the numbers of their n-grams come out, and from these BLEU and chrF.
 *
 * A text is a sequence of units, words or characters, with the wanted text's first. An n-gram is a
 * pair: the n-gram one shorter, and its last unit. So a table of pairs names each n-gram of the
 * wanted text by a number, exactly, and a round over both texts makes those of length n from those
 * of length n - 1.
 *
 *   grams   | of the wanted text | of the found text |   number at each position, or NONE
 */
#include <math.h>
#include <string.h>

#include "engine/overlap.h"
#include "text/array.h"
#include "text/utf8.h"
#include "text/words_13a.h"

#define MAX_SIZE ((size_t) 16 << 20)
#define NONE UINT32_MAX /* an n-gram that the wanted text does not have */
#define POLL_UNITS 65536
#define BETA 2 /* recall's weight in chrF2 */

/* Two texts as numbers of their units. */
typedef struct Units
{
	uint32_t *units;
	size_t n; /* of both texts */
	size_t n_wanted; /* the first of them */
	size_t capacity;
} Units;

/* The n-grams of one length of the wanted text. */
typedef struct Grams
{
	uint64_t *pairs; /* [n] n-gram one shorter, last unit */
	uint32_t *counts; /* [n] how often each is left to match */
	uint32_t n;
	LmTokenTable table;
	LmHashKey key;
} Grams;

/* Numbers of n-grams of one length in a pair of texts. */
typedef struct Counts
{
	double matches;
	double found;
	double wanted;
} Counts;

typedef struct Words
{
	LmBytes *words; /* [n] */
	uint32_t n;
	LmTokenTable table;
	LmHashKey key;
} Words;

static bool read_characters(Units *units, const LmHost *host, LmBytes text, LmError *error);
static bool read_words(Units *units, const LmHost *host, LmBytes found, LmBytes wanted,
					   LmError *error);
static bool count_grams(Counts *counts, int order, const LmHost *host, Units *units,
						LmError *error);

bool
lm_overlap_add(LmOverlap *overlap, const LmHost *host, LmBytes found, LmBytes wanted, double weight,
			   LmError *error)
{
	Counts words[LM_BLEU_ORDER] = {{0}}, characters[LM_CHRF_ORDER] = {{0}};
	Units units = {0};
	bool good;

	if (found.size > MAX_SIZE || wanted.size > MAX_SIZE)
		return lm_fail(error, LM_ERR_LIMIT, -1, "a text of %zu MB is too long to compare",
					   (found.size > wanted.size ? found.size : wanted.size) >> 20);
	good = lm_text_check(host, found.data, found.size, error) &&
		   lm_text_check(host, wanted.data, wanted.size, error) &&
		   read_words(&units, host, found, wanted, error) &&
		   count_grams(words, LM_BLEU_ORDER, host, &units, error);
	units.n = 0;
	good = good && read_characters(&units, host, wanted, error);
	units.n_wanted = units.n;
	good = good && read_characters(&units, host, found, error) &&
		   count_grams(characters, LM_CHRF_ORDER, host, &units, error);
	lm_array_free(host, units.units);
	for (int i = 0; good && i < LM_BLEU_ORDER; i++)
	{
		overlap->word_matches[i] += weight * words[i].matches;
		overlap->found_words[i] += weight * words[i].found;
		overlap->wanted_words[i] += weight * words[i].wanted;
	}
	for (int i = 0; good && i < LM_CHRF_ORDER; i++)
	{
		overlap->character_matches[i] += weight * characters[i].matches;
		overlap->found_characters[i] += characters[i].wanted > 0 ? weight * characters[i].found : 0;
		overlap->wanted_characters[i] += weight * characters[i].wanted;
	}
	return good;
}

void
lm_overlap_sum(LmOverlap *overlap, const LmOverlap *other)
{
	for (int i = 0; i < LM_BLEU_ORDER; i++)
	{
		overlap->word_matches[i] += other->word_matches[i];
		overlap->found_words[i] += other->found_words[i];
		overlap->wanted_words[i] += other->wanted_words[i];
	}
	for (int i = 0; i < LM_CHRF_ORDER; i++)
	{
		overlap->character_matches[i] += other->character_matches[i];
		overlap->found_characters[i] += other->found_characters[i];
		overlap->wanted_characters[i] += other->wanted_characters[i];
	}
}

/* ---- Scores ------------------------------------------------------------- */

double
lm_overlap_bleu(const LmOverlap *overlap)
{
	double sum = 0, smooth = 1, found = overlap->found_words[0], wanted = overlap->wanted_words[0];

	for (int i = 0; i < LM_BLEU_ORDER; i++)
	{
		double matches = overlap->word_matches[i];

		/* Without a match of any length, or an n-gram of each, the score is 0. */
		if (overlap->word_matches[0] == 0 || overlap->found_words[i] == 0)
			return 0;
		if (matches == 0)
		{
			smooth *= 2;
			matches = 1 / smooth;
		}
		sum += log(100 * matches / overlap->found_words[i]);
	}
	return exp(sum / LM_BLEU_ORDER) * (found < wanted ? exp(1 - wanted / found) : 1);
}

double
lm_overlap_chrf(const LmOverlap *overlap)
{
	double precision = 0, recall = 0;
	int n = 0;

	for (int i = 0; i < LM_CHRF_ORDER; i++)
	{
		if (overlap->found_characters[i] == 0 || overlap->wanted_characters[i] == 0)
			continue;
		precision += overlap->character_matches[i] / overlap->found_characters[i];
		recall += overlap->character_matches[i] / overlap->wanted_characters[i];
		n++;
	}
	if (precision + recall == 0)
		return 0;
	return 100 * (1 + BETA * BETA) * precision * recall / (n * (BETA * BETA * precision + recall));
}

/* ---- Units -------------------------------------------------------------- */

static bool
append_unit(Units *units, const LmHost *host, uint32_t unit, LmError *error)
{
	if (!lm_array_reserve(host, &units->units, &units->capacity, units->n + 1, sizeof *units->units,
						  error))
		return false;
	units->units[units->n++] = unit;
	return units->n % POLL_UNITS != 0 || lm_text_go_on(host, error);
}

/* Appends the text's characters but for white space. */
static bool
read_characters(Units *units, const LmHost *host, LmBytes text, LmError *error)
{
	int length;

	for (size_t i = 0; i < text.size; i += (size_t) length)
	{
		int32_t character = lm_utf8_decode(text.data + i, &length);

		if (!lm_is_python_space(character) &&
			!append_unit(units, host, (uint32_t) character, error))
			return false;
	}
	return true;
}

/* The next word of a text with spaces from *position on; of size 0 after the last. */
static LmBytes
next_word(size_t *position, const LmSpaced *spaced)
{
	size_t begin = *position, i = begin;
	int length;

	for (; i < spaced->size; i += (size_t) length)
	{
		if (lm_is_python_space(lm_utf8_decode(spaced->data + i, &length)))
		{
			if (i > begin)
				break;
			begin = i + (size_t) length;
		}
	}
	*position = i;
	return (LmBytes){spaced->data + begin, i - begin};
}

/* The number of a word of the wanted text; with `adds` a new one gets the next number. */
static uint32_t
number_of(Words *words, LmBytes word, bool adds)
{
	uint32_t slot = lm_hash_bytes(words->key, word.data, word.size) & words->table.mask;

	for (; words->table.slots[slot] != 0; slot = (slot + 1) & words->table.mask)
		if (lm_bytes_equal(words->words[words->table.slots[slot] - 1], word))
			return (uint32_t) words->table.slots[slot] - 1;
	if (!adds)
		return NONE;
	words->words[words->n] = word;
	words->table.slots[slot] = (int32_t) ++words->n;
	return words->n - 1;
}

static bool
number_words(Units *units, Words *words, const LmHost *host, const LmSpaced *spaced, bool adds,
			 LmError *error)
{
	size_t position = 0;
	LmBytes word;

	while ((word = next_word(&position, spaced)).size > 0)
		if (!append_unit(units, host, number_of(words, word, adds), error))
			return false;
	return true;
}

/* Both texts as numbers of words of the wanted one. */
static bool
read_words(Units *units, const LmHost *host, LmBytes found, LmBytes wanted, LmError *error)
{
	LmSpaced one = {0}, other = {0};
	Words words = {.key = host->hash_key};
	size_t most, n_slots;
	bool good = lm_words_13a(&one, host, wanted, error) && lm_words_13a(&other, host, found, error);

	/* A word is followed by a space. */
	most = one.size / 2 + 1;
	n_slots = lm_table_size(most);
	words.table.mask = (uint32_t) (n_slots - 1);
	if (good)
		good = (words.words = lm_array_allocate(host, most, sizeof *words.words, error)) &&
			   (words.table.slots =
					lm_array_allocate(host, n_slots, sizeof *words.table.slots, error)) &&
			   number_words(units, &words, host, &one, true, error);
	units->n_wanted = units->n;
	good = good && number_words(units, &words, host, &other, false, error);
	lm_free(host, words.table.slots);
	lm_free(host, words.words);
	lm_free(host, one.data);
	lm_free(host, other.data);
	return good;
}

/* ---- n-grams ------------------------------------------------------------ */

/* The number of a pair among the n-grams; with `adds` a new one gets the next number. */
static uint32_t
gram_of(Grams *grams, uint64_t pair, bool adds)
{
	uint32_t slot = lm_hash_pair(grams->key, pair) & grams->table.mask;

	for (; grams->table.slots[slot] != 0; slot = (slot + 1) & grams->table.mask)
		if (grams->pairs[grams->table.slots[slot] - 1] == pair)
			return (uint32_t) grams->table.slots[slot] - 1;
	if (!adds)
		return NONE;
	grams->pairs[grams->n] = pair;
	grams->counts[grams->n] = 0;
	grams->table.slots[slot] = (int32_t) ++grams->n;
	return grams->n - 1;
}

/* Turns n-grams of length - 1 at each position into those of the length, and counts matches. */
static bool
lengthen(Counts *counts, Grams *grams, uint32_t *at, size_t length, const LmHost *host,
		 const Units *units, LmError *error)
{
	size_t ends[] = {units->n_wanted, units->n};

	for (int text = 0; text < 2; text++)
	{
		size_t begin = text == 0 ? 0 : units->n_wanted;
		size_t n = ends[text] - begin < length ? 0 : ends[text] - begin - length + 1;

		*(text == 0 ? &counts->wanted : &counts->found) = (double) n;
		for (size_t i = begin; i < begin + n; i++)
		{
			uint32_t unit = units->units[i + length - 1];

			if (i % POLL_UNITS == 0 && !lm_text_go_on(host, error))
				return false;
			if (at[i] == NONE || unit == NONE)
				at[i] = NONE;
			else
				at[i] = gram_of(grams, (uint64_t) at[i] << 32 | unit, text == 0);
			if (at[i] == NONE)
				continue;
			if (text == 0)
				grams->counts[at[i]]++;
			else if (grams->counts[at[i]] > 0)
			{
				grams->counts[at[i]]--;
				counts->matches++;
			}
		}
	}
	return true;
}

static bool
count_grams(Counts *counts, int order, const LmHost *host, Units *units, LmError *error)
{
	size_t n = units->n_wanted + 1, n_slots = lm_table_size(n);
	Grams grams = {.key = host->hash_key};
	uint32_t *at = lm_array_allocate(host, units->n + 1, sizeof *at, error);
	bool good =
		at && (grams.pairs = lm_array_allocate(host, n, sizeof *grams.pairs, error)) &&
		(grams.counts = lm_array_allocate(host, n, sizeof *grams.counts, error)) &&
		(grams.table.slots = lm_array_allocate(host, n_slots, sizeof *grams.table.slots, error));

	grams.table.mask = (uint32_t) (n_slots - 1);
	for (int length = 1; good && length <= order; length++)
	{
		grams.n = 0;
		memset(grams.table.slots, 0, n_slots * sizeof *grams.table.slots);
		good = lengthen(&counts[length - 1], &grams, at, (size_t) length, host, units, error);
	}
	lm_free(host, grams.table.slots);
	lm_free(host, grams.counts);
	lm_free(host, grams.pairs);
	lm_free(host, at);
	return good;
}
