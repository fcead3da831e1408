/*
 * src/engine/text/pairs.c
 *
 * The table, the lists of words and the priority queue of the pairs.
 *
 * The queue is lazy: an entry keeps the count it was queued with. Between two merges counts only
 * fall, except for pairs with the symbol just made, which lm_pairs_flush queues afresh. So an
 * entry's count is never below the true one of a pair that has no better entry: when it comes up
 * too high it goes back with the true count.
 */
#include "text/array.h"
#include "text/bpe.h"
#include "text/pairs.h"

#define NONE (-1)

static LmPair *find(const LmPairs *pairs, uint64_t key);
static bool fit(const LmPairs *pairs, int32_t left, int32_t right);
static bool grow(LmPairs *pairs, LmError *error);
static bool add_word(LmPairs *pairs, LmPair *pair, int32_t word, LmError *error);
static bool entry_before(const LmPairs *pairs, const LmPairEntry *a, const LmPairEntry *b);
static int compare_bytes(LmBytes a, LmBytes b);
static void sink(LmPairs *pairs, size_t hole, LmPairEntry entry);
static void rise(LmPairs *pairs, size_t hole, LmPairEntry entry);

bool
lm_pairs_create(LmPairs *pairs, const LmHost *host, const LmBytes *symbols, int64_t min_count,
				const LmTokenShape *shapes, LmError *error)
{
	memset(pairs, 0, sizeof *pairs);
	pairs->host = host;
	pairs->symbols = symbols;
	pairs->min_count = min_count;
	pairs->shapes = shapes;
	pairs->free_node = NONE;
	pairs->merge = 1;
	return grow(pairs, error);
}

void
lm_pairs_free(LmPairs *pairs)
{
	if (!pairs->host)
		return;
	lm_free(pairs->host, pairs->table);
	lm_array_free(pairs->host, pairs->nodes);
	lm_array_free(pairs->host, pairs->queue);
	lm_array_free(pairs->host, pairs->raised);
	memset(pairs, 0, sizeof *pairs);
}

/* The pair's slot, or the empty one where it belongs. */
static LmPair *
find(const LmPairs *pairs, uint64_t key)
{
	size_t slot = lm_hash_pair(pairs->host->hash_key, key) & (pairs->n_slots - 1);

	while (pairs->table[slot].key != 0 && pairs->table[slot].key != key)
		slot = (slot + 1) & (pairs->n_slots - 1);
	return &pairs->table[slot];
}

static bool
fit(const LmPairs *pairs, int32_t left, int32_t right)
{
	return !pairs->shapes || lm_token_shapes_fit(pairs->shapes[left], pairs->shapes[right]);
}

/* Doubles the hash table and enters all pairs again. */
static bool
grow(LmPairs *pairs, LmError *error)
{
	LmPairs larger = *pairs;

	larger.n_slots = pairs->n_slots ? 2 * pairs->n_slots : 8192;
	larger.table = lm_array_allocate(pairs->host, larger.n_slots, sizeof *larger.table, error);
	if (!larger.table)
		return false;
	for (size_t slot = 0; slot < pairs->n_slots; slot++)
		if (pairs->table[slot].key != 0)
			*find(&larger, pairs->table[slot].key) = pairs->table[slot];
	lm_free(pairs->host, pairs->table);
	*pairs = larger;
	return true;
}

bool
lm_pairs_raise(LmPairs *pairs, int32_t left, int32_t right, int32_t word, int64_t count,
			   LmError *error)
{
	uint64_t key = lm_merge_key(left, right);
	LmPair *pair;

	if (!fit(pairs, left, right))
		return true;
	if (pairs->n_pairs * 8 >= pairs->n_slots * 5 && !grow(pairs, error))
		return false;
	pair = find(pairs, key);
	if (pair->key == 0)
	{
		*pair = (LmPair){key, 0, NONE, 0};
		pairs->n_pairs++;
	}
	pair->count += count;
	if (pair->raised != pairs->merge)
	{
		if (!lm_array_reserve(pairs->host, &pairs->raised, &pairs->raised_capacity,
							  pairs->n_raised + 1, sizeof *pairs->raised, error))
			return false;
		pairs->raised[pairs->n_raised++] = (LmPairEntry){0, left, right};
		pair->raised = pairs->merge;
	}
	return add_word(pairs, pair, word, error);
}

