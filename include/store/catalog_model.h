/*
 * include/store/catalog_model.h
 *
 * A model that is about to be changed: its row in gpt_model is locked, and its versions are known.
 * For the files that write to the catalog of models.
 *
 * Who changes a model takes the lock on its row before anything about its versions is read, and
 * after those on names (name_lock.h has the order); they are then read under a snapshot newer than
 * the lock, which lasts to the end of the transaction. Objects belong to the model's owner, rows to
 * the extension's.
 *
 * Who makes an adapter keeps its base (FOR KEY SHARE on the rows of model and version) to the end
 * of the transaction. That is in nobody's way but of who removes or renames the model, or drops
 * that version; a publication leaves the version alone.
 */
#ifndef GPT_CATALOG_MODEL_H
#define GPT_CATALOG_MODEL_H

#include "store/catalog.h"
#include "store/weights.h"

typedef struct GptLockedVersion
{
	int32 number;
	Oid weights;
	pg_uuid_t run_id;
	uint8 sha256[GPT_SHA256_SIZE];
	bool partial;
	GptBelonging belonging;
	bool goes; /* gpt_model_remove_versions removes it */
} GptLockedVersion;

typedef struct GptLockedModel
{
	const char *name;
	int32 version; /* the current one, 0 where there is none */
	int32 last_version;
	int n_versions; /* newest first */
	GptLockedVersion *versions;
	Oid owner; /* InvalidOid where no object is left: the model counts as not existing */
	Oid weights; /* of the current version, else of the newest that is left */
	/* versions go because of what they rest on: the current role need not own them */
	bool by_cascade;
} GptLockedModel;

typedef enum GptModelLock
{
	/* none: what is read may be over at once. For errors before anything is waited for. */
	GPT_MODEL_LOOK,
	GPT_MODEL_CHANGE, /* versions come or go, or another one becomes current */
	GPT_MODEL_REMOVE, /* the row goes or gets another name */
} GptModelLock;

/*
 * Locks the model of that name, which must stay valid as long as *model, and reads it. False when
 * there is no row.
 */
extern bool gpt_model_lock(GptLockedModel *model, const char *name, GptModelLock lock);

/*
 * Locks it for a change; makes the row where there is none. Two who make it at once wait for each
 * other.
 */
extern void gpt_model_lock_or_create(GptLockedModel *model, const char *name);

/*
 * The same for a change by its owner: an error where the model does not exist, or belongs to a role
 * that the caller is not a member of.
 */
extern void gpt_model_lock_own(GptLockedModel *model, const char *name, GptModelLock lock);

/* Error unless the current role is a member of the owner. */
extern void gpt_model_check_owner(const GptLockedModel *model);

/*
 * Error while a job makes the model or starts from it. _unused takes the locks on the names (List
 * of char *) for the transaction, too: it waits for another one that submits a job for one of them,
 * and then nobody submits one. Before any gpt_model_lock but a look.
 */
extern void gpt_model_check_unused(const List *models);
extern void gpt_model_check_jobs(const char *model);

/*
 * Keeps the version that an adapter rests on, so that until the end of the transaction nobody drops
 * it, or renames its model. Sets name and number to what a version of that content has now.
 * ERRCODE_UNDEFINED_OBJECT where there is none.
 */
extern void gpt_model_keep_base(const char **model, int32 *version, const uint8 *sha256);

/* The version of that number, NULL where there is none whose object is left. */
extern GptLockedVersion *gpt_model_version(const GptLockedModel *model, int32 number);

/*
 * Locks the rows of the versions that are marked to go, without waiting: one that somebody keeps,
 * who makes an adapter of it, stays. gpt_model_wait_for_version waits for who keeps it.
 */
extern void gpt_model_spare_kept(GptLockedModel *model);
extern void gpt_model_wait_for_version(const GptLockedModel *model, int32 number);

/*
 * Removes the versions that are marked to go: rows, and objects that are ours. Error, before
 * anything is done, when they are more than the server's table of locks can hold, for each object
 * takes one.
 */
extern void gpt_model_remove_versions(const GptLockedModel *model);
extern void gpt_model_check_locks(uint64 n_objects, const char *what);

/*
 * When the transaction commits, the images of a version that goes or is replaced are removed,
 * unless another version has the same content. Called after the rows have changed. number: of the
 * version.
 */
extern void gpt_model_retire_image(const GptLockedModel *model, int32 number);

/* Removes the row of a locked model, after its versions. */
extern void gpt_model_remove_row(const GptLockedModel *model);

/* Whether the object of a version is there, and the current role is a member of its owner. */
extern bool gpt_model_may_change(const GptLockedVersion *version);

/* The comment on the object of a version names model and version. */
extern void gpt_model_comment(Oid weights, const char *model, int32 version);

#endif /* GPT_CATALOG_MODEL_H */
