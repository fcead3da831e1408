/*
 * src/serve/planning_cost.c
 *
 * A finished plan in, what it costs without calls of models out, for the server's decision about
 * compiling expressions: that would not make a model faster.
 *
 * A node's own cost is its cost less that of the nodes below. Where its expressions call models,
 * the calls are taken for all of it, which costs thousands of times what other expressions do. The
 * server may count calls again in nodes above (GROUP BY a call), so their own cost is bounded by
 * that of many operators for each row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "utils/syscache.h"

#include "serve/planning_parts.h"

#define MOST_OPERATORS 100 /* that a node computes for a row */

typedef struct Search
{
	const PlannedStmt *statement;
	bool *subplans; /* [n] whether they have calls */
} Search;

/* A node with all below it. */
typedef struct Subtree
{
	double others; /* its cost without calls */
	bool has_calls;
} Subtree;

static Subtree cost_of(const Plan *plan, Search *search);
static bool has_calls(Node *node, void *context);
static bool node_has_calls(const Plan *plan, Search *search);
static List *expressions_of(const Plan *plan);
static List *plans_below(const Plan *plan);

double
gpt_planned_other_cost(const PlannedStmt *statement)
{
	Search search = {statement, palloc0(list_length(statement->subplans) + 1)};
	ListCell *cell;

	/* The plan of a subquery stands before that of the query around it. */
	foreach (cell, statement->subplans)
	{
		if (lfirst(cell) != NULL)
			search.subplans[foreach_current_index(cell)] = cost_of(lfirst(cell), &search).has_calls;
	}
	return cost_of(statement->planTree, &search).others;
}

static Subtree
cost_of(const Plan *plan, Search *search)
{
	Subtree whole = {0};
	bool own_calls = node_has_calls(plan, search);
	double below = 0;
	double n_rows = plan->plan_rows;
	double own;
	ListCell *cell;

	check_stack_depth();
	foreach (cell, plans_below(plan))
	{
		const Plan *child = lfirst(cell);
		Subtree subtree;

		if (child == NULL)
			continue;
		subtree = cost_of(child, search);
		below += child->total_cost;
		n_rows += child->plan_rows;
		whole.others += subtree.others;
		whole.has_calls |= subtree.has_calls;
		/* The inner side is computed again and again, at the cost of the join. */
		own_calls |= IsA(plan, NestLoop) && child == innerPlan(plan) && subtree.has_calls;
	}
	own = plan->total_cost - below;
	if (whole.has_calls)
		own = Min(own, n_rows * MOST_OPERATORS * cpu_operator_cost);
	/* A limit costs a part of what is below it. */
	if (own < 0)
		whole.others *= plan->total_cost / below;
	else if (!own_calls)
		whole.others += own;
	whole.has_calls |= own_calls;
	return whole;
}

static bool
node_has_calls(const Plan *plan, Search *search)
{
	return has_calls((Node *) expressions_of(plan), search);
}

static bool
is_call(Oid function)
{
	return function >= FirstNormalObjectId && gpt_planned_function(function) != NULL;
}

static Oid
transition_of(Oid aggregate)
{
	HeapTuple tuple = aggregate >= FirstNormalObjectId
						  ? SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate))
						  : NULL;
	Oid function = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		function = ((Form_pg_aggregate) GETSTRUCT(tuple))->aggtransfn;
		ReleaseSysCache(tuple);
	}
	return function;
}

static bool
has_calls(Node *node, void *context)
{
	Search *search = context;

	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) && is_call(((FuncExpr *) node)->funcid))
		return true;
	if (IsA(node, Aggref) && is_call(transition_of(((Aggref *) node)->aggfnoid)))
		return true;
	if (IsA(node, SubPlan) && search->subplans[((SubPlan *) node)->plan_id - 1])
		return true;
	return expression_tree_walker(node, has_calls, context);
}

/* Those that may be long to compute. */
static List *
expressions_of(const Plan *plan)
{
	List *expressions = list_make3(plan->targetlist, plan->qual, plan->initPlan);

	switch (nodeTag(plan))
	{
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
			return lappend(expressions, ((const Join *) plan)->joinqual);
		case T_Result:
			return lappend(expressions, ((const Result *) plan)->resconstantqual);
		case T_FunctionScan:
			return lappend(expressions, ((const FunctionScan *) plan)->functions);
		case T_ValuesScan:
			return lappend(expressions, ((const ValuesScan *) plan)->values_lists);
		case T_CustomScan:
			return lappend(lappend(expressions, ((const CustomScan *) plan)->custom_scan_tlist),
						   ((const CustomScan *) plan)->custom_exprs);
		case T_ModifyTable:
			return lappend(lappend(expressions, ((const ModifyTable *) plan)->returningLists),
						   ((const ModifyTable *) plan)->onConflictSet);
		default:
			return expressions;
	}
}

static List *
plans_below(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Append:
			return ((const Append *) plan)->appendplans;
		case T_MergeAppend:
			return ((const MergeAppend *) plan)->mergeplans;
		case T_SubqueryScan:
			return list_make1(((const SubqueryScan *) plan)->subplan);
		case T_CustomScan:
			return lcons(outerPlan(plan), list_copy(((const CustomScan *) plan)->custom_plans));
		default:
			return list_make2(outerPlan(plan), innerPlan(plan));
	}
}
