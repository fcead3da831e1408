/*
 * src/sql/type_check.c
 *
 * The checks of a domain go in; JSON Schemas come out of those that can be decided while a text is
 * written: regular expressions and LIKE, lists of values, comparisons with numbers, lengths, and
 * AND and OR of these. Others are left out: the domain's input checks them afterwards.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "catalog/pg_namespace_d.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/typcache.h"

#include "core/bridge.h"
#include "engine/constraint.h"
#include "sql/type_schema.h"

/* What is known of the value that is checked. */
typedef struct Checked
{
	bool is_text;
	bool is_number;
} Checked;

static bool add_check(StringInfo schema, Node *node, const Checked *checked);
static bool add_boolean(StringInfo schema, BoolExpr *expression, const Checked *checked);
static bool add_operator(StringInfo schema, Oid operator, Node * left, Node *right,
						 const Checked *checked);
static bool add_comparison(StringInfo schema, const char *name, Const *constant,
						   const Checked *checked, bool of_length);
static bool add_pattern(StringInfo schema, const char *pattern);
static char *pattern_of_like(const char *like);
static bool add_list(StringInfo schema, ScalarArrayOpExpr *expression, const Checked *checked);
static Node *strip(Node *node);

void
gpt_type_checks(StringInfo schema, Oid domain, bool is_text, bool is_number)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt checks", ALLOCSET_SMALL_SIZES);
	DomainConstraintRef *checks = MemoryContextAllocZero(context, sizeof(DomainConstraintRef));
	Checked checked = {is_text, is_number};
	const char *separator = "";
	ListCell *cell;

	InitDomainConstraintRef(domain, checks, context, false);
	foreach (cell, checks->constraints)
	{
		DomainConstraintState *check = lfirst(cell);
		StringInfoData one;

		if (check->constrainttype != DOM_CONSTRAINT_CHECK)
			continue;
		initStringInfo(&one);
		if (add_check(&one, (Node *) check->check_expr, &checked))
		{
			appendStringInfo(schema, "%s%s", separator, one.data);
			separator = ",";
		}
	}
	MemoryContextDelete(context);
}

