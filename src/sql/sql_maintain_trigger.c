/*
 * src/sql/sql_maintain_trigger.c
 *
 * The trigger of maintained tables: the rows that a statement has inserted or changed go in, marks
 * come out.
 *
 * It runs as whoever changes the table, once for each statement, over the statement's transition
 * tables. So it calls nothing that a user may have defined: values are compared bit by bit, and
 * keys become text by the functions of their types. What it has to know of a table is kept in the
 * session until the table's entry in the server's cache is invalidated, which every change of
 * gpt_maintenance does.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "core/extension.h"
#include "jobs/maintain_launch.h"
#include "store/maintained_table.h"
#include "store/mark.h"

PG_FUNCTION_INFO_V1(gpt_maintain_trigger);

/* A maintained column, with the numbers that columns have in the table of the trigger. */
typedef struct Maintained
{
	int64 number;
	Oid owner;
	bool starts; /* its worker, at commit */
	bool broken; /* a column of the key was dropped: no row has a name any more */
	GptKeyText key;
	Bitmapset *watched; /* columns of key and expression */
} Maintained;

typedef struct Entry
{
	Oid relation;
	Oid root; /* that it is a partition of, or itself */
	bool valid; /* nothing has changed since it was begun */
	bool complete; /* no error ended the reading */
	MemoryContext context;
	List *maintained; /* of Maintained */
} Entry;

static HTAB *entries = NULL;

static const Entry *find_entry(Relation relation);
static void report_broken(const Maintained *maintained);
static void mark(const Maintained *maintained, const TriggerData *data);

static void
check_call(const TriggerData *data)
{
	bool is_insert;

	if (data == NULL || !TRIGGER_FIRED_AFTER(data->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(data->tg_event) ||
		!(TRIGGER_FIRED_BY_INSERT(data->tg_event) || TRIGGER_FIRED_BY_UPDATE(data->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called as a trigger after a statement that inserts or updates")));
	is_insert = TRIGGER_FIRED_BY_INSERT(data->tg_event);
	if (data->tg_newtable == NULL || (!is_insert && data->tg_oldtable == NULL))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("trigger \"%s\" has no transition tables", data->tg_trigger->tgname),
						errhint("gpt_maintain creates the triggers that it needs.")));
}

/*
 * Whether the UPDATE sets no column that matters. A BEFORE trigger may have set others, also one of
 * a partition.
 */
static bool
touches_nothing(const Maintained *maintained, const TriggerData *data)
{
	Relation relation = data->tg_relation;
	int column = -1;

	if (TRIGGER_FIRED_BY_INSERT(data->tg_event) ||
		relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		relation->trigdesc->trig_update_before_row)
		return false;
	while ((column = bms_next_member(maintained->watched, column)) >= 0)
	{
		if (bms_is_member(column - FirstLowInvalidHeapAttributeNumber, data->tg_updatedcols))
			return false;
	}
	return true;
}

/*
 * gpt_maintain_trigger() -> trigger    (AFTER INSERT, AFTER UPDATE, for each statement)
 *
 * Marks the rows of maintained columns whose key or inputs are new, and starts the worker when the
 * transaction commits.
 */
Datum
gpt_maintain_trigger(PG_FUNCTION_ARGS)
{
	const TriggerData *data = CALLED_AS_TRIGGER(fcinfo) ? (TriggerData *) fcinfo->context : NULL;
	const Entry *entry;
	ListCell *cell;

	check_call(data);
	entry = find_entry(data->tg_relation);
	foreach (cell, entry->maintained)
	{
		const Maintained *maintained = lfirst(cell);

		/* The worker's own statement, not those of triggers that it fires. */
		if (maintained->number == gpt_mark_writing() &&
			DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH)) == 1)
			continue;
		if (maintained->broken)
			report_broken(maintained);
		else if (!touches_nothing(maintained, data))
			mark(maintained, data);
	}
	return PointerGetDatum(NULL);
}

