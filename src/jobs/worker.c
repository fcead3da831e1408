/*
 * src/jobs/worker.c
 *
 * A ticket for a job goes in; the job's row says how it ended. The shell around the pipeline of
 * train_job.c:
 *
 *   1. connect as the job's owner;
 *   2. claim: the lock of the job, a slot of gpt.max_workers, one more try in the row - committed
 *      before any work, so that a job which crashes the server is not tried for ever;
 *   3. run the pipeline, which publishes the model and the job's success in one commit;
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

#include "store/catalog.h"
#include "jobs/claim.h"
#include "store/job.h"
#include "jobs/job_settings.h"
#include "jobs/launcher.h"
#include "core/nice.h"
#include "store/run_files.h"
#include "core/server_state.h"
#include "core/settings.h"
#include "train/train_job.h"
#include "core/version.h"
#include "jobs/worker.h"

#define NOTIFY_WAIT_MS 5000 /* for who notifies and does not end */
/* between cancelling the user's query for its time and ending the process */
#define TIMEOUT_GRACE_MS 5000
/* the least time between a cancellation by a user and ending the process */
#define CANCEL_GRACE_MS 1000

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
static TimeoutId read_timeout;
static TimeoutId cancel_timeout;
static TimeoutId lock_timeout;
static volatile sig_atomic_t cancel_requested = false;
static volatile sig_atomic_t cancel_ticks = 0; /* of the user's query since then */
static volatile sig_atomic_t terminated = false;
static volatile sig_atomic_t read_timed_out = 0;
static volatile sig_atomic_t lock_timed_out = false;

static void handle_cancel(SIGNAL_ARGS);
static void handle_terminate(SIGNAL_ARGS);
static void handle_read_timeout(void);
static void handle_cancel_timeout(void);
static void handle_lock_timeout(void);
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
	pqsignal(SIGINT, handle_cancel);
	pqsignal(SIGTERM, handle_terminate);
	before_shmem_exit(before_exit, (Datum) 0);
	on_proc_exit(set_exit_code, (Datum) 0);
	BackgroundWorkerUnblockSignals();

	BackgroundWorkerInitializeConnectionByOid(ticket.database, ticket.owner, 0);
	stage = STAGE_CONNECTED;
	before_shmem_exit(record_termination, (Datum) 0);
	read_timeout = RegisterTimeout(USER_TIMEOUT, handle_read_timeout);
	cancel_timeout = RegisterTimeout(USER_TIMEOUT, handle_cancel_timeout);
	lock_timeout = RegisterTimeout(USER_TIMEOUT, handle_lock_timeout);
	/*
	 * Of the role's settings: the server ends such a wait by SIGINT, which is a cancellation here.
	 */
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	pgstat_report_appname("gpt");
	gpt_nice_init();

	if (extension_is_there())
		run();
	proc_exit(0);
}

/* ---- Signals and exit --------------------------------------------------- */

static void
handle_cancel(SIGNAL_ARGS)
{
	int save_errno = errno;

	cancel_requested = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
handle_terminate(SIGNAL_ARGS)
{
	terminated = true;
	die(postgres_signal_arg);
}

/* First a cancellation; whoever catches that one is ended. */
static void
handle_read_timeout(void)
{
	InterruptPending = true;
	QueryCancelPending = true;
	if (read_timed_out)
		ProcDiePending = true;
	read_timed_out = true;
	SetLatch(MyLatch);
}

/*
 * Comes again and again while the user's query runs: a function of it that catches query_canceled
 * keeps the slot no longer.
 */
static void
handle_cancel_timeout(void)
{
	if (!cancel_requested || ++cancel_ticks <= 1)
		return;
	terminated = true;
	InterruptPending = true;
	ProcDiePending = true;
	SetLatch(MyLatch);
}

/* Comes again and again: cancels the transaction where this process waits for a lock just now. */
static void
handle_lock_timeout(void)
{
	if ((MyProc->wait_event_info & 0xFF000000) != PG_WAIT_LOCK)
		return;
	lock_timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

void
gpt_worker_arm_timeout(void)
{
	int64 milliseconds = (int64) gpt_read_timeout * 1000;

	if (gpt_read_timeout > 0)
		enable_timeout_every(read_timeout,
							 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds),
							 TIMEOUT_GRACE_MS);
	enable_timeout_every(cancel_timeout,
						 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CANCEL_GRACE_MS),
						 CANCEL_GRACE_MS);
}

