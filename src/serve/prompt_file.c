/*
 * src/serve/prompt_file.c
 *
 * Keys and values of a beginning into a file, and out of it (src/serve/prompt_file.h).
 *
 * There is no fsync: after a crash of the machine the server removes the files when it starts. Nor
 * is there an error: without the file the model computes what it would have held.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"

#include "core/version.h"
#include "serve/image_bytes.h"
#include "serve/image_lock.h"
#include "serve/prompt_file.h"
#include "store/catalog.h"
#include "store/prompt_directory.h"

#define MAGIC "gpt prmt"
#define FORMAT 1
#define ALIGNMENT 4096
#define TOUCH_SECONDS 60

typedef struct Header
{
	char magic[8];
	uint32 format;
	uint32 n_pages;
	uint64 page_size; /* bytes */
	char library[16];
	uint8 key[GPT_SHA256_SIZE];
	pg_crc32c sums_crc; /* of the checksums of pages */
	pg_crc32c header_crc; /* of the bytes before this one */
} Header;

static bool read_sums(pg_crc32c *sums, int file, const GptPromptFile *prompt, size_t page_size);
static bool fill(LmMany *many, int file, const pg_crc32c *sums, const GptPromptFile *prompt,
				 int known);
static void touch(int file);
static int open_aside(const char *aside, uint64 size);
static bool write_all(LmMany *many, int file, const GptPromptFile *prompt);

/* Where the first page begins. */
static off_t
pages_begin(int n_pages)
{
	return (off_t) TYPEALIGN(ALIGNMENT, sizeof(Header) + n_pages * sizeof(pg_crc32c));
}

static pg_crc32c
crc_of(const void *bytes, size_t size)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes, size);
	FIN_CRC32C(crc);
	return crc;
}

bool
gpt_prompt_file_exists(const GptPromptFile *prompt)
{
	char path[GPT_IMAGE_PATH_SIZE];

	gpt_prompt_path(path, prompt->version, prompt->key);
	return access(path, F_OK) == 0;
}

bool
gpt_prompt_file_read(LmMany *many, const GptPromptFile *prompt)
{
	char path[GPT_IMAGE_PATH_SIZE];
	pg_crc32c *sums;
	int known = lm_many_known_pages(many);
	int file;
	bool good;

	gpt_prompt_path(path, prompt->version, prompt->key);
	file = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | PG_BINARY);
	if (file < 0)
		return false;
	sums = palloc(prompt->n_pages * sizeof(pg_crc32c));
	good = read_sums(sums, file, prompt, lm_many_page_size(many)) &&
		   lm_many_add_pages(many, prompt->n_pages);
	/* From here to the end of fill nothing may raise an error: the pages are not filled yet. */
	if (good && !fill(many, file, sums, prompt, known))
	{
		lm_many_cut_pages(many, known);
		good = false;
	}
	if (good)
		touch(file);
	else
		(void) unlink(path);
	CloseTransientFile(file);
	pfree(sums);
	return good;
}

/* A file that others than the server's user could have written is not believed. */
static bool
read_sums(pg_crc32c *sums, int file, const GptPromptFile *prompt, size_t page_size)
{
	size_t size = prompt->n_pages * sizeof(pg_crc32c);
	struct stat status;
	Header header;

	return fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
		   (status.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
		   pg_pread(file, &header, sizeof(header), 0) == sizeof(header) &&
		   crc_of(&header, offsetof(Header, header_crc)) == header.header_crc &&
		   memcmp(header.magic, MAGIC, sizeof(header.magic)) == 0 && header.format == FORMAT &&
		   strncmp(header.library, GPT_VERSION, sizeof(header.library)) == 0 &&
		   header.n_pages == (uint32) prompt->n_pages && header.page_size == page_size &&
		   memcmp(header.key, prompt->key, GPT_SHA256_SIZE) == 0 &&
		   status.st_size == pages_begin(prompt->n_pages) + (off_t) (prompt->n_pages * page_size) &&
		   pg_pread(file, sums, size, sizeof(Header)) == (ssize_t) size &&
		   crc_of(sums, size) == header.sums_crc;
}

/* The pages that were not known before. */
static bool
fill(LmMany *many, int file, const pg_crc32c *sums, const GptPromptFile *prompt, int known)
{
	for (int i = known; i < prompt->n_pages; i++)
	{
		size_t size = lm_many_page_size(many);
		char *page = lm_many_page(many, i);
		size_t done = 0;

		while (done < size)
		{
			ssize_t n = pg_pread(file, page + done, size - done,
								 pages_begin(prompt->n_pages) + (off_t) (i * size + done));

			if (n == 0 || (n < 0 && errno != EINTR))
				return false;
			done += Max(n, 0);
		}
		if (crc_of(page, size) != sums[i])
			return false;
	}
	return true;
}

/* Sets the time of last access, at most once a minute. */
static void
touch(int file)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
	struct stat status;

	if (fstat(file, &status) == 0 && status.st_atim.tv_sec + TOUCH_SECONDS <= time(NULL))
		(void) futimens(file, times);
}

