/*
 * src/serve/batching_need.c
 *
 * Which results of a call need not be exact: those that the next condition drops or lets pass
 * whatever they are exactly, and those that a sort below a LIMIT will not return.
 *
 *   gpt_score(m, x) < 5     as a condition right after the call: what is above 5 only has to be
 *                           above 5. What is below 5 only has to be that if nothing else reads it.
 *   ORDER BY gpt_score(m, x) LIMIT 20    what is above the 20 least so far is not returned
 *
 * So a text of which as much is certain is not read to its end. Values that are equal to a bound
 * are exact: further sort keys and the order of equal rows stay as they are.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_operator_d.h"
#include "executor/executor.h"
#include "lib/binaryheap.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"

#include "serve/batching_parts.h"

#define MOST_KEPT 65536 /* rows of a LIMIT */
#define FLOAT8_GREATER_OPERATOR 674 /* pg_operator.dat has no name for it */
#define LEAST_READ 64 /* rows, to begin with */

/* A condition on the result. */
typedef struct Comparison
{
	ExprState *value; /* what the result is compared with */
	bool is_less; /* it is true of lower results */
	bool is_alone; /* nothing else reads the result */
} Comparison;

struct GptBatchNeed
{
	int result; /* number of the call's result */
	List *comparisons;

	/* of a sort directly above, whose first key the result is */
	const SortState *sort;
	bool is_descending;
	bool nulls_first;
	bool is_looked_for;
	binaryheap *kept; /* the results that come first so far, the last of them on top; or NULL */
	int64 n_nulls; /* that come before all others */

	GptNeed now; /* of the batch */
};

static Comparison *read_comparison(GptBatch *batch, int result, Node *condition);
static int count_uses(CustomScan *plan, int result);
static void find_sort(GptBatchNeed *need, GptBatch *batch);
static void need_of_sort(GptNeed *now, GptBatchNeed *need);
static int64 n_wanted(const GptBatchNeed *need);

/* ---- Uses of a result -------------------------------------------------- */

static bool
is_result(const Node *node, int result)
{
	return node != NULL && IsA(node, Var) && ((const Var *) node)->varno == INDEX_VAR &&
		   ((const Var *) node)->varattno == result + 1;
}

typedef struct Uses
{
	int result;
	int n;
} Uses;

static bool
add_uses(Node *node, void *context)
{
	Uses *uses = context;

	if (node == NULL)
		return false;
	uses->n += is_result(node, uses->result);
	return expression_tree_walker(node, add_uses, context);
}

/* ---- Conditions --------------------------------------------------------- */

GptBatchNeed *
gpt_batch_need_begin(GptBatch *batch, int number)
{
	CustomScan *plan = (CustomScan *) batch->scan.ss.ps.plan;
	int result = batch->steps[number].result;
	GptBatchNeed *need;

	if (batch->steps[number].kind->bound == NULL)
		return NULL;
	need = palloc0(sizeof(GptBatchNeed));
	need->result = result;
	for (int i = number + 1; i < batch->n_steps && batch->steps[i].drops; i++)
	{
		Node *condition = linitial(list_nth(plan->custom_exprs, i));
		Comparison *comparison = read_comparison(batch, result, condition);
		Uses uses = {result, 0};

		if (comparison != NULL)
			need->comparisons = lappend(need->comparisons, comparison);
		else if (add_uses(condition, &uses) || uses.n > 0)
			break;
	}
	if (list_length(need->comparisons) == 1 && count_uses(plan, result) == 1)
		((Comparison *) linitial(need->comparisons))->is_alone = true;
	return need;
}

