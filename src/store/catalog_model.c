/*
 * src/store/catalog_model.c
 *
 * Locks a model and reads what is known of its versions; removes versions.
 */
#include "postgres.h"

#include "access/twophase.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "core/statement.h"
#include "serve/image_file.h"
#include "store/blob.h"
#include "store/catalog_model.h"
#include "store/job.h"
#include "store/name_lock.h"

static const char *const row_locks[] = {
	[GPT_MODEL_LOOK] = "SELECT version, last_version FROM %s.gpt_model WHERE model = $1",
	[GPT_MODEL_CHANGE] =
		"SELECT version, last_version FROM %s.gpt_model WHERE model = $1 FOR NO KEY UPDATE",
	[GPT_MODEL_REMOVE] =
		"SELECT version, last_version FROM %s.gpt_model WHERE model = $1 FOR UPDATE",
};

static void read_versions(GptStatement *statement, GptLockedModel *model);
static void find_owner(GptLockedModel *model);

bool
gpt_model_lock(GptLockedModel *model, const char *name, GptModelLock lock)
{
	GptStatement statement;
	bool found;

	memset(model, 0, sizeof(GptLockedModel));
	model->name = name;
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	found = gpt_statement_run(&statement, row_locks[lock]) > 0;
	if (found)
	{
		bool is_null;

		model->version = DatumGetInt32(gpt_statement_value(&statement, 0, 1, &is_null));
		if (is_null)
			model->version = 0;
		model->last_version = DatumGetInt32(gpt_statement_value(&statement, 0, 2, &is_null));
		read_versions(&statement, model);
	}
	gpt_statement_end(&statement);
	if (found)
		find_owner(model);
	return found;
}

/* Between the two statements another session can remove or rename the model. */
void
gpt_model_lock_or_create(GptLockedModel *model, const char *name)
{
	GptStatement statement;

	do
	{
		CHECK_FOR_INTERRUPTS();
		gpt_statement_begin(&statement);
		gpt_statement_add_text(&statement, name);
		gpt_statement_change_any(
			&statement,
			"INSERT INTO %s.gpt_model (model) VALUES ($1) ON CONFLICT (model) DO NOTHING");
		gpt_statement_end(&statement);
	} while (!gpt_model_lock(model, name, GPT_MODEL_CHANGE));
}

void
gpt_model_lock_own(GptLockedModel *model, const char *name, GptModelLock lock)
{
	if (!gpt_model_lock(model, name, lock) || !OidIsValid(model->owner))
		gpt_catalog_raise_missing(name);
	gpt_model_check_owner(model);
}

void
gpt_model_check_owner(const GptLockedModel *model)
{
	if (!has_privs_of_role(GetUserId(), model->owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of model \"%s\"", model->name)));
}

/* Once before waiting, for a job may run for days, and again with the lock. */
void
gpt_model_check_unused(const List *models)
{
	ListCell *cell;

	foreach (cell, models)
		gpt_model_check_jobs(lfirst(cell));
	gpt_name_lock_all(models);
	foreach (cell, models)
		gpt_model_check_jobs(lfirst(cell));
}

void
gpt_model_check_jobs(const char *model)
{
	int64 job = gpt_job_of_model(model);

	if (job != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("job " INT64_FORMAT " is training model \"%s\"", job, model),
			 errhint("Wait for it with gpt_wait, or cancel it with gpt_cancel(" INT64_FORMAT ").",
					 job)));
	job = gpt_job_with_base(model);
	if (job != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("job " INT64_FORMAT " starts from model \"%s\"", job, model),
			 errhint("Wait for it with gpt_wait, or cancel it with gpt_cancel(" INT64_FORMAT ").",
					 job)));
}

/*
 * A lock on the row of a model; between two tries it can be renamed, or dropped where a copy of it
 * is left. Of copies the caller's own comes first: who owns the base has the adapter in the way of
 * a drop.
 */
