/*
 * src/serve/batching_returning.c
 *
 * Calls in RETURNING: a node over ModifyTable, whose lists give the columns that the calls and the
 * rest of the list read. Each table that may be changed has a list of its own; they differ in the
 * numbers of columns alone, or the plan stays as it is.
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"

#include "serve/batching_parts.h"

static bool gives_same_types(const List *columns, const List *others);

Plan *
gpt_batch_returning(ModifyTable *table, GptBatchWalk *walk, const GptBatchAbove *above)
{
	const PlannedStmt *statement = walk->statement;
	GptVolatile found = gpt_batch_volatile((Node *) table->returningLists, statement);
	GptCut cut = {0};
	List *list = NIL;
	List *columns = NIL;
	CustomScan *node;
	ListCell *cell;

	if (above->bound.one || !gpt_batch_has_call((Node *) table->returningLists) ||
		found == GPT_VOLATILE_USER || !bms_is_empty(table->fdwDirectModifyPlans))
		return &table->plan;
	if ((found != GPT_VOLATILE_NOT || above->is_volatile) &&
		gpt_batch_volatile_plan(table->plan.lefttree, statement) != GPT_VOLATILE_NOT)
		return &table->plan;
	foreach (cell, table->returningLists)
	{
		GptCut other = {0};
		List *above_other = gpt_batch_cut_list(&other, lfirst(cell), true, statement);

		if (columns == NIL)
		{
			cut = other;
			list = above_other;
		}
		else if (!equal(list, above_other) || !equal(cut.steps, other.steps) ||
				 !gives_same_types(cut.columns, other.columns))
			return &table->plan;
		columns = lappend(columns, other.columns);
	}
	if (cut.calls == NIL || cut.columns == NIL)
		return &table->plan;
	table->returningLists = columns;
	table->plan.targetlist = cut.columns;
	node = gpt_batch_node(&cut, &table->plan, walk, above);
	node->scan.plan.targetlist = list;
	return &node->scan.plan;
}

static bool
gives_same_types(const List *columns, const List *others)
{
	ListCell *column;
	ListCell *other;

	if (list_length(columns) != list_length(others))
		return false;
	forboth(column, columns, other, others)
	{
		const Node *of_column = (const Node *) lfirst_node(TargetEntry, column)->expr;
		const Node *of_other = (const Node *) lfirst_node(TargetEntry, other)->expr;

		if (exprType(of_column) != exprType(of_other) ||
			exprTypmod(of_column) != exprTypmod(of_other) ||
			exprCollation(of_column) != exprCollation(of_other))
			return false;
	}
	return true;
}
