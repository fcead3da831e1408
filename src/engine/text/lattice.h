/*
 * src/engine/text/lattice.h
 *
 * All ways to cut a word into the tokens of a unigram model, and how probable each token is in
 * them.
 */
#ifndef LM_TEXT_LATTICE_H
#define LM_TEXT_LATTICE_H

#include "text/array.h"
#include "text/words.h"

/* A token of the model. */
typedef struct LmUnigramToken
{
	LmBytes bytes;
	double score; /* logarithm of its probability */
	/* occurrences that are expected, in units of 1 / LM_MASS: integers add up in any order */
	uint64_t mass;
	bool needed; /* is never given up */
} LmUnigramToken;

#define LM_MASS 65536.0

/* A node of the tree of tokens: slot of the hash table of (parent, byte). */
typedef struct LmTrieSlot
{
	uint64_t key; /* (parent << 8 | byte) + 1; 0: empty */
	uint32_t child;
} LmTrieSlot;

/* A token between two offsets of the word. */
typedef struct LmEdge
{
	uint32_t start, end;
	int32_t token; /* -1: a character without one */
	double score;
} LmEdge;

/* The model's tokens as a tree, and scratch for one word. Zero it and set host before _build. */
typedef struct LmLattice
{
	LmHost host;
	LmUnigramToken *tokens; /* the caller's */
	LmTrieSlot *slots;
	size_t n_slots;
	int32_t *token_of; /* [nodes] the token that ends there, or -1 */
	size_t nodes_capacity;
	uint32_t n_nodes;
	double unknown_score; /* of a character without a token */
	LmEdge *edges; /* of the word, by their starts */
	size_t n_edges, edges_capacity;
	double forward[LM_WORD_MOST + 1], backward[LM_WORD_MOST + 1];
	int32_t best[LM_WORD_MOST + 1]; /* the edge by which the best way comes */
} LmLattice;

/* Enters n tokens; their bytes and scores stay the caller's. LM_ERR_MEMORY, LM_ERR_STOPPED. */
bool lm_lattice_build(LmLattice *lattice, LmUnigramToken *tokens, size_t n, LmError *error);
void lm_lattice_free(LmLattice *lattice);
size_t lm_lattice_memory(const LmLattice *lattice);

/*
 * Adds to each token's mass how often it is expected in `count` occurrences of the word: forward
 * and backward sums over the lattice (Kudo 2018, equation 2; Baum 1972). LM_ERR_MEMORY.
 */
bool lm_lattice_expect(LmLattice *lattice, LmBytes word, int64_t count, LmError *error);

/*
 * The tokens of the most probable way that does not use the token `without`: ids, at most
 * LM_WORD_MOST, *n of them; -1 for a character without a token. LM_ERR_MEMORY.
 */
bool lm_lattice_best(LmLattice *lattice, int32_t *ids, int *n, LmBytes word, int32_t without,
					 LmError *error);

#endif /* LM_TEXT_LATTICE_H */
