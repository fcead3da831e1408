/*
 * src/engine/text/bpe_lists.h
 *
 * The lists of places of the pairs, which merges follow.
 */
#ifndef LM_TEXT_BPE_LISTS_H
#define LM_TEXT_BPE_LISTS_H

#include "text/bpe_merge.h"

/*
 * Counts all pairs, and lists the places of those that occur often enough, the best one among them.
 * LM_ERR_STOPPED or LM_ERR_MEMORY: it can be called again; LM_ERR_LIMIT where the memory is too
 * small even for the best pair.
 */
bool lm_lists_make(LmMerging *merging, LmError *error);

/* Moves the lists together, without the places that were merged. */
void lm_lists_collect(LmMerging *merging);

/*
 * Keeps to the memory when the merge of this pair may make the table grow: lists give way, those of
 * the rarest pairs first. LM_ERR_MEMORY, LM_ERR_LIMIT.
 */
bool lm_lists_fit_table(LmMerging *merging, int32_t left, int32_t right, LmError *error);

#endif /* LM_TEXT_BPE_LISTS_H */
