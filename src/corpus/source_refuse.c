/*
 * src/corpus/source_refuse.c
 *
 * Columns that are no task's go in; an error comes out that lists them and what is accepted, with
 * the change that is nearest.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"

#include "core/compat.h"
#include "corpus/source_role.h"

#define BIT GPT_ROLE_BIT
#define TEXTS                                                                                   \
	(BIT(GPT_ROLE_TEXT) | BIT(GPT_ROLE_CHOSEN) | BIT(GPT_ROLE_REJECTED) | BIT(GPT_ROLE_QUERY) | \
	 BIT(GPT_ROLE_POSITIVE) | BIT(GPT_ROLE_NEGATIVE))
#define PROMPTED_TEXTS (TEXTS | BIT(GPT_ROLE_PROMPT) | BIT(GPT_ROLE_COMPLETION))
#define PREFERENCE (BIT(GPT_ROLE_PROMPT) | BIT(GPT_ROLE_CHOSEN) | BIT(GPT_ROLE_REJECTED))
#define LABELS (BIT(GPT_ROLE_LABEL) | BIT(GPT_ROLE_LABELS) | BIT(GPT_ROLE_NUMBER))

/* Columns that have a meaning only together, and the one that is missed where it is not there. */
static const struct
{
	uint32 roles;
	GptRole missing;
	const char *name;
} halves[] = {
	{BIT(GPT_ROLE_PROMPT) | BIT(GPT_ROLE_CHOSEN), GPT_ROLE_REJECTED, GPT_REJECTED_COLUMN},
	{BIT(GPT_ROLE_PROMPT) | BIT(GPT_ROLE_REJECTED), GPT_ROLE_CHOSEN, GPT_CHOSEN_COLUMN},
	{BIT(GPT_ROLE_CHOSEN) | BIT(GPT_ROLE_REJECTED), GPT_ROLE_PROMPT, GPT_PROMPT_COLUMN},
	{BIT(GPT_ROLE_QUERY) | BIT(GPT_ROLE_NEGATIVE), GPT_ROLE_POSITIVE, GPT_POSITIVE_COLUMN},
	{BIT(GPT_ROLE_POSITIVE) | BIT(GPT_ROLE_NEGATIVE), GPT_ROLE_QUERY, GPT_QUERY_COLUMN},
	{BIT(GPT_ROLE_PROMPT), GPT_ROLE_COMPLETION, GPT_COMPLETION_COLUMN},
	{BIT(GPT_ROLE_COMPLETION), GPT_ROLE_PROMPT, GPT_PROMPT_COLUMN},
};

/* The number of columns of these roles. */
static int
count(const GptColumns *columns, uint32 roles)
{
	int n = 0;

	for (int i = 0; i < columns->n_columns; i++)
		n += (roles & BIT(columns->columns[i].role)) != 0;
	return n;
}

/* "a", "b" and "c": the columns of these roles; empty where there is none. */
static char *
names_of(const GptColumns *columns, uint32 roles, const char *last)
{
	int n = count(columns, roles);
	StringInfoData list;
	int i = 0;

	initStringInfo(&list);
	for (int number = 0; number < columns->n_columns; number++)
	{
		const GptColumn *column = &columns->columns[number];

		if ((roles & BIT(column->role)) == 0)
			continue;
		appendStringInfo(&list, "%s\"%s\"",
						 i == 0		  ? ""
						 : i == n - 1 ? last
									  : ", ",
						 column->entry->resname);
		i++;
	}
	return list.data;
}

/* Columns whose names have a meaning, and the types that fit it. */
static const struct
{
	const char *name;
	const char *types;
} named[] = {
	{GPT_PROMPT_COLUMN, "text"},
	{GPT_COMPLETION_COLUMN, "text"},
	{GPT_CHOSEN_COLUMN, "text"},
	{GPT_REJECTED_COLUMN, "text"},
	{GPT_POSITIVE_COLUMN, "text"},
	{GPT_NEGATIVE_COLUMN, "text"},
	{GPT_LABEL_COLUMN, "text or an integer (classes), text[] (several) or float8 (a quantity)"},
	{GPT_WEIGHT_COLUMN, "a number"},
	{GPT_VALIDATION_COLUMN, "boolean"},
};

/*
 * The beginning of a hint about the first column whose name has a meaning but whose type does not
 * fit it; NULL if there is none.
 */
static const char *
wrong_type(const GptColumns *columns)
{
	for (int number = 0; number < columns->n_columns; number++)
	{
		const char *name = columns->columns[number].entry->resname;

		if (columns->columns[number].role != GPT_ROLE_OTHER ||
			columns->kind == GPT_SOURCE_TOKENIZER ||
			(columns->kind != GPT_SOURCE_TRAIN && strcmp(name, GPT_VALIDATION_COLUMN) == 0))
			continue;
		for (int i = 0; i < lengthof(named); i++)
		{
			if (strcmp(name, named[i].name) == 0)
				return psprintf("Cast column \"%s\" to %s, or leave it out. ", name,
								named[i].types);
		}
	}
	return NULL;
}

static void
append(StringInfo text, const char *separator, const char *part)
{
	if (part[0] != '\0')
		appendStringInfo(text, "%s%s", text->len > 0 ? separator : "", part);
}

