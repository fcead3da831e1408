/*
 * src/store/maintained_table.c
 *
 * A table and the numbers of columns go in; the pieces of SQL that name them come out.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "core/compat.h"
#include "store/maintained_table.h"

static void read_column(GptColumnFacts *column, Relation relation, AttrNumber number);
static void read_operators(GptColumnFacts *column, Relation relation);

/* ---- Keys --------------------------------------------------------------- */

static bool
has_default_operators(Relation relation, Relation index)
{
	TupleDesc columns = RelationGetDescr(relation);

	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		AttrNumber number = index->rd_index->indkey.values[i];
		Oid operators;

		if (number <= 0 || !TupleDescAttr(columns, number - 1)->attnotnull)
			return false;
		operators = GetDefaultOpClass(TupleDescAttr(columns, number - 1)->atttypid, BTREE_AM_OID);
		if (!OidIsValid(operators) || get_opclass_family(operators) != index->rd_opfamily[i])
			return false;
	}
	return true;
}

static bool
names_rows(Relation relation, Relation index)
{
	Form_pg_index form = index->rd_index;

	return form->indisunique && form->indimmediate && form->indisvalid && form->indislive &&
		   index->rd_rel->relam == BTREE_AM_OID && RelationGetIndexPredicate(index) == NIL &&
		   RelationGetIndexExpressions(index) == NIL && has_default_operators(relation, index);
}

static bool
has_columns(Relation index, const AttrNumber *among, int n)
{
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		bool found = false;

		for (int k = 0; k < n; k++)
			found = found || among[k] == index->rd_index->indkey.values[i];
		if (!found)
			return false;
	}
	return true;
}

int
gpt_maintained_key(AttrNumber **keys, Relation relation, const AttrNumber *among, int n_among)
{
	List *indexes = RelationGetIndexList(relation);
	bool is_primary = false;
	int n_found = 0;
	ListCell *cell;

	*keys = NULL;
	foreach (cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		int n = IndexRelationGetNumberOfKeyAttributes(index);
		bool is_better = n_found == 0 || (!is_primary && index->rd_index->indisprimary) ||
						 (!is_primary && n < n_found);

		if (is_better && names_rows(relation, index) &&
			(among == NULL || has_columns(index, among, n_among)))
		{
			n_found = n;
			is_primary = index->rd_index->indisprimary;
			*keys = palloc(n * sizeof(AttrNumber));
			for (int i = 0; i < n; i++)
				(*keys)[i] = index->rd_index->indkey.values[i];
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return n_found;
}

/* ---- Facts -------------------------------------------------------------- */

void
gpt_maintained_table_read(GptMaintainedTable *table, Relation relation,
						  const GptMaintenance *maintenance)
{
	const char *schema = get_namespace_name(RelationGetNamespace(relation));
	AttrNumber *unused;

	MemSet(table, 0, sizeof(GptMaintainedTable));
	table->name = quote_qualified_identifier(schema, RelationGetRelationName(relation));
	table->alias = pstrdup(quote_identifier(RelationGetRelationName(relation)));
	table->partitioned = relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	table->source = table->partitioned ? table->name : psprintf("ONLY %s", table->name);
	table->n_keys = maintenance->n_keys;
	table->n_reads = maintenance->n_reads;
	table->keys = palloc0(table->n_keys * sizeof(GptColumnFacts));
	table->reads = palloc0(Max(table->n_reads, 1) * sizeof(GptColumnFacts));
	read_column(&table->column, relation, maintenance->attribute);
	for (int i = 0; i < table->n_reads; i++)
		read_column(&table->reads[i], relation, maintenance->reads[i]);
	for (int i = 0; i < table->n_keys; i++)
	{
		read_column(&table->keys[i], relation, maintenance->keys[i]);
		read_operators(&table->keys[i], relation);
	}
	if (gpt_maintained_key(&unused, relation, maintenance->keys, maintenance->n_keys) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("table \"%s\" has no unique key on the columns any more that named "
							   "its rows",
							   RelationGetRelationName(relation)),
						errhint("Create it again, or call gpt_maintain again, which chooses "
								"another one.")));
}

static void
read_column(GptColumnFacts *column, Relation relation, AttrNumber number)
{
	TupleDesc columns = RelationGetDescr(relation);
	Form_pg_attribute attribute;

	if (number < 1 || number > columns->natts || TupleDescAttr(columns, number - 1)->attisdropped)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("a column of table \"%s\" that the maintenance needs was dropped",
						RelationGetRelationName(relation)),
				 errhint("Call gpt_maintain again with another expression, or gpt_unmaintain.")));
	attribute = TupleDescAttr(columns, number - 1);
	column->number = number;
	column->name = pstrdup(quote_identifier(NameStr(attribute->attname)));
	column->type_oid = attribute->atttypid;
	column->type_modifier = attribute->atttypmod;
	column->type = format_type_extended(attribute->atttypid, attribute->atttypmod,
										FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

static const char *
operator_text(bool *plain, Oid operator)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char *text;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	*plain = *plain && form->oprnamespace == PG_CATALOG_NAMESPACE;
	text = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return text;
}

