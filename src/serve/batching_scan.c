/*
 * src/serve/batching_scan.c
 *
 * The node GptBatch: reads rows ahead, answers the calls of all of them together, hands rows on in
 * order.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/relscan.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "core/compat.h"
#include "core/settings.h"
#include "serve/batching_parts.h"

#define KILOBYTE 1024

static Node *create_state(CustomScan *scan);
static void begin(CustomScanState *node, EState *estate, int eflags);
static ScanState *source_of(PlanState *below);
static TupleTableSlot *execute(CustomScanState *node);
static TupleTableSlot *next_row(GptBatch *batch);
static void end(CustomScanState *node);
static void rescan(CustomScanState *node);
static void explain(CustomScanState *node, List *ancestors, ExplainState *state);
static void forget_rows(GptBatch *batch);
static void read_ahead(GptBatch *batch);
static void read_row(GptBatch *batch, TupleTableSlot *slot);
static Size row_size(const GptBatch *batch, TupleTableSlot *slot);

const CustomScanMethods gpt_batch_methods = {"GptBatch", create_state};

static const CustomExecMethods methods = {
	.CustomName = "GptBatch",
	.BeginCustomScan = begin,
	.ExecCustomScan = execute,
	.EndCustomScan = end,
	.ReScanCustomScan = rescan,
	.EstimateDSMCustomScan = gpt_batch_shared_size,
	.InitializeDSMCustomScan = gpt_batch_shared_begin,
	.ReInitializeDSMCustomScan = gpt_batch_shared_again,
	.InitializeWorkerCustomScan = gpt_batch_shared_attach,
	.ShutdownCustomScan = gpt_batch_shared_end,
	.ExplainCustomScan = explain,
};

static Node *
create_state(CustomScan *scan)
{
	GptBatch *batch = (GptBatch *) newNode(sizeof(GptBatch), T_CustomScanState);

	batch->scan.methods = &methods;
	return (Node *) batch;
}

static void
begin(CustomScanState *node, EState *estate, int eflags)
{
	GptBatch *batch = (GptBatch *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	const List *kinds = linitial(plan->custom_private);

	outerPlanState(node) =
		ExecInitNode(outerPlan(plan), estate, eflags & ~(EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD));
	batch->row = ExecInitExtraTupleSlot(estate, ExecGetResultType(outerPlanState(node)),
										&TTSOpsMinimalTuple);
	/* Steps are computed from rows that were kept, not from the slot of the plan below. */
	node->ss.ps.outerops = &TTSOpsMinimalTuple;
	node->ss.ps.outeropsfixed = true;
	node->ss.ps.outeropsset = true;
	batch->context =
		AllocSetContextCreate(estate->es_query_cxt, "gpt batch", ALLOCSET_DEFAULT_SIZES);
	batch->n_steps = list_length(plan->custom_exprs);
	batch->steps = palloc0(batch->n_steps * sizeof(GptBatchStep));
	for (int i = 0; i < batch->n_steps; i++)
		gpt_batch_step_init(batch, &batch->steps[i], list_nth(plan->custom_exprs, i),
							list_nth_int(kinds, i));
	for (int i = 0; i < batch->n_steps; i++)
		if (batch->steps[i].kind != NULL)
			batch->steps[i].need = gpt_batch_need_begin(batch, i);
	/*
	 * The executor saves the projection where the list has the numbers of the scan tuple's columns.
	 * It does not look whether they are results of calls or columns below, which have numbers too.
	 */
	if (node->ss.ps.ps_ProjInfo == NULL)
	{
		node->ss.ps.resultopsset = true;
		node->ss.ps.resultopsfixed = true;
		node->ss.ps.resultops = &TTSOpsVirtual;
		ExecAssignProjectionInfo(&node->ss.ps, node->ss.ss_ScanTupleSlot->tts_tupleDescriptor);
	}
	batch->source = source_of(outerPlanState(node));
	if (batch->source != NULL)
		node->ss.ss_currentRelation = batch->source->ss_currentRelation;
	batch->wanted = gpt_batch_wanted_begin(lsecond(plan->custom_private), estate);
	batch->is_first = true;
	if ((eflags & EXEC_FLAG_BACKWARD) != 0)
		batch->kept = gpt_batch_keep_begin(batch, estate);
}

/* The scan below, where WHERE CURRENT OF may look for the row that a cursor stands on. */
static ScanState *
source_of(PlanState *below)
{
	switch (nodeTag(below))
	{
		case T_SeqScanState:
		case T_SampleScanState:
		case T_IndexScanState:
		case T_IndexOnlyScanState:
		case T_BitmapHeapScanState:
		case T_TidScanState:
		case T_TidRangeScanState:
			return (ScanState *) below;
		default:
			return NULL;
	}
}

static TupleTableSlot *
execute(CustomScanState *node)
{
	GptBatch *batch = (GptBatch *) node;

	TupleTableSlot *slot;

	if (batch->kept == NULL)
		return next_row(batch);
	slot = gpt_batch_keep_find(batch->kept, batch);
	if (slot == NULL)
	{
		slot = next_row(batch);
		gpt_batch_keep_row(batch->kept, batch, slot);
	}
	return slot;
}

static TupleTableSlot *
next_row(GptBatch *batch)
{
	CustomScanState *node = &batch->scan;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;

	for (;;)
	{
		GptBatchRow *row;

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		if (batch->next == batch->n_rows)
			read_ahead(batch);
		if (batch->n_rows == 0)
			return ExecClearTuple(node->ss.ps.ps_ResultTupleSlot);
		row = &batch->rows[batch->next++];
		if (row->n_done < batch->n_steps && !row->dropped)
			row->dropped = !gpt_batch_step_finish(batch, row);
		if (row->dropped)
		{
			InstrCountFiltered1(node, 1);
			continue;
		}
		gpt_batch_load(batch, row);
		node->ss.ss_ScanTupleSlot->tts_tid = row->place;
		return ExecProject(node->ss.ps.ps_ProjInfo);
	}
}

