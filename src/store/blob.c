/*
 * src/store/blob.c
 *
 * Bytes into large objects and out of them, with their sha256. The only file that touches the
 * server's interface to large objects.
 *
 * inv_read and inv_write keep pg_largeobject open until somebody calls close_lo_relation. The
 * server's own functions leave that to the end of the transaction, where it is only done when one
 * of them was called. So it is closed here after every single use, and once more at the end of each
 * transaction for a use that an error has cut short.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "commands/comment.h"
#include "common/cryptohash.h"
#include "libpq/libpq-fs.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/large_object.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store/blob.h"

#define PIECE_SIZE (1024 * 1024)

struct GptBlob
{
	LargeObjectDesc *descriptor;
	Oid object;
	int64 size; /* bytes that have passed */
	pg_cryptohash_ctx *hash; /* of the bytes read or written; NULL: not wanted */
	char *piece; /* writing: bytes not yet in the table */
	size_t piece_size;
};

static void end_of_transaction(XactEvent event, void *arg);
static void grant_to_readers(Oid object);
static GptBlob *make_blob(Oid object, bool hashed);
static void update_hash(GptBlob *blob, const void *data, size_t size);
static void final_hash(GptBlob *blob, uint8 *sha256);
static void flush_piece(GptBlob *blob);
static int write_uncompressed(GptBlob *blob);
static HeapTuple find_metadata(Relation relation, Oid object, Snapshot snapshot);
static Acl *grants_without_update(Datum acl, Oid owner);

void
gpt_blob_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
}

GptBlob *
gpt_blob_create(Oid owner)
{
	GptBlob *blob;
	Oid object;
	Oid saved_user;
	int saved_context;

	PreventCommandIfReadOnly("creation of a large object");
	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(owner, saved_context | SECURITY_LOCAL_USERID_CHANGE);
	object = inv_create(InvalidOid);
	CommandCounterIncrement();
	grant_to_readers(object);
	blob = make_blob(object, true);
	blob->descriptor = inv_open(object, INV_WRITE, CurrentMemoryContext);
	SetUserIdAndSecContext(saved_user, saved_context);
	blob->piece = palloc(PIECE_SIZE);
	return blob;
}

/*
 * SELECT for pg_read_all_data, so that a role which may read every table can also dump the
 * database: before PostgreSQL 19 that role does not cover large objects. The current user owns the
 * object.
 */
static void
grant_to_readers(Oid object)
{
	GrantStmt *grant = makeNode(GrantStmt);
	AccessPriv *privilege = makeNode(AccessPriv);
	RoleSpec *role = makeNode(RoleSpec);

	privilege->priv_name = "select";
	role->roletype = ROLESPEC_CSTRING;
	role->rolename = "pg_read_all_data";
	role->location = -1;
	grant->is_grant = true;
	grant->targtype = ACL_TARGET_OBJECT;
	grant->objtype = OBJECT_LARGEOBJECT;
	grant->objects = list_make1(makeFloat(psprintf("%u", object)));
	grant->privileges = list_make1(privilege);
	grant->grantees = list_make1(role);
	ExecuteGrantStmt(grant);
	CommandCounterIncrement();
}

Oid
gpt_blob_object(const GptBlob *blob)
{
	return blob->object;
}

void
gpt_blob_write(GptBlob *blob, const void *data, size_t size)
{
	const char *bytes = data;

	update_hash(blob, data, size);
	while (size > 0)
	{
		size_t n = Min(size, PIECE_SIZE - blob->piece_size);

		memcpy(blob->piece + blob->piece_size, bytes, n);
		blob->piece_size += n;
		bytes += n;
		size -= n;
		if (blob->piece_size == PIECE_SIZE)
			flush_piece(blob);
	}
}

Oid
gpt_blob_finish(GptBlob *blob, int64 *size, uint8 *sha256)
{
	Oid object = blob->object;

	if (blob->piece_size > 0)
		flush_piece(blob);
	inv_close(blob->descriptor);
	pfree(blob->piece);
	if (size != NULL)
		*size = blob->size;
	final_hash(blob, sha256);
	CommandCounterIncrement();
	return object;
}

/*
 * The descriptor is made here and not by inv_open, which would ask for SELECT: a tokenizer is read
 * on behalf of whoever may use a model.
 */
