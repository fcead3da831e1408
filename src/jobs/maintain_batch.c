/*
 * src/jobs/maintain_batch.c
 *
 * Rows that need a value go in; their values are in the table, and their marks are gone.
 *
 *   1. A short transaction reads marks and rows under one snapshot: the rows are as of the marks.
 *   2. Another one evaluates the expression over the rows that were read, so that it holds no lock
 *      on the table while the model computes; locks those rows that are as they were, without
 *      waiting for anybody; writes their values; and removes the marks that were read.
 *
 * A row that somebody has changed meanwhile has another mark, and one that somebody has locked is
 * tried again a second later. So a row is computed once for each change that is seen apart, and its
 * value and the removal of its mark are one commit. A worker that dies in between has changed
 * nothing.
 */
#include "postgres.h"

#include "access/heaptoast.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "core/settings.h"
#include "core/stop.h"
#include "jobs/job_settings.h"
#include "jobs/maintain_batch.h"
#include "jobs/maintain_launch.h"

#define N_BEFORE_KEY 2
#define MOST_BYTES (16 * 1024 * 1024) /* of the rows of a batch */
#define LOCKED_MS 1000 /* until the next try on a row that is locked */
#define LOCK_WAIT_MS 500 /* for a lock on the table */
#define FIRST_RETRY_MS 1000
#define RETRY_FACTOR 4
#define LONGEST_RETRY_MS 300000
/* It would be computed again and again: that is an error like others. */
#define MOVED "a trigger of the table changed a column of the expression when the value was written"

static void read_marked(GptBatch *batch, int most);
static void read_next(GptBatch *batch, int most);
static void settle(GptBatch *batch, int from, int to, int n_written);
static void fail_item(GptBatch *batch, int number, const char *error);

static void
connect(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static void
set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
							 false);
}

/*
 * Rows are few and found by keys: up to a hundred thousand rows of the table, the planner would
 * read all of them for each batch, which takes ten times as long.
 */
static void
find_by_index(void)
{
	set_locally("enable_seqscan", "off");
	set_locally("enable_hashjoin", "off");
	set_locally("enable_mergejoin", "off");
}

/* ---- Reading ------------------------------------------------------------ */

/* Letters that no name of a column of the expression begins with. */
static const char *
free_prefix(const GptMaintenance *maintenance)
{
	char *prefix = pstrdup("gpt_");

	for (int i = 0; i < maintenance->n_reads; i++)
	{
		if (strncmp(maintenance->read_names[i], prefix, strlen(prefix)) != 0)
			continue;
		prefix = psprintf("%sx", prefix);
		i = -1;
	}
	return prefix;
}

void
gpt_batch_read(GptBatch *batch, int most)
{
	GptMaintenance *maintenance = batch->maintenance;
	MemoryContext old_context;
	Relation relation;

	gpt_stop_arm_lock_timeout(LOCK_WAIT_MS);
	old_context = MemoryContextSwitchTo(batch->context);
	relation = table_open(maintenance->relation, AccessShareLock);
	gpt_maintained_check_owner(maintenance, relation, AccessShareLock);
	if (gpt_maintained_refresh(maintenance, relation))
		gpt_maintenance_set_names(maintenance);
	gpt_maintained_table_read(&batch->table, relation, maintenance);
	batch->prefix = free_prefix(maintenance);
	gpt_key_text_settings();
	find_by_index();
	if (batch->kind == GPT_BATCH_FILL)
		read_next(batch, most);
	else
		read_marked(batch, most);
	table_close(relation, NoLock);
	MemoryContextSwitchTo(old_context);
}

/* Keeps row i of the last result, with its large values in memory; returns its size. */
static size_t
keep_row(GptBatch *batch, GptBatchItem *item, uint64 i)
{
	MemoryContext old_context = MemoryContextSwitchTo(batch->context);
	HeapTuple flat = toast_flatten_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc);

	item->row = minimal_tuple_from_heap_tuple(flat);
	heap_freetuple(flat);
	MemoryContextSwitchTo(old_context);
	return item->row->t_len;
}

static void
keep_columns(GptBatch *batch)
{
	MemoryContext old_context = MemoryContextSwitchTo(batch->context);

	batch->columns = CreateTupleDescCopy(SPI_tuptable->tupdesc);
	MemoryContextSwitchTo(old_context);
}

static int
number_of(uint64 i)
{
	bool is_null;

	return DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
}

