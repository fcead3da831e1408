/*
 * src/sql/sql_job.c
 *
 * SQL functions that watch, cancel, resume and forget training jobs.
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/extension.h"
#include "core/settings.h"
#include "jobs/job_launch.h"
#include "jobs/job_lock.h"
#include "jobs/launcher.h"
#include "sql/arguments.h"
#include "sql/submit.h"
#include "store/catalog.h"
#include "store/job.h"
#include "store/run_files.h"

#define LOOK_MS 200 /* between two looks at a job's row */
#define RUNNER_LOOK_MS 1000 /* between two checks of which process runs it */
#define NOBODY_MS 5000 /* without a process; a worker may be starting */
#define LEAVING_MS 10000
#define MOMENT_MS 10

PG_FUNCTION_INFO_V1(gpt_wait);
PG_FUNCTION_INFO_V1(gpt_cancel);
PG_FUNCTION_INFO_V1(gpt_resume);
PG_FUNCTION_INFO_V1(gpt_forget_jobs);
PG_FUNCTION_INFO_V1(gpt_copied_job_trigger);

/* ---- Look --------------------------------------------------------------- */

/* The job, which the current role may see; an error otherwise. */
static GptJob *
visible_job(int64 number)
{
	GptJob *job = gpt_job_read(number);

	if (job != NULL && has_privs_of_role(GetUserId(), job->owner))
		return job;
	if (job == NULL && gpt_job_is_uncommitted(number))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("job " INT64_FORMAT " is not committed yet", number),
						errdetail("It starts when the transaction that submitted it commits.")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("job " INT64_FORMAT " does not exist, or belongs to another role", number),
			 errhint("The view gpt_jobs lists the jobs that you may see.")));
}

static void
check_is_local(const GptJob *job)
{
	if (!gpt_job_is_local(job))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("job " INT64_FORMAT " was submitted in another database or cluster",
							   job->number),
						errhint("Submit it here with gpt_train.")));
}

static bool
has_ended(const GptJob *job)
{
	return job->state != GPT_JOB_QUEUED && job->state != GPT_JOB_RUNNING;
}

/* The job whose process matters: an earlier one for which this job waits, or the job itself. */
static const GptJob *
first_in_line(const GptJob *job)
{
	const GptJob *predecessor = job->state == GPT_JOB_QUEUED ? gpt_job_predecessor(job) : NULL;

	return predecessor != NULL ? predecessor : job;
}

/* Whether no process runs the job, and none will start it as far as is known. */
static bool
has_nobody(const GptJob *job)
{
	GptLaunchState launch = gpt_job_launch_state(job->number);

	if (gpt_launcher_present() && gpt_autostart)
		return false;
	if (gpt_job_pid(job->number) != 0 || launch == GPT_LAUNCH_ALIVE)
		return false;
	/*
	 * A worker of this database starts the next job at its end; workers of other databases do not.
	 */
	if (launch == GPT_LAUNCH_NO_PLACE && job->state == GPT_JOB_QUEUED)
		return !gpt_slot_held_here();

	/* While slots are taken, a worker that ends starts the next job. */
	return job->state == GPT_JOB_RUNNING || gpt_slots_free() > 0;
}

/* A job of this session for which there was no place: there may be one by now. */
static bool
launched_after_all(const GptJob *job)
{
	GptJobTicket ticket = {job->number, job->run_id, job->database, job->owner};

	return job->state == GPT_JOB_QUEUED &&
		   gpt_job_launch_state(job->number) == GPT_LAUNCH_NO_PLACE && gpt_job_launch(&ticket);
}

/* gpt_wait would wait for ever; the detail says whether the worker was lost or never started. */
static void
raise_nobody(const GptJob *job)
{
	bool no_place = gpt_job_launch_state(job->number) == GPT_LAUNCH_NO_PLACE;

	ereport(
		ERROR,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("job " INT64_FORMAT " is %s, but no process runs it", job->number,
				gpt_job_state_name(job->state)),
		 no_place ? errdetail("There was no place for a background worker when it was submitted.")
				  : errdetail("Its worker was lost, and the server does not preload gpt, which "
							  "would start another."),
		 no_place ? errhint("Raise max_worker_processes, and call gpt_resume(" INT64_FORMAT ").",
							job->number)
				  : errhint("Call gpt_resume(" INT64_FORMAT ").", job->number)));
}

