/*
 * src/engine/text/builder.h
 *
 * The inside of a builder: a stack of fragments of one nondeterministic automaton. The states of a
 * fragment are neighbours, so that it is copied as a block; those of the next fragment follow.
 *
 *   states   | first fragment | second fragment | ... | top |
 */
#ifndef LM_BUILDER_H
#define LM_BUILDER_H

#include "text/array.h"
#include "text/automaton.h"
#include "text/vocabulary.h"

/* A language: what leads from `in` to `out`, a state that leads nowhere yet. */
typedef struct LmFragment
{
	int32_t first; /* of its states */
	int32_t in;
	int32_t out;
} LmFragment;

struct LmBuilder
{
	LmHost host;
	const LmVocabulary *vocabulary; /* NULL: it writes every character */
	bool quoted;
	LmNfaState *states;
	size_t n_states, states_capacity;
	LmFragment *stack;
	size_t n_stack, stack_capacity;
	bool failed;
	LmError error;
};

/* Notes the first error, and returns false; or whether there is none yet. */
bool lm_builder_fail(LmBuilder *builder, LmErrorCode code, int64_t position, const char *format,
					 ...) __attribute__((format(printf, 4, 5)));
/* A new state; -1 on failure. */
int32_t lm_builder_state(LmBuilder *builder, LmNfaState state);
/* A state that leads to two others, either of which may be -1. */
int32_t lm_builder_fork(LmBuilder *builder, int32_t out, int32_t other);
void lm_builder_push(LmBuilder *builder, LmFragment fragment);
/* The fragment at a depth below the top, which is there unless the builder has failed. */
LmFragment *lm_builder_at(LmBuilder *builder, size_t depth);
/* Asks the host from time to time, for loops whose length the input decides. */
bool lm_builder_go_on(LmBuilder *builder, size_t i);

/* One character of ASCII, never quoted. */
void lm_build_bytes(LmBuilder *builder, uint8_t low, uint8_t high);
void lm_build_ascii(LmBuilder *builder, const char *text); /* a text, never quoted */

#endif /* LM_BUILDER_H */
