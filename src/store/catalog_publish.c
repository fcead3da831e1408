/*
 * src/store/catalog_publish.c
 *
 * Publishes versions of models: large object, row and current pointer in one transaction. Unlinks
 * everything before the extension goes.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "core/compat.h"
#include "core/statement.h"
#include "engine/params.h"
#include "serve/image_file.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/catalog_model.h"
#include "store/job.h"
#include "store/model_config.h"
#include "store/version_dependents.h"
#include "store/weights.h"

#define MAX_REMOVED 1000

static void check_new(const GptLockedModel *model, const GptPublication *publication);
static int32 number_of(const GptLockedModel *model, const GptPublication *publication);
static bool is_made(const GptLockedModel *model, const GptPublication *publication);
static void set_state(const GptPublication *publication, int32 version);
static Oid write_object(const GptPublication *publication, Oid owner, int32 version, int64 *size,
						uint8 *sha256);
static void insert_version(const GptPublication *publication, int32 version, Oid weights,
						   int64 size, const uint8 *sha256);
static void check_tokenizer(const uint8 *sha256);
static void remove_older(GptLockedModel *model, const GptPublication *publication);
static void note_spared(const GptPublication *publication, const char *numbers);
static void spare_bases(GptLockedModel *model, const GptPublication *publication);

int32
gpt_catalog_publish(const GptPublication *given)
{
	GptPublication copy = *given;
	const GptPublication *publication = &copy;
	GptLockedModel model;
	int32 version;
	int64 size;
	uint8 sha256[GPT_SHA256_SIZE];
	Oid weights;

	gpt_catalog_check_name(publication->model);
	/* Locks the base before the adapter: a session that drops both takes them in that order. */
	if (copy.base != NULL && strcmp(copy.base, copy.model) != 0)
		gpt_model_keep_base(&copy.base, &copy.base_version, copy.base_sha256);
	if (publication->must_exist)
		gpt_model_lock_own(&model, publication->model, GPT_MODEL_CHANGE);
	else
		gpt_model_lock_or_create(&model, publication->model);
	if (copy.base != NULL && strcmp(copy.base, copy.model) == 0)
		gpt_model_keep_base(&copy.base, &copy.base_version, copy.base_sha256);
	if (OidIsValid(model.owner))
		gpt_model_check_owner(&model);
	check_new(&model, publication);
	check_tokenizer(publication->tokenizer);

	if (is_made(&model, publication))
		version = publication->made;
	else
	{
		copy.made = 0;
		version = number_of(&model, publication);
		weights = write_object(publication, OidIsValid(model.owner) ? model.owner : GetUserId(),
							   version, &size, sha256);
		if (OidIsValid(model.owner))
			gpt_blob_copy_grants(weights, model.weights);
		insert_version(publication, version, weights, size, sha256);
	}
	set_state(publication, version);
	gpt_catalog_keep_origin(publication->model, version);
	if (!publication->partial)
		remove_older(&model, publication);
	if (!publication->partial && !publication->candidate && model.version > 0)
		gpt_model_retire_image(&model, model.version);
	return version;
}

/*
 * They go in one transaction with the extension; each takes a lock. Objects that are not surely
 * ours stay.
 */
void
gpt_catalog_drop_all(void)
{
	GptStatement statement;
	GptLockedVersion *versions;
	uint64 n;

	gpt_statement_begin(&statement);
	n = gpt_statement_run(&statement, "SELECT weights, run_id, sha256 FROM %s.gpt_version");
	versions = MemoryContextAllocZero(statement.caller, Max(n, 1) * sizeof(GptLockedVersion));
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;

		versions[i].weights = DatumGetObjectId(gpt_statement_value(&statement, i, 1, &is_null));
		versions[i].run_id = *DatumGetUUIDP(gpt_statement_value(&statement, i, 2, &is_null));
		gpt_statement_hash(versions[i].sha256, &statement, i, 3);
	}
	gpt_statement_end(&statement);
	gpt_model_check_locks(n, "versions of models");
	PushActiveSnapshot(GetLatestSnapshot());
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (gpt_weights_belonging(versions[i].weights, &versions[i].run_id) == GPT_WEIGHTS_OURS)
			gpt_blob_drop(versions[i].weights);
		gpt_image_remove_at_commit(versions[i].sha256);
	}
	PopActiveSnapshot();
	gpt_catalog_drop_all_tokenizers();
}

/* Versions of the same run are its own partial ones. */
static void
check_new(const GptLockedModel *model, const GptPublication *publication)
{
	if (publication->may_exist)
		return;
	for (int i = 0; i < model->n_versions; i++)
	{
		const GptLockedVersion *version = &model->versions[i];
		bool own = version->partial &&
				   memcmp(&version->run_id, &publication->run_id, sizeof(pg_uuid_t)) == 0;

		if (version->belonging != GPT_WEIGHTS_GONE && !own)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
							errmsg("model \"%s\" already exists", model->name)));
	}
}

