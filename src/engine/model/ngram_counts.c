/*
 * src/engine/model/ngram_counts.c
 *
 * Looks up the last tokens of a text in the training text and in the text itself.
 *
 * The places of the training text are sorted by the tokens before them, so those after the same k
 * tokens are an interval, which holds the interval of k + 1 tokens. Bisection narrows it until it
 * has few enough places, which are then visited one by one. Where all the tokens that are compared
 * leave too many, as in rows that begin alike, places at equal distances in the interval stand for
 * all of it.
 */
#include <math.h>
#include <string.h>

#include "model/ngram_counts.h"

#define BLOCK 16 /* tokens of a text that are compared at once */
#define HASH_FACTOR UINT32_C(2654435761) /* Knuth 1973, section 6.4: 2^32 by the golden ratio */

static int count_training_text(LmNgramCounts *counts, const LmNgram *ngram, const int32_t *history,
							   size_t n_history);
static void count_history(LmNgramCounts *counts, const int32_t *history, size_t n_history,
						  int least);
static void add_place(LmNgramCounts *counts, int source, int32_t id, int length);
static void sum_up(LmNgramCounts *counts, int source, int least);

void
lm_ngram_count(LmNgramCounts *counts, const LmNgram *ngram, const int32_t *history,
			   size_t n_history)
{
	int least;

	memset(counts->levels, 0, sizeof counts->levels);
	memset(counts->slots, 0, sizeof counts->slots);
	counts->n = 0;
	if (n_history == 0)
		return;
	least = count_training_text(counts, ngram, history, n_history);
	count_history(counts, history, n_history, least);
	sum_up(counts, 0, least);
	sum_up(counts, 1, 1);
}

/* The token k places before a place of the training text; -1: there is none. */
static inline int32_t
token_before(const LmNgram *ngram, int place, int k)
{
	return place >= k ? (int32_t) ngram->tokens[place - k] : -1;
}

/* The first of the places [first, last) whose token k places before is not below id. */
static int
bisect(const LmNgram *ngram, int first, int last, int k, int32_t id)
{
	while (first < last)
	{
		int middle = first + (last - first) / 2;

		if (token_before(ngram, (int) ngram->order[middle], k) < id)
			first = middle + 1;
		else
			last = middle;
	}
	return first;
}

/* Returns the least order that has few enough places, or else the longest. */
static int
count_training_text(LmNgramCounts *counts, const LmNgram *ngram, const int32_t *history,
					size_t n_history)
{
	int longest = n_history < LM_NGRAM_ORDERS ? (int) n_history : LM_NGRAM_ORDERS;
	int first = 0, last = ngram->n, k = 0, n;

	while (last - first > (k == 0 ? 0 : LM_NGRAM_PLACES) && k < longest)
	{
		int32_t id = history[n_history - 1 - (size_t) k++];

		first = bisect(ngram, first, last, k, id);
		last = bisect(ngram, first, last, k, id + 1);
	}
	n = last - first < LM_NGRAM_PLACES ? last - first : LM_NGRAM_PLACES;
	for (int i = 0; i < n; i++)
	{
		int place = (int) ngram->order[first + (int) ((int64_t) (last - first) * i / n)];
		int length = k;

		while (length < longest &&
			   token_before(ngram, place, length + 1) == history[n_history - 1 - (size_t) length])
			length++;
		add_place(counts, 0, (int32_t) ngram->tokens[place], length);
	}
	return k;
}

/* Whether one of BLOCK tokens is id; the compiler makes vectors of it. */
static inline bool
block_has(const int32_t *tokens, int32_t id)
{
	int found = 0;

	for (int i = 0; i < BLOCK; i++)
		found |= tokens[i] == id;
	return found != 0;
}

/*
 * Places in the text itself, the nearest first; from the order `least` on they join those of the
 * training text.
 */
static void
count_history(LmNgramCounts *counts, const int32_t *history, size_t n_history, int least)
{
	const int32_t *end = history + n_history;
	size_t first = n_history > LM_NGRAM_HISTORY ? n_history - LM_NGRAM_HISTORY : 0;
	int n = 0;

	for (size_t place = n_history - 1; place > first && n < LM_NGRAM_PLACES; place--)
	{
		const int32_t *next;
		size_t longest;
		int length = 1;

		while (place > first + BLOCK && !block_has(history + place - BLOCK, end[-1]))
			place -= BLOCK;
		next = history + place;
		longest = place < LM_NGRAM_ORDERS ? place : LM_NGRAM_ORDERS;
		if (next[-1] != end[-1])
			continue;
		while ((size_t) length < longest && next[-1 - length] == end[-1 - length])
			length++;
		add_place(counts, 1, *next, length);
		if (length >= least)
			add_place(counts, 0, *next, length);
		n++;
	}
}

/* The entry of a token, which is new where it has not come yet. */
static LmNgramToken *
entry_of(LmNgramCounts *counts, int32_t id)
{
	uint32_t slot = (uint32_t) id * HASH_FACTOR / (UINT32_MAX / LM_NGRAM_SLOTS + 1);

	while (counts->slots[slot] != 0 && counts->tokens[counts->slots[slot] - 1].id != id)
		slot = (slot + 1) % LM_NGRAM_SLOTS;
	if (counts->slots[slot] == 0)
	{
		counts->tokens[counts->n] = (LmNgramToken){.id = id};
		counts->slots[slot] = (uint16_t) ++counts->n;
	}
	return &counts->tokens[counts->slots[slot] - 1];
}

/* For now under the longest order alone. */
static void
add_place(LmNgramCounts *counts, int source, int32_t id, int length)
{
	entry_of(counts, id)->counts[source][length - 1]++;
}

/* A place that agrees in k tokens is one of all orders from `least` to k. */
static void
sum_up(LmNgramCounts *counts, int source, int least)
{
	for (int i = 0; i < counts->n; i++)
	{
		uint16_t *of = counts->tokens[i].counts[source];

		for (int k = LM_NGRAM_ORDERS - 1; k >= least - 1; k--)
		{
			LmNgramLevel *level = &counts->levels[source][k];

			of[k] = (uint16_t) (of[k] + (k + 1 < LM_NGRAM_ORDERS ? of[k + 1] : 0));
			level->places = (uint16_t) (level->places + of[k]);
			level->tokens = (uint16_t) (level->tokens + (of[k] > 0));
			level->once = (uint16_t) (level->once + (of[k] == 1));
			level->most = of[k] > level->most ? of[k] : level->most;
		}
	}
}

void
lm_ngram_features(double features[LM_NGRAM_FEATURES], const LmNgramLevel *level)
{
	features[0] = 1;
	features[1] = log(level->places);
	features[2] = log(level->tokens);
	features[3] = log(level->once + 0.5);
	features[4] = (double) level->most / level->places;
}
