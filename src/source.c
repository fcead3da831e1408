/*
 * src/source.c
 *
 * A query goes in; out come, at submission, a verdict on its shape, and in the worker its rows, one call back
 * each.
 *
 * The check is made on three forms of the query, because each hides something: the raw parse tree (one
 * SELECT, no INTO), the analysed query (columns, parameters, ORDER BY), and the plan, in which views are
 * expanded, so that it knows every relation and row lock.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "settings.h"
#include "source.h"

#define VALIDATION_COLUMN "is_validation"
#define ROWS_PER_TIME_CHECK 64

static const char *const query_names[] = {"query", "validation_query", "query"};

typedef struct CheckContext
{
	const char *query;
	const char *name;
} CheckContext;

static RawStmt *parse_single_select(const char *query, const char *name);
static Query *analyse(RawStmt *statement, const char *query, const char *name);
static void check_plan(const PlannedStmt *plan, const char *name);
static void check_columns(GptSourceShape *shape, const Query *analysed, GptSourceKind kind);
static void report_query_position(void *context);

void
gpt_source_check(GptSourceShape *shape, const char *query, GptSourceKind kind)
{
	const char *name = query_names[kind];
	CheckContext context = {query, name};
	ErrorContextCallback callback = {error_context_stack, report_query_position, &context};
	Query *analysed;
	List *rewritten;

	error_context_stack = &callback;
	analysed = analyse(parse_single_select(query, name), query, name);
	shape->ordered = analysed->sortClause != NIL;
	check_columns(shape, analysed, kind);

	/* Rewriting takes the query apart, so nothing may look at it afterwards. */
	rewritten = pg_rewrite_query(analysed);
	if (list_length(rewritten) != 1)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s is rewritten by rules to more than a SELECT", name)));
	check_plan(pg_plan_query(linitial_node(Query, rewritten), query, 0, NULL), name);
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
	errcontext("%s of a training function", context->name);
}

/* ---- Check ---------------------------------------------------------------------------------------- */

static void
refuse(const char *name, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s %s", name, what),
			 errhint("Give one plain SELECT.")));
}

static RawStmt *
parse_single_select(const char *query, const char *name)
{
	List *statements = pg_parse_query(query);
	RawStmt *statement;
	SelectStmt *select;

	if (statements == NIL)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s is empty", name), errhint("Give one plain SELECT.")));
	if (list_length(statements) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s has %d statements", name, list_length(statements)),
				 errhint("Give one plain SELECT.")));
	statement = linitial_node(RawStmt, statements);
	if (!IsA(statement->stmt, SelectStmt))
		refuse(name, "is not a SELECT");

	/* INTO stands in the leftmost SELECT of a UNION. */
	for (select = (SelectStmt *) statement->stmt; select->larg != NULL;)
		select = select->larg;
	if (select->intoClause != NULL)
		refuse(name, "has an INTO clause");
	return statement;
}

static Query *
analyse(RawStmt *statement, const char *query, const char *name)
{
	Oid *parameter_types = NULL;
	int n_parameters = 0;
	Query *analysed = parse_analyze_varparams(statement, query, &parameter_types, &n_parameters, NULL);

	if (n_parameters > 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("%s has parameters", name),
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

static void
check_plan(const PlannedStmt *plan, const char *name)
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

	/* Not relationOids: any constant of type oid is there too. */
	foreach (cell, plan->rtable)
	{
		const RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);
		Oid relation = entry->relid;

		if (entry->rtekind == RTE_RELATION && get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s reads the temporary relation \"%s\"", name, get_rel_name(relation)),
					 errdetail("The process that reads the rows is not the session that owns the relation."),
					 errhint("Use a permanent table; it may be unlogged.")));
	}
}

/* ---- Columns -------------------------------------------------------------------------------------- */

static bool
is_text_type(Oid type)
{
	char category;
	bool preferred;

	get_type_category_preferred(getBaseType(type), &category, &preferred);
	return category == TYPCATEGORY_STRING;
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
	const char *name = query_names[kind];
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
			 kind == GPT_SOURCE_TRAIN
				 ? errhint("Accepted are one column of text (language modelling), alone or with a boolean column \"%s\".", VALIDATION_COLUMN)
				 : errhint("Accepted is one column of text.")));
}

