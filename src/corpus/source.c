/*
 * src/corpus/source.c
 *
 * A query goes in; out come, at submission, a verdict on its shape, and in the worker its rows, one
 * call back each.
 *
 * The check is made on three forms of the query, because each hides something: the raw parse tree
 * (one SELECT, no INTO), the analysed query (columns, parameters, ORDER BY), and the plan, in which
 * views are expanded, so that it knows every relation and row lock.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "core/compat.h"
#include "core/settings.h"
#include "corpus/source.h"
#include "engine/batch.h"
#include "engine/config.h"

#define ROWS_PER_TIME_CHECK 64

static const char *const query_names[] = {"query", "validation_query", "query", "query"};
static const char *const query_places[] = {"a training function", "a training function",
										   "a training function", "gpt_evaluate"};

typedef struct CheckContext
{
	const char *query;
	const char *name;
	const char *place;
} CheckContext;

static RawStmt *parse_single_select(const char *query, const char *name);
static Query *analyse(RawStmt *statement, const char *query, const char *name);
static bool reads_session_user(Node *node, void *context);
static void check_plan(const PlannedStmt *plan, const char *name, bool elsewhere);
static void report_query_position(void *context);

void
gpt_source_check(GptSourceShape *shape, const char *query, GptSourceKind kind,
				 const char *watermark)
{
	const char *name = query_names[kind];
	bool elsewhere = kind == GPT_SOURCE_TRAIN || kind == GPT_SOURCE_VALIDATION;
	CheckContext context = {query, name, query_places[kind]};
	ErrorContextCallback callback = {error_context_stack, report_query_position, &context};
	Query *analysed;
	List *rewritten;

	error_context_stack = &callback;
	analysed = analyse(parse_single_select(query, name), query, name);
	shape->ordered = analysed->sortClause != NIL;
	gpt_source_shape(shape, analysed, kind, watermark);

	/* Rewriting takes the query apart, so nothing may look at it afterwards. */
	rewritten = pg_rewrite_query(analysed);
	if (list_length(rewritten) != 1)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s is rewritten by rules to more than a SELECT", name)));
	if (elsewhere && GetSessionUserId() != GetUserId() &&
		reads_session_user(linitial(rewritten), NULL))
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
	check_plan(pg_plan_query(linitial_node(Query, rewritten), query, 0, NULL), name, elsewhere);
	error_context_stack = callback.previous;
}

const char *
gpt_source_name(GptSourceKind kind)
{
	return query_names[kind];
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
 * In a rewritten query, which has the views and the policies of its tables in it. The bodies of
 * functions are not looked into.
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

/* Where it runs elsewhere, in a worker, there are none of the session's temporary relations. */
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

	/* Not relationOids: any constant of type oid is there too. */
	foreach (cell, plan->rtable)
	{
		const RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);
		Oid relation = entry->relid;

		if (elsewhere && entry->rtekind == RTE_RELATION &&
			get_rel_persistence(relation) == RELPERSISTENCE_TEMP)
			ereport(
				ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s reads the temporary relation \"%s\"", name, get_rel_name(relation)),
				 errdetail(
					 "The process that reads the rows is not the session that owns the relation."),
				 errhint("Use a permanent table; it may be unlogged.")));
	}
}

/* ---- Beyond a watermark ------------------------------------------------- */

/* The type's own operator of that btree strategy, whatever search_path finds first. */
static char *
index_operator(Oid type, int strategy)
{
	const TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY);
	Oid number = get_opfamily_member(entry->btree_opf, entry->btree_opintype, entry->btree_opintype,
									 strategy);
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(number));
	Form_pg_operator operator;
	char *text;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "type %u has no operator of strategy %d", type, strategy);
	operator=(Form_pg_operator) GETSTRUCT(tuple);
	text = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(operator->oprnamespace)),
					NameStr(operator->oprname));
	ReleaseSysCache(tuple);
	return text;
}

/*
 * The rows after the query's own ORDER BY and LIMIT. A line break ends a comment at the query's
 * end.
 */
