/*
 * include/store/catalog.h
 *
 * The extension's tables: models, versions, tokenizers. Tables are found by the extension's oid,
 * never by search_path. Reading happens under the active snapshot; writing as the extension's
 * owner, in a short security-restricted block.
 */
#ifndef GPT_CATALOG_H
#define GPT_CATALOG_H

#include "core/compat.h"
#include "core/extension.h"
#include "engine/config.h"
#include "engine/tokenizer.h"
#include "store/image_type.h"
#include "utils/uuid.h"

#define GPT_TASK_COMPLETION "completion" /* of gpt_version.task */

typedef struct GptVersion
{
	char *model;
	int32 version;
	Oid weights;
	int64 size;
	uint8 sha256[GPT_SHA256_SIZE];
	uint8 tokenizer[GPT_SHA256_SIZE];
	pg_uuid_t run_id;
	LmConfig config;
	char **labels; /* [config.labels] names */
	char *base; /* model that an adapter rests on; NULL: a full version */
	int32 base_version;
	uint8 base_sha256[GPT_SHA256_SIZE]; /* zeros for a full version */
	GptImageType image_type; /* of the model */
	bool prompted; /* it learnt completions of prompts */
	bool altered; /* the object does not bear the run's id any more */
} GptVersion;

/* Error unless name is 1 to 63 bytes without '@' and control characters. */
extern void gpt_catalog_check_name(const char *name);

/*
 * The version that "name" (current) or "name@3" means under the active snapshot, palloc'd; NULL
 * when missing_ok and it does not exist. A row whose object is gone or another run's counts as not
 * existing. Checks no privilege.
 */
extern GptVersion *gpt_catalog_version(const char *reference, bool missing_ok);

/*
 * The version that an adapter rests on, under the active snapshot, palloc'd. Error when it is
 * missing (ERRCODE_UNDEFINED_OBJECT), or has another content or shape than the adapter was trained
 * with (ERRCODE_DATA_CORRUPTED). Checks no privilege: who may use an adapter may use it with its
 * base.
 */
extern GptVersion *gpt_catalog_base(const GptVersion *adapter);

/*
 * Error unless the current role may use (SELECT) the object of the version; and when it is altered
 * beyond recognition, for then it may be a stranger's, whose privilege opens nothing that a cache
 * still holds.
 */
extern void gpt_catalog_check_use(const GptVersion *version);

/*
 * src/store/catalog_missing.c: errors for a reference to a model, or a name of a tokenizer (or
 * model), that does not exist, with what the current role may know of it: versions, the job that
 * makes the model, the nearest name.
 */
typedef enum GptTokenizerWanted
{
	GPT_WANTED_STORED, /* by a name that somebody gave */
	GPT_WANTED_TOKENIZER, /* or one that always exists */
	GPT_WANTED_TOKENIZER_OR_MODEL, /* or "bytes" */
} GptTokenizerWanted;

pg_noreturn extern void gpt_catalog_raise_missing(const char *reference);

/*
 * From _PG_init: the function that knows whether the current transaction is about to launch a job.
 */
extern void gpt_catalog_ask_pending(bool (*is_pending)(int64 job));
pg_noreturn extern void gpt_catalog_raise_missing_tokenizer(const char *name,
															GptTokenizerWanted wanted);

/*
 * Error where a name of a model is wanted and "name@3" is given; function(model, version), or NULL,
 * takes a version.
 */
extern void gpt_catalog_refuse_version(const char *name, const char *function);

/*
 * Whether the model has a version whose object exists, besides those of a run (or NULL): its
 * partial ones are in nobody's way.
 */
extern bool gpt_catalog_model_exists(const char *model, const pg_uuid_t *but_run);

/* The watermark of a version as text, and its column; NULL where it has none. palloc'd. */
extern char *gpt_catalog_watermark(char **column, const GptVersion *version);

/*
 * The publication of a run, written in the current transaction: object, version row, current
 * pointer.
 */
typedef struct GptPublication
{
	const char *model;
	pg_uuid_t run_id;
	uint8 tokenizer[GPT_SHA256_SIZE];
	const struct LmParamTable *table;
	const float *block; /* parameters in table order */
	const char *labels; /* the names of a classifier's labels, as lm_dataset_labels gives them */
	double loss; /* NaN: NULL in the row */
	double validation_loss;
	double validation_bits_per_byte;
	bool partial;
	int64 step; /* of a partial version: steps done; 0: not known */
	const char *watermark_column; /* NULL or empty: there is none */
	const char *watermark; /* its largest value as text */
	/*
	 * of an adapter: the version that it rests on, found by its content where it was renamed
	 * meanwhile; else NULL
	 */
	const char *base;
	int32 base_version;
	uint8 base_sha256[GPT_SHA256_SIZE];
	/* the model may have versions of other runs; false: then "model already exists" */
	bool may_exist;
	bool must_exist; /* no new model is made */
	int64 keep_versions; /* final versions that stay after a final one, itself included; 0: all */
} GptPublication;

