/*
 * src/engine/text/lattice.c
 *
 * A word in, expected counts or the best way out. The edges of the lattice are found from left to
 * right: those that begin at an offset walk down the tree of tokens.
 */
#include <math.h>

#include "text/lattice.h"
#include "text/utf8.h"

#define POLLED 4096 /* tokens between two looks at whether to stop */
#define UNKNOWN_PENALTY 10.0 /* below the least score of a token, as in unigram.c */
#define NO_EDGE (-1)

static bool enter(LmLattice *lattice, LmBytes bytes, int32_t token, LmError *error);
static bool grow(LmLattice *lattice, LmError *error);
static size_t find_slot(const LmLattice *lattice, uint64_t key);
static bool find_edges(LmLattice *lattice, LmBytes word, int32_t without, LmError *error);
static bool add_edge(LmLattice *lattice, LmEdge edge, LmError *error);
static double add_logarithms(double a, double b);

bool
lm_lattice_build(LmLattice *lattice, LmUnigramToken *tokens, size_t n, LmError *error)
{
	double least = 0;

	lattice->tokens = tokens;
	lattice->n_nodes = 0;
	if (lattice->n_slots > 0)
		memset(lattice->slots, 0, lattice->n_slots * sizeof *lattice->slots);
	if (!lm_array_reserve(&lattice->host, &lattice->token_of, &lattice->nodes_capacity, 1,
						  sizeof *lattice->token_of, error))
		return false;
	lattice->token_of[lattice->n_nodes++] = -1;
	for (size_t i = 0; i < n; i++)
	{
		if (i % POLLED == 0 && !lm_text_go_on(&lattice->host, error))
			return false;
		if (!enter(lattice, tokens[i].bytes, (int32_t) i, error))
			return false;
		least = tokens[i].score < least ? tokens[i].score : least;
	}
	lattice->unknown_score = least - UNKNOWN_PENALTY;
	return true;
}

void
lm_lattice_free(LmLattice *lattice)
{
	lm_free(&lattice->host, lattice->slots);
	lm_array_free(&lattice->host, lattice->token_of);
	lm_array_free(&lattice->host, lattice->edges);
}

size_t
lm_lattice_memory(const LmLattice *lattice)
{
	return lattice->n_slots * sizeof *lattice->slots +
		   lattice->nodes_capacity * sizeof *lattice->token_of +
		   lattice->edges_capacity * sizeof *lattice->edges;
}

/* ------------------------------------------------------------ the tree of tokens */

static bool
enter(LmLattice *lattice, LmBytes bytes, int32_t token, LmError *error)
{
	uint32_t node = 0;

	for (size_t i = 0; i < bytes.size; i++)
	{
		uint64_t key = ((uint64_t) node << 8 | (unsigned char) bytes.data[i]) + 1;
		size_t slot;

		if (2 * (size_t) lattice->n_nodes >= lattice->n_slots && !grow(lattice, error))
			return false;
		slot = find_slot(lattice, key);
		if (lattice->slots[slot].key == 0)
		{
			if (!lm_array_reserve(&lattice->host, &lattice->token_of, &lattice->nodes_capacity,
								  (size_t) lattice->n_nodes + 1, sizeof *lattice->token_of, error))
				return false;
			lattice->token_of[lattice->n_nodes] = -1;
			lattice->slots[slot] = (LmTrieSlot){key, lattice->n_nodes++};
		}
		node = lattice->slots[slot].child;
	}
	lattice->token_of[node] = token;
	return true;
}

static bool
grow(LmLattice *lattice, LmError *error)
{
	LmLattice larger = {.host = lattice->host};

	larger.n_slots = lattice->n_slots ? 2 * lattice->n_slots : 8192;
	larger.slots = lm_array_allocate(&lattice->host, larger.n_slots, sizeof *larger.slots, error);
	if (!larger.slots)
		return false;
	for (size_t slot = 0; slot < lattice->n_slots; slot++)
		if (lattice->slots[slot].key != 0)
			larger.slots[find_slot(&larger, lattice->slots[slot].key)] = lattice->slots[slot];
	lm_free(&lattice->host, lattice->slots);
	lattice->slots = larger.slots;
	lattice->n_slots = larger.n_slots;
	return true;
}

/* The slot of the key, or the empty one where it belongs. */
static size_t
find_slot(const LmLattice *lattice, uint64_t key)
{
	size_t mask = lattice->n_slots - 1;
	size_t slot = lm_hash_pair(lattice->host.hash_key, key) & mask;

	while (lattice->slots[slot].key != 0 && lattice->slots[slot].key != key)
		slot = (slot + 1) & mask;
	return slot;
}

