/*
 * src/engine/text/bpe_merge.c
 *
 * The merges of BPE, over words that lie in one array (bpe_units.h) and pairs with lists of places
 * (pairs.h).
 *
 * A merge reads its list three times: it writes the result over its places, and counts what its
 * neighbours lose; it counts what they gain, in the array as it then stands; it lists the places of
 * the new pairs. So the table of pairs is asked once for each neighbour, not for each place, and
 * lists have the size that they need.
 */
#include "text/array.h"
#include "text/bpe_lists.h"
#include "text/utf8.h"

/* A list that gets places of a merge beside those that it had. */
typedef struct LmLongerList
{
	int32_t left, right;
	uint32_t before, n_before;
	uint32_t n_new;
} LmLongerList;

/* What a merge makes of which. */
typedef struct Change
{
	int32_t left, right, result;
	bool is_new; /* the symbol is */
	bool inside; /* completes a character: there are no neighbours */
	uint32_t *places; /* the list, of which the first n are true once the pair is merged */
	size_t n;
} Change;

static bool merge_pair(LmMerging *merging, LmPair *pair, LmError *error);
static bool begin_change(LmMerging *merging, Change *change, LmError *error);
static bool grow_sides(LmMerging *merging, LmError *error);
static void rewrite(LmMerging *merging, Change *change);
static void rewrite_inside(LmMerging *merging, Change *change);
static void count_gains(LmMerging *merging, const Change *change);
static void apply_losses(LmMerging *merging, const Change *change);
static bool apply_gain(LmMerging *merging, LmMergeSide *side, int32_t neighbour, int32_t left,
					   int32_t right, const Change *change, LmError *error);
static bool apply_gains(LmMerging *merging, const Change *change, LmError *error);
static void list_places(LmMerging *merging, const Change *change);
static void merge_longer_lists(LmMerging *merging);

/* ------------------------------------------------------------ life and steps */

bool
lm_merging_create(LmMerging *merging, const LmHost *host, int64_t min_count, bool whole_characters,
				  size_t memory, LmError *error)
{
	memset(merging, 0, sizeof *merging);
	merging->host = host;
	merging->min_count = min_count;
	merging->memory = memory - memory / 8; /* some grows unasked: the queue, the symbols */
	return lm_symbols_create(&merging->symbols, host, whole_characters, error) &&
		   lm_units_create(&merging->units, host, whole_characters, error);
}

static void
free_side(const LmHost *host, LmMergeSide *side)
{
	lm_free(host, side->lost);
	lm_free(host, side->gained);
	lm_free(host, side->n);
	lm_free(host, side->next);
	lm_free(host, side->touched);
	memset(side, 0, sizeof *side);
}

void
lm_merging_free(LmMerging *merging)
{
	if (!merging->host)
		return;
	free_side(merging->host, &merging->left);
	free_side(merging->host, &merging->right);
	lm_array_free(merging->host, merging->merges);
	lm_array_free(merging->host, merging->longer);
	lm_pairs_free(&merging->pairs);
	lm_units_free(&merging->units);
	lm_symbols_free(&merging->symbols);
	memset(merging, 0, sizeof *merging);
}

size_t
lm_merging_memory(const LmMerging *merging)
{
	return lm_symbols_memory(&merging->symbols) + lm_units_memory(&merging->units) +
		   lm_pairs_memory(&merging->pairs) +
		   merging->sides_capacity * 2 * (2 * sizeof(int64_t) + 3 * sizeof(int32_t)) +
		   merging->merges_capacity * sizeof *merging->merges;
}

bool
lm_merging_step(LmMerging *merging, int n_tokens, int n_merges, bool *done, LmError *error)
{
	*done = false;
	if (merging->broken)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "training of a tokenizer failed before");
	for (int i = 0; i < n_merges;)
	{
		LmPair *best;

		if (!merging->listed && !lm_lists_make(merging, error))
			return false;
		*done = merging->symbols.n_tokens >= n_tokens;
		if (*done)
			return true;
		if (!lm_text_go_on(merging->host, error) || !lm_pairs_best(&merging->pairs, &best, error))
			return false;
		*done = !best;
		if (*done)
			return true;
		merging->listed = best->list != LM_NO_LIST && !best->open;
		if (!merging->listed)
			continue;
		/* A merge that fails is half done. */
		merging->broken = true;
		if (!merge_pair(merging, best, error))
			return false;
		merging->broken = false;
		i++;
	}
	*done = merging->symbols.n_tokens >= n_tokens;
	return true;
}