/* Without casts that change no value as far as a text of it goes. */
static Node *
strip(Node *node)
{
	for (;;)
	{
		if (node != NULL && IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (node != NULL && IsA(node, FuncExpr) &&
				 ((FuncExpr *) node)->funcformat == COERCE_IMPLICIT_CAST &&
				 list_length(((FuncExpr *) node)->args) == 1)
			node = linitial(((FuncExpr *) node)->args);
		else
			return node;
	}
}

static bool
is_value(Node *node)
{
	node = strip(node);
	return node != NULL && IsA(node, CoerceToDomainValue);
}

/* length(VALUE), in characters. */
static bool
is_length(Node *node)
{
	const char *name;

	if (node == NULL || !IsA(node, FuncExpr) || list_length(((FuncExpr *) node)->args) != 1 ||
		!is_value(linitial(((FuncExpr *) node)->args)))
		return false;
	name = get_func_name(((FuncExpr *) node)->funcid);
	return name != NULL &&
		   get_func_namespace(((FuncExpr *) node)->funcid) == PG_CATALOG_NAMESPACE &&
		   (strcmp(name, "length") == 0 || strcmp(name, "char_length") == 0 ||
			strcmp(name, "character_length") == 0);
}

static Const *
constant_of(Node *node)
{
	node = strip(node);
	return node != NULL && IsA(node, Const) && !((Const *) node)->constisnull ? (Const *) node
																			  : NULL;
}

/* Appends the schema of a check; false where it cannot be decided, and what is appended is void. */
static bool
add_check(StringInfo schema, Node *node, const Checked *checked)
{
	check_stack_depth();
	if (node == NULL)
		return false;
	if (IsA(node, BoolExpr))
		return add_boolean(schema, (BoolExpr *) node, checked);
	if (IsA(node, ScalarArrayOpExpr))
		return add_list(schema, (ScalarArrayOpExpr *) node, checked);
	if (IsA(node, OpExpr) && list_length(((OpExpr *) node)->args) == 2)
		return add_operator(schema, ((OpExpr *) node)->opno, linitial(((OpExpr *) node)->args),
							lsecond(((OpExpr *) node)->args), checked);
	return false;
}

/* All that can be decided of an AND, of which the first part stands beside the others; an OR only
 * as a whole. */
static bool
add_boolean(StringInfo schema, BoolExpr *expression, const Checked *checked)
{
	bool both = expression->boolop == AND_EXPR;
	int n = 0;
	ListCell *cell;

	if (expression->boolop == NOT_EXPR)
		return false;
	appendStringInfoString(schema, "{\"anyOf\":[");
	foreach (cell, expression->args)
	{
		StringInfoData part;

		initStringInfo(&part);
		if (add_check(&part, lfirst(cell), checked))
		{
			const char *separator = n == 0 ? "" : both && n == 1 ? "],\"allOf\":[" : ",";

			appendStringInfo(schema, "%s%s", separator, part.data);
			n++;
		}
		else if (!both)
			return false;
	}
	appendStringInfoString(schema, "]}");
	return n > 0;
}

static bool
add_operator(StringInfo schema, Oid operator, Node * left, Node *right, const Checked *checked)
{
	bool of_length = is_length(strip(left));
	Const *constant;
	char *name;

	if (!is_value(left) && !of_length && (is_value(right) || is_length(strip(right))))
	{
		Node *swapped = left;

		left = right;
		right = swapped;
		operator= get_commutator(operator);
		of_length = is_length(strip(left));
	}
	constant = constant_of(right);
	if (constant == NULL || (!is_value(left) && !of_length) || !OidIsValid(operator))
		return false;
	name = get_opname(operator);
	if (name == NULL)
		return false;
	if (checked->is_text && !of_length && strcmp(name, "~") == 0 && constant->consttype == TEXTOID)
		return add_pattern(schema, TextDatumGetCString(constant->constvalue));
	if (checked->is_text && !of_length && strcmp(name, "~~") == 0 && constant->consttype == TEXTOID)
		return add_pattern(schema, pattern_of_like(TextDatumGetCString(constant->constvalue)));
	return add_comparison(schema, name, constant, checked, of_length);
}

/* The text of a number, or NULL. */
static char *
number_of(Const *constant)
{
	Oid output;
	bool is_varlena;
	char *text;

	switch (constant->consttype)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
			break;
		default:
			return NULL;
	}
	getTypeOutputInfo(constant->consttype, &output, &is_varlena);
	text = OidOutputFunctionCall(output, constant->constvalue);
	return strspn(text, "-0123456789.") == strlen(text) ? text : NULL;
}

/* VALUE or its length compared with a constant. */
static bool
add_comparison(StringInfo schema, const char *name, Const *constant, const Checked *checked,
			   bool of_length)
{
	static const char *const names[][3] = {{">=", "minimum", "minLength"},
										   {"<=", "maximum", "maxLength"},
										   {">", "exclusiveMinimum", "minLength"},
										   {"<", "exclusiveMaximum", "maxLength"}};
	char *number = number_of(constant);
	int64 length;

	if (strcmp(name, "=") == 0 && !of_length)
	{
		if (checked->is_text && constant->consttype == TEXTOID)
		{
			appendStringInfoString(schema, "{\"const\":");
			escape_json(schema, TextDatumGetCString(constant->constvalue));
			appendStringInfoChar(schema, '}');
			return true;
		}
		if (checked->is_number && number != NULL)
			appendStringInfo(schema,
							 "{\"type\":\"number\",\"minimum\":%s,\"maximum\":%s,"
							 "\"multipleOf\":0.000000000000001}",
							 number, number);
		return checked->is_number && number != NULL;
	}
	if (number == NULL || !(of_length ? checked->is_text : checked->is_number))
		return false;
	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(name, names[i][0]) != 0)
			continue;
		if (!of_length)
		{
			appendStringInfo(schema,
							 "{\"type\":\"number\",\"%s\":%s,"
							 "\"multipleOf\":0.000000000000001}",
							 names[i][1], number);
			return true;
		}
		length = strtoll(number, NULL, 10) + (i == 2) - (i == 3);
		if (length < 0 || length > 1000000)
			return false;
		appendStringInfo(schema, "{\"type\":\"string\",\"%s\":" INT64_FORMAT "}", names[i][2],
						 length);
		return true;
	}
	if (strcmp(name, "=") != 0)
		return false;
	length = strtoll(number, NULL, 10);
	if (length < 0 || length > 1000000)
		return false;
	appendStringInfo(schema,
					 "{\"type\":\"string\",\"minLength\":" INT64_FORMAT
					 ",\"maxLength\":" INT64_FORMAT "}",
					 length, length);
	return true;
}

