/*
 * src/engine/text/pairs.c
 *
 * The table and the priority queue of the pairs.
 */
#include "text/array.h"
#include "text/bpe.h"
#include "text/pairs.h"

#define LEAST_SLOTS 8192
#define FLOOR_STEP 4 /* the queue's floor falls by this factor */

static size_t find_slot(const LmPair *table, size_t n_slots, LmHashKey hash_key, uint64_t key);
static bool resize(LmPairs *pairs, size_t n_slots, int64_t least, LmError *error);
static bool refill(LmPairs *pairs, LmError *error);
static bool push(LmPairs *pairs, LmPairEntry entry, LmError *error);
static void pop(LmPairs *pairs);
static bool wait_for_tokens(LmPairs *pairs, LmPairEntry entry, LmError *error);
static bool entry_before(const LmPairs *pairs, const LmPairEntry *a, const LmPairEntry *b);
static int compare_bytes(LmBytes a, LmBytes b);
static void sink(LmPairs *pairs, size_t hole, LmPairEntry entry);
static void rise(LmPairs *pairs, size_t hole, LmPairEntry entry);

bool
lm_pairs_create(LmPairs *pairs, const LmHost *host, const LmSymbols *symbols, int64_t min_count,
				LmError *error)
{
	memset(pairs, 0, sizeof *pairs);
	pairs->host = host;
	pairs->symbols = symbols;
	pairs->min_count = min_count;
	pairs->floor = INT64_MAX;
	return resize(pairs, LEAST_SLOTS, INT64_MIN, error);
}

void
lm_pairs_free(LmPairs *pairs)
{
	if (!pairs->host)
		return;
	lm_free(pairs->host, pairs->table);
	lm_array_free(pairs->host, pairs->dropped);
	lm_array_free(pairs->host, pairs->queue);
	lm_array_free(pairs->host, pairs->waiting);
	lm_array_free(pairs->host, pairs->places);
	memset(pairs, 0, sizeof *pairs);
}

size_t
lm_pairs_memory(const LmPairs *pairs)
{
	return pairs->n_slots * sizeof *pairs->table + pairs->dropped_capacity +
		   (pairs->queue_capacity + pairs->waiting_capacity) * sizeof *pairs->queue +
		   pairs->capacity * sizeof *pairs->places;
}

/* ------------------------------------------------------------ the table */

/* The pair's slot, or the empty one where it belongs. */
static size_t
find_slot(const LmPair *table, size_t n_slots, LmHashKey hash_key, uint64_t key)
{
	size_t slot = lm_hash_pair(hash_key, key) & (n_slots - 1);

	while (table[slot].key != 0 && table[slot].key != key)
		slot = (slot + 1) & (n_slots - 1);
	return slot;
}

LmPair *
lm_pairs_find(const LmPairs *pairs, int32_t left, int32_t right)
{
	uint64_t key = lm_merge_key(left, right);
	LmPair *pair =
		&pairs->table[find_slot(pairs->table, pairs->n_slots, pairs->host->hash_key, key)];

	return pair->key != 0 ? pair : NULL;
}

LmPair *
lm_pairs_enter(LmPairs *pairs, int32_t left, int32_t right, LmError *error)
{
	uint64_t key = lm_merge_key(left, right);
	LmPair *pair;

	if (pairs->n_pairs * 3 >= pairs->n_slots * 2 && pairs->settled && !lm_pairs_purge(pairs, error))
		return NULL;
	if (pairs->n_pairs * 3 >= pairs->n_slots * 2 &&
		!resize(pairs, 2 * pairs->n_slots, INT64_MIN, error))
		return NULL;
	pair = &pairs->table[find_slot(pairs->table, pairs->n_slots, pairs->host->hash_key, key)];
	if (pair->key == 0)
	{
		*pair = (LmPair){.key = key};
		pairs->n_pairs++;
	}
	return pair;
}

/* Enters all pairs from `least` on in a table of n_slots. */
static bool
resize(LmPairs *pairs, size_t n_slots, int64_t least, LmError *error)
{
	LmPair *table = lm_array_allocate(pairs->host, n_slots, sizeof *table, error);

	if (!table)
		return false;
	for (size_t slot = 0; slot < pairs->n_slots; slot++)
	{
		LmPair *pair = &pairs->table[slot];

		if (pair->key != 0 && pair->count >= least)
			table[find_slot(table, n_slots, pairs->host->hash_key, pair->key)] = *pair;
	}
	lm_free(pairs->host, pairs->table);
	pairs->table = table;
	pairs->n_slots = n_slots;
	return true;
}