static void
notice_overfit(const GptJob *job)
{
	ereport(
		NOTICE,
		(errmsg("job " INT64_FORMAT
				" has over-fitted: its validation loss rose after step " INT64_FORMAT
				", while the training loss fell",
				job->number, job->overfit_since),
		 errdetail(
			 "Unless the option \"publish\" is \"last\", the weights of that step were published."),
		 errhint("More rows, a smaller \"preset\" or a higher \"dropout\" would help; the view "
				 "gpt_train_log has the losses.")));
}

/* The text ends where the mark begins, and the rest comes back; NULL where there is no mark. */
static char *
cut_off(char *text, const char *mark)
{
	char *found = strstr(text, mark);

	if (found == NULL)
		return NULL;
	*found = '\0';
	return found + strlen(mark);
}

/* The worker wrote message, detail and hint into the row in this order (worker.c). */
static void
notice_failure(const GptJob *job)
{
	char *message = pstrdup(job->error);
	const char *hint = cut_off(message, "\nHINT: ");
	const char *detail = cut_off(message, "\nDETAIL: ");

	ereport(NOTICE,
			(errmsg("training of %s \"%s\" %s: %s", job->model != NULL ? "model" : "tokenizer",
					job->model != NULL ? job->model : job->tokenizer,
					gpt_job_state_name(job->state), message),
			 detail != NULL ? errdetail("%s", detail) : 0, hint != NULL ? errhint("%s", hint) : 0));
}

/*
 * gpt_wait(job bigint, timeout interval DEFAULT NULL) -> text
 *
 * Waits until the job has ended and returns its state, or after the timeout its present state; NULL
 * waits for ever. A NOTICE says why a job failed. Looks at what is committed, whatever the
 * isolation level. Starts a job of this session that had no place for a worker, when there is one.
 */
