/*
 * src/corpus/source_role.h
 *
 * Between the files source_*.c: the role of each column, and the table of tasks.
 */
#ifndef GPT_SOURCE_ROLE_H
#define GPT_SOURCE_ROLE_H

#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

#include "core/compat.h"
#include "corpus/source.h"

/* The role of a column by its name and type. */
typedef enum GptRole
{
	GPT_ROLE_TEXT,
	GPT_ROLE_PROMPT, /* a text too, as those up to _NEGATIVE */
	GPT_ROLE_COMPLETION,
	GPT_ROLE_CHOSEN,
	GPT_ROLE_REJECTED,
	GPT_ROLE_QUERY,
	GPT_ROLE_POSITIVE,
	GPT_ROLE_NEGATIVE,
	GPT_ROLE_MESSAGES,
	GPT_ROLE_LABEL,
	GPT_ROLE_LABELS, /* an array */
	GPT_ROLE_NUMBER, /* a label that is no class */
	GPT_ROLE_WEIGHT,
	GPT_ROLE_VALIDATION,
	GPT_ROLE_WATERMARK,
	GPT_ROLE_OTHER,
	GPT_N_ROLES
} GptRole;

#define GPT_ROLE_BIT(role) (1U << (role))

#define GPT_PROMPT_COLUMN "prompt"
#define GPT_COMPLETION_COLUMN "completion"
#define GPT_CHOSEN_COLUMN "chosen"
#define GPT_REJECTED_COLUMN "rejected"
#define GPT_QUERY_COLUMN "query"
#define GPT_POSITIVE_COLUMN "positive"
#define GPT_NEGATIVE_COLUMN "negative"
#define GPT_MESSAGES_COLUMN "messages"
#define GPT_LABEL_COLUMN "label"
#define GPT_WEIGHT_COLUMN "weight"
#define GPT_VALIDATION_COLUMN "is_validation"

/* A visible column of the query. */
typedef struct GptColumn
{
	const TargetEntry *entry;
	GptRole role;
} GptColumn;

/* The visible columns in their order. */
typedef struct GptColumns
{
	GptSourceKind kind;
	int n_columns;
	GptColumn *columns; /* [n_columns] */
	int n[GPT_N_ROLES]; /* of each role */
	const TargetEntry *last[GPT_N_ROLES];
} GptColumns;

/* ---- src/corpus/source_role.c --------------------------------------------------- */

/* A string type, or another one that a function which takes text accepts. */
extern bool gpt_column_is_text(Oid type);

/* A column without a name of its own. */
extern bool gpt_column_has_no_name(const TargetEntry *entry);

/* A tokenizer is trained on texts only. */
extern GptRole gpt_column_role(const TargetEntry *entry, GptSourceKind kind, const char *watermark);

/* ---- src/corpus/source_task.c --------------------------------------------------- */

/* The task of these columns; NULL: they do not go together. */
extern const GptTask *gpt_task_of(const GptColumns *columns);

/* Whether a column of this role is a free text for the task: one whose name has no meaning in it.
 */
extern bool gpt_task_takes_as_text(const GptTask *task, GptRole role);

/* What queries of this kind may have, as the hint of an error; palloc'd. */
extern char *gpt_task_hint(GptSourceKind kind);

/* ---- src/corpus/source_refuse.c ------------------------------------------------- */

/* Raises the error for columns that are no task's. */
pg_noreturn extern void gpt_source_refuse(const GptColumns *columns);

#endif /* GPT_SOURCE_ROLE_H */
