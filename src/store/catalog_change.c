/*
 * src/store/catalog_change.c
 *
 * Changes of models by their owners: drop, rollback, rename, copy, grant and revoke. Bytes of
 * weights are never altered: a change moves a pointer, writes a new object, or removes one.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/compat.h"
#include "core/statement.h"
#include "store/blob.h"
#include "store/catalog_model.h"
#include "store/name_lock.h"
#include "store/run_files.h"
#include "store/version_dependents.h"
#include "store/weights_header.h"

#define PIECE_SIZE (1024 * 1024)
#define LATE_NAME_WAIT 1000 /* ms */
#define MOST_NAMED 20 /* models with adapters, in a message */

static void lock_to_drop(GptLockedModel *model, const char *name, GptModelLock lock);
static List *names_to_drop(const char *name, bool cascade);
pg_noreturn static void raise_dependent(const char *name, const GptStatement *statement, uint64 n);
static void remove_adapters(const GptLockedModel *model, bool cascade, List *locked);
static void take_late_name(const char *name, const List *locked);
static void remove_adapters_of(const char *name, const char *base);
static void remove_run_files(const GptLockedModel *model);
static const GptLockedVersion *version_to_roll_back_to(const GptLockedModel *model, int32 number);
static void check_new_name(const GptLockedModel *model);
static void remove_all(GptLockedModel *model);
static Oid copy_object(const GptVersion *source, const char *name, int32 number);
static void insert_copy(const GptVersion *source, const char *name, int32 number, Oid weights);
static GrantStmt *grant_statement(const GptLockedModel *model, const char *role, bool is_grant);

/*
 * A model of which no object is left counts as not existing, but a superuser may clean its rows
 * away.
 */
void
gpt_catalog_drop_model(const char *name, bool cascade)
{
	GptLockedModel model;
	List *names;

	lock_to_drop(&model, name, GPT_MODEL_LOOK);
	names = names_to_drop(name, cascade);
	gpt_model_check_unused(names);
	lock_to_drop(&model, name, GPT_MODEL_REMOVE);
	if (OidIsValid(model.owner))
		gpt_dependents_refuse(name, 0, psprintf("cannot drop model \"%s\"", name), NULL);
	gpt_dependents_forget_plans();
	remove_adapters(&model, cascade, names);
	remove_all(&model);
	remove_run_files(&model);
	gpt_catalog_sweep_tokenizers();
}

static void
lock_to_drop(GptLockedModel *model, const char *name, GptModelLock lock)
{
	bool exists = gpt_model_lock(model, name, lock) && (OidIsValid(model->owner) || superuser());

	if (OidIsValid(model->owner))
		gpt_model_check_owner(model);
	if (!exists)
	{
		/* Of others' jobs nobody learns. */
		if (gpt_catalog_knows_job(name))
			gpt_model_check_jobs(name);
		gpt_catalog_raise_missing(name);
	}
}

/*
 * The model, and with cascade those that have adapters which rest on it; without it such are an
 * error.
 */
static List *
names_to_drop(const char *name, bool cascade)
{
	List *names = list_make1((char *) name);
	MemoryContext context = CurrentMemoryContext;
	GptStatement statement;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	n = gpt_statement_run(
		&statement, "SELECT model, string_agg(model || '@' || version, ', ' ORDER BY version) FROM "
					"%s.gpt_version WHERE base = $1 AND model <> $1 GROUP BY model ORDER BY model");
	if (n > 0 && !cascade)
		raise_dependent(name, &statement, n);
	for (uint64 i = 0; i < n; i++)
	{
		char *adapter = gpt_statement_text(&statement, i, 1);
		MemoryContext old_context = MemoryContextSwitchTo(context);

		names = lappend(names, adapter);
		MemoryContextSwitchTo(old_context);
	}
	gpt_statement_end(&statement);
	return names;
}

/*
 * With the lock on the row of the base, no other session makes a new adapter of it. Models are
 * handled one by one; one that was renamed in the meantime is found by its new name.
 */
