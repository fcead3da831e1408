/*
 * src/store/version_facts.c
 *
 * A reference to a model in, the facts of its version out, for the planner: rows of the catalog are
 * read as in catalog.c, but what is missing or not as it should be gives no facts instead of an
 * error.
 *
 * Every planning finds the row and checks the privilege. What a row says is kept in the session,
 * because reading its JSON takes longer than all the rest.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "core/extension.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/model_config.h"
#include "store/version_facts.h"
#include "store/weights.h"

/* The columns of gpt_model and of gpt_version that are read here. */
#define MODEL_VERSION 2
#define VERSION_RUN_ID 4
#define VERSION_WEIGHTS 5
#define VERSION_CONFIG 9
#define VERSION_REPORT 28
#define VERSION_PROFILE 30

/* The facts of a row, kept while the session needs them. */
typedef struct Kept
{
	GptVersionFacts facts; /* first: a pointer to them is one to this */
	MemoryContext context; /* of all of it */
	/* the row: one that is changed gets another place, and a place another transaction */
	Oid table;
	TransactionId made_by;
	ItemPointerData place;
	int n_users;
	bool is_valid; /* the row has facts */
	uint64 used_at;
} Kept;

#define MOST_KEPT 32

static Kept *kept[MOST_KEPT];
static uint64 clock_hand = 0;

static bool open_row(Relation *relation, SysScanDesc *scan, HeapTuple *row, Oid schema,
					 const char *table, const char *index, ScanKey keys, int n_keys);
static bool column(Datum *value, HeapTuple row, Relation relation, int number, Oid type);
static int32 current_version(Oid schema, ScanKey key);
static Kept *find_kept(Relation relation, HeapTuple row);
static Kept *keep(Relation relation, HeapTuple row);
static bool read_facts(GptVersionFacts *facts, Relation relation, HeapTuple row);
static double bytes_per_token(Jsonb *report, int vocabulary);

const GptVersionFacts *
gpt_version_facts(const char *reference)
{
	Oid schema = ActiveSnapshotSet() ? gpt_extension_fitting_schema() : InvalidOid;
	char model[GPT_NAME_SIZE + 1];
	int32 version;
	ScanKeyData keys[2];
	Relation relation;
	SysScanDesc scan;
	HeapTuple row;
	Datum run_id;
	Datum weights;
	pg_uuid_t run;
	Kept *found = NULL;

	if (!OidIsValid(schema) || !gpt_catalog_parse(model, &version, reference))
		return NULL;
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(model));
	if (version == 0)
		version = current_version(schema, keys);
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(version));
	if (version == 0 ||
		!open_row(&relation, &scan, &row, schema, "gpt_version", "gpt_version_pkey", keys, 2))
		return NULL;
	if (row != NULL && column(&run_id, row, relation, VERSION_RUN_ID, UUIDOID) &&
		column(&weights, row, relation, VERSION_WEIGHTS, OIDOID))
	{
		run = *DatumGetUUIDP(run_id);
		found = find_kept(relation, row);
		if (found == NULL)
			found = keep(relation, row);
		found->used_at = ++clock_hand;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	if (found == NULL || !found->is_valid || !gpt_blob_can_use(DatumGetObjectId(weights)) ||
		gpt_weights_belonging(DatumGetObjectId(weights), &run) != GPT_WEIGHTS_OURS)
		return NULL;
	found->n_users++;
	return &found->facts;
}

void
gpt_version_facts_release(const GptVersionFacts *facts)
{
	((Kept *) facts)->n_users--;
}

/* ---- Rows --------------------------------------------------------------- */

/* Begins to read the one row with these keys; *row NULL: there is none. False: no such table. */
static bool
open_row(Relation *relation, SysScanDesc *scan, HeapTuple *row, Oid schema, const char *table,
		 const char *index, ScanKey keys, int n_keys)
{
	Oid table_oid = get_relname_relid(table, schema);
	Oid index_oid = get_relname_relid(index, schema);

	if (!OidIsValid(table_oid) || !OidIsValid(index_oid))
		return false;
	*relation = table_open(table_oid, AccessShareLock);
	*scan = systable_beginscan(*relation, index_oid, true, GetActiveSnapshot(), n_keys, keys);
	*row = systable_getnext(*scan);
	return true;
}

