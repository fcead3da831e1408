/*
 * src/store/mark.c
 *
 * Changed rows go in as marks; a worker takes them, and removes them with the commit of the values.
 *
 * A trigger adds marks as whoever changes the table, so it writes rows and index entries directly,
 * as the server does with its own catalogs. That also takes a tenth of the time of a statement.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "core/extension.h"
#include "core/statement.h"
#include "store/mark.h"

#define N_COLUMNS 9

static int64 writing = 0;

/* ---- Adding ------------------------------------------------------------- */

void
gpt_marker_open(GptMarker *marker)
{
	marker->table = table_open(gpt_extension_table("gpt_mark"), RowExclusiveLock);
	marker->indexes = CatalogOpenIndexes(marker->table);
	marker->sequence = gpt_extension_table("gpt_mark_mark_seq");
	marker->now = GetCurrentTimestamp();
	if (RelationGetDescr(marker->table)->natts != N_COLUMNS)
		elog(ERROR, "table gpt_mark has %d columns", RelationGetDescr(marker->table)->natts);
}

void
gpt_marker_add(GptMarker *marker, int64 maintenance, const char *key)
{
	Datum values[N_COLUMNS] = {0};
	bool nulls[N_COLUMNS] = {false, false, false, false, false, false, true, true, true};
	HeapTuple tuple;

	values[0] = Int64GetDatum(nextval_internal(marker->sequence, false));
	values[1] = Int64GetDatum(maintenance);
	values[2] = Int16GetDatum(GPT_MARK_WAITING);
	values[3] = CStringGetTextDatum(key);
	values[4] = TimestampTzGetDatum(marker->now);
	values[5] = Int32GetDatum(0);
	tuple = heap_form_tuple(RelationGetDescr(marker->table), values, nulls);
	CatalogTupleInsertWithInfo(marker->table, tuple, marker->indexes);
	heap_freetuple(tuple);
	pfree(DatumGetPointer(values[3]));
}

void
gpt_marker_close(GptMarker *marker)
{
	CatalogCloseIndexes(marker->indexes);
	table_close(marker->table, RowExclusiveLock);
}

void
gpt_mark_set_writing(int64 maintenance)
{
	writing = maintenance;
}

int64
gpt_mark_writing(void)
{
	return writing;
}

/* ---- Taking ------------------------------------------------------------- */