static void
remove_adapters(const GptLockedModel *model, bool cascade, List *locked)
{
	for (;;)
	{
		List *names = names_to_drop(model->name, cascade);
		const char *name;

		CHECK_FOR_INTERRUPTS();
		if (list_length(names) == 1)
			return;
		name = lsecond(names);
		take_late_name(name, locked);
		remove_adapters_of(name, model->name);
	}
}

/*
 * Locks the name of an adapter that came since the names were locked in their order. A transaction
 * that ends releases its rows before its names (LockReleaseAll, first for the server's locks, then
 * for advisory ones), so the one that made the adapter may have the name for another moment:
 * LATE_NAME_WAIT at most, since a longer wait out of order could be a deadlock.
 */
static void
take_late_name(const char *name, const List *locked)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LATE_NAME_WAIT);
	ListCell *cell;

	foreach (cell, locked)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return;
	}
	while (!gpt_name_try_lock(name))
	{
		if (GetCurrentTimestamp() >= until)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
							errmsg("another transaction is changing model \"%s\"", name)));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1,
						 gpt_wait_event("GptModelName"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	gpt_model_check_jobs(name);
}

/* Names up to MOST_NAMED adapters, which are in column 2 of the n rows of the statement. */
static void
raise_dependent(const char *name, const GptStatement *statement, uint64 n)
{
	StringInfoData list;

	initStringInfo(&list);
	for (uint64 i = 0; i < Min(n, MOST_NAMED); i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", gpt_statement_text(statement, i, 2));
	if (n > MOST_NAMED)
		appendStringInfo(&list, " and those of " UINT64_FORMAT " more models", n - MOST_NAMED);
	ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					errmsg("cannot drop model \"%s\" because adapters rest on it", name),
					errdetail("Adapters: %s.", list.data),
					errhint("Fold them into full versions with gpt_merge and remove them, or drop "
							"them too with gpt_drop_model(model, cascade => true).")));
}

/* The other versions stay; if the current version goes, the newest final one becomes current. */
static void
remove_adapters_of(const char *name, const char *base)
{
	GptLockedModel model;
	GptStatement statement;
	bool all = true;
	int32 current = 0;
	uint64 n;

	if (!gpt_model_lock(&model, name, GPT_MODEL_REMOVE))
	{
		/* Rows without a model, as a restore in parts leaves them. */
		gpt_statement_begin(&statement);
		gpt_statement_add_text(&statement, name);
		gpt_statement_add_text(&statement, base);
		gpt_statement_change_any(&statement,
								 "DELETE FROM %s.gpt_version WHERE model = $1 AND base = $2");
		gpt_statement_end(&statement);
		return;
	}
	model.by_cascade = true;
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_add_text(&statement, base);
	n = gpt_statement_run(&statement,
						  "SELECT version FROM %s.gpt_version WHERE model = $1 AND base = $2");
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;
		int32 number = DatumGetInt32(gpt_statement_value(&statement, i, 1, &is_null));

		for (int k = 0; k < model.n_versions; k++)
			model.versions[k].goes |= model.versions[k].number == number;
	}
	gpt_statement_end(&statement);
	for (int i = model.n_versions - 1; i >= 0; i--)
	{
		const GptLockedVersion *version = &model.versions[i];

		all &= version->goes;
		if (version->goes)
			gpt_dependents_refuse(name, version->number,
								  psprintf("cannot drop adapter \"%s@%d\"", name, version->number),
								  NULL);
		if (!version->goes && !version->partial && version->belonging == GPT_WEIGHTS_OURS &&
			current != model.version)
			current = version->number;
	}
	gpt_model_remove_versions(&model);
	if (all)
	{
		gpt_model_remove_row(&model);
		remove_run_files(&model);
		return;
	}
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(current));
	gpt_statement_change(&statement, 1,
						 "UPDATE %s.gpt_model SET version = nullif($2, 0) WHERE model = $1");
	gpt_statement_end(&statement);
}

