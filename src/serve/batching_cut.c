/*
 * src/serve/batching_cut.c
 *
 * An expression is cut into calls of models, in the order of evaluation, and the rest, which refers
 * to their results. A call in CASE, COALESCE, AND or OR gets a guard: the conditions under which
 * plain execution evaluates it. Guards and arguments refer to results of earlier calls, so no call
 * is made for a row for which plain execution would not make it.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "utils/lsyscache.h"

#include "serve/batching_parts.h"

typedef struct Place
{
	GptCut *cut;
	List *guard;
} Place;

/* The value of CASE's argument takes its place in the conditions of the arms. */
typedef struct CaseValue
{
	Node *value;
	bool failed; /* an expression is too involved for that */
} CaseValue;

static Node *cut_node(Node *node, Place *place);
static Node *cut_call(FuncExpr *call, int kind, Place *place);
static Node *find_result(const GptCut *cut, const FuncExpr *call, const List *guard);
static bool is_guarded_alike(const List *of_earlier, const List *guard);
static Node *cut_bool(BoolExpr *expression, Place *place);
static Node *cut_coalesce(CoalesceExpr *expression, Place *place);
static Node *cut_case(CaseExpr *expression, Place *place);
static Node *keep_condition(Node *condition, Place *place);
static Node *cut_arm(Node *node, Place *place, bool failed);
static Node *put_case_value(Node *node, CaseValue *value);
static Node *put_in_case(CaseExpr *expression, CaseValue *value);
static Node *cut_subplan(SubPlan *subplan, Place *place);
static Node *map_node(Node *node, GptCut *cut);
static List *with_condition(const List *guard, Node *condition);
static Node *truth(Node *condition, BoolTestType test);
static bool has_case_value(Node *node, void *context);

Node *
gpt_cut_expression(GptCut *cut, Node *node, List *guard)
{
	Place place = {.cut = cut, .guard = guard};

	return cut_node(node, &place);
}

void
gpt_cut_filter(GptCut *cut, Node *condition)
{
	Node *expression = gpt_cut_expression(cut, condition, NIL);

	cut->steps = lappend(cut->steps, list_make2(expression, NIL));
	cut->kinds = lappend_int(cut->kinds, GPT_BATCH_FILTER);
}

Node *
gpt_cut_column(GptCut *cut, Node *expression)
{
	TargetEntry *entry = tlist_member((Expr *) expression, cut->columns);

	if (entry == NULL)
	{
		entry = makeTargetEntry((Expr *) expression, list_length(cut->columns) + 1, NULL, false);
		cut->columns = lappend(cut->columns, entry);
	}
	return (Node *) makeVar(OUTER_VAR, entry->resno, exprType(expression), exprTypmod(expression),
							exprCollation(expression), 0);
}

/* An expression with calls; without, its leaves alone change. */
static Node *
cut_node(Node *node, Place *place)
{
	int kind;

	if (node == NULL)
		return NULL;
	check_stack_depth();
	kind = gpt_batch_kind_of(node);
	if (kind >= 0)
		return cut_call((FuncExpr *) node, kind, place);
	switch (nodeTag(node))
	{
		case T_BoolExpr:
			return cut_bool((BoolExpr *) node, place);
		case T_CoalesceExpr:
			return cut_coalesce((CoalesceExpr *) node, place);
		case T_CaseExpr:
			return cut_case((CaseExpr *) node, place);
		case T_SubPlan:
			return cut_subplan((SubPlan *) node, place);
			/* All parts of these are evaluated whenever the expression is. */
		case T_List:
		case T_TargetEntry:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_CollateExpr:
		case T_ConvertRowtypeExpr:
		case T_ArrayExpr:
		case T_RowExpr:
		case T_MinMaxExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_CoerceToDomain:
		case T_FieldSelect:
			return expression_tree_mutator(node, cut_node, place);
		default:
			return map_node(node, place->cut);
	}
}

