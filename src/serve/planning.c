/*
 * src/serve/planning.c
 *
 * The planner's requests about calls of models in, answers out.
 *
 * The server asks the support function of each such function: first while it simplifies a query's
 * expressions, which is how a planning learns that it has calls, then for costs and rows. What the
 * results are like is asked elsewhere (planning_index.c).
 *
 * A relation whose calls cost much gets as many parallel workers as these are worth, whatever its
 * size, in the place of its option parallel_workers, unless it has this option.
 */
#include "postgres.h"

#include <math.h>

#include "access/transam.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/appendinfo.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"

#include "core/compat.h"
#include "serve/planning.h"
#include "serve/planning_parts.h"

/* A further process is worth it for so many times the cost of starting it. */
#define WORTH_OF_WORKER 2

static GptPlanned *plannings = NULL; /* those in progress, the innermost first */

static get_relation_info_hook_type previous_relation_info = NULL;

static GptPlanned *make_planned(PlannerInfo *root);
static void forget(void *planned);
static Node *note_function(SupportRequestSimplify *request);
static Node *cost(SupportRequestCost *request);
static Node *rows(SupportRequestRows *request);
static void relation_info(PlannerInfo *root, Oid relation, bool is_parent, RelOptInfo *rel);
static bool has_expression(Node *node, void *expression);
static bool note_indexed(GptPlanned *planned, PlannerInfo *root, FuncExpr *call,
						 const RelOptInfo *rel, Index of);
static bool has_aggregate(const PlannerInfo *root);
static void add_cost_of_transition(PlannerInfo *root, const AggTransInfo *transition,
								   const RelOptInfo *rel, QualCost *per_row);
static Index member_of(const PlannerInfo *root, Index relation, Relids relids);
static Node *translated(PlannerInfo *root, FuncExpr *call, Index part, Index whole);
static void add_workers(PlannerInfo *root, RelOptInfo *rel, double cost_of_row);

void
gpt_planning_init(void)
{
	previous_relation_info = get_relation_info_hook;
	get_relation_info_hook = relation_info;
	gpt_planned_index_init();
}

Node *
gpt_planning_support(Node *request)
{
	switch (nodeTag(request))
	{
		case T_SupportRequestSimplify:
			return note_function((SupportRequestSimplify *) request);
		case T_SupportRequestCost:
			return cost((SupportRequestCost *) request);
		case T_SupportRequestRows:
			return rows((SupportRequestRows *) request);
		default:
			return NULL;
	}
}

/* ---- Plannings in progress ---------------------------------------------- */

GptPlanned *
gpt_planned_find(const PlannerGlobal *global)
{
	GptPlanned *planned = plannings;

	while (planned != NULL && planned->global != global)
		planned = planned->next;
	return planned;
}

/* It lives as long as what the planner itself keeps of the planning. */
static GptPlanned *
make_planned(PlannerInfo *root)
{
	GptPlanned *planned = gpt_planned_find(root->glob);

	if (planned != NULL)
		return planned;
	planned = MemoryContextAllocZero(root->planner_cxt, sizeof(GptPlanned));
	planned->global = root->glob;
	planned->context = root->planner_cxt;
	planned->next = plannings;
	planned->end.func = forget;
	planned->end.arg = planned;
	MemoryContextRegisterResetCallback(root->planner_cxt, &planned->end);
	plannings = planned;
	return planned;
}

/* Callback: its memory goes. */
static void
forget(void *argument)
{
	GptPlanned *planned = argument;
	GptPlanned **place = &plannings;
	ListCell *cell;

	foreach (cell, planned->models)
	{
		GptPlannedModel *model = lfirst(cell);

		if (model->facts != NULL)
			gpt_version_facts_release(model->facts);
	}
	planned->models = NIL;
	while (*place != NULL && *place != planned)
		place = &(*place)->next;
	if (*place != NULL)
		*place = planned->next;
}

GptPlanned *
gpt_planning_mark(void)
{
	return plannings;
}

void
gpt_planning_forget(const GptPlanned *mark)
{
	const GptPlanned *one = plannings;

	while (one != NULL && one != mark)
		one = one->next;
	while (one == mark && plannings != mark)
		forget(plannings);
}

/* ---- Requests ----------------------------------------------------------- */

/* Simplifies nothing, but notes that the statement calls the function. */
static Node *
note_function(SupportRequestSimplify *request)
{
	GptPlanned *planned;
	MemoryContext caller;

	if (request->root == NULL || request->root->glob == NULL)
		return NULL;
	planned = make_planned(request->root);
	caller = MemoryContextSwitchTo(planned->context);
	planned->functions = list_append_unique_oid(planned->functions, request->fcall->funcid);
	MemoryContextSwitchTo(caller);
	return NULL;
}

