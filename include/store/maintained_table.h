/*
 * include/store/maintained_table.h
 *
 * The table of a maintained column, as it is now: names, types and operators for statements, and
 * the text form of keys.
 *
 * The key of a row is kept as text: of one column, its value by the type's output function; of
 * several, the text of a text[] of these. It is written under settings of its own
 * (gpt_key_text_begin), so that a key has one text whatever the session's settings are.
 */
#ifndef GPT_MAINTAINED_TABLE_H
#define GPT_MAINTAINED_TABLE_H

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

#include "store/maintenance.h"

/* A column, for statements; names are quoted. */
typedef struct GptColumnFacts
{
	AttrNumber number;
	const char *name;
	const char *type; /* qualified, with its modifier */
	Oid type_oid;
	int32 type_modifier;
	const char *equals; /* OPERATOR(schema.=), and the same for >; of key columns */
	const char *greater;
	bool plain; /* both stand in pg_catalog */
} GptColumnFacts;

typedef struct GptMaintainedTable
{
	const char *name; /* qualified and quoted */
	const char *source; /* the same after ONLY, unless it is partitioned */
	const char *alias; /* the name alone, quoted */
	bool partitioned;
	GptColumnFacts column;
	int n_keys;
	int n_reads;
	GptColumnFacts *keys;
	GptColumnFacts *reads;
} GptMaintainedTable;

/*
 * Finds a unique key that names rows for good: a B-tree that is no partial one, has no expressions,
 * is not deferrable, orders by the default operators, and whose columns are NOT NULL; a primary key
 * first. Sets *keys, palloc'd, and returns their number; 0: there is none. among: NULL, or the
 * columns that it must have.
 */
extern int gpt_maintained_key(AttrNumber **keys, Relation relation, const AttrNumber *among,
							  int n_among);

/*
 * Reads the facts of a local maintenance. Raises an error if a column was dropped, or if its key is
 * none any more.
 */
extern void gpt_maintained_table_read(GptMaintainedTable *table, Relation relation,
									  const GptMaintenance *maintenance);

/*
 * Raises an error unless the role of the maintenance still owns the table and its partitions; a
 * superuser must be their owner itself. Otherwise triggers, policies and rules of another owner
 * would run as that role. Call it under a lock that keeps the owner from changing. Locks partitions
 * like that.
 */
extern void gpt_maintained_check_owner(const GptMaintenance *maintenance, Relation relation,
									   LOCKMODE lock);

/* Whether table or column no longer exist, so that there is nothing to maintain. */
extern bool gpt_maintained_is_gone(const GptMaintenance *maintenance);

/*
 * Names of columns and the expression as they are now go into the maintenance; true where that
 * changes it.
 */
extern bool gpt_maintained_refresh(GptMaintenance *maintenance, Relation relation);

/* ---- Expressions ---------------------------------------------------------- */

/*
 * Parses an expression over the columns of the relation, as the current role, and checks that its
 * value can be assigned to the column. Sets *tree, *text and the columns that it reads.
 */
extern void gpt_maintained_parse(char **tree, char **text, Bitmapset **reads, Relation relation,
								 const char *expression, AttrNumber column);

/*
 * The text of a tree with names as they are now, all qualified; NULL: a function of it was dropped.
 */
extern char *gpt_maintained_text(const char *tree, Relation relation);

/* ---- Triggers ------------------------------------------------------------- */

/*
 * Creates the triggers that mark changed rows, as the current role, on the table and its partitions
 * where they are missing. Returns the partitions, but not the table itself, that lacked one.
 */
extern List *gpt_maintained_create_triggers(Oid relation);

/*
 * For partitions that were created or attached since: creates their triggers, and marks their rows
 * whose column is null. As the current role.
 */
extern void gpt_maintained_adopt_partitions(const GptMaintenance *maintenance);

/* Drops them from the table and its partitions. */
extern void gpt_maintained_drop_triggers(Oid relation);

/* ---- Keys as text --------------------------------------------------------- */

/* How the columns of a key become text; palloc'd. */
typedef struct GptKeyText
{
	int n;
	AttrNumber *columns;
	Oid *functions;
	bool depends; /* on settings */
} GptKeyText;

extern void gpt_key_text_init(GptKeyText *form, TupleDesc description, const AttrNumber *columns,
							  int n);

/* Around gpt_key_text: sets the settings, if the key depends on them, and takes them back. */
extern int gpt_key_text_begin(const GptKeyText *form);
extern void gpt_key_text_end(const GptKeyText *form, int level);

/* The text of the key in a slot, palloc'd. */
extern char *gpt_key_text(const GptKeyText *form, TupleTableSlot *slot);

/* Sets those settings for the rest of the transaction. */
extern void gpt_key_text_settings(void);

/* An SQL expression of column `number` (from 0) of a key whose text is the SQL expression `key`. */
extern char *gpt_key_value(const GptMaintainedTable *table, const char *key, int number);

#endif /* GPT_MAINTAINED_TABLE_H */
