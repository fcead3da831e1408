/*
 * src/engine/train/seen_features.c
 *
 * A hash table of keys whose items keep the order in which they were first seen.
 */
#include "text/array.h"
#include "train/seen_features.h"

#define LEAST_SLOTS ((size_t) 1024)
#define AHEAD 8 /* features of a text, that are fetched */
#define FREQUENCIES 64 /* that are told apart */

void
lm_seen_free(LmSeenFeatures *seen)
{
	lm_array_free(&seen->host, seen->items);
	lm_free(&seen->host, seen->slots);
	seen->items = NULL;
	seen->slots = NULL;
}

static uint32_t *
slot_of(const LmSeenFeatures *seen, uint64_t key)
{
	size_t mask = seen->n_slots - 1, at = lm_hash_pair(seen->host.hash_key, key) & mask;

	while (seen->slots[at] != 0 && seen->items[seen->slots[at] - 1].key != key)
		at = (at + 1) & mask;
	return &seen->slots[at];
}

/* The table is larger than caches: slots come first, then the items that they name. */
void
lm_seen_prefetch(const LmSeenFeatures *seen, const LmFeatures *features, size_t i)
{
	size_t mask = seen->n_slots - 1;

	if (i + 2 * AHEAD >= features->n || seen->n_slots == 0)
		return;
	__builtin_prefetch(
		&seen->slots[lm_hash_pair(seen->host.hash_key, features->items[i + 2 * AHEAD].key) & mask]);
	mask &= lm_hash_pair(seen->host.hash_key, features->items[i + AHEAD].key);
	if (seen->slots[mask] != 0)
		__builtin_prefetch(&seen->items[seen->slots[mask] - 1]);
}

static void
fill_slots(LmSeenFeatures *seen)
{
	for (size_t i = 0; i < seen->n; i++)
		*slot_of(seen, seen->items[i].key) = (uint32_t) i + 1;
}

static bool
grow_slots(LmSeenFeatures *seen, LmError *error)
{
	size_t n = seen->n_slots > 0 ? 2 * seen->n_slots : LEAST_SLOTS;

	lm_free(&seen->host, seen->slots);
	seen->slots = lm_array_allocate(&seen->host, n, sizeof *seen->slots, error);
	seen->n_slots = n;
	if (!seen->slots)
		return false;
	fill_slots(seen);
	return true;
}

bool
lm_seen_find(uint32_t *place, LmSeenFeatures *seen, uint64_t key, bool add, LmError *error)
{
	uint32_t *slot;

	*place = 0;
	if (2 * (seen->n + 1) > seen->n_slots && !grow_slots(seen, error))
		return false;
	slot = slot_of(seen, key);
	*place = *slot;
	if (*place != 0 || !add)
		return true;
	if (lm_seen_is_full(seen))
	{
		seen->lost = true;
		return true;
	}
	if (!lm_array_reserve(&seen->host, &seen->items, &seen->capacity, seen->n + 1,
						  sizeof *seen->items, error))
		return false;
	seen->items[seen->n++] = (LmSeenFeature){.key = key};
	*place = *slot = (uint32_t) seen->n;
	return true;
}

/* The least number of windows that features must be in for at most half of the room to be taken. */
static uint32_t
least_documents(const LmSeenFeatures *seen)
{
	size_t counts[FREQUENCIES + 1] = {0}, n = seen->n;
	uint32_t least = 0;

	for (size_t i = 0; i < seen->n; i++)
	{
		uint32_t documents = seen->items[i].documents;

		counts[documents < FREQUENCIES ? documents : FREQUENCIES]++;
	}
	while (n > seen->most / 2 && least < FREQUENCIES)
		n -= counts[least++];
	return least;
}

bool
lm_seen_prune(uint32_t **new_places, LmSeenFeatures *seen, LmError *error)
{
	uint32_t *places = lm_array_allocate(&seen->host, seen->n + 1, sizeof *places, error);
	uint32_t least = least_documents(seen);
	size_t n = 0;

	*new_places = places;
	if (!places)
		return false;
	for (size_t i = 0; i < seen->n; i++)
	{
		if (seen->items[i].documents < least)
			continue;
		seen->items[n] = seen->items[i];
		places[i] = (uint32_t) ++n;
	}
	seen->n = n;
	seen->lost = true;
	memset(seen->slots, 0, seen->n_slots * sizeof *seen->slots);
	fill_slots(seen);
	return true;
}
