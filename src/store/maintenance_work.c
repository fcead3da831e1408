/*
 * src/store/maintenance_work.c
 *
 * The rows of gpt_maintenance as workers that fill columns read and change them: who has work, how
 * far a filling is, and what failed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "core/statement.h"
#include "store/maintenance.h"
#include "store/maintenance_parts.h"

/* Whether a maintenance m has rows to compute now. */
#define HAS_FRESH \
	"EXISTS (SELECT FROM %1$s.gpt_mark k WHERE k.maintenance = m.maintenance AND k.phase = 0)"
#define HAS_DUE                                                                                \
	"EXISTS (SELECT FROM %1$s.gpt_mark k WHERE k.maintenance = m.maintenance AND k.phase = 1 " \
	"AND k.retry_at <= clock_timestamp())"
#define IS_TIME "(m.retry_at IS NULL OR m.retry_at <= clock_timestamp())"
#define HAS_WORK "NOT m.failed AND " IS_TIME " AND (NOT m.filled OR " HAS_FRESH " OR " HAS_DUE ")"

List *
gpt_maintenance_work(Oid owner)
{
	List *found = NIL;
	GptStatement statement;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_maintenance_add_here(&statement);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(owner));
	n = gpt_statement_run(
		&statement,
		"SELECT m.maintenance, " HAS_FRESH ", " HAS_DUE ", NOT m.filled, "
		"ceil(1000 * extract(epoch FROM greatest(m.retry_at, (SELECT min(k.retry_at) FROM "
		"%1$s.gpt_mark k WHERE k.maintenance = m.maintenance AND k.phase = 1)) - "
		"clock_timestamp()))::bigint, " IS_TIME
		" FROM %1$s.gpt_maintenance m WHERE " GPT_MAINTENANCE_HERE
		" AND m.owner = $3 AND NOT m.failed AND EXISTS "
		"(SELECT FROM pg_class c WHERE c.oid = m.relation) ORDER BY 1");
	for (uint64 row = 0; row < n; row++)
	{
		MemoryContext old_context = MemoryContextSwitchTo(statement.caller);
		GptMaintenanceWork *work = palloc0(sizeof(GptMaintenanceWork));
		bool is_null;
		bool is_time;

		work->number = DatumGetInt64(gpt_statement_value(&statement, row, 1, &is_null));
		work->fresh = DatumGetBool(gpt_statement_value(&statement, row, 2, &is_null));
		work->due = DatumGetBool(gpt_statement_value(&statement, row, 3, &is_null));
		work->fills = DatumGetBool(gpt_statement_value(&statement, row, 4, &is_null));
		is_time = DatumGetBool(gpt_statement_value(&statement, row, 6, &is_null));
		work->wait_ms = DatumGetInt64(gpt_statement_value(&statement, row, 5, &is_null));
		if (is_null)
			work->wait_ms = -1;
		else
			work->wait_ms = Max(work->wait_ms, 0);
		if (!is_time)
			work->fresh = work->due = work->fills = false;
		if (work->fresh || work->due || work->fills)
			work->wait_ms = 0;
		found = lappend(found, work);
		MemoryContextSwitchTo(old_context);
	}
	gpt_statement_end(&statement);
	return found;
}

/* The oids in the first column of the last run, in the caller's context. */
static List *
read_oids(const GptStatement *statement, uint64 n)
{
	MemoryContext old_context = MemoryContextSwitchTo(statement->caller);
	List *found = NIL;
	bool is_null;

	for (uint64 row = 0; row < n; row++)
		found =
			lappend_oid(found, DatumGetObjectId(gpt_statement_value(statement, row, 1, &is_null)));
	MemoryContextSwitchTo(old_context);
	return found;
}

List *
gpt_maintenance_owners(void)
{
	GptStatement statement;
	List *owners;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_maintenance_add_here(&statement);
	n = gpt_statement_run(
		&statement,
		"SELECT DISTINCT m.owner FROM %1$s.gpt_maintenance m WHERE " GPT_MAINTENANCE_HERE
		" AND " HAS_WORK " AND EXISTS (SELECT FROM pg_class c WHERE c.oid = "
		"m.relation)");
	owners = read_oids(&statement, n);
	gpt_statement_end(&statement);
	return owners;
}

List *
gpt_maintenance_retry(int64 *n_with_work)
{
	GptStatement statement;
	List *tables;
	List *owners;
	ListCell *cell;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_maintenance_add_here(&statement);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(statement.identity.user));
	n = gpt_statement_change_any(
		&statement, "UPDATE %1$s.gpt_maintenance m SET failed = false, starts = 0, tries = 0, "
					"retry_at = NULL WHERE " GPT_MAINTENANCE_HERE
					" AND (m.failed OR m.retry_at IS NOT NULL) AND "
					"pg_has_role($3, m.owner, 'USAGE') RETURNING m.relation::oid");
	tables = read_oids(&statement, n);
	foreach (cell, tables)
		gpt_maintenance_invalidate(lfirst_oid(cell));
	gpt_maintenance_add_here(&statement);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(statement.identity.user));
	n = gpt_statement_run(&statement,
						  "SELECT m.owner FROM %1$s.gpt_maintenance m WHERE " GPT_MAINTENANCE_HERE
						  " AND pg_has_role($3, m.owner, 'USAGE') AND " HAS_WORK
						  " AND EXISTS (SELECT FROM pg_class c WHERE c.oid = "
						  "m.relation) ORDER BY 1");
	*n_with_work = (int64) n;
	owners = read_oids(&statement, n);
	gpt_statement_end(&statement);
	list_deduplicate_oid(owners);
	return owners;
}

