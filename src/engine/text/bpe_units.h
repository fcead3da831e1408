/*
 * src/engine/text/bpe_units.h
 *
 * All distinct words of BPE training in one array, as runs of symbols.
 *
 * A unit is a byte of a word or, where tokens are whole characters, a character. Words that occur
 * equally often stand together, the most frequent ones first, so that a place tells the count of
 * its word. A symbol of several units is at the first one and at the last one, so that both its
 * neighbours are found; what a merge has swallowed is marked, and other units between mean nothing:
 *
 *   word "abab"          END a b a b END
 *   after a + b          END ab ab ab ab END        (2 units each: first and last)
 *   after ab + ab        END abab ab NONE abab END
 *
 * Places never change, so that lists of them stay valid. Where tokens are whole characters, the
 * bytes of each distinct character are a word too, which occurs as often as the character: merges
 * inside of characters happen there alone.
 */
#ifndef LM_TEXT_BPE_UNITS_H
#define LM_TEXT_BPE_UNITS_H

#include "text/bpe_symbols.h"

#define LM_UNIT_END (-2) /* between words, and a character that occurs too seldom to merge */
#define LM_UNIT_NONE (-1) /* the first unit of a symbol that was merged */
#define LM_UNIT_HINT 10 /* binary digits of the places that share a hint */

/* Words that occur equally often. */
typedef struct LmUnitClass
{
	int64_t count;
	size_t end; /* the place after its last one; while words are surveyed: how many units */
	size_t next; /* the place of the next word */
} LmUnitClass;

/* The array, and how often each part of it occurs. */
typedef struct LmUnits
{
	const LmHost *host;
	bool wide; /* a unit has 32 bits, not 16 */
	void *data;
	size_t count;

	LmUnitClass *classes; /* in falling order of counts */
	size_t n_classes, classes_capacity;
	uint32_t *class_slots; /* by count: class + 1 */
	size_t n_class_slots;
	uint32_t *hints; /* by place >> LM_UNIT_HINT: the class of the first one */

	int64_t *characters; /* by code point, until words are placed: how often it occurs ... */
	int32_t *character_symbols; /* ... and its symbol, or LM_UNIT_END */
} LmUnits;

/*
 * _survey of each distinct word, _lay_out, _place of each word again, _finish. All may fail with
 * LM_ERR_MEMORY, _LIMIT, _STOPPED. lm_units_free goes back to the beginning.
 */
bool lm_units_create(LmUnits *units, const LmHost *host, bool whole_characters, LmError *error);
bool lm_units_survey(LmUnits *units, LmBytes word, int64_t count, LmError *error);
/* Units of the words so far. */
size_t lm_units_surveyed(const LmUnits *units);
bool lm_units_lay_out(LmUnits *units, LmSymbols *symbols, int64_t min_count, LmError *error);
void lm_units_place(LmUnits *units, LmBytes word, int64_t count);
void lm_units_finish(LmUnits *units);
void lm_units_free(LmUnits *units);
size_t lm_units_memory(const LmUnits *units);

/* Makes units hold symbols up to n_symbols. */
bool lm_units_widen(LmUnits *units, size_t n_symbols, LmError *error);

static inline int32_t
lm_unit(const LmUnits *units, size_t place)
{
	return units->wide ? (int32_t) ((const uint32_t *) units->data)[place] - 2
					   : (int32_t) ((const uint16_t *) units->data)[place] - 2;
}

static inline void
lm_unit_set(LmUnits *units, size_t place, int32_t symbol)
{
	if (units->wide)
		((uint32_t *) units->data)[place] = (uint32_t) (symbol + 2);
	else
		((uint16_t *) units->data)[place] = (uint16_t) (symbol + 2);
}

/* Moves *class to the one that holds the place, which is not before the last one asked for. */
static inline int64_t
lm_unit_count(const LmUnits *units, size_t place, size_t *class)
{
	if (place >= units->classes[*class].end)
	{
		size_t hint = units->hints[place >> LM_UNIT_HINT];

		if (hint > *class)
			*class = hint;
		while (place >= units->classes[*class].end)
			++*class;
	}
	return units->classes[*class].count;
}

#endif /* LM_TEXT_BPE_UNITS_H */