void
gpt_worker_disarm_timeout(void)
{
	disable_timeout(read_timeout, false);
	disable_timeout(cancel_timeout, false);
}

void
gpt_worker_check_stop(void)
{
	if (!PostmasterIsAlive())
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();
	if (cancel_requested || read_timed_out)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED), errmsg("canceling the job due to user request")));
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

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
	if (code == 1 && (stage == STAGE_CONNECTING || stage == STAGE_ENDED || terminated))
		proc_exit(0);
}

/* After FATAL: undoes the open transaction, then writes how the job ended. */
static void
record_termination(int code, Datum argument)
{
	bool by_us = terminated || read_timed_out;

	if (code == 0 || !by_us || stage == STAGE_ENDED)
		return;
	gpt_job_locks_take_back();
	AbortOutOfAnyTransaction();
	gpt_worker_disarm_timeout();
	if (!extension_is_there())
		return;
	if (!gpt_server_is_stopping())
	{
		if (stage == STAGE_CLAIMED)
			gpt_run_files_retire(&ticket.run_id);
		end_job(terminated ? GPT_JOB_CANCELLED : GPT_JOB_FAILED,
				terminated ? NULL : "the query did not end after gpt.read_timeout");
		gpt_claim_start_next(&ticket);
	}
	else if (stage == STAGE_CLAIMED)
	{
		GptWorkerTransaction transaction;

		gpt_worker_begin(&transaction, GPT_COMMIT_ASYNC);
		gpt_job_uncount_try(ticket.job);
		gpt_worker_commit(&transaction);
	}
	stage = STAGE_ENDED;
}

/*
 * Whether the extension is still the one that the job belongs to, and of the library's version.
 * Where it was dropped nothing can be recorded, and the job's files serve nobody.
 */
static bool
extension_is_there(void)
{
	Oid found;
	bool dropped;

	StartTransactionCommand();
	found = gpt_catalog_fitting_extension();
	if (!OidIsValid(extension))
		extension = found;
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

/* ---- Transactions ------------------------------------------------------- */

void
gpt_worker_begin(GptWorkerTransaction *transaction, GptCommit commit)
{
	transaction->context = CurrentMemoryContext;
	transaction->owner = CurrentResourceOwner;
	gpt_nice_raise();
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	if (commit != GPT_COMMIT_FULL)
		(void) set_config_option("synchronous_commit", commit == GPT_COMMIT_LOCAL ? "local" : "off",
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(extension) && gpt_catalog_extension() != extension)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the extension was dropped")));
}

void
gpt_worker_commit(GptWorkerTransaction *transaction)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	MemoryContextSwitchTo(transaction->context);
	CurrentResourceOwner = transaction->owner;
}

typedef struct Attempt
{
	void (*work)(void *argument);
	void *argument;
	GptCommit commit;
	int wait_ms;
	bool (*is_failure)(const ErrorData *error); /* of the attempt; other errors are raised */
} Attempt;

static void
arm_lock_timeout(int milliseconds)
{
	lock_timed_out = false;
	if (milliseconds > 0)
		enable_timeout_every(lock_timeout,
							 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds),
							 milliseconds);
}

/* A cancellation that is on its way is of no use any more, unless it is a user's. */
static void
disarm_lock_timeout(void)
{
	disable_timeout(lock_timeout, false);
	if (lock_timed_out && !cancel_requested)
		QueryCancelPending = false;
}

/* NULL when it is done, otherwise the error that it failed with, in the current memory context. */
static ErrorData *
attempt(const Attempt *given)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile failure = NULL;
	GptWorkerTransaction transaction;

	arm_lock_timeout(given->wait_ms);
	PG_TRY();
	{
		gpt_worker_begin(&transaction, given->commit);
		given->work(given->argument);
		gpt_worker_commit(&transaction);
		disarm_lock_timeout();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		disarm_lock_timeout();
		failure = CopyErrorData();
		if (!given->is_failure(failure))
			PG_RE_THROW();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
	return failure;
}

/*
 * The server has no code for a row of its catalogs that another session has changed, as GRANT
 * changes that of a large object.
 */