size_t
lm_pairs_left(const LmPairs *pairs, size_t *n_slots)
{
	size_t n_left = 0;

	for (size_t slot = 0; slot < pairs->n_slots; slot++)
		n_left += pairs->table[slot].key != 0 && pairs->table[slot].count >= pairs->min_count;
	*n_slots = LEAST_SLOTS;
	/* An eighth of the entries is free at least, lest the next purge comes soon. */
	while (*n_slots * 7 < n_left * 12)
		*n_slots *= 2;
	return n_left;
}

bool
lm_pairs_purge(LmPairs *pairs, LmError *error)
{
	size_t n_slots, n_left = lm_pairs_left(pairs, &n_slots);

	for (size_t slot = 0; slot < pairs->n_slots; slot++)
	{
		LmPair *pair = &pairs->table[slot];

		if (pair->key == 0 || pair->count >= pairs->min_count)
			continue;
		if (pair->count > 0)
			lm_pairs_drop(pairs, lm_pair_left(pair), lm_pair_right(pair));
		lm_pairs_unlist(pairs, pair);
	}
	if (n_left == pairs->n_pairs)
		return true;
	if (!resize(pairs, n_slots, pairs->min_count, error))
		return false;
	pairs->n_pairs = n_left;
	return true;
}

bool
lm_pairs_know(LmPairs *pairs, size_t n_symbols, LmError *error)
{
	size_t before = pairs->dropped_capacity;

	if (!lm_array_reserve(pairs->host, &pairs->dropped, &pairs->dropped_capacity, n_symbols, 1,
						  error))
		return false;
	memset(pairs->dropped + before, 0, pairs->dropped_capacity - before);
	return true;
}

void
lm_pairs_drop(LmPairs *pairs, int32_t left, int32_t right)
{
	pairs->dropped[left] |= LM_DROPPED_LEFT;
	pairs->dropped[right] |= LM_DROPPED_RIGHT;
}

bool
lm_pairs_dropped(const LmPairs *pairs, int32_t left, int32_t right)
{
	return (pairs->dropped[left] & LM_DROPPED_LEFT) && (pairs->dropped[right] & LM_DROPPED_RIGHT);
}

/* ------------------------------------------------------------ the lists */

bool
lm_pairs_list(LmPairs *pairs, LmPair *pair, size_t n)
{
	uint32_t *head = pairs->places + pairs->used;

	pair->list = LM_NO_LIST;
	pair->n = 0;
	if (n > INT32_MAX || n + LM_LIST_HEAD > pairs->capacity - pairs->used)
		return false;
	head[0] = (uint32_t) lm_pair_left(pair);
	head[1] = (uint32_t) lm_pair_right(pair);
	head[2] = (uint32_t) n;
	pair->list = (uint32_t) (pairs->used + LM_LIST_HEAD);
	pair->n = (uint32_t) n & INT32_MAX;
	pairs->used += n + LM_LIST_HEAD;
	return true;
}

void
lm_pairs_unlist(LmPairs *pairs, LmPair *pair)
{
	if (pair->list != LM_NO_LIST)
		pairs->freed += pair->n + LM_LIST_HEAD;
	pair->list = LM_NO_LIST;
	pair->n = 0;
}

/* ------------------------------------------------------------ the queue */

bool
lm_pairs_push(LmPairs *pairs, int32_t left, int32_t right, int64_t count, LmError *error)
{
	return count < pairs->floor || push(pairs, (LmPairEntry){count, left, right}, error);
}

static bool
push(LmPairs *pairs, LmPairEntry entry, LmError *error)
{
	if (!lm_array_reserve(pairs->host, &pairs->queue, &pairs->queue_capacity, pairs->n_queued + 1,
						  sizeof *pairs->queue, error))
		return false;
	rise(pairs, pairs->n_queued++, entry);
	return true;
}