/*
 * Removes the files of failed and cancelled jobs of the model. Jobs whose owner could not have
 * published the model are left alone.
 */
static void
remove_run_files(const GptLockedModel *model)
{
	GptStatement statement;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, model->name);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	n = gpt_statement_run(
		&statement,
		"SELECT run_id, %1$s.gpt_job_owner(owner, system_identifier) FROM %1$s.gpt_job WHERE model "
		"= $1 AND database = $2 AND system_identifier = $3 AND state IN ('failed', 'cancelled')");
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;
		Oid owner = DatumGetObjectId(gpt_statement_value(&statement, i, 2, &is_null));

		if (has_privs_of_role(statement.identity.user, owner) ||
			(OidIsValid(model->owner) && has_privs_of_role(owner, model->owner)))
			gpt_run_files_remove_at_commit(
				DatumGetUUIDP(gpt_statement_value(&statement, i, 1, &is_null)));
	}
	gpt_statement_end(&statement);
}

int32
gpt_catalog_rollback(const char *name, int32 number)
{
	GptLockedModel model;
	GptStatement statement;
	const GptLockedVersion *version;

	gpt_model_lock_own(&model, name, GPT_MODEL_CHANGE);
	version = version_to_roll_back_to(&model, number);
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version->number));
	gpt_statement_change(&statement, 1, "UPDATE %s.gpt_model SET version = $2 WHERE model = $1");
	gpt_statement_add_text(&statement, name);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version->number));
	if (version->candidate)
		gpt_statement_change(
			&statement, 1,
			"UPDATE %s.gpt_version SET state = 'final' WHERE model = $1 AND version = $2");
	gpt_statement_end(&statement);
	if (version->number != model.version)
		gpt_model_retire_image(&model, model.version);
	return version->number;
}

void
gpt_catalog_set_image_type(const char *name, GptImageType type)
{
	GptLockedModel model;
	GptStatement statement;
	bool changes;

	gpt_model_lock_own(&model, name, GPT_MODEL_CHANGE);
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_add_text(&statement, gpt_image_type_name(type));
	changes =
		gpt_statement_change_any(
			&statement,
			"UPDATE %s.gpt_model SET image_type = $2 WHERE model = $1 AND image_type <> $2") > 0;
	gpt_statement_end(&statement);
	if (!changes)
		return;
	gpt_dependents_refuse(
		name, 0, psprintf("cannot change the image type of model \"%s\"", name),
		"Copy the version with gpt_copy_model, and set the image type of the copy.");
	gpt_dependents_forget_plans();
	for (int i = 0; i < model.n_versions; i++)
		gpt_model_retire_image(&model, model.versions[i].number);
}

/* number 0: the newest final version before the current one whose weights are still intact. */
static const GptLockedVersion *
version_to_roll_back_to(const GptLockedModel *model, int32 number)
{
	const GptLockedVersion *version;

	for (int i = 0; number == 0 && i < model->n_versions; i++)
	{
		version = &model->versions[i];
		if (version->number < model->version && !version->partial && !version->candidate &&
			version->belonging == GPT_WEIGHTS_OURS)
			return version;
	}
	if (number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no version older than the current one", model->name)));
	version = gpt_model_version(model, number);
	if (version == NULL)
		gpt_catalog_raise_missing(psprintf("%s@%d", model->name, number));
	if (version->partial)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("version %d of model \"%s\" is partial", number, model->name),
			 errdetail(
				 "A version that was published before the end of its training is never current.")));
	return version;
}

