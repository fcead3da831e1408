/*
 * src/store/run_files.c
 *
 * Names, completion and removal of the files of jobs.
 */
#include "postgres.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "core/at_end.h"
#include "core/compat.h"
#include "core/settings.h"
#include "core/statement.h"
#include "core/transaction.h"
#include "store/kept_files.h"
#include "store/run_files.h"

#define UUID_TEXT_SIZE 36
/* beyond the retention, for files that say nothing about their database */
#define UNKNOWN_SECONDS (30 * SECS_PER_DAY)

static void remove_file(const char *path);
static void remove_run(const void *run_id);
static void remove_kept(const void *database);
static bool is_unused(const pg_uuid_t *run_id, GptRunDatabase database_of);
static double seconds_since_use(const pg_uuid_t *run_id);

char *
gpt_run_file_path(const pg_uuid_t *run_id, const char *extension, const char *suffix)
{
	char *id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(run_id)));

	return psprintf(GPT_RUN_DIRECTORY "/" PG_TEMP_FILE_PREFIX "_%s%s%s", id, extension, suffix);
}

int
gpt_run_file_create(const pg_uuid_t *run_id, const char *extension, int level)
{
	char *path = gpt_run_file_path(run_id, extension, GPT_ASIDE);
	File file;

	if (MakePGDirectory(GPT_RUN_DIRECTORY) < 0 && errno != EEXIST)
	{
		ereport(level, (errcode_for_file_access(),
						errmsg("could not create directory \"%s\": %m", GPT_RUN_DIRECTORY)));
		return -1;
	}
	file = PathNameOpenFile(path, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (file < 0)
		ereport(level,
				(errcode_for_file_access(), errmsg("could not create file \"%s\": %m", path)));
	return file;
}

void
gpt_run_file_complete(const pg_uuid_t *run_id, const char *extension)
{
	durable_rename(gpt_run_file_path(run_id, extension, GPT_ASIDE),
				   gpt_run_file_path(run_id, extension, ""), ERROR);
}

bool
gpt_run_file_try_complete(const pg_uuid_t *run_id, const char *extension)
{
	char *path = gpt_run_file_path(run_id, extension, GPT_ASIDE);

	if (rename(path, gpt_run_file_path(run_id, extension, "")) == 0)
		return true;
	ereport(WARNING, (errcode_for_file_access(), errmsg("could not rename file \"%s\": %m", path)));
	gpt_run_file_remove_aside(run_id, extension);
	return false;
}

static void
remove_file(const char *path)
{
	if (unlink(path) != 0 && errno != ENOENT)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", path)));
}

void
gpt_run_file_remove_aside(const pg_uuid_t *run_id, const char *extension)
{
	remove_file(gpt_run_file_path(run_id, extension, GPT_ASIDE));
}

void
gpt_run_files_remove(const pg_uuid_t *run_id)
{
	gpt_run_file_remove_aside(run_id, GPT_TOKENS);
	gpt_run_file_remove_aside(run_id, GPT_CHECKPOINT);
	remove_file(gpt_run_file_path(run_id, GPT_CHECKPOINT, ""));
	remove_file(gpt_run_file_path(run_id, GPT_TOKENS, ""));
}

void
gpt_run_files_remove_at_commit(const pg_uuid_t *run_id)
{
	static const GptAtEnd removal = {.act = remove_run, .at_commit = true};

	gpt_at_end(&removal, run_id, sizeof(pg_uuid_t));
}

/* Rows that are copies of another database's or cluster's have no files here. */
void
gpt_run_files_remove_all_at_commit(void)
{
	static const GptAtEnd removal = {.act = remove_kept, .at_commit = true};
	GptStatement statement;
	uint64 n;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	n = gpt_statement_run(
		&statement, "SELECT run_id FROM %s.gpt_job WHERE database = $1 AND system_identifier = $2");
	for (uint64 i = 0; i < n; i++)
	{
		bool is_null;

		CHECK_FOR_INTERRUPTS();
		gpt_run_files_remove_at_commit(
			DatumGetUUIDP(gpt_statement_value(&statement, i, 1, &is_null)));
	}
	gpt_statement_end(&statement);
	gpt_at_end(&removal, &MyDatabaseId, sizeof(Oid));
}

static void
remove_kept(const void *database)
{
	gpt_kept_remove_all(*(const Oid *) database);
}

static void
remove_run(const void *run_id)
{
	gpt_run_files_remove(run_id);
}

void
gpt_run_files_retire(const pg_uuid_t *run_id)
{
	if (gpt_checkpoint_retention == 0)
		gpt_run_files_remove(run_id);
	gpt_run_file_remove_aside(run_id, GPT_TOKENS);
	gpt_run_file_remove_aside(run_id, GPT_CHECKPOINT);
}

/* ---- Sweep -------------------------------------------------------------- */

bool
gpt_run_of_file(pg_uuid_t *run_id, const char *name)
{
	static const char prefix[] = PG_TEMP_FILE_PREFIX "_";
	char id[UUID_TEXT_SIZE + 1];

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 ||
		strlen(name) < sizeof(prefix) - 1 + UUID_TEXT_SIZE)
		return false;
	strlcpy(id, name + sizeof(prefix) - 1, sizeof(id));
	if (strspn(id, "0123456789abcdef-") != UUID_TEXT_SIZE)
		return false;
	for (int i = 0; i < UUID_TEXT_SIZE; i++)
	{
		if ((id[i] == '-') != (i == 8 || i == 13 || i == 18 || i == 23))
			return false;
	}
	*run_id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(id)));
	return true;
}

