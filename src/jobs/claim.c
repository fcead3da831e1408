/*
 * src/jobs/claim.c
 *
 * A ticket goes in; the job comes out, claimed: the lock of the job, a slot of gpt.max_workers, one
 * more try in the row. The try is committed before any work, so that a job which crashes the server
 * is not tried for ever. At the end of a job the next ones are started.
 *
 * Jobs that make the same model run one after another, in the order of their numbers. A queued job
 * looks for an earlier one under the lock of the job; an ended job becomes queued again only under
 * the lock on the model's name, and only while no other job makes the model: so what a job does not
 * have to wait for once, it never has to.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/settings.h"
#include "core/stop.h"
#include "core/transaction.h"
#include "jobs/announce.h"
#include "jobs/claim.h"
#include "jobs/job_launch.h"
#include "jobs/job_lock.h"
#include "jobs/launcher.h"
#include "store/run_files.h"

#define MAX_TRIES 3
#define LOCKED_ROW_WAIT_MS 200
#define MAX_REFUSALS 50 /* attempts on a queued job whose lock another process holds */
#define SLOT_WAIT_MS 1000
#define TURN_WAIT_MS 100
#define TURN_WAITS 10
#define PLACE_WAIT_MS 50
#define PLACE_WAITS 20

static GptJobTicket ticket;
static int slot = -1;

static void give_back(void);
static GptJob *oldest_waiting(int64 before, int n);
static List *next_jobs(void);
static bool launch(const GptJob *job);
static bool launch_next(int most);
static void start_next(int most);

/* The result of an attempt to claim the job. */
typedef enum Claim
{
	CLAIMED,
	NOT_OURS, /* another process runs the job or will start it */
	OVER, /* the job has ended, or belongs to another database */
	GIVEN_UP, /* it has been tried often enough, and has failed now */
	BLOCKED, /* an earlier job makes the same model, and starts this one when it ends */
	NO_SLOT,
	/* a transaction is about to change the row, or a process lists the jobs that wait */
	ROW_LOCKED,
} Claim;

typedef enum Turn
{
	TURN_OURS,
	TURN_NO_SLOT,
	TURN_PASSED_ON, /* an older job has been started instead */
} Turn;

static void
wait_a_moment(long milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
					 gpt_wait_event("GptJobClaim"));
	ResetLatch(MyLatch);
	gpt_stop_check();
}

static bool
is_claimable(const GptJob *job)
{
	return job != NULL && gpt_job_is_local(job) &&
		   (job->state == GPT_JOB_QUEUED || job->state == GPT_JOB_RUNNING) &&
		   memcmp(&job->run_id, &ticket.run_id, sizeof(pg_uuid_t)) == 0;
}

/* Inside a transaction, with the job's lock held. */
static Claim
claim_row(GptJob **job)
{
	bool locked;

	*job = gpt_job_read(ticket.job);
	if (!is_claimable(*job))
		return OVER;
	if ((*job)->tries >= MAX_TRIES)
	{
		gpt_run_files_retire(&ticket.run_id);
		gpt_job_end(ticket.job, GPT_JOB_FAILED,
					psprintf("its worker ended unexpectedly %d times", (*job)->tries));
		ereport(LOG, (errmsg("job " INT64_FORMAT
							 " of gpt failed: its worker ended unexpectedly %d times",
							 ticket.job, (*job)->tries)));
		return GIVEN_UP;
	}
	if ((*job)->state == GPT_JOB_QUEUED && gpt_job_predecessor(*job) != NULL)
		return BLOCKED;
	slot = gpt_slot_lock();
	if (slot < 0)
		return NO_SLOT;
	if (gpt_job_claim(ticket.job, &locked))
		return CLAIMED;
	return locked ? ROW_LOCKED : OVER;
}

/* Locks the job, then claims its row; the lock stays held only if the claim succeeds. */
static Claim
try_claim(GptJob **job)
{
	GptTransaction transaction;
	Claim claim;

	if (!gpt_job_lock(ticket.job))
		return NOT_OURS;
	gpt_transaction_begin(&transaction, GPT_COMMIT_LOCAL);
	MemoryContextSwitchTo(transaction.context);
	claim = claim_row(job);
	gpt_transaction_commit(&transaction);
	if (claim == GIVEN_UP)
		gpt_job_announce(ticket.job, GPT_JOB_FAILED);
	if (claim != CLAIMED)
		give_back();
	return claim;
}

/*
 * Every slot is taken. True: this worker waits for one; false: another process will start the job.
 */
static bool
wait_for_slot(void)
{
	if (gpt_slot_held_here())
		return false;
	if (gpt_launcher_present())
	{
		gpt_launcher_request(MyDatabaseId);
		return false;
	}

	/* Slots are held by jobs of other databases, and those start only their own. */
	if (!gpt_waiter_lock())
		return false;
	wait_a_moment(SLOT_WAIT_MS);
	return true;
}

/*
 * Jobs of a database start in their order. While at least as many older jobs are queued as there
 * are slots, this one waits a moment for their workers; then it starts one and leaves. Without a
 * free slot it does not try to take one: a slot that is given back belongs to an older job.
 */
static Turn
wait_for_turn(void)
{
	for (int i = 0; i < TURN_WAITS; i++)
	{
		int n_free = gpt_slots_free();

		if (n_free == 0)
			return TURN_NO_SLOT;
		if (oldest_waiting(ticket.job, n_free) == NULL)
			return TURN_OURS;
		wait_a_moment(TURN_WAIT_MS);
	}
	return launch(oldest_waiting(ticket.job, 1)) ? TURN_PASSED_ON : TURN_OURS;
}