Datum
gpt_wait(PG_FUNCTION_ARGS)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt_wait", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz end = DT_NOEND;
	TimestampTz looked_at = 0;
	TimestampTz somebody_at = start;
	GptJobState state;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "job");
	if (!PG_ARGISNULL(1))
		end = DatumGetTimestampTz(DirectFunctionCall2(
			timestamptz_pl_interval, TimestampTzGetDatum(start), PG_GETARG_DATUM(1)));
	for (;;)
	{
		const GptJob *job = visible_job(PG_GETARG_INT64(0));
		TimestampTz now = GetCurrentTimestamp();

		state = job->state;
		if (has_ended(job))
		{
			if (state == GPT_JOB_SUCCEEDED && job->overfit_since > 0)
				notice_overfit(job);
			else if (job->error != NULL)
				notice_failure(job);
			break;
		}
		check_is_local(job);
		if (gpt_job_launch_pending(job->number))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("job " INT64_FORMAT " waits for this transaction", job->number),
							errdetail("It starts when the transaction commits."),
							errhint("Commit the transaction, then call gpt_wait.")));
		if (now >= end)
			break;
		if (TimestampDifferenceExceeds(looked_at, now, RUNNER_LOOK_MS))
		{
			looked_at = now;
			job = first_in_line(job);
			if (!has_nobody(job) || launched_after_all(job))
				somebody_at = now;
			else if (TimestampDifferenceExceeds(somebody_at, now, NOBODY_MS))
				raise_nobody(job);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(LOOK_MS, TimestampDifferenceMilliseconds(now, end) + 1),
						 gpt_wait_event("GptJobWait"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	PG_RETURN_TEXT_P(cstring_to_text(gpt_job_state_name(state)));
}

/* ---- Cancel and resume -------------------------------------------------- */

static void
wait_a_moment(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, MOMENT_MS,
					 gpt_wait_event("GptJobLeave"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Jobs that waited for this one start when the cancellation is committed. */
static void
launch_successor(const GptJob *job)
{
	const GptJob *successor = gpt_job_successor(job);

	if (successor != NULL)
		gpt_job_launch_at_commit(&(GptJobTicket){successor->number, successor->run_id,
												 successor->database, successor->owner});
}

/*
 * Holds the job's lock, so that no worker can claim the job in the meantime, which would be an
 * error in a REPEATABLE READ transaction. False: check again.
 */
static bool
cancel_queued(const GptJob *job)
{
	const GptJobTicket ticket = {job->number, job->run_id, job->database, job->owner};
	bool cancelled = false;

	PreventCommandIfReadOnly("gpt_cancel()");
	if (!gpt_job_lock(job->number))
	{
		wait_a_moment();
		return false;
	}
	PG_TRY();
	{
		cancelled = gpt_job_cancel_queued(job->number);
	}
	PG_FINALLY();
	{
		gpt_job_unlock(job->number);
	}
	PG_END_TRY();
	if (!cancelled)
		return false;
	gpt_job_launch_at_abort(&ticket);
	launch_successor(job);
	gpt_job_notify(job->number, GPT_JOB_CANCELLED);
	return true;
}

/* The job was interrupted and no process runs it. */
static bool
cancel_cut_off(const GptJob *job)
{
	bool ended;

	PreventCommandIfReadOnly("gpt_cancel()");
	if (!gpt_job_lock(job->number))
		return false;
	if (gpt_job_is_local(job))
		gpt_run_files_retire(&job->run_id);
	ended = gpt_job_end(job->number, GPT_JOB_CANCELLED, NULL);
	gpt_job_unlock(job->number);
	if (ended)
	{
		launch_successor(job);
		gpt_job_notify(job->number, GPT_JOB_CANCELLED);
	}
	return ended;
}

static bool
cancel(const GptJob *job)
{
	int pid = gpt_job_pid(job->number);

	if (job->state == GPT_JOB_QUEUED)
		return cancel_queued(job);
	if (pid == 0)
		return cancel_cut_off(job);
	return kill(pid, SIGINT) == 0;
}

/*
 * gpt_cancel(job bigint) -> boolean
 *
 * Cancels a job; false when it has ended. A running one stops at once, whatever becomes of the
 * transaction; a queued one is cancelled when the transaction commits.
 */
Datum
gpt_cancel(PG_FUNCTION_ARGS)
{
	int64 number;
	bool cancelled = false;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "job");
	number = PG_GETARG_INT64(0);
	while (!cancelled)
	{
		GptJob *job = visible_job(number);

		if (has_ended(job))
			break;
		cancelled = cancel(job);
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_BOOL(cancelled);
}

/* The worker of a job that has ended needs a moment to leave. */
static void
wait_for_leaving(int64 number)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LEAVING_MS);

	while (gpt_job_pid(number) != 0 && GetCurrentTimestamp() < end)
		wait_a_moment();
}

/* Whether the owner of the job may still make what it makes. */
static void
check_name(const GptJob *job)
{
	if (job->tokenizer != NULL)
		gpt_catalog_check_new_tokenizer(job->tokenizer);
	else if (job->base == NULL)
		gpt_submit_check_new(job->model, &job->run_id);
}

/*
 * gpt_resume(job bigint) -> boolean
 *
 * Starts a worker, when the transaction commits, for a job that nobody runs: one that waits, was
 * cut off, failed or was cancelled. The job continues from its last checkpoint. False when the job
 * runs or has succeeded.
 */
Datum
gpt_resume(PG_FUNCTION_ARGS)
{
	GptJobTicket ticket;
	GptJob *job;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "job");
	job = visible_job(PG_GETARG_INT64(0));
	gpt_submit_check_server("gpt_resume()");
	check_is_local(job);
	if (has_ended(job))
		wait_for_leaving(job->number);
	if (job->state == GPT_JOB_SUCCEEDED || gpt_job_pid(job->number) != 0 ||
		gpt_job_launch_pending(job->number))
		PG_RETURN_BOOL(false);
	if (has_ended(job))
	{
		const GptJobOrder order = {job->model, job->tokenizer, job->base};
		int64 other;

		check_name(job);
		(void) gpt_submit_take_turn(&other, &order, GPT_IF_RUNNING_ERROR);
		PushActiveSnapshot(GetLatestSnapshot());
		check_name(job);
		PopActiveSnapshot();
	}

	/* Now do the work. */
	if (has_ended(job))
	{
		gpt_job_requeue(job->number, gpt_launcher_present() ? NULL : GPT_NOTE_WITHOUT_PRELOAD);
		gpt_job_notify(job->number, GPT_JOB_QUEUED);
	}
	ticket = (GptJobTicket){job->number, job->run_id, job->database, job->owner};
	gpt_job_launch_at_commit(&ticket);
	PG_RETURN_BOOL(true);
}

