/*
 * src/store/maintained_expression.c
 *
 * The text of an expression goes in; its tree comes out, and later its text with the names that
 * columns, functions and types have then.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "store/maintained_table.h"

static Node *parse(const char *expression);
static void check_type(ParseState *state, Node *value, Relation relation, AttrNumber column);
static Bitmapset *columns_of(Node *value, Relation relation, AttrNumber column);

/* Positions of errors are in the expression, not in the statement that has it. */
static void
locate_error(void *expression)
{
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(expression);
	}
	errcontext("expression to maintain");
}

void
gpt_maintained_parse(char **tree, char **text, Bitmapset **reads, Relation relation,
					 const char *expression, AttrNumber column)
{
	ErrorContextCallback context = {.callback = locate_error,
									.arg = unconstify(char *, expression),
									.previous = error_context_stack};
	ParseState *state = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node *value;

	error_context_stack = &context;
	state->p_sourcetext = expression;
	item = addRangeTableEntryForRelation(state, relation, AccessShareLock, NULL, false, true);
	addNSItemToQuery(state, item, false, true, true);
	value = transformExpr(state, parse(expression), EXPR_KIND_UPDATE_SOURCE);
	if (exprType(value) == UNKNOWNOID)
		value = coerce_type(state, value, UNKNOWNOID, TEXTOID, -1, COERCION_IMPLICIT,
							COERCE_IMPLICIT_CAST, -1);
	assign_expr_collations(state, value);
	if (contain_subplans(value))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("the expression of a maintained column cannot have a subquery"),
						errdetail("Changes of other tables would not be noticed.")));
	check_type(state, value, relation, column);
	*reads = columns_of(value, relation, column);
	error_context_stack = context.previous;
	*tree = nodeToString(value);
	*text = gpt_maintained_text(*tree, relation);
	free_parsestate(state);
}

/* One expression and nothing else. */
static Node *
parse(const char *expression)
{
	List *statements = raw_parser(expression, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
	ResTarget *target =
		list_length(select->targetList) == 1 ? linitial_node(ResTarget, select->targetList) : NULL;

	if (target == NULL || target->name != NULL || select->distinctClause != NIL ||
		select->fromClause != NIL || select->whereClause != NULL || select->groupClause != NIL ||
		select->havingClause != NULL || select->windowClause != NIL || select->sortClause != NIL ||
		select->limitOffset != NULL || select->limitCount != NULL || select->lockingClause != NIL)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("expression must be one expression of columns of the table: %s",
							   expression),
						errhint("For example gpt_classify('spam', body).")));
	return target->val;
}

/* As UPDATE would check it. */
static void
check_type(ParseState *state, Node *value, Relation relation, AttrNumber column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), column - 1);

	if (coerce_to_target_type(state, copyObject(value), exprType(value), attribute->atttypid,
							  attribute->atttypmod, COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST,
							  -1) == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" is of type %s but the expression is of type %s",
							   NameStr(attribute->attname), format_type_be(attribute->atttypid),
							   format_type_be(exprType(value))),
						errhint("Cast the expression.")));
}

static Bitmapset *
columns_of(Node *value, Relation relation, AttrNumber column)
{
	Bitmapset *offset = NULL;
	Bitmapset *columns = NULL;
	int member = -1;

	pull_varattnos(value, 1, &offset);
	while ((member = bms_next_member(offset, member)) >= 0)
	{
		int number = member + FirstLowInvalidHeapAttributeNumber;

		if (number <= 0)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("the expression of a maintained column cannot have %s",
								   number == 0 ? "the whole row" : "a system column"),
							errhint("Name the columns that it needs.")));
		if (number == column)
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the expression of column \"%s\" cannot read that column",
						NameStr(TupleDescAttr(RelationGetDescr(relation), column - 1)->attname))));
		columns = bms_add_member(columns, number);
	}
	return columns;
}

/* A function that was dropped, which the tree knows by its oid alone. */
static bool
is_missing(Oid function, void *unused)
{
	return !SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(function));
}

static bool
has_missing(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_missing, NULL) ||
		   expression_tree_walker(node, has_missing, NULL);
}

char *
gpt_maintained_text(const char *tree, Relation relation)
{
	Node *value = stringToNode(tree);
	int level;
	List *context;
	char *text;

	if (has_missing(value, NULL))
		return NULL;
	level = NewGUCNestLevel();

	/* Whatever is found by search_path is written without its schema. */
	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	context = deparse_context_for(RelationGetRelationName(relation), RelationGetRelid(relation));
	text = deparse_expression(value, context, false, false);
	AtEOXact_GUC(false, level);
	return text;
}
