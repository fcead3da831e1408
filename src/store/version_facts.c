/*
 * src/store/version_facts.c
 *
 * A reference to a model in, the facts of its version out, for the planner: rows of the catalog are
 * read as in catalog.c, but what is missing or not as it should be gives no facts instead of an
 * error.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
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

typedef struct Column
{
	int number;
	Oid type;
} Column;

typedef struct Values
{
	Datum values[5];
	bool nulls[5];
} Values;

static bool read_columns(Values *read, Oid schema, const char *table, const char *index,
						 ScanKey keys, int n_keys, const Column *columns, int n_columns);
static double bytes_per_token(Jsonb *report, int vocabulary);

GptVersionFacts *
gpt_version_facts(const char *reference)
{
	static const Column of_model[] = {{MODEL_VERSION, INT4OID}};
	static const Column of_version[] = {{VERSION_RUN_ID, UUIDOID},
										{VERSION_WEIGHTS, OIDOID},
										{VERSION_CONFIG, JSONBOID},
										{VERSION_REPORT, JSONBOID},
										{VERSION_PROFILE, JSONBOID}};
	Oid schema = ActiveSnapshotSet() ? gpt_extension_fitting_schema() : InvalidOid;
	char model[GPT_NAME_SIZE + 1];
	int32 version;
	ScanKeyData keys[2];
	Values read;
	GptVersionFacts *facts;

	if (!OidIsValid(schema) || !gpt_catalog_parse(model, &version, reference))
		return NULL;
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(model));
	if (version == 0)
	{
		if (!read_columns(&read, schema, "gpt_model", "gpt_model_pkey", keys, 1, of_model,
						  lengthof(of_model)) ||
			read.nulls[0])
			return NULL;
		version = DatumGetInt32(read.values[0]);
	}
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(version));
	if (!read_columns(&read, schema, "gpt_version", "gpt_version_pkey", keys, 2, of_version,
					  lengthof(of_version)) ||
		read.nulls[0] || read.nulls[1] || read.nulls[2])
		return NULL;
	if (!gpt_blob_can_use(DatumGetObjectId(read.values[1])) ||
		gpt_weights_belonging(DatumGetObjectId(read.values[1]), DatumGetUUIDP(read.values[0])) !=
			GPT_WEIGHTS_OURS)
		return NULL;
	facts = palloc0(sizeof(GptVersionFacts));
	if (!gpt_config_try_jsonb(&facts->config, &facts->labels, read.values[2]))
		return NULL;
	facts->bytes_per_token = bytes_per_token(read.nulls[3] ? NULL : DatumGetJsonbP(read.values[3]),
											 facts->config.vocabulary);
	facts->profile = read.nulls[4] ? NULL : DatumGetJsonbP(read.values[4]);
	return facts;
}

/* Copies of the columns of the one row with these keys; false where there is none. */
static bool
read_columns(Values *read, Oid schema, const char *table, const char *index, ScanKey keys,
			 int n_keys, const Column *columns, int n_columns)
{
	Oid table_oid = get_relname_relid(table, schema);
	Oid index_oid = get_relname_relid(index, schema);
	Relation relation;
	TupleDesc descriptor;
	SysScanDesc scan = NULL;
	HeapTuple row = NULL;
	bool fits = true;

	if (!OidIsValid(table_oid) || !OidIsValid(index_oid))
		return false;
	relation = table_open(table_oid, AccessShareLock);
	descriptor = RelationGetDescr(relation);
	for (int i = 0; i < n_columns; i++)
		fits = fits && columns[i].number <= descriptor->natts &&
			   TupleDescAttr(descriptor, columns[i].number - 1)->atttypid == columns[i].type;
	if (fits)
	{
		scan = systable_beginscan(relation, index_oid, true, GetActiveSnapshot(), n_keys, keys);
		row = systable_getnext(scan);
	}
	for (int i = 0; row != NULL && i < n_columns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, columns[i].number - 1);
		Datum value = heap_getattr(row, columns[i].number, descriptor, &read->nulls[i]);

		if (read->nulls[i])
			continue;
		if (attribute->attlen == -1)
			read->values[i] = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
		else
			read->values[i] = datumCopy(value, attribute->attbyval, attribute->attlen);
	}
	if (scan != NULL)
		systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return row != NULL;
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
