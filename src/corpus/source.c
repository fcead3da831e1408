/*
 * src/corpus/source.c
 *
 * A query goes in; a verdict on its shape and a plan come out.
 *
 * The check is made on three forms of the query, because each hides something: the raw parse tree
 * (one SELECT, no INTO), the analysed query (columns, parameters, ORDER BY), and the plan, in which
 * views are expanded, so that it knows every relation and row lock.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "tcop/tcopprot.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "core/compat.h"
#include "corpus/source.h"

static const char *const query_places[] = {"a training function",
										   "a training function",
										   "a training function",
										   "gpt_evaluate",
										   "gpt_compare",
										   "gpt_drift",
										   "gpt_drift"};

typedef struct CheckContext
{
	const char *query;
	const char *name;
	const char *place;
} CheckContext;

static RawStmt *parse_single_select(const char *query, const char *name);
static Query *analyse(RawStmt *statement, const char *query, const char *name);
static bool reads_session_user(Node *node, void *context);
static void plan_source(GptSource *source, const char *query, GptSourceKind kind,
						const char *watermark, const char *since);
static void check_session_user(Query *rewritten, const char *name);
static Query *beyond(Query *query, int column, const char *value);
static void check_plan(const PlannedStmt *plan, const char *name, bool elsewhere);
static List *foreign_tables_of(const PlannedStmt *plan);
static void report_query_position(void *context);

void
gpt_source_check(GptSourceShape *shape, const char *query, GptSourceKind kind,
				 const char *watermark)
{
	GptSource source;

	plan_source(&source, query, kind, watermark, NULL);
	*shape = source.shape;
}

void
gpt_source_open(GptSource *source, const char *query, GptSourceKind kind, const char *watermark,
				const char *since)
{
	bool was_read_only = XactReadOnly;
	MemoryContext old_context;

	source->context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt source", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(source->context);
	/*
	 * Planning calls stable functions, which must not write either. After an error the end of the
	 * transaction, or of its subtransaction, restores the variable.
	 */
	XactReadOnly = true;
	plan_source(source, query, kind, watermark, since);
	XactReadOnly = was_read_only;
	MemoryContextSwitchTo(old_context);
}

void
gpt_source_close(GptSource *source)
{
	MemoryContextDelete(source->context);
}

/* The rest of the file checks the query. */
static void
plan_source(GptSource *source, const char *query, GptSourceKind kind, const char *watermark,
			const char *since)
{
	const char *name = gpt_source_name(kind);
	bool elsewhere = !gpt_source_runs_here(kind);
	CheckContext context = {query, name, query_places[kind]};
	ErrorContextCallback callback = {error_context_stack, report_query_position, &context};
	GptSourceShape *shape = &source->shape;
	Query *analysed;
	List *rewritten;

	error_context_stack = &callback;
	source->kind = kind;
	source->chat = NULL;
	source->cleaner = NULL;
	source->n_readings = 1;
	source->query = pstrdup(query);
	analysed = analyse(parse_single_select(query, name), query, name);
	shape->ordered = analysed->sortClause != NIL;
	gpt_source_shape(shape, analysed, kind, watermark);
	if (since != NULL)
		analysed = beyond(analysed, shape->watermark_column, since);

	/* Rewriting takes the query apart, so nothing may look at it afterwards. */
	rewritten = pg_rewrite_query(analysed);
	if (list_length(rewritten) != 1)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s is rewritten by rules to more than a SELECT", name)));
	if (elsewhere)
		check_session_user(linitial(rewritten), name);
	source->plan =
		pg_plan_query(linitial_node(Query, rewritten), query, CURSOR_OPT_PARALLEL_OK, NULL);
	check_plan(source->plan, name, elsewhere);
	shape->foreign_tables = foreign_tables_of(source->plan);
	error_context_stack = callback.previous;
}

/* A position in the query is not one in the statement that the client sent. */
static void
report_query_position(void *argument)
{
	CheckContext *context = argument;
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(context->query);
	}
	errcontext("%s of %s", context->name, context->place);
}

/* ---- Check -------------------------------------------------------------- */

static void
refuse(const char *name, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s %s", name, what),
					errhint("Give one plain SELECT.")));
}

/* Parses the query; raises an error unless it is one SELECT without INTO. */
static RawStmt *
parse_single_select(const char *query, const char *name)
{
	List *statements = pg_parse_query(query);
	RawStmt *statement;
	SelectStmt *select;

	if (statements == NIL)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s is empty", name),
						errhint("Give one plain SELECT.")));
	if (list_length(statements) > 1)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s has %d statements", name, list_length(statements)),
						errhint("Give one plain SELECT.")));
	statement = linitial_node(RawStmt, statements);
	if (!IsA(statement->stmt, SelectStmt))
		refuse(name, "is not a SELECT");

	/* The parser puts INTO into the leftmost SELECT of a UNION. */
	for (select = (SelectStmt *) statement->stmt; select->larg != NULL;)
		select = select->larg;
	if (select->intoClause != NULL)
		refuse(name, "has an INTO clause");
	return statement;
}

