/*
 * src/store/maintained_partition.c
 *
 * A maintained table with partitions goes in; those that came after gpt_maintain have its triggers
 * then, and rows of theirs without a value are marked.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store/maintained_table.h"
#include "store/mark.h"

/* A column of the partitioned table, by its number, in the partition. */
static AttrNumber
number_in(Oid partition, const GptMaintenance *maintenance, AttrNumber number)
{
	AttrNumber here = get_attnum(partition, get_attname(maintenance->relation, number, false));

	if (here <= 0)
		elog(ERROR, "partition %u lacks column %d of table %u", partition, number,
			 maintenance->relation);
	return here;
}

/*
 * Marks the rows whose column is null. All of them are seen: the triggers were created under a lock
 * that waited for everybody who changed rows without them.
 */
static void
mark_rows(const GptMaintenance *maintenance, Relation relation, const GptKeyText *form)
{
	AttrNumber column = number_in(RelationGetRelid(relation), maintenance, maintenance->attribute);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt marks", ALLOCSET_DEFAULT_SIZES);
	int level = gpt_key_text_begin(form);
	GptMarker marker;

	gpt_marker_open(&marker);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext old_context = MemoryContextSwitchTo(scratch);

		CHECK_FOR_INTERRUPTS();
		if (slot_attisnull(slot, column))
			gpt_marker_add(&marker, maintenance->number, gpt_key_text(form, slot));
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(scratch);
	}
	gpt_marker_close(&marker);
	gpt_key_text_end(form, level);
	MemoryContextDelete(scratch);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
}

static void
mark_partition(const GptMaintenance *maintenance, Oid partition)
{
	Relation relation = table_open(partition, AccessShareLock);
	AttrNumber *keys = palloc(maintenance->n_keys * sizeof(AttrNumber));
	GptKeyText form;

	for (int i = 0; i < maintenance->n_keys; i++)
		keys[i] = number_in(partition, maintenance, maintenance->keys[i]);
	gpt_key_text_init(&form, RelationGetDescr(relation), keys, maintenance->n_keys);
	mark_rows(maintenance, relation, &form);
	table_close(relation, NoLock);
}

void
gpt_maintained_adopt_partitions(const GptMaintenance *maintenance)
{
	ListCell *cell;

	if (get_rel_relkind(maintenance->relation) != RELKIND_PARTITIONED_TABLE)
		return;
	foreach (cell, gpt_maintained_create_triggers(maintenance->relation))
	{
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_RELATION)
			mark_partition(maintenance, lfirst_oid(cell));
	}
}