void
gpt_catalog_rename_model(const char *name, const char *new_name)
{
	GptLockedModel model;
	GptLockedModel target;
	GptStatement statement;

	gpt_catalog_check_name(new_name);
	gpt_model_lock_own(&model, name, GPT_MODEL_LOOK);
	gpt_model_check_unused(list_make2((char *) name, (char *) new_name));
	gpt_catalog_check_model_name(new_name);
	gpt_model_lock_own(&model, name, GPT_MODEL_REMOVE);
	gpt_dependents_refuse(name, 0, psprintf("cannot rename model \"%s\"", name),
						  "Drop these objects, or copy the model with gpt_copy_model.");
	gpt_dependents_forget_plans();
	if (gpt_model_lock(&target, new_name, GPT_MODEL_REMOVE))
	{
		check_new_name(&target);
		remove_all(&target);
	}
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_add_text(&statement, new_name);
	gpt_statement_change(&statement, 1, "UPDATE %s.gpt_model SET model = $2 WHERE model = $1");
	gpt_statement_add_text(&statement, name);
	gpt_statement_add_text(&statement, new_name);
	gpt_statement_change(&statement, model.n_versions,
						 "UPDATE %s.gpt_version SET model = $2 WHERE model = $1");
	gpt_statement_add_text(&statement, name);
	gpt_statement_add_text(&statement, new_name);
	gpt_statement_change_any(&statement, "UPDATE %s.gpt_version SET base = $2 WHERE base = $1");
	gpt_statement_end(&statement);
	for (int i = 0; i < model.n_versions; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (gpt_model_may_change(&model.versions[i]))
			gpt_model_comment(model.versions[i].weights, new_name, model.versions[i].number);
	}
}

/* Rows of a model whose objects are all gone do not count. */
static void
check_new_name(const GptLockedModel *model)
{
	if (OidIsValid(model->owner))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("model \"%s\" already exists", model->name),
						errhint("Choose another name, or remove the model with gpt_drop_model.")));
}

static void
remove_all(GptLockedModel *model)
{
	for (int i = 0; i < model->n_versions; i++)
		model->versions[i].goes = true;
	gpt_model_remove_versions(model);
	gpt_model_remove_row(model);
}

void
gpt_catalog_copy_model(const char *reference, const char *new_name)
{
	GptVersion *source;
	GptLockedModel target;
	uint8 tokenizer[GPT_SHA256_SIZE];
	int32 number;

	gpt_catalog_check_name(new_name);
	source = gpt_catalog_version(reference, false);
	gpt_catalog_check_use(source);
	gpt_model_check_unused(list_make1((char *) new_name));
	gpt_catalog_check_model_name(new_name);
	if (source->base != NULL)
	{
		const char *base = source->base;

		gpt_model_keep_base(&base, &source->base_version, source->base_sha256);
	}
	gpt_model_lock_or_create(&target, new_name);
	check_new_name(&target);
	gpt_catalog_store_tokenizer(tokenizer, gpt_catalog_read_tokenizer(source->tokenizer));
	if (memcmp(tokenizer, source->tokenizer, GPT_SHA256_SIZE) != 0)
		elog(ERROR, "tokenizer of model \"%s\" is not written as it was read", reference);
	number = target.last_version + 1;
	insert_copy(source, new_name, number, copy_object(source, new_name, number));
}

/*
 * Copies byte by byte. The copy has the id of the same run, and sessions that have loaded one need
 * not load the other.
 */
static Oid
copy_object(const GptVersion *source, const char *name, int32 number)
{
	GptBlob *from = gpt_blob_open(source->weights, false);
	GptBlob *to = gpt_blob_create(GetUserId());
	char *piece = palloc(PIECE_SIZE);
	uint8 sha256[GPT_SHA256_SIZE];
	int64 size;
	size_t n;
	Oid weights;

	if (from == NULL)
		gpt_weights_corrupt(source, "The large object does not exist.");
	gpt_model_comment(gpt_blob_object(to), name, number);
	while ((n = gpt_blob_read(from, piece, PIECE_SIZE)) > 0)
		gpt_blob_write(to, piece, n);
	gpt_blob_close(from, NULL);
	pfree(piece);
	weights = gpt_blob_finish(to, &size, sha256);
	if (size != source->size || memcmp(sha256, source->sha256, GPT_SHA256_SIZE) != 0)
		gpt_weights_corrupt(source, "The content hash differs from that of the catalog.");
	return weights;
}

