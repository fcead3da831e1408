/*
 * src/store/catalog_tokenizer.c
 *
 * Stores tokenizers as large objects in the form of tokenizer.json, named by their hash, and binds
 * names to them. Each role has its own copy of what it stores, so that DROP OWNED or lo_unlink of
 * another role cannot take it away.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/snapmgr.h"

#include "core/statement.h"
#include "core/words.h"
#include "serve/image_file.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/name_lock.h"
#include "store/tokenizer_json.h"

#define PIECE_SIZE (64 * 1024)

/* No version, name or waiting job of this database needs tokenizer t. */
#define UNUSED                                                                           \
	"NOT EXISTS (SELECT FROM %1$s.gpt_version v WHERE v.tokenizer = t.sha256) "          \
	"AND NOT EXISTS (SELECT FROM %1$s.gpt_tokenizer_name n WHERE n.sha256 = t.sha256) "  \
	"AND NOT EXISTS (SELECT FROM %1$s.gpt_job j WHERE j.state IN ('queued', 'running') " \
	"AND %1$s.gpt_job_owner(j.owner, j.system_identifier) <> 0 "                         \
	"AND j.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = "    \
	"pg_catalog.current_database()))"

/* Its object is gone (DROP OWNED); there may be another copy of the content. */
#define LOST                                                                                     \
	"NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata o WHERE o.oid = t.object) "      \
	"AND NOT EXISTS (SELECT FROM %1$s.gpt_tokenizer_name n WHERE n.object = t.object) "          \
	"AND EXISTS (SELECT FROM %1$s.gpt_tokenizer c JOIN pg_catalog.pg_largeobject_metadata o ON " \
	"o.oid = c.object "                                                                          \
	"WHERE c.sha256 = t.sha256)"

typedef struct Stored
{
	Oid object;
	uint8 sha256[GPT_SHA256_SIZE];
} Stored;

static Oid own_object(const uint8 *sha256);
static bool has_content(Oid object, const uint8 *sha256);
static void insert_tokenizer(const uint8 *sha256, Oid object, int64 size,
							 const LmTokenizerSpec *spec);
static bool find_name(const char *name, bool lock, Oid *owner, Oid *object);
static void check_owner(const char *name, Oid owner, Oid object);
static void drop_objects(GptStatement *statement, uint64 n);

void
gpt_catalog_store_tokenizer(uint8 *sha256, const LmTokenizerSpec *spec)
{
	size_t json_size;
	char *json = gpt_tokenizer_to_json(spec, &json_size);
	GptBlob *blob;
	Oid object;
	int64 size;

	gpt_blob_hash(sha256, json, json_size);
	if (!OidIsValid(own_object(sha256)))
	{
		blob = gpt_blob_create(GetUserId());
		gpt_blob_comment(gpt_blob_object(blob), "gpt tokenizer");
		gpt_blob_write(blob, json, json_size);
		object = gpt_blob_finish(blob, &size, sha256);
		insert_tokenizer(sha256, object, size, spec);
	}
	pfree(json);
}

bool
gpt_catalog_tokenizer_is_reserved(const char *name)
{
	int kind = gpt_word_find(lm_tokenizer_kind_name, name, strlen(name));

	/* Jobs make all kinds but one, which was no word before 0.3. */
	return (kind >= 0 && kind != LM_TOKENIZER_SENTENCEPIECE) || strcmp(name, "auto") == 0;
}

static void
check_reserved(const char *name)
{
	if (gpt_catalog_tokenizer_is_reserved(name))
		ereport(ERROR, (errcode(ERRCODE_RESERVED_NAME),
						errmsg("tokenizer name \"%s\" is reserved", name)));
}

void
gpt_catalog_check_new_tokenizer(const char *name)
{
	Oid owner;
	Oid object;

	gpt_catalog_check_name(name);
	check_reserved(name);
	gpt_catalog_check_tokenizer_name(name);
	if (find_name(name, false, &owner, &object))
		check_owner(name, owner, object);
}