static void
read_marked(GptBatch *batch, int most)
{
	GptMarkPhase phase = batch->kind == GPT_BATCH_DUE ? GPT_MARK_RETRY : GPT_MARK_WAITING;
	Oid types[] = {TEXTARRAYOID};
	Datum values[1];
	GptMarked *marked;
	Datum *keys;
	size_t size = 0;

	batch->n = gpt_marks_take(&marked, batch->maintenance->number, phase, most);
	batch->items = palloc0(Max(batch->n, 1) * sizeof(GptBatchItem));
	keys = palloc(Max(batch->n, 1) * sizeof(Datum));
	for (int i = 0; i < batch->n; i++)
	{
		batch->items[i].key = marked[i].key;
		batch->items[i].marked = &marked[i];
		keys[i] = CStringGetTextDatum(marked[i].key);
	}
	values[0] = PointerGetDatum(construct_array(keys, batch->n, TEXTOID, -1, false, TYPALIGN_INT));
	connect();
	if (SPI_execute_with_args(gpt_batch_marked_statement(batch), 1, types, values, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read marked rows");
	keep_columns(batch);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int number = number_of(i);

		CHECK_FOR_INTERRUPTS();
		if (size > MOST_BYTES)
		{
			batch->n = number - 1; /* the others stay marked */
			break;
		}
		size += keep_row(batch, &batch->items[number - 1], i);
	}
	SPI_finish();
}

/* Leaves out rows that have marks: they are computed because of these. */
static void
leave_out_marked(GptBatch *batch)
{
	bool *found = palloc(Max(batch->n, 1) * sizeof(bool));
	char **keys = palloc(Max(batch->n, 1) * sizeof(char *));
	int n = 0;

	for (int i = 0; i < batch->n; i++)
		keys[i] = batch->items[i].key;
	gpt_marks_find(found, batch->maintenance->number, keys, batch->n);
	for (int i = 0; i < batch->n; i++)
	{
		if (!found[i])
			batch->items[n++] = batch->items[i];
	}
	batch->n = n;
}

/* The rows of the last result become items, but for those whose column has a value, if so wished.
 */
static void
take_rows(GptBatch *batch, uint64 n_rows, int most)
{
	bool missing = batch->options->existing == GPT_EXISTING_MISSING;
	AttrNumber *columns = palloc(batch->table.n_keys * sizeof(AttrNumber));
	TupleTableSlot *slot = MakeSingleTupleTableSlot(batch->columns, &TTSOpsHeapTuple);
	size_t size = 0;
	GptKeyText form;

	for (int i = 0; i < batch->table.n_keys; i++)
		columns[i] = N_BEFORE_KEY + 1 + i;
	gpt_key_text_init(&form, batch->columns, columns, batch->table.n_keys);
	for (uint64 i = 0; i < n_rows && size <= MOST_BYTES; i++)
	{
		bool is_null;
		char *key;

		CHECK_FOR_INTERRUPTS();
		ExecStoreHeapTuple(SPI_tuptable->vals[i], slot, false);
		key = MemoryContextStrdup(batch->context, gpt_key_text(&form, slot));
		if (!missing || DatumGetBool(slot_getattr(slot, 2, &is_null)))
		{
			batch->items[batch->n].key = key;
			size += keep_row(batch, &batch->items[batch->n++], i);
		}
		batch->end_key = key;
		batch->n_read = (int) i + 1;
	}
	ExecDropSingleTupleTableSlot(slot);
	batch->ends = batch->n_read < most && batch->n_read == n_rows;
}

static void
read_next(GptBatch *batch, int most)
{
	const char *last_key = batch->maintenance->last_key;
	Oid types[] = {TEXTOID, INT4OID};
	Datum values[] = {last_key != NULL ? CStringGetTextDatum(last_key) : (Datum) 0,
					  Int32GetDatum(most)};

	batch->items = palloc0(most * sizeof(GptBatchItem));
	connect();
	if (SPI_execute_with_args(gpt_batch_next_statement(batch), lengthof(types), types, values,
							  last_key != NULL ? NULL : "n ", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read rows");
	keep_columns(batch);
	take_rows(batch, SPI_processed, most);
	SPI_finish();
	leave_out_marked(batch);
}

/* ---- Computing and writing ---------------------------------------------- */

/* Makes a tuplestore known to the statements that follow in this connection. */
static void
register_rows(char *name, Tuplestorestate *rows, TupleDesc columns, int n)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));

	relation->md.name = name;
	relation->md.tupdesc = columns;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = n;
	relation->reldata = rows;
	if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register rows");
}

