/*
 * src/serve/explain.c
 *
 * A query that EXPLAIN ANALYZE runs goes in; what its calls of models cost is written after its
 * plan, in the format of the EXPLAIN. Any statement may call them anywhere, in functions of the
 * user too, so the counts of the session before the statement are subtracted from those after it.
 *
 * The server has no hook in this place before 18. One hook knows where EXPLAIN writes to, and
 * another one is called at the end of the execution, which comes between the plan and "Execution
 * Time". EXPLAIN EXECUTE passes by the first hook, so it has no such group.
 */
#include "postgres.h"

#include "commands/explain.h"
#include "executor/executor.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "core/compat.h"
#include "serve/explain.h"
#include "serve/stats.h"

#define NANOSECONDS 1e9

/* A query that is being explained, in a context of its own, which an error deletes. */
typedef struct Explained
{
	struct Explained *outer; /* a function of which runs this EXPLAIN; NULL: none */
	MemoryContextCallback end;
	ExplainState *state;
	const char *text; /* the same pointer as in its QueryDesc */
	int64 before[GPT_STATS];
} Explained;

static Explained *explained = NULL; /* the innermost one; NULL: none */
static ExplainOneQuery_hook_type previous_explain = NULL;
static ExecutorEnd_hook_type previous_end = NULL;

static void explain_query(Query *query, int cursor_options, IntoClause *into, ExplainState *state,
						  const char *text, ParamListInfo parameters,
						  QueryEnvironment *environment);
static void forget(void *arg);
static void end_execution(QueryDesc *query);
static void write_counts(ExplainState *state, const int64 *counts, bool misses_workers);

void
gpt_explain_init(void)
{
	previous_explain = ExplainOneQuery_hook;
	ExplainOneQuery_hook = explain_query;
	previous_end = ExecutorEnd_hook;
	ExecutorEnd_hook = end_execution;
}

#ifdef GPT_NO_STANDARD_EXPLAIN
/* Plans the query and explains the plan, as the server does without a hook. */
static void
standard_ExplainOneQuery(Query *query, int cursor_options, IntoClause *into, ExplainState *state,
						 const char *text, ParamListInfo parameters, QueryEnvironment *environment)
{
	BufferUsage before = pgBufferUsage;
	BufferUsage used = {0};
	instr_time begin;
	instr_time duration;
	PlannedStmt *plan;

	INSTR_TIME_SET_CURRENT(begin);
	plan = pg_plan_query(query, text, cursor_options, parameters);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, begin);
	BufferUsageAccumDiff(&used, &pgBufferUsage, &before);
	ExplainOnePlan(plan, into, state, text, parameters, environment, &duration,
				   state->buffers ? &used : NULL);
}
#endif

static void
explain_query(Query *query, int cursor_options, IntoClause *into, ExplainState *state,
			  const char *text, ParamListInfo parameters, QueryEnvironment *environment)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt explain", ALLOCSET_SMALL_SIZES);
	Explained *own = MemoryContextAllocZero(context, sizeof(Explained));

	own->outer = explained;
	own->state = state;
	own->text = text;
	own->end.func = forget;
	own->end.arg = own;
	gpt_stats_of_session(own->before);
	MemoryContextRegisterResetCallback(context, &own->end);
	explained = own;
	if (previous_explain != NULL)
		previous_explain(query, cursor_options, into, state, text, parameters, environment);
	else
		standard_ExplainOneQuery(query, cursor_options, into, state, text, parameters, environment);
	MemoryContextDelete(context);
}

/* After an error contexts may go in any order. */
static void
forget(void *arg)
{
	Explained **link = &explained;

	while (*link != NULL && *link != arg)
		link = &(*link)->outer;
	if (*link != NULL)
		*link = (*link)->outer;
}

/* Statements inside of the explained one have texts of their own. */
static void
end_execution(QueryDesc *query)
{
	if (explained != NULL && explained->state->analyze && query->sourceText == explained->text &&
		query->instrument_options != 0)
	{
		bool misses_workers = query->plannedstmt->parallelModeNeeded && !gpt_stats_are_shared();
		int64 counts[GPT_STATS];

		gpt_stats_of_session(counts);
		for (int i = 0; i < GPT_STATS; i++)
			counts[i] -= explained->before[i];
		if (counts[GPT_STAT_CALLS] > 0)
			write_counts(explained->state, counts, misses_workers);
	}
	if (previous_end != NULL)
		previous_end(query);
	else
		standard_ExecutorEnd(query);
}

/* misses_workers: the counts of parallel workers are not known. */
static void
write_counts(ExplainState *state, const int64 *counts, bool misses_workers)
{
	bool is_text = state->format == EXPLAIN_FORMAT_TEXT;
	double seconds = (double) counts[GPT_STAT_TIME] / NANOSECONDS;

	ExplainOpenGroup("gpt", "gpt", true, state);
	if (is_text)
	{
		appendStringInfoString(state->str, "gpt:\n");
		state->indent++;
	}
	ExplainPropertyInteger("Calls", NULL, counts[GPT_STAT_CALLS], state);
	ExplainPropertyInteger("Texts", NULL, counts[GPT_STAT_ROWS], state);
	if (counts[GPT_STAT_ERRORS] > 0 || !is_text)
		ExplainPropertyInteger("Errors", NULL, counts[GPT_STAT_ERRORS], state);
	ExplainPropertyInteger("Batches", NULL, counts[GPT_STAT_BATCHES], state);
	ExplainPropertyInteger("Tokens In", NULL, counts[GPT_STAT_TOKENS_IN], state);
	ExplainPropertyInteger("Tokens Out", NULL, counts[GPT_STAT_TOKENS_OUT], state);
	ExplainPropertyInteger("Tokens Computed", NULL, counts[GPT_STAT_TOKENS_COMPUTED], state);
	if (counts[GPT_STAT_PROPOSED] > 0 || !is_text)
	{
		ExplainPropertyInteger("Draft Tokens", NULL, counts[GPT_STAT_PROPOSED], state);
		ExplainPropertyInteger("Draft Tokens Accepted", NULL, counts[GPT_STAT_ACCEPTED], state);
	}
	if (state->timing && seconds > 0)
		ExplainPropertyFloat("Tokens per Second", NULL,
							 (double) counts[GPT_STAT_TOKENS_COMPUTED] / seconds, 0, state);
	if (misses_workers)
		ExplainPropertyText("Parallel Workers", "not counted", state);
	if (is_text)
		state->indent--;
	ExplainCloseGroup("gpt", "gpt", true, state);
}
