/*
 * src/engine/text/pairs.h
 *
 * The pairs of neighbouring symbols during BPE training: how often each occurs, at which places,
 * and which is the best. The pair to merge next is the one of greatest count; among equals the one
 * whose left symbol, then right symbol, is the greater byte string.
 *
 * A pair that occurs less than min_count times has no entry, for there are many of those and no
 * merge wants them. Nearly always a pair's count only falls after the merge that made its younger
 * symbol. The exception is a merge that spells a symbol that there is already: its pairs may have
 * occurrences that were never entered. Then the count is an upper bound (`open`), and is counted
 * anew if the pair is ever the best.
 */
#ifndef LM_TEXT_PAIRS_H
#define LM_TEXT_PAIRS_H

#include "text/bpe.h"
#include "text/bpe_symbols.h"

#define LM_NO_LIST 0
#define LM_LIST_HEAD 3 /* numbers in front of a list */

/* A slot of the table. */
typedef struct LmPair
{
	uint64_t key; /* (left + 1) << 32 | right, 0 where the slot is empty */
	int64_t count;
	uint32_t list; /* of its places, or LM_NO_LIST */
	uint32_t n : 31; /* places in the list; some of them may have been merged since */
	uint32_t open : 1; /* count is an upper bound */
} LmPair;

/* An entry of the queue: a pair with the count that it had when it was queued. */
typedef struct LmPairEntry
{
	int64_t count;
	int32_t left, right;
} LmPairEntry;

/*
 * A hash table of pairs, a queue of the best, and the lists of places in one array:
 *
 *   places   | left | right | n | place 0 | ... | place n - 1 | left | right | n | ...
 *                               ^ list
 *
 * A list that is no more stays until the lists are moved together.
 *
 * The queue has all pairs that occur `floor` times or more, and is filled again with a lower floor
 * when it is empty, so that it stays small. It is lazy: an entry's count is never below the true
 * one of a pair that has no better entry; when it comes up too high it goes back with the true one.
 */
typedef struct LmPairs
{
	const LmHost *host;
	const LmSymbols *symbols; /* the tie rule; which symbols are tokens */
	int64_t min_count;

	LmPair *table;
	size_t n_slots; /* a power of two */
	size_t n_pairs;
	bool settled; /* counts are true: entries below min_count leave when the table is full */
	/* by symbol: whether some pair with it on its left or right was not entered, or left */
	uint8_t *dropped;
	size_t dropped_capacity;

	LmPairEntry *queue;
	size_t n_queued, queue_capacity;
	int64_t floor;
	/* pairs that came up before their symbols were tokens: characters of several bytes */
	LmPairEntry *waiting;
	size_t n_waiting, waiting_capacity;

	uint32_t *places;
	size_t capacity; /* of places, in numbers */
	size_t used; /* numbers, with those of lists that are no more: ... */
	size_t freed; /* ... these, and those of places that were merged */
} LmPairs;

#define LM_DROPPED_LEFT 1
#define LM_DROPPED_RIGHT 2

/* Without pairs. symbols must outlive it. LM_ERR_MEMORY; free it in any case. */
bool lm_pairs_create(LmPairs *pairs, const LmHost *host, const LmSymbols *symbols,
					 int64_t min_count, LmError *error);
void lm_pairs_free(LmPairs *pairs);
size_t lm_pairs_memory(const LmPairs *pairs);

/* The pair; NULL where it has no entry. */
LmPair *lm_pairs_find(const LmPairs *pairs, int32_t left, int32_t right);
/*
 * The pair, with a count of 0 if it is new; lives until the next call. Other pairs that occur less
 * than min_count times may lose their entries. NULL with LM_ERR_MEMORY.
 */
LmPair *lm_pairs_enter(LmPairs *pairs, int32_t left, int32_t right, LmError *error);
/* Makes the symbols up to count known to lm_pairs_drop. LM_ERR_MEMORY. */
bool lm_pairs_know(LmPairs *pairs, size_t n_symbols, LmError *error);
/* Remembers that the pair has no entry though it may occur; whether that was so of such a pair. */
void lm_pairs_drop(LmPairs *pairs, int32_t left, int32_t right);
bool lm_pairs_dropped(const LmPairs *pairs, int32_t left, int32_t right);
/*
 * Removes the entries of pairs below min_count. LM_ERR_MEMORY. _left: how many entries are then
 * left, and how many slots.
 */
size_t lm_pairs_left(const LmPairs *pairs, size_t *n_slots);
bool lm_pairs_purge(LmPairs *pairs, LmError *error);

/* Queues the pair if it occurs often enough. LM_ERR_MEMORY. */
bool lm_pairs_push(LmPairs *pairs, int32_t left, int32_t right, int64_t count, LmError *error);
/*
 * *best is the best pair whose symbols are tokens; it stays in the queue. NULL when no pair occurs
 * often enough. LM_ERR_MEMORY.
 */
bool lm_pairs_best(LmPairs *pairs, LmPair **best, LmError *error);
/* Queues what waited for symbols that have become tokens. LM_ERR_MEMORY. */
bool lm_pairs_wake(LmPairs *pairs, LmError *error);

/* A list of n places for the pair, not filled; false where there is no room: it then has none. */
bool lm_pairs_list(LmPairs *pairs, LmPair *pair, size_t n);
void lm_pairs_unlist(LmPairs *pairs, LmPair *pair);

/* Fetches the pair's slot into the cache. */
static inline void
lm_pairs_prefetch(const LmPairs *pairs, int32_t left, int32_t right)
{
	uint32_t hash = lm_hash_pair(pairs->host->hash_key, lm_merge_key(left, right));

	__builtin_prefetch(&pairs->table[hash & (pairs->n_slots - 1)]);
}

static inline int32_t
lm_pair_left(const LmPair *pair)
{
	return (int32_t) (pair->key >> 32) - 1;
}

static inline int32_t
lm_pair_right(const LmPair *pair)
{
	return (int32_t) (uint32_t) pair->key;
}

#endif /* LM_TEXT_PAIRS_H */