/* A comparison of the result with something that is the same for all rows; NULL: it is none. */
static Comparison *
read_comparison(GptBatch *batch, int result, Node *condition)
{
	OpExpr *operation = (OpExpr *) condition;
	Comparison *comparison;
	bool is_left;
	Node *value;
	Oid function;

	if (IsA(condition, List) && list_length((List *) condition) == 1)
		operation = linitial((List *) condition);
	if (!IsA(operation, OpExpr) || list_length(operation->args) != 2)
		return NULL;
	is_left = is_result(linitial(operation->args), result);
	if (!is_left && !is_result(lsecond(operation->args), result))
		return NULL;
	value = is_left ? lsecond(operation->args) : linitial(operation->args);
	function = operation->opfuncid;
	if ((function != F_FLOAT8LT && function != F_FLOAT8LE && function != F_FLOAT8GT &&
		 function != F_FLOAT8GE) ||
		!(IsA(value, Const) || (IsA(value, Param) && ((Param *) value)->paramkind == PARAM_EXTERN)))
		return NULL;
	comparison = palloc0(sizeof(Comparison));
	comparison->value = ExecInitExpr((Expr *) value, &batch->scan.ss.ps);
	comparison->is_less = (function == F_FLOAT8LT || function == F_FLOAT8LE) == is_left;
	return comparison;
}

/* How often steps and the list read the result. */
static int
count_uses(CustomScan *plan, int result)
{
	Uses uses = {result, 0};

	(void) add_uses((Node *) plan->custom_exprs, &uses);
	(void) add_uses((Node *) plan->scan.plan.targetlist, &uses);
	return uses.n;
}

/* ---- Sorts -------------------------------------------------------------- */

/*
 * The node's list may compute something of the result for a row that is not returned, but then no
 * error must come of it: it may only pass the result on.
 */
static bool
is_passed_on(CustomScan *plan, int result)
{
	ListCell *cell;

	foreach (cell, plan->scan.plan.targetlist)
	{
		Node *expression = (Node *) lfirst_node(TargetEntry, cell)->expr;
		Uses uses = {result, 0};

		if (!is_result(expression, result) && (add_uses(expression, &uses) || uses.n > 0))
			return false;
	}
	return true;
}

/* Whether the other steps only compare the result in the conditions that are known. */
static bool
is_only_compared(CustomScan *plan, const GptBatchNeed *need)
{
	Uses uses = {need->result, 0};

	(void) add_uses((Node *) plan->custom_exprs, &uses);
	return uses.n == list_length(need->comparisons);
}

static int
compare_last_on_top(Datum a, Datum b, void *is_descending)
{
	int order = float8_cmp_internal(DatumGetFloat8(a), DatumGetFloat8(b));

	return *(bool *) is_descending ? -order : order;
}

static void
find_sort(GptBatchNeed *need, GptBatch *batch)
{
	CustomScan *plan = (CustomScan *) batch->scan.ss.ps.plan;
	const SortState *state =
		(const SortState *) gpt_batch_parent(batch->wanted, &batch->scan.ss.ps);
	const Sort *sort;
	TargetEntry *key;

	need->is_looked_for = true;
	if (state == NULL || !IsA(state, SortState))
		return;
	sort = (const Sort *) state->ss.ps.plan;
	key = get_tle_by_resno(plan->scan.plan.targetlist, sort->sortColIdx[0]);
	if (key == NULL || !is_result((Node *) key->expr, need->result) ||
		(sort->sortOperators[0] != Float8LessOperator &&
		 sort->sortOperators[0] != FLOAT8_GREATER_OPERATOR) ||
		!is_passed_on(plan, need->result) || !is_only_compared(plan, need))
		return;
	need->sort = state;
	need->is_descending = sort->sortOperators[0] != Float8LessOperator;
	need->nulls_first = sort->nullsFirst[0];
}

/* How many rows a bounded sort keeps, without those of NULL in front; -1: it keeps all. */
static int64
n_wanted(const GptBatchNeed *need)
{
	if (need->sort == NULL || !need->sort->bounded || need->sort->bound < 1 ||
		need->sort->bound > MOST_KEPT)
		return -1;
	return Max(need->sort->bound - need->n_nulls, 0);
}

