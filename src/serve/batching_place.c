/*
 * src/serve/batching_place.c
 *
 * Walks the plans of a statement and puts nodes GptBatch over those that call models, with the
 * bound of what each may read ahead. A node that this file does not know stops the walk.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

#include "serve/batching_parts.h"

static int greatest_node_id(Plan *plan);
static void place_in(Plan **place, GptBatchWalk *walk, const GptBatchAbove *above);
static void read_subplans(Plan *plan, GptBatchWalk *walk, const GptBatchAbove *above);
static bool read_subplan(Node *node, GptBatchWalk *walk);
static void note_reader(GptBatchWalk *walk, int plan_id, const GptBatchBound *bound,
						bool is_parallel);
static void place_below(Plan *plan, GptBatchWalk *walk, const GptBatchAbove *above);
static void place_in_children(Plan *plan, GptBatchWalk *walk, const GptBatchAbove *above);
static void place_between(Plan *plan, Plan **child, GptBatchWalk *walk,
						  const GptBatchAbove *of_child);
static GptBatchBound bound_of_child(Plan *plan, bool is_inner, const GptBatchBound *bound);
static bool reads_all_first(const Plan *plan);
static bool sets_are_apart(List *list);
static Plan *put_over(Plan *below, GptBatchWalk *walk, const GptBatchAbove *above);
static bool computes_list(const Plan *plan);
static List *take_filters(Plan *plan, const PlannedStmt *statement);
static bool is_movable_join(const Plan *plan);
static List *cut_from_call(List **conditions);

double
gpt_batch_place(PlannedStmt *statement, int cursor_options)
{
	GptBatchAbove top = {.bound.run = true};
	int n = list_length(statement->subplans);
	GptBatchWalk walk = {.statement = statement, .subplans = palloc0(n * sizeof(GptBatchSubplan))};
	ListCell *cell;

	walk.is_cursor = (cursor_options & (CURSOR_OPT_SCROLL | CURSOR_OPT_FAST_PLAN)) != 0;
	walk.last_node_id = greatest_node_id(statement->planTree);
	foreach (cell, statement->subplans)
		walk.last_node_id = Max(walk.last_node_id, greatest_node_id(lfirst(cell)));
	place_in(&statement->planTree, &walk, &top);
	/* Whatever reads a subplan has a higher number. */
	for (int i = n - 1; i >= 0; i--)
	{
		Plan **place = (Plan **) &lfirst(list_nth_cell(statement->subplans, i));
		GptBatchAbove above = {.bound = walk.subplans[i].bound,
							   .is_volatile = true,
							   .is_parallel = walk.subplans[i].is_parallel,
							   .is_repeated = walk.subplans[i].is_repeated};

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
place_in(Plan **place, GptBatchWalk *walk, const GptBatchAbove *above)
{
	check_stack_depth();
	read_subplans(*place, walk, above);
	place_below(*place, walk, above);
	if (IsA(*place, ModifyTable))
		*place = gpt_batch_returning((ModifyTable *) *place, walk, above);
	if ((!above->bound.one || above->is_repeated) && !above->is_marked && computes_list(*place))
		*place = put_over(*place, walk, above);
}

/* Notes how the node reads subplans. */
static void
read_subplans(Plan *plan, GptBatchWalk *walk, const GptBatchAbove *above)
{
	read_subplan((Node *) plan->targetlist, walk);
	read_subplan((Node *) plan->qual, walk);
	read_subplan((Node *) gpt_batch_expressions(plan), walk);
	read_subplan((Node *) plan->initPlan, walk);
	if (IsA(plan, CteScan))
		note_reader(walk, ((CteScan *) plan)->ctePlanId, &above->bound, above->is_parallel);
}

static bool
read_subplan(Node *node, GptBatchWalk *walk)
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
		walk->subplans[subplan->plan_id - 1].is_repeated |= subplan->parParam != NIL;
	}
	return expression_tree_walker(node, read_subplan, walk);
}

static void
note_reader(GptBatchWalk *walk, int plan_id, const GptBatchBound *bound, bool is_parallel)
{
	GptBatchSubplan *subplan = &walk->subplans[plan_id - 1];

	subplan->is_read = true;
	subplan->bound.one |= bound->one;
	subplan->bound.first_alone |= bound->first_alone;
	subplan->bound.run |= bound->run;
	subplan->bound.one_of_run |= bound->one_of_run;
	subplan->bound.limits = list_union_int(subplan->bound.limits, bound->limits);
	subplan->is_parallel |= is_parallel;
}

/* The plans below a node, each with what its rows mean to the node. */
static void
place_below(Plan *plan, GptBatchWalk *walk, const GptBatchAbove *above)
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
place_in_children(Plan *plan, GptBatchWalk *walk, const GptBatchAbove *above)
{
	const PlannedStmt *statement = walk->statement;
	List *children = gpt_batch_children(plan);
	bool is_join = plan->lefttree != NULL && plan->righttree != NULL;
	bool alone = reads_all_first(plan);
	ListCell *cell;

	foreach (cell, children)
	{
		Plan **child = lfirst(cell);
		GptBatchAbove of_child = *above;

		of_child.bound = bound_of_child(plan, child == &plan->righttree, &above->bound);
		of_child.is_repeated |= IsA(plan, NestLoop) && child == &plan->righttree;
		of_child.is_marked = (IsA(plan, MergeJoin) && child == &plan->righttree) ||
							 (IsA(plan, Result) && above->is_marked);
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
		place_between(plan, child, walk, &of_child);
	}
}

