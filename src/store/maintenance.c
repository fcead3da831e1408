/*
 * src/store/maintenance.c
 *
 * The rows of gpt_maintenance: written by gpt_maintain.
 *
 * A change of a row that triggers must know of (failed, or not any more) invalidates what sessions
 * have kept about the table (src/sql/sql_maintain_trigger.c).
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "core/statement.h"
#include "store/job.h"
#include "store/maintenance.h"
#include "store/maintenance_parts.h"

/* The columns that read_row expects. */
#define COLUMNS                                                                               \
	"maintenance, relation::pg_catalog.oid, attribute, keys, reads, column_name, key_names, " \
	"read_names, owner, system_identifier, database, failed, expression, tree, options, "     \
	"settings, generation, filled, last_key, starts, tries, retry_at"

static GptMaintenance *read_row(const GptStatement *statement, uint64 row);
static void add_columns(GptStatement *statement, const GptMaintenance *maintenance);
static void delete_marks(int64 number);

bool
gpt_maintenance_is_local(const GptMaintenance *maintenance)
{
	return maintenance->database == MyDatabaseId &&
		   maintenance->system_identifier == (int64) GetSystemIdentifier();
}

/* ---- Reading ------------------------------------------------------------ */

GptMaintenance *
gpt_maintenance_read(int64 number)
{
	GptMaintenance *found = NULL;
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(number));
	if (gpt_statement_run(&statement,
						  "SELECT " COLUMNS " FROM %s.gpt_maintenance WHERE maintenance = $1") > 0)
		found = read_row(&statement, 0);
	gpt_statement_end(&statement);
	return found;
}

List *
gpt_maintenance_of_table(Oid relation)
{
	List *found = NIL;
	GptStatement statement;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(relation));
	n = gpt_statement_run(&statement, "SELECT " COLUMNS
									  " FROM %s.gpt_maintenance WHERE relation = $1 ORDER BY 1");
	for (uint64 row = 0; row < n; row++)
	{
		GptMaintenance *maintenance = read_row(&statement, row);
		MemoryContext old_context = MemoryContextSwitchTo(statement.caller);

		found = lappend(found, maintenance);
		MemoryContextSwitchTo(old_context);
	}
	gpt_statement_end(&statement);
	return found;
}

GptMaintenance *
gpt_maintenance_of_column(Oid relation, AttrNumber attribute, const char *name)
{
	ListCell *cell;

	foreach (cell, gpt_maintenance_of_table(relation))
	{
		GptMaintenance *maintenance = lfirst(cell);

		if (gpt_maintenance_is_local(maintenance) ? maintenance->attribute == attribute
												  : strcmp(maintenance->column, name) == 0)
			return maintenance;
	}
	return NULL;
}

static int
read_numbers(AttrNumber **numbers, Datum array)
{
	Datum *values;
	int n;

	deconstruct_array(DatumGetArrayTypeP(array), INT2OID, sizeof(int16), true, TYPALIGN_SHORT,
					  &values, NULL, &n);
	*numbers = palloc(Max(n, 1) * sizeof(AttrNumber));
	for (int i = 0; i < n; i++)
		(*numbers)[i] = DatumGetInt16(values[i]);
	return n;
}

