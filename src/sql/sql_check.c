/*
 * src/sql/sql_check.c
 *
 * gpt_check: looks for defects in rows, large objects, files and jobs. Changes nothing.
 *
 * Rows and the existence of objects are read under one snapshot per query. Objects and jobs are
 * examined later; if one has gone in the meantime, nothing is reported.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "core/statement.h"
#include "jobs/job_lock.h"
#include "serve/image_file.h"
#include "sql/arguments.h"
#include "store/blob.h"
#include "store/catalog.h"
#include "store/job.h"
#include "store/kept_files.h"
#include "store/run_files.h"
#include "store/version_dependents.h"
#include "store/weights.h"
#include "train/checkpoint.h"

#define PIECE_SIZE (1024 * 1024)

PG_FUNCTION_INFO_V1(gpt_check);

typedef struct Check
{
	ReturnSetInfo *result;
	Oid user;
	bool all; /* a superuser sees everything */
	bool verify;
	GptStatement statement;
} Check;

/* An object that a row names. */
typedef struct Named
{
	char *name; /* in the report */
	Oid object;
	Oid owner; /* InvalidOid: it does not exist */
	int64 size;
	uint8 sha256[GPT_SHA256_SIZE];
	const pg_uuid_t *run_id; /* of a version, else NULL */
} Named;

static void check_versions(Check *check);
static void check_adapters(Check *check);
static void check_models(Check *check);
static void check_tokenizers(Check *check);
static void check_names(Check *check);
static void check_object(Check *check, const Named *named);
static bool has_hash(const Named *named);
static void check_orphans(Check *check);
static void check_grants(Check *check);
static void report_dangling(void *context, const char *object, const char *version);
static void check_jobs(Check *check);
static void check_job(Check *check, int64 number);
static void check_files(Check *check);
static bool is_leftover(const char *name);
static void check_images(Check *check);
static void check_settings(Check *check);
static uint64 run(Check *check, const char *format);
static Oid oid_of(const Check *check, uint64 row, int column);
static bool may_see(const Check *check, Oid owner);
static void report(Check *check, Oid owner, const char *kind, const char *object,
				   const char *detail);

/*
 * gpt_check(verify boolean DEFAULT false) RETURNS SETOF (kind text, object text, detail text)
 *
 * NULL is false.
 */
Datum
gpt_check(PG_FUNCTION_ARGS)
{
	Check check = {
		.result = (ReturnSetInfo *) fcinfo->resultinfo, .user = GetUserId(), .all = superuser()};

	gpt_argument_check_call(fcinfo);
	check.verify = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	InitMaterializedSRF(fcinfo, 0);

	/* Now do the work. */
	check_settings(&check);
	check_versions(&check);
	check_adapters(&check);
	check_models(&check);
	check_tokenizers(&check);
	check_names(&check);
	check_orphans(&check);
	check_grants(&check);
	if (check.all)
		gpt_dependents_list_missing(report_dangling, &check);
	if (!RecoveryInProgress())
		check_jobs(&check);
	check_files(&check);
	check_images(&check);
	return (Datum) 0;
}

/* ---- Rows and objects --------------------------------------------------- */

/* Checks every version's large object, tokenizer row and model row. */
static void
check_versions(Check *check)
{
	uint64 n = run(
		check, "SELECT v.model || '@' || v.version, v.weights, %1$s.gpt_object_owner(v.weights), "
			   "v.size, v.sha256, v.run_id, EXISTS (SELECT FROM %1$s.gpt_tokenizer t WHERE "
			   "t.sha256 = v.tokenizer), EXISTS (SELECT FROM %1$s.gpt_model m WHERE m.model = "
			   "v.model) FROM %1$s.gpt_version v ORDER BY v.model, v.version");

	for (uint64 i = 0; i < n; i++)
	{
		Named named = {.name = psprintf("model %s", gpt_statement_text(&check->statement, i, 1))};
		bool is_null;

		CHECK_FOR_INTERRUPTS();
		named.object = oid_of(check, i, 2);
		named.owner = oid_of(check, i, 3);
		named.size = DatumGetInt64(gpt_statement_value(&check->statement, i, 4, &is_null));
		gpt_statement_hash(named.sha256, &check->statement, i, 5);
		named.run_id = DatumGetUUIDP(gpt_statement_value(&check->statement, i, 6, &is_null));
		check_object(check, &named);
		if (!DatumGetBool(gpt_statement_value(&check->statement, i, 7, &is_null)))
			report(check, named.owner, "missing tokenizer", named.name,
				   "The tokenizer of the version has no row.");
		if (!DatumGetBool(gpt_statement_value(&check->statement, i, 8, &is_null)))
			report(check, named.owner, "missing model", named.name,
				   "The model of the version has no row.");
	}
	gpt_statement_end(&check->statement);
}

