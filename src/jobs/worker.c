/*
 * src/jobs/worker.c
 *
 * A ticket for a job goes in; the job's row says how it ended. The shell around the pipelines of
 * train_job.c and tokenizer_job.c:
 *
 *   1. connect as the job's owner;
 *   2. claim: the lock of the job, a slot of gpt.max_workers, one more try in the row - committed
 *      before any work, so that a job which crashes the server is not tried for ever;
 *   3. run the pipeline, which publishes model or tokenizer and the job's success in one commit;
 *   4. otherwise record the failure or the cancellation; NOTIFY; start the next job; exit with
 *      code 0.
 *
 * How a worker ends, and with what exit code (the server starts it again after 1, and forgets it
 * after 0):
 *
 *   SIGINT (gpt_cancel, pg_cancel_backend)  an error in the pipeline, or FATAL where the
 *                                           user's query catches that: 'cancelled'            0
 *   SIGTERM (pg_terminate_backend)          FATAL; the exit callback writes 'cancelled'         0
 *   SIGTERM while the server stops          FATAL; the row stays 'running', the try is not
 *                                           counted: the job goes on after the restart          0
 *   the connection fails                    the exit callback asks a starter to write why       0
 *   crash of this or another process        the server restarts it, it claims its job again     -
 *
 * SIGTERM is not an ordinary error because the user's query could catch that one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/wait_event.h"

#include "core/extension.h"
#include "core/lock.h"
#include "core/nice.h"
#include "core/server_state.h"
#include "core/settings.h"
#include "core/stop.h"
#include "core/transaction.h"
#include "core/version.h"
#include "jobs/announce.h"
#include "jobs/claim.h"
#include "jobs/job_launch.h"
#include "jobs/job_lock.h"
#include "jobs/job_settings.h"
#include "jobs/launcher.h"
#include "jobs/worker.h"
#include "store/catalog.h"
#include "store/job.h"
#include "store/run_files.h"
#include "train/checkpoint.h"
#include "train/tokenizer_job.h"
#include "train/train_job.h"

typedef enum Stage
{
	STAGE_CONNECTING,
	STAGE_CONNECTED,
	STAGE_CLAIMED,
	STAGE_ENDED,
} Stage;

static GptJobTicket ticket;
static Stage stage = STAGE_CONNECTING;
static Oid extension = InvalidOid; /* as it was when the process began */

static void before_exit(int code, Datum argument);
static void set_exit_code(int code, Datum argument);
static void record_termination(int code, Datum argument);
static bool extension_is_there(void);
static void run(void);
static void record_error(MemoryContext context);
static void end_job(GptJobState state, const char *message);

void
gpt_worker_main(Datum argument)
{
	memcpy(&ticket, MyBgworkerEntry->bgw_extra, sizeof(ticket));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	gpt_stop_handle_signals();
	before_shmem_exit(before_exit, (Datum) 0);
	on_proc_exit(set_exit_code, (Datum) 0);
	BackgroundWorkerUnblockSignals();

	BackgroundWorkerInitializeConnectionByOid(ticket.database, ticket.owner, 0);
	stage = STAGE_CONNECTED;
	before_shmem_exit(record_termination, (Datum) 0);
	gpt_stop_register_timeouts();
	/*
	 * Overrides the role's setting: the server would end the wait by SIGINT, which is a
	 * cancellation here.
	 */
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	pgstat_report_appname("gpt");
	gpt_nice_init();

	if (extension_is_there())
		run();
	proc_exit(0);
}

/* ---- Signals and exit --------------------------------------------------- */

/*
 * Registered before the connection exists, so it runs after the transaction of a failed one was
 * undone.
 */
static void
before_exit(int code, Datum argument)
{
	if (stage == STAGE_CONNECTING && code != 0 && !gpt_server_is_stopping())
		gpt_launcher_report_connection(ticket.database, ticket.job);
}

static void
set_exit_code(int code, Datum argument)
{
	if (code == 1 &&
		(stage == STAGE_CONNECTING || stage == STAGE_ENDED || gpt_stop_is_terminated()))
		proc_exit(0);
}

/* Exit callback after FATAL: aborts the open transaction, then records the end of the job. */
static void
record_termination(int code, Datum argument)
{
	bool by_us = gpt_stop_is_terminated() || gpt_stop_read_timed_out();

	if (code == 0 || !by_us || stage == STAGE_ENDED)
		return;
	gpt_locks_take_back();
	AbortOutOfAnyTransaction();
	gpt_stop_disarm_timeout();
	if (!extension_is_there())
		return;
	if (!gpt_server_is_stopping())
	{
		if (stage == STAGE_CLAIMED)
			gpt_run_files_retire(&ticket.run_id);
		end_job(gpt_stop_is_terminated() ? GPT_JOB_CANCELLED : GPT_JOB_FAILED,
				gpt_stop_is_terminated() ? NULL : "the query did not end after gpt.read_timeout");
		gpt_claim_start_next(&ticket);
	}
	else if (stage == STAGE_CLAIMED)
	{
		GptTransaction transaction;

		gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
		gpt_job_uncount_try(ticket.job);
		gpt_transaction_commit(&transaction);
	}
	stage = STAGE_ENDED;
}

/*
 * Whether the extension is still the one of the job, in the library's version. If it was dropped,
 * nothing can be recorded, and the job's files are useless.
 */