/* A column that is there, has the type and is not NULL. */
static bool
column(Datum *value, HeapTuple row, Relation relation, int number, Oid type)
{
	TupleDesc descriptor = RelationGetDescr(relation);
	bool is_null;

	if (number > descriptor->natts || TupleDescAttr(descriptor, number - 1)->atttypid != type)
		return false;
	*value = heap_getattr(row, number, descriptor, &is_null);
	return !is_null;
}

/* 0: there is none. */
static int32
current_version(Oid schema, ScanKey key)
{
	Relation relation;
	SysScanDesc scan;
	HeapTuple row;
	Datum version;
	int32 number = 0;

	if (!open_row(&relation, &scan, &row, schema, "gpt_model", "gpt_model_pkey", key, 1))
		return 0;
	if (row != NULL && column(&version, row, relation, MODEL_VERSION, INT4OID))
		number = DatumGetInt32(version);
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return number;
}

/* ---- Facts that are kept ------------------------------------------------ */

static Kept *
find_kept(Relation relation, HeapTuple row)
{
	for (int i = 0; i < MOST_KEPT; i++)
	{
		Kept *one = kept[i];

		if (one != NULL && one->table == RelationGetRelid(relation) &&
			one->made_by == HeapTupleHeaderGetRawXmin(row->t_data) &&
			ItemPointerEquals(&one->place, &row->t_self))
			return one;
	}
	return NULL;
}

/* In the place of the one that was not used for longest, unless all are in use: then it is the
 * caller's. */
static Kept *
keep(Relation relation, HeapTuple row)
{
	MemoryContext context;
	MemoryContext caller;
	Kept *made;
	int place = -1;

	for (int i = 0; i < MOST_KEPT; i++)
	{
		if (kept[i] == NULL ||
			(kept[i]->n_users == 0 &&
			 (place < 0 || (kept[place] != NULL && kept[i]->used_at < kept[place]->used_at))))
			place = i;
	}
	context = CurrentMemoryContext;
	if (place >= 0)
		context =
			AllocSetContextCreate(CacheMemoryContext, "gpt version facts", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	made = palloc0(sizeof(Kept));
	made->context = context;
	made->table = RelationGetRelid(relation);
	made->made_by = HeapTupleHeaderGetRawXmin(row->t_data);
	made->place = row->t_self;
	made->is_valid = read_facts(&made->facts, relation, row);
	MemoryContextSwitchTo(caller);
	if (place >= 0)
	{
		if (kept[place] != NULL)
			MemoryContextDelete(kept[place]->context);
		kept[place] = made;
	}
	return made;
}

static bool
read_facts(GptVersionFacts *facts, Relation relation, HeapTuple row)
{
	Datum config;
	Datum report;
	Datum profile;
	Jsonb *of_training = NULL;

	if (!column(&config, row, relation, VERSION_CONFIG, JSONBOID) ||
		!gpt_config_try_jsonb(&facts->config, &facts->labels, config))
		return false;
	if (column(&report, row, relation, VERSION_REPORT, JSONBOID))
		of_training = DatumGetJsonbP(report);
	facts->bytes_per_token = bytes_per_token(of_training, facts->config.vocabulary);
	if (column(&profile, row, relation, VERSION_PROFILE, JSONBOID))
		facts->profile = DatumGetJsonbPCopy(profile);
	return true;
}

/* What the training counted; else a guess: longer tokens come with larger vocabularies. */
static double
bytes_per_token(Jsonb *report, int vocabulary)
{
	JsonbValue buffer;
	JsonbValue *tokenizer = NULL;
	JsonbValue *number = NULL;

	if (report != NULL && JB_ROOT_IS_OBJECT(report))
		tokenizer =
			getKeyJsonValueFromContainer(&report->root, "tokenizer", strlen("tokenizer"), &buffer);
	if (tokenizer != NULL && tokenizer->type == jbvBinary &&
		JsonContainerIsObject(tokenizer->val.binary.data))
		number = getKeyJsonValueFromContainer(tokenizer->val.binary.data, "bytes_per_token",
											  strlen("bytes_per_token"), NULL);
	if (number != NULL && number->type == jbvNumeric)
	{
		double value = DatumGetFloat8(
			DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(number->val.numeric)));

		if (value >= 0.1 && value <= 100)
			return value;
	}
	/* 1 of bytes, 2.6 of 4,096 tokens and 4.2 of GPT-2's 50,257, as English text has them */
	return Max(0.42 * log2((double) Max(vocabulary, 2)) - 2.4, 1);
}