static Oid
write_object(const GptPublication *publication, Oid owner, int32 version, int64 *size,
			 uint8 *sha256)
{
	GptBlob *blob = gpt_blob_create(owner);

	gpt_model_comment(gpt_blob_object(blob), publication->model, version);
	if (publication->write != NULL)
		publication->write(blob, publication->write_context, &publication->run_id);
	else
	{
		const GptWeightsNotes notes = {publication->labels, publication->extras,
									   &publication->run_id};

		gpt_weights_write(blob, publication->table, publication->block, &notes);
	}
	return gpt_blob_finish(blob, size, sha256);
}

/* The statistics as a bytea; without any, an empty one. */
static bytea *
search_of(const GptPublication *publication)
{
	size_t size = publication->search != NULL ? publication->search_size : 0;
	bytea *search = palloc(VARHDRSZ + size);

	SET_VARSIZE(search, VARHDRSZ + size);
	if (size > 0)
		memcpy(VARDATA(search), publication->search, size);
	return search;
}

/* Numbers are never given twice. */
static int32
number_of(const GptLockedModel *model, const GptPublication *publication)
{
	if (publication->number == 0)
		return model->last_version + 1;
	if (publication->number <= model->last_version)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("model \"%s\" has given numbers up to %d, version %d cannot follow",
							   model->name, model->last_version, publication->number)));
	return publication->number;
}

/* Whether the weights are there as a partial version of the run. */
static bool
is_made(const GptLockedModel *model, const GptPublication *publication)
{
	const GptLockedVersion *version =
		publication->made > 0 ? gpt_model_version(model, publication->made) : NULL;

	return version != NULL && version->partial && version->belonging == GPT_WEIGHTS_OURS &&
		   memcmp(&version->run_id, &publication->run_id, sizeof(pg_uuid_t)) == 0;
}

/* A final version also becomes the model's current one. */
static void
set_state(const GptPublication *publication, int32 version)
{
	const char *state = publication->partial	 ? "partial"
						: publication->candidate ? "candidate"
												 : "final";
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, publication->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version));
	gpt_statement_add_text(&statement, state);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(publication->step));
	gpt_statement_change(&statement, 1,
						 "UPDATE %s.gpt_version SET state = $3, step = nullif($4, 0) WHERE model = "
						 "$1 AND version = $2");
	gpt_statement_add_text(&statement, publication->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version));
	gpt_statement_add_text(&statement, state);
	gpt_statement_change(&statement, 1,
						 "UPDATE %s.gpt_model SET last_version = greatest(last_version, $2), "
						 "version = CASE WHEN $3 = 'final' THEN $2 ELSE version END WHERE model = "
						 "$1");
	gpt_statement_end(&statement);
}

/* Inserts the row of the version. */
static void
insert_version(const GptPublication *publication, int32 version, Oid weights, int64 size,
			   const uint8 *sha256)
{
	bytea *search = search_of(publication);
	const char *publisher = GetUserNameFromId(GetUserId(), false);
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, publication->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version));
	gpt_statement_add_text(&statement, "partial");
	gpt_statement_add(&statement, UUIDOID, UUIDPGetDatum(&publication->run_id));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(weights));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(size));
	gpt_statement_add_hash(&statement, sha256);
	gpt_statement_add_hash(&statement, publication->tokenizer);
	gpt_statement_add_text(&statement,
						   gpt_config_to_json(&publication->table->config, publication->labels));
	gpt_statement_add(&statement, INT8OID,
					  Int64GetDatum((int64) publication->table->parameter_count));
	gpt_statement_add_real(&statement, publication->loss);
	gpt_statement_add_real(&statement, publication->validation_loss);
	gpt_statement_add_real(&statement, publication->validation_bits_per_byte);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(publication->step));
	gpt_statement_add_text(
		&statement, publication->watermark_column != NULL ? publication->watermark_column : "");
	gpt_statement_add_text(&statement,
						   publication->watermark != NULL ? publication->watermark : "");
	gpt_statement_add_text(&statement, publication->base != NULL ? publication->base : "");
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(publication->base_version));
	gpt_statement_add_hash(&statement, publication->base_sha256);
	gpt_statement_add_text(&statement, publication->extras != NULL ? publication->extras : "{}");
	gpt_statement_add(&statement, BYTEAOID, PointerGetDatum(search));
	gpt_statement_add_text(&statement, publisher);
	gpt_statement_change(
		&statement, 1,
		"INSERT INTO %s.gpt_version (model, version, state, run_id, weights, size, sha256, "
		"tokenizer, config, parameters, loss, validation_loss, validation_bits_per_byte, step, "
		"watermark, base, base_version, base_sha256, search, published_by) VALUES ($1, $2, $3, $4, "
		"$5, $6, $7, "
		"$8, "
		"$9::jsonb || $20::jsonb, $10, $11, $12, $13, nullif($14, 0), CASE WHEN $15 <> '' AND $16 "
		"<> '' THEN "
		"jsonb_build_object('column', $15, 'value', $16) END, nullif($17, ''), CASE WHEN $17 <> '' "
		"THEN $18 END, CASE WHEN $17 <> '' THEN $19 END, nullif($21, ''), $22)");
	gpt_statement_end(&statement);
}

