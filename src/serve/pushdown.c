/*
 * src/serve/pushdown.c
 *
 * Lists of foreign scans with calls of fixed versions in, queries with these calls out
 * (src/serve/pushdown.h).
 *
 * postgres_fdw sends immutable functions of the extensions that a server names as conditions, sort
 * keys and arguments of aggregates, but never as results: what a query selects is computed here,
 * from columns. A scan of a join or of groups has a description of its own rows (fdw_scan_tlist),
 * though, and its query may compute anything. So the scan of one table becomes a scan of that kind:
 *
 *   Foreign Scan on review_b        Foreign Scan
 *     Output: id, gpt_score(…)        Output: id, (gpt_score(…))
 *     SELECT id, body FROM …          SELECT id, gpt_score(…) FROM …
 *
 * The private part of such a plan is a list of the query, the columns of its rows and the number of
 * rows to fetch at once (enum FdwScanPrivateIndex of postgres_fdw.c, the same from PostgreSQL 9.6
 * on to 18). A plan that looks otherwise is left as it is.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "core/extension.h"
#include "serve/batching_parts.h"
#include "serve/pushdown.h"

#define QUERY_BEGIN "SELECT "
#define QUERY_FROM " FROM "

/* The parts of the private list. */
enum
{
	PRIVATE_QUERY,
	PRIVATE_COLUMNS,
	PRIVATE_FETCH_SIZE,
	PRIVATE_PARTS,
};

/* A scan that is rewritten. */
typedef struct Pushed
{
	Index relation; /* its number in the range table */
	Oid table;
	List *entries; /* TargetEntry of the new rows: columns, and calls */
	int n_calls;
	int n_guards; /* expressions above that may not need the value of each part */
	bool refused; /* something stands in its list that the new rows cannot have */
} Pushed;

static void push_in(Plan *plan, const PlannedStmt *statement);
static void push_scan(ForeignScan *scan, const PlannedStmt *statement);
static bool is_plain(const ForeignScan *scan);
static bool takes_part(Oid server);
static Node *replace(Node *node, void *context);
static Node *replace_guarded(Node *node, Pushed *pushed);
static Var *entry_of(Pushed *pushed, Expr *expression);
static bool is_pushed_call(const Pushed *pushed, const Node *node);
static const char *end_of_columns(const char *query);
static char *deparse_query(const Pushed *pushed, const char *rest);
static bool deparse(StringInfo out, const Pushed *pushed, const Node *node);
static bool deparse_list(StringInfo out, const Pushed *pushed, const List *list,
						 const char *separator);
static bool deparse_column(StringInfo out, const Pushed *pushed, const Var *column);
static bool deparse_constant(StringInfo out, const Const *constant);
static void deparse_type(StringInfo out, Oid type, int32 typmod);
static bool is_known_type(Oid type);

/* Rows that are locked or changed may be read again, by a road that wants a table's own rows. */
void
gpt_pushdown(PlannedStmt *statement)
{
	ListCell *cell;

	if (statement->rowMarks != NIL ||
		(statement->commandType != CMD_SELECT && statement->commandType != CMD_INSERT))
		return;
	push_in(statement->planTree, statement);
	foreach (cell, statement->subplans)
		push_in(lfirst(cell), statement);
}

static void
push_in(Plan *plan, const PlannedStmt *statement)
{
	ListCell *cell;

	check_stack_depth();
	if (plan == NULL)
		return;
	if (IsA(plan, Agg))
		gpt_pushdown_aggregate((Agg *) plan, statement);
	if (IsA(plan, ForeignScan))
		push_scan((ForeignScan *) plan, statement);
	foreach (cell, gpt_batch_children(plan))
		push_in(*(Plan **) lfirst(cell), statement);
}

bool
gpt_pushdown_takes(const ForeignScan *scan, const PlannedStmt *statement, Node *call)
{
	Pushed pushed = {.relation = scan->scan.scanrelid};

	if (!is_plain(scan) || !takes_part(scan->fs_server) ||
		end_of_columns(strVal(linitial(scan->fdw_private))) == NULL)
		return false;
	pushed.table = rt_fetch(pushed.relation, statement->rtable)->relid;
	(void) replace((Node *) scan->scan.plan.targetlist, &pushed);
	return !pushed.refused && is_pushed_call(&pushed, call);
}

static void
push_scan(ForeignScan *scan, const PlannedStmt *statement)
{
	Pushed pushed = {.relation = scan->scan.scanrelid};
	List *list, *columns = NIL;
	const char *rest;

	if (!is_plain(scan) || !takes_part(scan->fs_server))
		return;
	rest = end_of_columns(strVal(linitial(scan->fdw_private)));
	pushed.table = rt_fetch(pushed.relation, statement->rtable)->relid;
	list = (List *) replace((Node *) scan->scan.plan.targetlist, &pushed);
	if (rest == NULL || pushed.refused || pushed.n_calls == 0)
		return;
	for (int i = 1; i <= list_length(pushed.entries); i++)
		columns = lappend_int(columns, i);
	scan->fdw_private =
		list_make3(makeString(deparse_query(&pushed, rest)), columns, lthird(scan->fdw_private));
	scan->scan.plan.targetlist = list;
	scan->fdw_scan_tlist = pushed.entries;
	scan->fdw_recheck_quals = NIL;
	scan->scan.scanrelid = 0;
}

