/*
 * src/engine/text/bpe_units.c
 *
 * Words go in twice: first to count the units of each class, then each to its place.
 */
#include "text/array.h"
#include "text/bpe_units.h"
#include "text/utf8.h"

#define N_CODES 0x110000
#define LEAST_CLASS_SLOTS 1024
#define NARROW_SYMBOLS (UINT16_MAX - 1)

static LmUnitClass *find_class(const LmUnits *units, int64_t count, uint32_t **slot);
static bool enter_classes(LmUnits *units, LmError *error);
static void sort_classes(LmUnitClass *classes, size_t n);
static bool survey(LmUnits *units, size_t n_units, int64_t count, LmError *error);
static bool lay_out_characters(LmUnits *units, LmSymbols *symbols, int64_t min_count,
							   LmError *error);
static bool lay_out_classes(LmUnits *units, LmError *error);
static size_t begin_word(LmUnits *units, int64_t count, size_t n_units);

bool
lm_units_create(LmUnits *units, const LmHost *host, bool whole_characters, LmError *error)
{
	memset(units, 0, sizeof *units);
	units->host = host;
	if (!whole_characters)
		return true;
	units->characters = lm_array_allocate(host, N_CODES, sizeof *units->characters, error);
	return units->characters != NULL;
}

void
lm_units_free(LmUnits *units)
{
	const LmHost *host = units->host;

	if (!host)
		return;
	lm_free(host, units->data);
	lm_array_free(host, units->classes);
	lm_free(host, units->class_slots);
	lm_free(host, units->hints);
	lm_free(host, units->characters);
	lm_free(host, units->character_symbols);
	memset(units, 0, sizeof *units);
}

size_t
lm_units_memory(const LmUnits *units)
{
	return units->count * (units->wide ? 4 : 2) + (units->count >> LM_UNIT_HINT) * 4 +
		   units->classes_capacity * sizeof *units->classes +
		   units->n_class_slots * sizeof *units->class_slots +
		   (units->characters ? N_CODES * sizeof *units->characters : 0) +
		   (units->character_symbols ? N_CODES * sizeof *units->character_symbols : 0);
}

/* ------------------------------------------------------------ how much there is of each class */

bool
lm_units_survey(LmUnits *units, LmBytes word, int64_t count, LmError *error)
{
	size_t n_units = 0;
	int size;

	if (!units->characters)
		return survey(units, word.size, count, error);
	for (size_t i = 0; i < word.size; i += (size_t) size, n_units++)
		units->characters[lm_utf8_decode(word.data + i, &size)] += count;
	return survey(units, n_units, count, error);
}

/* A word of so many units. */
static bool
survey(LmUnits *units, size_t n_units, int64_t count, LmError *error)
{
	uint32_t *slot;
	LmUnitClass *class;

	if (units->n_classes * 2 >= units->n_class_slots && !enter_classes(units, error))
		return false;
	class = find_class(units, count, &slot);
	if (!class)
	{
		if (!lm_array_reserve(units->host, &units->classes, &units->classes_capacity,
							  units->n_classes + 1, sizeof *units->classes, error))
			return false;
		class = &units->classes[units->n_classes++];
		*class = (LmUnitClass){count, 0, 0};
		*slot = (uint32_t) units->n_classes;
	}
	class->end += n_units + 1;
	return true;
}

/* NULL where there is none, and *slot is where it belongs. */
static LmUnitClass *
find_class(const LmUnits *units, int64_t count, uint32_t **slot)
{
	size_t mask = units->n_class_slots - 1;
	size_t i = lm_hash_pair(units->host->hash_key, (uint64_t) count) & mask;

	for (; units->class_slots[i] != 0; i = (i + 1) & mask)
		if (units->classes[units->class_slots[i] - 1].count == count)
			return &units->classes[units->class_slots[i] - 1];
	*slot = &units->class_slots[i];
	return NULL;
}

/* Enters all classes in a table that is at most a quarter full. */
static bool
enter_classes(LmUnits *units, LmError *error)
{
	size_t n_slots = LEAST_CLASS_SLOTS;
	uint32_t *slots, *slot;

	while (n_slots < 4 * units->n_classes)
		n_slots *= 2;
	slots = lm_array_allocate(units->host, n_slots, sizeof *slots, error);
	if (!slots)
		return false;
	lm_free(units->host, units->class_slots);
	units->class_slots = slots;
	units->n_class_slots = n_slots;
	for (size_t i = 0; i < units->n_classes; i++)
	{
		find_class(units, units->classes[i].count, &slot);
		*slot = (uint32_t) i + 1;
	}
	return true;
}

size_t
lm_units_surveyed(const LmUnits *units)
{
	size_t n = 0;

	for (size_t i = 0; i < units->n_classes; i++)
		n += units->classes[i].end;
	return n;
}

/* ------------------------------------------------------------ which place each class has */