/*
 * gpt_forget_jobs(older_than interval DEFAULT '30 days') -> bigint
 *
 * Deletes the jobs that ended longer ago than that, with their logs and files; returns how many.
 * NULL is the default.
 */
Datum
gpt_forget_jobs(PG_FUNCTION_ARGS)
{
	static const Interval thirty_days = {.day = 30};
	static const Interval zero = {0};
	const Interval *older_than = PG_ARGISNULL(0) ? &thirty_days : PG_GETARG_INTERVAL_P(0);
	List *run_ids;
	ListCell *cell;
	TimestampTz before;
	int64 n;

	gpt_argument_check_call(fcinfo);
	PreventCommandIfReadOnly("gpt_forget_jobs()");
	PreventCommandDuringRecovery("gpt_forget_jobs()");
	if (DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(older_than),
										 IntervalPGetDatum(&zero))))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("older_than must not be negative: %s",
							   DatumGetCString(DirectFunctionCall1(
								   interval_out, IntervalPGetDatum(older_than))))));
	before = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
													 TimestampTzGetDatum(GetCurrentTimestamp()),
													 IntervalPGetDatum(older_than)));

	/*
	 * Now do the work. A rollback brings back the rows, and what they then lack is no more than a
	 * checkpoint.
	 */
	n = gpt_job_forget(&run_ids, before);
	foreach (cell, run_ids)
		gpt_run_files_remove(lfirst(cell));
	PG_RETURN_INT64(n);
}

/* ---- Copies ------------------------------------------------------------- */

/* The number of a column, which somebody may have altered. */
static int
job_column(TupleDesc columns, const char *name, Oid type)
{
	int number = SPI_fnumber(columns, name);

	if (number <= 0 || SPI_gettypeid(columns, number) != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table gpt_job is missing or has another type", name),
				 errdetail("Its type must be %s.", format_type_be(type))));
	return number;
}

/*
 * gpt_copied_job_trigger() -> trigger    (BEFORE INSERT ON gpt_job, ALWAYS)
 *
 * Rows also arrive by pg_restore, COPY and logical replication. One that has not ended and that no
 * function of ours is submitting gets system identifier 0, so that it never starts here, also where
 * it was dumped from this very database.
 */
Datum
gpt_copied_job_trigger(PG_FUNCTION_ARGS)
{
	const TriggerData *data = CALLED_AS_TRIGGER(fcinfo) ? (TriggerData *) fcinfo->context : NULL;
	TupleDesc columns;
	HeapTuple row;
	int number;
	Datum nobody = Int64GetDatum(0);
	bool is_null = false;
	char *state;
	Datum run_id;

	if (data == NULL || !TRIGGER_FIRED_BEFORE(data->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event) || !TRIGGER_FIRED_BY_INSERT(data->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("not called as a trigger before an insert")));
	if (!gpt_extension_is_table(RelationGetRelid(data->tg_relation), "gpt_job"))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("table \"%s\" is not gpt_job of extension \"gpt\"",
							   RelationGetRelationName(data->tg_relation))));
	columns = RelationGetDescr(data->tg_relation);
	row = data->tg_trigtuple;
	number = job_column(columns, "system_identifier", INT8OID);
	state = SPI_getvalue(row, columns, job_column(columns, "state", TEXTOID));
	run_id = heap_getattr(row, job_column(columns, "run_id", UUIDOID), columns, &is_null);
	if (state == NULL || (strcmp(state, "queued") != 0 && strcmp(state, "running") != 0))
		PG_RETURN_POINTER(row);
	if (!is_null && gpt_job_is_submitted(DatumGetUUIDP(run_id)))
		PG_RETURN_POINTER(row);
	is_null = false;
	PG_RETURN_POINTER(heap_modify_tuple_by_cols(row, columns, 1, &number, &nobody, &is_null));
}
