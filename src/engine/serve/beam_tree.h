/*
 * src/engine/serve/beam_tree.h
 *
 * What texts of a beam search have become: paths in a tree of tokens, so that texts with a common
 * beginning have it once:
 *
 *   root <- "A" <- " man" <- " rides"    a text
 *                         <- " is"       another one
 *
 * A text is the node of its last token. A node lives as long as a text or another node rests on it.
 */
#ifndef LM_BEAM_TREE_H
#define LM_BEAM_TREE_H

#include "engine/error.h"
#include "engine/host.h"

#define LM_BEAM_ROOT (-1) /* the node of a text without tokens */

/* A token of a text; free nodes are chained by `parent`. */
typedef struct LmBeamNode
{
	int parent;
	int32_t id;
	int references; /* nodes and texts that rest on it */
} LmBeamNode;

/* The nodes. Zero it, but for free, which is LM_BEAM_ROOT. */
typedef struct LmBeamTree
{
	LmBeamNode *nodes;
	size_t n;
	size_t capacity;
	int free;
} LmBeamTree;

/*
 * Bytes of a tree of so many texts of so many tokens, while it grows; false on overflow.
 */
bool lm_beam_tree_memory(size_t *bytes, size_t n_texts, size_t n_tokens);
void lm_beam_tree_free(LmBeamTree *tree, const LmHost *host);

/* *node: the text `parent` with a token more, on which one text rests. LM_ERR_MEMORY. */
bool lm_beam_tree_add(LmBeamTree *tree, const LmHost *host, int *node, int parent, int32_t id,
					  LmError *error);
/* One text more rests on a node, and one less: then nodes on which nothing rests are free. */
void lm_beam_tree_keep(LmBeamTree *tree, int node);
void lm_beam_tree_release(LmBeamTree *tree, int node);

/*
 * The tokens of a text, allocated for the caller, who frees them with lm_free; *n: their number.
 * NULL with LM_ERR_MEMORY.
 */
int32_t *lm_beam_tree_tokens(const LmBeamTree *tree, const LmHost *host, int *n, int node,
							 LmError *error);

#endif /* LM_BEAM_TREE_H */