static bool
extension_is_there(void)
{
	Oid found;
	bool dropped;

	StartTransactionCommand();
	found = gpt_extension_fitting_oid();
	if (!OidIsValid(extension))
	{
		extension = found;
		gpt_transaction_expect_extension(found);
	}
	dropped = OidIsValid(extension) && get_extension_oid("gpt", true) != extension;
	CommitTransactionCommand();
	if (OidIsValid(found) && found == extension)
		return true;
	stage = STAGE_ENDED;
	if (dropped)
		gpt_run_files_remove(&ticket.run_id);
	ereport(LOG,
			(errmsg("the worker of job " INT64_FORMAT " of gpt ends", ticket.job),
			 errdetail(
				 "The extension was dropped, or its version differs from that of the library, %s.",
				 GPT_VERSION)));
	return false;
}

/* ---- Run ---------------------------------------------------------------- */

/*
 * Checked before the query runs: the job may have waited for another one that made the model, and
 * meanwhile another role may have taken the name of the tokenizer.
 */
static void
check_name(const GptJob *job)
{
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	if (job->tokenizer != NULL)
		gpt_catalog_check_new_tokenizer(job->tokenizer);
	else if (job->base == NULL && gpt_catalog_model_exists(job->model, &job->run_id))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("model \"%s\" already exists", job->model)));
	gpt_transaction_commit(&transaction);
}

/* A role can lose what this process connected with while the job waits. */
static void
check_owner(const GptJob *job)
{
	GptTransaction transaction;
	const char *reason;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	reason = gpt_job_owner_refusal(job);
	if (reason != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg_internal("%s", reason)));
	gpt_transaction_commit(&transaction);
}

/* Claims the job, trains and records its end; then starts the next job and sweeps old files. */
static void
run(void)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "gpt job", ALLOCSET_DEFAULT_SIZES);
	GptJob *job = NULL;

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		job = gpt_claim_job(&ticket);
		if (job != NULL)
		{
			stage = STAGE_CLAIMED;
			gpt_job_announce(job->number, GPT_JOB_RUNNING);
			ereport(LOG,
					(errmsg("job " INT64_FORMAT " of gpt started: %s \"%s\", try %d", job->number,
							job->tokenizer != NULL ? "tokenizer" : "model",
							job->tokenizer != NULL ? job->tokenizer : job->model, job->tries + 1)));
			check_owner(job);
			gpt_job_settings_apply(job->settings);
			check_name(job);
			if (job->tokenizer != NULL)
				gpt_tokenizer_job_run(job, gpt_claim_leave_slot);
			else
				gpt_train_job_run(job, &gpt_claim_slot);
			end_job(GPT_JOB_SUCCEEDED, NULL);
		}
	}
	PG_CATCH();
	{
		record_error(context);
	}
	PG_END_TRY();
	if (stage == STAGE_ENDED && extension_is_there())
	{
		gpt_claim_start_next(&ticket);
		gpt_run_files_sweep(gpt_checkpoint_database);
	}
	stage = STAGE_ENDED;
}

/* The text of gpt_jobs.error: the message, and the lines that explain it. */
static char *
error_text(const ErrorData *error)
{
	StringInfoData text_buffer;

	initStringInfo(&text_buffer);
	appendStringInfoString(&text_buffer, error->message ? error->message : "error without message");
	if (error->detail != NULL)
		appendStringInfo(&text_buffer, "\nDETAIL: %s", error->detail);
	if (error->hint != NULL)
		appendStringInfo(&text_buffer, "\nHINT: %s", error->hint);
	return text_buffer.data;
}

/* Logs the error, ends the aborted transaction and records the job's state in a new one. */
static void
record_error(MemoryContext context)
{
	ErrorData *error;
	GptJobState state = gpt_stop_is_cancelled() ? GPT_JOB_CANCELLED : GPT_JOB_FAILED;
	char *message;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	EmitErrorReport();
	FlushErrorState();
	gpt_locks_take_back();
	AbortOutOfAnyTransaction();
	gpt_stop_disarm_timeout();

	message = error_text(error);
	if (gpt_stop_read_timed_out() && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		message =
			psprintf("reading the rows takes longer than gpt.read_timeout, %d s", gpt_read_timeout);
	if (!extension_is_there())
	{
		RESUME_INTERRUPTS();
		return;
	}
	if (stage == STAGE_CLAIMED)
		gpt_run_files_retire(&ticket.run_id);
	end_job(state, state == GPT_JOB_CANCELLED ? NULL : message);
	RESUME_INTERRUPTS();
}

/*
 * Commits how the job ended, then tells listeners: a full queue must not undo the first. A success
 * was committed with the model already.
 */
static void
end_job(GptJobState state, const char *message)
{
	GptTransaction transaction;

	stage = STAGE_ENDED;
	if (!gpt_job_lock(ticket.job))
		return; /* another worker runs it; this one only waited */
	if (state != GPT_JOB_SUCCEEDED)
	{
		gpt_transaction_begin(&transaction, GPT_COMMIT_LOCAL);
		gpt_job_end(ticket.job, state, message);
		gpt_transaction_commit(&transaction);
	}
	gpt_job_announce(ticket.job, state);
	gpt_job_unlock(ticket.job);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt %s%s%s", ticket.job,
						 gpt_job_state_name(state), message ? ": " : "", message ? message : "")));
}
