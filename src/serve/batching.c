/*
 * src/serve/batching.c
 *
 * A finished plan in, the same plan with nodes GptBatch out, where its expressions call models:
 *
 *   Limit                          Limit
 *     Seq Scan on review             Custom Scan (GptBatch)     list and filter with results in
 *       filter: stars > 3 AND          filter: … = 'spam'       the place of calls
 *         gpt_classify('m', body)      Seq Scan on review       the columns that are read
 *         = 'spam'                       filter: stars > 3
 *
 * A statement without our functions is left after one look at what its plan depends on.
 */
#include "postgres.h"

#include "optimizer/planner.h"
#include "utils/syscache.h"

#include "core/settings.h"
#include "serve/batching.h"
#include "serve/batching_parts.h"
#include "serve/planning.h"
#include "serve/pushdown.h"

static planner_hook_type previous_planner = NULL;

static PlannedStmt *plan_statement(Query *query, const char *text, int cursor_options,
								   ParamListInfo parameters);
static bool has_functions(const PlannedStmt *statement);

void
gpt_batching_init(const GptCallKind *const *batched)
{
	gpt_batch_kinds_init(batched);
	gpt_batch_bound_init();
	RegisterCustomScanMethods(&gpt_batch_methods);
	previous_planner = planner_hook;
	planner_hook = plan_statement;
}

static PlannedStmt *
plan_statement(Query *query, const char *text, int cursor_options, ParamListInfo parameters)
{
	GptPlanned *mark = gpt_planning_mark();
	PlannedStmt *statement;

	if (previous_planner != NULL)
		statement = previous_planner(query, text, cursor_options, parameters);
	else
		statement = standard_planner(query, text, cursor_options, parameters);
	gpt_planning_forget(mark);
	if (!has_functions(statement))
		return statement;
	gpt_planning_finish(statement);
	if (gpt_batching && gpt_batch_may_call(statement))
	{
		gpt_pushdown(statement);
		gpt_batch_place(statement, cursor_options);
	}
	return statement;
}

/* A plan lists the functions that it calls, apart from the server's own. */
static bool
has_functions(const PlannedStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->invalItems)
		if (lfirst_node(PlanInvalItem, cell)->cacheId == PROCOID)
			return true;
	return false;
}
