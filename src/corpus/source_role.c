/*
 * src/corpus/source_role.c
 *
 * A column goes in; out comes its role, by its name and type.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"

#include "corpus/source_role.h"

static const char *const query_names[] = {"query", "validation_query", "query", "query", "query",
										  "query", "reference"};

/* Texts whose name has a meaning. */
static const struct
{
	const char *name;
	GptRole role;
} named_texts[] = {
	{GPT_PROMPT_COLUMN, GPT_ROLE_PROMPT},	  {GPT_COMPLETION_COLUMN, GPT_ROLE_COMPLETION},
	{GPT_CHOSEN_COLUMN, GPT_ROLE_CHOSEN},	  {GPT_REJECTED_COLUMN, GPT_ROLE_REJECTED},
	{GPT_QUERY_COLUMN, GPT_ROLE_QUERY},		  {GPT_POSITIVE_COLUMN, GPT_ROLE_POSITIVE},
	{GPT_NEGATIVE_COLUMN, GPT_ROLE_NEGATIVE},
};

const char *
gpt_source_name(GptSourceKind kind)
{
	return query_names[kind];
}

bool
gpt_column_is_text(Oid type)
{
	Oid base = getBaseType(type);
	Oid text_type = TEXTOID;
	char category;
	bool preferred;

	get_type_category_preferred(base, &category, &preferred);
	return category == TYPCATEGORY_STRING ||
		   can_coerce_type(1, &base, &text_type, COERCION_IMPLICIT);
}

/* Numbers that are measured rather than counted; domains count as their base types. */
static bool
is_real_type(Oid type)
{
	Oid base = getBaseType(type);

	return base == FLOAT4OID || base == FLOAT8OID || base == NUMERICOID;
}

static bool
is_integer_type(Oid type)
{
	Oid base = getBaseType(type);

	return base == INT2OID || base == INT4OID || base == INT8OID;
}

/* Whether a column "messages" of this type holds conversations; as a text it is any text. */
static bool
is_messages_type(Oid type)
{
	Oid base = getBaseType(type);

	return base == JSONBOID || base == JSONOID;
}

/* An array of text, or a domain over one. */
static bool
is_label_set_type(Oid type)
{
	Oid element = get_element_type(getBaseType(type));

	return OidIsValid(element) && gpt_column_is_text(element);
}

/* A column "label": GPT_ROLE_OTHER where its type is no label's. */
static GptRole
role_of_label(Oid type)
{
	Oid base = getBaseType(type);

	if (gpt_column_is_text(type) || is_integer_type(type) || base == BOOLOID ||
		get_typtype(base) == TYPTYPE_ENUM)
		return GPT_ROLE_LABEL;
	if (is_real_type(type))
		return GPT_ROLE_NUMBER;
	return is_label_set_type(type) ? GPT_ROLE_LABELS : GPT_ROLE_OTHER;
}

bool
gpt_column_has_no_name(const TargetEntry *entry)
{
	return entry->resname == NULL || entry->resname[0] == '\0' ||
		   strcmp(entry->resname, "?column?") == 0;
}

GptRole
gpt_column_role(const TargetEntry *entry, GptSourceKind kind, const char *watermark)
{
	Oid type = exprType((Node *) entry->expr);
	const char *name = entry->resname;

	if (watermark != NULL && strcmp(name, watermark) == 0)
		return GPT_ROLE_WATERMARK;
	if (kind == GPT_SOURCE_TOKENIZER)
		return gpt_column_is_text(type) ? GPT_ROLE_TEXT : GPT_ROLE_OTHER;
	if (kind == GPT_SOURCE_TRAIN && strcmp(name, GPT_VALIDATION_COLUMN) == 0 &&
		getBaseType(type) == BOOLOID)
		return GPT_ROLE_VALIDATION;
	if (strcmp(name, GPT_MESSAGES_COLUMN) == 0 && is_messages_type(type))
		return GPT_ROLE_MESSAGES;
	if (strcmp(name, GPT_WEIGHT_COLUMN) == 0 && (is_integer_type(type) || is_real_type(type)))
		return GPT_ROLE_WEIGHT;
	if (strcmp(name, GPT_LABEL_COLUMN) == 0)
		return role_of_label(type);
	if (!gpt_column_is_text(type))
		return GPT_ROLE_OTHER;
	for (int i = 0; i < lengthof(named_texts); i++)
	{
		if (strcmp(name, named_texts[i].name) == 0)
			return named_texts[i].role;
	}
	return GPT_ROLE_TEXT;
}