bool
gpt_prompt_file_write(LmMany *many, const GptPromptFile *prompt)
{
	char path[GPT_IMAGE_PATH_SIZE];
	char aside[GPT_IMAGE_PATH_SIZE + 32];
	uint64 size =
		(uint64) pages_begin(prompt->n_pages) + (uint64) prompt->n_pages * lm_many_page_size(many);
	int file;
	bool good;

	gpt_prompt_path(path, prompt->version, prompt->key);
	snprintf(aside, sizeof(aside), "%s_%d" GPT_IMAGE_ASIDE, path, MyProcPid);
	if (size > gpt_prompt_most())
		return false;
	file = open_aside(aside, size);
	if (file < 0)
		return false;
	good = write_all(many, file, prompt) && rename(aside, path) == 0;
	if (!good)
		(void) unlink(aside);
	CloseTransientFile(file);
	return good;
}

/* Makes room for the file and reserves its space, so that a full disk shows at once; -1: none. */
static int
open_aside(const char *aside, uint64 size)
{
	bool good = false;
	int file;

	if (MakePGDirectory(GPT_IMAGE_DIRECTORY) != 0 && errno != EEXIST)
		return -1;
	gpt_image_room_lock();
	file = OpenTransientFile(aside, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | PG_BINARY);
	if (file >= 0)
		good = flock(file, LOCK_EX | LOCK_NB) == 0 && gpt_prompt_make_room(size, aside) &&
			   posix_fallocate(file, 0, (off_t) size) == 0;
	gpt_image_room_unlock();
	if (file >= 0 && !good)
	{
		(void) unlink(aside);
		CloseTransientFile(file);
		return -1;
	}
	return file;
}

static bool
write_all(LmMany *many, int file, const GptPromptFile *prompt)
{
	Header header = {
		.format = FORMAT, .n_pages = prompt->n_pages, .page_size = lm_many_page_size(many)};
	size_t sums_size = prompt->n_pages * sizeof(pg_crc32c);
	pg_crc32c *sums = palloc(sums_size);
	bool good = true;

	for (int i = 0; i < prompt->n_pages && good; i++)
	{
		size_t size = lm_many_page_size(many);
		const char *page = lm_many_page(many, i);

		sums[i] = crc_of(page, size);
		good = gpt_image_bytes_write(file, page, size,
									 pages_begin(prompt->n_pages) + (off_t) (i * size), NULL);
	}
	memcpy(header.magic, MAGIC, sizeof(header.magic));
	strlcpy(header.library, GPT_VERSION, sizeof(header.library));
	memcpy(header.key, prompt->key, GPT_SHA256_SIZE);
	header.sums_crc = crc_of(sums, sums_size);
	header.header_crc = crc_of(&header, offsetof(Header, header_crc));
	good = good && gpt_image_bytes_write(file, (char *) sums, sums_size, sizeof(Header), NULL) &&
		   gpt_image_bytes_write(file, (char *) &header, sizeof(header), 0, NULL);
	pfree(sums);
	return good;
}
