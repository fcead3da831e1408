/*
 * src/serve/batching_node.c
 *
 * The plan node of steps that were cut from expressions, and the list above them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "utils/syscache.h"

#include "serve/batching_parts.h"

static void add_parameters_of_initplans(Plan *plan, const PlannedStmt *statement);
static double cost_of_calls(const GptCut *cut, double rows);

CustomScan *
gpt_batch_node(GptCut *cut, Plan *below, GptBatchWalk *walk, const GptBatchAbove *above)
{
	CustomScan *node = makeNode(CustomScan);
	Plan *plan = &node->scan.plan;
	AttrNumber number = 0;
	ListCell *step;
	ListCell *kind;

	foreach (step, cut->calls)
		node->custom_scan_tlist =
			lappend(node->custom_scan_tlist, makeTargetEntry(lfirst(step), ++number, NULL, false));
	/* For EXPLAIN. */
	forboth(step, cut->steps, kind, cut->kinds)
	{
		if (lfirst_int(kind) == GPT_BATCH_FILTER)
			plan->qual = lappend(plan->qual, linitial(lfirst(step)));
	}
	plan->startup_cost = below->startup_cost;
	plan->total_cost = below->total_cost;
	plan->plan_rows = below->plan_rows;
	plan->plan_width = below->plan_width;
	plan->parallel_safe = below->parallel_safe;
	plan->parallel_aware = above->is_parallel;
	plan->plan_node_id = ++walk->last_node_id;
	plan->lefttree = below;
	add_parameters_of_initplans(below, walk->statement);
	plan->extParam = bms_copy(below->extParam);
	plan->allParam = bms_copy(below->allParam);
	node->custom_exprs = cut->steps;
	node->custom_private = list_make2(cut->kinds, gpt_batch_bound_write(&above->bound));
	node->methods = &gpt_batch_methods;
	/* A loop of PL/pgSQL or a portal of the protocol goes forward only. */
	if (walk->is_cursor && ExecSupportsBackwardScan(below))
		node->flags = CUSTOMPATH_SUPPORT_BACKWARD_SCAN;
	walk->n_nodes++;
	walk->cost += cost_of_calls(cut, plan->plan_rows);
	return node;
}

/*
 * The planner moves the initplans of a plan that it removes to the plan below, and leaves their
 * parameters out there: on top of a subplan, a plan learns of changed parameters otherwise. Below
 * the node it would not.
 */
static void
add_parameters_of_initplans(Plan *plan, const PlannedStmt *statement)
{
	ListCell *cell;

	foreach (cell, plan->initPlan)
	{
		const SubPlan *initplan = lfirst_node(SubPlan, cell);
		const Plan *of_initplan = list_nth(statement->subplans, initplan->plan_id - 1);

		plan->extParam = bms_add_members(plan->extParam, of_initplan->extParam);
		plan->allParam = bms_add_members(plan->allParam, of_initplan->extParam);
	}
}

/* The part of the plan's cost that the planner counts for the calls. */
static double
cost_of_calls(const GptCut *cut, double rows)
{
	double cost = 0;
	ListCell *cell;

	foreach (cell, cut->calls)
	{
		const FuncExpr *call = lfirst(cell);
		HeapTuple tuple;

		if (!IsA(call, FuncExpr))
			continue;
		tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
		if (!HeapTupleIsValid(tuple))
			continue;
		cost += ((Form_pg_proc) GETSTRUCT(tuple))->procost * cpu_operator_cost * rows;
		ReleaseSysCache(tuple);
	}
	return cost;
}

List *
gpt_batch_cut_list(GptCut *cut, List *list, bool is_filtered, const PlannedStmt *statement)
{
	List *above = NIL;
	ListCell *cell;

	foreach (cell, list)
	{
		TargetEntry *entry = flatCopyTargetEntry(lfirst(cell));
		Node *expression = (Node *) entry->expr;

		if (!is_filtered && !IsA(expression, Const) && !gpt_batch_has_call(expression) &&
			gpt_batch_volatile(expression, statement) == GPT_VOLATILE_NOT)
			entry->expr = (Expr *) gpt_cut_column(cut, expression);
		else
			entry->expr = (Expr *) gpt_cut_expression(cut, expression, NIL);
		above = lappend(above, entry);
	}
	return above;
}
