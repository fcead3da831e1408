/*
 * src/store/catalog.c
 *
 * Reads the extension's tables: a model's name becomes a version, a tokenizer's name a hash, a hash
 * a description. Rows are read by index scans under the active snapshot, without SPI: this happens
 * for every row that a query scores, and in parallel workers.
 */
#include "postgres.h"

#include <limits.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "core/compat.h"
#include "core/extension.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/model_config.h"
#include "store/model_extras.h"
#include "store/tokenizer_json.h"
#include "store/weights.h"
#include "store/weights_header.h"

/* Column numbers of the install script; a table whose columns have other types is not read. */
enum
{
	MODEL_MODEL = 1,
	MODEL_VERSION,
	MODEL_LAST_VERSION,
	MODEL_CREATED_AT,
	MODEL_IMAGE_TYPE,
};
enum
{
	VERSION_MODEL = 1,
	VERSION_VERSION,
	VERSION_STATE,
	VERSION_RUN_ID,
	VERSION_WEIGHTS,
	VERSION_SIZE,
	VERSION_SHA256,
	VERSION_TOKENIZER,
	VERSION_CONFIG,
	VERSION_BASE = 17,
	VERSION_BASE_VERSION,
	VERSION_BASE_SHA256,
	VERSION_JOB,
	VERSION_TASK,
	VERSION_SEARCH = 24,
};
enum
{
	TOKENIZER_SHA256 = 1,
	TOKENIZER_OBJECT,
	TOKENIZER_SIZE,
};
enum
{
	NAME_NAME = 1,
	NAME_SHA256,
	NAME_OBJECT,
};

static const Oid model_types[] = {TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID, TEXTOID};
static const Oid version_types[] = {
	TEXTOID,  INT4OID, TEXTOID,	  UUIDOID,	 OIDOID,	INT8OID,		BYTEAOID, BYTEAOID,
	JSONBOID, INT8OID, FLOAT8OID, FLOAT8OID, FLOAT8OID, TIMESTAMPTZOID, INT8OID,  JSONBOID,
	TEXTOID,  INT4OID, BYTEAOID,  INT8OID,	 TEXTOID,	BYTEAOID,		JSONBOID, BYTEAOID};
static const Oid tokenizer_types[] = {BYTEAOID, OIDOID, INT8OID};
static const Oid name_types[] = {TEXTOID, BYTEAOID, OIDOID};

typedef struct Table
{
	const char *name;
	const char *index;
	const Oid *types; /* of its first columns */
	int n_columns;
} Table;

static const Table model_table = {"gpt_model", "gpt_model_pkey", model_types,
								  lengthof(model_types)};
static const Table version_table = {"gpt_version", "gpt_version_pkey", version_types,
									lengthof(version_types)};
static const Table tokenizer_table = {"gpt_tokenizer", "gpt_tokenizer_pkey", tokenizer_types,
									  lengthof(tokenizer_types)};
static const Table name_table = {"gpt_tokenizer_name", "gpt_tokenizer_name_pkey", name_types,
								 lengthof(name_types)};

typedef struct RowScan
{
	Relation relation;
	SysScanDesc rows;
} RowScan;

static void scan_begin(RowScan *scan, const Table *table, int n_keys, ScanKey keys);
static void check_columns(Relation relation, const Table *table);
static void scan_end(RowScan *scan);
static Datum column(const RowScan *scan, HeapTuple row, int number);
static void copy_hash(uint8 *sha256, Datum value);
static bool read_model(int32 *version, GptImageType *image_type, const char *model);
static GptVersion *find_version(const char *model, int32 version);
static GptVersion *read_version(const RowScan *scan, HeapTuple row);
static void read_base(GptVersion *version, const RowScan *scan, HeapTuple row);
static LmTokenizerSpec *read_tokenizer_object(Oid object, int64 size, const uint8 *sha256);

