/*
 * src/corpus/source_shape.c
 *
 * An analysed query goes in; out comes what its columns mean together, or an error that lists what
 * would.
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "corpus/source.h"
#include "store/catalog.h"

#define PROMPT_COLUMN "prompt"
#define COMPLETION_COLUMN "completion"
#define MESSAGES_COLUMN "messages"
#define LABEL_COLUMN "label"
#define WEIGHT_COLUMN "weight"
#define VALIDATION_COLUMN "is_validation"

/* The role of a column by its name and type. */
typedef enum Role
{
	ROLE_TEXT,
	ROLE_PROMPT, /* a text too, as the next one */
	ROLE_COMPLETION,
	ROLE_MESSAGES,
	ROLE_LABEL,
	ROLE_WEIGHT,
	ROLE_VALIDATION,
	ROLE_WATERMARK,
	ROLE_OTHER,
	N_ROLES
} Role;

/* Columns by role; where there are several texts or others, the last one. */
typedef struct Columns
{
	int n[N_ROLES];
	const TargetEntry *last[N_ROLES];
} Columns;

/* A string type, or another one that a function which takes text accepts. */
static bool
is_text_type(Oid type)
{
	Oid base = getBaseType(type);
	Oid text_type = TEXTOID;
	char category;
	bool preferred;

	get_type_category_preferred(base, &category, &preferred);
	return category == TYPCATEGORY_STRING ||
		   can_coerce_type(1, &base, &text_type, COERCION_IMPLICIT);
}

/* Whether a column "weight" may have this type; domains count as their base types. */
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

/* Whether a column "messages" of this type holds conversations; as a text it is any text. */
static bool
is_messages_type(Oid type)
{
	Oid base = getBaseType(type);

	return base == JSONBOID || base == JSONOID;
}

static bool
is_label_type(Oid type)
{
	Oid base = getBaseType(type);

	return is_text_type(type) || base == INT2OID || base == INT4OID || base == INT8OID ||
		   base == BOOLOID || get_typtype(base) == TYPTYPE_ENUM;
}