/* ------------------------------------------------------------ one word */

bool
lm_lattice_expect(LmLattice *lattice, LmBytes word, int64_t count, LmError *error)
{
	double *forward = lattice->forward, *backward = lattice->backward;

	if (!find_edges(lattice, word, -1, error))
		return false;
	for (size_t i = 0; i <= word.size; i++)
		forward[i] = backward[i] = -INFINITY;
	forward[0] = backward[word.size] = 0;
	for (size_t i = 0; i < lattice->n_edges; i++)
	{
		const LmEdge *edge = &lattice->edges[i];

		forward[edge->end] = add_logarithms(forward[edge->end], forward[edge->start] + edge->score);
	}
	for (size_t i = lattice->n_edges; i > 0; i--)
	{
		const LmEdge *edge = &lattice->edges[i - 1];
		double rest = edge->score + backward[edge->end];
		double share = exp(forward[edge->start] + rest - forward[word.size]);

		backward[edge->start] = add_logarithms(backward[edge->start], rest);
		if (edge->token >= 0)
			lattice->tokens[edge->token].mass += (uint64_t) (share * (double) count * LM_MASS);
	}
	return true;
}

bool
lm_lattice_best(LmLattice *lattice, int32_t *ids, int *n, LmBytes word, int32_t without,
				LmError *error)
{
	double *score = lattice->forward;
	uint32_t end = (uint32_t) word.size;
	int32_t swapped;

	if (!find_edges(lattice, word, without, error))
		return false;
	for (size_t i = 0; i <= word.size; i++)
	{
		score[i] = -INFINITY;
		lattice->best[i] = NO_EDGE;
	}
	score[0] = 0;
	for (size_t i = 0; i < lattice->n_edges; i++)
	{
		const LmEdge *edge = &lattice->edges[i];

		if (score[edge->start] + edge->score > score[edge->end])
		{
			score[edge->end] = score[edge->start] + edge->score;
			lattice->best[edge->end] = (int32_t) i;
		}
	}
	for (*n = 0; end > 0; end = lattice->edges[lattice->best[end]].start)
		ids[(*n)++] = lattice->edges[lattice->best[end]].token;
	for (int i = 0; i < *n / 2; i++)
	{
		swapped = ids[i];
		ids[i] = ids[*n - 1 - i];
		ids[*n - 1 - i] = swapped;
	}
	return true;
}

/* Finds the edges of the word, whose bytes are whole characters, at most LM_WORD_MOST of them. */
static bool
find_edges(LmLattice *lattice, LmBytes word, int32_t without, LmError *error)
{
	int length;

	lattice->n_edges = 0;
	for (size_t start = 0; start < word.size; start += (size_t) length)
	{
		bool has_character = false;
		uint32_t node = 0;

		lm_utf8_decode(word.data + start, &length);
		for (size_t end = start; end < word.size && lattice->n_slots > 0;)
		{
			uint64_t key = ((uint64_t) node << 8 | (unsigned char) word.data[end++]) + 1;
			const LmTrieSlot *slot = &lattice->slots[find_slot(lattice, key)];
			int32_t token;

			if (slot->key == 0)
				break;
			node = slot->child;
			token = lattice->token_of[node];
			if (token < 0 || token == without)
				continue;
			has_character = has_character || end == start + (size_t) length;
			if (!add_edge(
					lattice,
					(LmEdge){(uint32_t) start, (uint32_t) end, token, lattice->tokens[token].score},
					error))
				return false;
		}
		if (!has_character &&
			!add_edge(lattice,
					  (LmEdge){(uint32_t) start, (uint32_t) (start + (size_t) length), -1,
							   lattice->unknown_score},
					  error))
			return false;
	}
	return true;
}

static bool
add_edge(LmLattice *lattice, LmEdge edge, LmError *error)
{
	if (!lm_array_reserve(&lattice->host, &lattice->edges, &lattice->edges_capacity,
						  lattice->n_edges + 1, sizeof *lattice->edges, error))
		return false;
	lattice->edges[lattice->n_edges++] = edge;
	return true;
}

/* log(exp(a) + exp(b)) */
static double
add_logarithms(double a, double b)
{
	double high = a > b ? a : b, low = a > b ? b : a;

	if (low == -INFINITY)
		return high;
	return high + log1p(exp(low - high));
}
