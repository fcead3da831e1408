/*
 * src/sql/sql_job.c
 *
 * SQL functions that cancel, resume and forget training jobs.
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
#include "sql/visible_job.h"
#include "store/catalog.h"
#include "store/job.h"
#include "store/run_files.h"

#define LEAVING_MS 10000
#define MOMENT_MS 10

PG_FUNCTION_INFO_V1(gpt_cancel);
PG_FUNCTION_INFO_V1(gpt_resume);
PG_FUNCTION_INFO_V1(gpt_forget_jobs);
PG_FUNCTION_INFO_V1(gpt_copied_job_trigger);

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
		GptJob *job = gpt_visible_job(number);

		if (gpt_visible_job_has_ended(job))
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
	job = gpt_visible_job(PG_GETARG_INT64(0));
	gpt_submit_check_server("gpt_resume()");
	gpt_visible_job_check_local(job);
	if (gpt_visible_job_has_ended(job))
		wait_for_leaving(job->number);
	if (job->state == GPT_JOB_SUCCEEDED || gpt_job_pid(job->number) != 0 ||
		gpt_job_launch_pending(job->number))
		PG_RETURN_BOOL(false);
	if (gpt_visible_job_has_ended(job))
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
	if (gpt_visible_job_has_ended(job))
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
