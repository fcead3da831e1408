/*
 * src/catalog_publish.c
 *
 * Publishes versions of models and drops models: large objects and rows in one transaction.
 *
 * Who changes a model holds the lock on its row in gpt_model, taken before anything about its versions is read;
 * they are then read under a snapshot newer than the lock. Objects belong to the model's owner, rows to the
 * extension's.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "blob.h"
#include "catalog.h"
#include "compat.h"
#include "engine/params.h"
#include "model_config.h"
#include "statement.h"
#include "weights.h"

typedef struct Version
{
	int32 number;
	Oid weights;
	pg_uuid_t run_id;
	bool partial;
	GptBelonging belonging;
} Version;

/* A model whose row is locked. */
typedef struct LockedModel
{
	const char *name;
	int32 last_version;
	int n_versions; /* newest first */
	Version *versions;
	Oid owner; /* InvalidOid where no object is left */
	Oid weights; /* of the current version, else of the newest that is left */
} LockedModel;

static bool lock_model(LockedModel *model, const char *name, bool create);
static void read_versions(GptStatement *statement, LockedModel *model);
static void find_owner(LockedModel *model, int32 current);
static void check_owner(const LockedModel *model);
static void check_new(const LockedModel *model, const GptPublication *publication);
static Oid write_object(const GptPublication *publication, Oid owner, int32 version, int64 *size, uint8 *sha256);
static void insert_version(const GptPublication *publication, int32 version, Oid weights, int64 size, const uint8 *sha256);
static void check_tokenizer(GptStatement *statement, const uint8 *sha256);
static void remove_versions(const LockedModel *model, bool partial_only);
static bool may_unlink(const Version *version);

int32
gpt_catalog_publish(const GptPublication *publication)
{
	LockedModel model;
	int32 version;
	int64 size;
	uint8 sha256[GPT_SHA256_SIZE];
	Oid weights;

	gpt_catalog_check_name(publication->model);
	lock_model(&model, publication->model, true);
	if (OidIsValid(model.owner))
		check_owner(&model);
	check_new(&model, publication);

	version = model.last_version + 1;
	weights = write_object(publication, OidIsValid(model.owner) ? model.owner : GetUserId(), version, &size, sha256);
	if (OidIsValid(model.owner))
		gpt_blob_copy_grants(weights, model.weights);
	if (!publication->partial)
		remove_versions(&model, true);
	insert_version(publication, version, weights, size, sha256);
	return version;
}

/* A model of which no object is left counts as not existing, but a superuser may clean its rows away. */
void
gpt_catalog_drop_model(const char *name)
{
	LockedModel model;
	GptStatement statement;

	if (!lock_model(&model, name, false) || (!OidIsValid(model.owner) && !superuser()))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name)));
	if (OidIsValid(model.owner))
		check_owner(&model);

	remove_versions(&model, false);
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_run(&statement, "DELETE FROM %s.gpt_model WHERE model = $1");
	gpt_statement_end(&statement);
	gpt_catalog_sweep_tokenizers();
}

/*
 * They go in one transaction with the extension; each takes a lock. What is not surely ours is left alone.
 */
void
gpt_catalog_drop_all(void)
{
	GptStatement statement;
	Version *versions;
	uint64 n;

	gpt_statement_begin(&statement);
	n = gpt_statement_run(&statement, "SELECT weights, run_id FROM %s.gpt_version");
	versions = MemoryContextAllocZero(statement.caller, Max(n, 1) * sizeof(Version));
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;

		versions[i].weights = DatumGetObjectId(gpt_statement_value(&statement, i, 1, &is_null));
		versions[i].run_id = *DatumGetUUIDP(gpt_statement_value(&statement, i, 2, &is_null));
	}
	gpt_statement_end(&statement);
	PushActiveSnapshot(GetLatestSnapshot());
	for (uint64 i = 0; i < n; i++)
	{
		if (gpt_weights_belonging(versions[i].weights, &versions[i].run_id) == GPT_WEIGHTS_OURS)
			gpt_blob_drop(versions[i].weights);
	}
	PopActiveSnapshot();
	gpt_catalog_drop_all_tokenizers();
}

/* False when there is no such model. With create it is made; two who create it at once wait for each other. */
static bool
lock_model(LockedModel *model, const char *name, bool create)
{
	GptStatement statement;
	int32 current = 0;
	bool found;

	memset(model, 0, sizeof(LockedModel));
	model->name = name;
	gpt_statement_begin(&statement);
	if (create)
	{
		gpt_statement_add_text(&statement, name);
		gpt_statement_run(&statement, "INSERT INTO %s.gpt_model (model) VALUES ($1) ON CONFLICT (model) DO NOTHING");
	}
	gpt_statement_add_text(&statement, name);
	found = gpt_statement_run(&statement, "SELECT version, last_version FROM %s.gpt_model WHERE model = $1 FOR UPDATE") > 0;
	if (found)
	{
		bool is_null;

		current = DatumGetInt32(gpt_statement_value(&statement, 0, 1, &is_null));
		if (is_null)
			current = 0;
		model->last_version = DatumGetInt32(gpt_statement_value(&statement, 0, 2, &is_null));
		read_versions(&statement, model);
	}
	gpt_statement_end(&statement);
	if (found)
		find_owner(model, current);
	return found;
}

