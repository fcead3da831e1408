/*
 * src/store/catalog_unnamed.c
 *
 * A tokenizer that was trained with a model and has no name is called kind@hash, with the first 16
 * digits of its hash, as the views gpt_models and gpt_tokenizers show it. Such a name goes in, the
 * whole hash comes out. Names that roles give have no "@", and versions have fewer digits, so the
 * name has no other meaning.
 *
 * Rows are read without SPI, because this happens for every row that a query tokenizes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "core/extension.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "core/compat.h"
#include "store/weights.h"

#define PREFIX_SIZE 8 /* bytes of the hash in the name */

/* Columns by number, as the install script orders them. */
#define TOKENIZER_SHA256 1
#define TOKENIZER_OBJECT 2
#define TOKENIZER_KIND 4
#define VERSION_RUN_ID 4
#define VERSION_WEIGHTS 5
#define VERSION_TOKENIZER 8

static bool parse(char *kind, uint8 *prefix, const char *name);
static bool find_content(uint8 *sha256, bool *may_use, const char *kind, const uint8 *prefix);
static bool gives_a_model(const uint8 *sha256);
static bytea *padded(const uint8 *prefix, int fill);
static Datum value_of(Relation relation, HeapTuple row, int number);

bool
gpt_catalog_find_unnamed(const char *name, uint8 *sha256)
{
	char kind[NAMEDATALEN];
	uint8 prefix[PREFIX_SIZE];
	bool may_use;

	if (!parse(kind, prefix, name) || !find_content(sha256, &may_use, kind, prefix))
		return false;
	if (!may_use && !gives_a_model(sha256))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for tokenizer \"%s\"", name),
				 errhint("Who may use a model may use its tokenizer: the owner of one can call "
						 "gpt_grant(model, %s).",
						 quote_literal_cstr(GetUserNameFromId(GetUserId(), false)))));
	return true;
}

static bool
parse(char *kind, uint8 *prefix, const char *name)
{
	const char *at = strchr(name, '@');

	if (at == NULL || at - name >= NAMEDATALEN || strlen(at + 1) != 2 * PREFIX_SIZE ||
		strspn(at + 1, "0123456789abcdef") != 2 * PREFIX_SIZE)
		return false;
	memcpy(kind, name, at - name);
	kind[at - name] = '\0';
	(void) hex_decode(at + 1, 2 * PREFIX_SIZE, (char *) prefix);
	return true;
}

/* may_use: whether the current role may read one of the copies. */
static bool
find_content(uint8 *sha256, bool *may_use, const char *kind, const uint8 *prefix)
{
	Relation relation = table_open(gpt_extension_table("gpt_tokenizer"), AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple row;
	bool found = false;

	*may_use = false;
	ScanKeyInit(&keys[0], TOKENIZER_SHA256, BTGreaterEqualStrategyNumber, F_BYTEAGE,
				PointerGetDatum(padded(prefix, 0)));
	ScanKeyInit(&keys[1], TOKENIZER_SHA256, BTLessEqualStrategyNumber, F_BYTEALE,
				PointerGetDatum(padded(prefix, 0xFF)));
	scan = systable_beginscan(relation, gpt_extension_table("gpt_tokenizer_pkey"), true,
							  GetActiveSnapshot(), 2, keys);
	while (!*may_use && (row = systable_getnext(scan)) != NULL)
	{
		const bytea *hash = DatumGetByteaPP(value_of(relation, row, TOKENIZER_SHA256));
		Oid object = DatumGetObjectId(value_of(relation, row, TOKENIZER_OBJECT));

		if (VARSIZE_ANY_EXHDR(hash) != GPT_SHA256_SIZE || !OidIsValid(gpt_blob_owner(object)) ||
			strcmp(TextDatumGetCString(value_of(relation, row, TOKENIZER_KIND)), kind) != 0)
			continue;
		memcpy(sha256, VARDATA_ANY(hash), GPT_SHA256_SIZE);
		found = true;
		*may_use = gpt_blob_can_use(object);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

/* Whether a model that the current role may use has the tokenizer. */
static bool
gives_a_model(const uint8 *sha256)
{
	Relation relation = table_open(gpt_extension_table("gpt_version"), AccessShareLock);
	SysScanDesc scan =
		systable_beginscan(relation, InvalidOid, false, GetActiveSnapshot(), 0, NULL);
	HeapTuple row;
	bool gives = false;

	while (!gives && (row = systable_getnext(scan)) != NULL)
	{
		const bytea *hash = DatumGetByteaPP(value_of(relation, row, VERSION_TOKENIZER));
		Oid weights = DatumGetObjectId(value_of(relation, row, VERSION_WEIGHTS));

		CHECK_FOR_INTERRUPTS();
		gives = VARSIZE_ANY_EXHDR(hash) == GPT_SHA256_SIZE &&
				memcmp(VARDATA_ANY(hash), sha256, GPT_SHA256_SIZE) == 0 &&
				gpt_weights_belonging(weights,
									  DatumGetUUIDP(value_of(relation, row, VERSION_RUN_ID))) ==
					GPT_WEIGHTS_OURS &&
				gpt_blob_can_use(weights);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return gives;
}

/* The least or the greatest hash with the prefix. */
static bytea *
padded(const uint8 *prefix, int fill)
{
	bytea *hash = palloc(VARHDRSZ + GPT_SHA256_SIZE);

	SET_VARSIZE(hash, VARHDRSZ + GPT_SHA256_SIZE);
	memset(VARDATA(hash), fill, GPT_SHA256_SIZE);
	memcpy(VARDATA(hash), prefix, PREFIX_SIZE);
	return hash;
}

/* The value of a column that is never NULL. */
static Datum
value_of(Relation relation, HeapTuple row, int number)
{
	bool is_null;
	Datum value = heap_getattr(row, number, RelationGetDescr(relation), &is_null);

	if (is_null)
		elog(ERROR, "column %d of table %s is null", number, RelationGetRelationName(relation));
	return value;
}
