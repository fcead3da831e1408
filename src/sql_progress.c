/*
 * src/sql_progress.c
 *
 * Rows of gpt_progress for the views. The table is unlogged, and an unlogged table cannot be read on a standby:
 * a view over it would make gpt_jobs fail there, so the views read this function.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"

#include "compat.h"
#include "statement.h"

PG_FUNCTION_INFO_V1(gpt_progress_rows);

/*
 * gpt_progress_rows() -> setof gpt_progress
 *
 * What the workers of running jobs wrote last, of jobs whose owner's privileges the current role has.
 */
Datum
gpt_progress_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	GptStatement statement;
	uint64 n;

	InitMaterializedSRF(fcinfo, 0);
	if (RecoveryInProgress())
		return (Datum) 0;

	/* Now do the work. */
	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(statement.identity.user));
	n = gpt_statement_run(&statement, "SELECT p.* FROM %1$s.gpt_progress p JOIN %1$s.gpt_job j ON j.job = p.job "
									  "WHERE pg_catalog.pg_has_role($1, j.owner, 'USAGE')");
	for (uint64 row = 0; row < n; row++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[row]);
	gpt_statement_end(&statement);
	return (Datum) 0;
}
