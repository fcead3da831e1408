/*
 * src/store/job.c
 *
 * The rows of gpt_job: inserted by sessions, claimed and ended by workers.
 *
 * Everything is read under a new snapshot, also in a REPEATABLE READ transaction: whether a job
 * runs is a question about now. Statements run as the extension's owner with search_path =
 * pg_catalog, pg_temp, so that operators need no schema. A worker must never wait for a session
 * that cancelled a queued job and did not commit, so it skips a locked row.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "core/compat.h"
#include "core/extension.h"
#include "core/statement.h"
#include "store/job.h"
#include "store/job_statement.h"

#define NOTIFY_CHANNEL "gpt_job"
#define NOTIFY_LIMIT 0.99 /* of the queue */

static const char *const state_names[] = {"queued", "running", "succeeded", "failed", "cancelled"};

/* The columns that read_job expects. */
#define JOB_COLUMNS                                                                             \
	"job, model, state, owner, query, options, settings, run_id, system_identifier, database, " \
	"tries, "                                                                                   \
	"base, COALESCE(base_version, 0), step, COALESCE(steps, 0), COALESCE(overfit_since, 0), "   \
	"error, tokenizer"

/* The oldest that has not ended, in this database of this cluster. */
#define WAITING_HERE                                                                            \
	"AND state IN ('queued', 'running') AND system_identifier = $2 AND database = $3 ORDER BY " \
	"job LIMIT 1"

/* The job makes the model $2, or the tokenizer $5; one of them is null. */
#define SAME_PRODUCT "(model = $2 OR tokenizer = $5)"

/* The run of the last job that this session submitted. */
static pg_uuid_t submitted_run;

static int64 find_waiting(const char *model, const char *command);
static void add_optional_text(GptStatement *statement, const char *value);
static Datum value_of(const GptStatement *statement, uint64 row, int column);
static GptJob *read_job(const GptStatement *statement, uint64 row);
static GptJobState state_of_name(const char *name);

const char *
gpt_job_state_name(GptJobState state)
{
	return state_names[state];
}

bool
gpt_job_is_local(const GptJob *job)
{
	return job->database == MyDatabaseId && job->system_identifier == (int64) GetSystemIdentifier();
}

Oid
gpt_job_effective_owner(Oid owner, int64 system_identifier)
{
	return system_identifier == (int64) GetSystemIdentifier() ? owner : InvalidOid;
}

const char *
gpt_job_owner_refusal(const GptJob *job)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(job->owner));
	const char *reason = NULL;
	Form_pg_authid role;

	if (!HeapTupleIsValid(tuple))
		return psprintf("its owner, the role with OID %u, does not exist", job->owner);
	role = (Form_pg_authid) GETSTRUCT(tuple);
	if (!role->rolcanlogin)
		reason = psprintf("its owner \"%s\" is not permitted to log in", NameStr(role->rolname));
	else if (gpt_database_aclcheck(MyDatabaseId, job->owner, ACL_CONNECT) != ACLCHECK_OK)
		reason = psprintf("its owner \"%s\" does not have the CONNECT privilege on the database",
						  NameStr(role->rolname));
	ReleaseSysCache(tuple);
	return reason;
}

/* ---- Sessions ----------------------------------------------------------- */

int64
gpt_job_insert(const GptJobOrder *order, pg_uuid_t *run_id)
{
	Oid owner = GetUserId();
	GptStatement statement;
	int64 job;

	*run_id = submitted_run = *DatumGetUUIDP(OidFunctionCall0(F_GEN_RANDOM_UUID));
	gpt_statement_begin(&statement);
	add_optional_text(&statement, order->model);
	gpt_statement_add_text(&statement, order->query);
	gpt_statement_add(&statement, JSONBOID, JsonbPGetDatum(order->options));
	gpt_statement_add(&statement, JSONBOID, JsonbPGetDatum(order->settings));
	gpt_statement_add(&statement, UUIDOID, UUIDPGetDatum(run_id));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(owner));
	add_optional_text(&statement, order->note);
	add_optional_text(&statement, order->base);
	add_optional_text(&statement, order->tokenizer);
	gpt_statement_change(
		&statement, 1,
		"INSERT INTO %s.gpt_job (model, kind, query, options, settings, run_id, system_identifier, "
		"database, owner, note, base, tokenizer) VALUES ($1, CASE WHEN $11 IS NOT NULL THEN "
		"'tokenizer' WHEN $10 IS NULL THEN 'train' ELSE 'finetune' END, $2, $3, $4, $5, $6, $7, "
		"$8, $9, $10, $11) RETURNING job");
	job = DatumGetInt64(value_of(&statement, 0, 1));
	gpt_statement_end(&statement);
	return job;
}