void
gpt_catalog_check_name(const char *name)
{
	size_t size = strlen(name);

	if (size < 1 || size > GPT_NAME_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME), errmsg("name \"%s\" has %zu bytes", name, size),
				 errdetail("A name has 1 to %d bytes.", GPT_NAME_SIZE)));
	for (const char *byte = name; *byte != '\0'; byte++)
	{
		if (*byte == '@' || (unsigned char) *byte < ' ' || *byte == 0x7f)
			ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("name \"%s\" is not valid", name),
							errdetail("A name has no \"@\" and no control characters.")));
	}
}

GptVersion *
gpt_catalog_version(const char *reference, bool missing_ok)
{
	char model[GPT_NAME_SIZE + 1];
	int32 number;
	int32 current;
	GptImageType image_type;
	GptVersion *version = NULL;

	if (gpt_catalog_parse(model, &number, reference) && read_model(&current, &image_type, model))
	{
		if (number == 0)
			number = current;
		if (number > 0)
			version = find_version(model, number);
	}
	if (version != NULL)
	{
		GptBelonging belonging = gpt_weights_belonging(version->weights, &version->run_id);

		version->image_type = image_type;
		version->altered = belonging == GPT_WEIGHTS_ALTERED;
		if (belonging != GPT_WEIGHTS_GONE)
			return version;
	}
	if (!missing_ok)
		gpt_catalog_raise_missing(reference);
	return NULL;
}

GptVersion *
gpt_catalog_base(const GptVersion *adapter)
{
	GptVersion *base = find_version(adapter->base, adapter->base_version);
	GptBelonging belonging =
		base != NULL ? gpt_weights_belonging(base->weights, &base->run_id) : GPT_WEIGHTS_GONE;

	if (belonging == GPT_WEIGHTS_GONE)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s@%d\" does not exist", adapter->base, adapter->base_version),
				 errdetail("Model \"%s\", version %d, is an adapter of it.", adapter->model,
						   adapter->version)));
	if (belonging == GPT_WEIGHTS_ALTERED)
		gpt_weights_corrupt(base, "The large object does not have the id of its run.");
	if (memcmp(base->sha256, adapter->base_sha256, GPT_SHA256_SIZE) != 0 ||
		!lm_config_same_base(&base->config, &adapter->config) || base->config.lora_rank > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("model \"%s@%d\" is not the base of model \"%s\", version %d",
						adapter->base, adapter->base_version, adapter->model, adapter->version),
				 errdetail("The weights have another content hash than those that the adapter was "
						   "trained with.")));
	return base;
}

void
gpt_catalog_check_use(const GptVersion *version)
{
	if (!gpt_blob_can_use(version->weights))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for model \"%s\"", version->model),
						errhint("Its owner, or a superuser, can call gpt_grant(%s, %s).",
								quote_literal_cstr(version->model),
								quote_literal_cstr(GetUserNameFromId(GetUserId(), false)))));
	if (version->altered)
		gpt_weights_corrupt(version, "The large object does not have the id of its run.");
}

char *
gpt_catalog_search(size_t *size, const GptVersion *version)
{
	ScanKeyData keys[2];
	RowScan scan;
	HeapTuple row;
	char *search = NULL;

	ScanKeyInit(&keys[0], VERSION_MODEL, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(version->model));
	ScanKeyInit(&keys[1], VERSION_VERSION, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(version->version));
	scan_begin(&scan, &version_table, 2, keys);
	row = systable_getnext(scan.rows);
	if (row != NULL)
	{
		bool is_null;
		Datum value = heap_getattr(row, VERSION_SEARCH, RelationGetDescr(scan.relation), &is_null);

		if (!is_null)
		{
			bytea *bytes = DatumGetByteaP(value);

			*size = VARSIZE(bytes) - VARHDRSZ;
			search = memcpy(palloc(*size + 1), VARDATA(bytes), *size);
		}
	}
	scan_end(&scan);
	return search;
}

