/*
 * src/jobs/job_launch.c
 *
 * Jobs that the current transaction submits or resumes go in; when it commits, a background worker
 * is registered for each, of not more than can run at once. A rollback, also of a savepoint,
 * forgets them, and a transaction that will be committed by another session (PREPARE TRANSACTION)
 * is refused. A queued job that the transaction cancels was passed over by those who start jobs, so
 * a worker is registered for it when the cancellation is rolled back.
 *
 * Nothing may fail at commit. If there is no place for a worker, the launcher is asked to start the
 * job; without a launcher, gpt_wait says what to do.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "core/at_end.h"
#include "core/settings.h"
#include "jobs/job_launch.h"
#include "jobs/launcher.h"
#include "jobs/worker.h"

/* after a crash; a worker that has ended its job is not restarted */
#define RESTART_SECONDS 1

#define MAX_LAUNCHED 64

/* The workers that this session registered last, for gpt_wait. */
typedef struct Launched
{
	int64 job; /* 0: none */
	/* NULL: there was no place, or as many others have one as can run */
	BackgroundWorkerHandle *handle;
} Launched;

static Launched launched[MAX_LAUNCHED]; /* a ring: a session may live for years */
static int next_launched = 0;

static void launch_some(const void *ticket);
static Launched *find_launched(int64 job);
static void set_handle(Launched *entry, BackgroundWorkerHandle *handle);
static void remember(int64 job);

static const GptAtEnd launch_at_commit = {
	.act = launch_some,
	.at_commit = true,
	.prepare_error = "cannot PREPARE a transaction that has submitted, resumed or cancelled a "
					 "training job"};
static const GptAtEnd launch_at_abort = {.act = launch_some, .at_abort = true};

void
gpt_job_launch_at_commit(const GptJobTicket *ticket)
{
	gpt_at_end(&launch_at_commit, ticket, sizeof(GptJobTicket));
	remember(ticket->job);
}

void
gpt_job_launch_at_abort(const GptJobTicket *ticket)
{
	gpt_at_end(&launch_at_abort, ticket, sizeof(GptJobTicket));
}

static bool
is_of_job(const void *ticket, const void *job)
{
	return ((const GptJobTicket *) ticket)->job == *(const int64 *) job;
}

bool
gpt_job_launch_pending(int64 job)
{
	return gpt_at_end_waits(&launch_at_commit, is_of_job, &job);
}

/*
 * At most as many workers per transaction as there are slots: each job that ends starts the next
 * one, and gpt_wait starts a job of this session that no other could start.
 */
static void
launch_some(const void *ticket)
{
	static uint64 end = 0;
	static int n = 0;
	const GptJobTicket *wanted = ticket;

	if (end != gpt_at_end_number())
		n = 0;
	end = gpt_at_end_number();
	if (n++ < gpt_max_workers && !gpt_job_launch(wanted))
		gpt_launcher_request(wanted->database);
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
