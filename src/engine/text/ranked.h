/*
 * src/engine/text/ranked.h
 *
 * Strings with a value: the greatest come first, and of equal ones that with the smaller bytes, so
 * that an order depends on nothing else.
 */
#ifndef LM_TEXT_RANKED_H
#define LM_TEXT_RANKED_H

#include "text/array.h"

/* A string, its value, and a number of the caller's. */
typedef struct LmRanked
{
	LmBytes bytes;
	double value;
	int64_t number;
} LmRanked;

/* Keeps the item if it is one of the first `most`. The n items are a heap, the last one on top. */
void lm_ranked_keep(LmRanked *items, size_t *n, size_t most, LmRanked item);

/* Sorts, the first one first. LM_ERR_STOPPED; then the items are in any order. */
bool lm_ranked_sort(const LmHost *host, LmRanked *items, size_t n, LmError *error);

#endif /* LM_TEXT_RANKED_H */