void
gpt_model_keep_base(const char **model, int32 *version, const uint8 *sha256)
{
	GptStatement statement;
	bool kept = false;
	bool is_null;

	while (!kept)
	{
		CHECK_FOR_INTERRUPTS();
		gpt_statement_begin(&statement);
		gpt_statement_add_hash(&statement, sha256);
		gpt_statement_add_text(&statement, *model);
		gpt_statement_add(&statement, INT4OID, Int32GetDatum(*version));
		gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(statement.identity.user));
		if (gpt_statement_run(
				&statement, "SELECT v.model, v.version FROM %s.gpt_version v JOIN "
							"pg_catalog.pg_largeobject_metadata o ON o.oid = v.weights WHERE "
							"v.sha256 = $1 AND v.base IS NULL ORDER BY v.model = $2 AND v.version "
							"= $3 DESC, o.lomowner = $4 DESC, v.model, v.version LIMIT 1") == 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
							errmsg("model \"%s@%d\" does not exist any more", *model, *version),
							errdetail("The adapter of the job rests on it.")));
		*model = gpt_statement_text(&statement, 0, 1);
		*version = DatumGetInt32(gpt_statement_value(&statement, 0, 2, &is_null));
		gpt_statement_add_text(&statement, *model);
		gpt_statement_run(&statement, "SELECT FROM %s.gpt_model WHERE model = $1 FOR KEY SHARE");
		gpt_statement_add_text(&statement, *model);
		gpt_statement_add(&statement, INT4OID, Int32GetDatum(*version));
		gpt_statement_add_hash(&statement, sha256);
		kept = gpt_statement_run(&statement, "SELECT FROM %s.gpt_version WHERE model = $1 AND "
											 "version = $2 AND sha256 = $3 FOR KEY SHARE") > 0;
		gpt_statement_end(&statement);
	}
}

GptLockedVersion *
gpt_model_version(const GptLockedModel *model, int32 number)
{
	for (int i = 0; i < model->n_versions; i++)
	{
		GptLockedVersion *version = &model->versions[i];

		if (version->number == number)
			return version->belonging == GPT_WEIGHTS_GONE ? NULL : version;
	}
	return NULL;
}

static bool
is_of_owner(const GptLockedVersion *version, Oid owner)
{
	bool is_of;

	if (version->belonging != GPT_WEIGHTS_OURS)
		return false;
	PushActiveSnapshot(GetLatestSnapshot());
	is_of = OidIsValid(owner) && gpt_blob_owner(version->weights) == owner;
	PopActiveSnapshot();
	return is_of;
}

/* The numbers of those that go, as a parameter; *n says how many. */
static Datum
numbers_of_going(int *n, const GptLockedModel *model)
{
	Datum *numbers = palloc(Max(model->n_versions, 1) * sizeof(Datum));

	*n = 0;
	for (int i = 0; i < model->n_versions; i++)
	{
		if (model->versions[i].goes)
			numbers[(*n)++] = Int32GetDatum(model->versions[i].number);
	}
	return PointerGetDatum(
		construct_array(numbers, *n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

void
gpt_model_spare_kept(GptLockedModel *model)
{
	GptStatement statement;
	uint64 n_locked;
	uint64 next = 0;
	int n;
	Datum numbers = numbers_of_going(&n, model);

	if (n == 0)
		return;
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model->name);
	gpt_statement_add(&statement, INT4ARRAYOID, numbers);
	n_locked = gpt_statement_run(&statement,
								 "SELECT version FROM %s.gpt_version WHERE model = $1 AND version "
								 "= ANY ($2) ORDER BY version DESC FOR UPDATE SKIP LOCKED");
	for (int i = 0; i < model->n_versions; i++)
	{
		GptLockedVersion *version = &model->versions[i];
		bool is_null;

		if (!version->goes)
			continue;
		version->goes =
			next < n_locked &&
			DatumGetInt32(gpt_statement_value(&statement, next, 1, &is_null)) == version->number;
		next += version->goes;
	}
	gpt_statement_end(&statement);
}

void
gpt_model_wait_for_version(const GptLockedModel *model, int32 number)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model->name);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(number));
	gpt_statement_run(&statement,
					  "SELECT FROM %s.gpt_version WHERE model = $1 AND version = $2 FOR UPDATE");
	gpt_statement_end(&statement);
}

void
gpt_model_remove_versions(const GptLockedModel *model)
{
	GptStatement statement;
	int n;
	Datum numbers = numbers_of_going(&n, model);

	if (n == 0)
		return;
	gpt_model_check_locks(n, psprintf("versions of model \"%s\"", model->name));
	for (int i = 0; i < model->n_versions; i++)
	{
		const GptLockedVersion *version = &model->versions[i];

		CHECK_FOR_INTERRUPTS();
		if (version->goes && (model->by_cascade ? is_of_owner(version, model->owner)
												: gpt_model_may_change(version)))
			gpt_blob_drop(version->weights);
	}
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model->name);
	gpt_statement_add(&statement, INT4ARRAYOID, numbers);
	gpt_statement_change(&statement, n,
						 "DELETE FROM %s.gpt_version WHERE model = $1 AND version = ANY ($2)");
	gpt_statement_end(&statement);
	for (int i = 0; i < model->n_versions; i++)
	{
		if (model->versions[i].goes)
			gpt_model_retire_image(model, model->versions[i].number);
	}
}