bool
gpt_job_is_submitted(const pg_uuid_t *run_id)
{
	return memcmp(run_id, &submitted_run, sizeof(pg_uuid_t)) == 0;
}

GptJob *
gpt_job_read(int64 number)
{
	GptJob *job = NULL;
	GptStatement statement;

	gpt_job_statement_begin(&statement, number);
	if (gpt_statement_run(&statement, "SELECT " JOB_COLUMNS " FROM %s.gpt_job WHERE job = $1") > 0)
		job = read_job(&statement, 0);
	gpt_statement_end(&statement);
	return job;
}

bool
gpt_job_is_uncommitted(int64 job)
{
	List *name = gpt_qualified_name(psprintf("%s.gpt_job", gpt_extension_schema()));
	GptIdentity identity;
	Relation relation;
	SnapshotData dirty;
	ScanKeyData key;
	SysScanDesc scan;
	bool found;

	gpt_extension_enter(&identity);
	relation = table_openrv(makeRangeVarFromNameList(name), AccessShareLock);
	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job));
	scan = systable_beginscan(relation, InvalidOid, false, &dirty, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan)) && TransactionIdIsValid(dirty.xmin);
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	gpt_extension_leave(&identity);
	return found;
}

int64
gpt_job_newest(const char *name)
{
	int64 job = 0;
	GptStatement statement;

	gpt_statement_begin(&statement);
	add_optional_text(&statement, name);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(statement.identity.user));
	if (gpt_statement_run(&statement,
						  "SELECT job FROM %1$s.gpt_job WHERE ($1 IS NULL OR model = $1 OR "
						  "tokenizer = $1) AND pg_has_role($2, %1$s.gpt_job_owner(owner, "
						  "system_identifier), 'USAGE') ORDER BY $1 IS NOT NULL AND model IS NULL, "
						  "job DESC LIMIT 1") > 0)
		job = DatumGetInt64(value_of(&statement, 0, 1));
	gpt_statement_end(&statement);
	return job;
}

int64
gpt_job_of_model(const char *model)
{
	return find_waiting(model, "SELECT job FROM %s.gpt_job WHERE model = $1 " WAITING_HERE);
}

int64
gpt_job_of_tokenizer(const char *name)
{
	return find_waiting(name, "SELECT job FROM %s.gpt_job WHERE tokenizer = $1 " WAITING_HERE);
}

int64
gpt_job_with_base(const char *model)
{
	return find_waiting(model, "SELECT job FROM %s.gpt_job WHERE base = $1 " WAITING_HERE);
}

/* The number of the oldest such job in this database that has not ended; 0 if there is none. */
static int64
find_waiting(const char *model, const char *command)
{
	int64 job = 0;
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	if (gpt_statement_run(&statement, command) > 0)
		job = DatumGetInt64(value_of(&statement, 0, 1));
	gpt_statement_end(&statement);
	return job;
}

/*
 * The first job that the condition accepts among those of this database that make the same model,
 * or the same tokenizer; NULL if there is none.
 */
static GptJob *
find_relative(const GptJob *job, const char *format)
{
	GptJob *relative = NULL;
	GptStatement statement;

	gpt_job_statement_begin(&statement, job->number);
	add_optional_text(&statement, job->model);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(job->system_identifier));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(job->database));
	add_optional_text(&statement, job->tokenizer);
	if (gpt_statement_run(&statement, format) > 0)
		relative = read_job(&statement, 0);
	gpt_statement_end(&statement);
	return relative;
}

GptJob *
gpt_job_predecessor(const GptJob *job)
{
	return find_relative(
		job, "SELECT " JOB_COLUMNS " FROM %s.gpt_job WHERE job < $1 AND " SAME_PRODUCT
			 " AND system_identifier = $3 "
			 "AND database = $4 AND (state = 'queued' OR state = 'running') ORDER BY job LIMIT 1");
}

GptJob *
gpt_job_successor(const GptJob *job)
{
	return find_relative(job,
						 "SELECT " JOB_COLUMNS " FROM %s.gpt_job WHERE job > $1 AND " SAME_PRODUCT
						 " AND system_identifier = $3 "
						 "AND database = $4 AND state = 'queued' ORDER BY job LIMIT 1");
}

bool
gpt_job_cancel_queued(int64 job)
{
	GptStatement statement;
	bool cancelled;

	gpt_job_statement_begin(&statement, job);
	cancelled =
		gpt_statement_change_any(
			&statement, "UPDATE %s.gpt_job SET state = 'cancelled', finished_at = "
						"pg_catalog.clock_timestamp() WHERE job = $1 AND state = 'queued'") > 0;
	gpt_statement_end(&statement);
	return cancelled;
}