/* A base whose object is missing is reported as such by check_versions. */
static void
check_adapters(Check *check)
{
	uint64 n =
		run(check, "SELECT v.model || '@' || v.version, v.base || '@' || v.base_version, "
				   "%1$s.gpt_object_owner(v.weights) FROM %1$s.gpt_version v WHERE v.base IS NOT "
				   "NULL AND NOT EXISTS (SELECT FROM %1$s.gpt_version b WHERE b.model = v.base AND "
				   "b.version = v.base_version AND b.sha256 = v.base_sha256 AND "
				   "%1$s.gpt_object_owner(b.weights) IS NOT NULL) ORDER BY v.model, v.version");

	for (uint64 i = 0; i < n; i++)
		report(check, oid_of(check, i, 3), "missing base",
			   psprintf("model %s", gpt_statement_text(&check->statement, i, 1)),
			   psprintf("It is an adapter of %s, which does not exist or has other weights.",
						gpt_statement_text(&check->statement, i, 2)));
	gpt_statement_end(&check->statement);
}

static void
check_models(Check *check)
{
	uint64 n = run(check, "SELECT m.model, m.version FROM %1$s.gpt_model m WHERE NOT EXISTS "
						  "(SELECT FROM %1$s.gpt_version v WHERE v.model = m.model AND (m.version "
						  "IS NULL OR v.version = m.version)) ORDER BY m.model");

	for (uint64 i = 0; i < n; i++)
		report(check, InvalidOid, "missing version",
			   psprintf("model %s", gpt_statement_text(&check->statement, i, 1)),
			   "Its current version has no row.");
	gpt_statement_end(&check->statement);
}

/* Checks the large object of each tokenizer, then that each name has a tokenizer. */
static void
check_tokenizers(Check *check)
{
	uint64 n = run(check, "SELECT t.object, %1$s.gpt_object_owner(t.object), t.size, t.sha256 FROM "
						  "%1$s.gpt_tokenizer t ORDER BY t.object");

	for (uint64 i = 0; i < n; i++)
	{
		Named named = {.name = psprintf("tokenizer of large object %u", oid_of(check, i, 1))};
		bool is_null;

		CHECK_FOR_INTERRUPTS();
		named.object = oid_of(check, i, 1);
		named.owner = oid_of(check, i, 2);
		named.size = DatumGetInt64(gpt_statement_value(&check->statement, i, 3, &is_null));
		gpt_statement_hash(named.sha256, &check->statement, i, 4);
		check_object(check, &named);
	}
	gpt_statement_end(&check->statement);

	n = run(check, "SELECT n.name, %1$s.gpt_object_owner(n.object) FROM %1$s.gpt_tokenizer_name n "
				   "WHERE NOT EXISTS (SELECT FROM %1$s.gpt_tokenizer t WHERE t.sha256 = n.sha256 "
				   "AND t.object = n.object) ORDER BY n.name");
	for (uint64 i = 0; i < n; i++)
		report(check, oid_of(check, i, 2), "missing tokenizer",
			   psprintf("tokenizer %s", gpt_statement_text(&check->statement, i, 1)),
			   "The tokenizer of the name has no row.");
	gpt_statement_end(&check->statement);
}

/* Both owners see it. A name and a model that have the same tokenizer are no defect. */
static void
check_names(Check *check)
{
	uint64 n = run(
		check, "SELECT n.name, %1$s.gpt_object_owner(n.object), %1$s.gpt_object_owner(v.weights) "
			   "FROM %1$s.gpt_tokenizer_name n JOIN %1$s.gpt_model m ON m.model = n.name JOIN "
			   "%1$s.gpt_version v ON v.model = m.model AND v.version = m.version WHERE "
			   "v.tokenizer <> n.sha256 AND %1$s.gpt_object_owner(n.object) IS NOT NULL AND "
			   "%1$s.gpt_object_owner(v.weights) IS NOT NULL ORDER BY n.name");

	for (uint64 i = 0; i < n; i++)
	{
		Oid owner = oid_of(check, i, 2);

		if (!has_privs_of_role(check->user, owner))
			owner = oid_of(check, i, 3);
		report(check, owner, "shared name",
			   psprintf("tokenizer %s", gpt_statement_text(&check->statement, i, 1)),
			   "A model with another tokenizer has the same name, and functions that take either "
			   "use the model's.");
	}
	gpt_statement_end(&check->statement);
}