/* Puts word at the head of the pair's list unless it is there; freed nodes are used first. */
static bool
add_word(LmPairs *pairs, LmPair *pair, int32_t word, LmError *error)
{
	int32_t node = pairs->free_node;

	if (pair->words != NONE && pairs->nodes[pair->words].word == word)
		return true;
	if (node != NONE)
		pairs->free_node = pairs->nodes[node].next;
	else
	{
		if (pairs->n_nodes == INT32_MAX)
			return lm_fail(error, LM_ERR_LIMIT, -1, "texts have more than %d pairs of neighbours",
						   INT32_MAX);
		if (!lm_array_reserve(pairs->host, &pairs->nodes, &pairs->nodes_capacity,
							  pairs->n_nodes + 1, sizeof *pairs->nodes, error))
			return false;
		node = (int32_t) pairs->n_nodes++;
	}
	pairs->nodes[node] = (LmPairWord){word, pair->words};
	pair->words = node;
	return true;
}

void
lm_pairs_lower(LmPairs *pairs, int32_t left, int32_t right, int64_t count)
{
	if (fit(pairs, left, right))
		find(pairs, lm_merge_key(left, right))->count -= count;
}

int32_t
lm_pairs_take_words(LmPairs *pairs, int32_t left, int32_t right)
{
	LmPair *pair = find(pairs, lm_merge_key(left, right));
	int32_t words = pair->words;

	pair->words = NONE;
	return words;
}

int32_t
lm_pairs_next_word(LmPairs *pairs, int32_t *node)
{
	LmPairWord *taken = &pairs->nodes[*node];
	int32_t freed = *node;

	*node = taken->next;
	taken->next = pairs->free_node;
	pairs->free_node = freed;
	return taken->word;
}

bool
lm_pairs_flush(LmPairs *pairs, LmError *error)
{
	if (!lm_array_reserve(pairs->host, &pairs->queue, &pairs->queue_capacity,
						  pairs->n_queued + pairs->n_raised, sizeof *pairs->queue, error))
		return false;
	for (size_t i = 0; i < pairs->n_raised; i++)
	{
		LmPairEntry entry = pairs->raised[i];

		entry.count = find(pairs, lm_merge_key(entry.left, entry.right))->count;
		if (entry.count >= pairs->min_count)
			rise(pairs, pairs->n_queued++, entry);
	}
	pairs->n_raised = 0;
	pairs->merge++;
	return true;
}

bool
lm_pairs_take_best(LmPairs *pairs, int32_t *left, int32_t *right)
{
	while (pairs->n_queued > 0)
	{
		LmPairEntry best = pairs->queue[0];
		int64_t count = find(pairs, lm_merge_key(best.left, best.right))->count;

		if (count < best.count && count >= pairs->min_count)
		{
			best.count = count;
			sink(pairs, 0, best);
			continue;
		}
		pairs->n_queued--;
		sink(pairs, 0, pairs->queue[pairs->n_queued]);
		if (count != best.count)
			continue; /* it occurs no more, or has a better entry */
		*left = best.left;
		*right = best.right;
		return true;
	}
	return false;
}

static bool
entry_before(const LmPairs *pairs, const LmPairEntry *a, const LmPairEntry *b)
{
	int order;

	if (a->count != b->count)
		return a->count > b->count;
	if (a->left != b->left &&
		(order = compare_bytes(pairs->symbols[a->left], pairs->symbols[b->left])) != 0)
		return order > 0;
	return compare_bytes(pairs->symbols[a->right], pairs->symbols[b->right]) > 0;
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