/* Returns the call's result, or the call where it cannot be taken out. */
static Node *
cut_call(FuncExpr *call, int kind, Place *place)
{
	GptCut *cut = place->cut;
	FuncExpr *copy = makeNode(FuncExpr);
	Node *found;

	memcpy(copy, call, sizeof(FuncExpr));
	copy->args = (List *) expression_tree_mutator((Node *) call->args, cut_node, place);
	/* These are evaluated at other times, guards twice. */
	if (contain_volatile_functions((Node *) copy->args) ||
		contain_volatile_functions((Node *) place->guard) ||
		contain_subplans((Node *) place->guard) || has_case_value((Node *) copy->args, NULL))
		return (Node *) copy;
	found = find_result(cut, copy, place->guard);
	if (found != NULL)
		return found;
	if (cut->closed)
		return (Node *) copy;
	cut->steps = lappend(cut->steps, list_make2(copy, place->guard));
	cut->kinds = lappend_int(cut->kinds, kind);
	cut->calls = lappend(cut->calls, copy);
	return (Node *) makeVar(INDEX_VAR, list_length(cut->calls), exprType((Node *) call), -1,
							exprCollation((Node *) call), 0);
}

/* The result of an equal call that was made whenever this one would be made; or NULL. */
static Node *
find_result(const GptCut *cut, const FuncExpr *call, const List *guard)
{
	int result = 0;
	ListCell *step;
	ListCell *kind;

	if (func_volatile(call->funcid) == PROVOLATILE_VOLATILE)
		return NULL;
	forboth(step, cut->steps, kind, cut->kinds)
	{
		const List *parts = lfirst(step);

		if (lfirst_int(kind) == GPT_BATCH_FILTER)
			continue;
		result++;
		if (equal(linitial(parts), call) &&
			(cut->closed || is_guarded_alike(lsecond(parts), guard)))
			return (Node *) makeVar(INDEX_VAR, result, exprType((const Node *) call), -1,
									exprCollation((const Node *) call), 0);
	}
	return NULL;
}

/* Whether each condition of the earlier call is one of this call. */
static bool
is_guarded_alike(const List *of_earlier, const List *guard)
{
	ListCell *cell;

	foreach (cell, of_earlier)
		if (!list_member(guard, lfirst(cell)))
			return false;
	return true;
}

/* AND goes on until something is false, OR until something is true. */
static Node *
cut_bool(BoolExpr *expression, Place *place)
{
	BoolExpr *copy;
	Place part = *place;
	ListCell *cell;

	if (expression->boolop == NOT_EXPR)
		return expression_tree_mutator((Node *) expression, cut_node, place);
	if (!gpt_batch_has_call((Node *) expression))
		return map_node((Node *) expression, place->cut);
	copy = makeNode(BoolExpr);
	memcpy(copy, expression, sizeof(BoolExpr));
	copy->args = NIL;
	foreach (cell, expression->args)
	{
		Node *argument = cut_node(lfirst(cell), &part);

		if (gpt_batch_has_call(
				(Node *) list_copy_tail(expression->args, foreach_current_index(cell) + 1)))
			argument = keep_condition(argument, &part);
		copy->args = lappend(copy->args, argument);
		part.guard = with_condition(
			part.guard,
			truth(argument, expression->boolop == AND_EXPR ? IS_NOT_FALSE : IS_NOT_TRUE));
	}
	return (Node *) copy;
}

static Node *
cut_coalesce(CoalesceExpr *expression, Place *place)
{
	CoalesceExpr *copy;
	Place part = *place;
	ListCell *cell;

	if (!gpt_batch_has_call((Node *) expression))
		return map_node((Node *) expression, place->cut);
	copy = makeNode(CoalesceExpr);
	memcpy(copy, expression, sizeof(CoalesceExpr));
	copy->args = NIL;
	foreach (cell, expression->args)
	{
		Node *argument = cut_node(lfirst(cell), &part);
		NullTest *test = makeNode(NullTest);

		copy->args = lappend(copy->args, argument);
		test->arg = (Expr *) argument;
		test->nulltesttype = IS_NULL;
		test->location = -1;
		part.guard = with_condition(part.guard, (Node *) test);
	}
	return (Node *) copy;
}

/*
 * The result of an arm is evaluated where its condition is true, and those of the arms before are
 * not. In guards, the argument of CASE stands in the place that the conditions have for it.
 */
