/*
 * src/serve/batching.c
 *
 * A finished plan in, the same plan with a node GptBatch out, where its top-level select list calls
 * models of constant names:
 *
 *   Limit                        Limit
 *     Seq Scan on review           Custom Scan (GptBatch)      select list with results in the
 *                                                              place of calls
 *       gpt_score('m', body)         Seq Scan on review        the arguments of calls, and what
 *                                                              else is read
 *
 * Only calls are taken out that are made for every row: not those in CASE, COALESCE, AND and OR.
 * Plans are left alone that are parallel, lock rows or can be scanned backward, and select lists
 * with volatile functions beside, whose order would change.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "jit/jit.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "optimizer/tlist.h"
#include "utils/syscache.h"

#include "core/settings.h"
#include "serve/batching.h"

/* The parts of a select list. */
typedef struct Split
{
	int n_calls; /* of the whole list: results are the first columns of the node's scan tuple */
	List *below; /* TargetEntry: what the plan below gives */
	List *calls; /* FuncExpr with arguments of OUTER_VAR */
	List *kinds; /* their numbers */
} Split;

static const GptCallKind *const *kinds; /* NULL after the last */

static planner_hook_type previous_planner = NULL;

static PlannedStmt *plan_statement(Query *query, const char *text, int cursor_options,
								   ParamListInfo parameters);
static void rewrite(PlannedStmt *statement, int cursor_options);
static bool is_plain(const Limit *limit);
static Plan **next_below(Plan *plan);
static bool computes_list(const Plan *plan);
static Plan *put_over(Plan *below, const Limit *limit);
static double cost_of_calls(const CustomScan *node);
static bool split_list(List **above, Split *split, List *list);
static int count_calls(Node *node);
static Node *split_expression(Node *node, Split *split);
static Node *call_above(FuncExpr *call, Split *split);
static Var *var_below(Node *expression, Split *split, int varno);
static int kind_of(const Node *node);
static int kind_of_function(Oid function);
static bool is_made_always(const Node *node);

void
gpt_batching_init(const GptCallKind *const *batched)
{
	kinds = batched;
	RegisterCustomScanMethods(&gpt_batching_scan);
	previous_planner = planner_hook;
	planner_hook = plan_statement;
}

const GptCallKind *
gpt_batching_kind(int number)
{
	return kinds[number];
}

static PlannedStmt *
plan_statement(Query *query, const char *text, int cursor_options, ParamListInfo parameters)
{
	PlannedStmt *statement;

	if (previous_planner != NULL)
		statement = previous_planner(query, text, cursor_options, parameters);
	else
		statement = standard_planner(query, text, cursor_options, parameters);
	if (gpt_batching)
		rewrite(statement, cursor_options);
	return statement;
}

/* Walks down from the top of the plan and puts one node over the first list with calls to batch. */
static void
rewrite(PlannedStmt *statement, int cursor_options)
{
	Plan **place = &statement->planTree;
	const Limit *limit = NULL;

	if ((statement->commandType != CMD_SELECT && statement->commandType != CMD_INSERT) ||
		statement->parallelModeNeeded || statement->hasModifyingCTE || statement->rowMarks != NIL ||
		(cursor_options & CURSOR_OPT_SCROLL) != 0)
		return;
	while (place != NULL && *place != NULL)
	{
		if (computes_list(*place) && count_calls((Node *) (*place)->targetlist) > 0)
		{
			*place = put_over(*place, limit);
			/* Compiling expressions would not save the cost of calls of models. */
			if (IsA(*place, CustomScan) &&
				statement->planTree->total_cost - cost_of_calls((CustomScan *) *place) <=
					jit_above_cost)
				statement->jitFlags = PGJIT_NONE;
			return;
		}
		/*
		 * A node above a sort needs every row. A limit of another kind (WITH TIES) reads beyond its
		 * count; a volatile one may be computed only once.
		 */
		if (IsA(*place, Limit))
			limit = is_plain((const Limit *) *place) ? (const Limit *) *place : NULL;
		else if (!IsA(*place, SubqueryScan))
			limit = NULL;
		place = next_below(*place);
	}
}

static bool
is_plain(const Limit *limit)
{
	return limit->limitOption == LIMIT_OPTION_COUNT &&
		   !contain_volatile_functions(limit->limitCount) &&
		   !contain_volatile_functions(limit->limitOffset);
}

