/*
 * src/serve/batching_step.c
 *
 * The steps of a node GptBatch: a condition drops rows, a call is answered for all rows that are
 * left and whose guard holds.
 *
 * A call that fails has no result here, and its row goes no further: when the row is handed on, the
 * function itself is called for it, and raises its error.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

#include "core/bridge.h"
#include "serve/batching_parts.h"

/* The calls of a step in a batch, and the rows that wait for them. */
typedef struct Asked
{
	GptCall *calls;
	const char **models; /* their names */
	GptBatchValue **values; /* where the answer is kept, or NULL */
	int n;
	GptBatchRow **rows;
	int *places; /* of the rows' calls */
	int n_rows;
} Asked;

static void test_rows(GptBatch *batch, int number);
static void test_row(GptBatch *batch, GptBatchStep *step, GptBatchRow *row);
static void answer(GptBatch *batch, int number);
static bool is_next(const GptBatchRow *row, int step);
static Datum copy_value(Datum value, Oid type);
static bool read_arguments(GptBatch *batch, GptBatchStep *step);
static void ask(Asked *asked, GptBatch *batch, GptBatchStep *step, GptBatchRow *row);
static bool read_call(GptCall *call, GptBatchStep *step, bool *failed);
static void set_answers(GptBatch *batch, GptBatchStep *step, const Asked *asked);

/* A call is prepared twice: to read its arguments, and to evaluate it alone after an error. */
void
gpt_batch_step_init(GptBatch *batch, GptBatchStep *step, List *expressions, int kind)
{
	PlanState *parent = &batch->scan.ss.ps;
	FuncExpr *call = linitial(expressions);
	int n;

	if (lsecond(expressions) != NULL)
		step->guard = ExecInitQual(lsecond(expressions), parent);
	if (kind == GPT_BATCH_FILTER)
	{
		step->expression = ExecInitQual(list_make1(call), parent);
		step->drops = true;
		return;
	}
	step->result = batch->n_calls++;
	if (kind == GPT_BATCH_CONDITION)
	{
		step->expression = ExecInitExpr((Expr *) call, parent);
		return;
	}
	n = list_length(call->args);
	step->kind = gpt_batch_kind(kind);
	if (IsA(linitial(call->args), Const))
		step->model = TextDatumGetCString(linitial_node(Const, call->args)->constvalue);
	step->expression = ExecInitExpr((Expr *) call, parent);
	step->arguments = ExecInitExprList(call->args, parent);
	step->copies = contain_subplans((Node *) call->args);
	fmgr_info(call->funcid, &step->info);
	fmgr_info_set_expr((Node *) call, &step->info);
	step->memo =
		gpt_batch_memo_begin(call, list_length(((CustomScan *) parent->plan)->custom_scan_tlist));
	step->fcinfo = palloc0(SizeForFunctionCallInfo(n));
	InitFunctionCallInfoData(*step->fcinfo, &step->info, n, call->inputcollid, NULL, NULL);
}

void
gpt_batch_step_run(GptBatch *batch, int number)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->context);

	if (batch->steps[number].kind == NULL)
		test_rows(batch, number);
	else
		answer(batch, number);
	MemoryContextSwitchTo(caller);
}

static void
test_rows(GptBatch *batch, int number)
{
	ExprContext *econtext = batch->scan.ss.ps.ps_ExprContext;

	for (int i = 0; i < batch->n_rows; i++)
	{
		GptBatchRow *row = &batch->rows[i];

		if (!is_next(row, number))
			continue;
		gpt_batch_load(batch, row);
		test_row(batch, &batch->steps[number], row);
		row->n_done++;
		ResetExprContext(econtext);
	}
}

/* The condition of the present row. */
static void
test_row(GptBatch *batch, GptBatchStep *step, GptBatchRow *row)
{
	ExprContext *econtext = batch->scan.ss.ps.ps_ExprContext;

	if (step->drops)
		row->dropped = !ExecQual(step->expression, econtext);
	else if (step->guard == NULL || ExecQual(step->guard, econtext))
		row->values[step->result] =
			ExecEvalExprSwitchContext(step->expression, econtext, &row->nulls[step->result]);
}

/* Whether the step is the next one of a row that is left. */
static bool
is_next(const GptBatchRow *row, int step)
{
	return !row->dropped && row->n_done == step;
}

static void
answer(GptBatch *batch, int number)
{
	GptBatchStep *step = &batch->steps[number];
	ExprContext *econtext = batch->scan.ss.ps.ps_ExprContext;
	Asked asked = {
		.calls = palloc(batch->n_rows * sizeof(GptCall)),
		.models = palloc(batch->n_rows * sizeof(char *)),
		.values = palloc(batch->n_rows * sizeof(GptBatchValue *)),
		.rows = palloc(batch->n_rows * sizeof(GptBatchRow *)),
		.places = palloc(batch->n_rows * sizeof(int)),
	};

	gpt_batch_memo_batch(&step->memo);
	if (step->need != NULL)
		gpt_batch_need_update(step->need, batch);
	for (int i = 0; i < batch->n_rows; i++)
	{
		GptBatchRow *row = &batch->rows[i];

		if (!is_next(row, number))
			continue;
		gpt_batch_load(batch, row);
		row->n_done++;
		if ((step->guard == NULL || ExecQual(step->guard, econtext)) && read_arguments(batch, step))
			ask(&asked, batch, step, row);
		ResetExprContext(econtext);
	}
	if (asked.n > 0)
		set_answers(batch, step, &asked);
	pfree(asked.calls);
	pfree(asked.models);
	pfree(asked.values);
	pfree(asked.rows);
	pfree(asked.places);
}

