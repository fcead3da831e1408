/*
 * src/serve/batching_parts.h
 *
 * What the files of transparent batching share: a statement is walked (batching.c), its plan gets
 * nodes (batching_place.c) whose steps are cut from expressions (batching_cut.c); the node runs
 * them (batching_scan.c, batching_step.c) for as many rows as are wanted (batching_bound.c).
 */
#ifndef GPT_BATCHING_PARTS_H
#define GPT_BATCHING_PARTS_H

#include "access/parallel.h"
#include "nodes/execnodes.h"
#include "nodes/extensible.h"
#include "nodes/plannodes.h"
#include "serve/call.h"

/*
 * src/serve/batching_kind.c: the number of a call's kind, for one text or conversation and any
 * expression that names a model; -1 for anything else. _kind: the kind of that number.
 */
extern void gpt_batch_kinds_init(const GptCallKind *const *batched);
extern int gpt_batch_kind_of(const Node *node);
extern const GptCallKind *gpt_batch_kind(int number);

/* Whether the plan depends on a function of these kinds; else it has no such call. */
extern bool gpt_batch_may_call(const PlannedStmt *statement);

/* Whether the expression has such a call; those in arguments of aggregates belong to their node. */
extern bool gpt_batch_has_call(Node *node);

/*
 * How far a node may read ahead: as many rows as are certainly read in any case. Each bound counts
 * rows that are still wanted somewhere above, where each of them needs at least one of the node's.
 */
typedef struct GptBatchBound
{
	bool one; /* nothing is certain but the next row */
	bool first_alone; /* the first row may be the only one (a hash join that finds nothing) */
	bool run; /* rows that this run of the executor is asked for */
	bool one_of_run; /* as `one` if this run is asked for some rows only */
	List *limits; /* int: plan_node_id of Limit nodes */
} GptBatchBound;

/*
 * A plan node's CustomScan. The plan below gives columns, of OUTER_VAR; the results of calls are
 * the scan tuple, of INDEX_VAR: custom_scan_tlist has the calls, in the order of their steps.
 * custom_exprs is a list of steps, in the order of evaluation: each a list of a call or a condition
 * of rows, and its guard, a list of conditions (AND) under which plain execution reaches the call.
 * All of them may refer to results of earlier steps. custom_private: the kinds of the steps
 * (GPT_BATCH_FILTER: a condition), and the bound.
 */
#define GPT_BATCH_FILTER (-1)
/* a condition that guards refer to: its value is a result */
#define GPT_BATCH_CONDITION (-2)

extern const CustomScanMethods gpt_batch_methods;

/* src/serve/batching_cut.c: expressions become steps of a node. */
typedef struct GptCut
{
	List *columns; /* TargetEntry: what the plan below gives */
	bool fixed; /* expressions refer to these columns already; else leaves become columns */
	bool closed; /* no more steps: results that are there take the place of equal calls */
	List *kinds; /* int, of each step */
	List *steps; /* list of expression and guard */
	List *calls; /* FuncExpr or conditions: the results, in their order */
} GptCut;

/*
 * The expression above the steps: results stand in place of calls, columns in place of leaves.
 * guard: conditions that such expressions already are. Calls that cannot be taken out stay.
 * _filter adds a condition of rows. _column returns a reference to a column with the expression's
 * value.
 */
extern Node *gpt_cut_expression(GptCut *cut, Node *node, List *guard);
extern void gpt_cut_filter(GptCut *cut, Node *condition);
extern Node *gpt_cut_column(GptCut *cut, Node *expression);

/*
 * src/serve/batching_volatile.c: whether something is computed anew each time, other than calls of
 * models. Functions of users may do anything, those of the server only depend on the order.
 */
typedef enum GptVolatile
{
	GPT_VOLATILE_NOT,
	GPT_VOLATILE_SERVER,
	GPT_VOLATILE_USER,
} GptVolatile;

extern GptVolatile gpt_batch_volatile(Node *node, const PlannedStmt *statement);
/* Of all nodes from this one down; expressions of the node alone. */
extern GptVolatile gpt_batch_volatile_plan(Plan *plan, const PlannedStmt *statement);
extern GptVolatile gpt_batch_volatile_node(Plan *plan, const PlannedStmt *statement);

/*
 * The expressions of a node, apart from its target list and qual, that the walks of this room have
 * to see; NULL elements are possible.
 */
extern List *gpt_batch_expressions(Plan *plan);
/* The places of the plans below a node that this room knows: of Plan *. */
extern List *gpt_batch_children(Plan *plan);

/* A subplan's bound: that of all places that read it. */
typedef struct GptBatchSubplan
{
	bool is_read;
	GptBatchBound bound;
	bool is_parallel;
	bool is_repeated; /* with parameters of a row */
} GptBatchSubplan;

