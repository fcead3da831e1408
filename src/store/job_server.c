/*
 * src/store/job_server.c
 *
 * The members of a training over several servers go in, rows of gpt_job_server come out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "core/statement.h"
#include "store/job_server.h"
#include "store/job_statement.h"

static const char *const state_names[] = {"joining", "training", "lost", "ended"};

const char *
gpt_server_state_name(GptServerState state)
{
	return state_names[state];
}

void
gpt_job_server_set(int64 job, const GptJobServer *server)
{
	GptStatement statement;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(server->member));
	gpt_statement_add_text(&statement, server->server != NULL ? server->server : "");
	gpt_statement_add_text(&statement, gpt_server_state_name(server->state));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(server->step));
	gpt_statement_add_real(&statement, server->steps_per_second);
	gpt_statement_add_real(&statement, server->waiting_share);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(server->epoch));
	gpt_statement_add_text(&statement, server->error != NULL ? server->error : "");
	gpt_statement_add(&statement, TIMESTAMPTZOID, TimestampTzGetDatum(server->seen_at));
	gpt_statement_add(&statement, BOOLOID, BoolGetDatum(server->seen_at != 0));
	gpt_statement_change(
		&statement, 1,
		"INSERT INTO %s.gpt_job_server (job, member, server, state, step, steps_per_second, "
		"waiting_share, epoch, error, seen_at, since) VALUES ($1, $2, nullif($3, ''), $4, $5, $6, "
		"$7, $8, "
		"nullif($9, ''), CASE WHEN $11 THEN $10 END, pg_catalog.clock_timestamp()) ON CONFLICT "
		"(job, member) DO UPDATE SET "
		"server = excluded.server, state = excluded.state, step = excluded.step, steps_per_second "
		"= excluded.steps_per_second, waiting_share = excluded.waiting_share, epoch = "
		"excluded.epoch, error = excluded.error, seen_at = excluded.seen_at, since = CASE WHEN "
		"gpt_job_server.state OPERATOR(pg_catalog.=) excluded.state THEN gpt_job_server.since ELSE "
		"excluded.since END");
	gpt_statement_end(&statement);
}

void
gpt_job_server_remove(int64 job, int first)
{
	GptStatement statement;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(first));
	gpt_statement_change_any(&statement,
							 "DELETE FROM %s.gpt_job_server WHERE job = $1 AND member >= $2");
	gpt_statement_end(&statement);
}

int
gpt_job_server_epoch(int64 job)
{
	GptStatement statement;
	bool is_null;
	int epoch;

	gpt_job_statement_begin(&statement, job);
	gpt_statement_run(&statement,
					  "SELECT COALESCE(max(epoch), 0) FROM %s.gpt_job_server WHERE job = $1");
	epoch = DatumGetInt32(gpt_statement_value(&statement, 0, 1, &is_null));
	gpt_statement_end(&statement);
	return epoch;
}
