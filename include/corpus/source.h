/*
 * include/corpus/source.h
 *
 * The query that gives the rows of a corpus: checked when it is submitted, read once as a stream.
 */
#ifndef GPT_SOURCE_H
#define GPT_SOURCE_H

#include "nodes/pg_list.h"

#include "core/clean_options.h"
#include "core/compat.h"
#include "corpus/label_table.h"
#include "corpus/source_task.h"
#include "engine/config.h"

/*
 * The use of a query: names the query in messages, and decides which columns it may have. The
 * columns decide the task:
 *
 *   one text column             language modelling
 *   prompt, completion          language modelling of the completion after its prompt
 *   messages                    json or jsonb: language modelling of the assistant's answers in a
 *                               conversation
 *   prompt, chosen, rejected    preference: two answers, of which the first is better
 *   query, positive             retrieval: a text, and what should be found for it; optional
 *                               negative: what should not, though it looks alike
 *   one text column, label      classification; a label is text, an integer, a boolean or of an
 *                               enum, or an array of text: several; regression: a label is real,
 *                               double precision or numeric
 *   two text columns, label     the same of a pair
 */
typedef enum GptSourceKind
{
	GPT_SOURCE_TRAIN, /* optional besides: a number weight, a boolean is_validation */
	GPT_SOURCE_VALIDATION, /* optional besides: a number weight */
	GPT_SOURCE_TOKENIZER, /* one text column */
	GPT_SOURCE_EVALUATE, /* as GPT_SOURCE_VALIDATION */
	GPT_SOURCE_COMPARE, /* the same, of gpt_compare */
	GPT_SOURCE_DRIFT, /* the same, of gpt_drift, and its ... */
	GPT_SOURCE_REFERENCE, /* ... argument "reference" */
} GptSourceKind;

/* Whether the query runs in the session that gives it; others run in a worker. */
static inline bool
gpt_source_runs_here(GptSourceKind kind)
{
	return kind >= GPT_SOURCE_EVALUATE;
}

/* A column of a query. */
typedef struct GptSourceColumn
{
	const char *name;
	Oid type;
} GptSourceColumn;

/* The columns of a query by their roles. Columns are counted from 1; 0 means none. */
typedef struct GptSourceShape
{
	const GptTask *task;
	int text_column; /* the completion where there is a prompt, the chosen answer, or the query */
	int prompt_column;
	int other_column; /* the second text of a pair, the rejected answer, or the positive */
	int third_column; /* the negative */
	int messages_column; /* then there is no text column */
	int label_column;
	int number_column; /* "label" too, of regression; then there is no label_column */
	int weight_column;
	int validation_column;
	int watermark_column;
	bool label_is_set; /* an array: rows have several labels, or none */
	Oid label_collation;
	bool ordered; /* ORDER BY at the top level */
	List *foreign_tables; /* Oid: those that the plan reads, also as partitions */
	int n_columns;
	GptSourceColumn *columns; /* all of them, palloc'd */
} GptSourceShape;

/*
 * Parses, analyses, rewrites and plans the query as the current role, without running it. Raises an
 * error unless it is one plain SELECT without parameters and row locks; the relations must be
 * permanent if a worker will read it. Its columns must be named (except a single text column),
 * distinct, and of an accepted shape. watermark: the name of a further column, or NULL. Needs an
 * active snapshot.
 */
extern void gpt_source_check(GptSourceShape *shape, const char *query, GptSourceKind kind,
							 const char *watermark);

/* The task of the shape, as in gpt_versions.task. */
extern const char *gpt_source_task(const GptSourceShape *shape);

/* ---- src/corpus/source_role.c -------------------------------------------------- */

/* The name of the query in messages: "query" or "validation_query". */
extern const char *gpt_source_name(GptSourceKind kind);

/* ---- src/corpus/source_shape.c ------------------------------------------------- */

/* Fills the whole shape except `ordered` and `foreign_tables`; errors as gpt_source_check. */
struct Query;
extern void gpt_source_shape(GptSourceShape *shape, const struct Query *analysed,
							 GptSourceKind kind, const char *watermark);

/* The type that values of a watermark column of this type are written and read as. */
extern Oid gpt_source_watermark_type(Oid type);

/* Reads the watermark of a column of this type from its text; in the current memory context. */
extern Datum gpt_source_watermark(Oid type, const char *text);

/* ---- src/corpus/source_check.c ------------------------------------------------- */

/* Raises an error unless both queries have the same task. */
extern void gpt_source_check_validation(const GptSourceShape *shape,
										const GptSourceShape *validation);

/*
 * Raises an error unless the query's labels, where it has some, and its texts are those of such a
 * model: arrays (multi_label), numbers, or else single labels; of a text, or of two (pair).
 */
extern void gpt_source_check_head(const GptSourceShape *shape, const LmConfig *head);

/* Raises an error if the query has conversations, and there is no template to write them. */
extern void gpt_source_check_chat(const GptSourceShape *shape, bool has_template);

/*
 * How labels of the query compare: by the equality of their type if it is stored like text (citext)
 * or has a nondeterministic collation, otherwise by bytes.
 */
extern void gpt_source_label_equality(GptLabelEquality *equality, const GptSourceShape *shape);

/*
 * Raises an error if the query has prompts, labels or weights: documents joined to one stream
 * cannot have them.
 */
extern void gpt_source_check_joined(const GptSourceShape *shape);

/* ---- src/corpus/source.c, source_read.c --------------------------------------- */