void
gpt_model_retire_image(const GptLockedModel *model, int32 number)
{
	const GptLockedVersion *version = NULL;
	GptStatement statement;
	bool needed;

	for (int i = 0; i < model->n_versions; i++)
	{
		if (model->versions[i].number == number)
			version = &model->versions[i];
	}
	if (version == NULL)
		return;
	gpt_statement_begin(&statement);
	gpt_statement_add_hash(&statement, version->sha256);
	gpt_statement_add_text(&statement, model->name);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(number));
	needed = gpt_statement_run(&statement,
							   "SELECT FROM %s.gpt_version WHERE (sha256 = $1 OR base_sha256 = $1) "
							   "AND NOT (model = $2 AND version = $3) LIMIT 1") > 0;
	gpt_statement_end(&statement);
	if (!needed)
		gpt_image_remove_at_commit(version->sha256);
}

/*
 * The table has room for max_locks_per_transaction times the number of sessions and prepared
 * transactions (lock.c, NLOCKENTS). A quarter is left to the others, who would otherwise run into
 * "out of shared memory".
 */
void
gpt_model_check_locks(uint64 n_objects, const char *what)
{
	uint64 limit = (uint64) max_locks_per_xact * (MaxBackends + max_prepared_xacts) / 4 * 3;

	if (n_objects > limit)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("cannot remove " UINT64_FORMAT
							   " %s in one transaction, which has locks for " UINT64_FORMAT,
							   n_objects, what, limit),
						errdetail("Removing a large object takes a lock."),
						errhint("Increase max_locks_per_transaction to at least " UINT64_FORMAT ".",
								n_objects * 4 / 3 / (MaxBackends + max_prepared_xacts) + 1)));
}

void
gpt_model_remove_row(const GptLockedModel *model)
{
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model->name);
	gpt_statement_change(&statement, 1, "DELETE FROM %s.gpt_model WHERE model = $1");
	gpt_statement_end(&statement);
}

/*
 * An object with the id of our run may still be another role's: whoever may read weights can write
 * a copy of them to a freed oid.
 */
bool
gpt_model_may_change(const GptLockedVersion *version)
{
	bool may;

	if (version->belonging == GPT_WEIGHTS_GONE)
		return false;
	PushActiveSnapshot(GetLatestSnapshot());
	may = has_privs_of_role(GetUserId(), gpt_blob_owner(version->weights));
	PopActiveSnapshot();
	return may;
}

void
gpt_model_comment(Oid weights, const char *model, int32 version)
{
	gpt_blob_comment(weights, psprintf("gpt model %s version %d", model, version));
}

/*
 * Reads all versions of the model, newest first, into the memory context of the statement's caller.
 */
static void
read_versions(GptStatement *statement, GptLockedModel *model)
{
	gpt_statement_add_text(statement, model->name);
	model->n_versions = (int) gpt_statement_run(
		statement, "SELECT version, weights, run_id, state = 'partial', sha256, state = "
				   "'candidate' FROM %s.gpt_version WHERE model = $1 ORDER BY version DESC");
	model->versions = MemoryContextAllocZero(statement->caller,
											 Max(model->n_versions, 1) * sizeof(GptLockedVersion));
	for (int i = 0; i < model->n_versions; i++)
	{
		GptLockedVersion *version = &model->versions[i];
		bool is_null;

		version->number = DatumGetInt32(gpt_statement_value(statement, i, 1, &is_null));
		version->weights = DatumGetObjectId(gpt_statement_value(statement, i, 2, &is_null));
		version->run_id = *DatumGetUUIDP(gpt_statement_value(statement, i, 3, &is_null));
		version->partial = DatumGetBool(gpt_statement_value(statement, i, 4, &is_null));
		gpt_statement_hash(version->sha256, statement, i, 5);
		version->candidate = DatumGetBool(gpt_statement_value(statement, i, 6, &is_null));
	}
}

/*
 * Another role's object may have taken the oid of one of ours. Its owner must not count, so an
 * object that is certainly ours decides.
 */
static void
find_owner(GptLockedModel *model)
{
	GptBelonging best = GPT_WEIGHTS_GONE;

	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < model->n_versions; i++)
	{
		GptLockedVersion *version = &model->versions[i];

		CHECK_FOR_INTERRUPTS();
		version->belonging = gpt_weights_belonging(version->weights, &version->run_id);
		if (version->belonging > best ||
			(version->belonging == best && version->number == model->version))
		{
			best = version->belonging;
			model->weights = version->weights;
			model->owner = gpt_blob_owner(version->weights);
		}
	}
	PopActiveSnapshot();
}
