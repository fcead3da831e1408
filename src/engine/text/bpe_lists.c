/*
 * src/engine/text/bpe_lists.c
 *
 * The counts of all pairs and the lists of their places, from the words as they stand; and the
 * memory that lists take.
 *
 * Where lists do not fit into the memory, the most frequent pairs have them. Once the best pair has
 * none, all words are read again to list the places of the pairs that are then the most frequent.
 */
#include "text/bpe_lists.h"
#include "text/utf8.h"

#define POLL_PLACES ((size_t) 1 << 18)
#define BATCH 32

/* Two neighbours. */
typedef struct Neighbours
{
	size_t place; /* of the left one */
	int64_t count;
	int32_t left, right;
} Neighbours;

/* Where a walk over the words is. */
typedef struct Walk
{
	size_t place, class;
	size_t polled;
} Walk;

static bool tally(LmMerging *merging, LmError *error);
static bool walk_on(LmMerging *merging, Walk *walk, Neighbours *batch, int *n, LmError *error);
static bool allot_lists(LmMerging *merging, LmError *error);
static int64_t choose_least(const LmPairs *pairs, size_t room);
static bool fill_lists(LmMerging *merging, LmError *error);
static void make_places(LmMerging *merging, size_t n);
static bool fail_memory(const LmMerging *merging, LmError *error);

bool
lm_lists_make(LmMerging *merging, LmError *error)
{
	LmPairs *pairs = &merging->pairs;

	if (!merging->started)
	{
		lm_pairs_free(pairs);
		if (!lm_pairs_create(pairs, merging->host, &merging->symbols, merging->min_count, error) ||
			!lm_pairs_know(pairs, merging->symbols.count, error))
			return false;
	}
	for (size_t slot = 0; slot < pairs->n_slots; slot++)
		if (pairs->table[slot].key != 0)
			pairs->table[slot] = (LmPair){.key = pairs->table[slot].key};
	pairs->used = pairs->freed = 0;
	pairs->settled = false;
	if (!tally(merging, error) || !lm_pairs_purge(pairs, error))
		return false;
	pairs->settled = true;
	merging->started = true;
	merging->n_relists++;
	if (!allot_lists(merging, error) || !fill_lists(merging, error))
		return false;
	merging->listed = true;
	return true;
}

/*
 * Counts the occurrences and the places of pairs: at first of all, later of those that have an
 * entry.
 */
static bool
tally(LmMerging *merging, LmError *error)
{
	LmPairs *pairs = &merging->pairs;
	Walk walk = {1, 0, 0};
	Neighbours batch[BATCH];
	int n;

	while (walk_on(merging, &walk, batch, &n, error))
	{
		if (n == 0)
			return true;
		if (merging->memory > 0 && !merging->started &&
			lm_merging_memory(merging) > merging->memory)
			return fail_memory(merging, error);
		for (int i = 0; i < n; i++)
		{
			LmPair *pair = merging->started
							   ? lm_pairs_find(pairs, batch[i].left, batch[i].right)
							   : lm_pairs_enter(pairs, batch[i].left, batch[i].right, error);

			if (!pair && !merging->started)
				return false;
			if (!pair)
				continue;
			pair->count += batch[i].count;
			pair->n += pair->n < INT32_MAX;
		}
	}
	return false;
}

/* The next neighbours that fit; none at the end of the words. */
static bool
walk_on(LmMerging *merging, Walk *walk, Neighbours *batch, int *n, LmError *error)
{
	const LmUnits *units = &merging->units;
	const LmSymbols *symbols = &merging->symbols;
	int32_t left;

	*n = 0;
	if (walk->place >= walk->polled + POLL_PLACES)
	{
		if (!lm_text_go_on(merging->host, error))
			return false;
		walk->polled = walk->place;
	}
	left = walk->place < units->count ? lm_unit(units, walk->place) : LM_UNIT_END;
	while (*n < BATCH && walk->place < units->count)
	{
		size_t next = walk->place + (left < 0 ? 1 : symbols->units[left]);
		int32_t right = next < units->count ? lm_unit(units, next) : LM_UNIT_END;

		if (left >= 0 && right >= 0 && lm_symbols_fit(symbols, left, right))
		{
			batch[(*n)++] = (Neighbours){
				walk->place, lm_unit_count(units, walk->place, &walk->class), left, right};
			lm_pairs_prefetch(&merging->pairs, left, right);
		}
		walk->place = next;
		left = right;
	}
	return true;
}

/* Makes an empty list of the right size for each pair that gets one, the best pair among them. */
static bool
allot_lists(LmMerging *merging, LmError *error)
{
	LmPairs *pairs = &merging->pairs;
	size_t wanted = 0;
	int64_t least;
	LmPair *best;

	for (size_t slot = 0; slot < pairs->n_slots; slot++)
		if (pairs->table[slot].key != 0)
			wanted += pairs->table[slot].n + LM_LIST_HEAD;
	if (!pairs->places)
	{
		make_places(merging, wanted);
		if (!pairs->places)
			return lm_fail(error, LM_ERR_MEMORY, -1, "out of memory for %zu MB of pairs",
						   wanted * sizeof *pairs->places >> 20);
	}
	if (!lm_pairs_best(pairs, &best, error))
		return false;
	if (best && best->n + LM_LIST_HEAD > pairs->capacity)
		return fail_memory(merging, error);
	least = wanted <= pairs->capacity ? 0 : choose_least(pairs, pairs->capacity / 4 * 3);
	if (best)
		lm_pairs_list(pairs, best, best->n);
	for (size_t slot = 0; slot < pairs->n_slots; slot++)
	{
		LmPair *pair = &pairs->table[slot];

		if (pair->key != 0 && pair != best && pair->count >= least)
			lm_pairs_list(pairs, pair, pair->n);
		pair->n = 0;
	}
	merging->collect_at = pairs->capacity / 8;
	return true;
}

