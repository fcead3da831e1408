/*
 * src/corpus/source_shape.c
 *
 * An analysed query goes in; out comes what its columns mean together: the task, and the number of
 * each column. source_role.c has the roles of columns, source_task.c the table of tasks,
 * source_refuse.c the error for columns that are no task's.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "corpus/source_role.h"

/* The type whose index operators compare values of the column; for a regclass, for example, oid. */
Oid
gpt_source_watermark_type(Oid type)
{
	Oid compared = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opintype;

	return OidIsValid(compared) && get_typtype(compared) != TYPTYPE_PSEUDO ? compared
																		   : getBaseType(type);
}

Datum
gpt_source_watermark(Oid type, const char *text)
{
	Oid input;
	Oid parameter;

	getTypeInputInfo(gpt_source_watermark_type(type), &input, &parameter);
	return OidInputFunctionCall(input, unconstify(char *, text), parameter, -1);
}

/* A value kept as text must be read again: an anonymous record, for one, cannot be. */
static void
check_order(Oid type, const char *column)
{
	bool ordered = OidIsValid(lookup_type_cache(type, TYPECACHE_CMP_PROC)->cmp_proc);

	if (!ordered || get_typtype(gpt_source_watermark_type(type)) == TYPTYPE_PSEUDO)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						ordered ? errmsg("values of type %s cannot be kept", format_type_be(type))
								: errmsg("values of type %s have no order", format_type_be(type)),
						errdetail("The option \"watermark\" names the column \"%s\".", column),
						errhint("Choose another column.")));
}

/* One text without a name is clear enough; the other columns have their meanings by their names. */
static void
check_name(const TargetEntry *entry, List *before, const char *name)
{
	ListCell *cell;

	if (gpt_column_has_no_name(entry) && !gpt_column_is_text(exprType((Node *) entry->expr)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_DEFINITION),
						errmsg("column %d of %s has no name", entry->resno, name),
						errhint("Leave it out, or name it, as in SELECT ... AS weight.")));
	foreach (cell, before)
	{
		TargetEntry *other = lfirst_node(TargetEntry, cell);

		if (other == entry)
			break;
		if (!other->resjunk && gpt_column_has_no_name(other) && gpt_column_has_no_name(entry))
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_DEFINITION),
							errmsg("columns %d and %d of %s have no name", other->resno,
								   entry->resno, name),
							errhint("Select one of them, or name them, as in SELECT ... AS prompt, "
									"... AS completion.")));
		if (!other->resjunk && strcmp(other->resname, entry->resname) == 0)
			ereport(
				ERROR,
				(errcode(ERRCODE_DUPLICATE_COLUMN),
				 errmsg("column \"%s\" of %s occurs twice", entry->resname, name),
				 errhint(
					 "The name of a column gives its meaning; give each column its own name.")));
	}
}

/* ---- The meaning of columns together ------------------------------------ */

static void
count_roles(GptColumns *columns)
{
	MemSet(columns->n, 0, sizeof(columns->n));
	for (int i = 0; i < columns->n_columns; i++)
	{
		columns->n[columns->columns[i].role]++;
		columns->last[columns->columns[i].role] = columns->columns[i].entry;
	}
}

/* A text that is called a label, and is alone, is the text. */
static void
take_lone_label(GptColumns *columns)
{
	for (int i = 0; i < columns->n_columns; i++)
	{
		GptColumn *column = &columns->columns[i];

		if (column->role < GPT_ROLE_LABEL)
			return;
		if (column->role == GPT_ROLE_LABEL &&
			!gpt_column_is_text(exprType((Node *) column->entry->expr)))
			return;
	}
	for (int i = 0; i < columns->n_columns; i++)
	{
		if (columns->columns[i].role == GPT_ROLE_LABEL)
			columns->columns[i].role = GPT_ROLE_TEXT;
	}
	count_roles(columns);
}

/* Assigns each visible column a role, and counts the columns of each role. */
static void
sort_columns(GptColumns *columns, GptSourceShape *shape, const Query *analysed, GptSourceKind kind,
			 const char *watermark)
{
	ListCell *cell;

	*columns = (GptColumns){.kind = kind};
	columns->columns = palloc(list_length(analysed->targetList) * sizeof(GptColumn));
	shape->columns = palloc(list_length(analysed->targetList) * sizeof(GptSourceColumn));
	shape->n_columns = 0;
	foreach (cell, analysed->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Oid type = exprType((Node *) entry->expr);
		GptRole role;

		if (entry->resjunk)
			continue;
		check_name(entry, analysed->targetList, gpt_source_name(kind));
		shape->columns[shape->n_columns++] = (GptSourceColumn){pstrdup(entry->resname), type};
		role = gpt_column_role(entry, kind, watermark);
		if (role == GPT_ROLE_WATERMARK)
			check_order(type, watermark);
		columns->columns[columns->n_columns++] = (GptColumn){entry, role};
	}
	count_roles(columns);
	if (watermark != NULL && columns->n[GPT_ROLE_WATERMARK] == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("%s has no column \"%s\"", gpt_source_name(kind), watermark),
						errdetail("The option \"watermark\" names it.")));
	take_lone_label(columns);
}

/* The column of the shape that a role of the task is; the first free text, then the second. */
static int *
place_of(GptSourceShape *shape, GptRole role)
{
	if (gpt_task_takes_as_text(shape->task, role))
		return shape->text_column == 0 ? &shape->text_column : &shape->other_column;
	switch (role)
	{
		case GPT_ROLE_PROMPT:
			return &shape->prompt_column;
		case GPT_ROLE_COMPLETION:
		case GPT_ROLE_CHOSEN:
		case GPT_ROLE_QUERY:
			return &shape->text_column;
		case GPT_ROLE_REJECTED:
		case GPT_ROLE_POSITIVE:
			return &shape->other_column;
		case GPT_ROLE_NEGATIVE:
			return &shape->third_column;
		case GPT_ROLE_MESSAGES:
			return &shape->messages_column;
		case GPT_ROLE_LABEL:
		case GPT_ROLE_LABELS:
			return &shape->label_column;
		case GPT_ROLE_NUMBER:
			return &shape->number_column;
		case GPT_ROLE_WEIGHT:
			return &shape->weight_column;
		case GPT_ROLE_VALIDATION:
			return &shape->validation_column;
		case GPT_ROLE_WATERMARK:
			return &shape->watermark_column;
		default:
			elog(ERROR, "a column of role %d has no place", role);
	}
}

void
gpt_source_shape(GptSourceShape *shape, const Query *analysed, GptSourceKind kind,
				 const char *watermark)
{
	GptColumns columns;

	MemSet(shape, 0, offsetof(GptSourceShape, ordered));
	sort_columns(&columns, shape, analysed, kind, watermark);
	shape->task = gpt_task_of(&columns);
	if (shape->task == NULL)
		gpt_source_refuse(&columns);
	for (int i = 0; i < columns.n_columns; i++)
		*place_of(shape, columns.columns[i].role) = columns.columns[i].entry->resno;
	if (shape->label_column != 0)
	{
		bool is_set = columns.n[GPT_ROLE_LABELS] > 0;

		shape->label_is_set = is_set;
		shape->label_collation =
			exprCollation((Node *) columns.last[is_set ? GPT_ROLE_LABELS : GPT_ROLE_LABEL]->expr);
	}
}

const char *
gpt_source_task(const GptSourceShape *shape)
{
	return shape->task->name;
}