void
gpt_job_requeue(int64 job, const char *note)
{
	GptStatement statement;

	gpt_job_statement_begin(&statement, job);
	add_optional_text(&statement, note);
	gpt_statement_change(
		&statement, 1,
		"UPDATE %s.gpt_job SET state = 'queued', tries = 0, error = NULL, finished_at = NULL, note "
		"= $2 WHERE job = $1 AND state IN ('failed', 'cancelled')");
	gpt_statement_end(&statement);
}

int64
gpt_job_forget(List **run_ids, TimestampTz before)
{
	GptStatement statement;
	uint64 n;

	*run_ids = NIL;
	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(statement.identity.user));
	gpt_statement_add(&statement, TIMESTAMPTZOID, TimestampTzGetDatum(before));
	n = gpt_statement_run(
		&statement,
		"WITH forgotten AS (DELETE FROM %1$s.gpt_job WHERE state IN ('succeeded', 'failed', "
		"'cancelled') AND finished_at < $2 AND pg_catalog.pg_has_role($1, "
		"%1$s.gpt_job_owner(owner, system_identifier), 'USAGE') RETURNING job, run_id, "
		"system_identifier, database), log AS (DELETE FROM %1$s.gpt_job_log l USING forgotten f "
		"WHERE l.job = f.job), servers AS (DELETE FROM %1$s.gpt_job_server s USING forgotten f "
		"WHERE s.job = f.job) SELECT run_id, system_identifier, database FROM forgotten");
	for (uint64 row = 0; row < n; row++)
	{
		MemoryContext old_context = MemoryContextSwitchTo(statement.caller);
		pg_uuid_t *run_id = palloc(sizeof(pg_uuid_t));

		*run_id = *DatumGetUUIDP(value_of(&statement, row, 1));
		if (DatumGetInt64(value_of(&statement, row, 2)) == (int64) GetSystemIdentifier() &&
			DatumGetObjectId(value_of(&statement, row, 3)) == MyDatabaseId)
			*run_ids = lappend(*run_ids, run_id);
		MemoryContextSwitchTo(old_context);
	}
	gpt_statement_end(&statement);
	return (int64) n;
}

/* A queue that is full undoes the transaction, while jobs can be watched without. */
void
gpt_job_notify(int64 job, GptJobState state)
{
	char *payload =
		psprintf("{\"job\": " INT64_FORMAT ", \"state\": \"%s\"}", job, state_names[state]);
	double usage = DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE));

	if (usage > NOTIFY_LIMIT)
	{
		ereport(
			WARNING,
			(errmsg("the NOTIFY queue is %.1f%% full, so nobody is notified of job " INT64_FORMAT,
					100 * usage, job),
			 errdetail("A session that has executed LISTEN has stayed in one transaction for a "
					   "long time.")));
		return;
	}
	Async_Notify(NOTIFY_CHANNEL, payload);
}

/* ---- Workers ------------------------------------------------------------ */

bool
gpt_job_claim(int64 job, bool *locked)
{
	GptStatement statement;
	bool claimed = false;

	*locked = false;
	gpt_job_statement_begin(&statement, job);
	if (gpt_statement_run(&statement,
						  "SELECT job FROM %s.gpt_job WHERE job = $1 FOR UPDATE SKIP LOCKED") == 0)
	{
		gpt_job_statement_add(&statement, job);
		*locked = gpt_statement_run(&statement, "SELECT job FROM %s.gpt_job WHERE job = $1") > 0;
	}
	else
	{
		gpt_job_statement_add(&statement, job);
		claimed =
			gpt_statement_change_any(
				&statement, "UPDATE %s.gpt_job SET state = 'running', tries = tries + 1, error = "
							"NULL, started_at = coalesce(started_at, pg_catalog.clock_timestamp()) "
							"WHERE job = $1 AND (state = 'queued' OR state = 'running')") > 0;
	}
	gpt_statement_end(&statement);
	return claimed;
}

void
gpt_job_uncount_try(int64 job)
{
	GptStatement statement;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_change_any(&statement, "UPDATE %s.gpt_job SET tries = tries - 1 WHERE job = $1 "
										 "AND state = 'running' AND tries > 0");
	gpt_statement_end(&statement);
}

