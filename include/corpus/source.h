/*
 * include/corpus/source.h
 *
 * The query that gives the rows of a corpus: checked when it is submitted, read once as a stream.
 */
#ifndef GPT_SOURCE_H
#define GPT_SOURCE_H

#include "core/compat.h"
#include "corpus/label_table.h"

/*
 * The use of a query: names the query in messages, and decides which columns it may have. The
 * columns decide the task:
 *
 *   one text column          language modelling
 *   prompt, completion       language modelling of the completion after its prompt
 *   one text column, label   classification; a label is text, an integer, a boolean or of an enum,
 *                            or an array of text: several
 */
typedef enum GptSourceKind
{
	GPT_SOURCE_TRAIN, /* beside them a number weight and a boolean is_validation, where wanted */
	GPT_SOURCE_VALIDATION, /* beside them a number weight */
	GPT_SOURCE_TOKENIZER, /* one text column */
	GPT_SOURCE_EVALUATE, /* as GPT_SOURCE_VALIDATION */
} GptSourceKind;

typedef struct GptSourceColumn
{
	const char *name;
	Oid type;
} GptSourceColumn;

/* Columns are counted from 1; 0: none. */
typedef struct GptSourceShape
{
	int text_column; /* the completion where there is a prompt */
	int prompt_column;
	int label_column;
	int weight_column;
	int validation_column;
	int watermark_column;
	bool label_is_set; /* an array: rows have several labels, or none */
	Oid label_collation;
	bool ordered; /* ORDER BY at the top level */
	int n_columns;
	GptSourceColumn *columns; /* all of them, palloc'd */
} GptSourceShape;

/*
 * Parses, analyses, rewrites and plans the query as the current role, without running it. Error
 * unless it is one plain SELECT, of permanent relations where a worker reads it, without parameters
 * and row locks, whose columns are named (but for one text), not twice the same, and of an accepted
 * shape; watermark names a column that is there besides (NULL: none). Needs an active snapshot.
 */
extern void gpt_source_check(GptSourceShape *shape, const char *query, GptSourceKind kind,
							 const char *watermark);

/* The task, as gpt_versions.task calls it. */
extern const char *gpt_source_task(const GptSourceShape *shape);

/* As messages call it: "query" or "validation_query". */
extern const char *gpt_source_name(GptSourceKind kind);

/* ---- src/corpus/source_shape.c ------------------------------------------------- */

/* Fills everything of the shape but `ordered`; errors as gpt_source_check. */
struct Query;
extern void gpt_source_shape(GptSourceShape *shape, const struct Query *analysed,
							 GptSourceKind kind, const char *watermark);

/* The type as which values of a watermark's column, whose type is given, are written and read. */
extern Oid gpt_source_watermark_type(Oid type);

/* The value of a watermark of such a column from its text, in the current memory context. */
extern Datum gpt_source_watermark(Oid type, const char *text);

/* Error unless both queries have the same task. */
extern void gpt_source_check_validation(const GptSourceShape *shape,
										const GptSourceShape *validation);

/*
 * Error unless the query's labels are of the kind that a classifier knows: several of a text
 * (multi_label), or one.
 */
extern void gpt_source_check_labels(const GptSourceShape *shape, bool multi_label);

/*
 * How the query's column of labels compares: by the equality of its type where that is stored as
 * text (citext) or has a nondeterministic collation; otherwise by bytes.
 */
extern void gpt_source_label_equality(GptLabelEquality *equality, const GptSourceShape *shape);

/*
 * Error where documents are joined to one stream, in which prompts, labels and weights have no
 * place.
 */
extern void gpt_source_check_joined(const GptSourceShape *shape);

/* ---- src/corpus/source.c, source_read.c --------------------------------------- */

/*
 * One row; the text lives until the callback returns. Text, prompt and labels are what the cast of
 * their values to text gives.
 */
typedef struct GptSourceRow
{
	uint64 number; /* in the order of the query, from 1 */
	const char *text; /* NULL for a null */
	size_t size;
	const char *prompt; /* NULL for a null, and where there is no such column */
	size_t prompt_size;
	/*
	 * the one label, or those of the array, as they stand there without its nulls; NULL for a null,
	 * and where there is no such column
	 */
	const char *const *labels;
	int n_labels; /* at most LM_MAX_LABELS */
	double weight; /* 1 for a null, and where there is no such column; not negative */
	bool validation; /* false for a null */
	/* 0 where there is no such column; has_watermark is then false, as for a null */
	Datum watermark;
	bool has_watermark;
	const struct FormData_pg_attribute *watermark_attribute;
} GptSourceRow;

#define GPT_LABEL_SIZE 255 /* bytes of one, at most */

typedef void (*GptSourceCallback)(void *context, const GptSourceRow *row);

/*
 * A query that is ready to be run once, under the active snapshot with which it was opened. Lives
 * in the memory context that was current then.
 */
typedef struct GptSource
{
	GptSourceShape shape;
	GptSourceKind kind;
	const char *query; /* as it was given */
	struct PlannedStmt *plan;
	MemoryContext context; /* of all of it */
} GptSource;

/*
 * Checks the query as gpt_source_check does, and plans it. since: only rows whose watermark is
 * greater than this text are read; NULL: all.
 */
extern void gpt_source_open(GptSource *source, const char *query, GptSourceKind kind,
							const char *watermark, const char *since);

/*
 * Runs the query read-only under the active snapshot and calls back for each row, in a memory
 * context that is reset after each. Error when it takes longer than gpt.read_timeout (not for
 * GPT_SOURCE_EVALUATE), which is looked at between rows: who cannot rely on statement_timeout arms
 * a timeout of his own.
 */
extern void gpt_source_run(const GptSource *source, GptSourceCallback callback, void *context);

extern void gpt_source_close(GptSource *source);

/* Opens, runs and closes a query. */
extern void gpt_source_read(const char *query, GptSourceKind kind, GptSourceCallback callback,
							void *context);

/* ---- src/corpus/source_skip.c -------------------------------------------------- */

typedef enum GptSkip
{
	GPT_SKIP_NONE,
	GPT_SKIP_TEXT,
	GPT_SKIP_PROMPT,
	GPT_SKIP_LABEL,
	GPT_SKIP_WEIGHT,
	GPT_SKIP_TOKENS, /* counted by who reads them */
	GPT_N_SKIPS
} GptSkip;

typedef struct GptSkipped
{
	int64 n[GPT_N_SKIPS]; /* rows by reason */
} GptSkipped;

/*
 * Why a row says nothing, counted (unless skipped is NULL); prompted, labelled: the query has a
 * column for it.
 */
extern GptSkip gpt_source_skip(GptSkipped *skipped, const GptSourceRow *row, bool prompted,
							   bool labelled);

/* Raises the error of a query that returned no row, or only such. */
pg_noreturn extern void gpt_source_raise_skipped(const char *query_name, const GptSkipped *skipped);

#endif /* GPT_SOURCE_H */