/* The walk over a statement's plans. */
typedef struct GptBatchWalk
{
	PlannedStmt *statement;
	GptBatchSubplan *subplans; /* [n] */
	bool is_cursor; /* which may be scrolled */
	int last_node_id;
	int n_nodes; /* that were put into the plans */
	double cost; /* of their calls */
} GptBatchWalk;

/* What stands above the place of a plan. */
typedef struct GptBatchAbove
{
	GptBatchBound bound;
	bool is_volatile; /* functions above run between the rows of this place */
	bool is_parallel; /* below Gather */
	bool
		is_repeated; /* run again and again, where equal calls may be saved without reading ahead */
	bool is_marked; /* a merge join goes back to rows: no node here */
} GptBatchAbove;

/*
 * src/serve/batching_place.c: puts nodes into the statement's plans; the cost of their calls, or
 * less than 0 if it put none.
 */
extern double gpt_batch_place(PlannedStmt *statement, int cursor_options);

/*
 * src/serve/batching_node.c: the node of the steps over a plan, without its list; and the list.
 * What has no calls is computed below, unless conditions above have to pass first (is_filtered) or
 * its order matters. Constants stay: a dropped column of a table that is inserted into must be one.
 */
extern List *gpt_batch_cut_list(GptCut *cut, List *list, bool is_filtered,
								const PlannedStmt *statement);
extern CustomScan *gpt_batch_node(GptCut *cut, Plan *below, GptBatchWalk *walk,
								  const GptBatchAbove *above);

/*
 * src/serve/batching_between.c: a node over a plan that passes its columns on, with results behind
 * them; _columns: an expression of the steps as the plan above the node sees it. _outer_keys and
 * _inner_keys put such nodes below a hash join; above: of the plan below.
 */
extern Plan *gpt_batch_between(GptCut *cut, Plan *below, GptBatchWalk *walk,
							   const GptBatchAbove *above);
extern Node *gpt_batch_columns(Node *node, int n_columns);
extern void gpt_batch_outer_keys(HashJoin *join, GptBatchWalk *walk, const GptBatchAbove *above);
extern void gpt_batch_inner_keys(HashJoin *join, GptBatchWalk *walk, const GptBatchAbove *above);

/*
 * src/serve/batching_returning.c: the node over ModifyTable, whose RETURNING calls models; or
 * ModifyTable as it is.
 */
extern Plan *gpt_batch_returning(ModifyTable *table, GptBatchWalk *walk,
								 const GptBatchAbove *above);

/*
 * src/serve/batching_merge.c: a node below ModifyTable, for calls in actions of MERGE. above: of
 * the plan below.
 */
extern void gpt_batch_merge(ModifyTable *table, GptBatchWalk *walk, const GptBatchAbove *above);

/*
 * src/serve/batching_aggregate.c: puts a node between Agg or WindowAgg and the plan below it, so
 * that arguments and filters of aggregates refer to its columns. above: of the plan below.
 */
extern void gpt_batch_aggregates(Plan *plan, GptBatchWalk *walk, const GptBatchAbove *above);

/* src/serve/batching_bound.c: the rows that are wanted now, at least 1. */
typedef struct GptBatchWanted GptBatchWanted;

extern void gpt_batch_bound_init(void);
extern List *gpt_batch_bound_write(const GptBatchBound *bound);
extern GptBatchWanted *gpt_batch_wanted_begin(const List *bound, EState *estate);
extern int64 gpt_batch_wanted(GptBatchWanted *wanted, bool is_first);
/* The node directly above; NULL: it is not known. */
extern PlanState *gpt_batch_parent(const GptBatchWanted *wanted, PlanState *node);

/*
 * src/serve/batching_memo.c: answers by arguments, in the memory context that is current at
 * _begin; NULL for a function that is volatile. n_calls: of the node, which share the memory.
 * _batch begins a batch: a memo that is full is emptied, or ended where it did not help. _find
 * returns the place of the value for the arguments, all detoasted; whoever finds it not asked asks
 * and sets `place`. _keep: the answer, unless it is an error or bounded.
 */
#define GPT_BATCH_KNOWN (-1)
#define GPT_BATCH_NOT_ASKED (-2)

typedef struct GptBatchValue
{
	int place; /* among the calls of the present batch, or one of these */
	bool is_null;
	Datum value;
} GptBatchValue;

typedef struct GptBatchMemo GptBatchMemo;

extern GptBatchMemo *gpt_batch_memo_begin(FuncExpr *call, int n_calls);
extern void gpt_batch_memo_batch(GptBatchMemo **memo);
extern GptBatchValue *gpt_batch_memo_find(GptBatchMemo *memo, FunctionCallInfo fcinfo);
extern void gpt_batch_memo_keep(GptBatchMemo *memo, GptBatchValue *value, const GptAnswer *answer);

