/*
 * src/engine/train/gradient_tree.c
 *
 * The tree of a step's leaves: nodes, sums in its order, and the wire's bfloat16.
 */
#include <string.h>

#include "engine/gradient_tree.h"
#include "kernels/simd.h"
#include "train/tree.h"

#define MOST_MEMBERS 64

static int buffers_of(int n_leaves, LmTreeNode range);
static int power_from(int count);

LmTreeNode
lm_tree_share(int n_leaves, int member, int n_members)
{
	int first = (int) ((int64_t) n_leaves * member / n_members);
	int end = (int) ((int64_t) n_leaves * (member + 1) / n_members);

	return (LmTreeNode){first, end - first};
}

/* The smallest power of two that is not below count. */
static int
power_from(int count)
{
	int power = 1;

	while (power < count)
		power *= 2;
	return power;
}

bool
lm_tree_is_node(LmTreeNode node, int n_leaves)
{
	int power;

	if (node.first < 0 || node.count < 1 || node.count > n_leaves - node.first)
		return false;
	power = power_from(node.count);
	return node.first % power == 0 && (node.count == power || node.first + node.count == n_leaves);
}

bool
lm_tree_siblings(LmTreeNode left, LmTreeNode right, int n_leaves)
{
	LmTreeNode parent = {left.first, left.count + right.count};

	return left.first + left.count == right.first && right.count <= left.count &&
		   power_from(left.count) == left.count && lm_tree_is_node(parent, n_leaves);
}

int
lm_tree_nodes(LmTreeNode nodes[LM_TREE_NODES], int n_leaves, LmTreeNode range)
{
	int end = range.first + range.count, n = 0;

	for (int first = range.first; first < end && n < LM_TREE_NODES;)
	{
		LmTreeNode node = {first, end - first};

		while (!lm_tree_is_node(node, n_leaves))
			node.count = power_from(node.count) / 2;
		nodes[n++] = node;
		first += node.count;
	}
	return n;
}

int
lm_tree_push(LmTreeNode *stack, int *depth, LmTreeNode node, int n_leaves)
{
	int n = 0;

	while (*depth > 0 && lm_tree_siblings(stack[*depth - 1], node, n_leaves))
	{
		node = (LmTreeNode){stack[*depth - 1].first, stack[*depth - 1].count + node.count};
		*depth -= 1;
		n++;
	}
	stack[(*depth)++] = node;
	return n;
}

int
lm_tree_buffers(int n_leaves)
{
	int most = 0;

	for (int n = 1; n <= MOST_MEMBERS && n <= n_leaves; n++)
		for (int k = 0; k < n; k++)
		{
			int buffers = buffers_of(n_leaves, lm_tree_share(n_leaves, k, n));

			most = buffers > most ? buffers : most;
		}
	return most;
}

/* The last leaf stays in the gradient block. */
static int
buffers_of(int n_leaves, LmTreeNode range)
{
	LmTreeNode stack[LM_TREE_NODES];
	int depth = 0, most = 0;

	for (int i = 0; i < range.count - 1; i++)
	{
		lm_tree_push(stack, &depth, (LmTreeNode){range.first + i, 1}, n_leaves);
		most = depth > most ? depth : most;
	}
	return most;
}

double
lm_tree_sum(const double *values, int stride, int n_leaves)
{
	LmTreeNode stack[LM_TREE_NODES];
	double sums[LM_TREE_NODES] = {0};
	int depth = 0;

	for (int i = 0; i < n_leaves; i++)
	{
		double sum = values[(size_t) i * (size_t) stride];
		int before = depth, n = lm_tree_push(stack, &depth, (LmTreeNode){i, 1}, n_leaves);

		for (int j = 1; j <= n; j++)
			sum = sums[before - j] + sum;
		sums[depth - 1] = sum;
	}
	return sums[0];
}

bool
lm_tree_fold(float *const *values, const LmTreeNode *nodes, int n_nodes, int n_leaves, size_t count,
			 LmError *error)
{
	LmTreeNode stack[LM_TREE_NODES];
	float *sums[LM_TREE_NODES];
	int depth = 0, next = 0;

	for (int i = 0; i < n_nodes; i++)
	{
		int before = depth, n;

		if (!lm_tree_is_node(nodes[i], n_leaves) || nodes[i].first != next ||
			depth == LM_TREE_NODES)
			return lm_fail(error, LM_ERR_ARGUMENT, i, "node %d is none of a tree of %d leaves", i,
						   n_leaves);
		next += nodes[i].count;
		n = lm_tree_push(stack, &depth, nodes[i], n_leaves);
		if (n == 0)
		{
			sums[depth - 1] = values[i];
			continue;
		}
		/* left = left + right, from the node to its last ancestor that is whole */
		lm_simd()->add(sums[before - 1], values[i], count);
		for (int j = 2; j <= n; j++)
			lm_simd()->add(sums[before - j], sums[before - j + 1], count);
	}
	return (depth == 1 && next == n_leaves) ||
		   lm_fail(error, LM_ERR_ARGUMENT, -1, "%d nodes are not a tree of %d leaves", n_nodes,
				   n_leaves);
}

/* A constant number of turns, so that the compiler makes vectors of a loop. */
#define STRIP 64

static inline uint16_t
round_one(float x)
{
	uint32_t bits, rounded;

	memcpy(&bits, &x, sizeof bits);
	rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
	return (uint16_t) ((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
}

void
lm_tree_pack(uint16_t *wire, const float *x, size_t count)
{
	size_t i = 0;

	for (; count - i >= STRIP; i += STRIP)
		for (int j = 0; j < STRIP; j++)
			wire[i + (size_t) j] = round_one(x[i + (size_t) j]);
	for (; i < count; i++)
		wire[i] = round_one(x[i]);
}

static inline float
widen_one(uint16_t wire)
{
	uint32_t bits = (uint32_t) wire << 16;
	float x;

	memcpy(&x, &bits, sizeof x);
	return x;
}

void
lm_tree_unpack(float *x, const uint16_t *wire, size_t count)
{
	size_t i = 0;

	for (; count - i >= STRIP; i += STRIP)
		for (int j = 0; j < STRIP; j++)
			x[i + (size_t) j] = widen_one(wire[i + (size_t) j]);
	for (; i < count; i++)
		x[i] = widen_one(wire[i]);
}