/*
 * An array for lists of so many numbers and half as many for those to come, or for what the memory
 * allows. The table may yet double.
 */
static void
make_places(LmMerging *merging, size_t n)
{
	LmPairs *pairs = &merging->pairs;
	size_t held = lm_merging_memory(merging) + pairs->n_slots * sizeof *pairs->table;

	n += n / 2 + 1024;
	if (merging->memory > 0)
	{
		size_t room = merging->memory > held ? (merging->memory - held) / sizeof *pairs->places : 0;

		n = n < room ? n : room;
	}
	n = n < 1024 ? 1024 : n < UINT32_MAX ? n : UINT32_MAX;
	pairs->places =
		merging->host->reallocate(merging->host->context, NULL, n * sizeof *pairs->places);
	pairs->capacity = pairs->places ? n : 0;
}

/* The least count whose pairs' lists, with those of all greater counts, fit into the room. */
static int64_t
choose_least(const LmPairs *pairs, size_t room)
{
	int64_t low = 0, high = 0;

	for (size_t slot = 0; slot < pairs->n_slots; slot++)
		if (pairs->table[slot].key != 0 && pairs->table[slot].count >= high)
			high = pairs->table[slot].count + 1;
	while (low < high)
	{
		int64_t middle = low + (high - low) / 2;
		size_t size = 0;

		for (size_t slot = 0; slot < pairs->n_slots; slot++)
			if (pairs->table[slot].key != 0 && pairs->table[slot].count >= middle)
				size += pairs->table[slot].n + LM_LIST_HEAD;
		if (size <= room)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static bool
fill_lists(LmMerging *merging, LmError *error)
{
	LmPairs *pairs = &merging->pairs;
	Walk walk = {1, 0, 0};
	Neighbours batch[BATCH];
	int n;

	while (walk_on(merging, &walk, batch, &n, error))
	{
		if (n == 0)
			return true;
		for (int i = 0; i < n; i++)
		{
			LmPair *pair = lm_pairs_find(pairs, batch[i].left, batch[i].right);

			if (pair && pair->list != LM_NO_LIST)
				pairs->places[pair->list + pair->n++] = (uint32_t) batch[i].place;
		}
	}
	return false;
}

/* ------------------------------------------------------------ memory */

void
lm_lists_collect(LmMerging *merging)
{
	LmPairs *pairs = &merging->pairs;
	const LmUnits *units = &merging->units;
	size_t to = 0, next;

	for (size_t from = 0; from < pairs->used; from = next)
	{
		uint32_t *places = pairs->places;
		int32_t left = (int32_t) places[from], right = (int32_t) places[from + 1];
		LmPair *pair = lm_pairs_find(pairs, left, right);
		size_t begin = from + LM_LIST_HEAD, n = 0, step = merging->symbols.units[left];

		next = begin + places[from + 2];
		if (!pair || pair->list != begin)
			continue;
		pair->list = (uint32_t) (to + LM_LIST_HEAD);
		for (size_t i = 0; i < pair->n; i++)
		{
			uint32_t place = places[begin + i];

			if (lm_unit(units, place) == left && lm_unit(units, place + step) == right)
				places[pair->list + n++] = place;
		}
		places[to] = (uint32_t) left;
		places[to + 1] = (uint32_t) right;
		places[to + 2] = (uint32_t) n;
		pair->n = (uint32_t) n & INT32_MAX;
		to = pair->list + n;
	}
	pairs->used = to;
	pairs->freed = 0;
}

bool
lm_lists_fit_table(LmMerging *merging, int32_t left, int32_t right, LmError *error)
{
	LmPairs *pairs = &merging->pairs;
	size_t table = pairs->n_slots * sizeof *pairs->table, held = lm_merging_memory(merging);
	size_t n = lm_pairs_find(pairs, left, right)->n, size, room, n_slots;
	size_t n_new = 2 * (n < merging->symbols.count ? n : merging->symbols.count);
	int64_t least;
	uint32_t *places;

	if (merging->memory == 0 || held + 2 * table <= merging->memory ||
		(pairs->n_pairs + n_new) * 3 < pairs->n_slots * 2)
		return true;
	lm_pairs_left(pairs, &n_slots);
	if (n_slots <= pairs->n_slots)
		return lm_pairs_purge(pairs, error);
	held += 2 * table - pairs->capacity * sizeof *pairs->places;
	room = held < merging->memory ? (merging->memory - held) / sizeof *pairs->places : 0;
	if (room >= pairs->capacity)
		return true;
	size = n + LM_LIST_HEAD;
	if (room < 2 * size)
		return fail_memory(merging, error);
	lm_lists_collect(merging);
	least = choose_least(pairs, room / 2);
	for (size_t slot = 0; slot < pairs->n_slots; slot++)
	{
		LmPair *pair = &pairs->table[slot];

		if (pair->key != 0 && pair->count < least && pair->key != lm_merge_key(left, right))
			lm_pairs_unlist(pairs, pair);
	}
	lm_lists_collect(merging);
	places =
		merging->host->reallocate(merging->host->context, pairs->places, room * sizeof *places);
	if (places)
	{
		pairs->places = places;
		pairs->capacity = room;
	}
	return true;
}

static bool
fail_memory(const LmMerging *merging, LmError *error)
{
	return lm_fail(error, LM_ERR_LIMIT, -1, "merging words needs more memory than %zu MB",
				   merging->memory >> 20);
}
