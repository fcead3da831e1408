/*
 * src/sql/sql_progress.c
 *
 * Rows of gpt_progress for the views. The table is unlogged, and an unlogged table cannot be read
 * on a standby: a view over it would make gpt_jobs fail there, so the views read this function.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"

#include "core/compat.h"
#include "core/statement.h"
#include "jobs/job_lock.h"
#include "jobs/launcher.h"
#include "sql/arguments.h"
#include "store/job.h"

PG_FUNCTION_INFO_V1(gpt_job_owner);
PG_FUNCTION_INFO_V1(gpt_progress_rows);
PG_FUNCTION_INFO_V1(gpt_job_note);

/*
 * gpt_job_owner(owner oid, system_identifier bigint) -> oid    STRICT
 *
 * The owner of a job, as its row has it. In a row that was restored or replicated from another
 * cluster the number means somebody else or nobody: then 0, which only superusers match.
 */
Datum
gpt_job_owner(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	PG_RETURN_OID(gpt_job_effective_owner(PG_GETARG_OID(0), PG_GETARG_INT64(1)));
}

/*
 * gpt_progress_rows() -> setof gpt_progress
 *
 * What the workers of running jobs wrote last, of jobs whose owner's privileges the current role
 * has.
 */
Datum
gpt_progress_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GptStatement statement;
	uint64 n;

	gpt_argument_check_call(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	if (RecoveryInProgress())
		return (Datum) 0;

	/* Now do the work. */
	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(statement.identity.user));
	n = gpt_statement_run(
		&statement,
		"SELECT p.* FROM %1$s.gpt_progress p JOIN %1$s.gpt_job j ON j.job = p.job WHERE "
		"pg_catalog.pg_has_role($1, %1$s.gpt_job_owner(j.owner, j.system_identifier), 'USAGE')");
	for (uint64 row = 0; row < n; row++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[row]);
	gpt_statement_end(&statement);
	return (Datum) 0;
}

/* Whether as many background workers run as the server has places for. */
static bool
places_are_taken(void)
{
	int n_workers = 0;

	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		const LocalPgBackendStatus *backend = gpt_backend_status(i);

		n_workers += backend != NULL && backend->backendStatus.st_backendType == B_BG_WORKER;
	}
	return n_workers >= max_worker_processes;
}

/* False for values that are not known yet, or never will be. */
static bool
still_holds(const char *note, const char *state)
{
	if (strcmp(note, GPT_NOTE_WITHOUT_PRELOAD) != 0)
		return true;
	return !gpt_launcher_present() &&
		   (strcmp(state, "queued") == 0 || strcmp(state, "running") == 0);
}

/*
 * gpt_job_note(state text, note text) -> text
 *
 * The note that gpt_jobs shows: where a queued job could run but for the lack of a place for its
 * worker, that; otherwise the note of its row while it holds, or NULL.
 */
Datum
gpt_job_note(PG_FUNCTION_ARGS)
{
	const char *state;

	gpt_argument_check_call(fcinfo);
	state = PG_ARGISNULL(0) ? "" : gpt_argument_text(fcinfo, 0);
	if (strcmp(state, "queued") == 0 && !RecoveryInProgress() && gpt_slots_free() > 0 &&
		places_are_taken())
		PG_RETURN_TEXT_P(cstring_to_text(psprintf("there is no place for a background worker: "
												  "max_worker_processes is %d, and must be raised",
												  max_worker_processes)));
	if (PG_ARGISNULL(1) || !still_holds(gpt_argument_text(fcinfo, 1), state))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(1));
}