/*
 * Creates the model's row where it is missing and the next version; returns its number. A new model
 * belongs to the current role, a further version to the model's owner, with the grants of the
 * current version. The final version of a run removes the partial ones, and the oldest final ones
 * beyond keep_versions that no adapter rests on. Error when the model exists and may not, or the
 * current role is not a member of its owner. The tokenizer must have been stored: call
 * gpt_catalog_store_tokenizer in the same transaction.
 */
extern int32 gpt_catalog_publish(const GptPublication *publication);

/*
 * Changes of a model by its owner: an error for others, while a job makes the model or starts from
 * it (not for a rollback), and for a new name that is taken. A name that the current transaction
 * changed is so for itself at once, for others when it commits.
 */

/*
 * Removes a model: rows and objects, and at commit the files that its failed and cancelled jobs
 * keep. Adapters of other models that rest on it go too with cascade, whoever owns them, and are an
 * error without.
 */
extern void gpt_catalog_drop_model(const char *model, bool cascade);

/*
 * Removes one version, with its object: an error for the current one, and for one that adapters
 * rest on.
 */
extern void gpt_catalog_drop_version(const char *model, int32 version);

/*
 * Keeps with a new version what made it: the job of its run, the task, the hash of the query, the
 * options.
 */
extern void gpt_catalog_keep_origin(const char *model, int32 version);

/*
 * Makes a final version current; 0: the newest below the one that is current. Returns its number.
 */
extern int32 gpt_catalog_rollback(const char *model, int32 version);

extern void gpt_catalog_rename_model(const char *model, const char *new_name);

/* Sets the type of the images that sessions make of a model from their next call on. */
extern void gpt_catalog_set_image_type(const char *model, GptImageType type);

/*
 * The first version of a new model of the current role: a copy of what the reference means, with
 * its tokenizer and image type, without grants. Needs SELECT.
 */
extern void gpt_catalog_copy_model(const char *reference, const char *new_name);

/* SELECT on the objects of all versions, as GRANT and REVOKE would do it for the current role. */
extern void gpt_catalog_grant_model(const char *model, const char *role, bool is_grant);

/*
 * Stores a tokenizer as the current role, unless an object of a role that it is a member of has the
 * same content; fills sha256. One that no version, name or active job uses goes with the next drop.
 */
extern void gpt_catalog_store_tokenizer(uint8 *sha256, const LmTokenizerSpec *spec);
/* Whether the name is that of a kind of tokenizer, which no tokenizer may have. */
extern bool gpt_catalog_tokenizer_is_reserved(const char *name);
/* Binds a name, also one that the current role owns; error when another role owns it. */
extern void gpt_catalog_name_tokenizer(const char *name, const uint8 *sha256);
/*
 * The tokenizer that a name, or kind@hash, means; false where there is none. Checks that the role
 * may use it.
 */
extern bool gpt_catalog_find_tokenizer(const char *name, uint8 *sha256);
extern bool gpt_catalog_find_unnamed(const char *name, uint8 *sha256); /* part of it: kind@hash */
/* Its description, palloc'd, content verified by hash. Checks no privilege. */
/*
 * src/store/catalog_name.c: the tokenizer that a name means where a tokenizer or a model can be
 * named, under the active snapshot: that of the model, "name" or "name@3", if there is one. False
 * where there is neither. Error unless the current role may use it.
 */
extern bool gpt_catalog_resolve_tokenizer(const char *name, uint8 *sha256);

/*
 * Errors for a new name of a model that is a tokenizer's of another role, and the reverse. With the
 * lock on the name.
 */
extern void gpt_catalog_check_model_name(const char *name);
extern void gpt_catalog_check_tokenizer_name(const char *name);

extern LmTokenizerSpec *gpt_catalog_read_tokenizer(const uint8 *sha256);
extern void gpt_catalog_drop_tokenizer(const char *name);

/*
 * Keeps a tokenizer from being swept until the end of the transaction, without waiting; false where
 * there is none, or it is about to go.
 */
extern bool gpt_catalog_keep_tokenizer(const uint8 *sha256);

/*
 * Removes the tokenizers that nothing uses and nobody is about to use. Waits for nobody, and holds
 * up nobody.
 */
extern void gpt_catalog_sweep_tokenizers(void);

/* Unlinks every object of the extension, before it is dropped. */
extern void gpt_catalog_drop_all(void);
extern void gpt_catalog_drop_all_tokenizers(void); /* part of it */

#endif /* GPT_CATALOG_H */
