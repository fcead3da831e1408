/*
 * src/engine/text/pairs.h
 *
 * The pairs of neighbouring symbols during BPE training: how often each occurs, in which words, and
 * which is the best. The pair to merge next is the one of greatest count; among equals
 * the one whose left symbol, then right symbol, is the greater byte string.
 */
#ifndef LM_TEXT_PAIRS_H
#define LM_TEXT_PAIRS_H

#include "text/token_shape.h"

/*
 * A slot of the table. Pairs are never taken out: a count of 0 is a pair that does not occur now.
 */
typedef struct LmPair
{
	uint64_t key; /* (left + 1) << 32 | right, 0 where the slot is empty */
	int64_t count;
	int32_t words; /* first node of the list of words where it may occur, -1 at the end */
	int32_t raised; /* the last merge that raised the count */
} LmPair;

/* A list node: one word. Freed nodes make a list of their own. */
typedef struct LmPairWord
{
	int32_t word;
	int32_t next;
} LmPairWord;

/*
 * An entry of the queue: a pair with the count that it had when it was queued. A raised count is
 * queued anew; a count that has fallen is corrected when the entry comes to the top.
 */
typedef struct LmPairEntry
{
	int64_t count;
	int32_t left, right;
} LmPairEntry;

/* A hash table of pairs, the lists of their words, and a queue of the best. */
typedef struct LmPairs
{
	const LmHost *host;
	const LmBytes *symbols; /* bytes of the symbols, by id: the tie rule */
	const LmTokenShape *shapes; /* by id: which pairs there are; NULL: all */
	int64_t min_count; /* of a pair that is taken */

	LmPair *table;
	size_t n_slots; /* a power of two */
	size_t n_pairs;

	LmPairWord *nodes;
	size_t n_nodes, nodes_capacity;
	int32_t free_node;

	LmPairEntry *queue;
	size_t n_queued, queue_capacity;

	/* the pairs that the current merge raised */
	LmPairEntry *raised;
	size_t n_raised, raised_capacity;
	int32_t merge;
} LmPairs;

/*
 * Without pairs. symbols and shapes must outlive it and may grow; pairs whose shapes do not fit are
 * never entered. LM_ERR_MEMORY.
 */
bool lm_pairs_create(LmPairs *pairs, const LmHost *host, const LmBytes *symbols, int64_t min_count,
					 const LmTokenShape *shapes, LmError *error);
void lm_pairs_free(LmPairs *pairs);

/* Adds count occurrences of the pair, in that word. LM_ERR_MEMORY or LM_ERR_LIMIT. */
bool lm_pairs_raise(LmPairs *pairs, int32_t left, int32_t right, int32_t word, int64_t count,
					LmError *error);
/* Takes count occurrences away; the pair must exist, or its shapes not fit. */
void lm_pairs_lower(LmPairs *pairs, int32_t left, int32_t right, int64_t count);
/* Queues the pairs raised since the last call, with the counts that they have now. */
bool lm_pairs_flush(LmPairs *pairs, LmError *error);

/* Takes the best pair out of the queue; false when no pair occurs often enough. */
bool lm_pairs_take_best(LmPairs *pairs, int32_t *left, int32_t *right);
/* Takes the list of the pair's words, to be read node by node and given back; -1 when empty. */
int32_t lm_pairs_take_words(LmPairs *pairs, int32_t left, int32_t right);
/* The node's word; frees the node and moves on to the next. */
int32_t lm_pairs_next_word(LmPairs *pairs, int32_t *node);

#endif /* LM_TEXT_PAIRS_H */