GptBlob *
gpt_blob_open(Oid object, bool hashed)
{
	GptBlob *blob;

	if (!OidIsValid(gpt_blob_owner(object)))
		return NULL;
	blob = make_blob(object, hashed);
	blob->descriptor = palloc0(sizeof(LargeObjectDesc));
	blob->descriptor->id = object;
	blob->descriptor->subid = GetCurrentSubTransactionId();
	blob->descriptor->flags = IFS_RDLOCK;
	return blob;
}

size_t
gpt_blob_read(GptBlob *blob, void *data, size_t size)
{
	size_t total = 0;

	blob->descriptor->snapshot = GetActiveSnapshot();
	while (total < size)
	{
		int n;

		CHECK_FOR_INTERRUPTS();
		n = inv_read(blob->descriptor, (char *) data + total, (int) Min(size - total, PIECE_SIZE));
		close_lo_relation(true);
		if (n <= 0)
			break;
		update_hash(blob, (char *) data + total, n);
		total += n;
	}
	blob->descriptor->snapshot = NULL;
	return total;
}

void
gpt_blob_seek(GptBlob *blob, int64 offset)
{
	Assert(blob->hash == NULL);
	blob->descriptor->offset = (uint64) offset;
}

int64
gpt_blob_close(GptBlob *blob, uint8 *sha256)
{
	int64 size = blob->size;

	pfree(blob->descriptor);
	final_hash(blob, sha256);
	return size;
}

int64
gpt_blob_size(Oid object)
{
	GptBlob *blob = gpt_blob_open(object, false);
	int64 size;

	if (blob == NULL)
		return 0;
	blob->descriptor->snapshot = GetActiveSnapshot();
	size = inv_seek(blob->descriptor, 0, SEEK_END);
	close_lo_relation(true);
	gpt_blob_close(blob, NULL);
	return size;
}

void
gpt_blob_hash(uint8 *sha256, const void *data, size_t size)
{
	GptBlob *blob = make_blob(InvalidOid, true);

	update_hash(blob, data, size);
	final_hash(blob, sha256);
}

Oid
gpt_blob_owner(Oid object)
{
	Relation relation = table_open(LargeObjectMetadataRelationId, AccessShareLock);
	HeapTuple tuple = find_metadata(relation, object, GetActiveSnapshot());
	Oid owner = InvalidOid;

	if (tuple != NULL)
		owner = ((Form_pg_largeobject_metadata) GETSTRUCT(tuple))->lomowner;
	table_close(relation, AccessShareLock);
	return owner;
}

bool
gpt_blob_can_use(Oid object)
{
	if (!OidIsValid(gpt_blob_owner(object)))
		return false;
	return pg_largeobject_aclcheck_snapshot(object, GetUserId(), ACL_SELECT, GetActiveSnapshot()) ==
		   ACLCHECK_OK;
}

void
gpt_blob_comment(Oid object, const char *comment)
{
	CreateComments(object, LargeObjectRelationId, 0, comment);
	CommandCounterIncrement();
}

void
gpt_blob_copy_grants(Oid object, Oid from)
{
	Relation relation = table_open(LargeObjectMetadataRelationId, RowExclusiveLock);
	HeapTuple source = find_metadata(relation, from, NULL);
	HeapTuple target = find_metadata(relation, object, NULL);
	Datum values[Natts_pg_largeobject_metadata] = {0};
	bool nulls[Natts_pg_largeobject_metadata] = {false};
	bool replace[Natts_pg_largeobject_metadata] = {false};
	bool no_grants;
	Datum acl;

	if (source == NULL || target == NULL)
		elog(ERROR, "large object %u or %u is missing", from, object);
	acl = heap_getattr(source, Anum_pg_largeobject_metadata_lomacl, RelationGetDescr(relation),
					   &no_grants);
	if (!no_grants)
	{
		Oid owner = ((Form_pg_largeobject_metadata) GETSTRUCT(target))->lomowner;
		Acl *grants = grants_without_update(acl, owner);
		Oid *members;
		int n_members = aclmembers(grants, &members);

		values[Anum_pg_largeobject_metadata_lomacl - 1] = PointerGetDatum(grants);
		replace[Anum_pg_largeobject_metadata_lomacl - 1] = true;
		target = heap_modify_tuple(target, RelationGetDescr(relation), values, nulls, replace);
		CatalogTupleUpdate(relation, &target->t_self, target);
		updateAclDependencies(LargeObjectRelationId, object, 0, owner, 0, NULL, n_members, members);
		CommandCounterIncrement();
	}
	table_close(relation, RowExclusiveLock);
}

