/*
 * src/serve/batching_place.c
 *
 * Walks the plans of a statement and puts nodes GptBatch over those that call models, with the
 * bound of what each may read ahead. A node that this file does not know stops the walk.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/syscache.h"

#include "serve/batching_parts.h"

/* A subplan's bound: that of all places that read it. */
typedef struct Subplan
{
	bool is_read;
	GptBatchBound bound;
	bool is_parallel;
} Subplan;

/* What stands above the place of a plan. */
typedef struct Above
{
	GptBatchBound bound;
	bool is_volatile; /* functions above run between the rows of this place */
	bool is_parallel; /* below Gather */
} Above;

typedef struct Walk
{
	PlannedStmt *statement;
	Subplan *subplans; /* [n] */
	int last_node_id;
	int n_nodes; /* that were put into the plans */
	double cost; /* of their calls */
} Walk;

static int greatest_node_id(Plan *plan);
static void place_in(Plan **place, Walk *walk, const Above *above);
static void read_subplans(Plan *plan, Walk *walk, const Above *above);
static bool read_subplan(Node *node, Walk *walk);
static void note_reader(Walk *walk, int plan_id, const GptBatchBound *bound, bool is_parallel);
static void place_below(Plan *plan, Walk *walk, const Above *above);
static void place_in_children(Plan *plan, Walk *walk, const Above *above);
static GptBatchBound bound_of_child(Plan *plan, bool is_inner, const GptBatchBound *bound);
static bool reads_all_first(const Plan *plan);
static bool is_bounded(const GptBatchBound *bound);
static Plan *put_over(Plan *below, Walk *walk, const Above *above);
static bool computes_list(const Plan *plan);
static List *take_filters(Plan *plan, const PlannedStmt *statement);
static List *cut_from_call(List **conditions);
static List *cut_list(GptCut *cut, List *list, bool is_filtered, const PlannedStmt *statement);
static CustomScan *make_node(GptCut *cut, Plan *below, Walk *walk, const Above *above);
static double cost_of_calls(const GptCut *cut, double rows);

double
gpt_batch_place(PlannedStmt *statement)
{
	Above top = {.bound.run = true};
	int n = list_length(statement->subplans);
	Walk walk = {.statement = statement, .subplans = palloc0(n * sizeof(Subplan))};
	ListCell *cell;

	walk.last_node_id = greatest_node_id(statement->planTree);
	foreach (cell, statement->subplans)
		walk.last_node_id = Max(walk.last_node_id, greatest_node_id(lfirst(cell)));
	place_in(&statement->planTree, &walk, &top);
	/* Whatever reads a subplan has a higher number. */
	for (int i = n - 1; i >= 0; i--)
	{
		Plan **place = (Plan **) &lfirst(list_nth_cell(statement->subplans, i));
		Above above = {.bound = walk.subplans[i].bound,
					   .is_volatile = true,
					   .is_parallel = walk.subplans[i].is_parallel};

		/* That of a CTE that changes rows runs to its end in any case. */
		above.bound.one |= !walk.subplans[i].is_read;
		if (*place != NULL)
			place_in(place, &walk, &above);
	}
	return walk.n_nodes > 0 ? walk.cost : -1;
}

static int
greatest_node_id(Plan *plan)
{
	int id;
	ListCell *cell;

	check_stack_depth();
	if (plan == NULL)
		return 0;
	id = plan->plan_node_id;
	foreach (cell, gpt_batch_children(plan))
		id = Max(id, greatest_node_id(*(Plan **) lfirst(cell)));
	return id;
}

/* The plan at this place, and those below it. */
static void
place_in(Plan **place, Walk *walk, const Above *above)
{
	check_stack_depth();
	read_subplans(*place, walk, above);
	place_below(*place, walk, above);
	if (!above->bound.one && computes_list(*place))
		*place = put_over(*place, walk, above);
}

/* Notes how the node reads subplans. */
static void
read_subplans(Plan *plan, Walk *walk, const Above *above)
{
	read_subplan((Node *) plan->targetlist, walk);
	read_subplan((Node *) plan->qual, walk);
	read_subplan((Node *) gpt_batch_expressions(plan), walk);
	read_subplan((Node *) plan->initPlan, walk);
	if (IsA(plan, CteScan))
		note_reader(walk, ((CteScan *) plan)->ctePlanId, &above->bound, above->is_parallel);
}

static bool
read_subplan(Node *node, Walk *walk)
{
	const SubPlan *subplan = (const SubPlan *) node;

	if (node == NULL)
		return false;
	check_stack_depth();
	/* Those of a CTE are noted where it is scanned. */
	if (IsA(node, SubPlan) && subplan->subLinkType != CTE_SUBLINK)
	{
		/* An array and a hash table take all rows; others stop at some row. */
		GptBatchBound bound = {.one =
								   subplan->subLinkType != ARRAY_SUBLINK && !subplan->useHashTable};

		note_reader(walk, subplan->plan_id, &bound, false);
	}
	return expression_tree_walker(node, read_subplan, walk);
}