bool
gpt_catalog_model_exists(const char *model, const pg_uuid_t *but_run)
{
	ScanKeyData key;
	RowScan scan;
	HeapTuple row;
	bool exists = false;

	ScanKeyInit(&key, VERSION_MODEL, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(model));
	scan_begin(&scan, &version_table, 1, &key);
	while (!exists && (row = systable_getnext(scan.rows)) != NULL)
	{
		const pg_uuid_t *run_id = DatumGetUUIDP(column(&scan, row, VERSION_RUN_ID));

		exists = (but_run == NULL || memcmp(run_id, but_run, sizeof(pg_uuid_t)) != 0) &&
				 gpt_weights_belonging(DatumGetObjectId(column(&scan, row, VERSION_WEIGHTS)),
									   run_id) != GPT_WEIGHTS_GONE;
	}
	scan_end(&scan);
	return exists;
}

bool
gpt_catalog_find_tokenizer(const char *name, uint8 *sha256)
{
	ScanKeyData key;
	RowScan scan;
	HeapTuple row;
	Oid object = InvalidOid;

	if (strchr(name, '@') != NULL)
		return gpt_catalog_find_unnamed(name, sha256);
	ScanKeyInit(&key, NAME_NAME, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
	scan_begin(&scan, &name_table, 1, &key);
	row = systable_getnext(scan.rows);
	if (row != NULL)
	{
		object = DatumGetObjectId(column(&scan, row, NAME_OBJECT));
		copy_hash(sha256, column(&scan, row, NAME_SHA256));
	}
	scan_end(&scan);
	if (!OidIsValid(object) || !OidIsValid(gpt_blob_owner(object)))
		return false;
	if (!gpt_blob_can_use(object))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for tokenizer \"%s\"", name),
			 errhint("Its owner can call GRANT SELECT ON LARGE OBJECT %u TO %s; a model that is "
					 "granted by gpt_grant gives its tokenizer by the name of the model.",
					 object, quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	return true;
}

static void
scan_tokenizers(RowScan *scan, const uint8 *sha256)
{
	bytea *hash = palloc(VARHDRSZ + GPT_SHA256_SIZE);
	ScanKeyData key;

	SET_VARSIZE(hash, VARHDRSZ + GPT_SHA256_SIZE);
	memcpy(VARDATA(hash), sha256, GPT_SHA256_SIZE);
	ScanKeyInit(&key, TOKENIZER_SHA256, BTEqualStrategyNumber, F_BYTEAEQ, PointerGetDatum(hash));
	scan_begin(scan, &tokenizer_table, 1, &key);
}

bool
gpt_catalog_has_tokenizer(const GptVersion *version)
{
	RowScan scan;
	bool exists;

	scan_tokenizers(&scan, version->tokenizer);
	exists = systable_getnext(scan.rows) != NULL;
	scan_end(&scan);
	return exists;
}

/* Several roles may keep the same tokenizer; any copy that is whole will do. */
LmTokenizerSpec *
gpt_catalog_read_tokenizer(const uint8 *sha256)
{
	RowScan scan;
	HeapTuple row;
	LmTokenizerSpec *spec = NULL;

	scan_tokenizers(&scan, sha256);
	while (spec == NULL && (row = systable_getnext(scan.rows)) != NULL)
		spec = read_tokenizer_object(DatumGetObjectId(column(&scan, row, TOKENIZER_OBJECT)),
									 DatumGetInt64(column(&scan, row, TOKENIZER_SIZE)), sha256);
	scan_end(&scan);
	if (spec == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("a tokenizer is missing or altered"),
				 errdetail("No large object has the content that the catalog names.")));
	return spec;
}

/* Names are columns with collation "C", as ScanKeyInit assumes. */
static void
scan_begin(RowScan *scan, const Table *table, int n_keys, ScanKey keys)
{
	scan->relation = table_open(gpt_extension_table(table->name), AccessShareLock);
	check_columns(scan->relation, table);
	scan->rows = systable_beginscan(scan->relation, gpt_extension_table(table->index), true,
									GetActiveSnapshot(), n_keys, keys);
}

/*
 * The owner of a table may have altered it: a number that is taken for a pointer would end the
 * server.
 */
