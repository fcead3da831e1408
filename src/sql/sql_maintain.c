/*
 * src/sql/sql_maintain.c
 *
 * SQL functions that keep a column at the value of an expression, and end that.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "jobs/job_settings.h"
#include "jobs/maintain_launch.h"
#include "sql/arguments.h"
#include "sql/submit.h"
#include "store/maintained_table.h"
#include "store/mark.h"

#define LOOKED_AT 1000 /* rows that may have values */
#define LOOK_MS 50
#define START_MS 1000 /* between two attempts to start a worker */

PG_FUNCTION_INFO_V1(gpt_maintain);
PG_FUNCTION_INFO_V1(gpt_unmaintain);
PG_FUNCTION_INFO_V1(gpt_maintain_run);
PG_FUNCTION_INFO_V1(gpt_maintain_wait);

/* ---- The table ---------------------------------------------------------- */

static void
check_server(const char *function)
{
	gpt_bridge_check_encoding();
	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
}

static void
check_owner(Oid target)
{
	if (get_rel_name(target) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("table with OID %u does not exist", target)));
	if (!gpt_class_ownercheck(target, GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of table \"%s\"", get_rel_name(target)),
						errdetail("Only the owner of a table can maintain its columns.")));
}

static void
check_table(Relation relation)
{
	const char *name = RelationGetRelationName(relation);
	char kind = relation->rd_rel->relkind;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table", name)));
	if (IsSystemRelation(relation))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("\"%s\" is a system catalog", name)));
	if (relation->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot maintain a column of temporary table \"%s\"", name),
						errdetail("A worker does the work, which does not see the table.")));
	if (relation->rd_rel->relispartition)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("table \"%s\" is a partition", name),
						errhint("Call gpt_maintain for the partitioned table.")));
}

/* The table locked against changes of rows until the end of the transaction, and still owned. */
static Relation
open_table(Oid target)
{
	Relation relation;

	check_owner(target);
	relation = table_open(target, ShareRowExclusiveLock);
	check_owner(target);
	return relation;
}

static AttrNumber
column_number(Relation relation, const char *name)
{
	AttrNumber number = get_attnum(RelationGetRelid(relation), name);
	Form_pg_attribute attribute;

	if (number == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table \"%s\" does not exist", name,
							   RelationGetRelationName(relation))));
	attribute = number > 0 ? TupleDescAttr(RelationGetDescr(relation), number - 1) : NULL;
	if (attribute == NULL || attribute->attgenerated != '\0' ||
		attribute->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("column \"%s\" of table \"%s\" cannot be written", name,
						RelationGetRelationName(relation)),
				 errdetail("It is a generated column, an identity column or a system column.")));
	return number;
}

/* ---- What is maintained ------------------------------------------------- */

static char **
names_of(Relation relation, const AttrNumber *numbers, int n)
{
	char **names = palloc(Max(n, 1) * sizeof(char *));

	for (int i = 0; i < n; i++)
		names[i] =
			pstrdup(NameStr(TupleDescAttr(RelationGetDescr(relation), numbers[i] - 1)->attname));
	return names;
}

static void
set_key(GptMaintenance *maintenance, Relation relation)
{
	maintenance->n_keys = gpt_maintained_key(&maintenance->keys, relation, NULL, 0);
	if (maintenance->n_keys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key", RelationGetRelationName(relation)),
				 errdetail("A maintenance remembers rows by a primary key, or by a unique index on "
						   "NOT NULL columns that is neither partial nor deferrable.")));
	for (int i = 0; i < maintenance->n_keys; i++)
	{
		if (maintenance->keys[i] == maintenance->attribute)
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
							errmsg("column \"%s\" is part of the key that names rows",
								   maintenance->column)));
	}
	maintenance->key_names = names_of(relation, maintenance->keys, maintenance->n_keys);
}

static void
set_reads(GptMaintenance *maintenance, Relation relation, Bitmapset *reads)
{
	int number = -1;

	maintenance->reads = palloc(Max(bms_num_members(reads), 1) * sizeof(AttrNumber));
	while ((number = bms_next_member(reads, number)) >= 0)
		maintenance->reads[maintenance->n_reads++] = (AttrNumber) number;
	maintenance->read_names = names_of(relation, maintenance->reads, maintenance->n_reads);
}

/*
 * The row of before, if it says the same, keeps its position and marks. A copy may number columns
 * otherwise, so that only names and texts are compared.
 */
static bool
is_same(const GptMaintenance *before, const GptMaintenance *now)
{
	if (before == NULL || strcmp(before->expression, now->expression) != 0 ||
		before->n_keys != now->n_keys)
		return false;
	for (int i = 0; i < now->n_keys; i++)
	{
		if (strcmp(before->key_names[i], now->key_names[i]) != 0)
			return false;
	}
	return true;
}