char *
gpt_source_beyond(const char *query, const GptSourceColumn *column, const char *value, bool beyond)
{
	const RawStmt *statement = linitial_node(RawStmt, pg_parse_query(query));
	const char *first = query + statement->stmt_location;
	int size = statement->stmt_len > 0 ? statement->stmt_len : (int) strlen(first);
	Oid type = gpt_source_watermark_type(column->type);

	return psprintf(
		"SELECT * FROM (\n%.*s\n) AS gpt_rows WHERE gpt_rows.%s %s %s::%s", size, first,
		quote_identifier(column->name),
		index_operator(column->type, beyond ? BTGreaterStrategyNumber : BTLessEqualStrategyNumber),
		quote_literal_cstr(value),
		format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
}

/* ---- Read --------------------------------------------------------------- */

/*
 * How the values of a column become bytes: by their cast to text, as SQL has it and as functions
 * receive them. It is more than the output function: that of char(n) gives the padding, that of a
 * boolean a letter, and a type may have a cast of its own.
 */
typedef struct TextColumn
{
	bool is_text; /* by its bytes: there is nothing to compute */
	ExprState *cast; /* of the value in case_value of the reader's expression context */
} TextColumn;

/*
 * Receives the rows from the executor; none is kept. SPI takes the rows of a DestNone for unwanted.
 */
typedef struct Reader
{
	DestReceiver receiver;
	GptSourceShape shape;
	GptSourceCallback callback;
	void *context;
	TextColumn text;
	TextColumn prompt;
	TextColumn label;
	ExprContext *expressions;
	Oid label_element; /* of an array of labels; InvalidOid: it is none */
	Oid weight_type;
	MemoryContext row_context;
	TimestampTz deadline; /* 0: none */
	uint64 n_rows;
} Reader;

/* As `value::text` is analysed and planned; a domain is cast as what it is over. */
static void
start_text(TextColumn *column, Oid type, Oid collation)
{
	CaseTestExpr *value = makeNode(CaseTestExpr);
	Node *cast;
	Node *bare;

	value->typeId = type;
	value->typeMod = -1;
	value->collation = collation;
	cast = coerce_to_target_type(NULL, (Node *) value, type, TEXTOID, -1, COERCION_EXPLICIT,
								 COERCE_EXPLICIT_CAST, -1);
	if (cast == NULL)
		elog(ERROR, "type %u has no cast to text", type);
	for (bare = cast; IsA(bare, RelabelType);)
		bare = (Node *) ((RelabelType *) bare)->arg;
	column->is_text = IsA(bare, CaseTestExpr);
	column->cast = column->is_text ? NULL : ExecInitExpr(expression_planner((Expr *) cast), NULL);
}

/*
 * The query is parsed once more to run, and what it means can have changed since it was checked: a
 * function of the query may set search_path or replace what the query uses.
 */
static void
check_still(TupleDesc columns, const GptSourceColumn *wanted, int n)
{
	bool same = columns->natts == n;

	for (int i = 0; same && i < n; i++)
		same = TupleDescAttr(columns, i)->atttypid == wanted[i].type &&
			   strcmp(NameStr(TupleDescAttr(columns, i)->attname), wanted[i].name) == 0;
	if (!same)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("columns of query have changed since it was checked")));
}

static void
start_column(TextColumn *column, TupleDesc columns, int number, Oid type)
{
	start_text(column, type, TupleDescAttr(columns, number - 1)->attcollation);
}

static void
start_reader(DestReceiver *receiver, int operation, TupleDesc columns)
{
	Reader *reader = (Reader *) receiver;
	const GptSourceShape *shape = &reader->shape;

	check_still(columns, shape->columns, shape->n_columns);
	reader->expressions = CreateStandaloneExprContext();
	start_column(&reader->text, columns, shape->text_column,
				 shape->columns[shape->text_column - 1].type);
	if (shape->prompt_column != 0)
		start_column(&reader->prompt, columns, shape->prompt_column,
					 shape->columns[shape->prompt_column - 1].type);
	if (shape->label_column != 0)
	{
		Oid type = shape->columns[shape->label_column - 1].type;

		reader->label_element =
			shape->label_is_set ? get_element_type(getBaseType(type)) : InvalidOid;
		start_column(&reader->label, columns, shape->label_column,
					 shape->label_is_set ? reader->label_element : type);
	}
	if (shape->weight_column != 0)
		reader->weight_type =
			getBaseType(TupleDescAttr(columns, shape->weight_column - 1)->atttypid);
}