static void
read_versions(GptStatement *statement, LockedModel *model)
{
	gpt_statement_add_text(statement, model->name);
	model->n_versions = (int) gpt_statement_run(statement, "SELECT version, weights, run_id, state = 'partial' "
														   "FROM %s.gpt_version WHERE model = $1 ORDER BY version DESC");
	model->versions = MemoryContextAllocZero(statement->caller, Max(model->n_versions, 1) * sizeof(Version));
	for (int i = 0; i < model->n_versions; i++)
	{
		Version *version = &model->versions[i];
		bool is_null;

		version->number = DatumGetInt32(gpt_statement_value(statement, i, 1, &is_null));
		version->weights = DatumGetObjectId(gpt_statement_value(statement, i, 2, &is_null));
		version->run_id = *DatumGetUUIDP(gpt_statement_value(statement, i, 3, &is_null));
		version->partial = DatumGetBool(gpt_statement_value(statement, i, 4, &is_null));
	}
}

/* A stranger's object that has taken the oid of one of ours must not make him owner: what is surely ours decides. */
static void
find_owner(LockedModel *model, int32 current)
{
	GptBelonging best = GPT_WEIGHTS_GONE;

	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < model->n_versions; i++)
	{
		Version *version = &model->versions[i];

		version->belonging = gpt_weights_belonging(version->weights, &version->run_id);
		if (version->belonging > best || (version->belonging == best && version->number == current))
		{
			best = version->belonging;
			model->weights = version->weights;
			model->owner = gpt_blob_owner(version->weights);
		}
	}
	PopActiveSnapshot();
}

static void
check_owner(const LockedModel *model)
{
	if (!has_privs_of_role(GetUserId(), model->owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of model \"%s\"", model->name)));
}

/* Versions of the same run are its own partial ones. */
static void
check_new(const LockedModel *model, const GptPublication *publication)
{
	if (publication->may_exist)
		return;
	for (int i = 0; i < model->n_versions; i++)
	{
		const Version *version = &model->versions[i];
		bool own = version->partial && memcmp(&version->run_id, &publication->run_id, sizeof(pg_uuid_t)) == 0;

		if (version->belonging != GPT_WEIGHTS_GONE && !own)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("model \"%s\" already exists", model->name)));
	}
}

static Oid
write_object(const GptPublication *publication, Oid owner, int32 version, int64 *size, uint8 *sha256)
{
	GptBlob *blob = gpt_blob_create(owner);

	gpt_blob_comment(gpt_blob_object(blob), psprintf("gpt model %s version %d", publication->model, version));
	gpt_weights_write(blob, publication->table, publication->block, &publication->run_id);
	return gpt_blob_finish(blob, size, sha256);
}

static void
insert_version(const GptPublication *publication, int32 version, Oid weights, int64 size, const uint8 *sha256)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	check_tokenizer(&statement, publication->tokenizer);
	gpt_statement_add_text(&statement, publication->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version));
	gpt_statement_add_text(&statement, publication->partial ? "partial" : "final");
	gpt_statement_add(&statement, UUIDOID, UUIDPGetDatum(&publication->run_id));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(weights));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(size));
	gpt_statement_add_hash(&statement, sha256);
	gpt_statement_add_hash(&statement, publication->tokenizer);
	gpt_statement_add_text(&statement, gpt_config_to_json(&publication->table->config));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum((int64) publication->table->parameter_count));
	gpt_statement_add_real(&statement, publication->loss);
	gpt_statement_add_real(&statement, publication->validation_loss);
	gpt_statement_add_real(&statement, publication->validation_bits_per_byte);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum(publication->step));
	gpt_statement_run(&statement, "INSERT INTO %s.gpt_version (model, version, state, run_id, weights, size, sha256, "
								  "tokenizer, config, parameters, loss, validation_loss, validation_bits_per_byte, step) "
								  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, $12, $13, nullif($14, 0))");

	gpt_statement_add_text(&statement, publication->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version));
	gpt_statement_add(&statement, BOOLOID, BoolGetDatum(publication->partial));
	gpt_statement_run(&statement, "UPDATE %s.gpt_model SET last_version = $2, "
								  "version = CASE WHEN $3 THEN version ELSE $2 END WHERE model = $1");
	gpt_statement_end(&statement);
}

/* A lock keeps it from being swept before the version that uses it is committed. */
static void
check_tokenizer(GptStatement *statement, const uint8 *sha256)
{
	gpt_statement_run(statement, "LOCK TABLE %s.gpt_tokenizer IN ROW EXCLUSIVE MODE");
	gpt_statement_add_hash(statement, sha256);
	if (gpt_statement_run(statement, "SELECT FROM %s.gpt_tokenizer WHERE sha256 = $1") == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the tokenizer of the model does not exist any more")));
}

/* Rows, and objects that are ours. */
static void
remove_versions(const LockedModel *model, bool partial_only)
{
	GptStatement statement;

	for (int i = 0; i < model->n_versions; i++)
	{
		const Version *version = &model->versions[i];

		CHECK_FOR_INTERRUPTS();
		if ((version->partial || !partial_only) && may_unlink(version))
			gpt_blob_drop(version->weights);
	}
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model->name);
	gpt_statement_add(&statement, BOOLOID, BoolGetDatum(partial_only));
	gpt_statement_run(&statement, "DELETE FROM %s.gpt_version WHERE model = $1 AND (state = 'partial' OR NOT $2)");
	gpt_statement_end(&statement);
}

static bool
may_unlink(const Version *version)
{
	bool may = version->belonging == GPT_WEIGHTS_OURS;

	if (version->belonging == GPT_WEIGHTS_ALTERED)
	{
		PushActiveSnapshot(GetLatestSnapshot());
		may = has_privs_of_role(GetUserId(), gpt_blob_owner(version->weights));
		PopActiveSnapshot();
	}
	return may;
}
