/*
 * src/engine/serve/constraint.h
 *
 * A generation's way through a constraint. Before each token, on the thread that called the engine,
 * lm_follower_prepare finds the tokens that may follow; then threads draw.
 *
 * Every text can be ended in time: of the tokens that keep a text within the constraint, those may
 * follow after which the tokens that are left suffice. There always is one, because what suffices
 * is known for a way of which each step leaves a way: the shortest rest of the text in bytes, of
 * several the lowest one, in as few tokens as can write it.
 */
#ifndef LM_SERVE_CONSTRAINT_H
#define LM_SERVE_CONSTRAINT_H

#include "engine/constraint.h"
#include "engine/serve.h"
#include "text/automaton.h"

/* The tokens that may follow a place. */
typedef struct LmAllowed
{
	const uint64_t *bits; /* [V] of the vocabulary, rounded up */
	int32_t n; /* how many they are */
} LmAllowed;

/* The place of a generation; it holds no memory, but retains the place. */
typedef struct LmFollower
{
	LmConstraint *constraint; /* NULL: none */
	LmPlace place;
	bool ready; /* what follows is known: */
	bool ends; /* the text may end here */
	bool goes_on; /* or go on */
	int32_t n; /* tokens that may follow */
	uint64_t *bits; /* [lm_follower_words] the generation's */
} LmFollower;

/* Numbers of 64 bits for the tokens of a vocabulary; 0 without a constraint. */
size_t lm_follower_words(const LmConstraint *constraint);

/* bits: of the follower. */
void lm_follower_begin(LmFollower *follower, LmConstraint *constraint, uint64_t *bits);
void lm_follower_end(LmFollower *follower);
/* bits stay the follower's own. */
void lm_follower_copy(LmFollower *to, const LmFollower *from);

/*
 * Finds what may follow where `left` further tokens may stand, the next one among them. At the
 * beginning LM_ERR_ARGUMENT where these are too few. LM_ERR_LIMIT, LM_ERR_MEMORY; LM_ERR_STOPPED:
 * the call may be repeated.
 */
bool lm_follower_prepare(LmFollower *follower, int left, LmError *error);

static inline bool
lm_follower_allows(const LmFollower *follower, int32_t id)
{
	return follower->bits[id >> 6] >> (id & 63) & 1;
}

/* Moves over the bytes of a token that may follow. LM_ERR_MEMORY. */
bool lm_follower_take(LmFollower *follower, LmBytes bytes, LmError *error);
/*
 * *bits: the tokens that begin with some bytes and are longer, and of which what comes after these
 * bytes may follow; left: as in _prepare. They live until the next call. LM_ERR_MEMORY,
 * LM_ERR_STOPPED.
 */
bool lm_follower_longer(const LmFollower *follower, LmBytes beginning, int left,
						const uint64_t **bits, LmError *error);
/* Whether a space in front of the text is not part of it. */
bool lm_constraint_spaced(const LmConstraint *constraint);

/* constraint_need.c: tokens that surely suffice for the shortest rest of a text after a place. */
bool lm_constraint_needed(int32_t *tokens, LmAutomaton *automaton, const LmVocabulary *vocabulary,
						  LmPlace place, LmError *error);
/* Whether `left` tokens suffice; *distance: bytes of the shortest rest. */
bool lm_constraint_fits(bool *fits, int32_t *distance, LmAutomaton *automaton,
						const LmVocabulary *vocabulary, LmPlace place, int left, LmError *error);

/* Tokens first .. end - 1 in the order of a vocabulary, without their first `skip` bytes. */
typedef struct LmTokenSpan
{
	int first;
	int end;
	int skip;
} LmTokenSpan;

/* The tokens that are longer than some bytes and begin with them, without these. */
LmTokenSpan lm_vocabulary_longer(const LmVocabulary *vocabulary, LmBytes beginning);

/*
 * constraint_walk.c: sets the bits [V] of the tokens of a span that may follow a place, and *n.
 * *most: the longest of the shortest rests after each of them, in bytes, also of those that do not
 * fit. *depth: bytes of a token that it has looked at, at most. path: [longest token + 1], scratch.
 */
bool lm_constraint_walk(uint64_t *bits, int32_t *n, int32_t *most, LmAutomaton *automaton,
						const LmVocabulary *vocabulary, LmTokenSpan span, LmPlace place, int left,
						LmPlace *path, int32_t *depth, LmError *error);

/*
 * The same of tokens of more than LM_SHORT_TOKEN bytes alone: bits and *n have those of another
 * place, whose shorter tokens are the same, and *most is at least that of these. All fit.
 */
bool lm_constraint_walk_long(uint64_t *bits, int32_t *n, int32_t *most, LmAutomaton *automaton,
							 const LmVocabulary *vocabulary, LmPlace place, LmError *error);

/*
 * constraint_same.c: whether the tokens that may follow a place are those that may follow a known
 * one, of which a walk has looked at `depth` bytes at most. *most: no less than that of a walk.
 * False is no proof that they differ. LM_ERR_MEMORY, LM_ERR_STOPPED, LM_ERR_LIMIT.
 */
bool lm_constraint_same(bool *same, int32_t *most, LmAutomaton *automaton, LmPlace known,
						LmPlace place, int32_t depth, LmError *error);

#endif /* LM_SERVE_CONSTRAINT_H */