/*
 * The place of the plan below a node that passes its list on; NULL if the node does something else
 * with rows.
 */
static Plan **
next_below(Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_SubqueryScan:
			return plan->qual == NIL ? &((SubqueryScan *) plan)->subplan : NULL;
		case T_ModifyTable:
		case T_Limit:
		case T_Sort:
		case T_IncrementalSort:
		case T_Unique:
			return &plan->lefttree;
		default:
			return NULL;
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
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
		case T_Agg:
		case T_Group:
			return true;
		case T_WindowAgg:
			/* Such a condition refers to the places in the node's own list. */
			return ((const WindowAgg *) plan)->runCondition == NIL;
		default:
			return false;
	}
}

/* The node over a plan; the plan itself where its list stays as it is. */
static Plan *
put_over(Plan *below, const Limit *limit)
{
	Split split = {.n_calls = count_calls((Node *) below->targetlist)};
	CustomScan *node = makeNode(CustomScan);
	AttrNumber number = 0;
	List *above = NIL;
	ListCell *cell;

	if (!split_list(&above, &split, below->targetlist))
		return below;
	foreach (cell, split.calls)
		node->custom_scan_tlist =
			lappend(node->custom_scan_tlist, makeTargetEntry(lfirst(cell), ++number, NULL, false));
	foreach (cell, split.below)
	{
		TargetEntry *entry = lfirst(cell);

		node->custom_scan_tlist =
			lappend(node->custom_scan_tlist,
					makeTargetEntry((Expr *) makeVarFromTargetEntry(OUTER_VAR, entry), ++number,
									NULL, false));
	}
	node->scan.plan.startup_cost = below->startup_cost;
	node->scan.plan.total_cost = below->total_cost;
	node->scan.plan.plan_rows = below->plan_rows;
	node->scan.plan.plan_width = below->plan_width;
	node->scan.plan.plan_node_id = below->plan_node_id;
	node->scan.plan.targetlist = above;
	node->scan.plan.lefttree = below;
	node->scan.plan.extParam = bms_copy(below->extParam);
	node->scan.plan.allParam = bms_copy(below->allParam);
	node->custom_private = split.kinds;
	if (limit != NULL)
		node->custom_exprs =
			list_make2(copyObject(limit->limitCount), copyObject(limit->limitOffset));
	node->methods = &gpt_batching_scan;
	below->targetlist = split.below;
	return &node->scan.plan;
}

/* The part of the plan's cost that the planner counts for the calls. */
static double
cost_of_calls(const CustomScan *node)
{
	double cost = 0;
	ListCell *cell;

	foreach (cell, node->custom_scan_tlist)
	{
		Node *expression = (Node *) lfirst_node(TargetEntry, cell)->expr;
		HeapTuple tuple;

		if (kind_of(expression) < 0)
			continue;
		tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(((FuncExpr *) expression)->funcid));
		if (!HeapTupleIsValid(tuple))
			continue;
		cost += ((Form_pg_proc) GETSTRUCT(tuple))->procost * cpu_operator_cost *
				node->scan.plan.plan_rows;
		ReleaseSysCache(tuple);
	}
	return cost;
}

/* False if the order of volatile functions or subplans would change. */
static bool
split_list(List **above, Split *split, List *list)
{
	ListCell *cell;

	foreach (cell, list)
	{
		TargetEntry *entry = flatCopyTargetEntry(lfirst(cell));

		/* Constants stay: a dropped column of a table that is inserted into must be one. */
		if (count_calls((Node *) entry->expr) > 0 || IsA(entry->expr, Const))
			entry->expr = (Expr *) split_expression((Node *) entry->expr, split);
		else
			entry->expr = (Expr *) var_below((Node *) entry->expr, split, INDEX_VAR);
		*above = lappend(*above, entry);
	}
	return !contain_volatile_functions((Node *) split->below) &&
		   !contain_volatile_functions((Node *) *above) && !contain_subplans((Node *) split->below);
}

/*
 * Calls that are made whenever the expression is computed. A call's arguments are computed below,
 * calls among them too.
 */
