/*
 * src/engine/serve/constraint_walk.c
 *
 * A place and a vocabulary go in; the tokens whose bytes the automaton accepts from there come out.
 * The sorted tokens are a trie: the places after the bytes that a token shares with the one before
 * are known, and where these bytes lead nowhere, the token is passed over.
 */
#include "serve/constraint.h"
#include "text/dfa.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

#define POLLED 1024

/* A walk; path[i] is the place after the first i bytes of a token. */
typedef struct Walk
{
	LmAutomaton *automaton;
	const LmVocabulary *vocabulary;
	LmPlace *path;
	int alive; /* bytes of the last token that lead somewhere */
	int left;
	int32_t most;
} Walk;

static bool follow(Walk *walk, int token, int from, bool *dead, LmError *error);

/* lm_automaton_step, without a call for states that are known. */
static inline bool
step(LmAutomaton *automaton, LmPlace *place, uint8_t byte, bool *dead, LmError *error)
{
	struct LmDfa *dfa = automaton->dfa;
	bool good = true;
	int32_t next;

	if (!dfa)
		return lm_automaton_step(automaton, place, byte, dead, error);
	next = lm_dfa_step(dfa, place->state, byte, error, &good);
	*dead = next < 0;
	place->state = next;
	return good;
}

bool
lm_constraint_walk(uint64_t *bits, int32_t *n, int32_t *most, LmAutomaton *automaton,
				   const LmVocabulary *vocabulary, LmTokenSpan span, LmPlace place, int left,
				   LmPlace *path, LmError *error)
{
	Walk walk = {automaton, vocabulary, path, span.skip, left, 0};

	memset(bits, 0, ((size_t) vocabulary->V + 63) / 64 * sizeof *bits);
	*n = 0;
	path[span.skip] = place;
	for (int i = span.first; i < span.end; i++)
	{
		int32_t distance, id = vocabulary->ids[i];
		bool dead, fits;

		if (i % POLLED == 0 && !lm_text_go_on(&vocabulary->host, error))
			return false;
		if (i > span.first && vocabulary->common[i] > walk.alive)
			continue;
		if (!follow(&walk, i, i > span.first ? vocabulary->common[i] : span.skip, &dead, error))
			return false;
		if (dead && walk.alive == 0)
			i = vocabulary->firsts[(uint8_t) vocabulary->bytes[vocabulary->at[i]] + 1] - 1;
		if (dead)
			continue;
		if (!lm_constraint_fits(&fits, &distance, automaton, vocabulary, path[walk.alive], left,
								error))
			return false;
		walk.most = distance > walk.most ? distance : walk.most;
		if (!fits)
			continue;
		bits[id >> 6] |= (uint64_t) 1 << (id & 63);
		++*n;
	}
	*most = walk.most;
	return true;
}

/* Follows a token's bytes from some place to its end, or to where they lead nowhere. */
static bool
follow(Walk *walk, int token, int from, bool *dead, LmError *error)
{
	const char *bytes = walk->vocabulary->bytes + walk->vocabulary->at[token];
	int size = (int) (walk->vocabulary->at[token + 1] - walk->vocabulary->at[token]), at = from;

	*dead = false;
	for (; at < size; at++)
	{
		LmPlace place = walk->path[at];

		if (!step(walk->automaton, &place, (uint8_t) bytes[at], dead, error))
			return false;
		if (*dead)
			break;
		walk->path[at + 1] = place;
	}
	walk->alive = at;
	return true;
}
