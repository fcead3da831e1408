/*
 * src/source_shape.c
 *
 * An analysed query goes in; out comes what its columns mean together, or an error that lists what would.
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "catalog.h"
#include "source.h"

#define PROMPT_COLUMN "prompt"
#define COMPLETION_COLUMN "completion"
#define LABEL_COLUMN "label"
#define WEIGHT_COLUMN "weight"
#define VALIDATION_COLUMN "is_validation"

/* A string type, or another one that a function which takes text accepts. */
static bool
is_text_type(Oid type)
{
	Oid base = getBaseType(type);
	Oid text_type = TEXTOID;
	char category;
	bool preferred;

	get_type_category_preferred(base, &category, &preferred);
	return category == TYPCATEGORY_STRING || can_coerce_type(1, &base, &text_type, COERCION_IMPLICIT);
}

static void
check_name(const TargetEntry *entry, List *before, const char *name)
{
	ListCell *cell;

	if (entry->resname == NULL || entry->resname[0] == '\0' || strcmp(entry->resname, "?column?") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_DEFINITION),
				 errmsg("column %d of %s has no name", entry->resno, name),
				 errhint("Name it: SELECT ... AS body.")));
	foreach (cell, before)
	{
		TargetEntry *other = lfirst_node(TargetEntry, cell);

		if (other == entry)
			break;
		if (!other->resjunk && strcmp(other->resname, entry->resname) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" of %s occurs twice", entry->resname, name),
					 errhint("Columns have meanings by their names; give each its own.")));
	}
}

static void
refuse_shape(const Query *analysed, GptSourceKind kind, int n_texts)
{
	const char *name = gpt_source_name(kind);
	StringInfoData columns;
	ListCell *cell;

	initStringInfo(&columns);
	foreach (cell, analysed->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk)
			appendStringInfo(&columns, "%s%s %s", columns.len > 0 ? ", " : "", entry->resname,
							 format_type_be(exprType((Node *) entry->expr)));
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 n_texts == 0 ? errmsg("%s has no column of text", name) : errmsg("columns of %s have no meaning together", name),
			 columns.len > 0 ? errdetail("Its columns are: %s.", columns.data) : errdetail("It has no columns."),
			 kind == GPT_SOURCE_TOKENIZER
				 ? errhint("Accepted is one column of text.")
				 : errhint("Accepted are one column of text (language modelling), columns \"%s\" and \"%s\" of text (%s), or one column of text and \"%s\", "
						   "which is text, an integer, a boolean or of an enum (classification), or an array of text (several labels); beside them a number \"%s\"%s.",
						   PROMPT_COLUMN, COMPLETION_COLUMN,
						   kind == GPT_SOURCE_EVALUATE ? "the completion is compared" : "the completion is learnt", LABEL_COLUMN, WEIGHT_COLUMN,
						   kind == GPT_SOURCE_TRAIN ? " and a boolean \"" VALIDATION_COLUMN "\"" : "")));
}

static bool
is_number_type(Oid type)
{
	switch (getBaseType(type))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return true;
		default:
			return false;
	}
}

/* A type in whose values the index operators compare those of the column: a regclass, for one, as an oid. */
Oid
gpt_source_watermark_type(Oid type)
{
	Oid compared = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opintype;

	return OidIsValid(compared) && get_typtype(compared) != TYPTYPE_PSEUDO ? compared : getBaseType(type);
}

static bool
is_label_type(Oid type)
{
	Oid base = getBaseType(type);

	return is_text_type(type) || base == INT2OID || base == INT4OID || base == INT8OID || base == BOOLOID || get_typtype(base) == TYPTYPE_ENUM;
}

/* An array of text, or a domain over one. */
static bool
is_label_set_type(Oid type)
{
	Oid element = get_element_type(getBaseType(type));

	return OidIsValid(element) && is_text_type(element);
}

/* What is kept as text must be read again: an anonymous record, for one, cannot be. */
static void
check_order(Oid type, const char *column)
{
	bool ordered = OidIsValid(lookup_type_cache(type, TYPECACHE_CMP_PROC)->cmp_proc);

	if (!ordered || get_typtype(gpt_source_watermark_type(type)) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 ordered ? errmsg("values of type %s cannot be kept", format_type_be(type))
						 : errmsg("values of type %s have no order", format_type_be(type)),
				 errdetail("The option \"watermark\" names the column \"%s\".", column),
				 errhint("Choose another column.")));
}