void
gpt_batch_load(GptBatch *batch, const GptBatchRow *row)
{
	ExprContext *econtext = batch->scan.ss.ps.ps_ExprContext;
	TupleTableSlot *results = batch->scan.ss.ss_ScanTupleSlot;

	ExecStoreMinimalTuple(row->tuple, batch->row, false);
	ExecClearTuple(results);
	memcpy(results->tts_values, row->values, batch->n_calls * sizeof(Datum));
	memcpy(results->tts_isnull, row->nulls, batch->n_calls * sizeof(bool));
	ExecStoreVirtualTuple(results);
	econtext->ecxt_outertuple = batch->row;
	econtext->ecxt_scantuple = results;
}

static void
forget_rows(GptBatch *batch)
{
	ExecClearTuple(batch->row);
	ExecClearTuple(batch->scan.ss.ss_ScanTupleSlot);
	MemoryContextReset(batch->context);
	batch->rows = NULL;
	batch->n_rows = 0;
	batch->next = 0;
}

/* Reads up to gpt.batch_rows rows, at most work_mem, and runs all steps for these rows. */
static void
read_ahead(GptBatch *batch)
{
	int n;
	Size size = 0;

	forget_rows(batch);
	if (batch->exhausted)
		return;
	n = (int) Min((int64) gpt_batch_rows, gpt_batch_wanted(batch->wanted, batch->is_first));
	n = gpt_batch_need_rows(batch, n);
	batch->is_first = false;
	batch->rows = MemoryContextAllocZero(batch->context, n * sizeof(GptBatchRow));
	while (batch->n_rows < n && size < (Size) work_mem * KILOBYTE)
	{
		TupleTableSlot *slot;

		CHECK_FOR_INTERRUPTS();
		slot = ExecProcNode(outerPlanState(&batch->scan.ss.ps));
		if (TupIsNull(slot))
		{
			batch->exhausted = true;
			break;
		}
		read_row(batch, slot);
		size += batch->rows[batch->n_rows - 1].tuple->t_len + row_size(batch, slot);
	}
	if (batch->n_rows == 0)
		return;
	for (int i = 0; i < batch->n_steps; i++)
		gpt_batch_step_run(batch, i);
	gpt_batch_need_keep(batch);
	if (batch->n_calls > 0)
		batch->n_batches++;
}

static void
read_row(GptBatch *batch, TupleTableSlot *slot)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->context);
	GptBatchRow *row = &batch->rows[batch->n_rows];

	row->tuple = ExecCopySlotMinimalTuple(slot);
	row->values = palloc0(batch->n_calls * (sizeof(Datum) + sizeof(bool)));
	row->nulls = (bool *) (row->values + batch->n_calls);
	memset(row->nulls, true, batch->n_calls);
	ItemPointerSetInvalid(&row->place);
	if (batch->source != NULL && IsA(batch->source, IndexOnlyScanState))
		row->place = ((IndexOnlyScanState *) batch->source)->ioss_ScanDesc->xs_heaptid;
	else if (batch->source != NULL)
		row->place = batch->source->ss_ScanTupleSlot->tts_tid;
	batch->n_rows++;
	MemoryContextSwitchTo(caller);
}

/* The memory of a row's values if each call had its own copy of all of them, uncompressed. */
static Size
row_size(const GptBatch *batch, TupleTableSlot *slot)
{
	Size size = 0;

	slot_getallattrs(slot);
	for (int i = 0; i < slot->tts_nvalid; i++)
	{
		if (!slot->tts_isnull[i] && TupleDescAttr(slot->tts_tupleDescriptor, i)->attlen == -1)
			size += toast_raw_datum_size(slot->tts_values[i]);
	}
	return size * batch->n_calls;
}

static void
end(CustomScanState *node)
{
	GptBatch *batch = (GptBatch *) node;

	forget_rows(batch);
	if (batch->kept != NULL)
		gpt_batch_keep_end(batch->kept);
	for (int i = 0; i < batch->n_steps; i++)
		if (batch->steps[i].held != NULL)
			gpt_cache_release(batch->steps[i].held);
	ExecEndNode(outerPlanState(node));
}

static void
rescan(CustomScanState *node)
{
	GptBatch *batch = (GptBatch *) node;

	forget_rows(batch);
	if (batch->kept != NULL)
		gpt_batch_keep_none(batch->kept);
	gpt_batch_need_forget(batch);
	batch->exhausted = false;
	batch->is_first = true;
	if (outerPlanState(node)->chgParam == NULL)
		ExecReScan(outerPlanState(node));
}

static void
explain(CustomScanState *node, List *ancestors, ExplainState *state)
{
	GptBatch *batch = (GptBatch *) node;

	if (!state->analyze)
		return;
	ExplainPropertyInteger("Batches", NULL, batch->n_batches, state);
	if (batch->n_repeated > 0)
		ExplainPropertyInteger("Repeated Calls", NULL, batch->n_repeated, state);
	if (batch->n_bounded > 0)
		ExplainPropertyInteger("Calls Ended Early", NULL, batch->n_bounded, state);
	ExplainPropertyInteger("Tokens", NULL, batch->totals.tokens, state);
	if (state->timing && batch->totals.seconds > 0)
		ExplainPropertyFloat("Tokens per Second", NULL,
							 (double) batch->totals.tokens / batch->totals.seconds, 0, state);
}
