/*
 * src/serve/planning_parts.h
 *
 * The parts of planning: what a planning has seen of calls of models, and what is known of a call.
 */
#ifndef GPT_PLANNING_PARTS_H
#define GPT_PLANNING_PARTS_H

#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
#include "serve/planning.h"
#include "store/version_facts.h"
#include "access/htup.h"

/* Functions whose results a version keeps a distribution of. */
typedef enum GptPlannedResult
{
	GPT_PLANNED_OTHER,
	GPT_PLANNED_LABEL,
	GPT_PLANNED_NUMBER,
	GPT_PLANNED_SCORE,
} GptPlannedResult;

/* Where the rows of a set come from. */
typedef enum GptPlannedRows
{
	GPT_ROWS_DECLARED, /* it returns one value, or as many rows as it declares */
	GPT_ROWS_LABELS, /* one for each label of the model */
	GPT_ROWS_TOKENS, /* one for each token of its text */
	GPT_ROWS_GENERATED, /* one for each token that it generates */
	GPT_ROWS_ELEMENTS, /* one for each element of its first text[] */
} GptPlannedRows;

/* A function that calls models: what its calls read, generate and return. */
typedef struct GptPlannedFunction
{
	const char *name;
	int model; /* the argument that names it */
	int n_texts; /* arguments of texts that it reads, from the next one on */
	bool head; /* the probabilities of the next token are computed for each token */
	double passes; /* how often it reads its texts */
	int generated; /* the argument that says how many tokens it generates; 0: none */
	GptPlannedRows rows;
	GptPlannedResult result;
} GptPlannedFunction;

/* A call of such a function: its arguments, without names. */
typedef struct GptPlannedCall
{
	const GptPlannedFunction *function;
	List *arguments; /* Node or, of an aggregate, TargetEntry */
	const GptVersionFacts *facts; /* NULL: the model is not known */
} GptPlannedCall;

/* A model's facts, read once in a planning. */
typedef struct GptPlannedModel
{
	const char *reference;
	const GptVersionFacts *facts; /* or NULL */
} GptPlannedModel;

/* The calls of one level of a query, and what stands for their statistics. */
typedef struct GptPlannedLevel
{
	PlannerInfo *root;
	List *calls; /* FuncExpr */
	List *statistics; /* GptPlannedStatistics */
} GptPlannedLevel;

/* The distribution of a call's results, of rows of one relation. */
typedef struct GptPlannedStatistics
{
	Oid relation; /* the index that is none bears its oid; InvalidOid: a column of the query */
	FuncExpr *call;
	bool made; /* tuple is set */
	HeapTuple tuple; /* a row of pg_statistic, or NULL */
} GptPlannedStatistics;

/* One planning of a statement, with calls of models. It ends with the planner's memory. */
struct GptPlanned
{
	struct GptPlanned *next;
	PlannerGlobal *global; /* tells it from plannings within it */
	MemoryContext context;
	MemoryContextCallback end;
	List *functions; /* oids of functions that were seen */
	List *models; /* GptPlannedModel */
	List *levels; /* GptPlannedLevel */
	List *indexed; /* calls in conditions that an index has the results of */
};

/*
 * src/serve/planning.c: what is known of a planning; NULL: it has no calls. _level: of one of its
 * queries.
 */
extern GptPlanned *gpt_planned_find(const PlannerGlobal *global);
extern GptPlannedLevel *gpt_planned_level(GptPlanned *planned, PlannerInfo *root);

/* src/serve/planning_index.c: gives statistics of a call to a relation, if there are any. */
extern void gpt_planned_index_init(void);
extern void gpt_planned_index_add(GptPlanned *planned, GptPlannedLevel *level, FuncExpr *call,
								  RelOptInfo *rel, Oid relation);

/* src/serve/planning_call.c: the row of a function's table; NULL: it calls no model. */
extern const GptPlannedFunction *gpt_planned_function(Oid function);

/* The call of a FuncExpr, or of an Aggref by its transition function; false if it is none. */
extern bool gpt_planned_call(GptPlannedCall *call, GptPlanned *planned, Node *node);

/*
 * Cost of one call in the planner's units, and rows of a set that it returns; negative: as it is
 * declared. _argument: an argument of the function, or NULL if the call has fewer.
 */
extern Node *gpt_planned_argument(const GptPlannedCall *call, int number);
extern double gpt_planned_cost(const GptPlannedCall *call, PlannerInfo *root);
extern double gpt_planned_rows(const GptPlannedCall *call, PlannerInfo *root);

/* src/serve/planning_width.c: bytes of an expression's value, expected, and elements if it is an
 * array; nulls: the share of NULLs. */
typedef struct GptPlannedWidth
{
	double bytes; /* of all elements */
	double elements;
	double nulls;
} GptPlannedWidth;

extern GptPlannedWidth gpt_planned_width(PlannerInfo *root, Node *expression);

/*
 * src/serve/planning_statistics.c: whether the version keeps anything about the call's results, and
 * the row of pg_statistic for them, in the current context; NULL: none.
 */
extern bool gpt_planned_is_kept(const GptPlannedCall *call);
extern HeapTuple gpt_planned_tuple(const GptPlannedCall *call, PlannerInfo *root);

/*
 * src/serve/planning_cost.c: a plan's cost without that of the nodes' expressions that call models.
 */
extern double gpt_planned_other_cost(const PlannedStmt *statement);

#endif /* GPT_PLANNING_PARTS_H */