/* src/serve/batching_step.c: a step as it is executed. */
typedef struct GptBatchStep
{
	const GptCallKind *kind; /* NULL: a condition */
	bool drops; /* a condition of rows; else its value is a result */
	ExprState *guard; /* NULL: none */
	ExprState *expression; /* the call as it stands in the query, or the condition */
	int result; /* number of the call */
	char *model; /* NULL: the first argument names it for each row */
	List *arguments; /* ExprState */
	bool copies; /* values of arguments may not outlive those of the next row */
	FmgrInfo info;
	FunctionCallInfo fcinfo;
	/* keeps a model and common prefixes of its family until the end */
	const GptServed *held;
	GptBatchMemo *memo; /* or NULL */
	struct GptBatchNeed *need; /* or NULL */
} GptBatchStep;

/* A row that was read. */
typedef struct GptBatchRow
{
	MinimalTuple tuple; /* of the plan below */
	ItemPointerData place; /* in the table that is scanned below, or invalid */
	Datum *values; /* results so far */
	bool *nulls;
	int n_done; /* steps; fewer than all where a call failed */
	bool dropped; /* by a condition */
} GptBatchRow;

typedef struct GptBatch
{
	CustomScanState scan;
	int n_steps;
	int n_calls;
	GptBatchStep *steps;
	GptBatchWanted *wanted;
	bool exhausted;
	bool is_first;

	MemoryContext context; /* of the rows that are read, and their results */
	GptBatchRow *rows;
	int n_rows;
	int next; /* of them */
	TupleTableSlot *row;
	ScanState *source; /* the scan directly below, or NULL */
	struct GptBatchKept *kept; /* of a cursor that may be scrolled, or NULL */

	struct GptBatchShared *shared; /* counts of workers, or NULL */
	GptCallTotals totals;
	int64 n_batches;
	int64 n_repeated; /* calls that were answered before */
	int64 n_bounded; /* calls whose text was not read to its end */
} GptBatch;

/* src/serve/batching_shared.c: methods of the node in a parallel plan. */
extern Size gpt_batch_shared_size(CustomScanState *node, ParallelContext *context);
extern void gpt_batch_shared_begin(CustomScanState *node, ParallelContext *context, void *memory);
extern void gpt_batch_shared_again(CustomScanState *node, ParallelContext *context, void *memory);
extern void gpt_batch_shared_attach(CustomScanState *node, shm_toc *toc, void *memory);
extern void gpt_batch_shared_end(CustomScanState *node);

/*
 * src/serve/batching_need.c: which results of a step need not be exact. _begin: after all steps are
 * there; NULL: all need be. _rows: how many of n rows to read next. _update before the step is run
 * for a batch, for which _now then says it; _lasts: and it says the same for every batch; _keep
 * after all steps. _forget before a rescan.
 */
typedef struct GptBatchNeed GptBatchNeed;

extern GptBatchNeed *gpt_batch_need_begin(GptBatch *batch, int number);
extern int gpt_batch_need_rows(GptBatch *batch, int n);
extern void gpt_batch_need_update(GptBatchNeed *need, GptBatch *batch);
extern const GptNeed *gpt_batch_need_now(const GptBatchNeed *need);
extern bool gpt_batch_need_lasts(const GptBatchNeed *need);
extern void gpt_batch_need_keep(GptBatch *batch);
extern void gpt_batch_need_forget(GptBatch *batch);

/*
 * src/serve/batching_keep.c: rows that were returned. _find returns the next of them in the
 * direction of the executor, an empty slot at an end, or NULL: the node has to compute the next row
 * and give it to _row; its place in the table is that of the scan tuple. _none forgets them.
 */
typedef struct GptBatchKept GptBatchKept;

extern GptBatchKept *gpt_batch_keep_begin(GptBatch *batch, EState *estate);
extern TupleTableSlot *gpt_batch_keep_find(GptBatchKept *kept, GptBatch *batch);
extern void gpt_batch_keep_row(GptBatchKept *kept, GptBatch *batch, TupleTableSlot *slot);
extern void gpt_batch_keep_none(GptBatchKept *kept);
extern void gpt_batch_keep_end(GptBatchKept *kept);

extern void gpt_batch_step_init(GptBatch *batch, GptBatchStep *step, List *expressions, int kind);
/* Runs the step for all rows that are left. */
extern void gpt_batch_step_run(GptBatch *batch, int number);
/*
 * Runs the steps that are left for the row alone, each call as its function, so that it raises its
 * error; false where a condition drops the row.
 */
extern bool gpt_batch_step_finish(GptBatch *batch, GptBatchRow *row);
/* Makes the row the one that expressions read. */
extern void gpt_batch_load(GptBatch *batch, const GptBatchRow *row);

#endif /* GPT_BATCHING_PARTS_H */
