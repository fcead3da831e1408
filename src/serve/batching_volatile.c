/*
 * src/serve/batching_volatile.c
 *
 * Volatile functions in a plan: rows are read ahead only where that does not change what they
 * return; and a walk's view of the nodes of a plan.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "serve/batching_parts.h"

typedef struct Search
{
	const PlannedStmt *statement;
	GptVolatile found;
} Search;

static bool search(Node *node, Search *context);
static bool note_function(Oid function, void *context);
static List *expressions_of_join(Plan *plan);

GptVolatile
gpt_batch_volatile(Node *node, const PlannedStmt *statement)
{
	Search context = {.statement = statement, .found = GPT_VOLATILE_NOT};

	search(node, &context);
	return context.found;
}

static bool
search(Node *node, Search *context)
{
	if (node == NULL)
		return false;
	check_stack_depth();
	if (gpt_batch_kind_of(node) >= 0)
		return search((Node *) ((FuncExpr *) node)->args, context);
	if (IsA(node, NextValueExpr))
		context->found = Max(context->found, GPT_VOLATILE_SERVER);
	else
		check_functions_in_node(node, note_function, context);
	if (IsA(node, SubPlan))
	{
		Plan *plan = list_nth(context->statement->subplans, ((SubPlan *) node)->plan_id - 1);

		context->found = Max(context->found, gpt_batch_volatile_plan(plan, context->statement));
	}
	if (context->found == GPT_VOLATILE_USER)
		return true;
	return expression_tree_walker(node, search, context);
}

static bool
note_function(Oid function, void *context)
{
	Search *found = context;

	if (func_volatile(function) == PROVOLATILE_VOLATILE)
		found->found = Max(found->found, function < FirstNormalObjectId ? GPT_VOLATILE_SERVER
																		: GPT_VOLATILE_USER);
	return found->found == GPT_VOLATILE_USER;
}

GptVolatile
gpt_batch_volatile_node(Plan *plan, const PlannedStmt *statement)
{
	GptVolatile found = gpt_batch_volatile((Node *) plan->targetlist, statement);

	found = Max(found, gpt_batch_volatile((Node *) plan->qual, statement));
	return Max(found, gpt_batch_volatile((Node *) gpt_batch_expressions(plan), statement));
}

GptVolatile
gpt_batch_volatile_plan(Plan *plan, const PlannedStmt *statement)
{
	GptVolatile found;
	ListCell *cell;

	check_stack_depth();
	if (plan == NULL)
		return GPT_VOLATILE_NOT;
	found = gpt_batch_volatile_node(plan, statement);
	foreach (cell, gpt_batch_children(plan))
		found = Max(found, gpt_batch_volatile_plan(*(Plan **) lfirst(cell), statement));
	return found;
}

List *
gpt_batch_expressions(Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Result:
			return list_make1(((Result *) plan)->resconstantqual);
		case T_IndexScan:
			return list_make2(((IndexScan *) plan)->indexqual, ((IndexScan *) plan)->indexorderby);
		case T_SampleScan:
			return list_make1(((SampleScan *) plan)->tablesample);
		case T_FunctionScan:
			return list_make1(((FunctionScan *) plan)->functions);
		case T_TableFuncScan:
			return list_make1(((TableFuncScan *) plan)->tablefunc);
		case T_ValuesScan:
			return list_make1(((ValuesScan *) plan)->values_lists);
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
			return expressions_of_join(plan);
		case T_Hash:
			return list_make1(((Hash *) plan)->hashkeys);
		case T_Limit:
			return list_make2(((Limit *) plan)->limitOffset, ((Limit *) plan)->limitCount);
		case T_WindowAgg:
			return list_make3(((WindowAgg *) plan)->startOffset, ((WindowAgg *) plan)->endOffset,
							  ((WindowAgg *) plan)->runCondition);
		case T_ModifyTable:
			return list_make5(((ModifyTable *) plan)->returningLists,
							  ((ModifyTable *) plan)->onConflictSet,
							  ((ModifyTable *) plan)->onConflictWhere,
							  ((ModifyTable *) plan)->withCheckOptionLists,
							  ((ModifyTable *) plan)->mergeActionLists);
		case T_CustomScan:
			return list_make1(((CustomScan *) plan)->custom_exprs);
		case T_ForeignScan:
			return list_make1(((ForeignScan *) plan)->fdw_exprs);
		default:
			return NIL;
	}
}

static List *
expressions_of_join(Plan *plan)
{
	List *list = list_make1(((Join *) plan)->joinqual);

	if (IsA(plan, HashJoin))
		list = lappend(list, ((HashJoin *) plan)->hashclauses);
	if (IsA(plan, MergeJoin))
		list = lappend(list, ((MergeJoin *) plan)->mergeclauses);
	return list;
}

List *
gpt_batch_children(Plan *plan)
{
	List *children = NIL;
	List *of_append = NIL;
	ListCell *cell;

	if (plan->lefttree != NULL)
		children = lappend(children, &plan->lefttree);
	if (plan->righttree != NULL)
		children = lappend(children, &plan->righttree);
	if (IsA(plan, SubqueryScan))
		children = lappend(children, &((SubqueryScan *) plan)->subplan);
	else if (IsA(plan, Append))
		of_append = ((Append *) plan)->appendplans;
	else if (IsA(plan, MergeAppend))
		of_append = ((MergeAppend *) plan)->mergeplans;
	else if (IsA(plan, CustomScan))
		of_append = ((CustomScan *) plan)->custom_plans;
	foreach (cell, of_append)
		children = lappend(children, &lfirst(cell));
	return children;
}