/* Reports the first fault of a large object: missing, foreign, altered in size, id or hash. */
static void
check_object(Check *check, const Named *named)
{
	const char *number = psprintf("Large object %u", named->object);
	GptBelonging belonging = GPT_WEIGHTS_OURS;
	int64 size;

	if (!may_see(check, named->owner))
		return;
	if (!OidIsValid(named->owner))
	{
		report(check, InvalidOid, "missing object", named->name,
			   psprintf("%s does not exist.", number));
		return;
	}
	PushActiveSnapshot(GetLatestSnapshot());
	if (named->run_id != NULL)
		belonging = gpt_weights_belonging(named->object, named->run_id);
	size = gpt_blob_size(named->object);
	if (!OidIsValid(gpt_blob_owner(named->object)))
		;
	else if (belonging == GPT_WEIGHTS_GONE)
		report(check, InvalidOid, "foreign object", named->name,
			   psprintf("%s has the id of another run.", number));
	else if (size != named->size)
		report(check, named->owner, "altered object", named->name,
			   psprintf("%s has " INT64_FORMAT " bytes, its row says " INT64_FORMAT ".", number,
						size, named->size));
	else if (belonging == GPT_WEIGHTS_ALTERED)
		report(check, named->owner, "altered object", named->name,
			   psprintf("%s has no id of a run.", number));
	else if (check->verify && !has_hash(named))
		report(check, named->owner, "altered object", named->name,
			   psprintf("%s has another hash than its row says.", number));
	PopActiveSnapshot();
}

/* True also of an object that is gone. */
static bool
has_hash(const Named *named)
{
	GptBlob *blob = gpt_blob_open(named->object, true);
	uint8 sha256[GPT_SHA256_SIZE];
	char *piece;

	if (blob == NULL)
		return true;
	piece = palloc(PIECE_SIZE);
	while (gpt_blob_read(blob, piece, PIECE_SIZE) == PIECE_SIZE)
		CHECK_FOR_INTERRUPTS();
	gpt_blob_close(blob, sha256);
	pfree(piece);
	return memcmp(sha256, named->sha256, GPT_SHA256_SIZE) == 0;
}

/* The comment on an object says what it was after its row has gone. */
static void
check_orphans(Check *check)
{
	uint64 n = run(
		check,
		"SELECT m.oid, m.lomowner, d.description FROM pg_largeobject_metadata m JOIN "
		"pg_description d ON d.objoid = m.oid AND d.classoid = 'pg_largeobject'::regclass AND "
		"d.objsubid = 0 WHERE (d.description ~ '^gpt model .* version [0-9]+$' OR d.description = "
		"'gpt tokenizer') AND NOT EXISTS (SELECT FROM %1$s.gpt_version v WHERE v.weights = m.oid) "
		"AND NOT EXISTS (SELECT FROM %1$s.gpt_tokenizer t WHERE t.object = m.oid) ORDER BY m.oid");

	for (uint64 i = 0; i < n; i++)
		report(check, oid_of(check, i, 2), "orphaned object",
			   psprintf("large object %u", oid_of(check, i, 1)),
			   psprintf("Its comment is \"%s\", and no row names it. Remove it with lo_unlink.",
						gpt_statement_text(&check->statement, i, 3)));
	gpt_statement_end(&check->statement);
}

/* Reports roles besides the owner that may overwrite weights or tokenizers. */
static void
check_grants(Check *check)
{
	uint64 n = run(
		check, "SELECT m.oid, m.lomowner, CASE a.grantee WHEN 0 THEN 'public' ELSE "
			   "pg_get_userbyid(a.grantee)::text END FROM pg_largeobject_metadata m, "
			   "aclexplode(m.lomacl) a WHERE a.privilege_type = 'UPDATE' AND a.grantee <> "
			   "m.lomowner AND (EXISTS (SELECT FROM %1$s.gpt_version v WHERE v.weights = m.oid) OR "
			   "EXISTS (SELECT FROM %1$s.gpt_tokenizer t WHERE t.object = m.oid)) ORDER BY 1, 3");

	for (uint64 i = 0; i < n; i++)
		report(
			check, oid_of(check, i, 2), "update granted",
			psprintf("large object %u", oid_of(check, i, 1)),
			psprintf("Role \"%s\" may overwrite it.", gpt_statement_text(&check->statement, i, 3)));
	gpt_statement_end(&check->statement);
}

