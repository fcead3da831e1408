/*
 * src/engine/text/dfa.h
 *
 * A nondeterministic automaton with the sets of its states that have been needed so far. Each set
 * is a state of the deterministic automaton. Sets that nobody retains can be forgotten at any time;
 * they are found again when they are needed.
 */
#ifndef LM_DFA_H
#define LM_DFA_H

#include "text/automaton.h"

#define LM_MOST_SETS ((size_t) 64 << 20) /* bytes of sets that are kept at once */
#define LM_STEP_DEAD (-1) /* no text goes on with this byte */
#define LM_STEP_OPEN (-2) /* not known yet */

/* A set of states that read a byte, or of the end. */
typedef struct LmDfaState
{
	int32_t *set; /* [n], sorted; NULL: free */
	int32_t *next; /* [n_classes] states, or LM_STEP_...; in the block of set */
	int32_t n;
	uint32_t hash;
	int32_t chain; /* the next one of its bucket, or of the free ones; -1 */
	int32_t n_users;
	int32_t distance; /* bytes of the shortest way to the end */
	int32_t kept; /* lm_automaton_keep */
	bool ends;
	bool goes_on;
} LmDfaState;

struct LmDfa
{
	LmHost host;
	LmNfaState *nfa; /* [n_nfa] */
	int32_t n_nfa;
	int32_t end; /* the state where texts end */
	int32_t *distances; /* [n_nfa] bytes to the end; LM_NO_NEED: there is no way */
	uint8_t classes[256]; /* bytes that no state tells apart have the same class */
	int n_classes;
	LmDfaState *states;
	size_t n_states, states_capacity;
	int32_t free; /* the first free state, or -1 */
	int32_t *buckets; /* [n_buckets] */
	size_t n_buckets;
	size_t n_used; /* states that are not free */
	int32_t start;
	int32_t bare; /* the same without a space in front */
	size_t memory;
	size_t work; /* states looked at since the host was asked whether to stop */
	/* scratch of finding a set */
	uint32_t *marks; /* [n_nfa] */
	uint32_t mark;
	int32_t *set; /* [n_nfa] */
	int32_t *pending; /* [n_nfa] */
};

/* The state that a byte leads to, or LM_STEP_DEAD; *good false with an error. */
int32_t lm_dfa_find(struct LmDfa *dfa, int32_t state, uint8_t byte, LmError *error, bool *good);

static inline int32_t
lm_dfa_step(struct LmDfa *dfa, int32_t state, uint8_t byte, LmError *error, bool *good)
{
	int32_t next = dfa->states[state].next[dfa->classes[byte]];

	return next != LM_STEP_OPEN ? next : lm_dfa_find(dfa, state, byte, error, good);
}

void lm_dfa_trim(struct LmDfa *dfa);
uint8_t lm_dfa_shortest(const struct LmDfa *dfa, int32_t state);

#endif /* LM_DFA_H */
