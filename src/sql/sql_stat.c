/*
 * src/sql/sql_stat.c
 *
 * The rows of the view gpt_stat_models, and gpt_stat_reset.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "core/bridge.h"
#include "core/statement.h"
#include "serve/stats.h"
#include "sql/arguments.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/weights.h"

PG_FUNCTION_INFO_V1(gpt_stat_rows);
PG_FUNCTION_INFO_V1(gpt_stat_reset);

#define COLUMNS (2 + GPT_STATS + 3)
#define NANOSECONDS 1e9

/* A version of the catalog. */
typedef struct Version
{
	char *model;
	int32 version;
	GptStatsKey key;
	bool is_current;
} Version;

static HTAB *read_counts(TimestampTz *since);
static List *read_versions(void);
static bool may_see(const Version *version, bool sees_all);
static void put_row(ReturnSetInfo *result, const Version *version, const GptStatsRow *row,
					TimestampTz since);

/*
 * gpt_stat_rows() RETURNS SETOF record    (the columns of gpt_stat_models)
 *
 * A row for each version that is current or has counts, of those that the current role may use, or
 * of all for members of pg_read_all_stats.
 */
Datum
gpt_stat_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool sees_all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	TimestampTz since;
	ListCell *cell;
	List *versions;
	HTAB *counts;

	gpt_argument_check_call(fcinfo);
	InitMaterializedSRF(fcinfo, 0);

	/* Now do the work. */
	versions = read_versions();
	counts = read_counts(&since);
	foreach (cell, versions)
	{
		const Version *version = lfirst(cell);
		const GptStatsRow *row = hash_search(counts, &version->key, HASH_FIND, NULL);

		CHECK_FOR_INTERRUPTS();
		if ((row != NULL || version->is_current) && may_see(version, sees_all))
			put_row(result, version, row, since);
	}
	hash_destroy(counts);
	return (Datum) 0;
}

/* GptStatsRow by their keys. */
static HTAB *
read_counts(TimestampTz *since)
{
	HASHCTL control = {.keysize = sizeof(GptStatsKey),
					   .entrysize = sizeof(GptStatsRow),
					   .hash = gpt_bridge_hash_blob,
					   .hcxt = CurrentMemoryContext};
	HTAB *counts = hash_create("gpt stats", GPT_STATS_VERSIONS, &control,
							   HASH_ELEM | HASH_FUNCTION | HASH_CONTEXT);
	int n;
	GptStatsRow *rows = gpt_stats_rows(&n, since);

	for (int i = 0; i < n; i++)
		*(GptStatsRow *) hash_search(counts, &rows[i].key, HASH_ENTER, NULL) = rows[i];
	pfree(rows);
	return counts;
}

static List *
read_versions(void)
{
	GptStatement statement;
	List *versions = NIL;
	uint64 n;

	gpt_statement_begin(&statement);
	n = gpt_statement_run(&statement,
						  "SELECT v.model, v.version, v.weights, v.run_id, m.model IS NOT NULL "
						  "FROM %1$s.gpt_version v LEFT JOIN %1$s.gpt_model m "
						  "ON m.model = v.model AND m.version = v.version ORDER BY 1, 2");
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext inner = MemoryContextSwitchTo(statement.caller);
		Version *version = palloc0(sizeof(Version));
		bool is_null;

		version->model = gpt_statement_text(&statement, i, 1);
		version->version = DatumGetInt32(gpt_statement_value(&statement, i, 2, &is_null));
		version->key.database = MyDatabaseId;
		version->key.weights = DatumGetObjectId(gpt_statement_value(&statement, i, 3, &is_null));
		version->key.run_id = *DatumGetUUIDP(gpt_statement_value(&statement, i, 4, &is_null));
		version->is_current = DatumGetBool(gpt_statement_value(&statement, i, 5, &is_null));
		versions = lappend(versions, version);
		MemoryContextSwitchTo(inner);
	}
	gpt_statement_end(&statement);
	return versions;
}

static bool
may_see(const Version *version, bool sees_all)
{
	return (sees_all || gpt_blob_can_use(version->key.weights)) &&
		   gpt_weights_belonging(version->key.weights, &version->key.run_id) != GPT_WEIGHTS_GONE;
}

/* row NULL: all counts are 0. */
static void
put_row(ReturnSetInfo *result, const Version *version, const GptStatsRow *row, TimestampTz since)
{
	Datum values[COLUMNS] = {0};
	bool nulls[COLUMNS] = {false};
	Datum *last = values + 2 + GPT_STATS;

	values[0] = CStringGetTextDatum(version->model);
	values[1] = Int32GetDatum(version->version);
	for (int i = 0; i < GPT_STATS; i++)
	{
		int64 count = row == NULL ? 0 : row->counts[i];
		bool is_time = i == GPT_STAT_TIME || i == GPT_STAT_FIRST_TOKEN_TIME;

		values[2 + i] =
			is_time ? Float8GetDatum((double) count / NANOSECONDS) : Int64GetDatum(count);
	}
	nulls[2 + GPT_STATS] = row == NULL;
	last[0] = TimestampTzGetDatum(row == NULL ? 0 : row->used_at);
	last[1] = TimestampTzGetDatum(row == NULL ? since : row->since);
	last[2] = CStringGetTextDatum(gpt_stats_are_shared() ? "server" : "session");
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * gpt_stat_reset() RETURNS void
 */
Datum
gpt_stat_reset(PG_FUNCTION_ARGS)
{
	gpt_argument_check_call(fcinfo);
	gpt_stats_reset();
	PG_RETURN_VOID();
}
