/*
 * src/store/job_record.c
 *
 * A worker records in the row of its job how the training goes: start, checkpoints, base, task,
 * corpus, steps and notes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "core/statement.h"
#include "store/job.h"
#include "store/job_statement.h"

static void set_column(int64 job, const char *assignment, Oid type, Datum value, bool is_null);

void
gpt_job_set_start(int64 job, int64 step, bool data_changed)
{
	GptStatement statement;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(step));
	gpt_statement_add(&statement, BOOLOID, BoolGetDatum(data_changed));
	gpt_statement_change(
		&statement, 1,
		"UPDATE %s.gpt_job SET step = $2, data_changed = data_changed OR $3 WHERE job = $1");
	gpt_job_statement_add(&statement, job);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(step));
	gpt_statement_change_any(&statement,
							 "DELETE FROM %s.gpt_job_log WHERE job = $1 AND (step > $2 OR $2 = 0)");
	gpt_statement_end(&statement);
}

void
gpt_job_set_checkpoint(int64 job, int64 step)
{
	GptStatement statement;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(step));
	gpt_statement_change(
		&statement, 1,
		"UPDATE %s.gpt_job SET step = $2, tries = 1 WHERE job = $1 AND state = 'running'");
	gpt_statement_end(&statement);
}

void
gpt_job_set_base(int64 job, int32 base_version)
{
	set_column(job, "base_version = $2", INT4OID, Int32GetDatum(base_version), false);
}

void
gpt_job_set_task(int64 job, const char *task)
{
	set_column(job, "task = $2", TEXTOID, CStringGetTextDatum(task), false);
}

void
gpt_job_set_overfit(int64 job, int64 step)
{
	set_column(job, "overfit_since = $2", INT8OID, Int64GetDatum(step), step == 0);
}

void
gpt_job_set_note(int64 job, const char *note)
{
	set_column(job, "note = $2", TEXTOID, note == NULL ? (Datum) 0 : CStringGetTextDatum(note),
			   note == NULL);
}

void
gpt_job_add_note(int64 job, const char *note)
{
	GptStatement statement;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_add_text(&statement, note);
	gpt_statement_add_text(&statement, GPT_NOTE_WITHOUT_PRELOAD);
	gpt_statement_change(
		&statement, 1,
		"UPDATE %s.gpt_job SET note = CASE WHEN pg_catalog.strpos(note, $2) > 0 THEN note ELSE "
		"pg_catalog.concat_ws('; ', NULLIF(note, $3), $2) END WHERE job = $1");
	gpt_statement_end(&statement);
}

void
gpt_job_set_corpus(int64 job, const GptJobCorpus *corpus)
{
	GptStatement statement;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(corpus->documents));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(corpus->skipped));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(corpus->bytes));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(corpus->tokens));
	gpt_statement_change(&statement, 1,
						 "UPDATE %s.gpt_job SET documents = $2, skipped = $3, bytes = $4, "
						 "corpus_tokens = nullif($5, -1) WHERE job = $1");
	gpt_statement_end(&statement);
}

void
gpt_job_add_report(int64 job, const Jsonb *report)
{
	set_column(job, "report = COALESCE(report OPERATOR(pg_catalog.||) $2, $2)", JSONBOID,
			   JsonbPGetDatum(report), false);
}

void
gpt_job_set_steps(int64 job, int64 step, int64 steps, const Jsonb *conditions)
{
	GptStatement statement;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(step));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(steps));
	gpt_statement_add(&statement, JSONBOID, JsonbPGetDatum(conditions));
	gpt_statement_change(&statement, 1,
						 "UPDATE %s.gpt_job SET step = $2, steps = $3, conditions = $4 "
						 "WHERE job = $1");
	gpt_statement_end(&statement);
}

/* Sets one column of a job's row, by an assignment in which the value is $2. */
static void
set_column(int64 job, const char *assignment, Oid type, Datum value, bool is_null)
{
	GptStatement statement;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_add(&statement, type, value);
	if (is_null)
		statement.nulls[statement.n - 1] = 'n';
	gpt_statement_change(&statement, 1,
						 psprintf("UPDATE %%s.gpt_job SET %s WHERE job = $1", assignment));
	gpt_statement_end(&statement);
}