static void
start_worker(const Maintained *maintained)
{
	if (maintained->starts && !gpt_maintain_launch_pending(maintained->owner))
		gpt_maintain_launch_at_commit(maintained->owner);
}

/*
 * A mark that names no row: the worker says in gpt_maintained what is wrong. gpt_maintain, which
 * will choose another key, computes all rows again.
 */
static void
report_broken(const Maintained *maintained)
{
	GptMarker marker;

	if (!maintained->starts)
		return;
	gpt_marker_open(&marker);
	gpt_marker_add(&marker, maintained->number, "");
	gpt_marker_close(&marker);
	start_worker(maintained);
}

/* ---- Rows --------------------------------------------------------------- */

/* Rows of a transition table from the first one on; the other readers have places of their own. */
static void
rewind_rows(Tuplestorestate *rows)
{
	int place = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(rows, place);
	tuplestore_rescan(rows);
}

static bool
is_same(TupleTableSlot *old, TupleTableSlot *new, Bitmapset *columns)
{
	int column = -1;

	while ((column = bms_next_member(columns, column)) >= 0)
	{
		Form_pg_attribute attribute = TupleDescAttr(new->tts_tupleDescriptor, column - 1);
		bool old_null;
		bool new_null;
		Datum old_value = slot_getattr(old, column, &old_null);
		Datum new_value = slot_getattr(new, column, &new_null);

		if (old_null != new_null ||
			(!new_null &&
			 !datum_image_eq(old_value, new_value, attribute->attbyval, attribute->attlen)))
			return false;
	}
	return true;
}

/*
 * The server writes the row before and after a change to both tables together, so the n-th rows
 * belong together. Where their numbers differ (a BEFORE trigger has stopped a row on its way to
 * another partition), every row counts as changed.
 */
static void
mark(const Maintained *maintained, const TriggerData *data)
{
	Tuplestorestate *old_rows = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_oldtable : NULL;
	TupleDesc columns = RelationGetDescr(data->tg_relation);
	TupleTableSlot *old = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
	TupleTableSlot *new = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt marks", ALLOCSET_DEFAULT_SIZES);
	int level = gpt_key_text_begin(&maintained->key);
	bool is_open = false;
	GptMarker marker;

	if (old_rows != NULL &&
		tuplestore_tuple_count(old_rows) != tuplestore_tuple_count(data->tg_newtable))
		old_rows = NULL;
	if (old_rows != NULL)
		rewind_rows(old_rows);
	rewind_rows(data->tg_newtable);
	/* A row that was on disk is the slot's, in the current context. */
	while (tuplestore_gettupleslot(data->tg_newtable, true, false, new))
	{
		MemoryContext old_context;

		CHECK_FOR_INTERRUPTS();
		if (old_rows != NULL && tuplestore_gettupleslot(old_rows, true, false, old) &&
			is_same(old, new, maintained->watched))
			continue;
		if (!is_open)
			gpt_marker_open(&marker);
		is_open = true;
		old_context = MemoryContextSwitchTo(scratch);
		gpt_marker_add(&marker, maintained->number, gpt_key_text(&maintained->key, new));
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(scratch);
	}
	gpt_key_text_end(&maintained->key, level);
	MemoryContextDelete(scratch);
	if (is_open)
		gpt_marker_close(&marker);
	if (is_open)
		start_worker(maintained);
	ExecDropSingleTupleTableSlot(old);
	ExecDropSingleTupleTableSlot(new);
}

/* ---- What the session knows of a table ---------------------------------- */

/*
 * An entry may be in use: it is read again when it is next looked for. What is maintained of a
 * partition belongs to the partitioned table, whose invalidation counts, too.
 */
static void
forget(Datum argument, Oid relation)
{
	HASH_SEQ_STATUS scan;
	Entry *entry;

	hash_seq_init(&scan, entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!OidIsValid(relation) || entry->relation == relation || entry->root == relation)
			entry->valid = false;
	}
}

