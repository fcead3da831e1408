/*
 * src/sql_train.c
 *
 * SQL functions that submit, watch, cancel and resume training jobs.
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "arguments.h"
#include "bridge.h"
#include "catalog.h"
#include "compat.h"
#include "job.h"
#include "job_settings.h"
#include "launcher.h"
#include "options.h"
#include "run_files.h"
#include "settings.h"
#include "source.h"
#include "train_job.h"
#include "train_plan.h"

#define LOOK_MS 200 /* between two looks at a job's row */
#define RUNNER_LOOK_MS 1000 /* between two looks at who runs it */
#define NOBODY_MS 5000 /* that nobody may be seen running it: a worker may be starting */

#define NOTE_WITHOUT_PRELOAD \
	"the server does not preload gpt: after a restart of the server the job waits until gpt_resume is called"

PG_FUNCTION_INFO_V1(gpt_train);
PG_FUNCTION_INFO_V1(gpt_wait);
PG_FUNCTION_INFO_V1(gpt_cancel);
PG_FUNCTION_INFO_V1(gpt_resume);

static void check_server(void);
static void check_owner_can_connect(void);
static void check_queries(const char *query, const GptTrainOptions *options);
static void check_tokenizer(const char *name);
static void check_name_is_free(const char *model, const pg_uuid_t *but_run);
static GptJob *visible_job(int64 number);

/* ---- Submit ---------------------------------------------------------------------------------------- */

/*
 * gpt_train(model text, query text, options jsonb DEFAULT '{}') -> bigint
 *
 * Queues the training of a new model on the rows of the query; a worker starts when the transaction commits. NULL model
 * or query is an error, NULL options are the defaults.
 */
Datum
gpt_train(PG_FUNCTION_ARGS)
{
	Jsonb *json;
	char *model;
	char *query;
	GptTrainOptions *options;
	GptJobTicket ticket;

	gpt_argument_required(fcinfo, 0, "model");
	gpt_argument_required(fcinfo, 1, "query");
	model = gpt_argument_text(fcinfo, 0);
	query = gpt_argument_text(fcinfo, 1);
	json = PG_ARGISNULL(2) ? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))) : PG_GETARG_JSONB_P(2);

	gpt_catalog_check_name(model);
	check_server();
	options = gpt_options_parse(json);
	gpt_plan_check(options);
	check_tokenizer(options->tokenizer);
	check_queries(query, options);
	check_owner_can_connect();
	check_name_is_free(model, NULL);

	/* Now do the work. */
	ticket.job = gpt_job_insert(model, NULL, query, json, gpt_job_settings_capture(), gpt_launcher_present() ? NULL : NOTE_WITHOUT_PRELOAD,
								&ticket.run_id);
	ticket.database = MyDatabaseId;
	ticket.owner = GetUserId();
	gpt_job_launch_at_commit(&ticket);
	PG_RETURN_INT64(ticket.job);
}

static void
check_server(void)
{
	gpt_bridge_check_encoding();
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot train on a standby server"),
				 errhint("Train on the primary server; its models can be used here.")));
}

/* The worker logs in as the owner of the job. */
static void
check_owner_can_connect(void)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool can_login = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (!can_login)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("role \"%s\" is not permitted to log in", GetUserNameFromId(GetUserId(), false)),
				 errdetail("The worker of a job connects as the role that submits it."),
				 errhint("Submit the job as a role with LOGIN.")));
	if (pg_database_aclcheck(MyDatabaseId, GetUserId(), ACL_CONNECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" does not have the CONNECT privilege on database \"%s\"", GetUserNameFromId(GetUserId(), false),
						get_database_name(MyDatabaseId)),
				 errdetail("The worker of a job connects as the role that submits it.")));
}

static void
check_queries(const char *query, const GptTrainOptions *options)
{
	GptSourceShape shape;
	GptSourceShape validation_shape;

	gpt_source_check(&shape, query, GPT_SOURCE_TRAIN);
	if (!options->shuffle && !shape.ordered)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"shuffle\" is false, but query has no ORDER BY at its top level"),
				 errhint("Without it the rows have no order that could be kept.")));
	if (options->validation_query == NULL)
		return;
	if (shape.validation_column != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"validation_query\" and a column \"is_validation\" exclude one another")));
	gpt_source_check(&validation_shape, options->validation_query, GPT_SOURCE_VALIDATION);
}

static void
check_tokenizer(const char *name)
{
	uint8 sha256[GPT_SHA256_SIZE];

	if (name == NULL || strcmp(name, "bytes") == 0 || strcmp(name, "chars") == 0)
		return;
	if (!gpt_catalog_find_tokenizer(name, sha256))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("tokenizer \"%s\" does not exist", name),
				 errhint("The view gpt_tokenizers lists those that you may use; \"bytes\" and \"chars\" always exist.")));
}

static void
check_name_is_free(const char *model, const pg_uuid_t *but_run)
{
	int64 other;

	if (gpt_catalog_model_exists(model, but_run))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" already exists", model),
				 errhint("Choose another name, or remove the model with gpt_drop_model.")));
	if (!gpt_job_lock_name(model))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another transaction is submitting a job for model \"%s\"", model)));
	other = gpt_job_of_model(model);
	if (other != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("job " INT64_FORMAT " is training model \"%s\" already", other, model),
				 errhint("Wait for it with gpt_wait, or cancel it with gpt_cancel.")));
}

/* ---- Look ------------------------------------------------------------------------------------------ */