char *
gpt_catalog_watermark(char **column, const GptVersion *version)
{
	GptStatement statement;
	char *value = NULL;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, version->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version->version));
	if (gpt_statement_run(&statement,
						  "SELECT watermark->>'column', watermark->>'value' FROM %s.gpt_version "
						  "WHERE model = $1 AND version = $2 AND watermark IS NOT NULL") > 0)
	{
		*column = gpt_statement_text(&statement, 0, 1);
		value = gpt_statement_text(&statement, 0, 2);
	}
	gpt_statement_end(&statement);
	return value;
}

/*
 * A lock keeps it from being swept before the version that uses it is committed. Nobody who drops
 * something is waited for.
 */
static void
check_tokenizer(const uint8 *sha256)
{
	if (!gpt_catalog_keep_tokenizer(sha256))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("the tokenizer of the model does not exist any more")));
}

/*
 * The version that has been published at the end of a job removes the partial ones, and others
 * beyond the number to keep, itself included: at most MAX_REMOVED, for each takes a lock, and the
 * next publication takes the rest, with what others keep now. A session that makes an adapter has
 * committed it, and is seen by the look at bases, or keeps its base.
 */
static void
remove_older(GptLockedModel *model, const GptPublication *publication)
{
	int64 keep_versions = publication->keep_versions;
	int64 n_final = 1;
	int n_removed = 0;

	for (int i = 0; i < model->n_versions; i++)
	{
		GptLockedVersion *version = &model->versions[i];

		if (version->number == publication->made)
			continue;
		if (!version->partial)
			n_final++;
		version->goes = version->partial || (keep_versions > 0 && n_final > keep_versions);
		/* It is no longer current once the new version is. */
		if (publication->candidate && version->number == model->version)
			version->goes = false;
	}
	gpt_model_spare_kept(model);
	spare_bases(model, publication);
	for (int i = model->n_versions - 1; i >= 0; i--)
	{
		if (model->versions[i].goes && ++n_removed > MAX_REMOVED)
			model->versions[i].goes = false;
	}
	note_spared(publication, gpt_dependents_spare(model));
	/* Once more, for adapters that the limit has spared, or objects that depend on them. */
	spare_bases(model, publication);
	gpt_model_remove_versions(model);
}

/* Says in the note of the job, or to the session, which versions stay for objects. NULL: none. */
static void
note_spared(const GptPublication *publication, const char *numbers)
{
	GptStatement statement;
	bool is_null;
	int64 job = 0;
	char *note;

	if (numbers == NULL)
		return;
	note = psprintf("older versions stay because objects depend on them: %s", numbers);
	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, UUIDOID, UUIDPGetDatum(&publication->run_id));
	if (gpt_statement_run(&statement, "SELECT job FROM %s.gpt_job WHERE run_id = $1 AND state = "
									  "'running'") > 0)
		job = DatumGetInt64(gpt_statement_value(&statement, 0, 1, &is_null));
	gpt_statement_end(&statement);
	if (job != 0)
		gpt_job_add_note(job, note);
	else
		ereport(NOTICE, (errmsg_internal("%s", note)));
}

/*
 * Versions stay that adapters rest on which stay themselves, or that another job starts from which
 * trains an adapter.
 */
static void
spare_bases(GptLockedModel *model, const GptPublication *publication)
{
	GptStatement statement;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model->name);
	gpt_statement_add(&statement, UUIDOID, UUIDPGetDatum(&publication->run_id));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	n = gpt_statement_run(
		&statement,
		"SELECT base_version, CASE WHEN model = $1 THEN version ELSE 0 END FROM %1$s.gpt_version "
		"WHERE base = $1 UNION ALL SELECT base_version, 0 FROM %1$s.gpt_job WHERE base = $1 AND "
		"base_version > 0 AND system_identifier = $3 AND database = $4 AND state IN ('queued', "
		"'running') AND run_id <> $2 AND options->>'method' = 'lora'");
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;
		GptLockedVersion *base = gpt_model_version(
			model, DatumGetInt32(gpt_statement_value(&statement, i, 1, &is_null)));
		const GptLockedVersion *adapter = gpt_model_version(
			model, DatumGetInt32(gpt_statement_value(&statement, i, 2, &is_null)));

		if (base != NULL && (adapter == NULL || !adapter->goes))
			base->goes = false;
	}
	gpt_statement_end(&statement);
}