void
gpt_run_files_sweep(GptRunDatabase database_of)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt sweep", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	DIR *directory = AllocateDir(GPT_RUN_DIRECTORY);
	List *runs = NIL;
	GptTransaction transaction;
	struct dirent *entry;
	ListCell *cell;

	/* A transaction's end closes the directory, so it is read first. */
	while (directory != NULL && (entry = readdir(directory)) != NULL)
	{
		pg_uuid_t *run_id = palloc(sizeof(pg_uuid_t));

		if (!gpt_kept_is_file(entry->d_name) && gpt_run_of_file(run_id, entry->d_name))
			runs = lappend(runs, run_id);
	}
	if (directory != NULL)
		FreeDir(directory);
	foreach (cell, runs)
	{
		const pg_uuid_t *run_id = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (is_unused(run_id, database_of))
			gpt_run_files_remove(run_id);
	}
	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_kept_sweep();
	gpt_transaction_commit(&transaction);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}

/* Whether no job needs the run's files; runs of an unknown database go after a long retention. */
static bool
is_unused(const pg_uuid_t *run_id, GptRunDatabase database_of)
{
	GptTransaction transaction;
	bool known;
	bool kept;
	Oid database;
	bool database_exists;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(transaction.context);
	kept = gpt_run_is_kept(run_id, &known);
	database = known ? MyDatabaseId : database_of(run_id);
	database_exists =
		OidIsValid(database) && SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database));
	gpt_transaction_commit(&transaction);

	if (known)
		return !kept;
	if (database == MyDatabaseId || (OidIsValid(database) && !database_exists))
		return true;
	return !OidIsValid(database) &&
		   seconds_since_use(run_id) > (double) gpt_checkpoint_retention + UNKNOWN_SECONDS;
}

/*
 * Rows are seen as committed; a file is never older than its job. A copy of a row, from another
 * database or cluster, does not count.
 */
bool
gpt_run_is_kept(const pg_uuid_t *run_id, bool *known)
{
	GptStatement statement;
	bool kept = false;

	gpt_statement_begin(&statement);
	gpt_statement_add(&statement, UUIDOID, UUIDPGetDatum(run_id));
	gpt_statement_add(&statement, FLOAT8OID, Float8GetDatum((double) gpt_checkpoint_retention));
	gpt_statement_add(&statement, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	gpt_statement_add(&statement, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	*known = gpt_statement_run(
				 &statement,
				 "SELECT state IN ('queued', 'running') OR (state IN ('failed', 'cancelled') AND "
				 "finished_at > pg_catalog.now() - pg_catalog.make_interval(secs => $2)) FROM "
				 "%s.gpt_job WHERE run_id = $1 AND database = $3 AND system_identifier = $4") > 0;
	if (*known)
	{
		bool is_null;
		Datum value = gpt_statement_value(&statement, 0, 1, &is_null);

		kept = is_null || DatumGetBool(value);
	}
	gpt_statement_end(&statement);
	return kept;
}

/* Seconds since the last change of the run's newest file; infinity if there is none. */
static double
seconds_since_use(const pg_uuid_t *run_id)
{
	static const char *const extensions[] = {GPT_TOKENS, GPT_CHECKPOINT};
	static const char *const suffixes[] = {"", GPT_ASIDE};
	time_t now = time(NULL);
	double youngest = INFINITY;

	for (int i = 0; i < lengthof(extensions) * lengthof(suffixes); i++)
	{
		struct stat status;

		if (stat(gpt_run_file_path(run_id, extensions[i / 2], suffixes[i % 2]), &status) == 0)
			youngest = Min(youngest, difftime(now, status.st_mtime));
	}
	return isinf(youngest) ? 0 : youngest;
}
