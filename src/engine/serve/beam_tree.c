/*
 * src/engine/serve/beam_tree.c
 *
 * Tokens that texts have in common are kept once, and freed with the last text.
 */
#include "serve/beam_tree.h"
#include "text/array.h"

bool
lm_beam_tree_memory(size_t *bytes, size_t n_texts, size_t n_tokens)
{
	/* A growing array has up to twice its length, and for a moment its last half beside it. */
	return lm_size_multiply(bytes, n_tokens, n_texts * 3 * sizeof(LmBeamNode));
}

void
lm_beam_tree_free(LmBeamTree *tree, const LmHost *host)
{
	lm_array_free(host, tree->nodes);
}

bool
lm_beam_tree_add(LmBeamTree *tree, const LmHost *host, int *node, int parent, int32_t id,
				 LmError *error)
{
	if (tree->free != LM_BEAM_ROOT)
	{
		*node = tree->free;
		tree->free = tree->nodes[*node].parent;
	}
	else
	{
		if (!lm_array_reserve(host, &tree->nodes, &tree->capacity, tree->n + 1, sizeof(LmBeamNode),
							  error))
			return false;
		*node = (int) tree->n++;
	}
	tree->nodes[*node] = (LmBeamNode){parent, id, 1};
	lm_beam_tree_keep(tree, parent);
	return true;
}

void
lm_beam_tree_keep(LmBeamTree *tree, int node)
{
	if (node != LM_BEAM_ROOT)
		tree->nodes[node].references++;
}

void
lm_beam_tree_release(LmBeamTree *tree, int node)
{
	while (node != LM_BEAM_ROOT && --tree->nodes[node].references == 0)
	{
		int parent = tree->nodes[node].parent;

		tree->nodes[node].parent = tree->free;
		tree->free = node;
		node = parent;
	}
}

int32_t *
lm_beam_tree_tokens(const LmBeamTree *tree, const LmHost *host, int *n, int node, LmError *error)
{
	int32_t *tokens;
	int at = 0;

	for (int i = node; i != LM_BEAM_ROOT; i = tree->nodes[i].parent)
		at++;
	*n = at;
	tokens = lm_array_allocate(host, (size_t) at + 1, sizeof *tokens, error);
	for (int i = node; tokens && i != LM_BEAM_ROOT; i = tree->nodes[i].parent)
		tokens[--at] = tree->nodes[i].id;
	return tokens;
}
