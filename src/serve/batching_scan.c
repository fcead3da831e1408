/*
 * src/serve/batching_scan.c
 *
 * The node GptBatch: reads rows ahead, answers the calls of all of them together, hands rows on in
 * order.
 *
 * A call that fails has no result here: when its row is handed on, the function itself is called
 * for it, and raises its error.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/settings.h"
#include "serve/batching.h"

#define KILOBYTE 1024

typedef struct BatchCall
{
	const GptCallKind *kind;
	char *model;
	ExprState *function; /* the call as it stands in the query */
	List *arguments; /* ExprState */
	FmgrInfo info;
	FunctionCallInfo fcinfo;
	GptAnswer *answers; /* of the rows that are read */
	/* keeps the model and its common prefixes until the end */
	const GptServed *held;
} BatchCall;

typedef struct BatchScan
{
	CustomScanState scan;
	int n_calls;
	BatchCall *calls;
	List *limits; /* ExprState of count and offset of a LIMIT directly above; NIL: none */
	int64 limit; /* rows that are wanted at most; -1: all, -2: not computed yet */
	int64 n_read;
	bool exhausted;

	MemoryContext context; /* of the rows that are read, and their answers */
	MinimalTuple *rows;
	int n_rows;
	int next; /* of them */
	TupleTableSlot *row;

	GptCallTotals totals;
	int64 n_batches;
} BatchScan;

static Node *create_state(CustomScan *scan);
static void begin(CustomScanState *node, EState *estate, int eflags);
static void init_call(BatchScan *batch, BatchCall *call, FuncExpr *expression, int kind);
static TupleTableSlot *execute(CustomScanState *node);
static void end(CustomScanState *node);
static void rescan(CustomScanState *node);
static void explain(CustomScanState *node, List *ancestors, ExplainState *state);
static void compute_limit(BatchScan *batch);
static void forget_rows(BatchScan *batch);
static void read_ahead(BatchScan *batch);
static Size row_size(const BatchScan *batch, TupleTableSlot *slot);
static void answer(BatchScan *batch, BatchCall *call);
static bool read_call(GptCall *asked, BatchScan *batch, BatchCall *call, bool *failed);
static void set_answers(BatchScan *batch, BatchCall *call, const GptCall *asked, const int *places,
						int n);
static TupleTableSlot *hand_on(BatchScan *batch);

const CustomScanMethods gpt_batching_scan = {"GptBatch", create_state};

static const CustomExecMethods methods = {
	.CustomName = "GptBatch",
	.BeginCustomScan = begin,
	.ExecCustomScan = execute,
	.EndCustomScan = end,
	.ReScanCustomScan = rescan,
	.ExplainCustomScan = explain,
};

static Node *
create_state(CustomScan *scan)
{
	BatchScan *batch = (BatchScan *) newNode(sizeof(BatchScan), T_CustomScanState);

	batch->scan.methods = &methods;
	return (Node *) batch;
}

