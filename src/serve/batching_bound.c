/*
 * src/serve/batching_bound.c
 *
 * How many rows a node GptBatch may read now: those that a LIMIT above and the run of the executor
 * (FETCH, a loop of PL/pgSQL) still want. Each of them needs at least one row of the node, whatever
 * stands between, so no row is read that plain execution would not read.
 *
 * The count of a run is known to the hook alone. A node registers its statement when it begins, so
 * that a run without such nodes costs one comparison.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/nodeFuncs.h"

#include "core/compat.h"
#include "serve/batching_parts.h"

#define IS_ONE 1
#define IS_FIRST_ALONE 2
#define IS_RUN 4
#define IS_ONE_OF_RUN 8

/* A statement that is executed and has such nodes; in its memory. */
typedef struct Running
{
	EState *estate;
	PlanState *top; /* NULL before its first run */
	CmdType operation;
	uint64 count; /* of this run; 0: all rows */
	struct Running *next;
	MemoryContextCallback callback;
} Running;

struct GptBatchWanted
{
	Running *running;
	EState *estate;
	int flags;
	List *ids; /* of limits */
	List *limits; /* LimitState; those in this process */
	bool is_found;
};

static Running *statements = NULL;
static ExecutorRun_hook_type previous_run = NULL;

static Running *running_of(EState *estate);
static void forget(void *statement);
static bool find_limits(PlanState *node, GptBatchWanted *wanted);
static int64 wanted_by_limit(const LimitState *limit);

static void
run(GPT_RUN_PARAMETERS)
{
	for (Running *statement = statements; statement != NULL; statement = statement->next)
	{
		if (statement->estate != query->estate)
			continue;
		statement->top = query->planstate;
		statement->operation = query->operation;
		statement->count = count;
	}
	if (previous_run != NULL)
		previous_run(GPT_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(GPT_RUN_ARGUMENTS);
}

void
gpt_batch_bound_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
}

List *
gpt_batch_bound_write(const GptBatchBound *bound)
{
	int flags = (bound->one ? IS_ONE : 0) | (bound->first_alone ? IS_FIRST_ALONE : 0) |
				(bound->run ? IS_RUN : 0) | (bound->one_of_run ? IS_ONE_OF_RUN : 0);

	return lcons_int(flags, list_copy(bound->limits));
}

GptBatchWanted *
gpt_batch_wanted_begin(const List *bound, EState *estate)
{
	GptBatchWanted *wanted = palloc0(sizeof(GptBatchWanted));

	wanted->estate = estate;
	wanted->flags = linitial_int(bound);
	wanted->ids = list_copy_tail(bound, 1);
	/* A row of EvalPlanQual is alone. */
	if (estate->es_epq_active != NULL)
		wanted->flags |= IS_ONE;
	else
		wanted->running = running_of(estate);
	return wanted;
}

static Running *
running_of(EState *estate)
{
	Running *statement = statements;

	while (statement != NULL && statement->estate != estate)
		statement = statement->next;
	if (statement != NULL)
		return statement;
	statement = MemoryContextAllocZero(estate->es_query_cxt, sizeof(Running));
	statement->estate = estate;
	statement->next = statements;
	statements = statement;
	statement->callback.func = forget;
	statement->callback.arg = statement;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, &statement->callback);
	return statement;
}

static void
forget(void *statement)
{
	Running **place = &statements;

	while (*place != NULL && *place != statement)
		place = &(*place)->next;
	if (*place != NULL)
		*place = (*place)->next;
}

int64
gpt_batch_wanted(GptBatchWanted *wanted, bool is_first)
{
	int64 rows = PG_INT64_MAX;
	const Running *running = wanted->running;
	ListCell *cell;

	if ((wanted->flags & IS_ONE) != 0 || (is_first && (wanted->flags & IS_FIRST_ALONE) != 0))
		return 1;
	/* It is executed without the hook. */
	if (running->top == NULL)
		return 1;
	if ((wanted->flags & IS_ONE_OF_RUN) != 0 && running->count > 0)
		return 1;
	/* What a statement that returns changed rows counts is not what it returned. */
	if ((wanted->flags & IS_RUN) != 0 && running->count > 0)
		rows = running->operation == CMD_SELECT
				   ? (int64) Min(running->count - running->estate->es_processed, PG_INT64_MAX)
				   : 1;
	if (!wanted->is_found && wanted->ids != NIL)
		find_limits(running->top, wanted);
	wanted->is_found = true;
	foreach (cell, wanted->limits)
		rows = Min(rows, wanted_by_limit(lfirst(cell)));
	return Max(rows, 1);
}

/* A limit above Gather stands in another process, where it bounds this process's run. */
static bool
find_limits(PlanState *node, GptBatchWanted *wanted)
{
	if (node == NULL)
		return false;
	if (IsA(node, LimitState) && list_member_int(wanted->ids, node->plan->plan_node_id))
	{
		MemoryContext caller = MemoryContextSwitchTo(wanted->estate->es_query_cxt);

		wanted->limits = lappend(wanted->limits, node);
		MemoryContextSwitchTo(caller);
	}
	return planstate_tree_walker(node, find_limits, wanted);
}

/* Rows at its place: a limit has computed its count before it reads its first row. */
static int64
wanted_by_limit(const LimitState *limit)
{
	int64 rows;

	if (limit->noCount)
		return PG_INT64_MAX;
	if (limit->lstate == LIMIT_INITIAL)
		return 1;
	if (limit->count > PG_INT64_MAX - limit->offset)
		return PG_INT64_MAX;
	rows = limit->count + limit->offset - limit->position;
	return Max(rows, 1);
}

typedef struct ParentSearch
{
	PlanState *child;
	PlanState *parent;
} ParentSearch;

static bool
find_parent(PlanState *node, void *context)
{
	ParentSearch *search = context;

	if (node == NULL)
		return false;
	if (outerPlanState(node) != search->child)
		return planstate_tree_walker(node, find_parent, context);
	search->parent = node;
	return true;
}

PlanState *
gpt_batch_parent(const GptBatchWanted *wanted, PlanState *node)
{
	ParentSearch search = {node, NULL};

	if (wanted->running != NULL && wanted->running->top != NULL)
		(void) find_parent(wanted->running->top, &search);
	return search.parent;
}
