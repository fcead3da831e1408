/*
 * src/engine/text/automaton.c
 *
 * The face of both kinds of automata: the place after some bytes, and the ways from there.
 */
#include "text/automaton.h"
#include "text/dfa.h"

void
lm_automaton_free(LmAutomaton *automaton)
{
	LmHost host;

	if (!automaton)
		return;
	host = automaton->host;
	lm_dfa_free(automaton->dfa);
	lm_choices_free(&host, automaton->choices);
	lm_free(&host, automaton);
}

LmPlace
lm_automaton_start(const LmAutomaton *automaton)
{
	if (automaton->choices)
		return lm_choices_start(automaton->choices);
	return (LmPlace){automaton->dfa->start, 0, 0};
}

bool
lm_automaton_step(LmAutomaton *automaton, LmPlace *place, uint8_t byte, bool *dead, LmError *error)
{
	bool good = true;
	int32_t next;

	if (automaton->choices)
	{
		*dead = !lm_choices_step(automaton->choices, place, byte);
		return true;
	}
	next = lm_dfa_step(automaton->dfa, place->state, byte, error, &good);
	*dead = next < 0;
	if (next >= 0)
		place->state = next;
	return good;
}

bool
lm_automaton_ends(const LmAutomaton *automaton, LmPlace place)
{
	if (automaton->choices)
		return lm_choices_end(automaton->choices, place);
	return automaton->dfa->states[place.state].ends;
}

bool
lm_automaton_goes_on(const LmAutomaton *automaton, LmPlace place)
{
	if (automaton->choices)
		return lm_choices_go_on(automaton->choices, place);
	return automaton->dfa->states[place.state].goes_on;
}

int32_t
lm_automaton_distance(const LmAutomaton *automaton, LmPlace place)
{
	if (automaton->choices)
		return (int32_t) lm_choices_shortest(automaton->choices, place).size;
	return automaton->dfa->states[place.state].distance;
}

uint8_t
lm_automaton_shortest(const LmAutomaton *automaton, LmPlace place)
{
	if (automaton->choices)
		return (uint8_t) lm_choices_shortest(automaton->choices, place).data[0];
	return lm_dfa_shortest(automaton->dfa, place.state);
}

int32_t
lm_automaton_kept(const LmAutomaton *automaton, LmPlace place)
{
	return automaton->choices ? -1 : automaton->dfa->states[place.state].kept;
}

void
lm_automaton_keep(LmAutomaton *automaton, LmPlace place, int32_t number)
{
	if (automaton->dfa)
		automaton->dfa->states[place.state].kept = number;
}

void
lm_automaton_retain(LmAutomaton *automaton, LmPlace place)
{
	if (automaton->dfa)
		automaton->dfa->states[place.state].n_users++;
}

void
lm_automaton_release(LmAutomaton *automaton, LmPlace place)
{
	if (automaton->dfa)
		automaton->dfa->states[place.state].n_users--;
}

size_t
lm_automaton_memory(const LmAutomaton *automaton)
{
	if (automaton->choices)
		return lm_choices_memory(automaton->choices);
	return automaton->dfa->memory +
		   (size_t) automaton->dfa->n_nfa * (sizeof(LmNfaState) + 5 * sizeof(int32_t)) +
		   automaton->dfa->n_buckets * sizeof(int32_t);
}

void
lm_automaton_trim(LmAutomaton *automaton)
{
	if (automaton->dfa)
		lm_dfa_trim(automaton->dfa);
}

bool
lm_automaton_accepts(LmAutomaton *automaton, LmBytes text, LmError *error)
{
	LmPlace place = lm_automaton_start(automaton);
	bool dead = false;

	*error = (LmError){.code = LM_OK};
	for (size_t i = 0; i < text.size && !dead; i++)
		if (!lm_automaton_step(automaton, &place, (uint8_t) text.data[i], &dead, error))
			return false;
	return !dead && lm_automaton_ends(automaton, place);
}