/* As the extension's owner and under the active snapshot, unlike gpt_statement_run. */
static uint64
run(const char *format, int n, Oid *types, Datum *values)
{
	char *command = psprintf(format, gpt_extension_schema());

	if (SPI_execute_with_args(command, n, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read marks: %s", SPI_result_code_string(SPI_result));
	return SPI_processed;
}

static Datum
value_of(uint64 row, int column)
{
	bool is_null;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
}

/* Rows of (key, mark, tries), all of a key together, the newest mark first. */
static int
read_marked(GptMarked **rows, uint64 n, MemoryContext context)
{
	MemoryContext old_context = MemoryContextSwitchTo(context);
	GptMarked *marked = palloc0(Max(n, 1) * sizeof(GptMarked));
	int64 *marks = palloc(Max(n, 1) * sizeof(int64));
	int n_rows = 0;

	for (uint64 i = 0; i < n; i++)
	{
		char *key = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		GptMarked *row = n_rows > 0 ? &marked[n_rows - 1] : NULL;

		marks[i] = DatumGetInt64(value_of(i, 2));
		if (row == NULL || strcmp(row->key, key) != 0)
		{
			row = &marked[n_rows++];
			row->key = MemoryContextStrdup(context, key);
			row->newest = marks[i];
			row->tries = DatumGetInt32(value_of(i, 3));
			row->marks = &marks[i];
		}
		row->n++;
		pfree(key);
	}
	MemoryContextSwitchTo(old_context);
	*rows = marked;
	return n_rows;
}

int
gpt_marks_take(GptMarked **rows, int64 maintenance, GptMarkPhase phase, int most)
{
	static const char fresh[] = "SELECT key, mark FROM %1$s.gpt_mark WHERE maintenance = $1 AND "
								"phase = 0 ORDER BY maintenance, phase, mark LIMIT $2";
	static const char due[] = "SELECT key, mark FROM %1$s.gpt_mark WHERE maintenance = $1 AND "
							  "phase = 1 AND retry_at <= clock_timestamp() ORDER BY retry_at "
							  "LIMIT $2";
	Oid types[] = {INT8OID, INT4OID};
	Datum values[] = {Int64GetDatum(maintenance), Int32GetDatum(most)};
	MemoryContext caller = CurrentMemoryContext;
	GptIdentity identity;
	uint64 n;
	int n_rows;

	gpt_extension_enter(&identity);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	n = run(psprintf("WITH first AS MATERIALIZED (SELECT key, min(mark) AS mark FROM (%s) f GROUP "
					 "BY key) SELECT k.key, k.mark, k.tries FROM first JOIN %%1$s.gpt_mark k ON "
					 "k.key = first.key WHERE k.maintenance = $1 ORDER BY first.mark, k.mark DESC",
					 phase == GPT_MARK_RETRY ? due : fresh),
			lengthof(types), types, values);
	n_rows = read_marked(rows, n, caller);
	SPI_finish();
	gpt_extension_leave(&identity);
	return n_rows;
}

static Datum
text_array(char *const *texts, int n)
{
	Datum *values = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(texts[i]);
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
number_array(const int64 *numbers, int n)
{
	Datum *values = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum(numbers[i]);
	return PointerGetDatum(
		construct_array(values, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

void
gpt_marks_find(bool *found, int64 maintenance, char *const *keys, int n)
{
	Oid types[] = {INT8OID, TEXTARRAYOID};
	Datum values[] = {Int64GetDatum(maintenance), text_array(keys, n)};
	GptIdentity identity;
	uint64 n_found;

	MemSet(found, 0, n * sizeof(bool));
	gpt_extension_enter(&identity);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	n_found = run("SELECT DISTINCT w.number FROM unnest($2) WITH ORDINALITY AS w(key, number) JOIN "
				  "%1$s.gpt_mark k ON k.key = w.key WHERE k.maintenance = $1",
				  lengthof(types), types, values);
	for (uint64 i = 0; i < n_found; i++)
		found[DatumGetInt64(value_of(i, 1)) - 1] = true;
	SPI_finish();
	gpt_extension_leave(&identity);
}

/* ---- Settling ----------------------------------------------------------- */

void
gpt_marks_finish(const int64 *marks, int n, bool keep)
{
	GptStatement statement;

	if (n == 0)
		return;
	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8ARRAYOID, number_array(marks, n));
	gpt_statement_change_any(
		&statement,
		keep ? "UPDATE %1$s.gpt_mark k SET phase = 3, tries = 0, retry_at = NULL, error = NULL, "
			   "failed_at = NULL FROM unnest($1) w(mark) WHERE k.mark = w.mark"
			 : "DELETE FROM %1$s.gpt_mark k USING unnest($1) w(mark) WHERE k.mark = w.mark");
	gpt_statement_end(&statement);
}

void
gpt_marks_postpone(const int64 *marks, int n, int milliseconds)
{
	GptStatement statement;

	if (n == 0)
		return;
	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8ARRAYOID, number_array(marks, n));
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(milliseconds));
	gpt_statement_change_any(&statement,
							 "UPDATE %1$s.gpt_mark k SET phase = 1, retry_at = clock_timestamp() + "
							 "$2 * interval '1 ms' FROM unnest($1) w(mark) WHERE k.mark = w.mark");
	gpt_statement_end(&statement);
}

/* $n, $n + 1 and $n + 2: the phase, the error and the time of a row that is tried again or not. */
static void
add_failure(GptStatement *statement, const char *error, TimestampTz retry_at)
{
	gpt_statement_add(statement, INT2OID,
					  Int16GetDatum(retry_at == 0 ? GPT_MARK_FAILED : GPT_MARK_RETRY));
	gpt_statement_add_text(statement, error != NULL ? error : "");
	if (error == NULL)
		statement->nulls[statement->n - 1] = 'n';
	gpt_statement_add(statement, TIMESTAMPTZOID, TimestampTzGetDatum(retry_at));
	if (retry_at == 0)
		statement->nulls[statement->n - 1] = 'n';
}

void
gpt_mark_insert_retry(int64 maintenance, const char *key, const char *error, TimestampTz retry_at)
{
	Oid sequence = gpt_extension_table("gpt_mark_mark_seq");
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(maintenance));
	gpt_statement_add_text(&statement, key);
	add_failure(&statement, error, retry_at);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(nextval_internal(sequence, false)));
	gpt_statement_change(
		&statement, 1,
		"INSERT INTO %1$s.gpt_mark (mark, maintenance, phase, key, marked_at, tries, retry_at, "
		"error, failed_at) VALUES ($6, $1, $3, $2, clock_timestamp(), CASE WHEN $4 IS NULL THEN 0 "
		"ELSE 1 END, $5, $4, CASE WHEN $4 IS NOT "
		"NULL THEN clock_timestamp() END)");
	gpt_statement_end(&statement);
}

void
gpt_mark_fail(const GptMarked *row, const char *error, TimestampTz retry_at)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, INT8ARRAYOID, number_array(row->marks, row->n));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(row->newest));
	add_failure(&statement, error, retry_at);
	gpt_statement_change_any(
		&statement, "WITH older AS (DELETE FROM %1$s.gpt_mark k USING unnest($1) w(mark) WHERE "
					"k.mark = w.mark AND k.mark <> $2) UPDATE %1$s.gpt_mark SET phase = $3, tries "
					"= tries + 1, error = $4, retry_at = $5, failed_at = clock_timestamp() WHERE "
					"mark = $2");
	gpt_statement_end(&statement);
}