static void
make_entries(void)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(Entry)};

	entries = hash_create("maintained tables of gpt", 16, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

/* The number that a column of the maintained table has in this one; 0: it has none. */
static AttrNumber
number_here(Relation relation, Oid maintained, AttrNumber number, const char *name)
{
	if (maintained == RelationGetRelid(relation))
	{
		TupleDesc columns = RelationGetDescr(relation);

		return number > columns->natts || TupleDescAttr(columns, number - 1)->attisdropped ? 0
																						   : number;
	}
	if (OidIsValid(maintained))
		name = get_attname(maintained, number, true);
	return name == NULL ? 0 : get_attnum(RelationGetRelid(relation), name);
}

static Maintained *
make_maintained(Relation relation, const GptMaintenance *maintenance)
{
	Oid known = gpt_maintenance_is_local(maintenance) ? maintenance->relation : InvalidOid;
	AttrNumber *keys = palloc(maintenance->n_keys * sizeof(AttrNumber));
	Maintained *maintained = palloc0(sizeof(Maintained));

	maintained->number = maintenance->number;
	maintained->owner = maintenance->owner;
	maintained->starts = OidIsValid(known) && !maintenance->failed;
	if (number_here(relation, known, maintenance->attribute, maintenance->column) == 0)
		return NULL;
	for (int i = 0; i < maintenance->n_keys; i++)
	{
		keys[i] = number_here(relation, known, maintenance->keys[i], maintenance->key_names[i]);
		if (keys[i] <= 0)
		{
			maintained->broken = true;
			return maintained;
		}
		maintained->watched = bms_add_member(maintained->watched, keys[i]);
	}
	for (int i = 0; i < maintenance->n_reads; i++)
	{
		AttrNumber number =
			number_here(relation, known, maintenance->reads[i], maintenance->read_names[i]);

		if (number > 0)
			maintained->watched = bms_add_member(maintained->watched, number);
	}
	gpt_key_text_init(&maintained->key, RelationGetDescr(relation), keys, maintenance->n_keys);
	return maintained;
}

/* The columns that are maintained of this table, or of the one that it is a partition of. */
static void
fill_entry(Entry *entry, Relation relation)
{
	List *tables = list_make1_oid(RelationGetRelid(relation));
	ListCell *table;

	if (relation->rd_rel->relispartition)
		tables = list_concat(tables, get_partition_ancestors(RelationGetRelid(relation)));
	entry->root = llast_oid(tables);
	foreach (table, tables)
	{
		ListCell *cell;

		foreach (cell, gpt_maintenance_of_table(lfirst_oid(table)))
		{
			Maintained *maintained = make_maintained(relation, lfirst(cell));

			if (maintained != NULL)
				entry->maintained = lappend(entry->maintained, maintained);
		}
	}
}

static const Entry *
find_entry(Relation relation)
{
	Oid oid = RelationGetRelid(relation);
	MemoryContext old_context;
	bool found;
	Entry *entry;

	if (entries == NULL)
		make_entries();
	entry = hash_search(entries, &oid, HASH_ENTER, &found);
	if (!found)
	{
		entry->valid = entry->complete = false;
		entry->context = NULL;
		entry->root = oid;
	}
	if (entry->valid && entry->complete)
		return entry;
	if (entry->context != NULL)
		MemoryContextDelete(entry->context);
	entry->context = NULL;
	entry->complete = false;
	entry->maintained = NIL;
	entry->context =
		AllocSetContextCreate(TopMemoryContext, "gpt maintained table", ALLOCSET_SMALL_SIZES);
	old_context = MemoryContextSwitchTo(entry->context);
	entry->valid = true; /* an invalidation from now on counts */
	fill_entry(entry, relation);
	entry->complete = true;
	MemoryContextSwitchTo(old_context);
	return entry;
}