/* The call that a request is about; of an aggregate the request has none. */
static Node *
call_of(PlannerInfo *root, Oid function, Node *node)
{
	ListCell *cell;

	if (node != NULL || root == NULL)
		return node;
	foreach (cell, root->aggtransinfos)
	{
		AggTransInfo *transition = lfirst(cell);
		ListCell *info;

		if (transition->transfn_oid != function)
			continue;
		foreach (info, root->agginfos)
		{
			if (((AggInfo *) lfirst(info))->transno == foreach_current_index(cell))
				return (Node *) gpt_aggregate_of(lfirst(info));
		}
	}
	return NULL;
}

static Node *
cost(SupportRequestCost *request)
{
	Node *node = call_of(request->root, request->funcid, request->node);
	GptPlanned *planned;
	GptPlannedCall call;
	double units;

	if (node == NULL || request->root == NULL || request->root->glob == NULL)
		return NULL;
	planned = make_planned(request->root);
	if (list_member(planned->indexed, node) || !gpt_planned_call(&call, planned, node))
		return NULL;
	units = gpt_planned_cost(&call, request->root);
	if (units < 0)
		return NULL;
	request->per_tuple = units;
	return (Node *) request;
}

static Node *
rows(SupportRequestRows *request)
{
	GptPlannedCall call;
	double n;

	if (request->node == NULL || request->root == NULL || request->root->glob == NULL ||
		!gpt_planned_call(&call, make_planned(request->root), request->node))
		return NULL;
	n = gpt_planned_rows(&call, request->root);
	if (n < 0)
		return NULL;
	request->rows = n;
	return (Node *) request;
}

/* ---- Relations ---------------------------------------------------------- */

/* Called when the planner has read what it needs to know of a relation. */
static void
relation_info(PlannerInfo *root, Oid relation, bool is_parent, RelOptInfo *rel)
{
	GptPlanned *planned = NULL;
	GptPlannedLevel *level;
	QualCost per_row = {0};
	ListCell *cell;

	if (previous_relation_info != NULL)
		previous_relation_info(root, relation, is_parent, rel);
	planned = gpt_planned_find(root->glob);
	if (planned == NULL && root->agginfos != NIL && has_aggregate(root))
		planned = make_planned(root);
	if (planned == NULL)
		return;
	level = gpt_planned_level(planned, root);
	foreach (cell, level->calls)
	{
		FuncExpr *call = lfirst(cell);
		Relids relids = pull_varnos(root, (Node *) call);
		Index of = member_of(root, rel->relid, relids);

		if (of == 0 || note_indexed(planned, root, call, rel, of))
			continue;
		add_function_cost(root, call->funcid, (Node *) call, &per_row);
		if (bms_membership(relids) == BMS_SINGLETON)
			gpt_planned_index_add(
				planned, level, (FuncExpr *) translated(root, call, rel->relid, of), rel, relation);
	}
	foreach (cell, root->aggtransinfos)
		add_cost_of_transition(root, lfirst(cell), rel, &per_row);
	if (!is_parent && per_row.per_tuple > 0)
		add_workers(root, rel, per_row.per_tuple);
}

static bool
has_expression(Node *node, void *expression)
{
	return node != NULL &&
		   (equal(node, expression) || expression_tree_walker(node, has_expression, expression));
}

/*
 * Whether an index on the relation has the results of a call that stands in conditions only. Its
 * statistics are ANALYZE's, and a lookup in it calls nothing: the cost that the function declares
 * is enough to prefer it, and the model's row need not be read for each lookup.
 */
static bool
note_indexed(GptPlanned *planned, PlannerInfo *root, FuncExpr *call, const RelOptInfo *rel,
			 Index of)
{
	MemoryContext caller;
	ListCell *cell;
	Node *own = NULL;

	foreach (cell, rel->indexlist)
	{
		const IndexOptInfo *index = lfirst(cell);

		if (index->indexprs == NIL || index->indpred != NIL || index->hypothetical)
			continue;
		if (own == NULL)
			own = translated(root, call, rel->relid, of);
		if (!list_member(index->indexprs, own) ||
			has_expression((Node *) root->parse->targetList, call))
			continue;
		caller = MemoryContextSwitchTo(planned->context);
		planned->indexed = lappend(planned->indexed, own);
		MemoryContextSwitchTo(caller);
		return true;
	}
	return false;
}

/* Whether one of the aggregates calls a model; the server's own have lower numbers. */
static bool
has_aggregate(const PlannerInfo *root)
{
	ListCell *cell;

	foreach (cell, root->aggtransinfos)
	{
		Oid function = ((AggTransInfo *) lfirst(cell))->transfn_oid;

		if (function >= FirstNormalObjectId && gpt_planned_function(function) != NULL)
			return true;
	}
	return false;
}