static bool
is_changed_catalog(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_INTERNAL_ERROR && error->message != NULL &&
		   (strcmp(error->message, "tuple concurrently updated") == 0 ||
			strcmp(error->message, "tuple concurrently deleted") == 0);
}

static bool
is_of_another_session(const ErrorData *error)
{
	return !cancel_requested &&
		   ((lock_timed_out && error->sqlerrcode == ERRCODE_QUERY_CANCELED) ||
			error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
			error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE || is_changed_catalog(error));
}

bool
gpt_worker_try(GptCommit commit, int wait_ms, void (*work)(void *argument), void *argument)
{
	ErrorData *failure =
		attempt(&(Attempt){work, argument, commit, wait_ms, is_of_another_session});

	if (failure == NULL)
		return true;
	ereport(LOG, (errmsg("job " INT64_FORMAT
						 " of gpt does not publish yet, because of another session: %s",
						 ticket.job, lock_timed_out ? "it holds a lock" : failure->message)));
	FreeErrorData(failure);
	return false;
}

void
gpt_worker_leave_slot(void)
{
	gpt_claim_leave_slot();
}

/* ---- Notifications ------------------------------------------------------ */

typedef struct Notification
{
	int64 job;
	GptJobState state;
} Notification;

static void
notify(void *argument)
{
	const Notification *notification = argument;

	gpt_job_notify(notification->job, notification->state);
}

static bool
is_any_failure(const ErrorData *error)
{
	return true;
}

void
gpt_worker_notify(int64 job, GptJobState state)
{
	Notification notification = {job, state};
	ErrorData *failure = attempt(
		&(Attempt){notify, &notification, GPT_COMMIT_ASYNC, NOTIFY_WAIT_MS, is_any_failure});

	if (failure == NULL)
		return;
	ereport(LOG,
			(errmsg("could not notify of job " INT64_FORMAT " of gpt: %s", job, failure->message)));
	FreeErrorData(failure);
}

/* ---- Run ---------------------------------------------------------------- */

/* Before anything is read: the job may have waited for another one that made the model. */
static void
check_model_is_new(const GptJob *job)
{
	GptWorkerTransaction transaction;

	gpt_worker_begin(&transaction, GPT_COMMIT_ASYNC);
	if (gpt_catalog_model_exists(job->model, &job->run_id))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("model \"%s\" already exists", job->model)));
	gpt_worker_commit(&transaction);
}

/* A role can lose what this process connected with while the job waits. */
static void
check_owner(const GptJob *job)
{
	GptWorkerTransaction transaction;
	const char *reason;

	gpt_worker_begin(&transaction, GPT_COMMIT_ASYNC);
	reason = gpt_job_owner_refusal(job);
	if (reason != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg_internal("%s", reason)));
	gpt_worker_commit(&transaction);
}

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
			gpt_worker_notify(job->number, GPT_JOB_RUNNING);
			ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt started: model \"%s\", try %d",
								 job->number, job->model, job->tries + 1)));
			check_owner(job);
			gpt_job_settings_apply(job->settings);
			if (job->base == NULL)
				check_model_is_new(job);
			gpt_train_job_run(job);
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
		gpt_run_files_sweep();
	}
	stage = STAGE_ENDED;
}

/* What a user reads in gpt_jobs.error: the message, and the lines that explain it. */
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

static void
record_error(MemoryContext context)
{
	ErrorData *error;
	GptJobState state = cancel_requested ? GPT_JOB_CANCELLED : GPT_JOB_FAILED;
	char *message;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	EmitErrorReport();
	FlushErrorState();
	gpt_job_locks_take_back();
	AbortOutOfAnyTransaction();
	gpt_worker_disarm_timeout();

	message = error_text(error);
	if (read_timed_out && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
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
	GptWorkerTransaction transaction;

	stage = STAGE_ENDED;
	if (!gpt_job_lock(ticket.job))
		return; /* another worker runs it; this one only waited */
	if (state != GPT_JOB_SUCCEEDED)
	{
		gpt_worker_begin(&transaction, GPT_COMMIT_LOCAL);
		gpt_job_end(ticket.job, state, message);
		gpt_worker_commit(&transaction);
	}
	gpt_worker_notify(ticket.job, state);
	gpt_job_unlock(ticket.job);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt %s%s%s", ticket.job,
						 gpt_job_state_name(state), message ? ": " : "", message ? message : "")));
}