/* BeginCustomScan: prepares the calls, and the expressions of a LIMIT directly above. */
static void
begin(CustomScanState *node, EState *estate, int eflags)
{
	BatchScan *batch = (BatchScan *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	ListCell *cell;

	outerPlanState(node) = ExecInitNode(outerPlan(plan), estate, eflags);
	batch->row = ExecInitExtraTupleSlot(estate, ExecGetResultType(outerPlanState(node)),
										&TTSOpsMinimalTuple);
	/* Arguments are computed from rows that were kept, not from the slot of the plan below. */
	node->ss.ps.outerops = &TTSOpsMinimalTuple;
	node->ss.ps.outeropsfixed = true;
	node->ss.ps.outeropsset = true;
	batch->context =
		AllocSetContextCreate(estate->es_query_cxt, "gpt batch", ALLOCSET_DEFAULT_SIZES);
	batch->n_calls = list_length(plan->custom_private);
	batch->calls = palloc0(batch->n_calls * sizeof(BatchCall));
	for (int i = 0; i < batch->n_calls; i++)
	{
		TargetEntry *entry = list_nth(plan->custom_scan_tlist, i);

		init_call(batch, &batch->calls[i], castNode(FuncExpr, entry->expr),
				  list_nth_int(plan->custom_private, i));
	}
	foreach (cell, plan->custom_exprs)
		batch->limits = lappend(batch->limits, ExecInitExpr(lfirst(cell), &node->ss.ps));
	batch->limit = batch->limits == NIL ? -1 : -2;
}

/* The call is prepared twice: to read its arguments, and to evaluate it alone after an error. */
static void
init_call(BatchScan *batch, BatchCall *call, FuncExpr *expression, int kind)
{
	int n = list_length(expression->args);
	const Const *model = linitial_node(Const, expression->args);

	call->kind = gpt_batching_kind(kind);
	call->model = TextDatumGetCString(model->constvalue);
	call->function = ExecInitExpr((Expr *) expression, &batch->scan.ss.ps);
	call->arguments = ExecInitExprList(expression->args, &batch->scan.ss.ps);
	fmgr_info(expression->funcid, &call->info);
	fmgr_info_set_expr((Node *) expression, &call->info);
	call->fcinfo = palloc0(SizeForFunctionCallInfo(n));
	InitFunctionCallInfoData(*call->fcinfo, &call->info, n, expression->inputcollid, NULL, NULL);
}

static TupleTableSlot *
execute(CustomScanState *node)
{
	BatchScan *batch = (BatchScan *) node;

	ResetExprContext(node->ss.ps.ps_ExprContext);
	if (batch->limit == -2)
		compute_limit(batch);
	if (batch->next == batch->n_rows)
		read_ahead(batch);
	if (batch->n_rows == 0)
		return ExecClearTuple(node->ss.ps.ps_ResultTupleSlot);
	return hand_on(batch);
}

/* Like nodeLimit.c, which raises the errors. */
static void
compute_limit(BatchScan *batch)
{
	ExprContext *econtext = batch->scan.ss.ps.ps_ExprContext;
	int64 sum = 0;
	bool is_null = true;

	for (int i = 0; i < 2; i++)
	{
		ExprState *state = list_nth(batch->limits, i);
		Datum value = (Datum) 0;
		int64 rows;

		is_null = true;
		if (state != NULL)
			value = ExecEvalExprSwitchContext(state, econtext, &is_null);
		if (i == 0 && is_null)
		{
			batch->limit = -1;
			return;
		}
		rows = is_null ? 0 : Max(DatumGetInt64(value), 0);
		sum = rows > PG_INT64_MAX - sum ? PG_INT64_MAX : sum + rows;
	}
	batch->limit = sum;
}

static void
forget_rows(BatchScan *batch)
{
	ExecClearTuple(batch->row);
	ExecClearTuple(batch->scan.ss.ss_ScanTupleSlot);
	MemoryContextReset(batch->context);
	batch->rows = NULL;
	batch->n_rows = 0;
	batch->next = 0;
}

/* The next rows, as many as may be, and the answers to their calls. */
/* The memory of a row's values if each call had its own copy of all of them, uncompressed. */
static Size
row_size(const BatchScan *batch, TupleTableSlot *slot)
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

/* Reads up to gpt.batch_rows rows, at most work_mem, and answers all calls of these rows. */
static void
read_ahead(BatchScan *batch)
{
	int n = gpt_batch_rows;
	Size size = 0;
	MemoryContext caller;

	forget_rows(batch);
	if (batch->limit >= 0)
		n = (int) Min((int64) n, batch->limit - batch->n_read);
	if (n <= 0 || batch->exhausted)
		return;
	batch->rows = MemoryContextAlloc(batch->context, n * sizeof(MinimalTuple));
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
		caller = MemoryContextSwitchTo(batch->context);
		batch->rows[batch->n_rows] = ExecCopySlotMinimalTuple(slot);
		MemoryContextSwitchTo(caller);
		size += batch->rows[batch->n_rows++]->t_len + row_size(batch, slot);
		batch->n_read++;
	}
	if (batch->n_rows == 0)
		return;
	caller = MemoryContextSwitchTo(batch->context);
	for (int i = 0; i < batch->n_calls; i++)
		answer(batch, &batch->calls[i]);
	MemoryContextSwitchTo(caller);
	batch->n_batches++;
}

/* Answers one call of the list for all rows that were read. */
static void
answer(BatchScan *batch, BatchCall *call)
{
	GptCall *asked = palloc(batch->n_rows * sizeof(GptCall));
	int *places = palloc(batch->n_rows * sizeof(int));
	int n = 0;

	call->answers = palloc0(batch->n_rows * sizeof(GptAnswer));
	for (int i = 0; i < batch->n_rows; i++)
	{
		bool failed = false;

		ExecStoreMinimalTuple(batch->rows[i], batch->row, false);
		call->answers[i].is_null = true;
		if (read_call(&asked[n], batch, call, &failed))
			places[n++] = i;
		/* Any error marks the row: hand_on evaluates the call again, which raises the real one. */
		if (failed)
			call->answers[i].error = palloc0(sizeof(LmError));
	}
	if (n > 0)
		set_answers(batch, call, asked, places, n);
	pfree(asked);
	pfree(places);
}

