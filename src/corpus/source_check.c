/*
 * src/corpus/source_check.c
 *
 * The shape of a query goes in; an error comes out where it does not fit what it is for: another
 * query, a classifier, a chat template, one stream of all rows.
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "core/compat.h"
#include "corpus/source_role.h"
#include "store/catalog.h"

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
	const char *query = gpt_source_name(GPT_SOURCE_TRAIN);
	const char *other = gpt_source_name(GPT_SOURCE_VALIDATION);

	if (shape->validation_column != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"validation_query\" and a column \"" GPT_VALIDATION_COLUMN
							   "\" cannot be used together")));
	if (shape->task == validation->task)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("%s and %s have different columns", query, other),
			 strcmp(shape->task->name, validation->task->name) == 0
				 ? errdetail("Only %s has a column \"" GPT_NEGATIVE_COLUMN "\".",
							 shape->third_column != 0 ? query : other)
				 : errdetail("The columns of %s are those of %s, the columns of %s those of %s.",
							 query, shape->task->name, other, validation->task->name)));
}

/* What a label should be. */
pg_noreturn static void
refuse_label(const char *is, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("column \"" GPT_LABEL_COLUMN "\" of query %s", is),
					errdetail("%s", detail), errhint("%s", hint)));
}

void
gpt_source_check_head(const GptSourceShape *shape, const LmConfig *head)
{
	bool is_pair = gpt_task_is_pair(shape->task);
	bool multi_label = head->multi_label;
	bool number = head->number;

	if (is_pair != head->pair)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query has %s", is_pair ? "two columns of text" : "one column of text"),
				 errdetail(head->pair ? "The model judges two texts together."
									  : "The model judges one text."),
				 errhint("Select %s, or train a new model.",
						 head->pair ? "both texts of each row" : "one of them")));
	if (number && shape->label_column != 0)
		refuse_label("is not a real number", "The model gives a text a number.",
					 "Cast the label to double precision, or train a new model on labels.");
	if (!number && shape->number_column != 0)
		refuse_label("is a number",
					 multi_label ? "The model gives a text several labels, or none."
								 : "The model gives a text one of its labels.",
					 "Cast the label to text or to an integer, or train a new model on numbers.");
	if (shape->label_column == 0)
		return;
	if (multi_label && !shape->label_is_set)
		refuse_label("is not an array",
					 "The model gives a text several labels, or none; it was trained on arrays of "
					 "text.",
					 "Write ARRAY[...]::text[] around one label.");
	if (!multi_label && shape->label_is_set)
		refuse_label("is an array", "The model gives a text one label.",
					 "Select one label for each row, or train a new model on arrays.");
}

void
gpt_source_check_chat(const GptSourceShape *shape, bool has_template)
{
	if (shape->messages_column != 0 && !has_template)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("query has a column \"" GPT_MESSAGES_COLUMN
							   "\", but the model has no chat template"),
						errhint("Name one in the option \"chat_template\" of gpt_finetune, such as "
								"\"chatml\", or cast the column to text to train on it as on any "
								"text.")));
}

void
gpt_source_check_joined(const GptSourceShape *shape)
{
	static const char *const names[] = {GPT_PROMPT_COLUMN, GPT_MESSAGES_COLUMN, GPT_LABEL_COLUMN,
										GPT_LABEL_COLUMN,  GPT_POSITIVE_COLUMN, GPT_WEIGHT_COLUMN};
	const int columns[] = {shape->prompt_column, shape->messages_column, shape->label_column,
						   shape->number_column, shape->other_column,	 shape->weight_column};

	StaticAssertStmt(lengthof(names) == lengthof(columns), "each column has its name");
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (columns[i] == 0)
			continue;
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"documents\" is \"joined\", but query has a column \"%s\"", names[i]),
			 errdetail(
				 "In one stream of all rows, a row has no beginning and no weight of its own."),
			 errhint("Leave the option out, or select one column of text.")));
	}
}
