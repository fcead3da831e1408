/*
 * src/core/removal.c
 *
 * Remembers files that go when the transaction commits: those of runs, and images.
 */
#include "postgres.h"

#include "access/xact.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "core/removal.h"

typedef struct Removal
{
	GptRemoval what;
	uint8 key[GPT_REMOVAL_KEY_SIZE];
	SubTransactionId subtransaction;
} Removal;

static List *removals = NIL; /* of Removal, in TopTransactionContext */

static void at_transaction_end(XactEvent event, void *argument);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction,
								  SubTransactionId parent, void *argument);

void
gpt_remove_at_commit(GptRemoval what, const void *key, size_t key_size)
{
	static bool registered = false;
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);
	Removal *removal = palloc0(sizeof(Removal));

	Assert(key_size <= GPT_REMOVAL_KEY_SIZE);
	removal->what = what;
	memcpy(removal->key, key, key_size);
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
		case XACT_EVENT_PREPARE:
			foreach (cell, removals)
			{
				const Removal *removal = lfirst(cell);

				if (event == XACT_EVENT_COMMIT || removal->what.is_remade)
					removal->what.remove(removal->key);
			}
			removals = NIL;
			break;
		case XACT_EVENT_ABORT:
			removals = NIL;
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent,
					  void *argument)
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
