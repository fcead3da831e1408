/*
 * src/serve/planning_width.c
 *
 * An expression of text in, how long its values are expected to be out: constants by their length,
 * columns by the statistics of the table, other expressions by the columns and constants in them.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "core/compat.h"
#include "serve/planning_parts.h"

#define USUAL_BYTES 100 /* of texts of which nothing is known */
#define USUAL_ELEMENTS 10 /* of arrays, as estimate_array_length has it */

typedef struct Sum
{
	PlannerInfo *root;
	GptPlannedWidth width;
	int n_columns;
} Sum;

static bool add_parts(Node *node, void *context);
static GptPlannedWidth width_of_constant(const Const *constant);
static GptPlannedWidth width_of_column(PlannerInfo *root, const Var *column);
static double bytes_out_of_line(Oid table);

GptPlannedWidth
gpt_planned_width(PlannerInfo *root, Node *expression)
{
	Sum sum = {.root = root};
	Oid type = exprType(expression);

	if (IsA(expression, RelabelType))
		return gpt_planned_width(root, (Node *) ((RelabelType *) expression)->arg);
	if (IsA(expression, Const))
		return width_of_constant((Const *) expression);
	add_parts(expression, &sum);
	if (sum.n_columns == 0 && sum.width.bytes == 0)
		sum.width.bytes = USUAL_BYTES;
	sum.width.elements = 1;
	if (IsA(expression, ArrayExpr))
		sum.width.elements = list_length(((ArrayExpr *) expression)->elements);
	else if (OidIsValid(get_element_type(type)))
		sum.width.elements = USUAL_ELEMENTS;
	/* A NULL in one of several columns need not make the whole NULL. */
	if (!IsA(expression, Var))
		sum.width.nulls = 0;
	return sum.width;
}

static bool
add_parts(Node *node, void *context)
{
	Sum *sum = context;

	if (node == NULL)
		return false;
	if (IsA(node, Const))
	{
		Oid type = ((Const *) node)->consttype;

		if (type == TEXTOID || type == TEXTARRAYOID || type == JSONBOID)
			sum->width.bytes += width_of_constant((Const *) node).bytes;
		return false;
	}
	if (IsA(node, Var))
	{
		GptPlannedWidth width = width_of_column(sum->root, (Var *) node);

		sum->n_columns++;
		sum->width.bytes += width.bytes;
		sum->width.nulls = width.nulls;
		return false;
	}
	return expression_tree_walker(node, add_parts, context);
}

static GptPlannedWidth
width_of_constant(const Const *constant)
{
	GptPlannedWidth width = {.elements = 1};

	if (constant->constisnull || constant->constlen != -1)
		return width;
	width.bytes = (double) (toast_raw_datum_size(constant->constvalue) - VARHDRSZ);
	if (OidIsValid(get_element_type(constant->consttype)))
	{
		ArrayType *array = DatumGetArrayTypeP(constant->constvalue);

		width.elements = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
		width.bytes -= (double) Min(ARR_DATA_OFFSET(array), VARSIZE(array));
		width.bytes = Max(width.bytes - VARHDRSZ * width.elements, 0);
	}
	return width;
}

static GptPlannedWidth
width_of_column(PlannerInfo *root, const Var *column)
{
	GptPlannedWidth width = {.elements = 1};
	RangeTblEntry *entry = NULL;
	int32 bytes = 0;

	if (root != NULL && column->varlevelsup == 0 && !IS_SPECIAL_VARNO(column->varno) &&
		column->varno <= (Index) list_length(root->parse->rtable))
		entry = planner_rt_fetch(column->varno, root);
	if (entry != NULL && entry->rtekind == RTE_RELATION && column->varattno > 0)
	{
		HeapTuple tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(entry->relid),
										  Int16GetDatum(column->varattno), BoolGetDatum(false));

		if (HeapTupleIsValid(tuple))
		{
			bytes = ((Form_pg_statistic) GETSTRUCT(tuple))->stawidth;
			width.nulls = ((Form_pg_statistic) GETSTRUCT(tuple))->stanullfrac;
			ReleaseSysCache(tuple);
		}
		else
			bytes = get_attavgwidth(entry->relid, column->varattno);
		if (bytes > 0)
			width.bytes = bytes_out_of_line(entry->relid);
	}
	if (bytes <= 0)
		bytes = get_typavgwidth(column->vartype, column->vartypmod);
	/* The widths of the statistics count headers. */
	width.bytes += Max(bytes - 1, 0);
	return width;
}

/*
 * ANALYZE counts values that are stored out of line by their pointers. The pages of the table that
 * has them say how long they are.
 */
static double
bytes_out_of_line(Oid table)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	double rows = 0;
	double pages = 0;
	Oid toast = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		toast = ((Form_pg_class) GETSTRUCT(tuple))->reltoastrelid;
		rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		ReleaseSysCache(tuple);
	}
	if (!OidIsValid(toast) || rows < 1)
		return 0;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(toast));
	if (HeapTupleIsValid(tuple))
	{
		pages = ((Form_pg_class) GETSTRUCT(tuple))->relpages;
		ReleaseSysCache(tuple);
	}
	return pages * BLCKSZ / rows;
}