/* ------------------------------------------------------------ one merge */

static bool
merge_pair(LmMerging *merging, LmPair *pair, LmError *error)
{
	LmPairs *pairs = &merging->pairs;
	Change change = {.left = lm_pair_left(pair), .right = lm_pair_right(pair)};
	size_t n = pair->n, needed;

	if (!begin_change(merging, &change, error))
		return false;
	if (change.result < 0)
	{
		pair->count = 0;
		lm_pairs_unlist(pairs, pair);
		return true;
	}
	/* Each place has two neighbours, and so has each list at most as many places. */
	needed = 2 * n + LM_LIST_HEAD * 2 * (n < merging->symbols.count ? n : merging->symbols.count);
	if (needed > pairs->capacity - pairs->used && pairs->freed >= merging->collect_at)
		lm_lists_collect(merging);
	if (!lm_lists_fit_table(merging, change.left, change.right, error))
		return false;
	pair = lm_pairs_find(pairs, change.left, change.right);
	change.places = pairs->places + pair->list;
	change.n = pair->n;
	lm_pairs_unlist(pairs, pair);
	if (change.inside)
	{
		rewrite_inside(merging, &change);
		pair->count = 0;
		return lm_pairs_wake(pairs, error);
	}
	rewrite(merging, &change);
	count_gains(merging, &change);
	apply_losses(merging, &change);
	lm_pairs_find(pairs, change.left, change.right)->count = 0;
	if (!apply_gains(merging, &change, error))
		return false;
	list_places(merging, &change);
	merge_longer_lists(merging);
	return true;
}

/*
 * Finds or makes the symbol and its token, and records the merge. The result is -1 where the bytes
 * spell the special token, which text must never yield.
 */
static bool
begin_change(LmMerging *merging, Change *change, LmError *error)
{
	LmSymbols *symbols = &merging->symbols;
	LmBytes left = symbols->bytes[change->left], right = symbols->bytes[change->right];
	size_t before = symbols->count, end_size = sizeof LM_END_OF_TEXT - 1;

	change->result = -1;
	if (left.size + right.size == end_size && left.size < end_size &&
		memcmp(left.data, LM_END_OF_TEXT, left.size) == 0 &&
		memcmp(right.data, LM_END_OF_TEXT + left.size, right.size) == 0)
		return true;
	if (!lm_symbols_join(symbols, &change->result, left, right,
						 (uint16_t) (symbols->units[change->left] + symbols->units[change->right]),
						 error) ||
		!lm_symbols_make_token(symbols, change->result, error) ||
		!lm_units_widen(&merging->units, symbols->count, error) ||
		!lm_pairs_know(&merging->pairs, symbols->count, error) || !grow_sides(merging, error) ||
		!lm_array_reserve(merging->host, &merging->merges, &merging->merges_capacity,
						  merging->n_merges + 1, sizeof *merging->merges, error))
		return false;
	merging->merges[merging->n_merges++] =
		(LmMerge){symbols->tokens[change->left], symbols->tokens[change->right],
				  symbols->tokens[change->result]};
	change->is_new = symbols->count > before;
	change->inside = symbols->shapes && symbols->shapes[change->left].part != LM_PART_WHOLE &&
					 symbols->shapes[change->result].part == LM_PART_WHOLE;
	return true;
}

static bool
grow_side(const LmHost *host, LmMergeSide *side, size_t capacity, LmError *error)
{
	/* All zeros between merges: nothing is copied. */
	free_side(host, side);
	side->lost = lm_array_allocate(host, capacity, sizeof *side->lost, error);
	if (side->lost)
		side->gained = lm_array_allocate(host, capacity, sizeof *side->gained, error);
	if (side->gained)
		side->n = lm_array_allocate(host, capacity, sizeof *side->n, error);
	if (side->n)
		side->next = lm_array_allocate(host, capacity, sizeof *side->next, error);
	if (side->next)
		side->touched = lm_array_allocate(host, capacity, sizeof *side->touched, error);
	return side->touched != NULL;
}

static bool
grow_sides(LmMerging *merging, LmError *error)
{
	if (merging->sides_capacity >= merging->symbols.count)
		return true;
	merging->sides_capacity = 0;
	if (!grow_side(merging->host, &merging->left, merging->symbols.capacity, error) ||
		!grow_side(merging->host, &merging->right, merging->symbols.capacity, error))
		return false;
	merging->sides_capacity = merging->symbols.capacity;
	return true;
}

/* ------------------------------------------------------------ the words, and counts around */