/* The number of an item of this batch, as the rows of the last statement have it; from 0. */
static GptBatchItem *
item_of(GptBatch *batch, int from, int to, uint64 i)
{
	int item = number_of(i) - 1;

	if (item < from || item >= to)
		elog(ERROR, "row %d is none of the batch", item);
	return &batch->items[item];
}

static int
register_items(GptBatch *batch, int from, int to)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(batch->columns, &TTSOpsMinimalTuple);
	Datum *values = palloc(batch->columns->natts * sizeof(Datum));
	int n = 0;

	for (int i = from; i < to; i++)
	{
		if (batch->items[i].row == NULL)
			continue;
		ExecStoreMinimalTuple(batch->items[i].row, slot, false);
		slot_getallattrs(slot);
		memcpy(values, slot->tts_values, batch->columns->natts * sizeof(Datum));
		values[0] = Int32GetDatum(i + 1); /* left-out rows have shifted it */
		tuplestore_putvalues(rows, batch->columns, values, slot->tts_isnull);
		n++;
	}
	ExecDropSingleTupleTableSlot(slot);
	register_rows("gpt_rows", rows, batch->columns, n);
	return n;
}

/* Whether values as they come are those of the column; otherwise UPDATE converts them. */
static bool
is_of_column(const GptBatch *batch, TupleDesc columns)
{
	Form_pg_attribute value = TupleDescAttr(columns, columns->natts - 1);
	const GptColumnFacts *column = &batch->table.column;

	return value->atttypid == column->type_oid &&
		   (column->type_modifier == -1 || value->atttypmod == column->type_modifier);
}

