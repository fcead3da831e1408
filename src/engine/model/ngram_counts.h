/*
 * src/engine/model/ngram_counts.h
 *
 * What n-grams say about the next token: for each order of each source the number of places, and
 * the tokens that followed there.
 */
#ifndef LM_NGRAM_COUNTS_H
#define LM_NGRAM_COUNTS_H

#include "engine/ngram.h"

#define LM_NGRAM_CANDIDATES (LM_NGRAM_SOURCES * LM_NGRAM_PLACES) /* different ones, at most */
#define LM_NGRAM_SLOTS (2 * LM_NGRAM_CANDIDATES)

/* One order of one source; places 0: it says nothing. */
typedef struct LmNgramLevel
{
	uint16_t places;
	uint16_t tokens; /* different ones */
	uint16_t once; /* of them, those with one place */
	uint16_t most; /* places of the most frequent one */
} LmNgramLevel;

/* A token that followed somewhere, and in how many places, by source and order (from 1: [0]). */
typedef struct LmNgramToken
{
	int32_t id;
	uint16_t counts[LM_NGRAM_SOURCES][LM_NGRAM_ORDERS];
} LmNgramToken;

/* About 30 kB, which callers have on their stack. */
typedef struct LmNgramCounts
{
	LmNgramLevel levels[LM_NGRAM_SOURCES][LM_NGRAM_ORDERS];
	int n; /* tokens */
	LmNgramToken tokens[LM_NGRAM_CANDIDATES];
	uint16_t slots[LM_NGRAM_SLOTS]; /* a hash table: 1 + the number of a token; 0: free */
} LmNgramCounts;

/* Counts what followed the last tokens of a history. */
void lm_ngram_count(LmNgramCounts *counts, const LmNgram *ngram, const int32_t *history,
					size_t n_history);

/* The features of a level that has places; lm_ngram_mix has their use. */
void lm_ngram_features(double features[LM_NGRAM_FEATURES], const LmNgramLevel *level);

/* Where the weights of a level are among all. */
static inline size_t
lm_ngram_weights_at(int source, int k)
{
	return 1 + (size_t) (k * LM_NGRAM_SOURCES + source) * LM_NGRAM_FEATURES;
}

#endif /* LM_NGRAM_COUNTS_H */
