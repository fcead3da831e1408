/*
 * src/serve/pushdown_aggregate.c
 *
 * Calls in arguments of aggregates go down to the scans of foreign tables, whose servers then
 * compute them (src/serve/pushdown.h). The planner lets an aggregation compute its arguments from
 * columns of the plan below, so the texts would travel:
 *
 *   Aggregate                          Aggregate
 *     Output: avg(gpt_score(…, body))    Output: avg((gpt_score(…)))
 *     Append                             Append
 *       Foreign Scan on review_east        Foreign Scan
 *         Output: body                       Output: NULL, (gpt_score(…))
 *       Seq Scan on review_here            Seq Scan on review_here
 *         Output: body                       Output: body, gpt_score(…)
 *
 * Each row is an argument once in any case, so nothing is computed that was not before. An
 * aggregate with a filter stays as it is.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "serve/batching_parts.h"
#include "serve/pushdown.h"

/* The walk over the aggregates of a node. */
typedef struct Moving
{
	Plan *below;
	const PlannedStmt *statement;
	List *calls; /* that have moved */
	List *columns; /* Var: what stands in their place */
	bool is_argument; /* the walk is inside an argument of an aggregate */
} Moving;

static Node *move(Node *node, void *context);
static bool is_movable(const Node *node, const Moving *moving);
static bool takes(Plan *plan, const PlannedStmt *statement, Node *call, bool *is_foreign);
static bool can_repeat(Node *value);
static bool passes_on(const Plan *plan);
static Node *in_terms_of(Node *node, void *list);
static void add_column(Plan *plan, Node *call);
static bool refers_to(const Agg *plan, int number);
static bool sorts_by(Plan *plan, int number);
static void blank_column(Plan *plan, int number);

void
gpt_pushdown_aggregate(Agg *plan, const PlannedStmt *statement)
{
	Plan *below = plan->plan.lefttree;
	int n_columns = list_length(below->targetlist);
	Moving moving = {.below = below, .statement = statement};

	/* A chain of grouping sets shares the rows. */
	if (DO_AGGSPLIT_COMBINE(plan->aggsplit) || plan->chain != NIL)
		return;
	plan->plan.targetlist = (List *) move((Node *) plan->plan.targetlist, &moving);
	plan->plan.qual = (List *) move((Node *) plan->plan.qual, &moving);
	for (int i = 1; moving.calls != NIL && i <= n_columns; i++)
	{
		if (!refers_to(plan, i) && !sorts_by(below, i))
			blank_column(below, i);
	}
}

/* ---- Calls -------------------------------------------------------------- */

/* The expression with columns in place of calls in arguments of its aggregates. */
static Node *
move(Node *node, void *context)
{
	Moving *moving = context;
	ListCell *call, *column;
	Var *var;

	if (node == NULL)
		return NULL;
	check_stack_depth();
	if (IsA(node, Aggref) && ((Aggref *) node)->aggfilter == NULL && !moving->is_argument)
	{
		moving->is_argument = true;
		node = expression_tree_mutator(node, move, moving);
		moving->is_argument = false;
		return node;
	}
	/* Plain execution may not reach a call in one of these. */
	if (IsA(node, Aggref) || IsA(node, CaseExpr) || IsA(node, CoalesceExpr) || IsA(node, BoolExpr))
		return node;
	if (!moving->is_argument || !is_movable(node, moving))
		return expression_tree_mutator(node, move, moving);
	forboth(call, moving->calls, column, moving->columns)
	{
		if (equal(lfirst(call), node))
			return copyObject(lfirst(column));
	}
	add_column(moving->below, node);
	var = makeVarFromTargetEntry(OUTER_VAR, llast_node(TargetEntry, moving->below->targetlist));
	moving->calls = lappend(moving->calls, node);
	moving->columns = lappend(moving->columns, var);
	return (Node *) copyObject(var);
}

/* A call of a fixed version that all scans below can compute, one of them on another server. */
static bool
is_movable(const Node *node, const Moving *moving)
{
	bool is_foreign = false;

	return IsA(node, FuncExpr) && gpt_batch_kind_of(node) >= 0 &&
		   func_volatile(((const FuncExpr *) node)->funcid) == PROVOLATILE_IMMUTABLE &&
		   takes(moving->below, moving->statement, unconstify(Node *, node), &is_foreign) &&
		   is_foreign;
}

