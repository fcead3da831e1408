/*
 * src/engine/text/bpe_merge.h
 *
 * Counted words go in, merges come out (Sennrich et al. 2016, algorithm 1): merge the most frequent
 * pair of neighbours everywhere, again and again. Each pair has a list of its places, so a merge
 * costs time in proportion to what it changes.
 *
 * Where two merges spell the same bytes ("a" "bc" and "ab" "c"), the second yields the symbol of
 * the first: the tokens of a vocabulary are distinct.
 */
#ifndef LM_TEXT_BPE_MERGE_H
#define LM_TEXT_BPE_MERGE_H

#include "text/bpe_units.h"
#include "text/pairs.h"

/* What a merge changes on one side of its places; arrays by the neighbour's symbol. */
typedef struct LmMergeSide
{
	int64_t *lost; /* occurrences beside the pair */
	int64_t *gained; /* occurrences beside the result ... */
	uint32_t *n; /* ... and their places */
	uint32_t *next; /* where the next one goes in the list of places, LM_NO_LIST: nowhere */
	int32_t *touched; /* the neighbours */
	size_t n_touched;
} LmMergeSide;

/* The words, their pairs, and the merges so far. */
typedef struct LmMerging
{
	const LmHost *host;
	int64_t min_count;
	size_t memory; /* bytes that all of this may take; 0: no limit */
	LmSymbols symbols;
	LmUnits units;
	LmPairs pairs;
	LmMergeSide left, right;
	struct LmLongerList *longer; /* scratch of a merge */
	size_t n_longer, longer_capacity;
	size_t collect_at; /* numbers of lists that are no more, from which on moving pays */
	size_t sides_capacity; /* in symbols */
	LmMerge *merges; /* of tokens */
	size_t n_merges, merges_capacity;
	size_t n_relists; /* for measurements */
	bool started; /* the pairs were counted */
	bool listed; /* they are, and the lists are true */
	bool broken; /* a failure in the middle of a merge */
} LmMerging;

/* Without words: fill units before the first step. LM_ERR_MEMORY; free it in any case. */
bool lm_merging_create(LmMerging *merging, const LmHost *host, int64_t min_count,
					   bool whole_characters, size_t memory, LmError *error);
void lm_merging_free(LmMerging *merging);
size_t lm_merging_memory(const LmMerging *merging);

/*
 * Merges until there are n_tokens tokens, after n_merges merges at most; *done says that there are,
 * or that no pair is left. After LM_ERR_STOPPED it can go on, after LM_ERR_MEMORY and LM_ERR_LIMIT
 * perhaps not.
 */
bool lm_merging_step(LmMerging *merging, int n_tokens, int n_merges, bool *done, LmError *error);

#endif /* LM_TEXT_BPE_MERGE_H */
