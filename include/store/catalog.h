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
#include "store/blob.h"
#include "store/image_type.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#define GPT_TASK_COMPLETION "completion" /* of gpt_version.task */
#define GPT_TASK_CHAT "chat" /* the same, trained on conversations */
#define GPT_TASK_PREFERENCE "preference" /* on answers of which one is better */
#define GPT_TASK_RETRIEVAL "retrieval" /* on texts and what should be found for them */

/* A row of gpt_version, palloc'd. */
typedef struct GptVersion
{
	char *model;
	int32 version;
	Oid weights;
	int64 size; /* bytes of the object */
	uint8 sha256[GPT_SHA256_SIZE]; /* of the object */
	uint8 tokenizer[GPT_SHA256_SIZE]; /* hash of its tokenizer */
	pg_uuid_t run_id;
	LmConfig config;
	char **labels; /* [config.labels] names */
	char *base; /* model that an adapter rests on; NULL: a full version */
	int32 base_version;
	uint8 base_sha256[GPT_SHA256_SIZE]; /* zeros for a full version */
	GptImageType image_type; /* of the model */
	bool prompted; /* trained on completions of prompts, or on conversations */
	char *extras; /* of store/model_extras.h; NULL: none */
	bool altered; /* the object no longer has the run's id */
} GptVersion;

#define GPT_NAME_SIZE 63 /* bytes of a model's name at most */

/* Raises an error unless name has 1 to 63 bytes, without '@' and control characters. */
extern void gpt_catalog_check_name(const char *name);

/*
 * The version that "name" (the current one) or "name@3" means under the active snapshot, palloc'd.
 * If it does not exist: NULL if missing_ok, else an error. A row whose object is gone, or belongs
 * to another run, counts as not existing. Checks no privilege.
 */
extern GptVersion *gpt_catalog_version(const char *reference, bool missing_ok);

/*
 * The name in a reference, palloc'd, and the number of the version; 0: the reference has none.
 * Raises the error of a missing model for what is not a reference.
 */
extern int32 gpt_catalog_split(char **model, const char *reference);

/* Whether a text of so many bytes can name one version, "name@3", whether or not there is one. */
extern bool gpt_catalog_is_pinned(const char *reference, size_t size);

/* The same in model [GPT_NAME_SIZE + 1]; false for what is not a reference. */
extern bool gpt_catalog_parse(char *model, int32 *version, const char *reference);

/*
 * The version that an adapter rests on, under the active snapshot, palloc'd. Errors: it is missing
 * (ERRCODE_UNDEFINED_OBJECT), or its content or shape is not the one that the adapter was trained
 * with (ERRCODE_DATA_CORRUPTED). Checks no privilege: a role that may use an adapter may use it
 * with its base.
 */
extern GptVersion *gpt_catalog_base(const GptVersion *adapter);

/* Whether the tokenizer of the version has a row; its content is not looked at. */
extern bool gpt_catalog_has_tokenizer(const GptVersion *version);

/* The statistics of a version for search (engine/search.h), palloc'd; NULL: it has none. */
extern char *gpt_catalog_search(size_t *size, const GptVersion *version);

/*
 * Raises an error unless the current role has SELECT on the version's object. Also if the object is
 * altered beyond recognition: it may be another user's, whose grant must not open weights that a
 * cache still holds.
 */
extern void gpt_catalog_check_use(const GptVersion *version);

/* The names that a caller accepts, from which the nearest one is suggested. */
typedef enum GptTokenizerWanted
{
	GPT_WANTED_STORED, /* a stored tokenizer */
	GPT_WANTED_TOKENIZER, /* a stored one, "bytes", "chars" or "bpe" */
	GPT_WANTED_TOKENIZER_OR_MODEL, /* a stored one, a model, or "bytes" */
} GptTokenizerWanted;

/*
 * src/store/catalog_missing.c: raise the error for a reference to a model, or the name of a
 * tokenizer (or model), that does not exist. The error has what the current role may know:
 * versions, the job that makes the model, the nearest name.
 */
pg_noreturn extern void gpt_catalog_raise_missing(const char *reference);
/* Whether a job of the model runs or waits, or has failed, that the current role may see. */
extern bool gpt_catalog_knows_job(const char *model);
pg_noreturn extern void gpt_catalog_raise_missing_tokenizer(const char *name,
															GptTokenizerWanted wanted);