/* As the owner: says that the first rows have values, which will be overwritten. */
static void
notice_values(Relation relation, const char *column)
{
	const char *name = quote_identifier(column);
	char *query =
		psprintf("SELECT FROM (SELECT %s FROM %s.%s LIMIT %d) s WHERE %s IS NOT NULL LIMIT 1", name,
				 quote_identifier(get_namespace_name(RelationGetNamespace(relation))),
				 quote_identifier(RelationGetRelationName(relation)), LOOKED_AT, name);
	bool has_values;

	SPI_connect();
	has_values = SPI_execute(query, true, 1) == SPI_OK_SELECT && SPI_processed > 0;
	SPI_finish();
	if (has_values)
		ereport(
			NOTICE,
			(errmsg("gpt_maintain overwrites the values of column \"%s\"", column),
			 errhint(
				 "With the option \"existing\": \"missing\" it fills only rows where the column is "
				 "null.")));
}

/* As the owner: parses and checks, creates the triggers, writes the row. */
static int64
maintain(Relation relation, char *column, const char *expression, Jsonb *json)
{
	const GptTrainOptions *options = gpt_options_parse(json, GPT_FUNCTION_MAINTAIN);
	GptMaintenance it = {.relation = RelationGetRelid(relation),
						 .column = column,
						 .owner = GetUserId(),
						 .options = json};
	GptMaintenance *before;
	Bitmapset *reads;
	ListCell *cell;

	it.attribute = column_number(relation, column);
	gpt_maintained_parse(&it.tree, &it.expression, &reads, relation, expression, it.attribute);
	set_key(&it, relation);
	set_reads(&it, relation, reads);
	it.settings = gpt_job_settings_capture();
	it.filled = options->existing == GPT_EXISTING_NONE;
	before = gpt_maintenance_of_column(it.relation, it.attribute, column);
	if (before != NULL && gpt_maintenance_is_local(before))
		(void) gpt_maintained_refresh(before, relation);

	/* Now do the work. */
	it.number = before != NULL ? before->number : 0;
	if (options->existing == GPT_EXISTING_ALL && !is_same(before, &it))
		notice_values(relation, column);
	(void) gpt_maintained_create_triggers(it.relation);
	it.number = gpt_maintenance_write(&it, !is_same(before, &it));
	foreach (cell, find_all_inheritors(it.relation, NoLock, NULL))
		CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
	gpt_maintain_launch_at_commit(it.owner);
	return it.number;
}

/*
 * The role that evaluates the expression: the current one, but never a superuser for the table of
 * another role, which could put code of its own behind the expression.
 */
static Oid
role_of(Relation relation)
{
	return superuser() ? relation->rd_rel->relowner : GetUserId();
}

/*
 * gpt_maintain(target regclass, column_name text, expression text, options jsonb DEFAULT '{}')
 *     -> bigint
 *
 * Keeps a column at the value of the expression; returns the number of the maintenance. Called
 * again for the same column, it replaces what is different, and tries failed rows again.
 */
Datum
gpt_maintain(PG_FUNCTION_ARGS)
{
	Relation relation;
	Oid user;
	int context;
	int64 number;

	gpt_argument_check_call(fcinfo);
	gpt_argument_required(fcinfo, 0, "target");
	gpt_argument_required(fcinfo, 1, "column_name");
	gpt_argument_required(fcinfo, 2, "expression");
	check_server("gpt_maintain()");
	relation = open_table(PG_GETARG_OID(0));
	check_table(relation);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(role_of(relation), context | SECURITY_LOCAL_USERID_CHANGE);
	gpt_submit_check_owner();
	gpt_maintenance_sweep();
	number = maintain(relation, gpt_argument_text(fcinfo, 1), gpt_argument_text(fcinfo, 2),
					  gpt_argument_options(fcinfo, 3));
	SetUserIdAndSecContext(user, context);
	table_close(relation, NoLock);
	PG_RETURN_INT64(number);
}

/* The maintenance of a column of a table that the current role owns; NULL: it has none. */
static GptMaintenance *
maintenance_of(FunctionCallInfo fcinfo)
{
	Oid target;
	char *column;

	gpt_argument_required(fcinfo, 0, "target");
	gpt_argument_required(fcinfo, 1, "column_name");
	target = PG_GETARG_OID(0);
	column = gpt_argument_text(fcinfo, 1);
	check_owner(target);
	return gpt_maintenance_of_column(target, get_attnum(target, column), column);
}

/*
 * gpt_unmaintain(target regclass, column_name text) -> boolean
 *
 * Ends a maintenance, with its marks and, if it was the last one of the table, the triggers. The
 * column keeps its values. False: the column was not maintained.
 */