/* Copies the catalog row of source; its hash in WHERE finds out a removal that came in between. */
static void
insert_copy(const GptVersion *source, const char *name, int32 number, Oid weights)
{
	const char *publisher = GetUserNameFromId(GetUserId(), false);
	bool own = has_privs_of_role(GetUserId(), gpt_blob_owner(source->weights));
	GptStatement statement;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, name);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(number));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(weights));
	gpt_statement_add_text(&statement, source->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(source->version));
	gpt_statement_add_hash(&statement, source->sha256);
	gpt_statement_add_text(&statement, publisher);
	gpt_statement_add(&statement, BOOLOID, BoolGetDatum(own));
	if (gpt_statement_change_any(
			&statement,
			"INSERT INTO %1$s.gpt_version (model, version, state, run_id, weights, size, sha256, "
			"tokenizer, config, parameters, loss, validation_loss, validation_bits_per_byte, "
			"watermark, base, base_version, base_sha256, published_by, " GPT_KEPT_COLUMNS
			") SELECT $1, $2, 'final', run_id, $3, size, sha256, tokenizer, config, parameters, "
			"loss, validation_loss, validation_bits_per_byte, watermark, base, base_version, "
			"base_sha256, $7, " GPT_KEPT_VALUES("$8") " FROM %1$s.gpt_version a WHERE model = $4 "
													  "AND version = $5 AND sha256 = $6") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model \"%s@%d\" does not exist any more", source->model, source->version),
				 errdetail("It was removed or renamed while it was copied.")));
	gpt_statement_add_text(&statement, name);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(number));
	gpt_statement_add_text(&statement, gpt_image_type_name(source->image_type));
	gpt_statement_change(&statement, 1,
						 "UPDATE %s.gpt_model SET version = $2, last_version = $2, image_type = $3 "
						 "WHERE model = $1");
	gpt_statement_end(&statement);
}

/* ---- Privileges --------------------------------------------------------- */

void
gpt_catalog_grant_model(const char *name, const char *role, bool is_grant)
{
	GptLockedModel model;
	GrantStmt *statement;

	if (strcmp(role, "public") == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_GRANT_OPERATION),
						errmsg("a model cannot be granted to public"),
						errhint("Grant it to a role, and that role to others.")));
	(void) get_role_oid(role, false);
	if (!gpt_model_lock(&model, name, GPT_MODEL_CHANGE) || !OidIsValid(model.owner))
		gpt_catalog_raise_missing(name);
	statement = grant_statement(&model, role, is_grant);
	ExecuteGrantStmt(statement);
}

/* Executes the command as the current role could give it, on each version whose object is ours. */
static GrantStmt *
grant_statement(const GptLockedModel *model, const char *role, bool is_grant)
{
	GrantStmt *statement = makeNode(GrantStmt);
	AccessPriv *privilege = makeNode(AccessPriv);
	RoleSpec *grantee = makeNode(RoleSpec);

	for (int i = 0; i < model->n_versions; i++)
	{
		Oid weights = model->versions[i].weights;

		if (model->versions[i].belonging == GPT_WEIGHTS_GONE)
			continue;
		if (pg_largeobject_aclcheck_snapshot(weights, GetUserId(), ACL_GRANT_OPTION_FOR(ACL_SELECT),
											 NULL) != ACLCHECK_OK)
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("permission denied for model \"%s\"", model->name),
							errdetail("Its owner, and roles with the grant option on its large "
									  "objects, grant and revoke it.")));
		statement->objects = lappend(statement->objects, makeFloat(psprintf("%u", weights)));
	}
	privilege->priv_name = pstrdup("select");
	grantee->roletype = ROLESPEC_CSTRING;
	grantee->rolename = pstrdup(role);
	grantee->location = -1;
	statement->is_grant = is_grant;
	statement->targtype = ACL_TARGET_OBJECT;
	statement->objtype = OBJECT_LARGEOBJECT;
	statement->privileges = list_make1(privilege);
	statement->grantees = list_make1(grantee);
	statement->behavior = DROP_RESTRICT;
	return statement;
}