/* An array of text, or a domain over one. */
static bool
is_label_set_type(Oid type)
{
	Oid element = get_element_type(getBaseType(type));

	return OidIsValid(element) && is_text_type(element);
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

static bool
has_no_name(const TargetEntry *entry)
{
	return entry->resname == NULL || entry->resname[0] == '\0' ||
		   strcmp(entry->resname, "?column?") == 0;
}

/* One text without a name is clear enough; the other columns have their meanings by their names. */
static void
check_name(const TargetEntry *entry, List *before, const char *name)
{
	ListCell *cell;

	if (has_no_name(entry) && !is_text_type(exprType((Node *) entry->expr)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_DEFINITION),
						errmsg("column %d of %s has no name", entry->resno, name),
						errhint("Leave it out, or name it, as in SELECT ... AS weight.")));
	foreach (cell, before)
	{
		TargetEntry *other = lfirst_node(TargetEntry, cell);

		if (other == entry)
			break;
		if (!other->resjunk && has_no_name(other) && has_no_name(entry))
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

/* A tokenizer is trained on texts only. */
static Role
role_of(const TargetEntry *entry, GptSourceKind kind, const char *watermark)
{
	Oid type = exprType((Node *) entry->expr);
	const char *name = entry->resname;

	if (watermark != NULL && strcmp(name, watermark) == 0)
		return ROLE_WATERMARK;
	if (kind == GPT_SOURCE_TOKENIZER)
		return is_text_type(type) ? ROLE_TEXT : ROLE_OTHER;
	if (kind == GPT_SOURCE_TRAIN && strcmp(name, VALIDATION_COLUMN) == 0 &&
		getBaseType(type) == BOOLOID)
		return ROLE_VALIDATION;
	if (strcmp(name, MESSAGES_COLUMN) == 0 && is_messages_type(type))
		return ROLE_MESSAGES;
	if (strcmp(name, WEIGHT_COLUMN) == 0 && is_number_type(type))
		return ROLE_WEIGHT;
	if (strcmp(name, LABEL_COLUMN) == 0 && (is_label_type(type) || is_label_set_type(type)))
		return ROLE_LABEL;
	if (!is_text_type(type))
		return ROLE_OTHER;
	if (strcmp(name, PROMPT_COLUMN) == 0)
		return ROLE_PROMPT;
	return strcmp(name, COMPLETION_COLUMN) == 0 ? ROLE_COMPLETION : ROLE_TEXT;
}

/* ---- What an error says ------------------------------------------------- */

/* "a", "b" and "c": the columns of one role. */
static char *
names_of(const Query *analysed, GptSourceKind kind, const char *watermark, Role role, int n,
		 const char *last)
{
	StringInfoData list;
	ListCell *cell;
	int i = 0;

	initStringInfo(&list);
	foreach (cell, analysed->targetList)
	{
		const TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (entry->resjunk || role_of(entry, kind, watermark) != role)
			continue;
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : i == n - 1 ? last : ", ", entry->resname);
		i++;
	}
	return list.data;
}

/*
 * The first column whose name has a meaning but whose type does not fit it; NULL if there is none.
 */
static const char *
wrong_type(const Query *analysed, GptSourceKind kind, const char *watermark)
{
	static const char *const names[] = {PROMPT_COLUMN, COMPLETION_COLUMN, LABEL_COLUMN,
										WEIGHT_COLUMN, VALIDATION_COLUMN};
	ListCell *cell;

	foreach (cell, analysed->targetList)
	{
		const TargetEntry *entry = lfirst_node(TargetEntry, cell);

		for (int i = 0; i < lengthof(names) && kind != GPT_SOURCE_TOKENIZER; i++)
		{
			if (!entry->resjunk && role_of(entry, kind, watermark) == ROLE_OTHER &&
				strcmp(entry->resname, names[i]) == 0 &&
				(kind == GPT_SOURCE_TRAIN || strcmp(names[i], VALIDATION_COLUMN) != 0))
				return names[i];
		}
	}
	return NULL;
}

/*
 * The columns without which the others have a meaning together, as the beginning of a hint; empty
 * where that is no remedy.
 */
static const char *
what_to_leave_out(const Query *analysed, GptSourceKind kind, const char *watermark,
				  const Columns *columns)
{
	const int *n = columns->n;
	bool prompted = n[ROLE_PROMPT] > 0 && n[ROLE_COMPLETION] > 0;
	const char *wrong = wrong_type(analysed, kind, watermark);
	StringInfoData text;

	if (wrong != NULL)
		return psprintf("Cast column \"%s\" to an accepted type, or leave it out. ", wrong);
	if (n[ROLE_MESSAGES] > 0)
		return psprintf("Leave out what stands beside \"%s\". ", MESSAGES_COLUMN);
	if (!prompted && n[ROLE_TEXT] == 0)
		return "";
	initStringInfo(&text);
	if (n[ROLE_OTHER] > 0)
		appendStringInfoString(
			&text, names_of(analysed, kind, watermark, ROLE_OTHER, n[ROLE_OTHER], " and "));
	if (prompted && n[ROLE_TEXT] > 0)
		appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "",
						 names_of(analysed, kind, watermark, ROLE_TEXT, n[ROLE_TEXT], " and "));
	if (prompted && n[ROLE_LABEL] > 0)
		appendStringInfo(&text, "%s\"%s\"", text.len > 0 ? ", " : "", LABEL_COLUMN);
	if (!prompted && n[ROLE_TEXT] == 2)
		appendStringInfo(&text, "%s%s", text.len > 0 ? ", and " : "",
						 names_of(analysed, kind, watermark, ROLE_TEXT, 2, " or "));
	if (!prompted && n[ROLE_TEXT] > 2)
		appendStringInfo(&text, "%sall but one of %s", text.len > 0 ? ", and " : "",
						 names_of(analysed, kind, watermark, ROLE_TEXT, n[ROLE_TEXT], " and "));
	return psprintf("Leave out %s. ", text.data);
}

/* Raises the error for columns that do not fit together; it lists them and what is accepted. */
static void
refuse_shape(const Query *analysed, GptSourceKind kind, const char *watermark, const Columns *found)
{
	const char *name = gpt_source_name(kind);
	bool has_text = found->n[ROLE_TEXT] + found->n[ROLE_PROMPT] + found->n[ROLE_COMPLETION] +
						found->n[ROLE_MESSAGES] >
					0;
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
	ereport(
		ERROR,
		(errcode(ERRCODE_DATATYPE_MISMATCH),
		 has_text ? errmsg("columns of %s do not go together", name)
				  : errmsg("%s has no column of text", name),
		 columns.len > 0 ? errdetail("Its columns are: %s.", columns.data)
						 : errdetail("It has no columns."),
		 kind == GPT_SOURCE_TOKENIZER
			 ? errhint("%sOne column of text is accepted.",
					   what_to_leave_out(analysed, kind, watermark, found))
			 : errhint("%sOne column of text is accepted (language modelling), or columns \"%s\" "
					   "and \"%s\" of text (completion), or a column \"%s\" of json or jsonb "
					   "(conversations), or one column of text and \"%s\", which is text, an "
					   "integer, a boolean or of an enum (classification), or an array of text "
					   "(multi-label classification); in addition a number \"%s\"%s.",
					   what_to_leave_out(analysed, kind, watermark, found), PROMPT_COLUMN,
					   COMPLETION_COLUMN, MESSAGES_COLUMN, LABEL_COLUMN, WEIGHT_COLUMN,
					   kind == GPT_SOURCE_TRAIN ? " and a boolean \"" VALIDATION_COLUMN "\""
												: "")));
}