/* Lowers the floor until a pair reaches it; the queue stays empty where none does. */
static bool
refill(LmPairs *pairs, LmError *error)
{
	int64_t most = 0;

	pairs->n_waiting = 0;
	for (size_t slot = 0; slot < pairs->n_slots; slot++)
		if (pairs->table[slot].key != 0 && pairs->table[slot].count > most)
			most = pairs->table[slot].count;
	if (most < pairs->min_count)
		return true;
	pairs->floor = most / FLOOR_STEP > pairs->min_count ? most / FLOOR_STEP : pairs->min_count;
	for (size_t slot = 0; slot < pairs->n_slots; slot++)
	{
		const LmPair *pair = &pairs->table[slot];

		if (pair->key != 0 && pair->count >= pairs->floor &&
			!push(pairs, (LmPairEntry){pair->count, lm_pair_left(pair), lm_pair_right(pair)},
				  error))
		{
			/* All of them or none: the next call begins anew. */
			pairs->n_queued = 0;
			return false;
		}
	}
	return true;
}

bool
lm_pairs_best(LmPairs *pairs, LmPair **best, LmError *error)
{
	bool refilled = false;

	*best = NULL;
	for (;;)
	{
		LmPairEntry top;
		LmPair *pair;

		if (pairs->n_queued == 0)
		{
			/* Counts are true after a refill: what is not returned then only waits. */
			if (refilled || !refill(pairs, error))
				return refilled;
			refilled = true;
		}
		if (pairs->n_queued == 0)
			return true;
		top = pairs->queue[0];
		pair = lm_pairs_find(pairs, top.left, top.right);
		if (pair && pair->count == top.count)
		{
			if (pairs->symbols->tokens[top.left] >= 0 && pairs->symbols->tokens[top.right] >= 0)
			{
				*best = pair;
				return true;
			}
			if (!wait_for_tokens(pairs, top, error))
				return false;
		}
		else if (pair && pair->count < top.count && pair->count >= pairs->floor)
		{
			top.count = pair->count;
			sink(pairs, 0, top);
			continue;
		}
		pop(pairs); /* it waits, occurs less than the floor, or has a better entry */
	}
}

static void
pop(LmPairs *pairs)
{
	pairs->n_queued--;
	if (pairs->n_queued > 0)
		sink(pairs, 0, pairs->queue[pairs->n_queued]);
}

static bool
wait_for_tokens(LmPairs *pairs, LmPairEntry entry, LmError *error)
{
	if (!lm_array_reserve(pairs->host, &pairs->waiting, &pairs->waiting_capacity,
						  pairs->n_waiting + 1, sizeof *pairs->waiting, error))
		return false;
	pairs->waiting[pairs->n_waiting++] = entry;
	return true;
}

bool
lm_pairs_wake(LmPairs *pairs, LmError *error)
{
	size_t n_left = 0;

	for (size_t i = 0; i < pairs->n_waiting; i++)
	{
		LmPairEntry entry = pairs->waiting[i];

		if (pairs->symbols->tokens[entry.left] < 0 || pairs->symbols->tokens[entry.right] < 0)
			pairs->waiting[n_left++] = entry;
		else if (!push(pairs, entry, error))
			return false;
	}
	pairs->n_waiting = n_left;
	return true;
}

static bool
entry_before(const LmPairs *pairs, const LmPairEntry *a, const LmPairEntry *b)
{
	const LmBytes *bytes = pairs->symbols->bytes;
	int order;

	if (a->count != b->count)
		return a->count > b->count;
	if (a->left != b->left && (order = compare_bytes(bytes[a->left], bytes[b->left])) != 0)
		return order > 0;
	return compare_bytes(bytes[a->right], bytes[b->right]) > 0;
}

static int
compare_bytes(LmBytes a, LmBytes b)
{
	int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static void
rise(LmPairs *pairs, size_t hole, LmPairEntry entry)
{
	while (hole > 0 && entry_before(pairs, &entry, &pairs->queue[(hole - 1) / 2]))
	{
		pairs->queue[hole] = pairs->queue[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	pairs->queue[hole] = entry;
}

/* Moves the hole down until entry fits, and puts entry there; the best pair is on top. */
static void
sink(LmPairs *pairs, size_t hole, LmPairEntry entry)
{
	LmPairEntry *queue = pairs->queue;
	size_t child;

	while ((child = 2 * hole + 1) < pairs->n_queued)
	{
		if (child + 1 < pairs->n_queued && entry_before(pairs, &queue[child + 1], &queue[child]))
			child++;
		if (!entry_before(pairs, &queue[child], &entry))
			break;
		queue[hole] = queue[child];
		hole = child;
	}
	queue[hole] = entry;
}