static void
check_columns(Relation relation, const Table *table)
{
	TupleDesc columns = RelationGetDescr(relation);

	for (int i = 0; i < table->n_columns; i++)
	{
		if (i >= columns->natts || TupleDescAttr(columns, i)->attisdropped ||
			TupleDescAttr(columns, i)->atttypid != table->types[i])
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
							errmsg("column %d of table %s is missing or has another type", i + 1,
								   table->name),
							errdetail("Its type must be %s.", format_type_be(table->types[i])),
							errhint("Undo the change, or drop and create extension gpt again.")));
	}
}

static void
scan_end(RowScan *scan)
{
	systable_endscan(scan->rows);
	table_close(scan->relation, AccessShareLock);
}

/* The value of a column that is never NULL. */
static Datum
column(const RowScan *scan, HeapTuple row, int number)
{
	bool is_null;
	Datum value = heap_getattr(row, number, RelationGetDescr(scan->relation), &is_null);

	if (is_null)
		elog(ERROR, "column %d of table %s is null", number,
			 RelationGetRelationName(scan->relation));
	return value;
}

static void
copy_hash(uint8 *sha256, Datum value)
{
	bytea *bytes = DatumGetByteaPP(value);

	if (VARSIZE_ANY_EXHDR(bytes) != GPT_SHA256_SIZE)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a hash in the catalog of gpt has %zu bytes",
							   (size_t) VARSIZE_ANY_EXHDR(bytes))));
	memcpy(sha256, VARDATA_ANY(bytes), GPT_SHA256_SIZE);
}

bool
gpt_catalog_parse(char *model, int32 *version, const char *reference)
{
	const char *at = strchr(reference, '@');
	size_t size = at == NULL ? strlen(reference) : (size_t) (at - reference);
	char *end;
	long number;

	if (size < 1 || size > GPT_NAME_SIZE)
		return false;
	memcpy(model, reference, size);
	model[size] = '\0';
	*version = 0;
	if (at == NULL)
		return true;
	if (at[1] < '1' || at[1] > '9')
		return false;
	errno = 0;
	number = strtol(at + 1, &end, 10);
	if (errno != 0 || *end != '\0' || number > INT_MAX)
		return false;
	*version = (int32) number;
	return true;
}

int32
gpt_catalog_split(char **model, const char *reference)
{
	int32 version;

	*model = palloc(GPT_NAME_SIZE + 1);
	if (!gpt_catalog_parse(*model, &version, reference))
		gpt_catalog_raise_missing(reference);
	return version;
}

bool
gpt_catalog_is_pinned(const char *reference, size_t size)
{
	char model[GPT_NAME_SIZE + 1];
	char *copy;
	int32 version;
	bool is_pinned;

	/* A name, '@' and ten digits; a zero byte would end the copy early. */
	if (size > GPT_NAME_SIZE + 11 || memchr(reference, '\0', size) != NULL)
		return false;
	copy = pnstrdup(reference, size);
	is_pinned = gpt_catalog_parse(model, &version, copy) && version > 0;
	for (const char *byte = model; is_pinned && *byte != '\0'; byte++)
		is_pinned = (unsigned char) *byte >= ' ' && *byte != 0x7f;
	pfree(copy);
	return is_pinned;
}

/* False if the model does not exist. *version is 0 if no version is current. */
static bool
read_model(int32 *version, GptImageType *image_type, const char *model)
{
	ScanKeyData key;
	RowScan scan;
	HeapTuple row;
	bool found;

	ScanKeyInit(&key, MODEL_MODEL, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(model));
	scan_begin(&scan, &model_table, 1, &key);
	row = systable_getnext(scan.rows);
	found = row != NULL;
	if (found)
	{
		bool is_null;
		Datum value = heap_getattr(row, MODEL_VERSION, RelationGetDescr(scan.relation), &is_null);
		char *word = TextDatumGetCString(column(&scan, row, MODEL_IMAGE_TYPE));

		*version = is_null ? 0 : DatumGetInt32(value);
		if (!gpt_image_type_find(image_type, word))
			elog(ERROR, "model \"%s\" has image type \"%s\"", model, word);
	}
	scan_end(&scan);
	return found;
}