void
gpt_blob_drop(Oid object)
{
	/* The check under the lock is certain: another session can no longer remove it. */
	LockDatabaseObject(LargeObjectRelationId, object, 0, AccessExclusiveLock);
	if (LargeObjectExists(object))
		inv_drop(object);
}

/*
 * Closes pg_largeobject if an error left it open; after an abort the server has closed it already.
 */
static void
end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			close_lo_relation(true);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			close_lo_relation(false);
			break;
		default:
			break;
	}
}

/*
 * The server releases the hash itself when a transaction fails (OpenSSL's, with its resource
 * owner).
 */
static GptBlob *
make_blob(Oid object, bool hashed)
{
	GptBlob *blob = palloc0(sizeof(GptBlob));

	blob->object = object;
	if (!hashed)
		return blob;
	blob->hash = pg_cryptohash_create(PG_SHA256);
	if (blob->hash == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (pg_cryptohash_init(blob->hash) < 0)
		elog(ERROR, "could not initialize sha256: %s", pg_cryptohash_error(blob->hash));
	return blob;
}

static void
update_hash(GptBlob *blob, const void *data, size_t size)
{
	if (blob->hash != NULL && pg_cryptohash_update(blob->hash, data, size) < 0)
		elog(ERROR, "could not update sha256: %s", pg_cryptohash_error(blob->hash));
	blob->size += size;
}

static void
final_hash(GptBlob *blob, uint8 *sha256)
{
	Assert(sha256 == NULL || blob->hash != NULL);
	if (sha256 != NULL && pg_cryptohash_final(blob->hash, sha256, GPT_BLOB_HASH_SIZE) < 0)
		elog(ERROR, "could not finalize sha256: %s", pg_cryptohash_error(blob->hash));
	if (blob->hash != NULL)
		pg_cryptohash_free(blob->hash);
	pfree(blob);
}

static void
flush_piece(GptBlob *blob)
{
	int n;

	CHECK_FOR_INTERRUPTS();
	n = write_uncompressed(blob);
	close_lo_relation(true);
	if (n != (int) blob->piece_size)
		elog(ERROR, "wrote %d of %zu bytes to large object %u", n, blob->piece_size, blob->object);
	blob->piece_size = 0;
}

/*
 * Weights do not compress, and half of the time of inv_write would go into the attempt for each row
 * of 2 kB. So this session's description of pg_largeobject says meanwhile that the column is never
 * compressed. Others do not see that, and reading does not depend on it. After an error in between
 * it stays so until the server makes the description anew: other large objects that the session
 * writes are then not compressed either.
 */
static int
write_uncompressed(GptBlob *blob)
{
	Relation relation = table_open(LargeObjectRelationId, RowExclusiveLock);
	Form_pg_attribute data =
		TupleDescAttr(RelationGetDescr(relation), Anum_pg_largeobject_data - 1);
	char storage = data->attstorage;
	int n;

	data->attstorage = TYPSTORAGE_PLAIN;
	n = inv_write(blob->descriptor, blob->piece, (int) blob->piece_size);
	data = TupleDescAttr(RelationGetDescr(relation), Anum_pg_largeobject_data - 1);
	data->attstorage = storage;
	table_close(relation, NoLock);
	return n;
}

/* A copy of the row of an object, NULL where there is none. Snapshot NULL: the newest state. */
static HeapTuple
find_metadata(Relation relation, Oid object, Snapshot snapshot)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_largeobject_metadata_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(object));
	scan = systable_beginscan(relation, LargeObjectMetadataOidIndexId, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return tuple;
}

/*
 * A role that holds UPDATE can overwrite weights with lo_put; new versions do not repeat that
 * mistake.
 */
static Acl *
grants_without_update(Datum acl, Oid owner)
{
	Acl *grants = DatumGetAclPCopy(acl);
	AclItem *items = ACL_DAT(grants);

	for (int i = 0; i < ACL_NUM(grants); i++)
	{
		if (items[i].ai_grantee != owner)
			ACLITEM_SET_PRIVS_GOPTIONS(items[i], ACLITEM_GET_PRIVS(items[i]) & ~ACL_UPDATE,
									   ACLITEM_GET_GOPTIONS(items[i]) & ~ACL_UPDATE);
	}
	return grants;
}
