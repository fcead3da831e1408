/*
 * src/store/image_directory.c
 *
 * The files of images: names, a list, and what goes to make room or at the end of a transaction.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#include "core/compat.h"
#include "core/extension.h"
#include "core/at_end.h"
#include "core/settings.h"
#include "store/image_directory.h"
#include "store/prompt_directory.h"

#define PREFIX PG_TEMP_FILE_PREFIX "_gpt_image_"
#define DIGITS 32 /* of the hash, in a name */

static bool read_entry(GptImageEntry *entry, const char *name);
static int by_age(const ListCell *a, const ListCell *b);
static void remove_images(const void *sha256);
static void remove_file(const char *path);

void
gpt_image_path(char *path, const uint8 *sha256, GptImageType type)
{
	char digits[DIGITS + 1];

	hex_encode((const char *) sha256, DIGITS / 2, digits);
	digits[DIGITS] = '\0';
	snprintf(path, GPT_IMAGE_PATH_SIZE, GPT_IMAGE_DIRECTORY "/" PREFIX "%s_%s", digits,
			 gpt_image_type_name(type));
}

bool
gpt_image_make_room(uint64 size, const char *aside)
{
	uint64 limit = (uint64) gpt_settings_max_image_size();
	uint64 total = size;
	List *entries = gpt_image_directory_read();
	ListCell *cell;

	list_sort(entries, by_age);
	foreach (cell, entries)
	{
		GptImageEntry *entry = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (strcmp(entry->path, aside) == 0)
			entry->size = 0;
		else if (entry->aside && gpt_image_is_left_behind(entry->path, true))
			entry->size = 0;
		total += entry->size;
	}
	foreach (cell, entries)
	{
		const GptImageEntry *entry = lfirst(cell);

		if (total <= limit)
			break;
		if (entry->aside)
			continue;
		remove_file(entry->path);
		total -= entry->size;
	}
	return total <= limit;
}

void
gpt_image_remove_at_commit(const uint8 *sha256)
{
	/* An image that is missing is made again, so it may go with a PREPARE TRANSACTION. */
	static const GptAtEnd removal = {.act = remove_images, .at_commit = true, .at_prepare = true};

	gpt_at_end(&removal, sha256, GPT_SHA256_SIZE);
}

/* A file that is being written stays: a session uses it, and it is removed as others are. */
static void
remove_images(const void *sha256)
{
	for (int type = 0; type < GPT_IMAGE_KINDS; type++)
	{
		char path[GPT_IMAGE_PATH_SIZE];

		gpt_image_path(path, sha256, (GptImageType) type);
		remove_file(path);
	}
	gpt_prompt_remove(sha256);
}

List *
gpt_image_directory_read(void)
{
	DIR *directory = AllocateDir(GPT_IMAGE_DIRECTORY);
	List *entries = NIL;
	struct dirent *found;

	if (directory == NULL)
		return NIL;
	while ((found = ReadDirExtended(directory, GPT_IMAGE_DIRECTORY, LOG)) != NULL)
	{
		GptImageEntry *entry = palloc(sizeof(GptImageEntry));

		if (read_entry(entry, found->d_name))
			entries = lappend(entries, entry);
	}
	FreeDir(directory);
	return entries;
}

/* False for files of other kinds and for files that another session has removed in the meantime. */
static bool
read_entry(GptImageEntry *entry, const char *name)
{
	size_t size = strlen(name);
	size_t suffix = strlen(GPT_IMAGE_ASIDE);
	struct stat status;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 ||
		size + strlen(GPT_IMAGE_DIRECTORY "/") >= GPT_IMAGE_PATH_SIZE)
		return false;
	snprintf(entry->path, sizeof(entry->path), GPT_IMAGE_DIRECTORY "/%s", name);
	if (lstat(entry->path, &status) != 0)
		return false;
	entry->size = (uint64) status.st_size;
	entry->used_at = status.st_atim;
	entry->aside = strcmp(name + size - suffix, GPT_IMAGE_ASIDE) == 0;
	return true;
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

/*
 * Whether an unfinished file has no writer; with `removes` it is removed. Its writer may just have
 * renamed it, so the file to remove is compared with the one that was locked.
 */
bool
gpt_image_is_left_behind(const char *path, bool removes)
{
	int file = OpenTransientFile(path, O_RDWR | O_NOFOLLOW | PG_BINARY);
	struct stat status;
	struct stat named;
	bool left = false;

	if (file < 0)
		return errno == ENOENT;
	if (flock(file, LOCK_EX | LOCK_NB) == 0 && fstat(file, &status) == 0 &&
		stat(path, &named) == 0 && status.st_dev == named.st_dev && status.st_ino == named.st_ino)
	{
		if (removes)
			remove_file(path);
		left = true;
	}
	CloseTransientFile(file);
	return left;
}

static void
remove_file(const char *path)
{
	if (unlink(path) != 0 && errno != ENOENT)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", path)));
}
