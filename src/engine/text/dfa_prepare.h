/*
 * src/engine/text/dfa_prepare.h
 *
 * What is known of a nondeterministic automaton before its first byte: distances and classes.
 */
#ifndef LM_DFA_PREPARE_H
#define LM_DFA_PREPARE_H

#include "text/dfa.h"

/* Sets distances and classes, and makes the scratch. LM_ERR_MEMORY, LM_ERR_STOPPED. */
bool lm_dfa_prepare(struct LmDfa *dfa, LmError *error);

#endif /* LM_DFA_PREPARE_H */
