/*
 * src/store/maintained_trigger.c
 *
 * The triggers of a maintained table: created on the table and each of its partitions, since a
 * statement fires those of the table that it names alone, and dropped again.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "executor/spi.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

#include "core/compat.h"
#include "core/extension.h"
#include "store/maintained_table.h"

#define FUNCTION "gpt_maintain_trigger"

/* The two triggers. */
static const struct
{
	const char *name;
	int16 event;
	const char *definition; /* before ON, and after it */
	const char *tables;
} triggers[] = {
	{"gpt_maintain_insert", TRIGGER_TYPE_INSERT, "AFTER INSERT", "NEW TABLE AS gpt_new"},
	{"gpt_maintain_update", TRIGGER_TYPE_UPDATE, "AFTER UPDATE",
	 "OLD TABLE AS gpt_old NEW TABLE AS gpt_new"},
};

static void
execute(const char *command)
{
	int level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not execute: %s", command);
	SPI_finish();
	AtEOXact_GUC(false, level);
}

/* The trigger of this table that calls our function at the event, or NULL. */
static const Trigger *
find_trigger(Relation relation, Oid function, int16 event)
{
	TriggerDesc *description = relation->trigdesc;

	for (int i = 0; description != NULL && i < description->numtriggers; i++)
	{
		const Trigger *trigger = &description->triggers[i];

		if (trigger->tgfoid == function && (trigger->tgtype & event) != 0)
			return trigger;
	}
	return NULL;
}

static Oid
function_oid(void)
{
	List *name = gpt_qualified_name(psprintf("%s." FUNCTION, gpt_extension_schema()));

	return LookupFuncName(name, 0, NULL, false);
}

static const char *
qualified_name(Relation relation)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
									  RelationGetRelationName(relation));
}

/* Whether one was missing. */
static bool
create_missing(Relation relation, Oid function)
{
	const char *table = qualified_name(relation);
	bool missing = false;

	for (int i = 0; i < lengthof(triggers); i++)
	{
		if (find_trigger(relation, function, triggers[i].event) != NULL)
			continue;
		missing = true;
		execute(psprintf("CREATE TRIGGER %s %s ON %s REFERENCING %s FOR EACH STATEMENT EXECUTE "
						 "FUNCTION %s." FUNCTION "()",
						 triggers[i].name, triggers[i].definition, table, triggers[i].tables,
						 gpt_extension_schema()));
	}
	return missing;
}

List *
gpt_maintained_create_triggers(Oid relation)
{
	Oid function = function_oid();
	List *lacked = NIL;
	ListCell *cell;

	foreach (cell, find_all_inheritors(relation, AccessShareLock, NULL))
	{
		Oid one = lfirst_oid(cell);
		Relation table = table_open(one, AccessShareLock);
		bool wanted = one == relation || table->rd_rel->relispartition;

		if (table->rd_rel->relkind != RELKIND_RELATION &&
			table->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
			wanted = false;
		if (wanted && create_missing(table, function) && one != relation)
			lacked = lappend_oid(lacked, one);
		table_close(table, NoLock);
	}
	return lacked;
}

/* Names of our triggers of a table, quoted; the table cannot be open when they are dropped. */
static List *
names_of_triggers(const char **name, Oid relation, Oid function)
{
	Relation table = table_open(relation, AccessShareLock);
	List *names = NIL;

	*name = qualified_name(table);
	for (int i = 0; i < lengthof(triggers); i++)
	{
		const Trigger *trigger = find_trigger(table, function, triggers[i].event);

		if (trigger != NULL)
			names = lappend(names, pstrdup(quote_identifier(trigger->tgname)));
	}
	table_close(table, NoLock);
	return names;
}

void
gpt_maintained_drop_triggers(Oid relation)
{
	Oid function = function_oid();
	ListCell *cell;

	foreach (cell, find_all_inheritors(relation, AccessShareLock, NULL))
	{
		const char *table;
		List *names = names_of_triggers(&table, lfirst_oid(cell), function);
		ListCell *name;

		foreach (name, names)
			execute(psprintf("DROP TRIGGER %s ON %s", (char *) lfirst(name), table));
	}
}
