/*
 * src/serve/batching_merge.c
 *
 * Calls in actions of MERGE that read the source alone: a node between ModifyTable and the plan
 * below it makes them for the rows whose action it will be, as far as conditions of actions tell
 * that from the source. Whether a row has a match is known from the place of its target.
 *
 * Another transaction may delete the match meanwhile, so a result stands in an action as
 * CASE WHEN (the conditions for which the node made the call) THEN its result ELSE the call END.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

#include "core/compat.h"
#include "serve/batching_parts.h"

typedef struct Merge
{
	GptCut cut;
	int n_columns; /* of the plan below */
	Var *place; /* of the target */
} Merge;

static Var *find_place(const List *list);
static void cut_actions(Merge *merge, List *actions, bool is_matched);
static List *cut_conditions(Merge *merge, MergeAction *action, List **guard);
static Node *cut_part(Merge *merge, Node *node, List *guard);
static Node *to_action(Node *node, Merge *merge);
static Node *to_source(Node *node, void *context);
static bool reads_target(Node *node, void *context);
static Node *test_bool(Node *condition, BoolTestType test);

void
gpt_batch_merge(ModifyTable *table, GptBatchWalk *walk, const GptBatchAbove *above)
{
	Plan *below = table->plan.lefttree;
	const PlannedStmt *statement = walk->statement;
	GptVolatile found = gpt_batch_volatile((Node *) table->mergeActionLists, statement);
	Merge merge = {.cut.fixed = true, .n_columns = list_length(below->targetlist)};
	ListCell *cell;

	if (!gpt_batch_has_call((Node *) table->mergeActionLists) || found == GPT_VOLATILE_USER ||
		(found != GPT_VOLATILE_NOT &&
		 gpt_batch_volatile_plan(below, statement) != GPT_VOLATILE_NOT))
		return;
	merge.place = find_place(below->targetlist);
	if (merge.place == NULL)
		return;
	foreach (cell, table->mergeActionLists)
	{
		cut_actions(&merge, lfirst(cell), true);
		cut_actions(&merge, lfirst(cell), false);
	}
	if (merge.cut.calls == NIL)
		return;
	table->plan.lefttree = gpt_batch_between(&merge.cut, below, walk, above);
}

static Var *
find_place(const List *list)
{
	ListCell *cell;

	foreach (cell, list)
	{
		TargetEntry *entry = lfirst(cell);

		if (entry->resjunk && entry->resname != NULL && strcmp(entry->resname, "ctid") == 0)
			return makeVarFromTargetEntry(OUTER_VAR, entry);
	}
	return NULL;
}

/* The first action whose conditions hold is taken; each is tried after those before it. */
static void
cut_actions(Merge *merge, List *actions, bool is_matched)
{
	NullTest *matched = makeNode(NullTest);
	List *guard;
	ListCell *cell;

	matched->arg = (Expr *) merge->place;
	matched->nulltesttype = is_matched ? IS_NOT_NULL : IS_NULL;
	matched->location = -1;
	guard = list_make1(matched);
	foreach (cell, actions)
	{
		MergeAction *action = lfirst_node(MergeAction, cell);
		List *of_action = guard;
		List *conditions;
		ListCell *entry;

		if (gpt_is_matched(action) != is_matched)
			continue;
		/* The target decides whether this action, or one after it, is taken. */
		if (reads_target(action->qual, NULL))
			return;
		conditions = cut_conditions(merge, action, &of_action);
		foreach (entry, action->targetList)
		{
			TargetEntry *value = lfirst(entry);

			value->expr = (Expr *) cut_part(merge, (Node *) value->expr, of_action);
		}
		if (conditions == NIL)
			return;
		guard = lappend(list_copy(guard),
						test_bool((Node *) make_ands_explicit(conditions), IS_NOT_TRUE));
	}
}

/* The conditions as the node sees them, and the guard of what comes after them. */
static List *
cut_conditions(Merge *merge, MergeAction *action, List **guard)
{
	List *conditions = NIL;
	List *changed = NIL;
	ListCell *cell;

	foreach (cell, (List *) action->qual)
	{
		Node *condition = gpt_cut_expression(&merge->cut, to_source(lfirst(cell), NULL), *guard);

		changed = lappend(changed, cut_part(merge, lfirst(cell), *guard));
		conditions = lappend(conditions, condition);
		*guard = lappend(list_copy(*guard), test_bool(condition, IS_TRUE));
	}
	action->qual = (Node *) changed;
	return conditions;
}

/* A condition or a value of an action, with results in place of calls. */
static Node *
cut_part(Merge *merge, Node *node, List *guard)
{
	CaseExpr *choice;
	CaseWhen *when;
	Node *cut;

	if (!gpt_batch_has_call(node) || reads_target(node, NULL))
		return node;
	cut = gpt_cut_expression(&merge->cut, to_source(node, NULL), guard);
	when = makeNode(CaseWhen);
	when->expr = (Expr *) to_action((Node *) make_ands_explicit(guard), merge);
	when->result = (Expr *) to_action(cut, merge);
	when->location = -1;
	choice = makeNode(CaseExpr);
	choice->casetype = exprType(node);
	choice->casecollid = exprCollation(node);
	choice->args = list_make1(when);
	choice->defresult = (Expr *) node;
	choice->location = -1;
	return (Node *) choice;
}

/* Columns of the node as actions see them. */
static Node *
to_action(Node *node, Merge *merge)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);

		if (var->varno == INDEX_VAR)
			var->varattno += merge->n_columns;
		var->varno = INNER_VAR;
		return (Node *) var;
	}
	return expression_tree_mutator(node, to_action, merge);
}

/* An expression of the source as the node sees it. */
static Node *
to_source(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);

		var->varno = OUTER_VAR;
		return (Node *) var;
	}
	return expression_tree_mutator(node, to_source, context);
}

static bool
reads_target(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varno != INNER_VAR;
	return expression_tree_walker(node, reads_target, context);
}

static Node *
test_bool(Node *condition, BoolTestType test)
{
	BooleanTest *node = makeNode(BooleanTest);

	node->arg = (Expr *) condition;
	node->booltesttype = test;
	node->location = -1;
	return (Node *) node;
}