void
gpt_source_shape(GptSourceShape *shape, const Query *analysed, GptSourceKind kind, const char *watermark)
{
	int prompt = 0;
	int completion = 0;
	int label = 0;
	bool label_is_text = false;
	int n_others = 0;
	int n_texts = 0;
	ListCell *cell;

	MemSet(shape, 0, offsetof(GptSourceShape, ordered));
	shape->columns = palloc(list_length(analysed->targetList) * sizeof(GptSourceColumn));
	shape->n_columns = 0;
	foreach (cell, analysed->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Oid type = exprType((Node *) entry->expr);

		if (entry->resjunk)
			continue;
		check_name(entry, analysed->targetList, gpt_source_name(kind));
		shape->columns[shape->n_columns++] = (GptSourceColumn){pstrdup(entry->resname), type};
		if (watermark != NULL && strcmp(entry->resname, watermark) == 0)
		{
			check_order(type, watermark);
			shape->watermark_column = entry->resno;
		}
		else if (kind == GPT_SOURCE_TRAIN && strcmp(entry->resname, VALIDATION_COLUMN) == 0 && getBaseType(type) == BOOLOID)
			shape->validation_column = entry->resno;
		else if (kind != GPT_SOURCE_TOKENIZER && strcmp(entry->resname, WEIGHT_COLUMN) == 0 && is_number_type(type))
			shape->weight_column = entry->resno;
		else if (kind != GPT_SOURCE_TOKENIZER && strcmp(entry->resname, LABEL_COLUMN) == 0 && (is_label_type(type) || is_label_set_type(type)))
		{
			label = entry->resno;
			shape->label_is_set = is_label_set_type(type);
			shape->label_collation = exprCollation((Node *) entry->expr);
			label_is_text = is_text_type(type);
		}
		else if (is_text_type(type))
		{
			shape->text_column = entry->resno;
			n_texts++;
			if (strcmp(entry->resname, PROMPT_COLUMN) == 0)
				prompt = entry->resno;
			if (strcmp(entry->resname, COMPLETION_COLUMN) == 0)
				completion = entry->resno;
		}
		else
			n_others++;
	}
	if (watermark != NULL && shape->watermark_column == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("%s has no column \"%s\"", gpt_source_name(kind), watermark),
				 errdetail("The option \"watermark\" names it.")));
	if (label_is_text && n_texts == 0)
	{
		shape->text_column = label;
		label = 0;
		n_texts = 1;
	}
	if (n_others == 0 && n_texts == 1 && label != 0 && prompt == 0 && completion == 0)
		shape->label_column = label;
	else if (label != 0)
		refuse_shape(analysed, kind, n_texts);
	else if (n_others == 0 && n_texts == 2 && prompt != 0 && completion != 0 && kind != GPT_SOURCE_TOKENIZER)
	{
		shape->prompt_column = prompt;
		shape->text_column = completion;
	}
	else if (n_others > 0 || n_texts != 1)
		refuse_shape(analysed, kind, n_texts);
}

const char *
gpt_source_task(const GptSourceShape *shape)
{
	if (shape->label_column != 0)
		return shape->label_is_set ? "multi-label classification" : "classification";
	return shape->prompt_column != 0 ? GPT_TASK_COMPLETION : "language modelling";
}

void
gpt_source_label_equality(GptLabelEquality *equality, const GptSourceShape *shape)
{
	Oid type = getBaseType(shape->columns[shape->label_column - 1].type);
	Oid collation = shape->label_collation;
	const TypeCacheEntry *entry;

	*equality = (GptLabelEquality){InvalidOid, InvalidOid};
	if (shape->label_is_set)
		type = getBaseType(get_element_type(type));
	if (type != BPCHAROID && !IsBinaryCoercible(type, TEXTOID))
		return;
	entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_HASH_EXTENDED_PROC);
	if (!OidIsValid(entry->eq_opr) || !OidIsValid(entry->hash_extended_proc))
		return;
	if ((entry->eq_opr == TextEqualOperator || entry->eq_opr == BpcharEqualOperator) &&
		(!OidIsValid(collation) || get_collation_isdeterministic(collation)))
		return;
	*equality = (GptLabelEquality){type, collation};
}

void
gpt_source_check_validation(const GptSourceShape *shape, const GptSourceShape *validation)
{
	bool prompted = shape->prompt_column != 0;
	bool labelled = shape->label_column != 0;

	if (shape->validation_column != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"validation_query\" and a column \"" VALIDATION_COLUMN "\" exclude one another")));
	if (labelled != (validation->label_column != 0))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query and validation_query have different columns"),
				 errdetail("%s has a column \"%s\".", gpt_source_name(labelled ? GPT_SOURCE_TRAIN : GPT_SOURCE_VALIDATION), LABEL_COLUMN)));
	if (shape->label_is_set != validation->label_is_set)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query and validation_query have different columns"),
				 errdetail("The column \"%s\" of %s is an array.", LABEL_COLUMN,
						   gpt_source_name(shape->label_is_set ? GPT_SOURCE_TRAIN : GPT_SOURCE_VALIDATION))));
	if (prompted != (validation->prompt_column != 0))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query and validation_query have different columns"),
				 errdetail("%s has the columns \"%s\" and \"%s\", %s has one column of text.",
						   gpt_source_name(prompted ? GPT_SOURCE_TRAIN : GPT_SOURCE_VALIDATION), PROMPT_COLUMN, COMPLETION_COLUMN,
						   gpt_source_name(prompted ? GPT_SOURCE_VALIDATION : GPT_SOURCE_TRAIN))));
}

void
gpt_source_check_labels(const GptSourceShape *shape, bool multi_label)
{
	if (multi_label && !shape->label_is_set)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"" LABEL_COLUMN "\" of query is no array"),
				 errdetail("The model gives several of its labels to a text, or none; it was trained on arrays of text."),
				 errhint("Write ARRAY[...]::text[] around one label.")));
	if (!multi_label && shape->label_is_set)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"" LABEL_COLUMN "\" of query is an array"),
				 errdetail("The model gives one of its labels to a text."),
				 errhint("Select one label for each row, or train a new model on arrays.")));
}

void
gpt_source_check_joined(const GptSourceShape *shape)
{
	if (shape->prompt_column != 0 || shape->label_column != 0 || shape->weight_column != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"documents\" is \"joined\", but query has a column \"%s\"",
						shape->prompt_column != 0 ? PROMPT_COLUMN : shape->label_column != 0 ? LABEL_COLUMN
																							 : WEIGHT_COLUMN),
				 errdetail("In one stream of all rows no row has a beginning or a weight of its own."),
				 errhint("Leave the option out, or select one column of text.")));
}
