/*
 * src/serve/batching_between.c
 *
 * A node between a plan and the one below it, which passes that plan's columns on and adds the
 * results of calls behind them: for hash keys here, for aggregates in batching_aggregate.c.
 *
 *   Hash Join: column 2 = inner column 1
 *     Custom Scan (GptBatch): column 1, gpt_classify('m', column 1)
 *       Seq Scan: column 1
 *     Hash
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "serve/batching_parts.h"

/* Calls of one side of a hash join that are columns now. */
typedef struct Side
{
	GptCut cut;
	int varno; /* of this side in conditions of the join */
	int n_columns;
} Side;

static List *passed_on(const List *columns, const List *calls);
static Node *put_columns(Node *node, void *n_columns);
static List *cut_keys(Side *side, List *keys, List *operators, bool keeps_nulls);
static List *guard_of_key(List *guard, Node *key);
static Node *replace_calls(Node *node, Side *side);
static Node *to_outer(Node *node, Side *side);
static bool has_other_side(Node *node, Side *side);
static bool is_allowed(Plan *plan, Plan *below, GptBatchWalk *walk, const GptBatchAbove *above);

Plan *
gpt_batch_between(GptCut *cut, Plan *below, GptBatchWalk *walk, const GptBatchAbove *above)
{
	CustomScan *node = gpt_batch_node(cut, below, walk, above);

	node->scan.plan.targetlist = passed_on(below->targetlist, cut->calls);
	return &node->scan.plan;
}

/* The node's list: the columns of the plan below, then the results. */
static List *
passed_on(const List *columns, const List *calls)
{
	List *list = NIL;
	ListCell *cell;

	foreach (cell, columns)
	{
		TargetEntry *entry = flatCopyTargetEntry(lfirst(cell));

		entry->expr = (Expr *) makeVarFromTargetEntry(OUTER_VAR, entry);
		list = lappend(list, entry);
	}
	foreach (cell, calls)
	{
		Node *call = lfirst(cell);
		Var *result = makeVar(INDEX_VAR, foreach_current_index(cell) + 1, exprType(call), -1,
							  exprCollation(call), 0);

		list = lappend(list, makeTargetEntry((Expr *) result, list_length(list) + 1, NULL, false));
	}
	return list;
}

Node *
gpt_batch_columns(Node *node, int n_columns)
{
	return put_columns(node, &n_columns);
}

static Node *
put_columns(Node *node, void *n_columns)
{
	Var *var = (Var *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && var->varno == INDEX_VAR)
		return (Node *) makeVar(OUTER_VAR, *(int *) n_columns + var->varattno, var->vartype,
								var->vartypmod, var->varcollid, 0);
	return expression_tree_mutator(node, put_columns, n_columns);
}

void
gpt_batch_outer_keys(HashJoin *join, GptBatchWalk *walk, const GptBatchAbove *above)
{
	Plan *plan = &join->join.plan;
	Side side = {.cut.fixed = true,
				 .varno = OUTER_VAR,
				 .n_columns = list_length(plan->lefttree->targetlist)};

	if (!gpt_batch_has_call((Node *) join->hashkeys) ||
		!is_allowed(plan, plan->lefttree, walk, above))
		return;
	join->hashkeys =
		cut_keys(&side, join->hashkeys, join->hashoperators,
				 join->join.jointype == JOIN_LEFT || join->join.jointype == JOIN_FULL ||
					 join->join.jointype == JOIN_ANTI);
	if (side.cut.calls == NIL)
		return;
	join->hashclauses = (List *) replace_calls((Node *) join->hashclauses, &side);
	plan->lefttree = gpt_batch_between(&side.cut, plan->lefttree, walk, above);
}

void
gpt_batch_inner_keys(HashJoin *join, GptBatchWalk *walk, const GptBatchAbove *above)
{
	Hash *hash = castNode(Hash, join->join.plan.righttree);
	Plan *below = hash->plan.lefttree;
	Side side = {
		.cut.fixed = true, .varno = OUTER_VAR, .n_columns = list_length(below->targetlist)};
	ListCell *cell;

	if (!gpt_batch_has_call((Node *) hash->hashkeys) ||
		list_length(hash->plan.targetlist) != side.n_columns ||
		!is_allowed(&hash->plan, below, walk, above))
		return;
	hash->hashkeys =
		cut_keys(&side, hash->hashkeys, join->hashoperators,
				 join->join.jointype == JOIN_RIGHT || join->join.jointype == JOIN_FULL);
	if (side.cut.calls == NIL)
		return;
	/* The table keeps the results, which conditions of the join read. */
	foreach (cell, side.cut.calls)
	{
		Node *call = lfirst(cell);
		AttrNumber number = list_length(hash->plan.targetlist) + 1;
		Var *column = makeVar(OUTER_VAR, number, exprType(call), -1, exprCollation(call), 0);

		hash->plan.targetlist =
			lappend(hash->plan.targetlist, makeTargetEntry((Expr *) column, number, NULL, false));
	}
	side.varno = INNER_VAR;
	join->hashclauses = (List *) replace_calls((Node *) join->hashclauses, &side);
	hash->plan.lefttree = gpt_batch_between(&side.cut, below, walk, above);
}

static bool
is_allowed(Plan *plan, Plan *below, GptBatchWalk *walk, const GptBatchAbove *above)
{
	GptVolatile found = gpt_batch_volatile_node(plan, walk->statement);

	if (above->bound.one || found == GPT_VOLATILE_USER)
		return false;
	return (found == GPT_VOLATILE_NOT && !above->is_volatile) ||
		   gpt_batch_volatile_plan(below, walk->statement) == GPT_VOLATILE_NOT;
}

/* Keys are computed one after the other, until one is NULL, unless such rows count too. */
static List *
cut_keys(Side *side, List *keys, List *operators, bool keeps_nulls)
{
	List *guard = NIL;
	List *values = NIL;
	ListCell *key;
	ListCell *operator;

	forboth(key, keys, operator, operators)
	{
		Node *value = gpt_cut_expression(&side->cut, lfirst(key), guard);

		values = lappend(values, gpt_batch_columns(value, side->n_columns));
		/* It is not known which rows have the keys after this one. */
		side->cut.closed |= !op_strict(lfirst_oid(operator));
		if (!keeps_nulls)
			guard = guard_of_key(guard, value);
	}
	side->cut.closed = true;
	return values;
}

static List *
guard_of_key(List *guard, Node *key)
{
	NullTest *test = makeNode(NullTest);

	test->arg = (Expr *) key;
	test->nulltesttype = IS_NOT_NULL;
	test->location = -1;
	return lappend(list_copy(guard), test);
}

/* Columns in place of this side's calls that are keys. */
static Node *
replace_calls(Node *node, Side *side)
{
	Node *call;
	const Var *result;

	if (node == NULL)
		return NULL;
	if (gpt_batch_kind_of(node) < 0 || has_other_side(node, side))
		return expression_tree_mutator(node, replace_calls, side);
	call = gpt_cut_expression(&side->cut, to_outer(node, side), NIL);
	result = (const Var *) call;
	if (!IsA(call, Var))
		return node;
	return (Node *) makeVar(side->varno, side->n_columns + result->varattno, result->vartype,
							result->vartypmod, result->varcollid, 0);
}

/* As the node below the join sees it. */
static Node *
to_outer(Node *node, Side *side)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);

		var->varno = OUTER_VAR;
		return (Node *) var;
	}
	return expression_tree_mutator(node, to_outer, side);
}

static bool
has_other_side(Node *node, Side *side)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varno != side->varno;
	return expression_tree_walker(node, has_other_side, side);
}
