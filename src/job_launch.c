/*
 * src/job_launch.c
 *
 * Jobs that the current transaction submits or resumes go in; when it commits, a background worker is
 * registered for each. A rollback, also of a savepoint, forgets them, and a transaction that will be committed by
 * another session (PREPARE TRANSACTION) is refused.
 *
 * Nothing may fail at commit. Where no place for a worker is left, the launcher is asked to start the job; where
 * there is none, gpt_wait says what to do.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "job.h"
#include "launcher.h"
#include "worker.h"

#define RESTART_SECONDS 1 /* after a crash; a worker that has ended its job is not restarted */

typedef struct Pending
{
	GptJobTicket ticket;
	SubTransactionId subtransaction;
} Pending;

/* What became of the workers that this session registered: for gpt_wait. */
typedef struct Launched
{
	int64 job;
	BackgroundWorkerHandle *handle; /* NULL: there was no place */
	struct Launched *next;
} Launched;

static List *pending = NIL; /* of Pending, in TopTransactionContext */
static Launched *launched = NULL; /* in TopMemoryContext */

static void at_transaction_end(XactEvent event, void *argument);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent,
								  void *argument);
static void remember(int64 job, BackgroundWorkerHandle *handle);

void
gpt_job_launch_at_commit(const GptJobTicket *ticket)
{
	static bool registered = false;
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);
	Pending *entry = palloc(sizeof(Pending));

	entry->ticket = *ticket;
	entry->subtransaction = GetCurrentSubTransactionId();
	pending = lappend(pending, entry);
	MemoryContextSwitchTo(old_context);

	/* At commit there must be no need to allocate. */
	remember(ticket->job, NULL);
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
}

bool
gpt_job_launch_pending(int64 job)
{
	ListCell *cell;

	foreach (cell, pending)
	{
		if (((Pending *) lfirst(cell))->ticket.job == job)
			return true;
	}
	return false;
}

static void
at_transaction_end(XactEvent event, void *argument)
{
	ListCell *cell;

	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (pending != NIL)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has submitted a training job")));
			break;
		case XACT_EVENT_COMMIT:
			foreach (cell, pending)
			{
				const GptJobTicket *ticket = &((Pending *) lfirst(cell))->ticket;

				if (!gpt_job_launch(ticket))
					gpt_launcher_request(ticket->database);
			}
			pending = NIL;
			break;
		case XACT_EVENT_ABORT:
			pending = NIL;
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
	foreach (cell, pending)
	{
		Pending *entry = lfirst(cell);

		if (entry->subtransaction != subtransaction)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			entry->subtransaction = parent;
		else
			pending = foreach_delete_current(pending, cell);
	}
}

/* ---- Registration --------------------------------------------------------------------------------- */

bool
gpt_job_launch(const GptJobTicket *ticket)
{
	BackgroundWorker worker = {.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
							   .bgw_start_time = BgWorkerStart_RecoveryFinished,
							   .bgw_restart_time = RESTART_SECONDS};
	BackgroundWorkerHandle *handle = NULL;
	MemoryContext old_context;

	StaticAssertStmt(sizeof(GptJobTicket) <= BGW_EXTRALEN, "a ticket must fit");
	snprintf(worker.bgw_name, BGW_MAXLEN, GPT_WORKER_TYPE " for job " INT64_FORMAT, ticket->job);
	strlcpy(worker.bgw_type, GPT_WORKER_TYPE, BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, GPT_LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "gpt_worker_main", BGW_MAXLEN);
	memcpy(worker.bgw_extra, ticket, sizeof(GptJobTicket));
	worker.bgw_notify_pid = proc_exit_inprogress ? 0 : MyProcPid;

	old_context = MemoryContextSwitchTo(TopMemoryContext);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		handle = NULL;
	MemoryContextSwitchTo(old_context);
	for (Launched *entry = launched; entry != NULL; entry = entry->next)
	{
		if (entry->job == ticket->job)
			entry->handle = handle;
	}
	return handle != NULL;
}

static void
remember(int64 job, BackgroundWorkerHandle *handle)
{
	Launched *entry = launched;

	while (entry != NULL && entry->job != job)
		entry = entry->next;
	if (entry == NULL)
	{
		entry = MemoryContextAlloc(TopMemoryContext, sizeof(Launched));
		entry->job = job;
		entry->next = launched;
		launched = entry;
	}
	entry->handle = handle;
}

GptLaunchState
gpt_job_launch_state(int64 job)
{
	Launched *entry = launched;
	pid_t pid;

	while (entry != NULL && entry->job != job)
		entry = entry->next;
	if (entry == NULL)
		return GPT_LAUNCH_NOT_OURS;
	if (entry->handle == NULL)
		return GPT_LAUNCH_NO_PLACE;
	return GetBackgroundWorkerPid(entry->handle, &pid) == BGWH_STOPPED ? GPT_LAUNCH_ENDED : GPT_LAUNCH_ALIVE;
}
