/*
 * src/run_removal.c
 *
 * Remembers runs whose files go when the transaction commits.
 */
#include "postgres.h"

#include "access/xact.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "run_files.h"
#include "run_removal.h"

typedef struct Removal
{
	pg_uuid_t run_id;
	SubTransactionId subtransaction;
} Removal;

static List *removals = NIL; /* of Removal, in TopTransactionContext */

static void at_transaction_end(XactEvent event, void *argument);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent, void *argument);

void
gpt_run_remove_at_commit(const pg_uuid_t *run_id)
{
	static bool registered = false;
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);
	Removal *removal = palloc(sizeof(Removal));

	removal->run_id = *run_id;
	removal->subtransaction = GetCurrentSubTransactionId();
	removals = lappend(removals, removal);
	MemoryContextSwitchTo(old_context);
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
}

static void
at_transaction_end(XactEvent event, void *argument)
{
	ListCell *cell;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
			foreach (cell, removals)
				gpt_run_files_remove(&((Removal *) lfirst(cell))->run_id);
			removals = NIL;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			removals = NIL;
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent, void *argument)
{
	ListCell *cell;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach (cell, removals)
	{
		Removal *removal = lfirst(cell);

		if (removal->subtransaction != subtransaction)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			removal->subtransaction = parent;
		else
			removals = foreach_delete_current(removals, cell);
	}
}