bool
lm_units_lay_out(LmUnits *units, LmSymbols *symbols, int64_t min_count, LmError *error)
{
	size_t n_symbols;

	if (units->characters && !lay_out_characters(units, symbols, min_count, error))
		return false;
	if (!lay_out_classes(units, error))
		return false;
	n_symbols = symbols->count;
	units->wide = n_symbols > NARROW_SYMBOLS;
	units->data = lm_allocate_unset(units->host, units->count * (units->wide ? 4 : 2));
	if (units->data)
		units->hints = lm_array_allocate(units->host, (units->count >> LM_UNIT_HINT) + 1,
										 sizeof *units->hints, error);
	else
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %zu MB of words",
				units->count * (units->wide ? 4 : 2) >> 20);
	if (!units->hints)
		return false;
	for (size_t i = 0, class = 0; i <= units->count >> LM_UNIT_HINT; i++)
	{
		while (class + 1 < units->n_classes && i << LM_UNIT_HINT >= units->classes[class].end)
			class ++;
		units->hints[i] = (uint32_t) class;
	}
	lm_unit_set(units, 0, LM_UNIT_END);
	return true;
}

/* A symbol for each character of several bytes that may merge, and a word of its bytes. */
static bool
lay_out_characters(LmUnits *units, LmSymbols *symbols, int64_t min_count, LmError *error)
{
	units->character_symbols =
		lm_array_allocate(units->host, N_CODES, sizeof *units->character_symbols, error);
	if (!units->character_symbols)
		return false;
	for (int32_t code = 0; code < N_CODES; code++)
	{
		char text[4];
		LmBytes character = {text, (size_t) lm_utf8_encode(text, code)};

		units->character_symbols[code] = code < 0x80 ? code : LM_UNIT_END;
		if (code < 0x80 || units->characters[code] == 0)
			continue;
		if (!survey(units, character.size, units->characters[code], error))
			return false;
		if (units->characters[code] >= min_count &&
			!lm_symbols_join(symbols, &units->character_symbols[code], character, (LmBytes){"", 0},
							 1, error))
			return false;
	}
	return true;
}

static bool
lay_out_classes(LmUnits *units, LmError *error)
{
	size_t place = 1;

	sort_classes(units->classes, units->n_classes);
	if (!enter_classes(units, error))
		return false;
	for (size_t i = 0; i < units->n_classes; i++)
	{
		LmUnitClass *class = &units->classes[i];

		class->next = place;
		place += class->end;
		class->end = place;
	}
	units->count = place;
	if (place > UINT32_MAX)
		return lm_fail(error, LM_ERR_LIMIT, -1, "texts have more than %u bytes of distinct words",
					   UINT32_MAX);
	return true;
}

/* In falling order of counts, by heap sort. */
static void
sort_classes(LmUnitClass *classes, size_t n)
{
	for (size_t end = n, start = n / 2; end > 1;)
	{
		LmUnitClass moved;
		size_t hole, child;

		if (start > 0)
			moved = classes[hole = --start];
		else
		{
			moved = classes[--end];
			classes[end] = classes[0];
			hole = 0;
		}
		while ((child = 2 * hole + 1) < end)
		{
			if (child + 1 < end && classes[child + 1].count < classes[child].count)
				child++;
			if (classes[child].count >= moved.count)
				break;
			classes[hole] = classes[child];
			hole = child;
		}
		classes[hole] = moved;
	}
}

/* ------------------------------------------------------------ words to their places */

/* Takes places of the class, with the end of the word. */
static size_t
begin_word(LmUnits *units, int64_t count, size_t n_units)
{
	uint32_t *slot;
	LmUnitClass *class = find_class(units, count, &slot);
	size_t place = class->next;

	class->next += n_units + 1;
	lm_unit_set(units, place + n_units, LM_UNIT_END);
	return place;
}

void
lm_units_place(LmUnits *units, LmBytes word, int64_t count)
{
	size_t n_units = 0, place;
	int size;

	if (!units->characters)
	{
		place = begin_word(units, count, word.size);
		for (size_t i = 0; i < word.size; i++)
			lm_unit_set(units, place + i, (unsigned char) word.data[i]);
		return;
	}
	for (size_t i = 0; i < word.size; i++)
		n_units += ((unsigned char) word.data[i] & 0xC0) != 0x80;
	place = begin_word(units, count, n_units);
	for (size_t i = 0; i < word.size; i += (size_t) size)
		lm_unit_set(units, place++, units->character_symbols[lm_utf8_decode(word.data + i, &size)]);
}

void
lm_units_finish(LmUnits *units)
{
	for (int32_t code = 0x80; units->characters && code < N_CODES; code++)
	{
		char text[4];
		int size = lm_utf8_encode(text, code);
		size_t place;

		if (units->characters[code] == 0)
			continue;
		place = begin_word(units, units->characters[code], (size_t) size);
		for (int i = 0; i < size; i++)
			lm_unit_set(units, place + (size_t) i, (unsigned char) text[i]);
	}
	lm_free(units->host, units->characters);
	lm_free(units->host, units->character_symbols);
	lm_free(units->host, units->class_slots);
	units->characters = NULL;
	units->character_symbols = NULL;
	units->class_slots = NULL;
	units->n_class_slots = 0;
}

bool
lm_units_widen(LmUnits *units, size_t n_symbols, LmError *error)
{
	uint32_t *data;

	if (units->wide || n_symbols <= NARROW_SYMBOLS)
		return true;
	data = lm_allocate_unset(units->host, units->count * sizeof *data);
	if (!data)
		return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %zu MB of words",
					   units->count * sizeof *data >> 20);
	for (size_t i = 0; i < units->count; i++)
		data[i] = ((const uint16_t *) units->data)[i];
	lm_free(units->host, units->data);
	units->data = data;
	units->wide = true;
	return true;
}