/* ---- Jobs and files ----------------------------------------------------- */

/* An object that computes with a version which does not exist. */
static void
report_dangling(void *context, const char *object, const char *version)
{
	report(context, InvalidOid, "dangling object", object,
		   psprintf("The version %s, which it names, does not exist.", version));
}

/* Collects the running jobs first: check_job runs statements of its own. */
static void
check_jobs(Check *check)
{
	uint64 n = run(check, "SELECT job FROM %s.gpt_job WHERE state = 'running' ORDER BY job");
	int64 *numbers = MemoryContextAlloc(check->statement.caller, Max(n, 1) * sizeof(int64));

	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;

		numbers[i] = DatumGetInt64(gpt_statement_value(&check->statement, i, 1, &is_null));
	}
	gpt_statement_end(&check->statement);
	for (uint64 i = 0; i < n; i++)
		check_job(check, numbers[i]);
}

/*
 * A worker ends the row before it lets go of the lock: a row that still says running after no lock
 * was found is stopped.
 */
static void
check_job(Check *check, int64 number)
{
	bool has_process = gpt_job_pid(number) != 0;
	const GptJob *job = gpt_job_read(number);
	const char *name = psprintf("job " INT64_FORMAT, number);

	if (job == NULL || job->state != GPT_JOB_RUNNING)
		return;
	if (!gpt_job_is_local(job))
		report(check, job->owner, "copied job", name,
			   "Its row was written in another database or cluster. It never runs here.");
	else if (!has_process)
		report(check, job->owner, "stopped job", name,
			   "No process runs it. Start it again with gpt_resume.");
}

/*
 * Reports leftover run files; only superusers see them, because all databases share the directory.
 */
static void
check_files(Check *check)
{
	DIR *directory = check->all ? AllocateDir(GPT_RUN_DIRECTORY) : NULL;
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (entry->d_name[0] != '.' && is_leftover(entry->d_name))
			report(check, InvalidOid, "leftover file",
				   psprintf("%s/%s", GPT_RUN_DIRECTORY, entry->d_name), "No job needs it.");
	}
	if (directory != NULL)
		FreeDir(directory);
}

/* A file that says nothing about its database may be another one's. */
static bool
is_leftover(const char *name)
{
	pg_uuid_t run_id;
	Oid database;
	bool known;
	bool kept;

	if (gpt_kept_is_file(name))
		return gpt_kept_is_unused(name);
	if (!gpt_run_of_file(&run_id, name))
		return true;
	kept = gpt_run_is_kept(&run_id, &known);
	if (known)
		return !kept;
	database = gpt_checkpoint_database(&run_id);
	return OidIsValid(database) &&
		   (database == MyDatabaseId ||
			!SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)));
}

/* Files that the next session that makes an image removes or writes again. */
static void
check_images(Check *check)
{
	List *leftovers = check->all ? gpt_image_leftovers() : NIL;
	ListCell *cell;

	foreach (cell, leftovers)
		report(check, InvalidOid, "leftover file", lfirst(cell),
			   "It is not an image of a model or tokenizer.");
}

static void
check_settings(Check *check)
{
	const char *value = GetConfigOption("lo_compat_privileges", false, false);

	if (strcmp(value, "off") != 0)
		report(check, check->user, "setting", "lo_compat_privileges",
			   "It is on: every role can read and write all large objects.");
}

/* ---- Rows of the result ------------------------------------------------- */

/* Leaves the statement open, for its rows. */
static uint64
run(Check *check, const char *format)
{
	gpt_statement_begin(&check->statement);
	return gpt_statement_run(&check->statement, format);
}

static Oid
oid_of(const Check *check, uint64 row, int column)
{
	bool is_null;
	Datum value = gpt_statement_value(&check->statement, row, column, &is_null);

	return is_null ? InvalidOid : DatumGetObjectId(value);
}

/*
 * The owner and its members see the finding; InvalidOid: superusers. For other roles no objects are
 * read.
 */
static bool
may_see(const Check *check, Oid owner)
{
	return check->all || (OidIsValid(owner) && has_privs_of_role(check->user, owner));
}

static void
report(Check *check, Oid owner, const char *kind, const char *object, const char *detail)
{
	Datum values[] = {CStringGetTextDatum(kind), CStringGetTextDatum(object),
					  CStringGetTextDatum(detail)};
	bool nulls[] = {false, false, false};

	if (may_see(check, owner))
		tuplestore_putvalues(check->result->setResult, check->result->setDesc, values, nulls);
}
