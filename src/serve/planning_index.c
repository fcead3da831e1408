/*
 * src/serve/planning_index.c
 *
 * What the results of calls are like, where the planner looks for it.
 *
 * It has no request for that: `gpt_classify(m, x) = 'spam'` is estimated by the operator's
 * function, which looks for statistics of the expression, and the one place in which it looks is an
 * index on it. So each relation gets an index that is none: partial, on no rows, so that it serves
 * no scan, with the call as its column; and the statistics of this column are made of what the
 * model's version keeps (planning_statistics.c). All estimates then are the server's: =, <>, IN, <,
 * BETWEEN, LIKE, IS NULL, joins, and the groups of GROUP BY. A column of a subquery or CTE that is
 * a call has the same statistics.
 *
 * Alternatives: gpt_classify(m, x) = 'spam' as a function of ours, which SupportRequestSelectivity
 * covers, would need operators of a type of ours; changing the rows of a relation afterwards
 * (set_rel_pathlist_hook) comes too late for joins and guesses which clause was counted how.
 */
#include "postgres.h"

#include "catalog/pg_statistic_ext.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "statistics/statistics.h"
#include "utils/selfuncs.h"

#include "serve/planning_parts.h"

static get_index_stats_hook_type previous_index_stats = NULL;
static get_relation_stats_hook_type previous_relation_stats = NULL;

static bool index_stats(PlannerInfo *root, Oid index, AttrNumber column, VariableStatData *found);
static bool relation_stats(PlannerInfo *root, RangeTblEntry *entry, AttrNumber column,
						   VariableStatData *found);
static PlannerInfo *root_of(PlannerInfo *root, const RangeTblEntry *entry);

void
gpt_planned_index_init(void)
{
	previous_index_stats = get_index_stats_hook;
	get_index_stats_hook = index_stats;
	previous_relation_stats = get_relation_stats_hook;
	get_relation_stats_hook = relation_stats;
}

/* ---- Indexes ------------------------------------------------------------ */

/* Whether the server finds statistics of the expression without us: extended ones. */
static bool
has_statistics(const RelOptInfo *rel, const Node *expression)
{
	ListCell *cell;

	foreach (cell, rel->statlist)
	{
		const StatisticExtInfo *info = lfirst(cell);

		if (info->kind == STATS_EXT_EXPRESSIONS && list_member(info->exprs, expression))
			return true;
	}
	return false;
}

/* Gives the relation an index that is none, with the call as its column. */
void
gpt_planned_index_add(GptPlanned *planned, GptPlannedLevel *level, FuncExpr *call, RelOptInfo *rel,
					  Oid relation)
{
	GptPlannedStatistics *statistics;
	IndexOptInfo *index;
	GptPlannedCall read;
	MemoryContext caller;

	if (!gpt_planned_call(&read, planned, (Node *) call) || !gpt_planned_is_kept(&read) ||
		has_statistics(rel, (Node *) call))
		return;
	caller = MemoryContextSwitchTo(planned->context);
	statistics = palloc0(sizeof(GptPlannedStatistics));
	statistics->relation = relation;
	statistics->call = call;
	level->statistics = lappend(level->statistics, statistics);
	index = makeNode(IndexOptInfo);
	index->indexoid = relation; /* no index has this oid, and it has a name */
	index->rel = rel;
	index->hypothetical = true;
	index->ncolumns = index->nkeycolumns = 1;
	index->indexkeys = palloc0(sizeof(int));
	index->indexcollations = palloc0(sizeof(Oid));
	index->opfamily = palloc0(sizeof(Oid));
	index->opcintype = palloc0(sizeof(Oid));
	index->canreturn = palloc0(sizeof(bool));
	index->opclassoptions = palloc0(sizeof(bytea *));
	index->indexprs = list_make1(call);
	index->indextlist = list_make1(makeTargetEntry((Expr *) call, 1, NULL, false));
	index->indpred = list_make1(makeBoolConst(false, false));
	rel->indexlist = lappend(rel->indexlist, index);
	MemoryContextSwitchTo(caller);
}

/* The statistics of such an index, made when they are first asked for. */
static GptPlannedStatistics *
find_statistics(GptPlanned *planned, PlannerInfo *root, Oid relation, const Node *expression)
{
	ListCell *cell;

	foreach (cell, gpt_planned_level(planned, root)->statistics)
	{
		GptPlannedStatistics *statistics = lfirst(cell);
		GptPlannedCall call;
		MemoryContext caller;

		if (statistics->relation != relation || !equal(statistics->call, expression))
			continue;
		if (!statistics->made && gpt_planned_call(&call, planned, (Node *) statistics->call))
		{
			caller = MemoryContextSwitchTo(planned->context);
			statistics->tuple = gpt_planned_tuple(&call, root);
			MemoryContextSwitchTo(caller);
		}
		statistics->made = true;
		return statistics;
	}
	return NULL;
}

