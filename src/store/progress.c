/*
 * src/store/progress.c
 *
 * A struct goes in, rows of gpt_progress and gpt_job_log come out, about once a second.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/backend_status.h"
#include "utils/float.h"
#include "utils/ps_status.h"

#include "core/pulse.h"
#include "core/statement.h"
#include "core/stop.h"
#include "core/transaction.h"
#include "store/progress.h"

#define WRITE_INTERVAL_MS 900

static void show(const GptProgress *progress);
static void write_row(GptStatement *statement, const GptProgress *progress);
static void write_log_row(GptStatement *statement, int64 job, const GptLogRow *row);

void
gpt_progress_start(GptProgress *progress, int64 job)
{
	MemSet(progress, 0, sizeof(GptProgress));
	progress->job = job;
	progress->phase = "starting";
	progress->loss = get_float8_nan();
	progress->validation_loss = get_float8_nan();
	progress->validation_bits_per_byte = get_float8_nan();
	progress->tokens_per_second = get_float8_nan();
	progress->seconds_left = get_float8_nan();
}

void
gpt_progress_phase(GptProgress *progress, const char *phase)
{
	progress->phase = phase;
	if (progress->job == GPT_NO_JOB)
		return;
	if (IsTransactionState())
		show(progress);
	else
		gpt_progress_flush(progress);
}

void
gpt_progress_tick(GptProgress *progress)
{
	if (progress->job == GPT_NO_JOB)
	{
		gpt_pulse();
		CHECK_FOR_INTERRUPTS();
		return;
	}
	gpt_stop_check();
	if (!IsTransactionState() &&
		TimestampDifferenceExceeds(progress->written_at, GetCurrentTimestamp(), WRITE_INTERVAL_MS))
		gpt_progress_flush(progress);
}

void
gpt_progress_log(GptProgress *progress, const GptLogRow *row)
{
	if (progress->n_rows == GPT_LOG_BATCH)
		gpt_progress_flush(progress);
	progress->rows[progress->n_rows++] = *row;
}

void
gpt_progress_flush(GptProgress *progress)
{
	GptTransaction transaction;
	GptStatement statement;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_statement_begin(&statement);
	write_row(&statement, progress);
	for (int i = 0; i < progress->n_rows; i++)
		write_log_row(&statement, progress->job, &progress->rows[i]);
	gpt_statement_end(&statement);
	gpt_transaction_commit(&transaction);

	progress->n_rows = 0;
	progress->written_at = GetCurrentTimestamp();
	show(progress);
}

/*
 * Shows the phase in the process title, which begins with the worker's name and the job's number,
 * and in pg_stat_activity.
 */
static void
show(const GptProgress *progress)
{
	char doing[128];
	char activity[160];

	if (progress->steps > 0 && !isnan(progress->loss))
		snprintf(doing, sizeof(doing), "%s, step " INT64_FORMAT "/" INT64_FORMAT ", loss %.3f",
				 progress->phase, progress->step, progress->steps, progress->loss);
	else
		strlcpy(doing, progress->phase, sizeof(doing));
	snprintf(activity, sizeof(activity), "job " INT64_FORMAT " %s", progress->job, doing);
	set_ps_display(doing);
	pgstat_report_activity(STATE_RUNNING, activity);
}

/* ---- Statements --------------------------------------------------------- */

/* Inserts or updates the job's row of gpt_progress, which gpt_jobs shows while it runs. */
static void
write_row(GptStatement *statement, const GptProgress *progress)
{
	gpt_statement_add(statement, INT8OID, Int64GetDatum(progress->job));
	gpt_statement_add(statement, INT4OID, Int32GetDatum(MyProcPid));
	gpt_statement_add_text(statement, progress->phase);
	gpt_statement_add(statement, INT8OID, Int64GetDatum(progress->step));
	gpt_statement_add(statement, INT8OID, Int64GetDatum(progress->steps));
	gpt_statement_add_real(statement, progress->loss);
	gpt_statement_add_real(statement, progress->validation_loss);
	gpt_statement_add_real(statement, progress->validation_bits_per_byte);
	gpt_statement_add_real(statement, progress->tokens_per_second);
	gpt_statement_add_real(statement, progress->seconds_left);
	gpt_statement_change(
		statement, 1,
		"INSERT INTO %s.gpt_progress (job, pid, phase, step, steps, loss, validation_loss, "
		"validation_bits_per_byte, tokens_per_second, seconds_left, updated_at) VALUES ($1, $2, "
		"$3, $4, nullif($5, 0), $6, $7, $8, $9, $10, pg_catalog.clock_timestamp()) ON CONFLICT "
		"(job) DO UPDATE SET pid = excluded.pid, phase = excluded.phase, step = excluded.step, "
		"steps = excluded.steps, loss = excluded.loss, validation_loss = excluded.validation_loss, "
		"validation_bits_per_byte = excluded.validation_bits_per_byte, tokens_per_second = "
		"excluded.tokens_per_second, seconds_left = excluded.seconds_left, updated_at = "
		"excluded.updated_at");
}

/* Appends one row to gpt_job_log; measures that are NaN become NULL. */
static void
write_log_row(GptStatement *statement, int64 job, const GptLogRow *row)
{
	gpt_statement_add(statement, INT8OID, Int64GetDatum(job));
	gpt_statement_add(statement, INT8OID, Int64GetDatum(row->step));
	gpt_statement_add_real(statement, row->loss);
	gpt_statement_add_real(statement, row->validation_loss);
	gpt_statement_add_real(statement, row->validation_bits_per_byte);
	gpt_statement_add_real(statement, row->learning_rate);
	gpt_statement_add_real(statement, row->grad_norm);
	gpt_statement_add_real(statement, row->tokens_per_second);
	gpt_statement_add(statement, TIMESTAMPTZOID, TimestampTzGetDatum(row->at));
	gpt_statement_add_text(statement, row->measures);
	gpt_statement_change(statement, 1,
						 "INSERT INTO %s.gpt_job_log (job, step, loss, validation_loss, "
						 "validation_bits_per_byte, learning_rate, grad_norm, tokens_per_second, "
						 "at, measures) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
						 "CAST(nullif($10, '') AS pg_catalog.jsonb))");
}
