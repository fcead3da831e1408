/*
 * include/engine/tree_exchange.h
 *
 * How members of a step along a tree (gradient_tree.h) meet over a mesh (collective.h): LmTreeHooks
 * that send gradients.
 *
 * A range of parameters that is final is cut into chunks, and a chunk into as many slices as there
 * are members. Slice k belongs to member k:
 *
 *   1  every member sends, for each of its maximal nodes, slice k to member k
 *   2  member k adds up its slice of all members' nodes, in the order of the tree
 *   3  member k sends the sum to all others, so that everybody has all slices
 *
 * The sums of a chunk travel with the nodes of the next one, so that there is one wait a chunk.
 *
 * This runs on the mesh's thread while the step's backward pass goes on with other ranges; only
 * what is left at its end is waited for. A member sends (its nodes + 1) (n - 1) / n of the
 * parameters a step, as float32 or bfloat16. With bfloat16, nodes of other members and all sums are
 * rounded, so that members still agree bit by bit, but their number matters. Numbers have the byte
 * order of the machine.
 *
 * The owner of the mesh connects it first, and closes it after lm_tree_exchange_free. An exchange
 * is for one trainer, one mesh, and so one epoch of membership.
 */
#ifndef LM_TREE_EXCHANGE_H
#define LM_TREE_EXCHANGE_H

#include "engine/collective.h"
#include "engine/gradient_tree.h"

typedef struct LmTreeExchange LmTreeExchange;

/* Who meets, and how. */
typedef struct LmTreeMeeting
{
	const LmCollective *collective;
	LmMesh *mesh; /* connected, or connecting */
	int member;
	int n_members; /* 2 or more, and not more than leaves */
	int n_leaves;
	bool bfloat16; /* on the wire; else float32 */
} LmTreeMeeting;

/*
 * Bytes that an exchange takes: the one formula, also used by lm_tree_exchange_create. Some 4 MB
 * for each n nodes of n members, and 8 MB for bfloat16. LM_ERR_ARGUMENT for a meeting that makes no
 * sense, LM_ERR_LIMIT. The mesh is not looked at.
 */
bool lm_tree_exchange_memory(size_t *bytes, const LmTreeMeeting *meeting, const LmConfig *config,
							 LmError *error);

/* LM_ERR_MEMORY, LM_ERR_ARGUMENT. The engine and the trainer must outlive the exchange. */
LmTreeExchange *lm_tree_exchange_create(LmTrainer *trainer, const LmTreeMeeting *meeting,
										LmError *error);

/*
 * Has nothing of the trainer's memory touched any more, and frees; aborts the mesh where it is
 * still busy. NULL is fine. A step that fails must be followed by this before the next.
 */
void lm_tree_exchange_free(LmTreeExchange *exchange);

/*
 * For LmTreeStep. While it waits the step asks the host whether to stop, as ever (LM_ERR_STOPPED).
 * A mesh that fails is LM_ERR_LIBRARY with its message; the mesh's state says whose fault it was.
 */
const LmTreeHooks *lm_tree_exchange_hooks(LmTreeExchange *exchange);

/* Nanoseconds that steps have waited for other members so far. */
int64_t lm_tree_exchange_waited(const LmTreeExchange *exchange);

#endif /* LM_TREE_EXCHANGE_H */