/* The call of the present row; false where it is NULL or *failed. */
static bool
read_call(GptCall *asked, BatchScan *batch, BatchCall *call, bool *failed)
{
	ExprContext *econtext = batch->scan.ss.ps.ps_ExprContext;
	MemoryContext context = CurrentMemoryContext;
	volatile bool is_asked = false;
	ListCell *cell;
	int i = 0;

	econtext->ecxt_outertuple = batch->row;
	foreach (cell, call->arguments)
	{
		NullableDatum *argument = &call->fcinfo->args[i];
		Oid type = get_fn_expr_argtype(&call->info, i++);

		argument->value = ExecEvalExpr((ExprState *) lfirst(cell), econtext, &argument->isnull);
		if (argument->isnull && call->info.fn_strict)
			return false;
		/*
		 * Detoasts here, because the block below catches errors of arguments only, which leave
		 * nothing open.
		 */
		if (!argument->isnull && type == TEXTOID)
			argument->value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(argument->value));
		else if (!argument->isnull && (type == TEXTARRAYOID || type == JSONBOID))
			argument->value = PointerGetDatum(PG_DETOAST_DATUM(argument->value));
	}
	PG_TRY();
	{
		is_asked = call->kind->read(asked, call->fcinfo);
	}
	PG_CATCH();
	{
		int code = geterrcode();

		if (code == ERRCODE_QUERY_CANCELED || code == ERRCODE_OUT_OF_MEMORY ||
			ERRCODE_TO_CATEGORY(code) == ERRCODE_OPERATOR_INTERVENTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		*failed = true;
	}
	PG_END_TRY();
	return is_asked;
}

/*
 * The name is resolved and the privilege checked for each batch; the model is held until the end.
 */
static void
set_answers(BatchScan *batch, BatchCall *call, const GptCall *asked, const int *places, int n)
{
	GptAnswer *found = palloc(n * sizeof(GptAnswer));
	const GptServed *served;
	MemoryContext caller;

	gpt_bridge_check_encoding();
	caller = MemoryContextSwitchTo(batch->scan.ss.ps.state->es_query_cxt);
	served = gpt_cache_acquire(call->model, call->kind->served);
	MemoryContextSwitchTo(caller);
	if (call->held != NULL)
		gpt_cache_release(call->held);
	call->held = served;
	gpt_call_answer(found, call->kind, served, asked, n, 0, &batch->totals);
	for (int i = 0; i < n; i++)
	{
		call->answers[places[i]] = found[i];
		gpt_call_notice(call->fcinfo, found[i].notices, served);
	}
	pfree(found);
}

/*
 * Returns the next row; a call with an error is evaluated again alone, so that it raises its error.
 */
static TupleTableSlot *
hand_on(BatchScan *batch)
{
	ExprContext *econtext = batch->scan.ss.ps.ps_ExprContext;
	TupleTableSlot *slot = batch->scan.ss.ss_ScanTupleSlot;
	int row = batch->next++;
	int n_columns = batch->row->tts_tupleDescriptor->natts;

	ExecStoreMinimalTuple(batch->rows[row], batch->row, false);
	econtext->ecxt_outertuple = batch->row;
	ExecClearTuple(slot);
	for (int i = 0; i < batch->n_calls; i++)
	{
		const BatchCall *call = &batch->calls[i];
		const GptAnswer *found = &call->answers[row];

		slot->tts_values[i] = found->value;
		slot->tts_isnull[i] = found->is_null;
		if (found->error != NULL)
			slot->tts_values[i] =
				ExecEvalExprSwitchContext(call->function, econtext, &slot->tts_isnull[i]);
	}
	slot_getallattrs(batch->row);
	for (int i = 0; i < n_columns; i++)
	{
		slot->tts_values[batch->n_calls + i] = batch->row->tts_values[i];
		slot->tts_isnull[batch->n_calls + i] = batch->row->tts_isnull[i];
	}
	ExecStoreVirtualTuple(slot);
	econtext->ecxt_scantuple = slot;
	return batch->scan.ss.ps.ps_ProjInfo == NULL ? slot
												 : ExecProject(batch->scan.ss.ps.ps_ProjInfo);
}

static void
end(CustomScanState *node)
{
	BatchScan *batch = (BatchScan *) node;

	forget_rows(batch);
	for (int i = 0; i < batch->n_calls; i++)
		if (batch->calls[i].held != NULL)
			gpt_cache_release(batch->calls[i].held);
	ExecEndNode(outerPlanState(node));
}

static void
rescan(CustomScanState *node)
{
	BatchScan *batch = (BatchScan *) node;

	forget_rows(batch);
	batch->exhausted = false;
	batch->n_read = 0;
	batch->limit = batch->limits == NIL ? -1 : -2;
	if (outerPlanState(node)->chgParam == NULL)
		ExecReScan(outerPlanState(node));
}

static void
explain(CustomScanState *node, List *ancestors, ExplainState *state)
{
	BatchScan *batch = (BatchScan *) node;

	if (!state->analyze)
		return;
	ExplainPropertyInteger("Batches", NULL, batch->n_batches, state);
	ExplainPropertyInteger("Tokens", NULL, batch->totals.tokens, state);
	if (state->timing && batch->totals.seconds > 0)
		ExplainPropertyFloat("Tokens per Second", NULL,
							 (double) batch->totals.tokens / batch->totals.seconds, 0, state);
}
