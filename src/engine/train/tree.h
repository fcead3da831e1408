/*
 * src/engine/train/tree.h
 *
 * Nodes of the tree of a step's leaves, for what adds up along it.
 */
#ifndef LM_TREE_H
#define LM_TREE_H

#include "engine/gradient_tree.h"

/* Whether a range of leaves is a node; whether two nodes are the sides of one. */
bool lm_tree_is_node(LmTreeNode node, int n_leaves);
bool lm_tree_siblings(LmTreeNode left, LmTreeNode right, int n_leaves);

/*
 * Puts the next node on a stack [LM_TREE_NODES] of `*depth` nodes, where it joins those whose right
 * side it completes: as many from the top as are returned.
 */
int lm_tree_push(LmTreeNode *stack, int *depth, LmTreeNode node, int n_leaves);

#endif /* LM_TREE_H */