Datum
gpt_unmaintain(PG_FUNCTION_ARGS)
{
	Oid target;
	const GptMaintenance *maintenance;
	ListCell *cell;

	gpt_argument_check_call(fcinfo);
	check_server("gpt_unmaintain()");
	maintenance = maintenance_of(fcinfo);
	target = PG_GETARG_OID(0);
	LockRelationOid(target, ShareRowExclusiveLock);
	maintenance = maintenance_of(fcinfo);
	if (maintenance == NULL)
	{
		if (get_attnum(target, gpt_argument_text(fcinfo, 1)) == InvalidAttrNumber)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("column \"%s\" of table \"%s\" does not exist",
								   gpt_argument_text(fcinfo, 1), get_rel_name(target))));
		PG_RETURN_BOOL(false);
	}

	/* Now do the work. */
	gpt_maintenance_delete(maintenance->number);
	if (gpt_maintenance_of_table(target) == NIL)
		gpt_maintained_drop_triggers(target);
	foreach (cell, find_all_inheritors(target, NoLock, NULL))
		CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
	PG_RETURN_BOOL(true);
}

/* As their owners, who own the tables. */
static void
adopt_partitions(void)
{
	ListCell *cell;
	Oid user;
	int context;

	GetUserIdAndSecContext(&user, &context);
	foreach (cell, gpt_maintenance_of_partitions())
	{
		const GptMaintenance *maintenance = gpt_maintenance_read(*(int64 *) lfirst(cell));

		if (maintenance == NULL || gpt_maintained_is_gone(maintenance))
			continue;
		SetUserIdAndSecContext(maintenance->owner, context | SECURITY_LOCAL_USERID_CHANGE);
		gpt_maintained_adopt_partitions(maintenance);
		SetUserIdAndSecContext(user, context);
	}
}

/*
 * gpt_maintain_run() -> bigint
 *
 * Tries failed maintenances again, of roles whose privileges the current role has, and starts
 * workers that are missing; returns the number of columns that have work.
 */
Datum
gpt_maintain_run(PG_FUNCTION_ARGS)
{
	ListCell *cell;
	int64 n;

	gpt_argument_check_call(fcinfo);
	check_server("gpt_maintain_run()");
	gpt_maintenance_sweep();
	adopt_partitions();
	foreach (cell, gpt_maintenance_retry(&n))
		gpt_maintain_launch_at_commit(lfirst_oid(cell));
	PG_RETURN_INT64(n);
}

/* ---- Waiting ------------------------------------------------------------ */

static void
raise_failed(const GptMaintenance *maintenance)
{
	char *error = gpt_maintenance_error(maintenance->number);

	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("the maintenance of column \"%s\" has failed", maintenance->column),
					error != NULL ? errdetail("%s", error) : 0,
					errhint("Call gpt_maintain_run when the cause is gone.")));
}

/* Whether no row waits; raises an error if nobody will ever compute those that do. */
static bool
is_current(FunctionCallInfo fcinfo)
{
	const GptMaintenance *maintenance = maintenance_of(fcinfo);

	if (maintenance == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("column \"%s\" is not maintained", gpt_argument_text(fcinfo, 1)),
						errhint("The view gpt_maintained lists those that are.")));
	if (!gpt_maintenance_is_local(maintenance))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the maintenance of column \"%s\" is a copy", maintenance->column),
						errhint("Call gpt_maintain here.")));
	if (maintenance->failed)
		raise_failed(maintenance);
	if (gpt_maintain_launch_pending(maintenance->owner))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("rows wait for this transaction"),
						errhint("Commit the transaction, then call gpt_maintain_wait.")));
	return maintenance->filled && !gpt_maintenance_waits(maintenance->number);
}

static void
wait_a_moment(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS,
					 gpt_wait_event("GptMaintainWait"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * gpt_maintain_wait(target regclass, column_name text, timeout interval DEFAULT NULL) -> boolean
 *
 * Waits until no row waits for its value, or until the timeout; returns whether none does. NULL
 * waits for ever. Starts a worker that is missing.
 */
Datum
gpt_maintain_wait(PG_FUNCTION_ARGS)
{
	TimestampTz end = DT_NOEND;
	TimestampTz started_at = GetCurrentTimestamp();
	MemoryContext context;
	MemoryContext old_context;
	bool current;

	gpt_argument_check_call(fcinfo);
	if (!PG_ARGISNULL(2))
		end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													  TimestampTzGetDatum(GetCurrentTimestamp()),
													  PG_GETARG_DATUM(2)));
	context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt_maintain_wait", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);
	while (!(current = is_current(fcinfo)) && GetCurrentTimestamp() < end)
	{
		if (!RecoveryInProgress() &&
			TimestampDifferenceExceeds(started_at, GetCurrentTimestamp(), START_MS))
		{
			(void) gpt_maintain_launch(gpt_maintenance_owners());
			started_at = GetCurrentTimestamp();
		}
		wait_a_moment();
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	PG_RETURN_BOOL(current);
}
