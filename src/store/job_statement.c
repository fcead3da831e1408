/*
 * src/store/job_statement.c
 *
 * Statements on the row of one job, whose number is the first parameter.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "store/job_statement.h"

void
gpt_job_statement_begin(GptStatement *statement, int64 job)
{
	gpt_statement_begin(statement);
	gpt_job_statement_add(statement, job);
}

void
gpt_job_statement_add(GptStatement *statement, int64 job)
{
	gpt_statement_add(statement, INT8OID, Int64GetDatum(job));
}