static char **
read_names(int n_expected, Datum array)
{
	Datum *values;
	char **names;
	int n;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, NULL,
					  &n);
	if (n != n_expected)
		elog(ERROR, "a row of gpt_maintenance has %d names of %d columns", n, n_expected);
	names = palloc(Max(n, 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
		names[i] = TextDatumGetCString(values[i]);
	return names;
}

/* A copy of the row in the memory context of the statement's caller. */
static GptMaintenance *
read_row(const GptStatement *statement, uint64 row)
{
	MemoryContext old_context = MemoryContextSwitchTo(statement->caller);
	GptMaintenance *it = palloc0(sizeof(GptMaintenance));
	bool is_null;

#define VALUE(column) gpt_statement_value(statement, row, column, &is_null)
	it->number = DatumGetInt64(VALUE(1));
	it->relation = DatumGetObjectId(VALUE(2));
	it->attribute = DatumGetInt16(VALUE(3));
	it->n_keys = read_numbers(&it->keys, VALUE(4));
	it->n_reads = read_numbers(&it->reads, VALUE(5));
	it->column = gpt_statement_text(statement, row, 6);
	it->key_names = read_names(it->n_keys, VALUE(7));
	it->read_names = read_names(it->n_reads, VALUE(8));
	it->owner = DatumGetObjectId(VALUE(9));
	it->system_identifier = DatumGetInt64(VALUE(10));
	it->database = DatumGetObjectId(VALUE(11));
	it->failed = DatumGetBool(VALUE(12));
	it->expression = gpt_statement_text(statement, row, 13);
	it->tree = gpt_statement_text(statement, row, 14);
	it->options = DatumGetJsonbPCopy(VALUE(15));
	it->settings = DatumGetJsonbPCopy(VALUE(16));
	it->generation = DatumGetInt32(VALUE(17));
	it->filled = DatumGetBool(VALUE(18));
	it->last_key = gpt_statement_text(statement, row, 19);
	it->starts = DatumGetInt32(VALUE(20));
	it->tries = DatumGetInt32(VALUE(21));
	it->retry_at = DatumGetTimestampTz(VALUE(22));
	if (is_null)
		it->retry_at = 0;
#undef VALUE
	MemoryContextSwitchTo(old_context);
	return it;
}

/* ---- Writing ------------------------------------------------------------ */

static void
add_numbers(GptStatement *statement, const AttrNumber *numbers, int n)
{
	Datum *values = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = Int16GetDatum(numbers[i]);
	gpt_statement_add(
		statement, INT2ARRAYOID,
		PointerGetDatum(construct_array(values, n, INT2OID, sizeof(int16), true, TYPALIGN_SHORT)));
}

static void
add_names(GptStatement *statement, char *const *names, int n)
{
	Datum *values = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(names[i]);
	gpt_statement_add(
		statement, TEXTARRAYOID,
		PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT)));
}

int64
gpt_maintenance_write(const GptMaintenance *it, bool anew)
{
	int64 number = it->number;
	GptStatement statement;
	bool is_null;

	if (number != 0 && anew)
		delete_marks(number);
	gpt_statement_begin(&statement);
	if (number == 0)
	{
		add_columns(&statement, it);
		gpt_statement_change(
			&statement, 1,
			"INSERT INTO %s.gpt_maintenance (relation, attribute, keys, reads, column_name, "
			"key_names, read_names, owner, system_identifier, database, expression, tree, options, "
			"settings, filled) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
			"$14, $15) RETURNING maintenance");
		number = DatumGetInt64(gpt_statement_value(&statement, 0, 1, &is_null));
	}
	else
	{
		add_columns(&statement, it);
		gpt_statement_add(&statement, INT8OID, Int64GetDatum(number));
		gpt_statement_add(&statement, BOOLOID, BoolGetDatum(anew));
		gpt_statement_change(
			&statement, 1,
			"UPDATE %s.gpt_maintenance SET relation = $1, attribute = $2, keys = $3, reads = $4, "
			"column_name = $5, key_names = $6, read_names = $7, owner = $8, system_identifier = "
			"$9, database = $10, expression = $11, tree = $12, options = $13, settings = $14, "
			"filled = CASE WHEN $17 THEN $15 ELSE filled END, last_key = CASE WHEN NOT $17 THEN "
			"last_key END, generation = generation + 1, failed = false, starts = 0, tries = 0, "
			"retry_at = NULL, error = NULL, failed_at = NULL WHERE maintenance = $16");
		gpt_statement_add(&statement, INT8OID, Int64GetDatum(number));
		gpt_statement_change_any(&statement,
								 "UPDATE %s.gpt_mark SET phase = 0, tries = 0, retry_at = NULL, "
								 "error = NULL, failed_at = NULL WHERE maintenance = $1 AND phase "
								 "IN (1, 2)");
	}
	gpt_statement_end(&statement);
	gpt_maintenance_invalidate(it->relation);
	return number;
}

