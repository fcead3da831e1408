/*
 * include/store/maintenance.h
 *
 * Maintained columns: the rows of gpt_maintenance, one for each column that gpt_maintain keeps up
 * to date.
 *
 * Columns are known by their numbers, so that they may be renamed; a row that was restored or
 * replicated from elsewhere (gpt_maintenance_is_local) knows them by the names that it has kept.
 * The row is written under a lock on the table (ShareRowExclusiveLock) by gpt_maintain and
 * gpt_unmaintain, and by the one process that maintains the columns of its owner. A change of what
 * it says about the expression raises its generation, and the process commits nothing for an older
 * one.
 */
#ifndef GPT_MAINTENANCE_H
#define GPT_MAINTENANCE_H

#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "core/options.h"

/* A row of gpt_maintenance, palloc'd. */
typedef struct GptMaintenance
{
	int64 number; /* 0: not inserted yet */
	Oid relation;
	AttrNumber attribute;
	int n_keys;
	int n_reads;
	AttrNumber *keys; /* of a unique key */
	AttrNumber *reads; /* columns of the expression, in their order */
	char *column;
	char **key_names;
	char **read_names;
	Oid owner;
	int64 system_identifier;
	Oid database;
	bool failed;
	char *expression; /* with qualified names */
	char *tree; /* of the parsed expression, as nodeToString gives it */
	Jsonb *options;
	Jsonb *settings;
	int32 generation;
	bool filled; /* all rows of before have their values, or are marked */
	char *last_key; /* up to which they have; NULL: none has */
	int32 starts; /* of workers since the last commit of a value */
	int32 tries; /* since then, that failed for all rows */
	TimestampTz retry_at; /* 0: now */
} GptMaintenance;

/* Whether the row was written in this database of this cluster: a copied row does nothing. */
extern bool gpt_maintenance_is_local(const GptMaintenance *maintenance);

/* The maintenance of that number under a new snapshot; NULL: there is none. */
extern GptMaintenance *gpt_maintenance_read(int64 number);

/* The maintenances of a table, as a List, under a new snapshot. */
extern List *gpt_maintenance_of_table(Oid relation);

/* The maintenance of a column, by its number, or by its name in copied rows; NULL: none. */
extern GptMaintenance *gpt_maintenance_of_column(Oid relation, AttrNumber attribute,
												 const char *name);

/*
 * Inserts the row, or replaces what gpt_maintain gives in the row of that number, with owner and
 * origin. anew: forgets how far the filling has come and all marks; otherwise rows that failed get
 * new tries. Returns the number.
 */
extern int64 gpt_maintenance_write(const GptMaintenance *maintenance, bool anew);

/* Removes a maintenance and its marks. */
extern void gpt_maintenance_delete(int64 number);

/* Removes those whose table or column no longer exists. */
extern void gpt_maintenance_sweep(void);

/* Whether rows wait for their value, or for another try. */
extern bool gpt_maintenance_waits(int64 number);

/* The last error of all rows, palloc'd; NULL: none. */
extern char *gpt_maintenance_error(int64 number);

/* ---- For workers ---------------------------------------------------------- */

/* What a maintenance has to do. */
typedef struct GptMaintenanceWork
{
	int64 number;
	bool fresh; /* rows are marked */
	bool due; /* rows wait for another try, and it is time */
	bool fills;
	/* the time until something is due, in ms; 0: now; -1: nothing is known to become due */
	int64 wait_ms;
} GptMaintenanceWork;

/* A List of GptMaintenanceWork: local maintenances of the owner that have not failed. */
extern List *gpt_maintenance_work(Oid owner);

/* The owners of local maintenances that have something to do now, as a List of oids. */
extern List *gpt_maintenance_owners(void);

/* Names of columns and the expression as they are now, for dumps. */
extern void gpt_maintenance_set_names(const GptMaintenance *maintenance);

/* Counts a start; returns how many there were since the last value. _uncount takes it back. */
extern int gpt_maintenance_count_start(int64 number);
extern void gpt_maintenance_uncount_start(int64 number);

/*
 * In the transaction that writes n values: the position of the filling (last_key, NULL: as it is;
 * filled), and the end of all failures. Raises an error if the generation has changed.
 */
extern void gpt_maintenance_record(const GptMaintenance *maintenance, int64 n, const char *last_key,
								   bool filled);

/* An error of all rows; it is tried again at that time, or, if that is 0, not any more. */
extern void gpt_maintenance_fail(int64 number, const char *error, TimestampTz retry_at);

/* All of an owner, whose worker cannot connect. */
extern void gpt_maintenance_fail_owner(Oid owner, const char *error);

/*
 * The numbers of local maintenances of partitioned tables, of roles whose privileges the current
 * role has, as a List of int64 *.
 */
extern List *gpt_maintenance_of_partitions(void);

/*
 * Those that failed, of roles whose privileges the current role has, are tried again. Returns a
 * List of the owners of local maintenances that have something to do.
 */
extern List *gpt_maintenance_retry(int64 *n_with_work);

#endif /* GPT_MAINTENANCE_H */