/* Whether a column may be added to the plan, whose columns the call refers to as OUTER_VAR. */
static bool
takes(Plan *plan, const PlannedStmt *statement, Node *call, bool *is_foreign)
{
	List *children = gpt_batch_children(plan);
	ListCell *cell;

	check_stack_depth();
	if (list_length(plan->targetlist) >= MaxTupleAttributeNumber)
		return false;
	switch (nodeTag(plan))
	{
		case T_ForeignScan:
			*is_foreign = true;
			return gpt_pushdown_takes((const ForeignScan *) plan, statement,
									  in_terms_of(call, plan->targetlist));
		case T_SeqScan:
		case T_IndexScan:
		case T_BitmapHeapScan:
			return can_repeat(in_terms_of(call, plan->targetlist));
		default:
			break;
	}
	if (!passes_on(plan))
		return false;
	foreach (cell, children)
	{
		Plan *child = *(Plan **) lfirst(cell);

		if (list_length(child->targetlist) != list_length(plan->targetlist) ||
			!takes(child, statement, call, is_foreign))
			return false;
	}
	return children != NIL;
}

/* Whether a value may be computed once more than a column that it is made of. */
static bool
can_repeat(Node *value)
{
	return !contain_volatile_functions(value) && !contain_subplans(value);
}

/* Whether the rows of a node are those below it, column by column. */
static bool
passes_on(const Plan *plan)
{
	return IsA(plan, Append) || IsA(plan, MergeAppend) || IsA(plan, Sort) ||
		   IsA(plan, IncrementalSort);
}

/* References to columns become what computes these columns. */
static Node *
in_terms_of(Node *node, void *list)
{
	const Var *var = (const Var *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && var->varno == OUTER_VAR)
		return copyObject(
			(Node *) list_nth_node(TargetEntry, (List *) list, var->varattno - 1)->expr);
	return expression_tree_mutator(node, in_terms_of, list);
}

/* Appends the call's value to the columns of the plan. */
static void
add_column(Plan *plan, Node *call)
{
	AttrNumber number = (AttrNumber) (list_length(plan->targetlist) + 1);
	ListCell *cell;
	Expr *value;

	check_stack_depth();
	if (!passes_on(plan))
		value = (Expr *) in_terms_of(call, plan->targetlist);
	else
	{
		foreach (cell, gpt_batch_children(plan))
			add_column(*(Plan **) lfirst(cell), call);
		value = (Expr *) makeVar(OUTER_VAR, number, exprType(call), exprTypmod(call),
								 exprCollation(call), 0);
	}
	plan->targetlist =
		lappend(list_copy(plan->targetlist), makeTargetEntry(value, number, NULL, false));
}

/* ---- Columns that only moved calls read ----------------------------------- */

static bool
has_column(Node *node, void *number)
{
	const Var *var = (const Var *) node;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return var->varno == OUTER_VAR && var->varattno == *(const int *) number;
	return expression_tree_walker(node, has_column, number);
}

static bool
refers_to(const Agg *plan, int number)
{
	for (int i = 0; i < plan->numCols; i++)
	{
		if (plan->grpColIdx[i] == number)
			return true;
	}
	return has_column((Node *) plan->plan.targetlist, &number) ||
		   has_column((Node *) plan->plan.qual, &number);
}

/* Whether the plan, or one that passes its rows on, needs the column for their order. */
static bool
sorts_by(Plan *plan, int number)
{
	const MergeAppend *merge = IsA(plan, MergeAppend) ? (const MergeAppend *) plan : NULL;
	const Sort *sort = IsA(plan, Sort) || IsA(plan, IncrementalSort) ? (const Sort *) plan : NULL;
	int n = merge != NULL ? merge->numCols : sort != NULL ? sort->numCols : 0;
	ListCell *cell;

	check_stack_depth();
	for (int i = 0; i < n; i++)
	{
		if ((merge != NULL ? merge->sortColIdx[i] : sort->sortColIdx[i]) == number)
			return true;
	}
	if (!passes_on(plan))
		return false;
	foreach (cell, gpt_batch_children(plan))
	{
		if (sorts_by(*(Plan **) lfirst(cell), number))
			return true;
	}
	return false;
}

/* A text that was read for the call alone does not travel. */
static void
blank_column(Plan *plan, int number)
{
	const TargetEntry *entry = list_nth_node(TargetEntry, plan->targetlist, number - 1);
	const Node *column = (const Node *) entry->expr;
	TargetEntry *blank;
	ListCell *cell;

	check_stack_depth();
	if (IsA(plan, ForeignScan))
	{
		blank = flatCopyTargetEntry(unconstify(TargetEntry *, entry));
		blank->expr =
			(Expr *) makeNullConst(exprType(column), exprTypmod(column), exprCollation(column));
		plan->targetlist = list_copy(plan->targetlist);
		lfirst(list_nth_cell(plan->targetlist, number - 1)) = blank;
	}
	if (!passes_on(plan))
		return;
	foreach (cell, gpt_batch_children(plan))
		blank_column(*(Plan **) lfirst(cell), number);
}