/* Called by _PG_init: is_pending tells whether the current transaction will launch a job. */
extern void gpt_catalog_ask_pending(bool (*is_pending)(int64 job));

/*
 * Raises an error if name is "name@3" where a model's name is wanted; function: one that takes a
 * version, for the hint, or NULL.
 */
extern void gpt_catalog_refuse_version(const char *name, const char *function);

/*
 * Whether the model has a version whose object exists. Versions of the run but_run (or NULL) do not
 * count: they are partial versions of the same job.
 */
extern bool gpt_catalog_model_exists(const char *model, const pg_uuid_t *but_run);

/* The profile of a version's rows as text of JSON, palloc'd; NULL if it has none. */
extern char *gpt_catalog_profile(const GptVersion *version);

/* The watermark of a version as text, and its column; NULL if it has none. palloc'd. */
extern char *gpt_catalog_watermark(char **column, const GptVersion *version);

/*
 * A version to publish. In the current transaction the object, the row of the version and the
 * model's current version are written.
 */
typedef struct GptPublication
{
	const char *model;
	pg_uuid_t run_id;
	uint8 tokenizer[GPT_SHA256_SIZE];
	const struct LmParamTable *table;
	const float *block; /* [table->total] parameters in table order */
	/* writes the object instead of block: an import; NULL: block is written */
	void (*write)(GptBlob *blob, void *context, const pg_uuid_t *run_id);
	void *write_context;
	const char *extras; /* a JSON object with further members of the row's config, or NULL */
	const char *labels; /* of a classifier, in the form of lm_dataset_labels; else NULL */
	const void *search; /* statistics (engine/search.h), or NULL */
	size_t search_size;
	double loss; /* NaN: NULL in the row */
	double validation_loss;
	double validation_bits_per_byte;
	bool partial;
	bool candidate; /* the current version stays; not partial */
	int32 number; /* of the version, which must be above all that were given; 0: the next */
	/* a partial version of the run with these weights, which takes the state instead of a new one;
	 * 0: none */
	int32 made;
	int64 step; /* of a partial version: steps done; 0: not known */
	const char *watermark_column; /* NULL or empty: there is none */
	const char *watermark; /* its largest value as text */
	/*
	 * model that an adapter rests on, else NULL; if it was renamed in the meantime, the content
	 * hash finds it
	 */
	const char *base;
	int32 base_version;
	uint8 base_sha256[GPT_SHA256_SIZE];
	/* the model may have versions of other runs; false: that is an error */
	bool may_exist;
	bool must_exist; /* do not create a new model */
	int64 keep_versions; /* final versions to keep, this one included; 0: all */
} GptPublication;

/*
 * Creates the next version, and the model's row if it is missing; returns the version's number. A
 * new model belongs to the current role, a further version to the model's owner, with the grants of
 * the current version. The final version of a run removes the run's partial versions, and the
 * oldest final versions beyond keep_versions that no adapter rests on. Errors: the model exists and
 * may_exist is false; the current role is not a member of its owner. The tokenizer must have been
 * stored by gpt_catalog_store_tokenizer in the same transaction.
 */
extern int32 gpt_catalog_publish(const GptPublication *publication);

/*
 * Changes of a model by its owner. They raise an error for other roles, while a job makes the model
 * or starts from it (except for a rollback), and for a new name that is taken. The current
 * transaction sees a changed name at once, others see it after the commit.
 */

/*
 * Removes a model: rows and objects, and at commit the files that its failed and cancelled jobs
 * keep. Adapters of other models that rest on it: with cascade they are removed too, whoever owns
 * them; without, they are an error.
 */
extern void gpt_catalog_drop_model(const char *model, bool cascade);

/*
 * Removes one version with its object. Raises an error for the current version, and if adapters
 * rest on it.
 */
extern void gpt_catalog_drop_version(const char *model, int32 version);

/*
 * Copies into a new version's row how it came about: its job, task, query, options and the report
 * so far. _measures copies the report at its end, and keeps what was measured: the columns
 * evaluation and profile of gpt_versions, or NULL.
 */
extern void gpt_catalog_keep_origin(const char *model, int32 version);
extern void gpt_catalog_keep_measures(const char *model, int32 version, const Jsonb *evaluation,
									  const Jsonb *profile);

/*
 * SQL that takes over, as "column = expression" or "expression", what the row a of gpt_version
 * keeps of its training. A role without the privileges of its owner does not get what the views
 * hide from it.
 */