/* A regular expression that the engine reads; others are checked afterwards. */
static bool
add_pattern(StringInfo schema, const char *pattern)
{
	LmError error;
	LmBuilder *builder = lm_builder_create(gpt_bridge_host(CurrentMemoryContext), NULL, &error);
	LmAutomaton *automaton;

	if (builder == NULL)
		gpt_bridge_raise(&error);
	lm_build_regex(builder, (LmBytes){pattern, strlen(pattern)}, true);
	automaton = lm_builder_finish(builder, &error);
	if (automaton == NULL)
		return false;
	lm_automaton_free(automaton);
	appendStringInfoString(schema, "{\"type\":\"string\",\"pattern\":");
	escape_json(schema, pattern);
	appendStringInfoChar(schema, '}');
	return true;
}

/* LIKE as a regular expression. */
static char *
pattern_of_like(const char *like)
{
	StringInfoData pattern;

	initStringInfo(&pattern);
	appendStringInfoChar(&pattern, '^');
	for (const char *c = like; *c != '\0'; c++)
	{
		if (*c == '%' || *c == '_')
		{
			appendStringInfoString(&pattern, *c == '%' ? "[\\s\\S]*" : "[\\s\\S]");
			continue;
		}
		if (*c == '\\' && c[1] != '\0')
			c++;
		if (strchr("\\^$.|?*+()[]{}", *c) != NULL)
			appendStringInfoChar(&pattern, '\\');
		appendStringInfoChar(&pattern, *c);
	}
	appendStringInfoChar(&pattern, '$');
	return pattern.data;
}

/* VALUE = ANY (array), which IN becomes. */
static bool
add_list(StringInfo schema, ScalarArrayOpExpr *expression, const Checked *checked)
{
	Const *constant = constant_of(lsecond(expression->args));
	char *name = get_opname(expression->opno);
	const char *separator = "";
	ArrayType *array;
	Datum *values;
	bool *nulls;
	int n;
	int16 size;
	bool by_value;
	char align;
	Oid output;
	bool is_varlena;

	if (!expression->useOr || !is_value(linitial(expression->args)) || constant == NULL ||
		name == NULL || strcmp(name, "=") != 0 ||
		!OidIsValid(get_element_type(constant->consttype)) ||
		!(checked->is_text || checked->is_number))
		return false;
	array = DatumGetArrayTypeP(constant->constvalue);
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &size, &by_value, &align);
	getTypeOutputInfo(ARR_ELEMTYPE(array), &output, &is_varlena);
	deconstruct_array(array, ARR_ELEMTYPE(array), size, by_value, align, &values, &nulls, &n);
	appendStringInfoString(schema, "{\"enum\":[");
	for (int i = 0; i < n; i++)
	{
		char *text = nulls[i] ? NULL : OidOutputFunctionCall(output, values[i]);

		if (text == NULL)
			continue;
		if (!checked->is_text && strspn(text, "-0123456789.") != strlen(text))
			return false;
		appendStringInfoString(schema, separator);
		if (checked->is_text)
			escape_json(schema, text);
		else
			appendStringInfoString(schema, text);
		separator = ",";
	}
	appendStringInfoString(schema, "]}");
	return separator[0] != '\0';
}