bool
gpt_job_end(int64 job, GptJobState state, const char *message)
{
	GptStatement statement;
	bool ended;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_add_text(&statement, state_names[state]);
	add_optional_text(&statement, message);
	ended = gpt_statement_change_any(&statement,
									 "UPDATE %s.gpt_job SET state = $2, error = $3, finished_at = "
									 "pg_catalog.clock_timestamp() WHERE job = $1 AND (state = "
									 "'queued' OR state = 'running')") > 0;
	gpt_job_statement_add(&statement, job);
	gpt_statement_change_any(&statement,
							 "UPDATE %1$s.gpt_job j SET step = p.step FROM %1$s.gpt_progress p "
							 "WHERE j.job = $1 AND p.job = $1 AND p.step > j.step");
	gpt_job_statement_add(&statement, job);
	gpt_statement_change_any(&statement, "DELETE FROM %s.gpt_progress WHERE job = $1");
	gpt_statement_end(&statement);
	return ended;
}

List *
gpt_job_list_waiting(bool cut_off, int n)
{
	List *jobs = NIL;
	GptStatement statement;
	uint64 n_rows;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	gpt_statement_add(&statement, BOOLOID, BoolGetDatum(cut_off));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(n));
	n_rows = gpt_statement_run(
		&statement,
		"SELECT " JOB_COLUMNS " FROM %1$s.gpt_job j WHERE system_identifier = $1 "
		"AND database = $2 "
		"AND (state = 'queued' OR ($3 AND state = 'running')) "
		"AND (state = 'running' OR NOT EXISTS (SELECT FROM %1$s.gpt_job e WHERE e.job < j.job "
		"AND (e.model = j.model OR e.tokenizer = j.tokenizer) AND e.system_identifier = $1 AND "
		"e.database = $2 "
		"AND (e.state = 'queued' OR e.state = 'running'))) "
		"ORDER BY state = 'queued', job LIMIT $4 FOR SHARE OF j SKIP LOCKED");
	for (uint64 row = 0; row < n_rows; row++)
	{
		GptJob *job = read_job(&statement, row);
		MemoryContext old_context = MemoryContextSwitchTo(statement.caller);

		jobs = lappend(jobs, job);
		MemoryContextSwitchTo(old_context);
	}
	gpt_statement_end(&statement);
	return jobs;
}

/* ---- Statements --------------------------------------------------------- */

/* NULL is a null. */
static void
add_optional_text(GptStatement *statement, const char *value)
{
	gpt_statement_add_text(statement, value ? value : "");
	if (value == NULL)
		statement->nulls[statement->n - 1] = 'n';
}

static Datum
value_of(const GptStatement *statement, uint64 row, int column)
{
	bool isnull;
	Datum value = gpt_statement_value(statement, row, column, &isnull);

	Assert(!isnull);
	return value;
}

/*
 * A copy of the row, whose columns are JOB_COLUMNS, in the memory context of the statement's
 * caller.
 */
static GptJob *
read_job(const GptStatement *statement, uint64 row)
{
	MemoryContext old_context = MemoryContextSwitchTo(statement->caller);
	GptJob *job = palloc0(sizeof(GptJob));

	job->number = DatumGetInt64(value_of(statement, row, 1));
	job->model = gpt_statement_text(statement, row, 2);
	job->state = state_of_name(gpt_statement_text(statement, row, 3));
	job->query = gpt_statement_text(statement, row, 5);
	job->options = DatumGetJsonbPCopy(value_of(statement, row, 6));
	job->settings = DatumGetJsonbPCopy(value_of(statement, row, 7));
	job->run_id = *DatumGetUUIDP(value_of(statement, row, 8));
	job->system_identifier = DatumGetInt64(value_of(statement, row, 9));
	job->owner = gpt_job_effective_owner(DatumGetObjectId(value_of(statement, row, 4)),
										 job->system_identifier);
	job->database = DatumGetObjectId(value_of(statement, row, 10));
	job->tries = DatumGetInt32(value_of(statement, row, 11));
	job->base = gpt_statement_text(statement, row, 12);
	job->base_version = DatumGetInt32(value_of(statement, row, 13));
	job->step = DatumGetInt64(value_of(statement, row, 14));
	job->steps = DatumGetInt64(value_of(statement, row, 15));
	job->overfit_since = DatumGetInt64(value_of(statement, row, 16));
	job->error = gpt_statement_text(statement, row, 17);
	job->tokenizer = gpt_statement_text(statement, row, 18);
	MemoryContextSwitchTo(old_context);
	return job;
}

static GptJobState
state_of_name(const char *name)
{
	for (int i = 0; i < lengthof(state_names); i++)
	{
		if (strcmp(name, state_names[i]) == 0)
			return (GptJobState) i;
	}
	elog(ERROR, "job state \"%s\" does not exist", name);
}