static const char *text_of_value(size_t *size, Reader *reader, Datum value, bool isnull,
								 TextColumn *column);

static void
check_time(Reader *reader)
{
	if (reader->n_rows++ % ROWS_PER_TIME_CHECK == 0 && reader->deadline != 0 &&
		GetCurrentTimestamp() > reader->deadline)
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
						errmsg("reading the rows takes longer than gpt.read_timeout, %d s",
							   gpt_read_timeout)));
}

static const char *
text_of(size_t *size, Reader *reader, TupleTableSlot *slot, int number, TextColumn *column)
{
	bool isnull;
	Datum value = slot_getattr(slot, number, &isnull);

	return text_of_value(size, reader, value, isnull, column);
}

/*
 * NULL for a null, in the reader's row context. A cast may make a null of a value, and a value of a
 * null.
 */
static const char *
text_of_value(size_t *size, Reader *reader, Datum value, bool isnull, TextColumn *column)
{
	struct varlena *text_value;

	*size = 0;
	if (!column->is_text)
	{
		reader->expressions->caseValue_datum = value;
		reader->expressions->caseValue_isNull = isnull;
		value = ExecEvalExpr(column->cast, reader->expressions, &isnull);
	}
	if (isnull)
		return NULL;
	text_value = PG_DETOAST_DATUM_PACKED(value);
	*size = VARSIZE_ANY_EXHDR(text_value);
	return VARDATA_ANY(text_value);
}

static double
number_of(Datum value, Oid type)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return (double) DatumGetInt64(value);
		case FLOAT4OID:
			return DatumGetFloat4(value);
		case FLOAT8OID:
			return DatumGetFloat8(value);
		case NUMERICOID:
			return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
		default:
			elog(ERROR, "type %u is not a number", type);
	}
}

/*
 * A weight that is not 0 must stay one when it is a float32 and the weights of a step are divided
 * by their sum.
 */
static double
weight_of(Reader *reader, TupleTableSlot *slot)
{
	bool isnull;
	Datum value = slot_getattr(slot, reader->shape.weight_column, &isnull);
	double weight = isnull ? 1 : number_of(value, reader->weight_type);

	if (weight != 0 && !(weight >= LM_WEIGHT_MIN && weight <= LM_WEIGHT_MAX))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("weight of row " UINT64_FORMAT " is %g", reader->n_rows, weight),
						errdetail("A weight is 0 (the row is skipped) or lies between %g and %.0f.",
								  LM_WEIGHT_MIN, LM_WEIGHT_MAX)));
	return weight;
}

/* As a string; NULL for a null. */
static const char *
label_of(Reader *reader, Datum value, bool isnull)
{
	size_t size;
	const char *text = text_of_value(&size, reader, value, isnull, &reader->label);

	if (text == NULL)
		return NULL;
	if (size > GPT_LABEL_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("label of row " UINT64_FORMAT " has %zu bytes, at most %d are possible",
						reader->n_rows, size, GPT_LABEL_SIZE)));
	return pnstrdup(text, size);
}

/*
 * The array is not taken apart before it is known to have no more elements than there can be
 * labels.
 */