#define GPT_KEPT_COLUMNS \
	"job, task, query_sha256, options, search, query, given_options, report, evaluation, profile"
#define GPT_KEPT_VALUES(own)                                                                     \
	"a.job, a.task, a.query_sha256, a.options, a.search, CASE WHEN " own " THEN a.query END, "   \
	"CASE WHEN " own " THEN a.given_options END, CASE WHEN " own " THEN a.report ELSE a.report " \
	"- 'prompt' - 'warnings' END, CASE WHEN " own " THEN a.evaluation ELSE a.evaluation - "      \
	"'surprising' - 'pairs' END, a.profile"

/*
 * Makes a final version the current one; 0: the newest one older than the current version. Returns
 * its number.
 */
extern int32 gpt_catalog_rollback(const char *model, int32 version);

/* Renames a model; adapters that rest on it follow. */
extern void gpt_catalog_rename_model(const char *model, const char *new_name);

/* Sets the type of the model's images; sessions use it from their next call on. */
extern void gpt_catalog_set_image_type(const char *model, GptImageType type);

/*
 * Copies the version of the reference as the first version of a new model of the current role, with
 * its tokenizer and image type, without grants. Needs SELECT.
 */
extern void gpt_catalog_copy_model(const char *reference, const char *new_name);

/*
 * Grants or revokes SELECT on the objects of all versions, with the semantics of GRANT and REVOKE.
 */
extern void gpt_catalog_grant_model(const char *model, const char *role, bool is_grant);

/*
 * Stores a tokenizer as the current role, unless an object of a role that it is a member of has the
 * same content; sets sha256. A tokenizer that no version, name or active job uses is removed by the
 * next drop.
 */
extern void gpt_catalog_store_tokenizer(uint8 *sha256, const LmTokenizerSpec *spec);

/* Whether the name is reserved: that of a kind of tokenizer that jobs make, or "auto". */
extern bool gpt_catalog_tokenizer_is_reserved(const char *name);

/* Gives a name to a tokenizer, new or taken from another one; an error if another role owns it. */
extern void gpt_catalog_name_tokenizer(const char *name, const uint8 *sha256);

/*
 * Raises an error unless the current role may give the name to a tokenizer: it is valid, not
 * reserved, and no other role has a model or tokenizer of it, or a job that makes one.
 */
extern void gpt_catalog_check_new_tokenizer(const char *name);

/*
 * Sets sha256 to the tokenizer that a name, or kind@hash, means; false if there is none. Raises an
 * error unless the current role may use it. _find_unnamed looks for kind@hash only.
 */
extern bool gpt_catalog_find_tokenizer(const char *name, uint8 *sha256);
extern bool gpt_catalog_find_unnamed(const char *name, uint8 *sha256);

/*
 * src/store/catalog_name.c: the tokenizer that a name means if both tokenizers and models are
 * accepted, under the active snapshot. A model, "name" or "name@3", stands for its tokenizer. False
 * if there is neither. Raises an error unless the current role may use it.
 */
extern bool gpt_catalog_resolve_tokenizer(const char *name, uint8 *sha256);

/*
 * Raise an error if another role has a tokenizer of the model's new name, and the reverse. The
 * caller holds the lock on the name.
 */
extern void gpt_catalog_check_model_name(const char *name);
extern void gpt_catalog_check_tokenizer_name(const char *name);

/* The description of a tokenizer, palloc'd; the hash verifies its content. Checks no privilege. */
extern LmTokenizerSpec *gpt_catalog_read_tokenizer(const uint8 *sha256);

/* Removes a name that the current role owns, and the tokenizer if nothing else uses it. */
extern void gpt_catalog_drop_tokenizer(const char *name);

/*
 * Keeps a tokenizer from removal until the end of the transaction, without waiting; false if it
 * does not exist or is being removed.
 */
extern bool gpt_catalog_keep_tokenizer(const uint8 *sha256);

/* Removes the tokenizers that nothing uses. It neither waits for locks nor makes others wait. */
extern void gpt_catalog_sweep_tokenizers(void);

/* Unlinks every large object of the extension before it is dropped. _tokenizers is a part of it. */
extern void gpt_catalog_drop_all(void);
extern void gpt_catalog_drop_all_tokenizers(void);

#endif /* GPT_CATALOG_H */
