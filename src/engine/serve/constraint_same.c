/*
 * src/engine/serve/constraint_same.c
 *
 * Whether the same tokens may follow two places: where the automaton goes on from both in the same
 * way for as many bytes as a walk has looked at. A text of up to 90 letters has a place for each
 * number of letters, and all but the last ones have the same short tokens; to compare two takes a
 * tenth of the time of a walk. The few long tokens are looked at one by one.
 */
#include "serve/constraint.h"
#include "text/dfa.h"

#define MOST_PAIRS 512
#define SLOTS 1024 /* a power of two above MOST_PAIRS */
#define MOST_STEPS 16384 /* of both; a walk takes as long as some ten times as many */

/* Two states after the same bytes, the fewest with which both are reached. */
typedef struct Pair
{
	int32_t known;
	int32_t state;
	int32_t depth;
} Pair;

/* Pairs in the order in which they were found, and their places by hash + 1. */
typedef struct Pairs
{
	Pair all[MOST_PAIRS];
	int n;
	uint16_t slots[SLOTS];
} Pairs;

static bool add(Pairs *pairs, int32_t known, int32_t state, int32_t depth);

bool
lm_constraint_same(bool *same, int32_t *most, LmAutomaton *automaton, LmPlace known, LmPlace place,
				   int32_t depth, LmError *error)
{
	struct LmDfa *dfa = automaton->dfa;
	Pairs pairs;
	int steps = 0;
	bool good = true;

	*same = false;
	*most = 0;
	if (!dfa)
		return true;
	pairs.n = 0;
	memset(pairs.slots, 0, sizeof pairs.slots);
	add(&pairs, known.state, place.state, 0);
	for (int i = 0; i < pairs.n; i++)
	{
		Pair pair = pairs.all[i];

		if (dfa->states[pair.state].distance > *most)
			*most = dfa->states[pair.state].distance;
		/* Equal states go on in the same way for ever; *most must know how. */
		if (pair.depth == depth)
			continue;
		for (int byte = 0; byte < 256; byte++)
		{
			int32_t a, b;

			if (byte > 0 && dfa->classes[byte] == dfa->classes[byte - 1])
				continue;
			a = lm_dfa_step(dfa, pair.known, (uint8_t) byte, error, &good);
			b = good ? lm_dfa_step(dfa, pair.state, (uint8_t) byte, error, &good) : a;
			if (!good)
				return false;
			if ((a < 0) != (b < 0) || ++steps > MOST_STEPS)
				return true;
			if (a >= 0 && !add(&pairs, a, b, pair.depth + 1))
				return true;
		}
	}
	*same = true;
	return true;
}

/* Notes a pair, unless it is known; false where there are too many. */
static bool
add(Pairs *pairs, int32_t known, int32_t state, int32_t depth)
{
	uint32_t at = ((uint32_t) known * 2654435761U + (uint32_t) state) * 2246822519U >> 16;

	for (; pairs->slots[at % SLOTS]; at++)
	{
		const Pair *pair = &pairs->all[pairs->slots[at % SLOTS] - 1];

		if (pair->known == known && pair->state == state)
			return true;
	}
	if (pairs->n == MOST_PAIRS)
		return false;
	pairs->all[pairs->n] = (Pair){known, state, depth};
	pairs->slots[at % SLOTS] = (uint16_t) ++pairs->n;
	return true;
}