/*
 * One row. Text, prompt and labels are the values cast to text. All of it lives until the callback
 * of its last reading returns.
 */
typedef struct GptSourceRow
{
	uint64 number; /* in the order of the query, from 1 */
	int reading; /* 0, or 1 of the second one */
	const char *text; /* NULL for a null */
	size_t size;
	const char *prompt; /* NULL for a null, and where there is no such column */
	size_t prompt_size;
	const char *other; /* the same, as the next one */
	size_t other_size;
	const char *third;
	size_t third_size;
	/*
	 * of a row of messages: both are marked texts (engine/marked_text.h), the prompt up to the
	 * first answer; there is no answer in it
	 */
	bool is_unanswered;
	bool is_short; /* shorter than the cleaner's min_length */
	/*
	 * [n_labels] the label, or the elements of the array without its nulls; NULL for a null, and if
	 * there is no such column
	 */
	const char *const *labels;
	int n_labels; /* at most LM_MAX_LABELS */
	double target; /* of regression, finite ... */
	bool has_target; /* ... false for a null, and where there is no such column */
	double weight; /* 1 for a null, and where there is no such column; not negative */
	bool validation; /* false for a null */
	/* 0 where there is no such column; has_watermark is then false, as for a null */
	Datum watermark;
	bool has_watermark;
	const struct FormData_pg_attribute *watermark_attribute;
} GptSourceRow;

#define GPT_LABEL_SIZE 255 /* bytes of one, at most */
#define GPT_TARGET_MAX 1e30 /* of regression */

/* A text of the row; {NULL, 0} where it has none. */
static inline LmBytes
gpt_source_row_text(const GptSourceRow *row, GptRowText text)
{
	switch (text)
	{
		case GPT_TEXT_PROMPT:
			return (LmBytes){row->prompt, row->prompt_size};
		case GPT_TEXT_MAIN:
			return (LmBytes){row->text, row->size};
		case GPT_TEXT_OTHER:
			return (LmBytes){row->other, row->other_size};
		case GPT_TEXT_THIRD:
			return (LmBytes){row->third, row->third_size};
		case GPT_ROW_TEXTS:
			break;
	}
	return (LmBytes){NULL, 0};
}

/* Receives each row; context: the pointer that the caller of gpt_source_run gave. */
typedef void (*GptSourceCallback)(void *context, const GptSourceRow *row);

/*
 * A planned query that can run once, under the snapshot that was active when it was opened. Lives
 * in the memory context that was current then.
 */
typedef struct GptSource
{
	GptSourceShape shape;
	GptSourceKind kind;
	const char *query; /* as it was given */
	struct PlannedStmt *plan;
	MemoryContext context; /* of all of it */
	/*
	 * How rows are read, which the caller sets before _run: chat writes rows of messages (NULL:
	 * such rows are an error), cleaner cleans texts, prompts and contents of messages, and counts
	 * the rows (NULL: none). With n_readings 2 each row is read in both ways, and handed over
	 * twice.
	 */
	const struct GptChatTemplate *chat;
	GptCleaner *cleaner;
	int n_readings;
	struct
	{
		const struct GptChatTemplate *chat;
		GptCleaner *cleaner;
	} second;
} GptSource;

/*
 * Checks the query as gpt_source_check does, and plans it. since: only rows whose watermark is
 * greater than this text are read; NULL: all.
 */
extern void gpt_source_open(GptSource *source, const char *query, GptSourceKind kind,
							const char *watermark, const char *since);

/*
 * Runs the query read-only under the active snapshot and calls back for each row, in a memory
 * context that is reset after each. Raises an error if it takes longer than gpt.read_timeout (not
 * where gpt_source_runs_here). The time is checked between rows only: a caller without
 * statement_timeout arms a timeout of its own.
 */
extern void gpt_source_run(const GptSource *source, GptSourceCallback callback, void *context);

/* Frees the plan and the memory of the source. */
extern void gpt_source_close(GptSource *source);

/* ---- src/corpus/source_skip.c -------------------------------------------------- */

/* Reasons to skip a row. */
typedef enum GptSkip
{
	GPT_SKIP_NONE,
	GPT_SKIP_TEXT,
	GPT_SKIP_PROMPT,
	GPT_SKIP_OTHER,
	GPT_SKIP_THIRD,
	GPT_SKIP_EQUAL, /* the answer that is better is also the one that is worse */
	GPT_SKIP_ANSWER,
	GPT_SKIP_LABEL,
	GPT_SKIP_WEIGHT,
	GPT_SKIP_SHORT, /* of fewer characters than min_length of option "clean" */
	GPT_SKIP_TOKENS, /* too few tokens; the caller counts these */
	GPT_N_SKIPS
} GptSkip;

/* Numbers of skipped rows. */
typedef struct GptSkipped
{
	int64 n[GPT_N_SKIPS]; /* rows by reason */
	int64 null_texts; /* of GPT_SKIP_TEXT: the others are empty */
} GptSkipped;

/*
 * The reason to skip a row of a query of that task, which is counted unless skipped is NULL;
 * GPT_SKIP_NONE: use the row.
 */
extern GptSkip gpt_source_skip(GptSkipped *skipped, const GptSourceRow *row, const GptTask *task);

/* Raises the error of a query that returned no rows, or only rows to skip. */
pg_noreturn extern void gpt_source_raise_skipped(const char *query_name, const GptSkipped *skipped);

#endif /* GPT_SOURCE_H */