/*
 * A prompt without completion would be trained on like any text; the name says that this is not
 * meant.
 */
static void
refuse_half(GptSourceKind kind, const Columns *columns)
{
	bool has_prompt = columns->n[ROLE_PROMPT] > 0;
	const char *there = has_prompt ? PROMPT_COLUMN : COMPLETION_COLUMN;
	const char *missing = has_prompt ? COMPLETION_COLUMN : PROMPT_COLUMN;
	const TargetEntry *text = columns->n[ROLE_TEXT] == 1 ? columns->last[ROLE_TEXT] : NULL;

	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("%s has a column \"%s\", but none \"%s\" of text", gpt_source_name(kind),
						   there, missing),
					text != NULL ? errhint("Name column \"%s\" so, as in SELECT ... AS %s.",
										   text->resname, missing)
								 : errhint("Select it too, or give column \"%s\" another name, as "
										   "in SELECT ... AS body, to have it taken as any text.",
										   there)));
}

/* ---- The meaning of columns together ------------------------------------ */

/* Assigns each visible column a role, and counts the columns of each role. */
static void
sort_columns(Columns *columns, GptSourceShape *shape, const Query *analysed, GptSourceKind kind,
			 const char *watermark)
{
	ListCell *cell;

	MemSet(columns, 0, sizeof(Columns));
	shape->columns = palloc(list_length(analysed->targetList) * sizeof(GptSourceColumn));
	shape->n_columns = 0;
	foreach (cell, analysed->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Oid type = exprType((Node *) entry->expr);
		Role role;

		if (entry->resjunk)
			continue;
		check_name(entry, analysed->targetList, gpt_source_name(kind));
		shape->columns[shape->n_columns++] = (GptSourceColumn){pstrdup(entry->resname), type};
		role = role_of(entry, kind, watermark);
		if (role == ROLE_WATERMARK)
			check_order(type, watermark);
		columns->n[role]++;
		columns->last[role] = entry;
	}
	if (watermark != NULL && columns->n[ROLE_WATERMARK] == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("%s has no column \"%s\"", gpt_source_name(kind), watermark),
						errdetail("The option \"watermark\" names it.")));
}

static int
number_of(const Columns *columns, Role role)
{
	return columns->n[role] > 0 ? columns->last[role]->resno : 0;
}

/* An evaluation may score prompts like any text, since it trains nothing. */
static void
take_half(Columns *columns)
{
	static const Role halves[] = {ROLE_PROMPT, ROLE_COMPLETION};

	for (int i = 0; i < lengthof(halves); i++)
	{
		if (columns->n[halves[i]] == 0)
			continue;
		columns->n[ROLE_TEXT]++;
		columns->last[ROLE_TEXT] = columns->last[halves[i]];
		columns->n[halves[i]] = 0;
	}
}

void
gpt_source_shape(GptSourceShape *shape, const Query *analysed, GptSourceKind kind,
				 const char *watermark)
{
	Columns columns;
	bool prompted;
	bool has_messages;

	MemSet(shape, 0, offsetof(GptSourceShape, ordered));
	sort_columns(&columns, shape, analysed, kind, watermark);

	has_messages = columns.n[ROLE_MESSAGES] > 0;

	/* A text that is called a label, and is alone, is the text. */
	if (columns.n[ROLE_LABEL] > 0 && !has_messages &&
		columns.n[ROLE_TEXT] + columns.n[ROLE_PROMPT] + columns.n[ROLE_COMPLETION] == 0 &&
		is_text_type(exprType((Node *) columns.last[ROLE_LABEL]->expr)))
	{
		columns.n[ROLE_TEXT] = 1;
		columns.last[ROLE_TEXT] = columns.last[ROLE_LABEL];
		columns.n[ROLE_LABEL] = 0;
	}
	prompted = columns.n[ROLE_PROMPT] > 0 && columns.n[ROLE_COMPLETION] > 0;
	if (kind == GPT_SOURCE_EVALUATE && !prompted && !has_messages &&
		columns.n[ROLE_TEXT] + columns.n[ROLE_LABEL] == 0)
		take_half(&columns);
	if (!prompted && !has_messages && columns.n[ROLE_PROMPT] + columns.n[ROLE_COMPLETION] > 0 &&
		columns.n[ROLE_OTHER] == 0)
		refuse_half(kind, &columns);
	if (columns.n[ROLE_OTHER] > 0 ||
		columns.n[ROLE_TEXT] + (prompted ? 1 : 0) + (has_messages ? 1 : 0) != 1 ||
		(has_messages && columns.n[ROLE_PROMPT] + columns.n[ROLE_COMPLETION] > 0) ||
		((prompted || has_messages) && columns.n[ROLE_LABEL] > 0))
		refuse_shape(analysed, kind, watermark, &columns);
	shape->messages_column = number_of(&columns, ROLE_MESSAGES);
	shape->text_column =
		has_messages ? 0 : number_of(&columns, prompted ? ROLE_COMPLETION : ROLE_TEXT);
	shape->prompt_column = prompted ? number_of(&columns, ROLE_PROMPT) : 0;
	shape->label_column = number_of(&columns, ROLE_LABEL);
	shape->weight_column = number_of(&columns, ROLE_WEIGHT);
	shape->validation_column = number_of(&columns, ROLE_VALIDATION);
	shape->watermark_column = number_of(&columns, ROLE_WATERMARK);
	if (shape->label_column != 0)
	{
		Node *label = (Node *) columns.last[ROLE_LABEL]->expr;

		shape->label_is_set = is_label_set_type(exprType(label));
		shape->label_collation = exprCollation(label);
	}
}

