/*
 * src/store/kept_files.c
 *
 * Names and removal of the files that members of trainings keep for their return.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "core/compat.h"
#include "core/settings.h"
#include "store/kept_files.h"
#include "store/run_files.h"

#define EXTENSION ".kept"
#define UUID_TEXT_SIZE 36
#define LEAST_SECONDS SECS_PER_DAY /* that a file is old before it is removed */

/* Decides about a file of the run directory. */
typedef bool (*Choice)(const char *name, const GptKeptOwner *owner, int64 step,
					   const void *argument);

typedef struct Retained
{
	const GptKeptOwner *owner;
	int64 steps[2];
} Retained;

static bool parse(GptKeptOwner *owner, int64 *step, const char *name);
static void remove_chosen(Choice is_chosen, const void *argument);
static bool is_other(const char *name, const GptKeptOwner *owner, int64 step, const void *argument);
static bool is_old(const char *name, const GptKeptOwner *owner, int64 step, const void *argument);
static bool is_of_database(const char *name, const GptKeptOwner *owner, int64 step,
						   const void *argument);

char *
gpt_kept_extension(const GptKeptOwner *owner, int64 step)
{
	return psprintf("_m%d_%u_%u_" INT64_FORMAT EXTENSION, owner->member, owner->database,
					owner->role, step);
}

/* A name is one of ours if it is what the numbers in it make. */
static bool
parse(GptKeptOwner *owner, int64 *step, const char *name)
{
	const char *rest;
	const char *again;
	size_t length;
	long long number;

	if (!gpt_run_of_file(&owner->run_id, name))
		return false;
	rest = name + strlen(PG_TEMP_FILE_PREFIX "_") + UUID_TEXT_SIZE;
	if (sscanf(rest, "_m%d_%u_%u_%lld", &owner->member, &owner->database, &owner->role, &number) !=
		4)
		return false;
	*step = number;
	again = gpt_kept_extension(owner, *step);
	length = strlen(again);
	return strncmp(rest, again, length) == 0 &&
		   (rest[length] == '\0' || strcmp(rest + length, GPT_ASIDE) == 0);
}

bool
gpt_kept_is_file(const char *name)
{
	GptKeptOwner owner;
	int64 step;

	return parse(&owner, &step, name);
}

static void
remove_chosen(Choice is_chosen, const void *argument)
{
	DIR *directory = AllocateDir(GPT_RUN_DIRECTORY);
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
	{
		GptKeptOwner owner;
		int64 step;
		char path[MAXPGPATH];

		CHECK_FOR_INTERRUPTS();
		if (!parse(&owner, &step, entry->d_name) ||
			!is_chosen(entry->d_name, &owner, step, argument))
			continue;
		snprintf(path, sizeof(path), GPT_RUN_DIRECTORY "/%s", entry->d_name);
		if (unlink(path) != 0 && errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", path)));
	}
	if (directory != NULL)
		FreeDir(directory);
}

void
gpt_kept_retain(const GptKeptOwner *owner, int64 step, int64 other)
{
	Retained retained = {owner, {step, other}};

	remove_chosen(is_other, &retained);
}

static bool
is_other(const char *name, const GptKeptOwner *owner, int64 step, const void *argument)
{
	const Retained *retained = argument;
	const GptKeptOwner *own = retained->owner;

	return memcmp(&owner->run_id, &own->run_id, sizeof(pg_uuid_t)) == 0 &&
		   owner->member == own->member && owner->database == own->database &&
		   owner->role == own->role && step != retained->steps[0] && step != retained->steps[1];
}

bool
gpt_kept_is_unused(const char *name)
{
	GptKeptOwner owner;
	int64 step;

	return parse(&owner, &step, name) && is_old(name, &owner, step, NULL);
}

void
gpt_kept_sweep(void)
{
	remove_chosen(is_old, NULL);
}

static bool
is_old(const char *name, const GptKeptOwner *owner, int64 step, const void *argument)
{
	char path[MAXPGPATH];
	struct stat status;

	if (!SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(owner->database)))
		return true;
	snprintf(path, sizeof(path), GPT_RUN_DIRECTORY "/%s", name);
	return stat(path, &status) == 0 &&
		   difftime(time(NULL), status.st_mtime) > Max(gpt_checkpoint_retention, LEAST_SECONDS);
}

void
gpt_kept_remove_all(Oid database)
{
	remove_chosen(is_of_database, &database);
}

static bool
is_of_database(const char *name, const GptKeptOwner *owner, int64 step, const void *argument)
{
	return owner->database == *(const Oid *) argument;
}