static void
note_reader(Walk *walk, int plan_id, const GptBatchBound *bound, bool is_parallel)
{
	Subplan *subplan = &walk->subplans[plan_id - 1];

	subplan->is_read = true;
	subplan->bound.one |= bound->one;
	subplan->bound.first_alone |= bound->first_alone;
	subplan->bound.run |= bound->run;
	subplan->bound.limits = list_union_int(subplan->bound.limits, bound->limits);
	subplan->is_parallel |= is_parallel;
}

/* The plans below a node, each with what its rows mean to the node. */
static void
place_below(Plan *plan, Walk *walk, const Above *above)
{
	switch (nodeTag(plan))
	{
		case T_Result:
		case T_ProjectSet:
		case T_ModifyTable:
		case T_Append:
		case T_MergeAppend:
		case T_RecursiveUnion:
		case T_SubqueryScan:
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
		case T_Material:
		case T_Memoize:
		case T_Sort:
		case T_IncrementalSort:
		case T_Group:
		case T_Agg:
		case T_WindowAgg:
		case T_Unique:
		case T_Gather:
		case T_GatherMerge:
		case T_Hash:
		case T_SetOp:
		case T_LockRows:
		case T_Limit:
			place_in_children(plan, walk, above);
			return;
		default:
			return;
	}
}

static void
place_in_children(Plan *plan, Walk *walk, const Above *above)
{
	const PlannedStmt *statement = walk->statement;
	List *children = gpt_batch_children(plan);
	bool is_join = plan->lefttree != NULL && plan->righttree != NULL;
	bool alone = reads_all_first(plan);
	ListCell *cell;

	foreach (cell, children)
	{
		Plan **child = lfirst(cell);
		Above of_child = *above;

		of_child.bound = bound_of_child(plan, child == &plan->righttree, &above->bound);
		of_child.is_parallel |= IsA(plan, Gather) || IsA(plan, GatherMerge);
		of_child.is_volatile =
			!alone &&
			(above->is_volatile || gpt_batch_volatile_node(plan, statement) != GPT_VOLATILE_NOT);
		/* The rows of both sides are read in turn. */
		if (is_join)
		{
			Plan *other = child == &plan->righttree ? plan->lefttree : plan->righttree;

			of_child.is_volatile |= gpt_batch_volatile_plan(other, statement) != GPT_VOLATILE_NOT;
		}
		place_in(child, walk, &of_child);
	}
}

/* Nodes that read all rows before they return one. */
static bool
reads_all_first(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Sort:
		case T_Hash:
			return true;
		case T_Agg:
			return ((const Agg *) plan)->aggstrategy == AGG_PLAIN ||
				   ((const Agg *) plan)->aggstrategy == AGG_HASHED;
		case T_SetOp:
			return ((const SetOp *) plan)->strategy == SETOP_HASHED;
		default:
			return false;
	}
}

static bool
is_bounded(const GptBatchBound *bound)
{
	return bound->one || bound->run || bound->limits != NIL;
}

/* What is certain of a child's rows, given what is certain of the node's. */
static GptBatchBound
bound_of_child(Plan *plan, bool is_inner, const GptBatchBound *bound)
{
	GptBatchBound all = {0};
	GptBatchBound one = {.one = true};
	GptBatchBound same = *bound;

	if (reads_all_first(plan))
		return all;
	switch (nodeTag(plan))
	{
			/* Each of its rows needs a row of the child. */
		case T_Result:
		case T_SubqueryScan:
		case T_Append:
		case T_Material:
		case T_Unique:
		case T_LockRows:
		case T_RecursiveUnion:
		case T_Gather:
			return same;
		case T_Limit:
			same.limits = lappend_int(list_copy(same.limits), plan->plan_node_id);
			return same;
		case T_ModifyTable:
			if (((ModifyTable *) plan)->returningLists == NIL || !((ModifyTable *) plan)->canSetTag)
				return all;
			return same;
			/* They end before all rows of a child are read. */
		case T_MergeJoin:
			return one;
		case T_WindowAgg:
			return ((WindowAgg *) plan)->runCondition != NIL || is_bounded(bound) ? one : same;
		case T_Memoize:
			return ((Memoize *) plan)->singlerow ? one : same;
		case T_NestLoop:
		case T_HashJoin:
			if (is_bounded(bound))
				return one;
			/* One match may be enough. */
			if (is_inner &&
				(((Join *) plan)->inner_unique || ((Join *) plan)->jointype == JOIN_SEMI ||
				 ((Join *) plan)->jointype == JOIN_ANTI))
				return one;
			/* A hash join may look at one row of its outer side first. */
			if (IsA(plan, HashJoin))
				same.first_alone = true;
			return same;
		default:
			/* A row may need many rows of the child, or none. */
			return is_bounded(bound) ? one : same;
	}
}