/* The tuple stays until the end of the planning. */
static void
keep_tuple(HeapTuple tuple)
{
}

/* Who may use the model may read what it keeps (gpt_versions). */
static bool
give(VariableStatData *found, const GptPlannedStatistics *statistics)
{
	if (statistics->tuple == NULL)
		return false;
	found->statsTuple = statistics->tuple;
	found->freefunc = keep_tuple;
	found->acl_ok = true;
	return true;
}

/* The server asks for the statistics of a column of an index that is an expression. */
static bool
index_stats(PlannerInfo *root, Oid index, AttrNumber column, VariableStatData *found)
{
	GptPlanned *planned = gpt_planned_find(root->glob);
	GptPlannedStatistics *statistics =
		planned != NULL ? find_statistics(planned, root, index, found->var) : NULL;

	if (statistics != NULL)
		return give(found, statistics);
	return previous_index_stats != NULL && previous_index_stats(root, index, column, found);
}

/* ---- Subqueries --------------------------------------------------------- */

/* The statistics of a call that is a column of a query at that level; NULL: there are none. */
static GptPlannedStatistics *
statistics_of_column(GptPlanned *planned, PlannerInfo *root, AttrNumber column)
{
	const Query *query = root->parse;
	TargetEntry *entry = get_tle_by_resno(query->targetList, column);
	GptPlannedStatistics *statistics;
	GptPlannedCall call;
	MemoryContext caller;

	/* As examine_simple_variable: these change which values there are. */
	if (query->setOperations != NULL || query->groupClause != NIL || query->groupingSets != NIL ||
		query->distinctClause != NIL)
		return NULL;
	if (entry == NULL || !IsA(entry->expr, FuncExpr) ||
		!list_member_oid(planned->functions, ((FuncExpr *) entry->expr)->funcid))
		return NULL;
	statistics = find_statistics(planned, root, InvalidOid, (Node *) entry->expr);
	if (statistics != NULL || !gpt_planned_call(&call, planned, (Node *) entry->expr) ||
		!gpt_planned_is_kept(&call))
		return statistics;
	caller = MemoryContextSwitchTo(planned->context);
	statistics = palloc0(sizeof(GptPlannedStatistics));
	statistics->call = (FuncExpr *) entry->expr;
	gpt_planned_level(planned, root)->statistics =
		lappend(gpt_planned_level(planned, root)->statistics, statistics);
	MemoryContextSwitchTo(caller);
	return find_statistics(planned, root, InvalidOid, (Node *) entry->expr);
}

/* The server asks for the statistics of a column of a relation, subquery or CTE. */
static bool
relation_stats(PlannerInfo *root, RangeTblEntry *entry, AttrNumber column, VariableStatData *found)
{
	GptPlanned *planned = gpt_planned_find(root->glob);
	GptPlannedStatistics *statistics = NULL;
	PlannerInfo *below = NULL;

	if (planned != NULL && column > 0 && !entry->security_barrier)
		below = root_of(root, entry);
	if (below != NULL)
		statistics = statistics_of_column(planned, below, column);
	if (statistics != NULL)
		return give(found, statistics);
	return previous_relation_stats != NULL && previous_relation_stats(root, entry, column, found);
}

/* The planning of a subquery or CTE; NULL for what is none, or is not planned yet. */
static PlannerInfo *
root_of(PlannerInfo *root, const RangeTblEntry *entry)
{
	PlannerInfo *of_cte = root;
	int number = 0;
	ListCell *cell;

	if (entry->rtekind == RTE_SUBQUERY && !entry->inh)
	{
		for (int i = 1; i < root->simple_rel_array_size; i++)
			if (root->simple_rte_array[i] == entry && root->simple_rel_array[i] != NULL)
				return root->simple_rel_array[i]->subroot;
	}
	if (entry->rtekind != RTE_CTE || entry->self_reference)
		return NULL;
	for (Index up = entry->ctelevelsup; up > 0 && of_cte != NULL; up--)
		of_cte = of_cte->parent_root;
	if (of_cte == NULL)
		return NULL;
	foreach (cell, of_cte->parse->cteList)
	{
		if (strcmp(((CommonTableExpr *) lfirst(cell))->ctename, entry->ctename) == 0)
			break;
		number++;
	}
	if (cell == NULL || number >= list_length(of_cte->cte_plan_ids) ||
		list_nth_int(of_cte->cte_plan_ids, number) <= 0)
		return NULL;
	return list_nth(root->glob->subroots, list_nth_int(of_cte->cte_plan_ids, number) - 1);
}
