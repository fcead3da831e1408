/*
 * include/store/blob.h
 *
 * Large objects: the one place that opens them. Bytes are written and read in order, and hashed on
 * the way.
 */
#ifndef GPT_BLOB_H
#define GPT_BLOB_H

#define GPT_BLOB_HASH_SIZE 32 /* sha256 */

/* An open large object. */
typedef struct GptBlob GptBlob;

/*
 * Called once by _PG_init: registers the callback that closes pg_largeobject if an error left it
 * open.
 */
extern void gpt_blob_init(void);

/*
 * Creates an empty object of that owner. _write appends bytes, which reach the table in pieces of 1
 * MB, uncompressed. _finish writes the rest, sets sha256 and *size (each may be NULL), returns the
 * object's oid and frees the blob. An error in between leaves nothing to release.
 */
extern GptBlob *gpt_blob_create(Oid owner);
extern Oid gpt_blob_object(const GptBlob *blob);
extern void gpt_blob_write(GptBlob *blob, const void *data, size_t size);
extern Oid gpt_blob_finish(GptBlob *blob, int64 *size, uint8 *sha256);

/*
 * Opens an object for reading from its beginning, as the active snapshot sees it; NULL if it does
 * not exist. Checks no privilege: callers use gpt_blob_can_use before. _read returns fewer bytes
 * only at the end. _seek sets the place of the next byte, where bytes are not hashed. _close frees
 * the blob, returns the number of bytes read, and sets sha256 of them if `hashed` (NULL otherwise).
 * Without a hash, opening saves the milliseconds in which the crypto library initialises.
 */
extern GptBlob *gpt_blob_open(Oid object, bool hashed);
extern size_t gpt_blob_read(GptBlob *blob, void *data, size_t size);
extern void gpt_blob_seek(GptBlob *blob, int64 offset);
extern int64 gpt_blob_close(GptBlob *blob, uint8 *sha256);

/* Size in bytes under the active snapshot; 0 if the object does not exist. */
extern int64 gpt_blob_size(Oid object);

/* sha256 of bytes in memory. */
extern void gpt_blob_hash(uint8 *sha256, const void *data, size_t size);

/* Owner under the active snapshot; InvalidOid if the object does not exist. */
extern Oid gpt_blob_owner(Oid object);

/* Whether it exists and the current role has SELECT on it, whatever lo_compat_privileges says. */
extern bool gpt_blob_can_use(Oid object);

/* Sets the comment on the object; it identifies an object that was left behind. */
extern void gpt_blob_comment(Oid object, const char *comment);

/* Gives the object the grants of another one, except UPDATE: nobody else may overwrite weights. */
extern void gpt_blob_copy_grants(Oid object, Oid from);

/*
 * Removes the object, unless another session has removed it. The caller has checked the privilege.
 */
extern void gpt_blob_drop(Oid object);

#endif /* GPT_BLOB_H */