void
gpt_catalog_name_tokenizer(const char *name, const uint8 *sha256)
{
	GptStatement statement;
	Oid object = own_object(sha256);
	Oid owner;
	Oid old_object;
	bool exists;

	gpt_catalog_check_name(name);
	check_reserved(name);
	if (!OidIsValid(object))
		elog(ERROR, "tokenizer has not been stored");
	gpt_name_lock(name);
	exists = find_name(name, true, &owner, &old_object);
	gpt_catalog_check_tokenizer_name(name);
	if (exists)
		check_owner(name, owner, old_object);

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_add_hash(&statement, sha256);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(object));
	if (exists)
		gpt_statement_change(
			&statement, 1,
			"UPDATE %s.gpt_tokenizer_name SET sha256 = $2, object = $3 WHERE name = $1");
	else if (gpt_statement_change_any(&statement,
									  "INSERT INTO %s.gpt_tokenizer_name (name, sha256, object) "
									  "VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING") == 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("tokenizer \"%s\" already exists", name)));
	gpt_statement_end(&statement);
}

void
gpt_catalog_drop_tokenizer(const char *name)
{
	GptStatement statement;
	Oid owner;
	Oid object;

	if (strchr(name, '@') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("tokenizer \"%s\" does not exist", name),
				 errdetail("A tokenizer that was trained with a model has no name, and is removed "
						   "with the last model that uses it.")));
	if (!find_name(name, true, &owner, &object) || (!OidIsValid(object) && !superuser()))
		gpt_catalog_raise_missing_tokenizer(name, GPT_WANTED_STORED);
	check_owner(name, owner, object);
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_change(&statement, 1, "DELETE FROM %s.gpt_tokenizer_name WHERE name = $1");
	gpt_statement_end(&statement);
	gpt_catalog_sweep_tokenizers();
}

bool
gpt_catalog_keep_tokenizer(const uint8 *sha256)
{
	GptStatement statement;
	bool kept;

	gpt_statement_begin(&statement);
	gpt_statement_add_hash(&statement, sha256);
	kept = gpt_statement_run(
			   &statement,
			   "SELECT FROM %s.gpt_tokenizer WHERE sha256 = $1 FOR KEY SHARE SKIP LOCKED") > 0;
	gpt_statement_end(&statement);
	return kept;
}

/*
 * Copies that no version and no name needs. A running job has stored its tokenizer but not yet
 * published a version that uses it, so nothing is swept while there is one: the next sweep takes
 * it.
 *
 * A session that is about to use a row holds FOR KEY SHARE on it, and this does not wait for it: it
 * may be an idle session. An unused row is locked first and then checked again, under a newer
 * snapshot: since then it may have found a user. A session that wants a row that is being swept
 * skips it in turn, and stores a copy of its own.
 */
void
gpt_catalog_sweep_tokenizers(void)
{
	GptStatement statement;
	Stored *found;
	uint64 n;

	gpt_statement_begin(&statement);
	n = gpt_statement_run(&statement,
						  "SELECT object, sha256 FROM %1$s.gpt_tokenizer t WHERE (" UNUSED
						  ") OR (" LOST ") FOR UPDATE SKIP LOCKED");
	found = palloc(Max(n, 1) * sizeof(Stored));
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;

		found[i].object = DatumGetObjectId(gpt_statement_value(&statement, i, 1, &is_null));
		gpt_statement_hash(found[i].sha256, &statement, i, 2);
	}
	for (uint64 i = 0; i < n; i++)
	{
		gpt_statement_add_hash(&statement, found[i].sha256);
		gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(found[i].object));
		drop_objects(&statement,
					 gpt_statement_change_any(
						 &statement, "DELETE FROM %1$s.gpt_tokenizer t WHERE t.sha256 = $1 AND "
									 "t.object = $2 AND ((" UNUSED ") OR (" LOST "))"
									 " RETURNING object, sha256"));
	}
	gpt_statement_end(&statement);
}

void
gpt_catalog_drop_all_tokenizers(void)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	drop_objects(&statement,
				 gpt_statement_run(&statement, "SELECT object, sha256 FROM %s.gpt_tokenizer"));
	gpt_statement_end(&statement);
}

/*
 * A stored copy that the current role itself owns; InvalidOid if there is none. One of a role that
 * it is a member of, or of any role where it is a superuser, would go with that role's DROP OWNED.
 * The copy is kept from removal; one that is being removed does not count.
 */
