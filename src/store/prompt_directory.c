/*
 * src/store/prompt_directory.c
 *
 * The files of prompts: their names, and those that go to make room or with their version.
 */
#include "postgres.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/compat.h"
#include "core/extension.h"
#include "core/settings.h"
#include "store/prompt_directory.h"

#define PREFIX PG_TEMP_FILE_PREFIX "_gpt_prompt_"
#define DIGITS 32 /* of each hash, in a name */
#define SHARE 4 /* of gpt.max_image_size, which prompts may have beside the images */

static List *read_directory(void);
static int by_age(const ListCell *a, const ListCell *b);

void
gpt_prompt_path(char *path, const uint8 *version, const uint8 *key)
{
	char digits[2][DIGITS + 1] = {{0}};

	hex_encode((const char *) version, DIGITS / 2, digits[0]);
	hex_encode((const char *) key, DIGITS / 2, digits[1]);
	snprintf(path, GPT_IMAGE_PATH_SIZE, GPT_IMAGE_DIRECTORY "/" PREFIX "%s_%s", digits[0],
			 digits[1]);
}

uint64
gpt_prompt_most(void)
{
	return (uint64) gpt_settings_max_image_size() / SHARE;
}

bool
gpt_prompt_make_room(uint64 size, const char *aside)
{
	uint64 total = size;
	List *entries = read_directory();
	ListCell *cell;

	list_sort(entries, by_age);
	foreach (cell, entries)
	{
		GptImageEntry *entry = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (strcmp(entry->path, aside) == 0 ||
			(entry->aside && gpt_image_is_left_behind(entry->path, true)))
			entry->size = 0;
		total += entry->size;
	}
	foreach (cell, entries)
	{
		const GptImageEntry *entry = lfirst(cell);

		if (total <= gpt_prompt_most())
			break;
		if (entry->aside || unlink(entry->path) != 0)
			continue;
		total -= entry->size;
	}
	list_free_deep(entries);
	return total <= gpt_prompt_most();
}

/* A List of GptImageEntry. */
static List *
read_directory(void)
{
	DIR *directory = AllocateDir(GPT_IMAGE_DIRECTORY);
	List *entries = NIL;
	struct dirent *found;

	if (directory == NULL)
		return NIL;
	while ((found = ReadDirExtended(directory, GPT_IMAGE_DIRECTORY, DEBUG1)) != NULL)
	{
		size_t length = strlen(found->d_name);
		size_t suffix = strlen(GPT_IMAGE_ASIDE);
		GptImageEntry *entry;
		struct stat status;

		if (strncmp(found->d_name, PREFIX, strlen(PREFIX)) != 0 ||
			length + strlen(GPT_IMAGE_DIRECTORY "/") >= GPT_IMAGE_PATH_SIZE)
			continue;
		entry = palloc0(sizeof(GptImageEntry));
		snprintf(entry->path, sizeof(entry->path), GPT_IMAGE_DIRECTORY "/%s", found->d_name);
		if (lstat(entry->path, &status) != 0)
			continue;
		entry->size = (uint64) status.st_size;
		entry->used_at = status.st_atim;
		entry->aside = strcmp(found->d_name + length - suffix, GPT_IMAGE_ASIDE) == 0;
		entries = lappend(entries, entry);
	}
	FreeDir(directory);
	return entries;
}

static int
by_age(const ListCell *a, const ListCell *b)
{
	const struct timespec *x = &((const GptImageEntry *) lfirst(a))->used_at;
	const struct timespec *y = &((const GptImageEntry *) lfirst(b))->used_at;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* Called when a transaction has ended, so by the C library alone: the server's functions raise. */
void
gpt_prompt_remove(const uint8 *version)
{
	char path[GPT_IMAGE_PATH_SIZE];
	const char *name = path + strlen(GPT_IMAGE_DIRECTORY "/");
	DIR *directory = opendir(GPT_IMAGE_DIRECTORY);
	struct dirent *found;

	if (directory == NULL)
		return;
	gpt_prompt_path(path, version, version);
	while ((found = readdir(directory)) != NULL)
	{
		char other[MAXPGPATH];

		if (strncmp(found->d_name, name, strlen(PREFIX) + DIGITS) != 0)
			continue;
		snprintf(other, sizeof(other), GPT_IMAGE_DIRECTORY "/%s", found->d_name);
		(void) unlink(other);
	}
	closedir(directory);
}
