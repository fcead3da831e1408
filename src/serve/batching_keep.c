/*
 * src/serve/batching_keep.c
 *
 * Rows that a node GptBatch has returned, for a cursor that is scrolled: like nodeMaterial.c, but
 * each row keeps its place in the table, for WHERE CURRENT OF.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "serve/batching_parts.h"

struct GptBatchKept
{
	MemoryContext context;
	Tuplestorestate *rows;
	TupleTableSlot *row; /* from the store: the columns, then the place */
	TupleTableSlot *wide; /* into the store */
	int64 n_kept;
	int64 position; /* of the row that was returned last, from 1; 0: before the first */
	bool ended; /* all rows are kept */
};

static TupleDesc with_place(TupleDesc columns);
static TupleTableSlot *go_back(GptBatchKept *kept, GptBatch *batch);
static TupleTableSlot *show_kept(GptBatchKept *kept, GptBatch *batch);

GptBatchKept *
gpt_batch_keep_begin(GptBatch *batch, EState *estate)
{
	GptBatchKept *kept = palloc0(sizeof(GptBatchKept));
	TupleDesc descriptor;

	kept->context = CurrentMemoryContext;
	descriptor = with_place(batch->scan.ss.ps.ps_ResultTupleDesc);
	kept->row = ExecInitExtraTupleSlot(estate, descriptor, &TTSOpsMinimalTuple);
	kept->wide = ExecInitExtraTupleSlot(estate, descriptor, &TTSOpsVirtual);
	gpt_batch_keep_none(kept);
	return kept;
}

static TupleDesc
with_place(TupleDesc columns)
{
	TupleDesc descriptor = CreateTemplateTupleDesc(columns->natts + 1);

	for (int i = 1; i <= columns->natts; i++)
		TupleDescCopyEntry(descriptor, i, columns, i);
	TupleDescInitEntry(descriptor, columns->natts + 1, "place", TIDOID, -1, 0);
	return descriptor;
}

void
gpt_batch_keep_none(GptBatchKept *kept)
{
	MemoryContext caller = MemoryContextSwitchTo(kept->context);

	ExecClearTuple(kept->row);
	if (kept->rows != NULL)
		tuplestore_end(kept->rows);
	kept->rows = tuplestore_begin_heap(true, false, work_mem);
	kept->n_kept = 0;
	kept->position = 0;
	kept->ended = false;
	MemoryContextSwitchTo(caller);
}

void
gpt_batch_keep_end(GptBatchKept *kept)
{
	ExecClearTuple(kept->row);
	tuplestore_end(kept->rows);
}

TupleTableSlot *
gpt_batch_keep_find(GptBatchKept *kept, GptBatch *batch)
{
	if (ScanDirectionIsBackward(batch->scan.ss.ps.state->es_direction))
		return go_back(kept, batch);
	if (kept->position < kept->n_kept)
	{
		kept->position++;
		if (tuplestore_gettupleslot(kept->rows, true, false, kept->row))
			return show_kept(kept, batch);
	}
	/* The store's reader goes behind the last row, too. */
	if (!tuplestore_ateof(kept->rows))
		tuplestore_gettupleslot(kept->rows, true, false, kept->row);
	return kept->ended ? ExecClearTuple(batch->scan.ss.ps.ps_ResultTupleSlot) : NULL;
}

static TupleTableSlot *
go_back(GptBatchKept *kept, GptBatch *batch)
{
	/* From the row that was kept last, the reader returns that row itself first. */
	if (tuplestore_ateof(kept->rows) && kept->position <= kept->n_kept && kept->position > 0)
		tuplestore_advance(kept->rows, false);
	kept->position = Max(kept->position - 1, 0);
	if (kept->position > 0 && tuplestore_gettupleslot(kept->rows, false, false, kept->row))
		return show_kept(kept, batch);
	if (kept->position == 0)
		tuplestore_rescan(kept->rows);
	return ExecClearTuple(batch->scan.ss.ps.ps_ResultTupleSlot);
}

/* As a tuple of the kind that the plan above expects. */
static TupleTableSlot *
show_kept(GptBatchKept *kept, GptBatch *batch)
{
	TupleTableSlot *scan = batch->scan.ss.ss_ScanTupleSlot;
	TupleTableSlot *slot = batch->scan.ss.ps.ps_ResultTupleSlot;
	int n = slot->tts_tupleDescriptor->natts;

	ExecStoreAllNullTuple(scan);
	slot_getallattrs(kept->row);
	scan->tts_tid = *(ItemPointer) DatumGetPointer(kept->row->tts_values[n]);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, kept->row->tts_values, n * sizeof(Datum));
	memcpy(slot->tts_isnull, kept->row->tts_isnull, n * sizeof(bool));
	return ExecStoreVirtualTuple(slot);
}

void
gpt_batch_keep_row(GptBatchKept *kept, GptBatch *batch, TupleTableSlot *slot)
{
	int n = kept->wide->tts_tupleDescriptor->natts - 1;

	if (TupIsNull(slot))
	{
		kept->ended = true;
		kept->position = kept->n_kept + 1;
		return;
	}
	slot_getallattrs(slot);
	ExecClearTuple(kept->wide);
	memcpy(kept->wide->tts_values, slot->tts_values, n * sizeof(Datum));
	memcpy(kept->wide->tts_isnull, slot->tts_isnull, n * sizeof(bool));
	kept->wide->tts_values[n] = PointerGetDatum(&batch->scan.ss.ss_ScanTupleSlot->tts_tid);
	kept->wide->tts_isnull[n] = false;
	ExecStoreVirtualTuple(kept->wide);
	tuplestore_puttupleslot(kept->rows, kept->wide);
	ExecClearTuple(kept->wide);
	kept->position = ++kept->n_kept;
}