static void
check_columns(GptSourceShape *shape, const Query *analysed, GptSourceKind kind)
{
	int n_columns = 0;
	int n_texts = 0;
	ListCell *cell;

	shape->text_column = 0;
	shape->validation_column = 0;
	foreach (cell, analysed->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Oid type = exprType((Node *) entry->expr);

		if (entry->resjunk)
			continue;
		n_columns++;
		check_name(entry, analysed->targetList, query_names[kind]);
		if (kind == GPT_SOURCE_TRAIN && strcmp(entry->resname, VALIDATION_COLUMN) == 0 && getBaseType(type) == BOOLOID)
			shape->validation_column = entry->resno;
		else if (is_text_type(type))
		{
			shape->text_column = entry->resno;
			n_texts++;
		}
	}
	if (n_texts != 1 || n_columns != 1 + (shape->validation_column != 0))
		refuse_shape(analysed, kind, n_texts);
}

/* ---- Read ----------------------------------------------------------------------------------------- */

/* Receives the rows from the executor; none is kept. SPI takes the rows of a DestNone for unwanted. */
typedef struct Reader
{
	DestReceiver receiver;
	GptSourceShape shape;
	GptSourceCallback callback;
	void *context;
	bool is_varlena; /* the text needs no output function */
	FmgrInfo output;
	MemoryContext row_context;
	TimestampTz deadline; /* 0: none */
	uint64 n_rows;
} Reader;

static void
start_reader(DestReceiver *receiver, int operation, TupleDesc columns)
{
	Reader *reader = (Reader *) receiver;
	Oid type = getBaseType(TupleDescAttr(columns, reader->shape.text_column - 1)->atttypid);
	Oid function;
	bool unused;

	reader->is_varlena = type == TEXTOID || type == VARCHAROID;
	getTypeOutputInfo(type, &function, &unused);
	fmgr_info(function, &reader->output);
}

static void
check_time(Reader *reader)
{
	if (reader->deadline != 0 && reader->n_rows++ % ROWS_PER_TIME_CHECK == 0 && GetCurrentTimestamp() > reader->deadline)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("reading the rows takes longer than gpt.read_timeout, %d s", gpt_read_timeout)));
}

static void
fill_text(GptSourceRow *row, Reader *reader, Datum value)
{
	if (reader->is_varlena)
	{
		struct varlena *text_value = PG_DETOAST_DATUM_PACKED(value);

		row->text = VARDATA_ANY(text_value);
		row->size = VARSIZE_ANY_EXHDR(text_value);
	}
	else
	{
		row->text = OutputFunctionCall(&reader->output, value);
		row->size = strlen(row->text);
	}
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	Reader *reader = (Reader *) receiver;
	GptSourceRow row = {NULL, 0, false};
	MemoryContext old_context = MemoryContextSwitchTo(reader->row_context);
	Datum value;
	bool isnull;

	CHECK_FOR_INTERRUPTS();
	check_time(reader);
	value = slot_getattr(slot, reader->shape.text_column, &isnull);
	if (!isnull)
		fill_text(&row, reader, value);
	if (reader->shape.validation_column != 0)
	{
		value = slot_getattr(slot, reader->shape.validation_column, &isnull);
		row.validation = !isnull && DatumGetBool(value);
	}
	reader->callback(reader->context, &row);

	MemoryContextSwitchTo(old_context);
	MemoryContextReset(reader->row_context);
	return true;
}

static void
end_reader(DestReceiver *receiver)
{
}

void
gpt_source_read(const char *query, GptSourceKind kind, GptSourceCallback callback, void *context)
{
	Reader reader = {{receive_row, start_reader, end_reader, end_reader, DestTuplestore}};
	SPIExecuteOptions options = {.read_only = true, .must_return_tuples = true, .dest = &reader.receiver};
	int result;

	gpt_source_check(&reader.shape, query, kind);
	reader.callback = callback;
	reader.context = context;
	reader.row_context = AllocSetContextCreate(CurrentMemoryContext, "gpt source row", ALLOCSET_DEFAULT_SIZES);
	if (gpt_read_timeout > 0)
		reader.deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) gpt_read_timeout * 1000);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_extended(query, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "reading the rows of a query failed: %s", SPI_result_code_string(result));
	SPI_finish();
	MemoryContextDelete(reader.row_context);
}