/* Conditions that are checked here come before the list, so their rows alone have its calls. */
static bool
is_plain(const ForeignScan *scan)
{
	return scan->operation == CMD_SELECT && scan->resultRelation == 0 && scan->scan.scanrelid > 0 &&
		   scan->scan.plan.qual == NIL && scan->fdw_scan_tlist == NIL &&
		   list_length(scan->fdw_private) == PRIVATE_PARTS &&
		   IsA(list_nth(scan->fdw_private, PRIVATE_QUERY), String) &&
		   (list_nth(scan->fdw_private, PRIVATE_COLUMNS) == NULL ||
			IsA(list_nth(scan->fdw_private, PRIVATE_COLUMNS), IntList)) &&
		   IsA(list_nth(scan->fdw_private, PRIVATE_FETCH_SIZE), Integer);
}

/* Whether it is a server of postgres_fdw whose option "extensions" names gpt. */
static bool
takes_part(Oid number)
{
	const ForeignServer *server = GetForeignServer(number);
	ListCell *cell, *name;

	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, "postgres_fdw") != 0)
		return false;
	foreach (cell, server->options)
	{
		DefElem *option = lfirst_node(DefElem, cell);
		List *names;

		if (strcmp(option->defname, "extensions") != 0 ||
			!SplitIdentifierString(pstrdup(defGetString(option)), ',', &names))
			continue;
		foreach (name, names)
			if (strcmp(lfirst(name), "gpt") == 0)
				return true;
	}
	return false;
}

/* ---- The list ----------------------------------------------------------- */

/* Columns and calls become references to the new rows. */
static Node *
replace(Node *node, void *context)
{
	Pushed *pushed = context;

	if (node == NULL)
		return NULL;
	if (pushed->n_guards == 0 && is_pushed_call(pushed, node))
	{
		pushed->n_calls++;
		return (Node *) entry_of(pushed, (Expr *) node);
	}
	if (IsA(node, Var) && ((Var *) node)->varno == pushed->relation)
	{
		/* System columns, and the row as a whole. */
		pushed->refused |= ((Var *) node)->varattno <= 0;
		return (Node *) entry_of(pushed, (Expr *) node);
	}
	if (IsA(node, CaseExpr) || IsA(node, CoalesceExpr) || IsA(node, BoolExpr))
		return replace_guarded(node, pushed);
	return expression_tree_mutator(node, replace, pushed);
}

/* Plain execution may not reach a call in it, for whose text the model may have no answer. */
static Node *
replace_guarded(Node *node, Pushed *pushed)
{
	pushed->n_guards++;
	node = expression_tree_mutator(node, replace, pushed);
	pushed->n_guards--;
	return node;
}

static Var *
entry_of(Pushed *pushed, Expr *expression)
{
	TargetEntry *entry = NULL;
	ListCell *cell;

	foreach (cell, pushed->entries)
		if (equal(lfirst_node(TargetEntry, cell)->expr, expression))
			entry = lfirst_node(TargetEntry, cell);
	if (entry == NULL)
	{
		entry = makeTargetEntry(expression, list_length(pushed->entries) + 1, NULL, false);
		pushed->entries = lappend(pushed->entries, entry);
	}
	return makeVarFromTargetEntry(INDEX_VAR, entry);
}

/* A call of one of our functions that rests on a fixed version and columns of the table alone. */
static bool
is_pushed_call(const Pushed *pushed, const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;
	StringInfoData scratch;
	bool known;

	if (!IsA(node, FuncExpr) || gpt_batch_kind_of(node) < 0 ||
		func_volatile(call->funcid) != PROVOLATILE_IMMUTABLE || !IsA(linitial(call->args), Const))
		return false;
	initStringInfo(&scratch);
	known = deparse(&scratch, pushed, node);
	pfree(scratch.data);
	return known;
}

/* ---- The query ---------------------------------------------------------- */

/* What follows the columns, which are names: from " FROM " on. NULL: there is none. */
static const char *
end_of_columns(const char *query)
{
	bool quoted = false;

	if (strncmp(query, QUERY_BEGIN, strlen(QUERY_BEGIN)) != 0)
		return NULL;
	for (const char *at = query; *at != '\0'; at++)
	{
		if (*at == '"')
			quoted = !quoted;
		else if (!quoted && strncmp(at, QUERY_FROM, strlen(QUERY_FROM)) == 0)
			return at;
	}
	return NULL;
}

