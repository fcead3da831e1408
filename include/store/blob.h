/*
 * include/store/blob.h
 *
 * Large objects: the one place that opens them. Bytes are written and read in order, and hashed on
 * the way.
 */
#ifndef GPT_BLOB_H
#define GPT_BLOB_H

#define GPT_BLOB_HASH_SIZE 32 /* sha256 */

typedef struct GptBlob GptBlob;

/*
 * Registers the callback that closes what the server's large object code leaves open. Once, from
 * _PG_init.
 */
extern void gpt_blob_init(void);

/*
 * A new, empty object of that owner. Bytes are appended by _write and reach the table in pieces of
 * 1 MB; _finish writes the rest, fills sha256 (may be NULL) and *size (may be NULL) and returns the
 * object's oid. _finish frees the blob, as _close does below; an error in between leaves nothing to
 * release.
 */
extern GptBlob *gpt_blob_create(Oid owner);
extern Oid gpt_blob_object(const GptBlob *blob);
extern void gpt_blob_write(GptBlob *blob, const void *data, size_t size);
extern Oid gpt_blob_finish(GptBlob *blob, int64 *size, uint8 *sha256);

/*
 * Opens an object for reading from its beginning, as the active snapshot sees it. No privilege is
 * checked here: that is done by name, before (gpt_blob_can_use). NULL where it does not exist.
 * _read returns fewer bytes only at the end; _close fills sha256 (NULL, unless hashed) of the bytes
 * that were read and returns their number. Without a hash opening does without the library that
 * computes it, which takes milliseconds to begin with.
 */
extern GptBlob *gpt_blob_open(Oid object, bool hashed);
extern size_t gpt_blob_read(GptBlob *blob, void *data, size_t size);
extern int64 gpt_blob_close(GptBlob *blob, uint8 *sha256);

/* Bytes of an object under the active snapshot; 0 where it does not exist. */
extern int64 gpt_blob_size(Oid object);

/* sha256 of bytes in memory. */
extern void gpt_blob_hash(uint8 *sha256, const void *data, size_t size);

/* Owner under the active snapshot; InvalidOid where the object does not exist. */
extern Oid gpt_blob_owner(Oid object);
/*
 * Whether it exists and the current role has SELECT on it; lo_compat_privileges does not open
 * models.
 */
extern bool gpt_blob_can_use(Oid object);

/* Comment on the object, which identifies one that was left behind. */
extern void gpt_blob_comment(Oid object, const char *comment);
/*
 * Gives object the grants of another one, without UPDATE: who may write to weights can ruin them.
 */
extern void gpt_blob_copy_grants(Oid object, Oid from);
/*
 * Removes the object, where another session does not do so meanwhile. The caller has checked the
 * privilege.
 */
extern void gpt_blob_drop(Oid object);

#endif /* GPT_BLOB_H */