/* $1 .. $15: what gpt_maintain gives. */
static void
add_columns(GptStatement *statement, const GptMaintenance *it)
{
	gpt_statement_add(statement, OIDOID, ObjectIdGetDatum(it->relation));
	gpt_statement_add(statement, INT2OID, Int16GetDatum(it->attribute));
	add_numbers(statement, it->keys, it->n_keys);
	add_numbers(statement, it->reads, it->n_reads);
	gpt_statement_add_text(statement, it->column);
	add_names(statement, it->key_names, it->n_keys);
	add_names(statement, it->read_names, it->n_reads);
	gpt_statement_add(statement, OIDOID, ObjectIdGetDatum(it->owner));
	gpt_statement_add(statement, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	gpt_statement_add(statement, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	gpt_statement_add_text(statement, it->expression);
	gpt_statement_add_text(statement, it->tree);
	gpt_statement_add(statement, JSONBOID, JsonbPGetDatum(it->options));
	gpt_statement_add(statement, JSONBOID, JsonbPGetDatum(it->settings));
	gpt_statement_add(statement, BOOLOID, BoolGetDatum(it->filled));
}

static void
delete_marks(int64 number)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(number));
	gpt_statement_change_any(&statement, "DELETE FROM %s.gpt_mark WHERE maintenance = $1");
	gpt_statement_end(&statement);
}

void
gpt_maintenance_delete(int64 number)
{
	GptStatement statement;

	delete_marks(number);
	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(number));
	gpt_statement_change_any(&statement, "DELETE FROM %s.gpt_maintenance WHERE maintenance = $1");
	gpt_statement_end(&statement);
}

void
gpt_maintenance_sweep(void)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_maintenance_add_here(&statement);
	gpt_statement_change_any(
		&statement,
		"WITH gone AS (DELETE FROM %1$s.gpt_maintenance m WHERE NOT EXISTS (SELECT FROM pg_class c "
		"WHERE c.oid = m.relation) OR (" GPT_MAINTENANCE_HERE
		" AND EXISTS (SELECT FROM pg_attribute a WHERE "
		"a.attrelid = m.relation AND a.attnum = m.attribute AND a.attisdropped)) RETURNING "
		"maintenance) DELETE FROM %1$s.gpt_mark k USING gone g WHERE k.maintenance = "
		"g.maintenance");
	gpt_statement_end(&statement);
}

void
gpt_maintenance_invalidate(Oid relation)
{
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
		CacheInvalidateRelcacheByRelid(relation);
}

void
gpt_maintenance_add_here(GptStatement *statement)
{
	gpt_statement_add(statement, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	gpt_statement_add(statement, OIDOID, ObjectIdGetDatum(MyDatabaseId));
}

bool
gpt_maintenance_waits(int64 number)
{
	GptStatement statement;
	bool waits;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(number));
	waits = gpt_statement_run(&statement, "SELECT FROM %s.gpt_mark WHERE maintenance = $1 AND "
										  "phase IN (0, 1) LIMIT 1") > 0;
	gpt_statement_end(&statement);
	return waits;
}

char *
gpt_maintenance_error(int64 number)
{
	GptStatement statement;
	char *error = NULL;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(number));
	if (gpt_statement_run(&statement,
						  "SELECT error FROM %s.gpt_maintenance WHERE maintenance = $1") > 0)
		error = gpt_statement_text(&statement, 0, 1);
	gpt_statement_end(&statement);
	return error;
}

void
gpt_maintenance_set_names(const GptMaintenance *it)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(it->number));
	gpt_statement_add_text(&statement, it->column);
	add_names(&statement, it->key_names, it->n_keys);
	add_names(&statement, it->read_names, it->n_reads);
	gpt_statement_add_text(&statement, it->expression);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(it->generation));
	gpt_statement_change_any(&statement,
							 "UPDATE %s.gpt_maintenance SET column_name = $2, key_names = $3, "
							 "read_names = $4, expression = $5 WHERE maintenance = $1 AND "
							 "generation = $6 AND (column_name, key_names, read_names, expression) "
							 "<> ($2, $3, $4, $5)");
	gpt_statement_end(&statement);
}