/*
 * Nodes that compute a list of their own for each row. Foreign scans and custom scans of others may
 * use their lists otherwise.
 */
static bool
computes_list(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Result:
			return plan->lefttree != NULL;
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
		case T_SubqueryScan:
		case T_FunctionScan:
		case T_ValuesScan:
		case T_TableFuncScan:
		case T_CteScan:
		case T_NamedTuplestoreScan:
		case T_WorkTableScan:
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
		case T_Agg:
		case T_Group:
		case T_Gather:
		case T_GatherMerge:
			return true;
		case T_WindowAgg:
			/* Such a condition refers to the places in the node's own list. */
			return ((const WindowAgg *) plan)->runCondition == NIL;
		default:
			return false;
	}
}

/*
 * The node over a plan, which takes over its list, and its conditions from the first with a call
 * on; the plan itself where it stays as it is.
 */
static Plan *
put_over(Plan *below, Walk *walk, const Above *above)
{
	const PlannedStmt *statement = walk->statement;
	GptVolatile of_list = gpt_batch_volatile((Node *) below->targetlist, statement);
	GptCut cut = {0};
	List *filters;
	List *above_list;
	CustomScan *node;
	ListCell *cell;

	/* Functions of users in the list run between the rows, and may do anything. */
	if (of_list == GPT_VOLATILE_USER)
		return below;
	if (above->is_volatile || of_list != GPT_VOLATILE_NOT)
	{
		List *list = below->targetlist;
		bool is_volatile;

		below->targetlist = NIL;
		is_volatile = gpt_batch_volatile_plan(below, statement) != GPT_VOLATILE_NOT;
		below->targetlist = list;
		if (is_volatile)
			return below;
	}
	filters = take_filters(below, statement);
	if (filters == NIL && !gpt_batch_has_call((Node *) below->targetlist))
		return below;
	foreach (cell, filters)
		gpt_cut_filter(&cut, lfirst(cell));
	above_list = cut_list(&cut, below->targetlist, filters != NIL, statement);
	if (cut.calls == NIL && filters == NIL)
		return below;
	node = make_node(&cut, below, walk, above);
	node->scan.plan.targetlist = above_list;
	below->targetlist = cut.columns;
	return &node->scan.plan;
}

/* Takes the conditions out that belong above: from the first with a call on, in their order. */
static List *
take_filters(Plan *plan, const PlannedStmt *statement)
{
	List *filters;

	switch (nodeTag(plan))
	{
		case T_Gather:
		case T_GatherMerge:
		case T_WindowAgg:
			return NIL;
		default:
			break;
	}
	filters = cut_from_call(&plan->qual);
	/* They are computed for many rows, one condition after the other. */
	if (gpt_batch_volatile((Node *) filters, statement) != GPT_VOLATILE_NOT)
	{
		plan->qual = list_concat(plan->qual, filters);
		return NIL;
	}
	return filters;
}

/* Leaves the conditions before the first with a call. */
static List *
cut_from_call(List **conditions)
{
	List *kept = NIL;
	List *taken = NIL;
	ListCell *cell;

	foreach (cell, *conditions)
	{
		if (taken != NIL || gpt_batch_has_call(lfirst(cell)))
			taken = lappend(taken, lfirst(cell));
		else
			kept = lappend(kept, lfirst(cell));
	}
	*conditions = kept;
	return taken;
}

/*
 * The list above. What has no calls is computed below, unless conditions above have to pass first
 * or its order matters. Constants stay: a dropped column of a table that is inserted into must be
 * one.
 */
static List *
cut_list(GptCut *cut, List *list, bool is_filtered, const PlannedStmt *statement)
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

/* The node of the steps, without its list. */
static CustomScan *
make_node(GptCut *cut, Plan *below, Walk *walk, const Above *above)
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
	plan->plan_node_id = ++walk->last_node_id;
	plan->lefttree = below;
	plan->extParam = bms_copy(below->extParam);
	plan->allParam = bms_copy(below->allParam);
	node->custom_exprs = cut->steps;
	node->custom_private = list_make2(cut->kinds, gpt_batch_bound_write(&above->bound));
	node->methods = &gpt_batch_methods;
	walk->n_nodes++;
	walk->cost += cost_of_calls(cut, plan->plan_rows);
	return node;
}

/* The part of the plan's cost that the planner counts for the calls. */
static double
cost_of_calls(const GptCut *cut, double rows)
{
	double cost = 0;
	ListCell *cell;

	foreach (cell, cut->calls)
	{
		Oid function = lfirst_node(FuncExpr, cell)->funcid;
		HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));

		if (!HeapTupleIsValid(tuple))
			continue;
		cost += ((Form_pg_proc) GETSTRUCT(tuple))->procost * cpu_operator_cost * rows;
		ReleaseSysCache(tuple);
	}
	return cost;
}
