/*
 * include/engine/gradient_tree.h
 *
 * A step of several members whose sum is the same bits however many members there are.
 *
 * A step has M micro-batches, the leaves of a binary tree that depends on M alone: a node of c
 * leaves has the largest power of two below c of them on its left side. The sum of a node is left +
 * right, element by element. Member k of n computes leaves M k / n .. M (k + 1) / n - 1, and adds
 * them up to its maximal nodes: those of its leaves alone whose parents have others'. Whoever adds
 * up the nodes of all members, in the order of the tree, has the same sum.
 *
 *   M = 6, 2 members                  (0..5)
 *                              (0..3)         (4..5)
 *                          (0..1) (2..3)
 *                          0   1  2   3       4   5
 *                          member 0: (0..1), 2       member 1: 3, (4..5)
 *
 * A range first, count of leaves is a node where first is a multiple of the power of two that is
 * not below count, and count is a power of two or the range ends at M (as in RFC 6962,
 * section 2.1).
 */
#ifndef LM_GRADIENT_TREE_H
#define LM_GRADIENT_TREE_H

#include "engine/trainer.h"

#define LM_TREE_LEAVES 4096 /* at most */
#define LM_TREE_NODES 24 /* at least the maximal nodes of any range of leaves */

/* Leaves first .. first + count - 1. */
typedef struct LmTreeNode
{
	int first;
	int count;
} LmTreeNode;

/* The leaves of member k of n, which has at least one where there are n leaves or more. */
LmTreeNode lm_tree_share(int n_leaves, int member, int n_members);

/* The maximal nodes of a range of leaves, in order; returns their number. */
int lm_tree_nodes(LmTreeNode nodes[LM_TREE_NODES], int n_leaves, LmTreeNode range);

/*
 * Blocks of gradients that a member needs beside the trainer's own: the most for 1 to 64 members,
 * so that a training goes on when members leave. log2 M where M is a power of two.
 */
int lm_tree_buffers(int n_leaves);

/* The sum of numbers [n_leaves] at a distance of stride, in the order of the tree. */
double lm_tree_sum(const double *values, int stride, int n_leaves);

/*
 * Adds up arrays [count] of nodes that are all leaves in their order, the maximal nodes of member
 * 0, then those of member 1, and so on. The sum takes the place of values[0]; the other arrays are
 * overwritten. LM_ERR_ARGUMENT for nodes that are no tree. On the calling thread, which may be any.
 */
bool lm_tree_fold(float *const *values, const LmTreeNode *nodes, int n_nodes, int n_leaves,
				  size_t count, LmError *error);

/*
 * The wire's bfloat16, rounded to nearest even; a NaN stays one. They run on the calling thread,
 * which may be any. After an all-gather in bfloat16 every member must have the rounded sum, its
 * owner too.
 */
void lm_tree_pack(uint16_t *wire, const float *x, size_t count);
void lm_tree_unpack(float *x, const uint16_t *wire, size_t count);

/*
 * For each leaf: the sums of weights times loss and figures, the member's share of the training's
 * time (LmTrainOptions.share), and the leaf's tokens.
 */
#define LM_TREE_VALUES (LM_MAX_FIGURES + 3)

/* A member's part of a step; all memory is the trainer's. */
typedef struct LmTreeGradient
{
	int n_leaves;
	LmTreeNode own; /* the member's leaves */
	int n_nodes; /* its maximal nodes */
	LmTreeNode nodes[LM_TREE_NODES];
	float *sums[LM_TREE_NODES]; /* [count] of each; that of the last is the gradient block */
	size_t count; /* parameters */
	double *values; /* [n_leaves, LM_TREE_VALUES], of which the rows of own leaves are filled */
} LmTreeGradient;

/*
 * How members meet. They are called on the thread that computes the step: under lm_engine_apart
 * that is one of the engine's, on which no function of the server may be called. The step fails
 * with the error of a function that returns false; nothing has changed then.
 */
typedef struct LmTreeHooks
{
	void *context;
	/*
	 * Before the first leaf, where batches are not dealt: values [n_leaves, width] have the rows of
	 * own leaves; fills in those of the other members.
	 */
	bool (*gather)(void *context, double *values, int width, LmTreeNode own, int n_leaves,
				   LmError *error);
	/*
	 * During the backward pass of the last leaf: elements first .. first + count - 1 of all sums
	 * are final and can travel. All members of a training make the same calls in the same order,
	 * whose ranges together are all parameters. It must return soon. Not called once the engine is
	 * stopped. NULL: none.
	 */
	void (*ready)(void *context, const LmTreeGradient *own, size_t first, size_t count);
	/*
	 * After it: puts the sum of all members' nodes into the gradient block, the last of own->sums,
	 * and the rows of the other members into own->values. May overwrite the other sums.
	 */
	bool (*reduce)(void *context, const LmTreeGradient *own, LmError *error);
} LmTreeHooks;

/* The leaves of a step. */
typedef struct LmTreeStep
{
	int n_leaves; /* up to options.tree_leaves of the trainer */
	LmTreeNode own;
	/* dealt: those of all leaves, [n_leaves], of which own ones are computed; else [own.count] */
	const LmBatch *batches;
	bool dealt;
	/*
	 * Not dealt: a factor on the weights of the own leaves, so that a member with many rows counts
	 * more than one with few; only its ratio to those of the others matters. 0 stands for 1.
	 */
	double weight;
	const LmTreeHooks *hooks; /* NULL where all leaves are the member's own */
} LmTreeStep;

/*
 * lm_trainer_step with a tree. Where the options have a share of time, all members take that of the
 * member with leaf 0, and so have the same learning rate. Parameters and moments after it are the
 * same bits for every number of members and threads, if dropout's numbers of examples are those of
 * the whole step. Errors of lm_trainer_step and of the hooks; LM_ERR_ARGUMENT where leaves do not
 * fit the trainer.
 */
bool lm_trainer_step_tree(LmStepResult *result, LmTrainer *trainer, int64_t step,
						  const LmTreeStep *tree, LmError *error);

#endif /* LM_GRADIENT_TREE_H */