List *
gpt_maintenance_of_partitions(void)
{
	GptStatement statement;
	List *found = NIL;
	bool is_null;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_maintenance_add_here(&statement);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(statement.identity.user));
	n = gpt_statement_run(
		&statement,
		"SELECT m.maintenance FROM %1$s.gpt_maintenance m JOIN pg_class c ON c.oid "
		"= m.relation WHERE " GPT_MAINTENANCE_HERE " AND c.relkind = 'p' AND pg_has_role($3, "
		"m.owner, 'USAGE') ORDER BY 1");
	for (uint64 row = 0; row < n; row++)
	{
		MemoryContext old_context = MemoryContextSwitchTo(statement.caller);
		int64 *number = palloc(sizeof(int64));

		*number = DatumGetInt64(gpt_statement_value(&statement, row, 1, &is_null));
		found = lappend(found, number);
		MemoryContextSwitchTo(old_context);
	}
	gpt_statement_end(&statement);
	return found;
}

int
gpt_maintenance_count_start(int64 number)
{
	GptStatement statement;
	bool is_null;
	int starts = 0;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(number));
	if (gpt_statement_change_any(&statement,
								 "UPDATE %s.gpt_maintenance SET starts = starts + 1 WHERE "
								 "maintenance = $1 RETURNING starts") > 0)
		starts = DatumGetInt32(gpt_statement_value(&statement, 0, 1, &is_null));
	gpt_statement_end(&statement);
	return starts;
}

void
gpt_maintenance_uncount_start(int64 number)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(number));
	gpt_statement_change_any(&statement, "UPDATE %s.gpt_maintenance SET starts = starts - 1 WHERE "
										 "maintenance = $1 AND starts > 0");
	gpt_statement_end(&statement);
}

static void
add_optional_text(GptStatement *statement, const char *value)
{
	gpt_statement_add_text(statement, value != NULL ? value : "");
	if (value == NULL)
		statement->nulls[statement->n - 1] = 'n';
}

void
gpt_maintenance_record(const GptMaintenance *it, int64 n, const char *last_key, bool filled)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(it->number));
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(it->generation));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(n));
	add_optional_text(&statement, last_key);
	gpt_statement_add(&statement, BOOLOID, BoolGetDatum(filled));
	gpt_statement_change(
		&statement, 1,
		"UPDATE %s.gpt_maintenance SET rows = rows + $3, last_key = coalesce($4, last_key), filled "
		"= filled OR $5, starts = 0, tries = 0, retry_at = NULL, error = NULL, failed_at = NULL "
		"WHERE maintenance = $1 AND generation = $2");
	if (filled)
	{
		gpt_statement_add(&statement, INT8OID, Int64GetDatum(it->number));
		gpt_statement_change_any(&statement,
								 "DELETE FROM %s.gpt_mark WHERE maintenance = $1 AND phase = 3");
	}
	gpt_statement_end(&statement);
}

void
gpt_maintenance_fail(int64 number, const char *error, TimestampTz retry_at)
{
	GptStatement statement;
	List *tables;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(number));
	gpt_statement_add_text(&statement, error);
	gpt_statement_add(&statement, TIMESTAMPTZOID, TimestampTzGetDatum(retry_at));
	if (retry_at == 0)
		statement.nulls[statement.n - 1] = 'n';
	n = gpt_statement_change_any(
		&statement,
		"UPDATE %s.gpt_maintenance SET error = $2, failed_at = clock_timestamp(), retry_at = $3, "
		"failed = $3 IS NULL, tries = tries + 1, starts = 0 WHERE maintenance = $1 RETURNING "
		"relation::oid");
	tables = read_oids(&statement, n);
	gpt_statement_end(&statement);
	if (retry_at == 0 && tables != NIL)
		gpt_maintenance_invalidate(linitial_oid(tables));
}

void
gpt_maintenance_fail_owner(Oid owner, const char *error)
{
	GptStatement statement;
	List *tables;
	ListCell *cell;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_maintenance_add_here(&statement);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(owner));
	gpt_statement_add_text(&statement, error);
	n = gpt_statement_change_any(
		&statement,
		"UPDATE %s.gpt_maintenance m SET error = $4, failed_at = clock_timestamp(), "
		"failed = true WHERE " GPT_MAINTENANCE_HERE " AND m.owner = $3 RETURNING m.relation::oid");
	tables = read_oids(&statement, n);
	gpt_statement_end(&statement);
	foreach (cell, tables)
		gpt_maintenance_invalidate(lfirst_oid(cell));
}