static Datum
copy_value(Datum value, Oid type)
{
	int16 length;
	bool by_value;

	get_typlenbyval(type, &length, &by_value);
	return datumCopy(value, by_value, length);
}

/* The arguments of the present row; false where a NULL is the result. */
static bool
read_arguments(GptBatch *batch, GptBatchStep *step)
{
	ExprContext *econtext = batch->scan.ss.ps.ps_ExprContext;
	ListCell *cell;
	int i = 0;

	foreach (cell, step->arguments)
	{
		NullableDatum *argument = &step->fcinfo->args[i];
		Oid type = get_fn_expr_argtype(&step->info, i++);

		argument->value = ExecEvalExpr((ExprState *) lfirst(cell), econtext, &argument->isnull);
		if (argument->isnull && step->info.fn_strict)
			return false;
		/* A subplan frees its last value. */
		if (step->copies && !argument->isnull)
			argument->value = copy_value(argument->value, type);
		/*
		 * Detoasts here, because the block below catches errors of arguments only, which leave
		 * nothing open.
		 */
		if (!argument->isnull && OidIsValid(type) && get_typlen(type) == -1)
			argument->value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(argument->value));
	}
	return !step->fcinfo->args[0].isnull;
}

/* Takes the row's call in, unless an equal one is there. Any error marks the row. */
static void
ask(Asked *asked, GptBatch *batch, GptBatchStep *step, GptBatchRow *row)
{
	GptBatchValue *value = NULL;
	bool failed = false;

	if (step->memo != NULL)
		value = gpt_batch_memo_find(step->memo, step->fcinfo);
	if (value != NULL && value->place == GPT_BATCH_KNOWN)
	{
		row->values[step->result] = value->value;
		row->nulls[step->result] = value->is_null;
		batch->n_repeated++;
		return;
	}
	if (value == NULL || value->place == GPT_BATCH_NOT_ASKED)
	{
		if (!read_call(&asked->calls[asked->n], step, &failed))
		{
			row->n_done -= failed ? 1 : 0;
			return;
		}
		asked->models[asked->n] =
			step->model != NULL ? step->model : TextDatumGetCString(step->fcinfo->args[0].value);
		if (step->need != NULL)
			asked->calls[asked->n].need = *gpt_batch_need_now(step->need);
		asked->values[asked->n] = value;
		if (value != NULL)
			value->place = asked->n;
		asked->places[asked->n_rows] = asked->n++;
	}
	else
	{
		asked->places[asked->n_rows] = value->place;
		batch->n_repeated++;
	}
	asked->rows[asked->n_rows++] = row;
}

/* Reads the call from the arguments; false where it is NULL or *failed. */
static bool
read_call(GptCall *call, GptBatchStep *step, bool *failed)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool is_asked = false;

	PG_TRY();
	{
		is_asked = step->kind->read(call, step->fcinfo);
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
 * Names are resolved and privileges checked for each batch; a model is held until the end.
 */
static void
set_answers(GptBatch *batch, GptBatchStep *step, const Asked *asked)
{
	GptAnswer *found = palloc(asked->n * sizeof(GptAnswer));

	gpt_bridge_check_encoding();
	gpt_call_answer_models(found, step->kind, asked->models, asked->calls, asked->n, step->fcinfo,
						   &step->held, batch->scan.ss.ps.state->es_query_cxt, &batch->totals);
	for (int i = 0; i < asked->n; i++)
	{
		batch->n_bounded += found[i].bounded;
		found[i].bounded = found[i].bounded && !gpt_batch_need_lasts(step->need);
		if (asked->values[i] != NULL)
			gpt_batch_memo_keep(step->memo, asked->values[i], &found[i]);
	}
	for (int i = 0; i < asked->n_rows; i++)
	{
		GptBatchRow *row = asked->rows[i];
		const GptAnswer *of_row = &found[asked->places[i]];

		row->values[step->result] = of_row->value;
		row->nulls[step->result] = of_row->is_null;
		if (of_row->error != NULL)
			row->n_done--;
	}
	pfree(found);
}

bool
gpt_batch_step_finish(GptBatch *batch, GptBatchRow *row)
{
	ExprContext *econtext = batch->scan.ss.ps.ps_ExprContext;

	while (row->n_done < batch->n_steps)
	{
		GptBatchStep *step = &batch->steps[row->n_done++];
		MemoryContext caller;

		gpt_batch_load(batch, row);
		if (step->kind == NULL)
			test_row(batch, step, row);
		if (row->dropped)
			return false;
		if (step->kind == NULL || (step->guard != NULL && !ExecQual(step->guard, econtext)))
			continue;
		caller = MemoryContextSwitchTo(batch->context);
		row->values[step->result] =
			ExecEvalExpr(step->expression, econtext, &row->nulls[step->result]);
		MemoryContextSwitchTo(caller);
	}
	return true;
}
