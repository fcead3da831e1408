/*
 * include/store/catalog_model.h
 *
 * A model that is about to change: its row in gpt_model is locked and its versions are known. For
 * the files that write to the catalog of models.
 *
 * A change first takes the locks on names (name_lock.h has the order), then the lock on the model's
 * row, and only then reads the versions, under a snapshot newer than the lock. The lock lasts until
 * the end of the transaction. Objects belong to the model's owner, rows to the extension's.
 *
 * A transaction that makes an adapter keeps its base (FOR KEY SHARE on the rows of model and
 * version) until its end. Only the removal or renaming of the model, or the removal of that
 * version, waits for it; a publication does not touch the version.
 */
#ifndef GPT_CATALOG_MODEL_H
#define GPT_CATALOG_MODEL_H

#include "store/catalog.h"
#include "store/weights.h"

/* A version of a locked model. */
typedef struct GptLockedVersion
{
	int32 number;
	Oid weights;
	pg_uuid_t run_id;
	uint8 sha256[GPT_SHA256_SIZE];
	bool partial;
	bool candidate; /* its job has kept it without making it current */
	GptBelonging belonging;
	bool goes; /* marked: gpt_model_remove_versions removes it */
} GptLockedVersion;

/* A model with all its versions, read under its lock. */
typedef struct GptLockedModel
{
	const char *name;
	int32 version; /* the current one; 0: none */
	int32 last_version;
	int n_versions;
	GptLockedVersion *versions; /* [n_versions] newest first */
	Oid owner; /* InvalidOid if no object is left: the model counts as not existing */
	Oid weights; /* of the current version, else of the newest that is left */
	/* versions go because their base does, so that the current role need not own them */
	bool by_cascade;
} GptLockedModel;

/* Locks on the row of a model. */
typedef enum GptModelLock
{
	GPT_MODEL_LOOK, /* none; for checks before the real lock, whose result may be outdated */
	GPT_MODEL_CHANGE, /* versions come or go, or another one becomes current */
	GPT_MODEL_REMOVE, /* the row goes or gets another name */
} GptModelLock;

/*
 * Locks the model of that name and reads it; false if there is no row. name must stay valid as long
 * as *model.
 */
extern bool gpt_model_lock(GptLockedModel *model, const char *name, GptModelLock lock);

/*
 * Locks the model for a change, and creates its row if it is missing. Two sessions that create it
 * at once wait for each other.
 */
extern void gpt_model_lock_or_create(GptLockedModel *model, const char *name);

/*
 * Locks the model for a change by its owner. Errors: it does not exist; the current role is not a
 * member of its owner.
 */
extern void gpt_model_lock_own(GptLockedModel *model, const char *name, GptModelLock lock);

/* Raises an error unless the current role is a member of the owner. */
extern void gpt_model_check_owner(const GptLockedModel *model);

/*
 * Raise an error if a job makes the model or starts from it. _unused also locks the names (List of
 * char *) for the transaction: it waits for a transaction that submits a job for one of them, and
 * afterwards nobody can submit one. Called before any gpt_model_lock except GPT_MODEL_LOOK.
 */
extern void gpt_model_check_unused(const List *models);
extern void gpt_model_check_jobs(const char *model);

/*
 * Keeps the version that an adapter rests on from being dropped or renamed until the end of the
 * transaction. Sets *model and *version to the present name and number of the version with that
 * content. Raises ERRCODE_UNDEFINED_OBJECT if there is none.
 */
extern void gpt_model_keep_base(const char **model, int32 *version, const uint8 *sha256);

/* The version of that number; NULL if there is none whose object exists. */
extern GptLockedVersion *gpt_model_version(const GptLockedModel *model, int32 number);

/*
 * _spare_kept locks the rows of the versions that are marked to go, without waiting; a version that
 * another session keeps, because it makes an adapter of it, loses its mark. _wait_for_version waits
 * for that session instead.
 */
extern void gpt_model_spare_kept(GptLockedModel *model);
extern void gpt_model_wait_for_version(const GptLockedModel *model, int32 number);

/*
 * Removes the versions that are marked to go: rows, and objects that belong to their runs. Raises
 * an error before that if they are more than the server's lock table can hold, since each object
 * needs one lock. _check_locks is that check; what: the plural noun in the message.
 */
extern void gpt_model_remove_versions(const GptLockedModel *model);
extern void gpt_model_check_locks(uint64 n_objects, const char *what);

/*
 * Removes the images of the version of that number at commit, unless another version has the same
 * content. Called after the rows have changed.
 */
extern void gpt_model_retire_image(const GptLockedModel *model, int32 number);

/* Removes the row of a locked model; its versions have been removed before. */
extern void gpt_model_remove_row(const GptLockedModel *model);

/* Whether the object of the version exists and the current role is a member of its owner. */
extern bool gpt_model_may_change(const GptLockedVersion *version);

/* Sets the comment on the object of a version, which names model and version. */
extern void gpt_model_comment(Oid weights, const char *model, int32 version);

#endif /* GPT_CATALOG_MODEL_H */
