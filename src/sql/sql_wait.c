/*
 * src/sql/sql_wait.c
 *
 * SQL functions that wait for the end of a training job.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/settings.h"
#include "jobs/job_launch.h"
#include "jobs/job_lock.h"
#include "jobs/launcher.h"
#include "sql/arguments.h"
#include "sql/visible_job.h"

#define LOOK_MS 200 /* between two looks at a job's row */
#define RUNNER_LOOK_MS 1000 /* between two checks of which process runs it */
#define NOBODY_MS 5000 /* without a process; a worker may be starting */

PG_FUNCTION_INFO_V1(gpt_wait);

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

/* What a user should know of a job that has ended, beside its state. */
static void
notice_end(const GptJob *job)
{
	if (job->state == GPT_JOB_SUCCEEDED && job->overfit_since > 0)
		notice_overfit(job);
	else if (job->error != NULL)
		notice_failure(job);
}

/*
 * Waits until the job has ended, or until the time; its state then. Looks at what is committed,
 * whatever the isolation level. Starts a job of this session that had no place for a worker, when
 * there is one.
 */
static GptJobState
wait_for_job(int64 number, TimestampTz end)
{
	TimestampTz looked_at = 0;
	TimestampTz somebody_at = GetCurrentTimestamp();
	MemoryContext context = CurrentMemoryContext;

	for (;;)
	{
		const GptJob *job = gpt_visible_job(number);
		TimestampTz now = GetCurrentTimestamp();

		if (gpt_visible_job_has_ended(job))
			notice_end(job);
		if (gpt_visible_job_has_ended(job))
			return job->state;
		gpt_visible_job_check_local(job);
		if (gpt_job_launch_pending(job->number))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("job " INT64_FORMAT " waits for this transaction", job->number),
							errdetail("It starts when the transaction commits."),
							errhint("Commit the transaction, then call gpt_wait.")));
		if (now >= end)
			return job->state;
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
}

/* With the timeout of the call's second argument; NULL waits for ever. */
static Datum
wait_with_timeout(FunctionCallInfo fcinfo, int64 number)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt_wait", ALLOCSET_DEFAULT_SIZES);
	TimestampTz end = DT_NOEND;
	MemoryContext old_context;
	GptJobState state;

	if (!PG_ARGISNULL(1))
		end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													  TimestampTzGetDatum(GetCurrentTimestamp()),
													  PG_GETARG_DATUM(1)));
	old_context = MemoryContextSwitchTo(context);
	state = wait_for_job(number, end);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	PG_RETURN_TEXT_P(cstring_to_text(gpt_job_state_name(state)));
}

/*
 * gpt_wait(job bigint, timeout interval DEFAULT NULL) -> text
 * gpt_wait(model text, timeout interval DEFAULT NULL) -> text
 *
 * Waits until the job, or the newest job of the model or tokenizer that the caller may see, has
 * ended and returns its state, or after the timeout its present state; NULL waits for ever. A
 * NOTICE says why a job failed.
 */
Datum
gpt_wait(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	return wait_with_timeout(fcinfo, gpt_visible_job_argument(fcinfo));
}