/* Two texts, as of SELECT english, german: names tell what they are to each other. */
static const char *
what_to_name(const GptColumns *columns)
{
	return psprintf("Name them \"" GPT_PROMPT_COLUMN "\" and \"" GPT_COMPLETION_COLUMN
					"\" if the second is made from the first, name one of them \"" GPT_LABEL_COLUMN
					"\" if it is the class of the other, or leave out %s. ",
					names_of(columns, TEXTS, " or "));
}

/*
 * The columns without which the others have a meaning together, as the beginning of a hint; empty
 * where that is no remedy.
 */
static const char *
what_to_leave_out(const GptColumns *columns)
{
	const int *n = columns->n;
	bool prompted = n[GPT_ROLE_PROMPT] > 0 && n[GPT_ROLE_COMPLETION] > 0;
	bool preferred = n[GPT_ROLE_PROMPT] > 0 && n[GPT_ROLE_CHOSEN] > 0 && n[GPT_ROLE_REJECTED] > 0;
	int n_texts = count(columns, TEXTS);
	const char *wrong = wrong_type(columns);
	StringInfoData text;

	if (wrong != NULL)
		return wrong;
	if (n[GPT_ROLE_MESSAGES] > 0)
		return "Leave out what stands beside \"" GPT_MESSAGES_COLUMN "\". ";
	if (!prompted && n_texts == 0)
		return "";
	if (columns->kind != GPT_SOURCE_TOKENIZER && !prompted && n_texts == 2 &&
		n[GPT_ROLE_TEXT] > 0 &&
		count(columns, LABELS | BIT(GPT_ROLE_PROMPT) | BIT(GPT_ROLE_OTHER)) == 0)
		return what_to_name(columns);
	initStringInfo(&text);
	append(&text, "", names_of(columns, BIT(GPT_ROLE_OTHER), " and "));
	if (prompted)
	{
		append(&text, ", ", names_of(columns, TEXTS, " and "));
		append(&text, ", ", names_of(columns, LABELS, " and "));
	}
	else if (preferred)
		append(&text, ", ", names_of(columns, LABELS | BIT(GPT_ROLE_TEXT), " and "));
	else if (n_texts == 2 && count(columns, LABELS) == 0)
		append(&text, ", and ", names_of(columns, TEXTS, " or "));
	else if (n_texts > 2)
		append(&text, ", and ",
			   psprintf("all but %s of %s", count(columns, LABELS) > 0 ? "two" : "one",
						names_of(columns, TEXTS, " and ")));
	if (text.len == 0)
		return "";
	return psprintf("Leave out %s. ", text.data);
}

/* The error lists the columns and what is accepted. */
pg_noreturn static void
refuse_shape(const GptColumns *found)
{
	const char *name = gpt_source_name(found->kind);
	bool has_text = count(found, PROMPTED_TEXTS | BIT(GPT_ROLE_MESSAGES)) > 0;
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < found->n_columns; i++)
	{
		const TargetEntry *entry = found->columns[i].entry;

		appendStringInfo(&columns, "%s%s %s", columns.len > 0 ? ", " : "", entry->resname,
						 format_type_be(exprType((Node *) entry->expr)));
	}
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					has_text ? errmsg("columns of %s do not go together", name)
							 : errmsg("%s has no column of text", name),
					columns.len > 0 ? errdetail("Its columns are: %s.", columns.data)
									: errdetail("It has no columns."),
					errhint("%s%s", what_to_leave_out(found), gpt_task_hint(found->kind))));
}

/*
 * A prompt without completion would be trained on like any text; the name says that this is not
 * meant.
 */
pg_noreturn static void
refuse_half(const GptColumns *columns, uint32 roles, const char *missing)
{
	int n = count(columns, roles);
	char *there = names_of(columns, roles, " and ");
	const TargetEntry *text = columns->n[GPT_ROLE_TEXT] == 1 ? columns->last[GPT_ROLE_TEXT] : NULL;

	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("%s has %s %s, but none \"%s\" of text", gpt_source_name(columns->kind),
					n == 1 ? "a column" : "columns", there, missing),
			 text != NULL
				 ? errhint("Name column \"%s\" so, as in SELECT ... AS %s.", text->resname, missing)
				 : errhint("Select it too, or give %s %s another name, as in SELECT ... AS "
						   "body, to have it taken as any text.",
						   n == 1 ? "column" : "one of the columns", there)));
}

void
gpt_source_refuse(const GptColumns *columns)
{
	uint32 there = 0;

	for (int i = 0; i < columns->n_columns; i++)
		there |= BIT(columns->columns[i].role);
	for (int i = 0; i < lengthof(halves); i++)
	{
		if ((there & halves[i].roles) == halves[i].roles && columns->n[GPT_ROLE_OTHER] == 0 &&
			columns->n[GPT_ROLE_MESSAGES] == 0 && (there & PREFERENCE) != PREFERENCE &&
			(there & (BIT(halves[i].missing) | (BIT(GPT_ROLE_COMPLETION) & ~halves[i].roles))) == 0)
			refuse_half(columns, halves[i].roles, halves[i].name);
	}
	refuse_shape(columns);
}
