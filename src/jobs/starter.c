/*
 * src/jobs/starter.c
 *
 * A database goes in; workers for the jobs that wait there come out. The starter sees all jobs and
 * runs nothing of a user.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/extension.h"
#include "core/settings.h"
#include "core/transaction.h"
#include "jobs/announce.h"
#include "jobs/job_launch.h"
#include "jobs/job_lock.h"
#include "jobs/launcher.h"
#include "jobs/maintain_launch.h"
#include "jobs/starter.h"
#include "jobs/worker.h"
#include "store/job.h"
#include "store/maintenance.h"
#include "store/run_files.h"
#include "train/checkpoint.h"

#define MAX_CONNECTION_TRIES 3
#define RETRY_MS 1000

static void launch_waiting(bool cut_off);
static void launch_maintainers(void);
static void settle_refused(int64 number);
static void settle_owner(Oid owner);

BackgroundWorkerHandle *
gpt_starter_launch(const GptStarterTicket *ticket)
{
	BackgroundWorker worker = {.bgw_flags =
								   BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
							   .bgw_start_time = BgWorkerStart_RecoveryFinished,
							   .bgw_restart_time = BGW_NEVER_RESTART};
	BackgroundWorkerHandle *handle;

	StaticAssertStmt(sizeof(GptStarterTicket) <= BGW_EXTRALEN, "a ticket must fit");
	strlcpy(worker.bgw_name, "gpt starter", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "gpt starter", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, GPT_LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "gpt_starter_main", BGW_MAXLEN);
	memcpy(worker.bgw_extra, ticket, sizeof(GptStarterTicket));
	worker.bgw_notify_pid = ticket->notify_pid;
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

void
gpt_launcher_report_connection(Oid database, int64 job)
{
	GptStarterTicket ticket = {.database = database, .refused_job = job};

	if (gpt_starter_launch(&ticket) == NULL)
		gpt_launcher_request(database);
}

void
gpt_launcher_report_owner(Oid database, Oid owner)
{
	GptStarterTicket ticket = {.database = database, .refused_owner = owner};

	(void) gpt_starter_launch(&ticket);
}

void
gpt_starter_main(Datum argument)
{
	GptStarterTicket ticket;
	GptTransaction transaction;
	bool installed;

	memcpy(&ticket, MyBgworkerEntry->bgw_extra, sizeof(ticket));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(ticket.database, InvalidOid, 0);
	pgstat_report_appname("gpt");

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	installed = OidIsValid(gpt_extension_fitting_oid());
	gpt_transaction_commit(&transaction);
	if (installed && ticket.refused_job != 0)
		settle_refused(ticket.refused_job);
	if (installed && OidIsValid(ticket.refused_owner))
		settle_owner(ticket.refused_owner);
	if (installed)
	{
		launch_waiting(ticket.cut_off);
		launch_maintainers();
		gpt_run_files_sweep(gpt_checkpoint_database);
	}
	proc_exit(0);
}

/*
 * Starts as many jobs as can run; each that ends starts the next one. If this process holds the
 * last place for a worker, the launcher starts the job after its end.
 */
static void
launch_waiting(bool cut_off)
{
	GptTransaction transaction;
	int n_launched = 0;
	List *jobs;
	ListCell *cell;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(transaction.context);
	jobs = gpt_job_list_waiting(cut_off, 2 * gpt_max_workers);
	gpt_transaction_commit(&transaction);
	foreach (cell, jobs)
	{
		const GptJob *job = lfirst(cell);
		GptJobTicket next = {job->number, job->run_id, job->database, job->owner};

		if (n_launched >= gpt_max_workers)
			break;
		if (gpt_job_pid(job->number) != 0)
			continue;
		if (!gpt_job_launch(&next))
		{
			ereport(LOG,
					(errmsg("no place for the worker of job " INT64_FORMAT " of gpt", job->number),
					 errhint("Raise max_worker_processes.")));
			gpt_launcher_hand_over(&next);
			break;
		}
		n_launched++;
	}
}

/* Starts the workers of maintained columns that have work. */
static void
launch_maintainers(void)
{
	GptTransaction transaction;
	List *owners;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(transaction.context);
	gpt_maintenance_sweep();
	owners = gpt_maintenance_owners();
	gpt_transaction_commit(&transaction);
	(void) gpt_maintain_launch(owners);
}

/* ---- A worker that could not connect ------------------------------------ */

/* The job's worker could not connect: fails the job if it never will, otherwise tries once more. */
static void
settle_refused(int64 number)
{
	GptTransaction transaction;
	const char *reason;
	GptJob *job;
	bool locked = false;
	bool ended;

	gpt_transaction_begin(&transaction, GPT_COMMIT_LOCAL);
	MemoryContextSwitchTo(transaction.context);
	job = gpt_job_read(number);
	if (job == NULL || !gpt_job_is_local(job) ||
		(job->state != GPT_JOB_QUEUED && job->state != GPT_JOB_RUNNING) || !gpt_job_lock(number))
	{
		gpt_transaction_commit(&transaction);
		return;
	}
	reason = gpt_job_owner_refusal(job);
	if (reason == NULL && job->tries >= MAX_CONNECTION_TRIES)
		reason = "its worker could not connect to the database";
	if (reason != NULL)
		gpt_run_files_retire(&job->run_id);
	ended = reason != NULL && gpt_job_end(number, GPT_JOB_FAILED, reason);
	if (!ended)
		(void) gpt_job_claim(number, &locked); /* counts the try */
	gpt_transaction_commit(&transaction);
	if (ended)
		gpt_job_announce(number, GPT_JOB_FAILED);
	gpt_job_unlock(number);

	if (reason == NULL)
	{
		GptJobTicket again = {job->number, job->run_id, job->database, job->owner};

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RETRY_MS,
						 gpt_wait_event("GptStarterRetry"));
		if (!gpt_job_launch(&again))
			gpt_launcher_hand_over(&again);
	}
	else
		ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt failed: %s", number, reason)));
}

/* The same of a worker that maintains columns. */
static void
settle_owner(Oid owner)
{
	GptJob job = {.owner = owner};
	GptTransaction transaction;
	const char *reason;

	gpt_transaction_begin(&transaction, GPT_COMMIT_LOCAL);
	reason = gpt_job_owner_refusal(&job);
	if (reason != NULL)
	{
		gpt_maintenance_fail_owner(owner, reason);
		ereport(LOG, (errmsg("columns of role %u are not maintained by gpt: %s", owner, reason)));
	}
	gpt_transaction_commit(&transaction);
}