const char *
gpt_source_task(const GptSourceShape *shape)
{
	if (shape->label_column != 0)
		return shape->label_is_set ? "multi-label classification" : "classification";
	if (shape->messages_column != 0)
		return GPT_TASK_CHAT;
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
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"validation_query\" and a column \"" VALIDATION_COLUMN
							   "\" cannot be used together")));
	if (labelled != (validation->label_column != 0))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query and validation_query have different columns"),
				 errdetail("%s has a column \"%s\".",
						   gpt_source_name(labelled ? GPT_SOURCE_TRAIN : GPT_SOURCE_VALIDATION),
						   LABEL_COLUMN)));
	if (shape->label_is_set != validation->label_is_set)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("query and validation_query have different columns"),
						errdetail("The column \"%s\" of %s is an array.", LABEL_COLUMN,
								  gpt_source_name(shape->label_is_set ? GPT_SOURCE_TRAIN
																	  : GPT_SOURCE_VALIDATION))));
	if ((shape->messages_column != 0) != (validation->messages_column != 0))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query and validation_query have different columns"),
				 errdetail("%s has a column \"%s\".",
						   gpt_source_name(shape->messages_column != 0 ? GPT_SOURCE_TRAIN
																	   : GPT_SOURCE_VALIDATION),
						   MESSAGES_COLUMN)));
	if (prompted != (validation->prompt_column != 0))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query and validation_query have different columns"),
				 errdetail("%s has the columns \"%s\" and \"%s\", %s has one column of text.",
						   gpt_source_name(prompted ? GPT_SOURCE_TRAIN : GPT_SOURCE_VALIDATION),
						   PROMPT_COLUMN, COMPLETION_COLUMN,
						   gpt_source_name(prompted ? GPT_SOURCE_VALIDATION : GPT_SOURCE_TRAIN))));
}

void
gpt_source_check_labels(const GptSourceShape *shape, bool multi_label)
{
	if (multi_label && !shape->label_is_set)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"" LABEL_COLUMN "\" of query is not an array"),
						errdetail("The model gives a text several labels, or none; it was trained "
								  "on arrays of text."),
						errhint("Write ARRAY[...]::text[] around one label.")));
	if (!multi_label && shape->label_is_set)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"" LABEL_COLUMN "\" of query is an array"),
						errdetail("The model gives a text one label."),
						errhint("Select one label for each row, or train a new model on arrays.")));
}

void
gpt_source_check_chat(const GptSourceShape *shape, bool has_template)
{
	if (shape->messages_column != 0 && !has_template)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("query has a column \"" MESSAGES_COLUMN
							   "\", but the model has no chat template"),
						errhint("Name one in the option \"chat_template\" of gpt_finetune, such as "
								"\"chatml\", or cast the column to text to train on it as on any "
								"text.")));
}

void
gpt_source_check_joined(const GptSourceShape *shape)
{
	if (shape->prompt_column != 0 || shape->messages_column != 0 || shape->label_column != 0 ||
		shape->weight_column != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"documents\" is \"joined\", but query has a column \"%s\"",
						shape->prompt_column != 0	  ? PROMPT_COLUMN
						: shape->messages_column != 0 ? MESSAGES_COLUMN
						: shape->label_column != 0	  ? LABEL_COLUMN
													  : WEIGHT_COLUMN),
				 errdetail(
					 "In one stream of all rows, a row has no beginning and no weight of its own."),
				 errhint("Leave the option out, or select one column of text.")));
}