/* Analyses the statement; refuses parameters, data-modifying WITH and row locks. */
static Query *
analyse(RawStmt *statement, const char *query, const char *name)
{
	Oid *parameter_types = NULL;
	int n_parameters = 0;
	Query *analysed =
		parse_analyze_varparams(statement, query, &parameter_types, &n_parameters, NULL);

	if (n_parameters > 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_PARAMETER), errmsg("%s has parameters", name),
						errdetail("Its highest parameter is $%d.", n_parameters),
						errhint("Write the values into the query, quoted by format('%%L').")));
	if (analysed->commandType != CMD_SELECT || analysed->utilityStmt != NULL)
		refuse(name, "is not a SELECT");
	if (analysed->hasModifyingCTE)
		refuse(name, "modifies data in a WITH clause");
	if (analysed->rowMarks != NIL)
		refuse(name, "locks rows");
	return analysed;
}

/*
 * The query is rewritten, so it contains views and policies of its tables. Bodies of functions are
 * not examined.
 */
static bool
reads_session_user(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SQLValueFunction))
		return ((SQLValueFunction *) node)->op == SVFOP_SESSION_USER;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_session_user, context, 0);
	return expression_tree_walker(node, reads_session_user, context);
}

/* The worker of the job is a session of another role than one after SET SESSION AUTHORIZATION. */
static void
check_session_user(Query *rewritten, const char *name)
{
	if (GetSessionUserId() != GetUserId() && reads_session_user((Node *) rewritten, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s reads session_user, which is another role where the job runs", name),
				 errdetail("The session is one of role \"%s\"; the worker of the job connects as "
						   "role \"%s\".",
						   GetUserNameFromId(GetSessionUserId(), false),
						   GetUserNameFromId(GetUserId(), false)),
				 errhint("A view or a policy may read it; let it read current_user, or submit the "
						 "job in a session of role \"%s\".",
						 GetUserNameFromId(GetUserId(), false))));
}

/* A worker does not see the session's temporary relations. */
static void
check_plan(const PlannedStmt *plan, const char *name, bool elsewhere)
{
	ListCell *cell;

	(void) gpt_check_plan_permissions(plan);
	if (plan->commandType != CMD_SELECT || plan->hasModifyingCTE)
		refuse(name, "modifies data");
	foreach (cell, plan->rowMarks)
	{
		if (((PlanRowMark *) lfirst(cell))->strength != LCS_NONE)
			refuse(name, "locks rows");
	}

	/* relationOids is no help: it contains any constant of type oid as well. */
	foreach (cell, plan->rtable)
	{
		const RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);
		Oid relation = entry->relid;

		/* PostgreSQL 16 and later keep a view here as a subquery with the view's oid. */
		if (elsewhere && OidIsValid(relation) &&
			(entry->rtekind == RTE_RELATION || entry->rtekind == RTE_SUBQUERY) &&
			get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s reads the temporary relation \"%s\"", name, get_rel_name(relation)),
					 errdetail("A worker reads the rows of a training, and it has no access to "
							   "temporary relations of sessions."),
					 errhint("Use a permanent table; it may be unlogged.")));
	}
}

static List *
foreign_tables_of(const PlannedStmt *plan)
{
	List *tables = NIL;
	ListCell *cell;

	foreach (cell, plan->rtable)
	{
		const RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_RELATION && entry->relkind == RELKIND_FOREIGN_TABLE)
			tables = list_append_unique_oid(tables, entry->relid);
	}
	return tables;
}

/* ---- Beyond a watermark ------------------------------------------------- */

/* column > value, by the operator of the type's own order, whatever search_path finds first. */
static Expr *
is_beyond(const TargetEntry *entry, int column, const char *value)
{
	Oid type = exprType((Node *) entry->expr);
	Oid collation = exprCollation((Node *) entry->expr);
	Oid compared = gpt_source_watermark_type(type);
	const TypeCacheEntry *order = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY);
	Oid operator= get_opfamily_member(order->btree_opf, order->btree_opintype,
									  order->btree_opintype, BTGreaterStrategyNumber);
	Expr *left = (Expr *) makeVar(1, (AttrNumber) column, type, exprTypmod((Node *) entry->expr),
								  collation, 0);

	if (!OidIsValid(operator))
		elog(ERROR, "type %u has no operator of its order", type);
	if (type != compared)
		left = (Expr *) makeRelabelType(left, compared, -1, collation, COERCE_IMPLICIT_CAST);
	return make_opclause(operator, BOOLOID, false, left,
						 (Expr *) makeConst(compared, -1, collation, get_typlen(compared),
											gpt_source_watermark(type, value), false,
											get_typbyval(compared)),
						 InvalidOid, collation);
}

/*
 * SELECT * FROM (query) AS gpt_rows WHERE column > value: the rows after the query's own ORDER BY
 * and LIMIT.
 */
static Query *
beyond(Query *query, int column, const char *value)
{
	ParseState *state = make_parsestate(NULL);
	Query *outer = makeNode(Query);
	RangeTblRef *reference = makeNode(RangeTblRef);
	Expr *condition = NULL;
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		const TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Node *expression = (Node *) entry->expr;
		Var *value_of;

		if (entry->resjunk)
			continue;
		if (entry->resno == column)
			condition = is_beyond(entry, column, value);
		value_of = makeVar(1, entry->resno, exprType(expression), exprTypmod(expression),
						   exprCollation(expression), 0);
		outer->targetList =
			lappend(outer->targetList,
					makeTargetEntry((Expr *) value_of, entry->resno, entry->resname, false));
	}
	(void) addRangeTableEntryForSubquery(state, query, makeAlias("gpt_rows", NIL), false, true);
	reference->rtindex = 1;
	outer->commandType = CMD_SELECT;
	outer->canSetTag = true;
	gpt_take_range_table(outer, state);
	outer->jointree = makeFromExpr(list_make1(reference), (Node *) condition);
	return outer;
}