/* Those of the default class of the column's type, which the key's index has, too. */
static void
read_operators(GptColumnFacts *column, Relation relation)
{
	Oid type = TupleDescAttr(RelationGetDescr(relation), column->number - 1)->atttypid;
	Oid class = GetDefaultOpClass(type, BTREE_AM_OID);
	Oid input = OidIsValid(class) ? get_opclass_input_type(class) : InvalidOid;
	Oid family = OidIsValid(class) ? get_opclass_family(class) : InvalidOid;
	Oid equals =
		OidIsValid(class) ? get_opfamily_member(family, input, input, BTEqualStrategyNumber) : 0;
	Oid greater =
		OidIsValid(class) ? get_opfamily_member(family, input, input, BTGreaterStrategyNumber) : 0;

	if (!OidIsValid(equals) || !OidIsValid(greater))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("type %s of key column %s has no order", column->type, column->name)));
	column->plain = true;
	column->equals = operator_text(&column->plain, equals);
	column->greater = operator_text(&column->plain, greater);
}

/* ---- Owners ------------------------------------------------------------- */

static void
check_owner(Oid relation, Oid owner, Oid role)
{
	if (owner == role || (!superuser_arg(role) && gpt_class_ownercheck(relation, role)))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("role \"%s\" no longer owns table \"%s\"",
						   GetUserNameFromId(role, false), get_rel_name(relation)),
					errdetail("The worker is the role that called gpt_maintain, and would run "
							  "triggers of the new owner."),
					errhint("Call gpt_maintain again as the owner.")));
}

void
gpt_maintained_check_owner(const GptMaintenance *maintenance, Relation relation, LOCKMODE lock)
{
	ListCell *cell;

	check_owner(RelationGetRelid(relation), relation->rd_rel->relowner, maintenance->owner);
	if (relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return;
	foreach (cell, find_all_inheritors(RelationGetRelid(relation), lock, NULL))
	{
		HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(cell)));
		Oid owner;

		if (!HeapTupleIsValid(tuple))
			continue;
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
		check_owner(lfirst_oid(cell), owner, maintenance->owner);
	}
}

bool
gpt_maintained_is_gone(const GptMaintenance *maintenance)
{
	HeapTuple tuple;
	bool gone;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(maintenance->relation)))
		return true;
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(maintenance->relation),
							Int16GetDatum(maintenance->attribute));
	gone = !HeapTupleIsValid(tuple) || ((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped;
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return gone;
}

/* ---- Names -------------------------------------------------------------- */

static bool
refresh_name(char **name, Relation relation, AttrNumber number)
{
	TupleDesc columns = RelationGetDescr(relation);
	const char *now;

	if (number < 1 || number > columns->natts)
		return false;
	now = NameStr(TupleDescAttr(columns, number - 1)->attname);
	if (TupleDescAttr(columns, number - 1)->attisdropped || strcmp(*name, now) == 0)
		return false;
	*name = pstrdup(now);
	return true;
}

bool
gpt_maintained_refresh(GptMaintenance *maintenance, Relation relation)
{
	bool changed = refresh_name(&maintenance->column, relation, maintenance->attribute);
	char *text;

	for (int i = 0; i < maintenance->n_keys; i++)
		changed |= refresh_name(&maintenance->key_names[i], relation, maintenance->keys[i]);
	for (int i = 0; i < maintenance->n_reads; i++)
		changed |= refresh_name(&maintenance->read_names[i], relation, maintenance->reads[i]);
	text = gpt_maintained_text(maintenance->tree, relation);
	if (text == NULL || strcmp(text, maintenance->expression) == 0)
		return changed; /* the text may find a function that was created again */
	maintenance->expression = text;
	return true;
}