/* Evaluates the expression; returns whether the values have the type of the column. */
static bool
compute(GptBatch *batch, int n)
{
	Tuplestorestate *rows;
	TupleDesc columns;

	if (SPI_execute(gpt_batch_compute_statement(batch), false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not compute values");
	if (SPI_processed != n)
		elog(ERROR, "of %d rows " UINT64_FORMAT " have a value", n, SPI_processed);
	rows = tuplestore_begin_heap(false, false, work_mem);
	columns = CreateTupleDescCopy(SPI_tuptable->tupdesc);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(rows, SPI_tuptable->vals[i]);
	SPI_freetuptable(SPI_tuptable);
	register_rows("gpt_values", rows, columns, n);
	return is_of_column(batch, columns);
}

/* Locks the table against another owner, until the end of the transaction. */
static void
lock_table(const GptBatch *batch)
{
	Relation relation;

	gpt_stop_arm_lock_timeout(LOCK_WAIT_MS);
	relation = table_open(batch->maintenance->relation, RowExclusiveLock);
	gpt_maintained_check_owner(batch->maintenance, relation, RowExclusiveLock);
	table_close(relation, NoLock);
}

/* Locks what is unchanged; the numbers of these items, as int4[]. */
static Datum
lock_rows(GptBatch *batch, int from, int to, int *n_locked)
{
	Datum *numbers;
	int n;

	for (int i = from; i < to; i++)
		batch->items[i].locked = batch->items[i].moved = false;
	if (SPI_execute(gpt_batch_lock_statement(batch), false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not lock rows");
	n = (int) SPI_processed;
	numbers = palloc(Max(n, 1) * sizeof(Datum));
	for (int i = 0; i < n; i++)
	{
		item_of(batch, from, to, i)->locked = true;
		numbers[i] = Int32GetDatum(number_of(i));
	}
	*n_locked = n;
	return PointerGetDatum(construct_array(numbers, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* Returns the number of rows that were written. */
static int
compute_and_write(GptBatch *batch, int from, int to)
{
	Oid types[] = {INT4ARRAYOID};
	Datum values[1];
	bool same_type = false;
	int n;
	int n_locked = 0;

	connect();
	n = register_items(batch, from, to);
	if (n > 0)
	{
		same_type = compute(batch, n);
		find_by_index();
		lock_table(batch);
		values[0] = lock_rows(batch, from, to, &n_locked);
	}
	if (n_locked > 0)
	{
		gpt_mark_set_writing(batch->maintenance->number);
		if (SPI_execute_with_args(gpt_batch_update_statement(batch, same_type), 1, types, values,
								  NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not write values");
		gpt_mark_set_writing(0);
		for (uint64 i = 0; i < SPI_processed; i++)
			item_of(batch, from, to, i)->moved = true;
	}
	SPI_finish();
	return n_locked;
}

/*
 * The settings of whoever called gpt_maintain, and calls of many rows together. The server compiles
 * nothing for statements that run for a second: their cost is that of the models.
 */
static void
apply_settings(const GptBatch *batch)
{
	gpt_job_settings_apply_local(batch->maintenance->settings);
	set_locally("gpt.batching", "on");
	set_locally("jit", "off");
}

void
gpt_batch_write(GptBatch *batch, int from, int to)
{
	MemoryContext old_context = CurrentMemoryContext;
	int n_written;

	gpt_maintain_take_turn(batch->maintenance->owner);
	apply_settings(batch);
	n_written = compute_and_write(batch, from, to);
	MemoryContextSwitchTo(old_context);
	settle(batch, from, to, n_written);
}

/* ---- Marks and position ------------------------------------------------- */

typedef struct MarkList
{
	int64 *marks;
	int n;
	int room;
} MarkList;

static void
add_marks(MarkList *list, const GptMarked *row)
{
	if (list->n + row->n > list->room)
	{
		list->room = Max(2 * list->room, list->n + row->n + 64);
		list->marks = list->marks == NULL ? palloc(list->room * sizeof(int64))
										  : repalloc(list->marks, list->room * sizeof(int64));
	}
	memcpy(list->marks + list->n, row->marks, row->n * sizeof(int64));
	list->n += row->n;
}

static void
settle(GptBatch *batch, int from, int to, int n_written)
{
	const GptMaintenance *maintenance = batch->maintenance;
	MarkList done = {0};
	MarkList postponed = {0};

	for (int i = from; i < to; i++)
	{
		const GptBatchItem *item = &batch->items[i];
		bool over = item->row == NULL || item->locked;

		if (item->moved)
			fail_item(batch, i, MOVED);
		else if (item->marked != NULL)
			add_marks(over ? &done : &postponed, item->marked);
		else if (!over)
			gpt_mark_insert_retry(maintenance->number, item->key, NULL,
								  TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOCKED_MS));
	}
	gpt_marks_finish(done.marks, done.n, !maintenance->filled);
	gpt_marks_postpone(postponed.marks, postponed.n, LOCKED_MS);
	gpt_batch_record(batch, to, n_written);
}

void
gpt_batch_record(const GptBatch *batch, int to, int n)
{
	bool is_end = to == batch->n;

	if (batch->kind != GPT_BATCH_FILL)
		gpt_maintenance_record(batch->maintenance, n, NULL, false);
	else
		gpt_maintenance_record(batch->maintenance, n,
							   is_end ? batch->end_key : batch->items[to - 1].key,
							   is_end && batch->ends);
}

/* When the try after so many is due; 0: there is none. */
static TimestampTz
retry_time(int tries, int64 max_tries)
{
	double wait = FIRST_RETRY_MS;

	if (tries >= max_tries)
		return 0;
	for (int i = 1; i < tries && wait < LONGEST_RETRY_MS; i++)
		wait *= RETRY_FACTOR;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) Min(wait, LONGEST_RETRY_MS));
}

static void
clear_value(GptBatch *batch, const char *key)
{
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(key)};

	lock_table(batch);
	gpt_key_text_settings();
	connect();
	gpt_mark_set_writing(batch->maintenance->number);
	if (SPI_execute_with_args(gpt_batch_clear_statement(batch), 1, types, values, NULL, false, 0) !=
		SPI_OK_UPDATE)
		elog(ERROR, "could not remove a value");
	gpt_mark_set_writing(0);
	SPI_finish();
}

static void
fail_item(GptBatch *batch, int number, const char *error)
{
	const GptBatchItem *item = &batch->items[number];
	int tries = 1 + (item->marked != NULL ? item->marked->tries : 0);
	TimestampTz retry_at = retry_time(tries, batch->options->max_tries);

	if (retry_at == 0 && batch->options->on_error == GPT_ON_ERROR_NULL)
		clear_value(batch, item->key);
	if (item->marked != NULL)
		gpt_mark_fail(item->marked, error, retry_at);
	else
		gpt_mark_insert_retry(batch->maintenance->number, item->key, error, retry_at);
}

void
gpt_batch_fail_item(GptBatch *batch, int item, const char *error)
{
	fail_item(batch, item, error);
	gpt_batch_record(batch, item + 1, 0);
}