static int
count_calls(Node *node)
{
	ListCell *cell;
	int n = 0;

	if (node == NULL)
		return 0;
	if (IsA(node, List))
	{
		foreach (cell, (List *) node)
			n += count_calls(lfirst(cell));
		return n;
	}
	if (kind_of(node) >= 0)
		return 1;
	switch (nodeTag(node))
	{
		case T_TargetEntry:
			return count_calls((Node *) ((TargetEntry *) node)->expr);
		case T_FuncExpr:
			return count_calls((Node *) ((FuncExpr *) node)->args);
		case T_OpExpr:
			return count_calls((Node *) ((OpExpr *) node)->args);
		case T_RelabelType:
			return count_calls((Node *) ((RelabelType *) node)->arg);
		case T_CoerceViaIO:
			return count_calls((Node *) ((CoerceViaIO *) node)->arg);
		case T_ArrayExpr:
			return count_calls((Node *) ((ArrayExpr *) node)->elements);
		case T_NullTest:
			return count_calls((Node *) ((NullTest *) node)->arg);
		default:
			return 0;
	}
}

/* The expressions that count_calls looks into. */
static bool
is_made_always(const Node *node)
{
	switch (nodeTag(node))
	{
		case T_FuncExpr:
		case T_OpExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayExpr:
		case T_NullTest:
			return true;
		default:
			return false;
	}
}

/* An expression above, of results and columns of the plan below. */
static Node *
split_expression(Node *node, Split *split)
{
	if (node == NULL || IsA(node, Const) ||
		(IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN))
		return node;
	if (IsA(node, List))
		return expression_tree_mutator(node, split_expression, split);
	if (kind_of(node) >= 0)
		return call_above((FuncExpr *) node, split);
	if (!is_made_always(node))
		return (Node *) var_below(node, split, INDEX_VAR);
	return expression_tree_mutator(node, split_expression, split);
}

/*
 * Moves a call into the node, with references to columns below it; returns what replaces the call.
 */
static Node *
call_above(FuncExpr *call, Split *split)
{
	FuncExpr *copy = makeNode(FuncExpr);
	List *arguments = NIL;
	ListCell *cell;

	foreach (cell, call->args)
	{
		Node *argument = lfirst(cell);

		if (!IsA(argument, Const))
			argument = (Node *) var_below(argument, split, OUTER_VAR);
		arguments = lappend(arguments, argument);
	}
	memcpy(copy, call, sizeof(FuncExpr));
	copy->args = arguments;
	split->calls = lappend(split->calls, copy);
	split->kinds = lappend_int(split->kinds, kind_of((Node *) call));
	return (Node *) makeVar(INDEX_VAR, list_length(split->calls), exprType((Node *) call), -1,
							exprCollation((Node *) call), 0);
}

/* A column of the plan below that has the expression's value. */
static Var *
var_below(Node *expression, Split *split, int varno)
{
	TargetEntry *entry = tlist_member((Expr *) expression, split->below);
	AttrNumber number;

	if (entry == NULL)
	{
		entry = makeTargetEntry((Expr *) expression, list_length(split->below) + 1, NULL, false);
		split->below = lappend(split->below, entry);
	}
	number = entry->resno + (varno == INDEX_VAR ? split->n_calls : 0);
	return makeVar(varno, number, exprType(expression), exprTypmod(expression),
				   exprCollation(expression), 0);
}

/*
 * The number of a call's kind, for one text or conversation and a constant name of a model; -1 for
 * anything else.
 */
static int
kind_of(const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;
	const Const *model;

	/* The functions of the server have lower numbers: no look-up for them. */
	if (!IsA(node, FuncExpr) || call->funcid < FirstNormalObjectId || call->funcretset ||
		list_length(call->args) < 2)
		return -1;
	model = linitial(call->args);
	if (!IsA(model, Const) || model->constisnull || model->consttype != TEXTOID ||
		(exprType(lsecond(call->args)) != TEXTOID && exprType(lsecond(call->args)) != JSONBOID))
		return -1;
	return kind_of_function(call->funcid);
}

/* Compares the C function, so that no name or schema can mislead. */
static int
kind_of_function(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	int number = -1;
	FmgrInfo info;

	if (!HeapTupleIsValid(tuple))
		return -1;
	for (int i = 0; kinds[i] != NULL; i++)
		if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId &&
			strcmp(NameStr(((Form_pg_proc) GETSTRUCT(tuple))->proname), kinds[i]->name) == 0)
			number = i;
	ReleaseSysCache(tuple);
	if (number < 0)
		return -1;
	fmgr_info(function, &info);
	return info.fn_addr == kinds[number]->function ? number : -1;
}
