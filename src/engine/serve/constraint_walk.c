/*
 * src/engine/serve/constraint_walk.c
 *
 * A place and a vocabulary go in; the tokens whose bytes the automaton accepts from there come out.
 * The sorted tokens are a trie: the places after the bytes that a token shares with the one before
 * are known, and where these bytes lead nowhere, the token is passed over.
 *
 * A walk over 50,257 tokens, most of which are allowed, is what a new place costs, so the step over
 * known states of the first kind of automata is inlined, in a walk of its own.
 */
#include "serve/constraint.h"
#include "text/dfa.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

#define POLLED 1024
#define INLINED static inline __attribute__((always_inline))

/* A walk; path[i] is the place after the first i bytes of a token. */
typedef struct Walk
{
	uint64_t *bits; /* [V] */
	LmAutomaton *automaton;
	const LmVocabulary *vocabulary;
	LmTokenSpan span;
	LmPlace *path;
	int left;
	int32_t n;
	int32_t most;
	int32_t depth;
} Walk;

static bool walk_sets(Walk *walk, LmError *error);
static bool walk_choices(Walk *walk, LmError *error);

bool
lm_constraint_walk(uint64_t *bits, int32_t *n, int32_t *most, LmAutomaton *automaton,
				   const LmVocabulary *vocabulary, LmTokenSpan span, LmPlace place, int left,
				   LmPlace *path, int32_t *depth, LmError *error)
{
	Walk walk = {bits, automaton, vocabulary, span, path, left, 0, 0, 0};
	bool good;

	memset(bits, 0, ((size_t) vocabulary->V + 63) / 64 * sizeof *bits);
	path[span.skip] = place;
	good = automaton->dfa ? walk_sets(&walk, error) : walk_choices(&walk, error);
	*n = walk.n;
	*most = walk.most;
	*depth = walk.depth;
	return good;
}

/* The place after one byte more of a token: path[at + 1]. */
INLINED bool
step(Walk *walk, bool sets, int at, uint8_t byte, bool *dead, LmError *error)
{
	bool good = true;

	if (!sets)
	{
		walk->path[at + 1] = walk->path[at];
		return lm_automaton_step(walk->automaton, &walk->path[at + 1], byte, dead, error);
	}
	walk->path[at + 1].state =
		lm_dfa_step(walk->automaton->dfa, walk->path[at].state, byte, error, &good);
	*dead = walk->path[at + 1].state < 0;
	return good;
}

/* Sets the bit of a token that leads to a place, if the tokens that are left suffice from there. */
INLINED bool
end(Walk *walk, bool sets, int32_t id, LmPlace place, LmError *error)
{
	int32_t distance = sets ? walk->automaton->dfa->states[place.state].distance : 0;
	bool fits = sets && distance <= walk->left;

	if (!fits && !lm_constraint_fits(&fits, &distance, walk->automaton, walk->vocabulary, place,
									 walk->left, error))
		return false;
	walk->most = distance > walk->most ? distance : walk->most;
	walk->bits[id >> 6] |= (uint64_t) fits << (id & 63);
	walk->n += fits;
	return true;
}

INLINED bool
walk_all(Walk *walk, bool sets, LmError *error)
{
	const LmVocabulary *vocabulary = walk->vocabulary;
	int alive = walk->span.skip; /* bytes of the last token that lead somewhere */

	for (int i = walk->span.first; i < walk->span.end; i++)
	{
		const char *bytes = vocabulary->bytes + vocabulary->at[i];
		int size = (int) (vocabulary->at[i + 1] - vocabulary->at[i]),
			at = i > walk->span.first ? vocabulary->common[i] : walk->span.skip;
		bool dead = false;

		if (i % POLLED == 0 && !lm_text_go_on(&vocabulary->host, error))
			return false;
		if (at > alive)
			continue;
		for (; at < size; at++)
		{
			if (!step(walk, sets, at, (uint8_t) bytes[at], &dead, error))
				return false;
			if (dead)
				break;
		}
		alive = at;
		walk->depth = at + dead > walk->depth ? at + dead : walk->depth;
		/* Where no text goes on with the first byte, all tokens that have it are passed over. */
		if (dead && at == 0)
			i = vocabulary->firsts[(uint8_t) bytes[0] + 1] - 1;
		if (!dead && !end(walk, sets, vocabulary->ids[i], walk->path[at], error))
			return false;
	}
	return true;
}

static bool
walk_sets(Walk *walk, LmError *error)
{
	return walk_all(walk, true, error);
}

static bool
walk_choices(Walk *walk, LmError *error)
{
	return walk_all(walk, false, error);
}

bool
lm_constraint_walk_long(uint64_t *bits, int32_t *n, int32_t *most, LmAutomaton *automaton,
						const LmVocabulary *vocabulary, LmPlace place, LmError *error)
{
	for (int i = 0; i < vocabulary->n_longs; i++)
	{
		int token = vocabulary->longs[i];
		int32_t id = vocabulary->ids[token];
		uint64_t bit = (uint64_t) 1 << (id & 63);
		LmPlace after = place;
		bool dead = false;

		if (i % POLLED == 0 && !lm_text_go_on(&vocabulary->host, error))
			return false;
		for (uint32_t at = vocabulary->at[token]; at < vocabulary->at[token + 1] && !dead; at++)
			if (!lm_automaton_step(automaton, &after, (uint8_t) vocabulary->bytes[at], &dead,
								   error))
				return false;
		*n += (dead ? 0 : 1) - ((bits[id >> 6] & bit) != 0 ? 1 : 0);
		bits[id >> 6] = dead ? bits[id >> 6] & ~bit : bits[id >> 6] | bit;
		if (!dead && lm_automaton_distance(automaton, after) > *most)
			*most = lm_automaton_distance(automaton, after);
	}
	return true;
}