static void
touch(LmMergeSide *side, int32_t neighbour)
{
	if (side->lost[neighbour] == 0 && side->n[neighbour] == 0)
		side->touched[side->n_touched++] = neighbour;
}

/*
 * Merges from left to right:
 *
 *   ... before left right after ...   ->   ... before result after ...
 *
 * A result in front belonged to the pair (right, left), whose loss was counted with that result.
 */
static void
rewrite(LmMerging *merging, Change *change)
{
	LmUnits *units = &merging->units;
	size_t left_size = merging->symbols.units[change->left];
	size_t right_size = merging->symbols.units[change->right];
	size_t n = 0, class = 0, behind = 0;

	for (size_t k = 0; k < change->n; k++)
	{
		size_t place = change->places[k], middle = place + left_size, end = middle + right_size;
		int32_t before, after;
		int64_t count;

		if (lm_unit(units, place) != change->left || lm_unit(units, middle) != change->right)
			continue;
		before = lm_unit(units, place - 1);
		after = lm_unit(units, end);
		count = lm_unit_count(units, place, &class);
		if (before >= 0 && behind != place)
		{
			touch(&merging->left, before);
			merging->left.lost[before] += count;
		}
		if (after >= 0)
		{
			touch(&merging->right, after);
			merging->right.lost[after] += count;
		}
		lm_unit_set(units, middle, LM_UNIT_NONE);
		lm_unit_set(units, place, change->result);
		lm_unit_set(units, end - 1, change->result);
		change->places[n++] = (uint32_t) place;
		behind = end;
	}
	change->n = n;
	merging->pairs.freed += 2 * n;
}

/* The word of a character's bytes has done its service. */
static void
rewrite_inside(LmMerging *merging, Change *change)
{
	LmUnits *units = &merging->units;
	size_t left_size = merging->symbols.units[change->left];
	size_t size = left_size + merging->symbols.units[change->right];

	for (size_t k = 0; k < change->n; k++)
	{
		size_t place = change->places[k];

		if (lm_unit(units, place) == change->left &&
			lm_unit(units, place + left_size) == change->right)
			for (size_t i = 0; i < size; i++)
				lm_unit_set(units, place + i, LM_UNIT_END);
	}
}

/* Two results that are neighbours are counted once, on the right one's left. */
static void
count_gains(LmMerging *merging, const Change *change)
{
	const LmUnits *units = &merging->units;
	const LmSymbols *symbols = &merging->symbols;
	LmMergeSide *left = &merging->left, *right = &merging->right;
	size_t size = symbols->units[change->result], class = 0;

	for (size_t k = 0; k < change->n; k++)
	{
		size_t place = change->places[k];
		int32_t before = lm_unit(units, place - 1), after = lm_unit(units, place + size);
		int64_t count = lm_unit_count(units, place, &class);

		if (before >= 0 && lm_symbols_fit(symbols, before, change->result))
		{
			touch(left, before);
			left->gained[before] += count;
			left->n[before]++;
		}
		if (after == change->result && k + 1 < change->n && change->places[k + 1] == place + size)
			continue;
		if (after >= 0 && lm_symbols_fit(symbols, change->result, after))
		{
			touch(right, after);
			right->gained[after] += count;
			right->n[after]++;
		}
	}
}

static void
lose(LmMerging *merging, int32_t left, int32_t right, int64_t count)
{
	LmPair *pair = lm_pairs_find(&merging->pairs, left, right);

	if (!pair)
		return;
	pair->count -= count;
	if (pair->count < merging->min_count)
		lm_pairs_unlist(&merging->pairs, pair);
}

static void
apply_losses(LmMerging *merging, const Change *change)
{
	for (size_t i = 0; i < merging->left.n_touched; i++)
	{
		int32_t before = merging->left.touched[i];

		if (merging->left.lost[before] > 0)
			lose(merging, before, change->left, merging->left.lost[before]);
		merging->left.lost[before] = 0;
	}
	for (size_t i = 0; i < merging->right.n_touched; i++)
	{
		int32_t after = merging->right.touched[i];

		if (merging->right.lost[after] > 0)
			lose(merging, change->right, after, merging->right.lost[after]);
		merging->right.lost[after] = 0;
	}
}

