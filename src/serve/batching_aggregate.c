/*
 * src/serve/batching_aggregate.c
 *
 * Calls in arguments and filters of aggregates: a node between the aggregation and the plan below
 * it passes that plan's columns on and adds the results of the calls behind them.
 *
 *   Aggregate: avg(column 3) FILTER (WHERE column 1)
 *     Custom Scan (GptBatch): column 1, column 2, gpt_score('m', column 2)  where column 1 holds
 *       Seq Scan: column 1, column 2
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/nodeFuncs.h"

#include "serve/batching_parts.h"

typedef struct Aggregates
{
	GptCut cut;
	int n_columns; /* of the plan below */
	List *before; /* aggregates as they were */
	List *after; /* the same with columns in place of calls */
} Aggregates;

static bool has_call_inside(Node *node, void *context);
static bool aggregates_all_rows(const WindowAgg *plan);
static Node *cut_aggregates(Node *node, Aggregates *aggregates);
static Node *cut_aggregate(Node *node, Aggregates *aggregates);
static List *guard_of_filter(Node *filter);

void
gpt_batch_aggregates(Plan *plan, GptBatchWalk *walk, const GptBatchAbove *above)
{
	Plan *below = plan->lefttree;
	Aggregates aggregates = {.cut.fixed = true, .n_columns = list_length(below->targetlist)};
	List *list;
	List *qual;

	if (above->bound.one || (!has_call_inside((Node *) plan->targetlist, NULL) &&
							 !has_call_inside((Node *) plan->qual, NULL)))
		return;
	if (IsA(plan, Agg) ? DO_AGGSPLIT_COMBINE(((Agg *) plan)->aggsplit)
					   : !aggregates_all_rows((WindowAgg *) plan))
		return;
	if (gpt_batch_volatile_node(plan, walk->statement) == GPT_VOLATILE_USER)
		return;
	if (gpt_batch_volatile_node(plan, walk->statement) != GPT_VOLATILE_NOT || above->is_volatile)
	{
		if (gpt_batch_volatile_plan(below, walk->statement) != GPT_VOLATILE_NOT)
			return;
	}
	list = (List *) cut_aggregates((Node *) plan->targetlist, &aggregates);
	qual = (List *) cut_aggregates((Node *) plan->qual, &aggregates);
	if (aggregates.cut.calls == NIL)
		return;
	plan->targetlist = list;
	plan->qual = qual;
	plan->lefttree = gpt_batch_between(&aggregates.cut, below, walk, above);
}

/* Whether an aggregate or a window function has a call in it. */
static bool
has_call_inside(Node *node, void *context)
{
	if (node == NULL)
		return false;
	check_stack_depth();
	if (IsA(node, Aggref))
		return gpt_batch_has_call((Node *) ((Aggref *) node)->args) ||
			   gpt_batch_has_call((Node *) ((Aggref *) node)->aggfilter);
	if (IsA(node, WindowFunc))
		return gpt_batch_has_call((Node *) ((WindowFunc *) node)->args) ||
			   gpt_batch_has_call((Node *) ((WindowFunc *) node)->aggfilter);
	return expression_tree_walker(node, has_call_inside, context);
}

/* Whether each row of a partition comes into an aggregate's frame. */
static bool
aggregates_all_rows(const WindowAgg *plan)
{
	return plan->runCondition == NIL &&
		   (plan->frameOptions & FRAMEOPTION_START_UNBOUNDED_PRECEDING) != 0 &&
		   (plan->frameOptions &
			(FRAMEOPTION_END_UNBOUNDED_FOLLOWING | FRAMEOPTION_END_CURRENT_ROW)) != 0 &&
		   (plan->frameOptions & FRAMEOPTION_EXCLUSION) == 0;
}

/* The expression, with columns of the node in place of calls in its aggregates. */
static Node *
cut_aggregates(Node *node, Aggregates *aggregates)
{
	ListCell *before;
	ListCell *after;
	Node *copy;

	if (node == NULL)
		return NULL;
	check_stack_depth();
	if (!IsA(node, Aggref) && !IsA(node, WindowFunc))
		return expression_tree_mutator(node, cut_aggregates, aggregates);
	forboth(before, aggregates->before, after, aggregates->after)
	{
		if (equal(lfirst(before), node))
			return copyObject(lfirst(after));
	}
	copy = cut_aggregate(node, aggregates);
	aggregates->before = lappend(aggregates->before, node);
	aggregates->after = lappend(aggregates->after, copy);
	return copy;
}

/* Arguments are evaluated where the filter holds. */
static Node *
cut_aggregate(Node *node, Aggregates *aggregates)
{
	GptCut *cut = &aggregates->cut;
	Node *filter;

	if (!has_call_inside(node, NULL))
		return node;
	if (IsA(node, Aggref))
	{
		Aggref *copy = makeNode(Aggref);

		memcpy(copy, node, sizeof(Aggref));
		filter = gpt_cut_expression(cut, (Node *) copy->aggfilter, NIL);
		copy->args = (List *) gpt_batch_columns(
			gpt_cut_expression(cut, (Node *) copy->args, guard_of_filter(filter)),
			aggregates->n_columns);
		copy->aggfilter = (Expr *) gpt_batch_columns(filter, aggregates->n_columns);
		return (Node *) copy;
	}
	if (((WindowFunc *) node)->winagg)
	{
		WindowFunc *copy = makeNode(WindowFunc);

		memcpy(copy, node, sizeof(WindowFunc));
		filter = gpt_cut_expression(cut, (Node *) copy->aggfilter, NIL);
		copy->args = (List *) gpt_batch_columns(
			gpt_cut_expression(cut, (Node *) copy->args, guard_of_filter(filter)),
			aggregates->n_columns);
		copy->aggfilter = (Expr *) gpt_batch_columns(filter, aggregates->n_columns);
		return (Node *) copy;
	}
	return node;
}

static List *
guard_of_filter(Node *filter)
{
	BooleanTest *test;

	if (filter == NULL)
		return NIL;
	test = makeNode(BooleanTest);
	test->arg = (Expr *) filter;
	test->booltesttype = IS_TRUE;
	test->location = -1;
	return list_make1(test);
}