/* The row of gpt_version, read by its primary key; NULL if there is none. */
static GptVersion *
find_version(const char *model, int32 version)
{
	ScanKeyData keys[2];
	RowScan scan;
	HeapTuple row;
	GptVersion *found = NULL;

	ScanKeyInit(&keys[0], VERSION_MODEL, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(model));
	ScanKeyInit(&keys[1], VERSION_VERSION, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(version));
	scan_begin(&scan, &version_table, 2, keys);
	row = systable_getnext(scan.rows);
	if (row != NULL)
		found = read_version(&scan, row);
	scan_end(&scan);
	return found;
}

/* A copy of the row in the current memory context; the labels and the base are read as well. */
static GptVersion *
read_version(const RowScan *scan, HeapTuple row)
{
	GptVersion *version = palloc0(sizeof(GptVersion));
	bool is_null;
	Datum task;

	version->model = TextDatumGetCString(column(scan, row, VERSION_MODEL));
	version->version = DatumGetInt32(column(scan, row, VERSION_VERSION));
	version->weights = DatumGetObjectId(column(scan, row, VERSION_WEIGHTS));
	version->size = DatumGetInt64(column(scan, row, VERSION_SIZE));
	version->run_id = *DatumGetUUIDP(column(scan, row, VERSION_RUN_ID));
	copy_hash(version->sha256, column(scan, row, VERSION_SHA256));
	copy_hash(version->tokenizer, column(scan, row, VERSION_TOKENIZER));
	gpt_config_from_jsonb(&version->config, column(scan, row, VERSION_CONFIG));
	version->labels = gpt_config_labels(column(scan, row, VERSION_CONFIG));
	task = heap_getattr(row, VERSION_TASK, RelationGetDescr(scan->relation), &is_null);
	version->prompted = !is_null && (strcmp(TextDatumGetCString(task), GPT_TASK_COMPLETION) == 0 ||
									 strcmp(TextDatumGetCString(task), GPT_TASK_CHAT) == 0 ||
									 strcmp(TextDatumGetCString(task), GPT_TASK_PREFERENCE) == 0);
	version->extras = gpt_extras_of(column(scan, row, VERSION_CONFIG));
	read_base(version, scan, row);
	return version;
}

/* Reads the base of an adapter; the three columns are NULL for a full version. */
static void
read_base(GptVersion *version, const RowScan *scan, HeapTuple row)
{
	bool is_null;
	Datum base = heap_getattr(row, VERSION_BASE, RelationGetDescr(scan->relation), &is_null);

	if (is_null != (version->config.lora_rank == 0))
		gpt_weights_corrupt(version, is_null ? "It is an adapter, and its row names no base."
											 : "It is not an adapter, and its row names a base.");
	if (is_null)
		return;
	version->base = TextDatumGetCString(base);
	version->base_version = DatumGetInt32(column(scan, row, VERSION_BASE_VERSION));
	copy_hash(version->base_sha256, column(scan, row, VERSION_BASE_SHA256));
}

/* NULL when the object does not exist or has other content. */
static LmTokenizerSpec *
read_tokenizer_object(Oid object, int64 size, const uint8 *sha256)
{
	uint8 found[GPT_SHA256_SIZE];
	GptBlob *blob;
	char *json;
	char beyond;
	size_t n;

	if (size < 0 || size >= MaxAllocSize || (blob = gpt_blob_open(object, true)) == NULL)
		return NULL;
	json = palloc(size + 1);
	n = gpt_blob_read(blob, json, size);
	n += gpt_blob_read(blob, &beyond, 1);
	gpt_blob_close(blob, found);
	if (n != (size_t) size || memcmp(found, sha256, GPT_SHA256_SIZE) != 0)
		return NULL;
	json[size] = '\0';
	return gpt_tokenizer_from_json(json, size);
}
