/*
 * src/engine/text/substrings.h
 *
 * The frequent substrings of counted words.
 */
#ifndef LM_TEXT_SUBSTRINGS_H
#define LM_TEXT_SUBSTRINGS_H

#include "text/ranked.h"
#include "text/words.h"

#define LM_SUBSTRING_MOST 16 /* characters of one */

/* What to look for. */
typedef struct LmSubstringOptions
{
	int64_t min_count; /* occurrences, in all words together */
	size_t most; /* how many to keep: those with the most characters of text in them */
	size_t memory; /* bytes that the search may take; 0: no limit */
} LmSubstringOptions;

/*
 * Substrings of whole characters of one script (text/token_shape.h), and characters, that occur
 * often enough: the `most` first in the order of ranked.h by count times characters, as value, with
 * the count as number. items has room for most; their bytes are those of words. Level by level: a
 * substring of k characters is counted only where both of its parts of k - 1 are frequent (Agrawal
 * and Srikant 1994, "Fast algorithms for mining association rules", 2.1). LM_ERR_MEMORY,
 * LM_ERR_LIMIT, LM_ERR_STOPPED.
 */
bool lm_substrings_find(const LmHost *host, LmRanked *items, size_t *n_items, const LmWords *words,
						const LmSubstringOptions *options, LmError *error);

#endif /* LM_TEXT_SUBSTRINGS_H */
