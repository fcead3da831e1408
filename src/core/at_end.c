/*
 * src/core/at_end.c
 *
 * Actions go in; at the end of the transaction they run or are forgotten.
 */
#include "postgres.h"

#include "access/xact.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "core/at_end.h"

typedef struct Action
{
	const GptAtEnd *what;
	SubTransactionId subtransaction;
	uint8 data[GPT_AT_END_SIZE];
} Action;

static List *actions = NIL; /* of Action, in TopTransactionContext */
static uint64 end_number = 0;

static void at_transaction_end(XactEvent event, void *argument);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction,
								  SubTransactionId parent, void *argument);

void
gpt_at_end(const GptAtEnd *what, const void *data, size_t size)
{
	static bool registered = false;
	Action *action = MemoryContextAllocZero(TopTransactionContext, sizeof(Action));
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);

	Assert(size <= GPT_AT_END_SIZE);
	action->what = what;
	memcpy(action->data, data, size);
	action->subtransaction = GetCurrentSubTransactionId();
	actions = lappend(actions, action);
	MemoryContextSwitchTo(old_context);
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
}

bool
gpt_at_end_waits(const GptAtEnd *what, bool (*matches)(const void *data, const void *wanted),
				 const void *wanted)
{
	ListCell *cell;

	foreach (cell, actions)
	{
		const Action *action = lfirst(cell);

		if (action->what == what && matches(action->data, wanted))
			return true;
	}
	return false;
}

static void
refuse_prepare(void)
{
	ListCell *cell;

	foreach (cell, actions)
	{
		const Action *action = lfirst(cell);

		if (action->what->prepare_error != NULL)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg_internal("%s", action->what->prepare_error)));
	}
}

/* Runs the actions that wait for this end and forgets the others; a top-level end leaves none. */
static void
at_transaction_end(XactEvent event, void *argument)
{
	ListCell *cell;

	if (event == XACT_EVENT_PRE_PREPARE)
		refuse_prepare();
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	end_number++;
	foreach (cell, actions)
	{
		const Action *action = lfirst(cell);
		const GptAtEnd *what = action->what;

		if (event == XACT_EVENT_COMMIT	? what->at_commit
			: event == XACT_EVENT_ABORT ? what->at_abort
										: what->at_prepare)
			what->act(action->data);
	}
	actions = NIL;
}

/*
 * At RELEASE the parent inherits the actions. At ROLLBACK those that wait for it run; none is left.
 */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent,
					  void *argument)
{
	ListCell *cell;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	end_number++;
	foreach (cell, actions)
	{
		Action *action = lfirst(cell);

		if (action->subtransaction != subtransaction)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
		{
			action->subtransaction = parent;
			continue;
		}
		if (action->what->at_abort)
			action->what->act(action->data);
		actions = foreach_delete_current(actions, cell);
	}
}

uint64
gpt_at_end_number(void)
{
	return end_number;
}
