/*
 * src/engine/text/automaton.h
 *
 * The inside of automata over bytes. Two kinds have one face:
 *
 *   a nondeterministic automaton whose sets of states are found when they are needed
 *   (Thompson 1968; Cox 2010, https://swtch.com/~rsc/regexp/regexp3.html), and
 *
 *   sorted texts, where the place after some bytes is the run of texts that begin with them.
 *
 * An automaton is used by one thread at a time: following it may find new states.
 */
#ifndef LM_AUTOMATON_H
#define LM_AUTOMATON_H

#include "engine/constraint.h"

#define LM_NO_NEED INT32_MAX /* no text ends there */

/* A state: bytes low .. high lead to out; or no byte leads to out and, unless -1, to other. */
typedef struct LmNfaState
{
	bool is_byte;
	uint8_t low;
	uint8_t high;
	int32_t out; /* -1: not set; of the end */
	int32_t other;
} LmNfaState;

/*
 * A place in a text: a state of the first kind; of the other one, texts state .. end - 1, which
 * share depth bytes. A depth of -1: a space may stand in front of the text.
 */
typedef struct LmPlace
{
	int32_t state;
	int32_t end;
	int32_t depth;
} LmPlace;

struct LmDfa;
struct LmChoices;

struct LmAutomaton
{
	LmHost host;
	struct LmDfa *dfa; /* one of them */
	struct LmChoices *choices;
	bool spaced; /* a space may stand in front of a text, which is not part of it */
};

/*
 * _start: the place before a text; _step: the place after a byte, *dead where none is; places live
 * until the next _trim unless they are retained. LM_ERR_MEMORY, LM_ERR_STOPPED.
 */
LmPlace lm_automaton_start(const LmAutomaton *automaton);
bool lm_automaton_step(LmAutomaton *automaton, LmPlace *place, uint8_t byte, bool *dead,
					   LmError *error);
bool lm_automaton_ends(const LmAutomaton *automaton, LmPlace place); /* a text may end here */
bool lm_automaton_goes_on(const LmAutomaton *automaton, LmPlace place); /* or go on */
/* Bytes of the shortest way to the end of a text. */
int32_t lm_automaton_distance(const LmAutomaton *automaton, LmPlace place);
/* The first byte of that way; of several ways the one whose bytes are the lowest. */
uint8_t lm_automaton_shortest(const LmAutomaton *automaton, LmPlace place);
/* The number kept for a place (tokens to the end), at first -1; of choices it is not kept. */
int32_t lm_automaton_kept(const LmAutomaton *automaton, LmPlace place);
void lm_automaton_keep(LmAutomaton *automaton, LmPlace place, int32_t number);
void lm_automaton_retain(LmAutomaton *automaton, LmPlace place);
void lm_automaton_release(LmAutomaton *automaton, LmPlace place);
size_t lm_automaton_memory(const LmAutomaton *automaton);
/* Forgets the places that are not retained. */
void lm_automaton_trim(LmAutomaton *automaton);

/*
 * dfa.c: the first kind, over states [n] that it takes over, also where it fails: texts lead from
 * the state `in` to the state `out`. The last state reads a space and leads to `in`: it counts
 * where no text begins with a space; then *spaced.
 */
struct LmDfa *lm_dfa_create(const LmHost *host, LmNfaState *states, int32_t n, int32_t in,
							int32_t out, bool *spaced, LmError *error);
void lm_dfa_free(struct LmDfa *dfa);

/* choices.c */
void lm_choices_free(const LmHost *host, struct LmChoices *choices);
bool lm_choices_step(const struct LmChoices *choices, LmPlace *place, uint8_t byte);
LmPlace lm_choices_start(const struct LmChoices *choices);
bool lm_choices_end(const struct LmChoices *choices, LmPlace place);
bool lm_choices_go_on(const struct LmChoices *choices, LmPlace place);
LmBytes lm_choices_shortest(const struct LmChoices *choices, LmPlace place);
size_t lm_choices_memory(const struct LmChoices *choices);

#endif /* LM_AUTOMATON_H */