/* Its aggregates have rows of all relations; without a join, of this one. */
static void
add_cost_of_transition(PlannerInfo *root, const AggTransInfo *transition, const RelOptInfo *rel,
					   QualCost *per_row)
{
	if (transition->transfn_oid >= FirstNormalObjectId &&
		gpt_planned_function(transition->transfn_oid) != NULL &&
		member_of(root, rel->relid, pull_varnos(root, (Node *) transition->args)) != 0)
		add_function_cost(root, transition->transfn_oid, NULL, per_row);
}

/* The relation among these that this one is or is a part of, as a partition is; 0: none. */
static Index
member_of(const PlannerInfo *root, Index relation, Relids relids)
{
	while (!bms_is_member((int) relation, relids))
	{
		if (root->append_rel_array == NULL || root->append_rel_array[relation] == NULL)
			return 0;
		relation = root->append_rel_array[relation]->parent_relid;
	}
	return relation;
}

/* The call as it is written for a part of its relation. */
static Node *
translated(PlannerInfo *root, FuncExpr *call, Index part, Index whole)
{
	List *steps = NIL;
	Node *node = (Node *) call;
	ListCell *cell;

	for (; part != whole; part = root->append_rel_array[part]->parent_relid)
		steps = lcons(root->append_rel_array[part], steps);
	foreach (cell, steps)
	{
		AppendRelInfo *step = lfirst(cell);

		node = adjust_appendrel_attrs(root, node, 1, &step);
	}
	return node;
}

typedef struct CallSearch
{
	const GptPlanned *planned;
	List *calls;
} CallSearch;

static bool
collect_calls(Node *node, void *context)
{
	CallSearch *search = context;

	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) &&
		list_member_oid(search->planned->functions, ((FuncExpr *) node)->funcid))
		search->calls = list_append_unique(search->calls, node);
	return expression_tree_walker(node, collect_calls, context);
}

/* The calls of a level of a query, found when it is first asked for. */
GptPlannedLevel *
gpt_planned_level(GptPlanned *planned, PlannerInfo *root)
{
	CallSearch search = {planned, NIL};
	GptPlannedLevel *level;
	MemoryContext caller;
	ListCell *cell;

	foreach (cell, planned->levels)
	{
		level = lfirst(cell);
		if (level->root == root)
			return level;
	}
	caller = MemoryContextSwitchTo(planned->context);
	(void) collect_calls((Node *) root->parse->jointree, &search);
	(void) collect_calls((Node *) root->parse->targetList, &search);
	(void) collect_calls(root->parse->havingQual, &search);
	(void) collect_calls((Node *) root->parse->returningList, &search);
	level = palloc0(sizeof(GptPlannedLevel));
	level->root = root;
	level->calls = search.calls;
	planned->levels = lappend(planned->levels, level);
	MemoryContextSwitchTo(caller);
	return level;
}

/*
 * As many workers as the calls are worth, if they are more than the relation's size gives. A
 * worker takes whole pages. The server caps the number and compares the costs of all plans.
 */
static void
add_workers(PlannerInfo *root, RelOptInfo *rel, double cost_of_row)
{
	double n = rel->tuples;
	double n_workers;

	if (rel->rel_parallel_workers != -1 || !root->glob->parallelModeOK)
		return;
	/* A LIMIT that stands directly above ends the calls early. */
	if (root->parse->sortClause == NIL && root->tuple_fraction > 0)
		n = root->tuple_fraction >= 1 ? Min(n, root->tuple_fraction) : n * root->tuple_fraction;
	n_workers = floor(n * cost_of_row / (WORTH_OF_WORKER * Max(parallel_setup_cost, 1)));
	n_workers = Min(n_workers, Min((double) rel->pages - 1, max_parallel_workers_per_gather));
	if (n_workers > compute_parallel_worker(rel, rel->pages, -1, max_parallel_workers_per_gather))
		rel->rel_parallel_workers = (int) n_workers;
}

/* ---- Finished plans ----------------------------------------------------- */

void
gpt_planning_finish(PlannedStmt *statement)
{
	double cost_of_others;

	if (statement->jitFlags == PGJIT_NONE)
		return;
	cost_of_others = gpt_planned_other_cost(statement);
	if (cost_of_others <= jit_above_cost)
		statement->jitFlags = PGJIT_NONE;
	else
	{
		if (cost_of_others <= jit_optimize_above_cost)
			statement->jitFlags &= ~PGJIT_OPT3;
		if (cost_of_others <= jit_inline_above_cost)
			statement->jitFlags &= ~PGJIT_INLINE;
	}
}