/* The job, which the current role may see; an error otherwise. */
static GptJob *
visible_job(int64 number)
{
	GptJob *job = gpt_job_read(number);

	if (job != NULL && has_privs_of_role(GetUserId(), job->owner))
		return job;
	if (job == NULL && gpt_job_is_uncommitted(number))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " is not committed yet", number),
				 errdetail("It starts when the transaction that submitted it commits.")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("job " INT64_FORMAT " does not exist, or belongs to another role", number)));
}

static bool
has_ended(const GptJob *job)
{
	return job->state != GPT_JOB_QUEUED && job->state != GPT_JOB_RUNNING;
}

/* Whether no process runs the job, and none is known that will start it. */
static bool
has_nobody(const GptJob *job)
{
	GptLaunchState launch = gpt_job_launch_state(job->number);

	if (gpt_launcher_present() && gpt_autostart)
		return false;
	if (gpt_job_pid(job->number) != 0 || launch == GPT_LAUNCH_ALIVE)
		return false;
	if (launch == GPT_LAUNCH_NO_PLACE && job->state == GPT_JOB_QUEUED)
		return true;

	/* While slots are taken, a worker that ends starts the next job. */
	return job->state == GPT_JOB_RUNNING || gpt_slots_free() > 0;
}

static void
raise_nobody(const GptJob *job)
{
	bool no_place = gpt_job_launch_state(job->number) == GPT_LAUNCH_NO_PLACE;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("job " INT64_FORMAT " is %s, but no process runs it", job->number, gpt_job_state_name(job->state)),
			 no_place ? errdetail("There was no place for a background worker when it was submitted.")
					  : errdetail("Its worker was lost, and the server does not preload gpt, which would start another."),
			 no_place ? errhint("Raise max_worker_processes, and call gpt_resume(" INT64_FORMAT ").", job->number)
					  : errhint("Call gpt_resume(" INT64_FORMAT ").", job->number)));
}

/*
 * gpt_wait(job bigint, timeout interval DEFAULT NULL) -> text
 *
 * Waits until the job has ended and returns its state, or after the timeout its present state; NULL waits for
 * ever. Looks at what is committed, whatever the isolation level.
 */
Datum
gpt_wait(PG_FUNCTION_ARGS)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "gpt_wait", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz end = DT_NOEND;
	TimestampTz looked_at = 0;
	TimestampTz somebody_at = start;
	GptJobState state;

	gpt_argument_required(fcinfo, 0, "job");
	if (!PG_ARGISNULL(1))
		end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(start), PG_GETARG_DATUM(1)));
	for (;;)
	{
		GptJob *job = visible_job(PG_GETARG_INT64(0));
		TimestampTz now = GetCurrentTimestamp();

		state = job->state;
		if (has_ended(job))
			break;
		if (gpt_job_launch_pending(job->number))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("job " INT64_FORMAT " was submitted by this transaction", job->number),
					 errdetail("It starts when the transaction commits.")));
		if (now >= end)
			break;
		if (TimestampDifferenceExceeds(looked_at, now, RUNNER_LOOK_MS))
		{
			looked_at = now;
			if (!has_nobody(job))
				somebody_at = now;
			else if (gpt_job_launch_state(job->number) == GPT_LAUNCH_NO_PLACE || TimestampDifferenceExceeds(somebody_at, now, NOBODY_MS))
				raise_nobody(job);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(LOOK_MS, TimestampDifferenceMilliseconds(now, end) + 1), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	PG_RETURN_TEXT_P(cstring_to_text(gpt_job_state_name(state)));
}

/* ---- Cancel and resume ------------------------------------------------------------------------------ */

static bool
cancel_queued(const GptJob *job)
{
	const GptJobTicket ticket = {job->number, job->run_id, job->database, job->owner};

	if (!gpt_job_cancel_queued(job->number))
		return false;
	gpt_job_launch_at_abort(&ticket);
	gpt_job_notify(job->number, GPT_JOB_CANCELLED);
	return true;
}

/* A job that was cut off and that nobody runs now. */
static bool
cancel_cut_off(const GptJob *job)
{
	bool ended;

	if (!gpt_job_lock(job->number))
		return false;
	gpt_run_files_retire(&job->run_id);
	ended = gpt_job_end(job->number, GPT_JOB_CANCELLED, NULL);
	gpt_job_unlock(job->number);
	if (ended)
		gpt_job_notify(job->number, GPT_JOB_CANCELLED);
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
 * Cancels a job; false when it has ended. A running one is told at once, whatever becomes of the transaction; a
 * queued one is cancelled when the transaction commits.
 */
Datum
gpt_cancel(PG_FUNCTION_ARGS)
{
	int64 number;
	bool cancelled = false;

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

/*
 * gpt_resume(job bigint) -> boolean
 *
 * Starts a worker, when the transaction commits, for a job that nobody runs: one that waits, was cut off, failed
 * or was cancelled. The training begins anew. False when the job runs or has succeeded.
 */
Datum
gpt_resume(PG_FUNCTION_ARGS)
{
	GptJobTicket ticket;
	GptJob *job;

	gpt_argument_required(fcinfo, 0, "job");
	job = visible_job(PG_GETARG_INT64(0));
	check_server();
	if (!gpt_job_is_local(job))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " was submitted in another database or cluster", job->number),
				 errhint("Submit it here with gpt_train.")));
	if (job->state == GPT_JOB_SUCCEEDED || gpt_job_pid(job->number) != 0 || gpt_job_launch_pending(job->number))
		PG_RETURN_BOOL(false);
	if (has_ended(job))
		check_name_is_free(job->model, &job->run_id);

	/* Now do the work. */
	if (has_ended(job))
		gpt_job_requeue(job->number);
	ticket = (GptJobTicket){job->number, job->run_id, job->database, job->owner};
	gpt_job_launch_at_commit(&ticket);
	PG_RETURN_BOOL(true);
}
