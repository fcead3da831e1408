/*
 * src/jobs/job_launch.c
 *
 * Jobs that the current transaction submits or resumes go in; when it commits, a background worker
 * is registered for each, of not more than can run at once. A rollback, also of a savepoint,
 * forgets them, and a transaction that will be committed by another session (PREPARE TRANSACTION)
 * is refused. A queued job that the transaction cancels was passed over by those who start jobs, so
 * a worker is registered for it when the cancellation is rolled back.
 *
 * Nothing may fail at commit. Where no place for a worker is left, the launcher is asked to start
 * the job; where there is none, gpt_wait says what to do.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "core/settings.h"
#include "jobs/job_launch.h"
#include "jobs/launcher.h"
#include "jobs/worker.h"
#include "store/job.h"

/* after a crash; a worker that has ended its job is not restarted */
#define RESTART_SECONDS 1

typedef struct Pending
{
	GptJobTicket ticket;
	SubTransactionId subtransaction;
	bool at_abort;
} Pending;

#define MAX_LAUNCHED 64

/* The workers that this session registered last, for gpt_wait. */
typedef struct Launched
{
	int64 job; /* 0: none */
	/* NULL: there was no place, or as many others have one as can run */
	BackgroundWorkerHandle *handle;
} Launched;

static List *pending = NIL; /* of Pending, in TopTransactionContext */
static Launched launched[MAX_LAUNCHED]; /* a ring: a session may live for years */
static int next_launched = 0;

static void at_transaction_end(XactEvent event, void *argument);
static void at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction,
								  SubTransactionId parent, void *argument);
static Launched *find_launched(int64 job);
static void set_handle(Launched *entry, BackgroundWorkerHandle *handle);
static void remember(int64 job);

static void
add_pending(const GptJobTicket *ticket, bool at_abort)
{
	static bool registered = false;
	MemoryContext old_context = MemoryContextSwitchTo(TopTransactionContext);
	Pending *entry = palloc(sizeof(Pending));

	entry->ticket = *ticket;
	entry->subtransaction = GetCurrentSubTransactionId();
	entry->at_abort = at_abort;
	pending = lappend(pending, entry);
	MemoryContextSwitchTo(old_context);
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
}

void
gpt_job_launch_at_commit(const GptJobTicket *ticket)
{
	add_pending(ticket, false);

	remember(ticket->job);
}

void
gpt_job_launch_at_abort(const GptJobTicket *ticket)
{
	add_pending(ticket, true);
}

bool
gpt_job_launch_pending(int64 job)
{
	ListCell *cell;

	foreach (cell, pending)
	{
		const Pending *entry = lfirst(cell);

		if (entry->ticket.job == job && !entry->at_abort)
			return true;
	}
	return false;
}

static void
launch(const GptJobTicket *ticket)
{
	if (!gpt_job_launch(ticket))
		gpt_launcher_request(ticket->database);
}

/*
 * Launches the jobs of that event, and forgets everything. As many workers as can
 * have a slot: each that ends starts the next job, and gpt_wait one of this session that none of
 * them could start.
 */
static void
launch_pending(bool at_abort)
{
	int n_left = gpt_max_workers;
	ListCell *cell;

	foreach (cell, pending)
	{
		const Pending *entry = lfirst(cell);

		if (entry->at_abort != at_abort)
			continue;
		if (n_left-- > 0)
			launch(&entry->ticket);
	}
	pending = NIL;
}

static void
refuse_prepare(void)
{
	ListCell *cell;

	foreach (cell, pending)
	{
		if (!((Pending *) lfirst(cell))->at_abort)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("cannot PREPARE a transaction that has submitted, resumed or "
								   "cancelled a training job")));
	}
}

static void
at_transaction_end(XactEvent event, void *argument)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			refuse_prepare();
			break;
		case XACT_EVENT_PREPARE:
			pending = NIL;
			break;
		case XACT_EVENT_COMMIT:
			launch_pending(false);
			break;
		case XACT_EVENT_ABORT:
			launch_pending(true);
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent,
					  void *argument)
{
	int n_left = gpt_max_workers;
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
		{
			if (entry->at_abort && n_left-- > 0)
				launch(&entry->ticket);
			pending = foreach_delete_current(pending, cell);
		}
	}
}

/* ---- Registration ------------------------------------------------------- */

bool
gpt_job_launch(const GptJobTicket *ticket)
{
	BackgroundWorker worker = {.bgw_flags =
								   BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
							   .bgw_start_time = BgWorkerStart_RecoveryFinished,
							   .bgw_restart_time = RESTART_SECONDS};
	BackgroundWorkerHandle *handle = NULL;
	Launched *entry;
	MemoryContext old_context;
	bool registered;

	StaticAssertStmt(sizeof(GptJobTicket) <= BGW_EXTRALEN, "a ticket must fit");
	snprintf(worker.bgw_name, BGW_MAXLEN, GPT_WORKER_TYPE " for job " INT64_FORMAT, ticket->job);
	strlcpy(worker.bgw_type, GPT_WORKER_TYPE, BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, GPT_LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "gpt_worker_main", BGW_MAXLEN);
	memcpy(worker.bgw_extra, ticket, sizeof(GptJobTicket));
	worker.bgw_notify_pid = proc_exit_inprogress ? 0 : MyProcPid;

	old_context = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handle);
	if (!registered)
		handle = NULL;
	MemoryContextSwitchTo(old_context);
	entry = find_launched(ticket->job);
	if (entry != NULL)
		set_handle(entry, handle);
	else if (handle != NULL)
		pfree(handle);
	return registered;
}

static Launched *
find_launched(int64 job)
{
	for (int i = 0; i < MAX_LAUNCHED; i++)
	{
		if (launched[i].job == job)
			return &launched[i];
	}
	return NULL;
}

static void
set_handle(Launched *entry, BackgroundWorkerHandle *handle)
{
	if (entry->handle != NULL)
		pfree(entry->handle);
	entry->handle = handle;
}

static void
remember(int64 job)
{
	Launched *entry = find_launched(job);

	if (entry == NULL)
	{
		entry = &launched[next_launched];
		next_launched = (next_launched + 1) % MAX_LAUNCHED;
	}
	set_handle(entry, NULL);
	entry->job = job;
}

GptLaunchState
gpt_job_launch_state(int64 job)
{
	const Launched *entry = find_launched(job);
	pid_t pid;

	if (entry == NULL)
		return GPT_LAUNCH_NOT_OURS;
	if (entry->handle == NULL)
		return GPT_LAUNCH_NO_PLACE;
	return GetBackgroundWorkerPid(entry->handle, &pid) == BGWH_STOPPED ? GPT_LAUNCH_ENDED
																	   : GPT_LAUNCH_ALIVE;
}