static void
read_array(GptSourceRow *row, Reader *reader, Datum value)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	const char **labels;
	Datum *values;
	bool *nulls;
	int16 length;
	bool by_value;
	char alignment;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("label of row " UINT64_FORMAT " is an array of %d dimensions",
							   reader->n_rows, ARR_NDIM(array)),
						errdetail("The labels of a row are one list.")));
	if (n > LM_MAX_LABELS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("label of row " UINT64_FORMAT " has %d elements, at most %d are possible",
						reader->n_rows, n, LM_MAX_LABELS)));
	get_typlenbyvalalign(reader->label_element, &length, &by_value, &alignment);
	deconstruct_array(array, reader->label_element, length, by_value, alignment, &values, &nulls,
					  &n);
	labels = palloc(Max(n, 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		const char *label = label_of(reader, values[i], nulls[i]);

		if (label != NULL)
			labels[row->n_labels++] = label;
	}
	row->labels = labels;
}

static void
read_labels(GptSourceRow *row, Reader *reader, TupleTableSlot *slot)
{
	bool isnull;
	Datum value = slot_getattr(slot, reader->shape.label_column, &isnull);
	const char *label;
	const char **labels;

	if (OidIsValid(reader->label_element))
	{
		if (!isnull)
			read_array(row, reader, value);
		return;
	}
	label = label_of(reader, value, isnull);
	if (label == NULL)
		return;
	labels = palloc(sizeof(char *));
	labels[row->n_labels++] = label;
	row->labels = labels;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	Reader *reader = (Reader *) receiver;
	GptSourceRow row = {.weight = 1};
	MemoryContext old_context = MemoryContextSwitchTo(reader->row_context);

	CHECK_FOR_INTERRUPTS();
	check_time(reader);
	row.number = reader->n_rows;
	row.text = text_of(&row.size, reader, slot, reader->shape.text_column, &reader->text);
	if (reader->shape.prompt_column != 0)
		row.prompt =
			text_of(&row.prompt_size, reader, slot, reader->shape.prompt_column, &reader->prompt);
	if (reader->shape.label_column != 0)
		read_labels(&row, reader, slot);
	if (reader->shape.weight_column != 0)
		row.weight = weight_of(reader, slot);
	if (reader->shape.validation_column != 0)
	{
		bool isnull;
		Datum value = slot_getattr(slot, reader->shape.validation_column, &isnull);

		row.validation = !isnull && DatumGetBool(value);
	}
	if (reader->shape.watermark_column != 0)
	{
		bool isnull;

		row.watermark = slot_getattr(slot, reader->shape.watermark_column, &isnull);
		row.has_watermark = !isnull;
		row.watermark_attribute =
			TupleDescAttr(slot->tts_tupleDescriptor, reader->shape.watermark_column - 1);
	}
	reader->callback(reader->context, &row);

	MemoryContextSwitchTo(old_context);
	MemoryContextReset(reader->row_context);
	return true;
}

/* Before the memory of the executor goes, in which the casts live. */
static void
end_reader(DestReceiver *receiver)
{
	Reader *reader = (Reader *) receiver;

	if (reader->expressions != NULL)
		FreeExprContext(reader->expressions, true);
	reader->expressions = NULL;
}

static void
destroy_reader(DestReceiver *receiver)
{
}

void
gpt_source_read(const char *query, GptSourceKind kind, const char *watermark,
				GptSourceCallback callback, void *context)
{
	Reader reader = {{receive_row, start_reader, end_reader, destroy_reader, DestTuplestore}};
	SPIExecuteOptions options = {
		.read_only = true, .must_return_tuples = true, .dest = &reader.receiver};
	int guc_level = NewGUCNestLevel();
	int result;

	/* SPI's read-only leaves the functions of the query free to write. */
	(void) set_config_option("transaction_read_only", "on", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	gpt_source_check(&reader.shape, query, kind, watermark);
	reader.callback = callback;
	reader.context = context;
	reader.row_context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt source row", ALLOCSET_DEFAULT_SIZES);
	if (gpt_read_timeout > 0 && kind != GPT_SOURCE_EVALUATE)
		reader.deadline =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) gpt_read_timeout * 1000);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_extended(query, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "reading the rows of a query failed: %s", SPI_result_code_string(result));
	SPI_finish();
	AtEOXact_GUC(true, guc_level);
	MemoryContextDelete(reader.row_context);
}