static void
need_of_sort(GptNeed *now, GptBatchNeed *need)
{
	int64 n = n_wanted(need);
	double last;

	if (n <= 0 || need->kept == NULL || need->kept->bh_size < n)
		return;
	last = DatumGetFloat8(binaryheap_first(need->kept));
	if (!isfinite(last))
		return;
	if (need->is_descending)
	{
		now->below = now->has_below ? Max(now->below, last) : last;
		now->has_below = true;
	}
	else
	{
		now->above = now->has_above ? Min(now->above, last) : last;
		now->has_above = true;
	}
}

/* ---- A batch ------------------------------------------------------------ */

int
gpt_batch_need_rows(GptBatch *batch, int n)
{
	for (int i = 0; i < batch->n_steps; i++)
	{
		GptBatchNeed *need = batch->steps[i].need;
		int64 wanted;

		if (need == NULL)
			continue;
		if (!need->is_looked_for)
			find_sort(need, batch);
		wanted = n_wanted(need);
		/* The first rows are read to their ends; they need not be more than make a bound. */
		if (wanted > 0 && (need->kept == NULL || need->kept->bh_size < wanted))
			n = (int) Min((int64) n, Max(wanted, LEAST_READ));
	}
	return n;
}

void
gpt_batch_need_update(GptBatchNeed *need, GptBatch *batch)
{
	ExprContext *econtext = batch->scan.ss.ps.ps_ExprContext;
	ListCell *cell;

	need->now = (GptNeed){false};
	foreach (cell, need->comparisons)
	{
		const Comparison *comparison = lfirst(cell);
		bool is_null;
		double value =
			DatumGetFloat8(ExecEvalExprSwitchContext(comparison->value, econtext, &is_null));
		GptNeed *now = &need->now;

		if (is_null || !isfinite(value))
			continue;
		if (comparison->is_less || comparison->is_alone)
		{
			now->above = now->has_above ? Min(now->above, value) : value;
			now->has_above = true;
		}
		if (!comparison->is_less || comparison->is_alone)
		{
			now->below = now->has_below ? Max(now->below, value) : value;
			now->has_below = true;
		}
	}
	need_of_sort(&need->now, need);
}

const GptNeed *
gpt_batch_need_now(const GptBatchNeed *need)
{
	return &need->now;
}

bool
gpt_batch_need_lasts(const GptBatchNeed *need)
{
	return need->sort == NULL;
}

static void
keep(GptBatchNeed *need, double value)
{
	int64 n = n_wanted(need);

	if (n == 0)
		return;
	if (need->kept->bh_size < n)
		binaryheap_add(need->kept, Float8GetDatum(value));
	else if (compare_last_on_top(Float8GetDatum(value), binaryheap_first(need->kept),
								 &need->is_descending) < 0)
		binaryheap_replace_first(need->kept, Float8GetDatum(value));
}

static void
keep_results(GptBatchNeed *need, GptBatch *batch)
{
	if (n_wanted(need) < 0)
		return;
	if (need->kept == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(batch->scan.ss.ps.state->es_query_cxt);

		need->kept =
			binaryheap_allocate((int) need->sort->bound, compare_last_on_top, &need->is_descending);
		MemoryContextSwitchTo(caller);
	}
	for (int i = 0; i < batch->n_rows; i++)
	{
		const GptBatchRow *row = &batch->rows[i];

		if (row->dropped || row->n_done < batch->n_steps)
			continue;
		if (!row->nulls[need->result])
			keep(need, DatumGetFloat8(row->values[need->result]));
		else if (need->nulls_first)
		{
			need->n_nulls++;
			while (need->kept->bh_size > n_wanted(need))
				(void) binaryheap_remove_first(need->kept);
		}
	}
}

void
gpt_batch_need_keep(GptBatch *batch)
{
	for (int i = 0; i < batch->n_steps; i++)
		if (batch->steps[i].need != NULL)
			keep_results(batch->steps[i].need, batch);
}

void
gpt_batch_need_forget(GptBatch *batch)
{
	for (int i = 0; i < batch->n_steps; i++)
	{
		GptBatchNeed *need = batch->steps[i].need;

		if (need == NULL)
			continue;
		if (need->kept != NULL)
			binaryheap_free(need->kept);
		need->kept = NULL;
		need->n_nulls = 0;
	}
}