static Node *
cut_case(CaseExpr *expression, Place *place)
{
	CaseExpr *copy;
	Place part = *place;
	CaseValue value = {0};
	ListCell *cell;

	if (!gpt_batch_has_call((Node *) expression))
		return map_node((Node *) expression, place->cut);
	copy = makeNode(CaseExpr);
	memcpy(copy, expression, sizeof(CaseExpr));
	copy->args = NIL;
	copy->arg = (Expr *) cut_node((Node *) expression->arg, place);
	value.value = (Node *) copy->arg;
	foreach (cell, expression->args)
	{
		CaseWhen *when = makeNode(CaseWhen);
		Place arm = part;
		Node *condition;

		memcpy(when, lfirst(cell), sizeof(CaseWhen));
		when->expr = (Expr *) cut_arm((Node *) when->expr, &part, value.failed);
		if (value.value == NULL)
			when->expr = (Expr *) keep_condition((Node *) when->expr, &part);
		condition = put_case_value((Node *) when->expr, &value);
		arm.guard = with_condition(part.guard, truth(condition, IS_TRUE));
		when->result = (Expr *) cut_arm((Node *) when->result, &arm, value.failed);
		part.guard = with_condition(part.guard, truth(condition, IS_NOT_TRUE));
		copy->args = lappend(copy->args, when);
	}
	copy->defresult = (Expr *) cut_arm((Node *) expression->defresult, &part, value.failed);
	return (Node *) copy;
}

/*
 * A condition with a subquery is computed once, as a result of its own, which guards may refer to.
 */
static Node *
keep_condition(Node *condition, Place *place)
{
	GptCut *cut = place->cut;

	if (!contain_subplans(condition) || contain_volatile_functions(condition) ||
		contain_volatile_functions((Node *) place->guard) ||
		contain_subplans((Node *) place->guard) || cut->closed)
		return condition;
	cut->steps = lappend(cut->steps, list_make2(condition, place->guard));
	cut->kinds = lappend_int(cut->kinds, GPT_BATCH_CONDITION);
	cut->calls = lappend(cut->calls, condition);
	return (Node *) makeVar(INDEX_VAR, list_length(cut->calls), BOOLOID, -1, InvalidOid, 0);
}

/* A part of CASE; its calls stay in it where its guard is not known. */
static Node *
cut_arm(Node *node, Place *place, bool failed)
{
	return failed ? map_node(node, place->cut) : cut_node(node, place);
}

/* Another expression with such a placeholder inside is left alone, and calls after it are too. */
static Node *
put_case_value(Node *node, CaseValue *value)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CaseTestExpr))
	{
		if (value->value == NULL)
			value->failed = true;
		return value->value == NULL ? node : copyObject(value->value);
	}
	if (IsA(node, CaseExpr) && ((CaseExpr *) node)->arg != NULL)
		return put_in_case((CaseExpr *) node, value);
	if (IsA(node, ArrayCoerceExpr) || IsA(node, FieldStore) || IsA(node, SubPlan))
	{
		value->failed = true;
		return node;
	}
	return expression_tree_mutator(node, put_case_value, value);
}

/* The placeholders in conditions of a CASE inside belong to that one. */
static Node *
put_in_case(CaseExpr *expression, CaseValue *value)
{
	CaseExpr *copy = makeNode(CaseExpr);
	ListCell *cell;

	memcpy(copy, expression, sizeof(CaseExpr));
	copy->arg = (Expr *) put_case_value((Node *) expression->arg, value);
	copy->defresult = (Expr *) put_case_value((Node *) expression->defresult, value);
	copy->args = NIL;
	foreach (cell, expression->args)
	{
		CaseWhen *when = makeNode(CaseWhen);

		memcpy(when, lfirst(cell), sizeof(CaseWhen));
		when->result = (Expr *) put_case_value((Node *) when->result, value);
		copy->args = lappend(copy->args, when);
	}
	return (Node *) copy;
}

/* What a subplan gets is evaluated each time; what it compares may not be. */
static Node *
cut_subplan(SubPlan *subplan, Place *place)
{
	SubPlan *copy = makeNode(SubPlan);

	memcpy(copy, subplan, sizeof(SubPlan));
	copy->testexpr = map_node(subplan->testexpr, place->cut);
	copy->args = (List *) cut_node((Node *) subplan->args, place);
	return (Node *) copy;
}

/* Leaves become columns. */
static Node *
map_node(Node *node, GptCut *cut)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) || IsA(node, Aggref) || IsA(node, WindowFunc) || IsA(node, GroupingFunc))
		return cut->fixed ? (Node *) copyObject(node) : gpt_cut_column(cut, node);
	return expression_tree_mutator(node, map_node, cut);
}

static List *
with_condition(const List *guard, Node *condition)
{
	return lappend(list_copy(guard), condition);
}

static Node *
truth(Node *condition, BoolTestType test)
{
	BooleanTest *node = makeNode(BooleanTest);

	node->arg = (Expr *) condition;
	node->booltesttype = test;
	node->location = -1;
	return (Node *) node;
}

static bool
has_case_value(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CaseTestExpr))
		return true;
	return expression_tree_walker(node, has_case_value, context);
}