static bool
apply_gains(LmMerging *merging, const Change *change, LmError *error)
{
	LmMergeSide *left = &merging->left, *right = &merging->right;

	merging->n_longer = 0;
	for (size_t i = 0; i < left->n_touched; i++)
	{
		int32_t before = left->touched[i];

		left->next[before] = LM_NO_LIST;
		if (left->n[before] > 0 &&
			!apply_gain(merging, left, before, before, change->result, change, error))
			return false;
	}
	for (size_t i = 0; i < right->n_touched; i++)
	{
		int32_t after = right->touched[i];

		right->next[after] = LM_NO_LIST;
		if (right->n[after] > 0 &&
			!apply_gain(merging, right, after, change->result, after, change, error))
			return false;
	}
	return true;
}

/* Raises the count of a pair with the result, and makes room in a list for its places. */
static bool
apply_gain(LmMerging *merging, LmMergeSide *side, int32_t neighbour, int32_t left, int32_t right,
		   const Change *change, LmError *error)
{
	LmPairs *pairs = &merging->pairs;
	LmPair *pair = change->is_new ? NULL : lm_pairs_find(pairs, left, right);
	int64_t gained = side->gained[neighbour];
	uint32_t n = side->n[neighbour];

	if (pair)
	{
		LmLongerList longer = {left, right, pair->list, pair->n, n};

		pair->count += gained;
		if (pair->list != LM_NO_LIST && (left == right || !lm_pairs_list(pairs, pair, n + pair->n)))
			lm_pairs_unlist(pairs, pair);
		if (pair->list != LM_NO_LIST)
		{
			pairs->freed += longer.n_before + LM_LIST_HEAD;
			side->next[neighbour] = pair->list;
			if (!lm_array_reserve(merging->host, &merging->longer, &merging->longer_capacity,
								  merging->n_longer + 1, sizeof *merging->longer, error))
				return false;
			merging->longer[merging->n_longer++] = longer;
		}
		return lm_pairs_push(pairs, left, right, pair->count, error);
	}
	if (gained < merging->min_count && (change->is_new || !lm_pairs_dropped(pairs, left, right)))
	{
		lm_pairs_drop(pairs, left, right);
		return true;
	}
	pair = lm_pairs_enter(pairs, left, right, error);
	if (!pair)
		return false;
	pair->count = gained;
	if (!change->is_new && lm_pairs_dropped(pairs, left, right))
	{
		pair->count += merging->min_count - 1;
		pair->open = 1;
	}
	else if (lm_pairs_list(pairs, pair, n))
		side->next[neighbour] = pair->list;
	return lm_pairs_push(pairs, left, right, pair->count, error);
}

/* ------------------------------------------------------------ lists of the new pairs */

static void
list_places(LmMerging *merging, const Change *change)
{
	const LmUnits *units = &merging->units;
	const LmSymbols *symbols = &merging->symbols;
	LmMergeSide *left = &merging->left, *right = &merging->right;
	uint32_t *places = merging->pairs.places;
	size_t size = symbols->units[change->result];

	for (size_t k = 0; k < change->n; k++)
	{
		uint32_t place = change->places[k];
		int32_t before = lm_unit(units, place - 1), after = lm_unit(units, place + size);

		if (before >= 0 && left->next[before] != LM_NO_LIST)
			places[left->next[before]++] = place - symbols->units[before];
		if (after == change->result && k + 1 < change->n && change->places[k + 1] == place + size)
			continue;
		if (after >= 0 && right->next[after] != LM_NO_LIST)
			places[right->next[after]++] = place;
	}
	for (size_t i = 0; i < left->n_touched; i++)
		left->gained[left->touched[i]] = left->n[left->touched[i]] = left->next[left->touched[i]] =
			0;
	for (size_t i = 0; i < right->n_touched; i++)
		right->gained[right->touched[i]] = right->n[right->touched[i]] =
			right->next[right->touched[i]] = 0;
	left->n_touched = right->n_touched = 0;
}

/* The new places stand in front of each longer list; those of the list before join them in order.
 */
static void
merge_longer_lists(LmMerging *merging)
{
	for (size_t i = 0; i < merging->n_longer; i++)
	{
		const LmLongerList *longer = &merging->longer[i];
		const LmPair *pair = lm_pairs_find(&merging->pairs, longer->left, longer->right);
		uint32_t *places = merging->pairs.places, *list = places + pair->list;
		size_t n_new = longer->n_new, n_before = longer->n_before, to = pair->n;

		if (pair->list == LM_NO_LIST)
			continue;
		while (n_before > 0)
			if (n_new > 0 && list[n_new - 1] > places[longer->before + n_before - 1])
				list[--to] = list[--n_new];
			else
				list[--to] = places[longer->before + --n_before];
	}
}