static Oid
own_object(const uint8 *sha256)
{
	GptStatement statement;
	Oid user = GetUserId();
	Oid object = InvalidOid;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_statement_add_hash(&statement, sha256);
	n = gpt_statement_run(&statement, "SELECT object FROM %s.gpt_tokenizer WHERE sha256 = $1 ORDER "
									  "BY created_at, object FOR KEY SHARE SKIP LOCKED");
	PushActiveSnapshot(GetLatestSnapshot());
	for (uint64 i = 0; i < n && !OidIsValid(object); i++)
	{
		bool is_null;
		Oid candidate = DatumGetObjectId(gpt_statement_value(&statement, i, 1, &is_null));
		Oid owner = gpt_blob_owner(candidate);

		if (owner == user && has_content(candidate, sha256))
			object = candidate;
	}
	PopActiveSnapshot();
	gpt_statement_end(&statement);
	return object;
}

/* An oid can be taken by another object once ours is gone: the content tells. */
static bool
has_content(Oid object, const uint8 *sha256)
{
	uint8 found[GPT_SHA256_SIZE];
	GptBlob *blob = gpt_blob_open(object, true);
	char *piece;

	if (blob == NULL)
		return false;
	piece = palloc(PIECE_SIZE);
	while (gpt_blob_read(blob, piece, PIECE_SIZE) == PIECE_SIZE)
		CHECK_FOR_INTERRUPTS();
	gpt_blob_close(blob, found);
	pfree(piece);
	return memcmp(found, sha256, GPT_SHA256_SIZE) == 0;
}

/* Inserts the row that names a tokenizer's large object by the hash of its content. */
static void
insert_tokenizer(const uint8 *sha256, Oid object, int64 size, const LmTokenizerSpec *spec)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add_hash(&statement, sha256);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(object));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(size));
	gpt_statement_add_text(&statement, lm_tokenizer_kind_name((int) spec->kind));
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(spec->n_tokens));
	gpt_statement_change(&statement, 1,
						 "INSERT INTO %s.gpt_tokenizer (sha256, object, size, kind, vocabulary) "
						 "VALUES ($1, $2, $3, $4, $5)");
	gpt_statement_end(&statement);
}

/*
 * False if there is no such name. *object is InvalidOid if the object is gone, whatever the row
 * says. A name belongs to the owner of its object, also after REASSIGN OWNED, or in a cluster where
 * roles have other oids.
 */
static bool
find_name(const char *name, bool lock, Oid *owner, Oid *object)
{
	uint8 sha256[GPT_SHA256_SIZE];
	GptStatement statement;
	bool found;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	found = gpt_statement_run(
				&statement,
				lock ? "SELECT object, sha256 FROM %s.gpt_tokenizer_name WHERE name = $1 "
					   "FOR UPDATE"
					 : "SELECT object, sha256 FROM %s.gpt_tokenizer_name WHERE name = $1") > 0;
	if (found)
	{
		bool is_null;

		*object = DatumGetObjectId(gpt_statement_value(&statement, 0, 1, &is_null));
		gpt_statement_hash(sha256, &statement, 0, 2);
		PushActiveSnapshot(GetLatestSnapshot());
		*owner = gpt_blob_owner(*object);
		if (!has_content(*object, sha256))
			*object = InvalidOid;
		PopActiveSnapshot();
	}
	gpt_statement_end(&statement);
	return found;
}

/* A name whose object is gone is free. */
static void
check_owner(const char *name, Oid owner, Oid object)
{
	if (OidIsValid(object) && !has_privs_of_role(GetUserId(), owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of tokenizer \"%s\"", name)));
}

/* The n rows of the last run: object, sha256. */
static void
drop_objects(GptStatement *statement, uint64 n)
{
	PushActiveSnapshot(GetLatestSnapshot());
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;
		Oid object = DatumGetObjectId(gpt_statement_value(statement, i, 1, &is_null));
		uint8 sha256[GPT_SHA256_SIZE];

		gpt_statement_hash(sha256, statement, i, 2);
		if (has_content(object, sha256))
			gpt_blob_drop(object);
		gpt_image_remove_at_commit(sha256);
	}
	PopActiveSnapshot();
}