static bool
is_queued(void)
{
	GptTransaction transaction;
	const GptJob *job;
	bool queued;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	job = gpt_job_read(ticket.job);
	queued = job != NULL && job->state == GPT_JOB_QUEUED;
	gpt_transaction_commit(&transaction);
	return queued;
}

GptJob *
gpt_claim_job(const GptJobTicket *wanted)
{
	int n_locked = 0;
	int n_refusals = 0;
	GptJob *job;

	ticket = *wanted;
	for (;;)
	{
		Turn turn = wait_for_turn();

		if (turn == TURN_PASSED_ON)
			return NULL;
		switch (turn == TURN_NO_SLOT ? NO_SLOT : try_claim(&job))
		{
			case CLAIMED:
				gpt_waiter_unlock();
				return job;
			case NOT_OURS:
				/*
				 * A process that held the job's lock and released it may have acted on an older
				 * state.
				 */
				if (n_refusals++ == MAX_REFUSALS || !is_queued())
					return NULL;
				wait_a_moment(LOCKED_ROW_WAIT_MS);
				break;
			case OVER:
			case GIVEN_UP:
			case BLOCKED:
				start_next(1);
				return NULL;
			case NO_SLOT:
				if (!wait_for_slot())
					return NULL;
				break;
			case ROW_LOCKED:
				/*
				 * A list is made in no time. Another transaction may last, and may have locked many
				 * jobs: the next one starts, and one process of the database waits. A cancellation
				 * that is rolled back starts its jobs again.
				 */
				if (n_locked++ == 1)
					start_next(1);
				if (n_locked > 1 && !gpt_waiter_lock())
					return NULL;
				wait_a_moment(LOCKED_ROW_WAIT_MS);
				break;
		}
	}
}

/* ---- The next job ------------------------------------------------------- */

static void
give_back(void)
{
	gpt_slot_unlock(slot);
	gpt_job_unlock(ticket.job);
	slot = -1;
}

/*
 * The n-th oldest of the queued jobs that are older than the given one, from 1; NULL if there is
 * none.
 */
static GptJob *
oldest_waiting(int64 before, int n)
{
	GptTransaction transaction;
	List *jobs;
	ListCell *cell;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(transaction.context);
	jobs = gpt_job_list_waiting(false, n + 1);
	gpt_transaction_commit(&transaction);
	foreach (cell, jobs)
	{
		GptJob *job = lfirst(cell);

		if (job->number < before && job->number != ticket.job && --n == 0)
			return job;
	}
	return NULL;
}

/*
 * The jobs to start when this one has ended: first interrupted jobs without a process, then queued
 * ones in their order.
 */
static List *
next_jobs(void)
{
	GptTransaction transaction;
	List *jobs;
	ListCell *cell;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(transaction.context);
	jobs = gpt_job_list_waiting(gpt_autostart, 2 * gpt_max_workers + 1);
	gpt_transaction_commit(&transaction);
	foreach (cell, jobs)
	{
		GptJob *job = lfirst(cell);

		if (job->number == ticket.job ||
			(job->state == GPT_JOB_RUNNING && gpt_job_pid(job->number) != 0))
			jobs = foreach_delete_current(jobs, cell);
	}
	return jobs;
}

/* False when there is no place for another worker, or nothing to launch. */
static bool
launch(const GptJob *job)
{
	GptJobTicket next;

	if (job == NULL)
		return false;
	next = (GptJobTicket){job->number, job->run_id, job->database, job->owner};
	return gpt_job_launch(&next);
}

/*
 * Starts the next jobs of this database, as many as there are slots: two of them may have waited
 * for this job. A worker that has not run its job starts one at most, in its own place: where jobs
 * are locked or cancelled faster than workers start, two for each would soon be hundreds. False if
 * there was no place for one of the workers; the launcher starts it after this process has ended.
 */
static bool
launch_next(int most)
{
	List *jobs = next_jobs();
	int n_left = Min(most, Max(1, gpt_slots_free()));
	ListCell *cell;

	if (jobs == NIL)
		gpt_launcher_request(InvalidOid);
	foreach (cell, jobs)
	{
		const GptJob *job = lfirst(cell);

		if (n_left-- == 0)
			break;
		if (!launch(job))
		{
			gpt_launcher_hand_over(
				&(GptJobTicket){job->number, job->run_id, job->database, job->owner});
			return false;
		}
	}
	return true;
}

/*
 * Gives back the slot and starts the next jobs. If max_worker_processes is exhausted and there is
 * no launcher, the place of this process is the missing one: of several workers that end at once,
 * the first stays a moment until another one has made room.
 */
static void
start_next(int most)
{
	give_back();
	if (launch_next(most) || gpt_launcher_present() || proc_exit_inprogress || !gpt_waiter_lock())
		return;
	for (int i = 0; i < PLACE_WAITS && !ProcDiePending; i++)
	{
		/* The job has ended: a cancellation of it, which may be pending, is no reason to leave. */
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, PLACE_WAIT_MS,
						 gpt_wait_event("GptWorkerPlace"));
		ResetLatch(MyLatch);
		if (launch_next(most))
			break;
	}
	gpt_waiter_unlock();
}

void
gpt_claim_leave_slot(void)
{
	gpt_slot_unlock(slot);
	slot = -1;
	(void) launch_next(gpt_max_workers);
}

static void
lend_slot(void)
{
	gpt_slot_unlock(slot);
	slot = -1;
}

static bool
take_slot(void)
{
	if (slot < 0)
		slot = gpt_slot_lock();
	return slot >= 0;
}

const GptJobSlot gpt_claim_slot = {gpt_claim_leave_slot, lend_slot, take_slot};

void
gpt_claim_start_next(const GptJobTicket *ended)
{
	ticket = *ended;
	start_next(gpt_max_workers);
}