/* A node between, where this one computes calls from the child's columns. */
static void
place_between(Plan *plan, Plan **child, GptBatchWalk *walk, const GptBatchAbove *of_child)
{
	GptBatchAbove of_table = *of_child;

	if (child == &plan->lefttree && (IsA(plan, Agg) || IsA(plan, WindowAgg)))
		gpt_batch_aggregates(plan, walk, of_child);
	if (IsA(plan, ModifyTable))
		gpt_batch_merge((ModifyTable *) plan, walk, of_child);
	if (child == &plan->lefttree && IsA(plan, HashJoin))
		gpt_batch_outer_keys((HashJoin *) plan, walk, of_child);
	if (child == &plan->righttree && IsA(plan, HashJoin))
	{
		of_table.bound = bound_of_child(plan->righttree, false, &of_child->bound);
		of_table.is_volatile = false;
		gpt_batch_inner_keys((HashJoin *) plan, walk, &of_table);
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

/* What is certain of a child's rows, given what is certain of the node's. */
static GptBatchBound
bound_of_child(Plan *plan, bool is_inner, const GptBatchBound *bound)
{
	GptBatchBound all = {0};
	GptBatchBound one = {.one = true};
	GptBatchBound same = *bound;
	GptBatchBound each = *bound;

	/* The child where a row may need many of the child's rows, or none. */
	each.one |= bound->limits != NIL;
	each.one_of_run |= bound->run;
	each.run = false;
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
			return ((WindowAgg *) plan)->runCondition != NIL ? one : each;
		case T_Memoize:
			return ((Memoize *) plan)->singlerow ? one : same;
		case T_NestLoop:
		case T_HashJoin:
			/* One match may be enough. */
			if (is_inner &&
				(((Join *) plan)->inner_unique || ((Join *) plan)->jointype == JOIN_SEMI ||
				 ((Join *) plan)->jointype == JOIN_ANTI))
				return one;
			/* A hash join may look at one row of its outer side first. */
			if (IsA(plan, HashJoin))
				each.first_alone = true;
			return each;
		default:
			return each;
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
		case T_ProjectSet:
			return sets_are_apart(plan->targetlist);
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

/* Whether a call has no set among its arguments; sets stay below. */
static bool
sets_are_apart(List *list)
{
	ListCell *cell;

	foreach (cell, list)
		if (gpt_batch_has_call(lfirst(cell)) && expression_returns_set(lfirst(cell)))
			return false;
	return true;
}

/*
 * The node over a plan, which takes over its list, and its conditions from the first with a call
 * on; the plan itself where it stays as it is.
 */
static Plan *
put_over(Plan *below, GptBatchWalk *walk, const GptBatchAbove *above)
{
	const PlannedStmt *statement = walk->statement;
	GptVolatile of_list = gpt_batch_volatile((Node *) below->targetlist, statement);
	GptCut cut = {0};
	List *filters;
	List *above_list;
	CustomScan *node;
	ListCell *cell;

	/*
	 * Functions of users in the list run between the rows, and may do anything; those in arguments
	 * of aggregates run below.
	 */
	if (of_list == GPT_VOLATILE_USER ||
		(of_list != GPT_VOLATILE_NOT &&
		 (IsA(below, Agg) || IsA(below, WindowAgg) || IsA(below, ProjectSet))))
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
	above_list = gpt_batch_cut_list(&cut, below->targetlist, filters != NIL, statement);
	if (cut.calls == NIL && filters == NIL)
		return below;
	node = gpt_batch_node(&cut, below, walk, above);
	node->scan.plan.targetlist = above_list;
	below->targetlist = cut.columns;
	return &node->scan.plan;
}

/* Takes the conditions out that belong above: from the first with a call on, in their order. */
static List *
take_filters(Plan *plan, const PlannedStmt *statement)
{
	List **joinqual = NULL;
	int n_joinqual = 0;
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
	filters = is_movable_join(plan) ? cut_from_call(&((Join *) plan)->joinqual) : NIL;
	if (filters == NIL)
		filters = cut_from_call(&plan->qual);
	else
	{
		joinqual = &((Join *) plan)->joinqual;
		n_joinqual = list_length(filters);
		filters = list_concat(filters, plan->qual);
		plan->qual = NIL;
	}
	/* They are computed for many rows, one condition after the other. */
	if (gpt_batch_volatile((Node *) filters, statement) != GPT_VOLATILE_NOT)
	{
		if (joinqual != NULL)
			*joinqual = list_concat(*joinqual, list_truncate(list_copy(filters), n_joinqual));
		plan->qual = list_concat(plan->qual, list_copy_tail(filters, n_joinqual));
		return NIL;
	}
	return filters;
}

/*
 * Whether conditions of the join may come after it: an outer join needs them to know what has no
 * match, and a join that ends at the first match needs all of them.
 */
static bool
is_movable_join(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_NestLoop:
		case T_HashJoin:
		case T_MergeJoin:
			return ((const Join *) plan)->jointype == JOIN_INNER &&
				   !((const Join *) plan)->inner_unique;
		default:
			return false;
	}
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