static char *
deparse_query(const Pushed *pushed, const char *rest)
{
	StringInfoData query;
	ListCell *cell;

	initStringInfo(&query);
	appendStringInfoString(&query, QUERY_BEGIN);
	foreach (cell, pushed->entries)
	{
		if (foreach_current_index(cell) > 0)
			appendStringInfoString(&query, ", ");
		deparse(&query, pushed, (Node *) lfirst_node(TargetEntry, cell)->expr);
	}
	appendStringInfoString(&query, rest);
	return query.data;
}

/* Few kinds of expressions, and only what means the same there; false: another one. */
static bool
deparse(StringInfo out, const Pushed *pushed, const Node *node)
{
	check_stack_depth();
	switch (nodeTag(node))
	{
		case T_Var:
			return deparse_column(out, pushed, (const Var *) node);
		case T_Const:
			return deparse_constant(out, (const Const *) node);
		case T_RelabelType:
			appendStringInfoChar(out, '(');
			if (!is_known_type(((const RelabelType *) node)->resulttype) ||
				!deparse(out, pushed, (const Node *) ((const RelabelType *) node)->arg))
				return false;
			appendStringInfoString(out, ")::");
			deparse_type(out, ((const RelabelType *) node)->resulttype,
						 ((const RelabelType *) node)->resulttypmod);
			return true;
		case T_CoalesceExpr:
			appendStringInfoString(out, "COALESCE");
			return deparse_list(out, pushed, ((const CoalesceExpr *) node)->args, ", ");
		case T_OpExpr:
			if (((const OpExpr *) node)->opfuncid != F_TEXTCAT)
				return false;
			return deparse_list(out, pushed, ((const OpExpr *) node)->args,
								" OPERATOR(pg_catalog.||) ");
		case T_FuncExpr:
			if (gpt_batch_kind_of(node) < 0)
				return false;
			appendStringInfoString(
				out, quote_qualified_identifier(
						 get_namespace_name(get_func_namespace(((const FuncExpr *) node)->funcid)),
						 get_func_name(((const FuncExpr *) node)->funcid)));
			return func_volatile(((const FuncExpr *) node)->funcid) == PROVOLATILE_IMMUTABLE &&
				   deparse_list(out, pushed, ((const FuncExpr *) node)->args, ", ");
		default:
			return false;
	}
}

static bool
deparse_list(StringInfo out, const Pushed *pushed, const List *list, const char *separator)
{
	ListCell *cell;

	appendStringInfoChar(out, '(');
	foreach (cell, list)
	{
		if (foreach_current_index(cell) > 0)
			appendStringInfoString(out, separator);
		if (!deparse(out, pushed, lfirst(cell)))
			return false;
	}
	appendStringInfoChar(out, ')');
	return true;
}

/* The option column_name of a foreign table's column is its name there. */
static bool
deparse_column(StringInfo out, const Pushed *pushed, const Var *column)
{
	const char *name;
	ListCell *cell;

	if (column->varno != pushed->relation || column->varattno <= 0 || column->varlevelsup > 0)
		return false;
	name = get_attname(pushed->table, column->varattno, false);
	foreach (cell, GetForeignColumnOptions(pushed->table, column->varattno))
		if (strcmp(lfirst_node(DefElem, cell)->defname, "column_name") == 0)
			name = defGetString(lfirst_node(DefElem, cell));
	appendStringInfoString(out, quote_identifier(name));
	return true;
}

/* Floats are exact as long as the session writes them so. */
static bool
deparse_constant(StringInfo out, const Const *constant)
{
	Oid function;
	bool is_varlena;

	if (!is_known_type(constant->consttype) || extra_float_digits < 1)
		return false;
	if (constant->constisnull)
		appendStringInfoString(out, "NULL");
	else
	{
		getTypeOutputInfo(constant->consttype, &function, &is_varlena);
		appendStringInfoString(
			out, quote_literal_cstr(OidOutputFunctionCall(function, constant->constvalue)));
	}
	appendStringInfoString(out, "::");
	deparse_type(out, constant->consttype, constant->consttypmod);
	return true;
}

static void
deparse_type(StringInfo out, Oid type, int32 typmod)
{
	bits16 flags =
		FORMAT_TYPE_TYPEMOD_GIVEN | (type < FirstGenbkiObjectId ? 0 : FORMAT_TYPE_FORCE_QUALIFY);

	appendStringInfoString(out, format_type_extended(type, typmod, flags));
}

/* The server's own types that do not depend on settings, and those of the extension. */
static bool
is_known_type(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case TEXTARRAYOID:
		case BOOLOID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case JSONBOID:
			return true;
		default:
			return type >= FirstNormalObjectId &&
				   getExtensionOfObject(TypeRelationId, type) == gpt_extension_fitting_oid();
	}
}
