/*
 * src/serve/image_file.c
 *
 * Finds, maps, makes and checks the files of images.
 *
 * A file is written under another name and renamed, so a file with the name of an image has been
 * complete once. There is no fsync: after a crash of the machine the server removes the files when
 * it starts. Sessions that need the same image wait for each other on a lock of the server. Such a
 * lock does not separate the processes of one parallel query, so these wait on flock() of the
 * unfinished file, which also shows whether the file has a writer.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/settings.h"
#include "core/version.h"
#include "serve/image_bytes.h"
#include "serve/image_file.h"
#include "serve/image_lock.h"

#define MAGIC "gpt imag"
#define FORMAT 1
#define HEADER_SIZE 4096 /* the image begins on a page */
#define POPULATE_SIZE (64 * 1024 * 1024)
#define POLL_MS 10
#define TOUCH_MS (60 * 1000)

typedef struct Header
{
	char magic[8];
	uint32 format;
	uint32 type;
	char library[16]; /* images of another build of the library are not read */
	uint64 size; /* of the image */
	uint8 sha256[GPT_SHA256_SIZE]; /* of the content */
	TimestampTz created_at;
	pg_crc32c image_crc;
	pg_crc32c header_crc; /* of the bytes before this one */
} Header;

typedef struct Mapping
{
	MemoryContextCallback callback;
	void *address;
	size_t size;
} Mapping;

/* The file of an image that is being filled, with its mapping. */
typedef struct Unfinished
{
	MemoryContextCallback callback;
	void *address; /* NULL: it is not mapped */
	size_t size;
	int file;
	bool complete; /* it has its final name, or none */
	char path[GPT_IMAGE_PATH_SIZE + sizeof(GPT_IMAGE_ASIDE)];
} Unfinished;

/* The wanted image, and the place of the result. */
typedef struct Search
{
	GptImage *image;
	const GptImageRequest *request;
	MemoryContext context;
	char aside[GPT_IMAGE_PATH_SIZE + sizeof(GPT_IMAGE_ASIDE)];
} Search;

static bool attach(const Search *search, bool verify);
static bool read_header(Header *header, int file);
static bool is_wanted(const Header *header, const struct stat *status, const Search *search);
static bool verify_content(int file, const Header *header);
static bool map(const Search *search, int file, const struct stat *status);
static void populate(char *address, size_t size);
static void unmap(void *arg);
static void make(const Search *search);
static bool fill(const Search *search, int file, MemoryContext memory);
static Unfinished *map_unfinished(const Search *search, int file, MemoryContext memory);
static void end_unfinished(void *arg);
static bool fits(const Search *search, size_t size);
static int open_aside(const Search *search, bool *attached);
static bool is_named(int file, const char *path);
static bool store(const Search *search, int file, const void *bytes);
static bool finish(const Search *search, int file, pg_crc32c image_crc);
static bool reserve(const Search *search, int file);
static bool set_time(int file, pg_crc32c crc);
static void warn(const Search *search, const char *detail);

void
gpt_image_get(GptImage *image, const GptImageRequest *request, MemoryContext context)
{
	Search search = {.image = image, .request = request, .context = context};

	memset(image, 0, sizeof(GptImage));
	gpt_image_path(image->path, request->sha256, request->type);
	snprintf(search.aside, sizeof(search.aside), "%s" GPT_IMAGE_ASIDE, image->path);
	image->size = request->size;
	if (!fits(&search, request->size))
	{
		image->bytes = request->build(&image->size, request->of, context);
		return;
	}
	image->found = attach(&search, false);
	if (image->found)
		return;
	gpt_image_lock(request->sha256, request->type);
	image->found = attach(&search, true);
	if (!image->found)
		make(&search);
	gpt_image_unlock(request->sha256, request->type);
}

static bool
fits(const Search *search, size_t size)
{
	bool does = size + HEADER_SIZE <= (uint64) gpt_settings_max_image_size();

	if (!does)
		warn(search, psprintf("It has %zu MB, gpt.max_image_size is " INT64_FORMAT " MB.",
							  (size >> 20) + 1, gpt_settings_max_image_size() >> 20));
	return does;
}

void
gpt_image_touch(GptImage *image)
{
	TimestampTz now = GetCurrentTimestamp();
	struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};

	if (!image->shared || now < image->used_at + TOUCH_MS * INT64CONST(1000))
		return;
	image->used_at = now;
	if (gpt_image_is_current(image))
		(void) utimensat(AT_FDCWD, image->path, times, AT_SYMLINK_NOFOLLOW);
}

bool
gpt_image_is_current(const GptImage *image)
{
	struct stat status;

	return !image->shared || (lstat(image->path, &status) == 0 && status.st_dev == image->device &&
							  status.st_ino == image->inode);
}

bool
gpt_image_file_describe(GptImageFile *file, const char *path)
{
	int descriptor = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | PG_BINARY);
	struct stat status;
	Header header;
	bool good;

	if (descriptor < 0)
		return false;
	good = fstat(descriptor, &status) == 0 && read_header(&header, descriptor) &&
		   header.type < GPT_IMAGE_KINDS;
	CloseTransientFile(descriptor);
	if (!good)
		return false;
	memcpy(file->sha256, header.sha256, GPT_SHA256_SIZE);
	file->type = (GptImageType) header.type;
	file->size = status.st_size;
	file->created_at = header.created_at;
	file->used_at = time_t_to_timestamptz(status.st_atim.tv_sec) + status.st_atim.tv_nsec / 1000;
	return true;
}

/* ---- What is there ------------------------------------------------------ */

/*
 * Maps the file where it is the wanted one. A time that does not fit says that somebody has written
 * to it: verify reads it whole then, which the lock lets one session do.
 */
static bool
attach(const Search *search, bool verify)
{
	int file = OpenTransientFile(search->image->path, O_RDONLY | O_NOFOLLOW | PG_BINARY);
	struct stat status;
	Header header;
	bool good;

	if (file < 0)
		return false;
	good = fstat(file, &status) == 0 && read_header(&header, file) &&
		   is_wanted(&header, &status, search);
	if (good && status.st_mtim.tv_sec != (time_t) header.image_crc)
		good = verify && verify_content(file, &header) && set_time(file, header.image_crc);
	good = good && map(search, file, &status);
	CloseTransientFile(file);
	return good;
}

static bool
read_header(Header *header, int file)
{
	pg_crc32c crc;

	if (pg_pread(file, header, sizeof(Header), 0) != sizeof(Header))
		return false;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, header, offsetof(Header, header_crc));
	FIN_CRC32C(crc);
	return EQ_CRC32C(crc, header->header_crc) &&
		   memcmp(header->magic, MAGIC, sizeof(header->magic)) == 0 && header->format == FORMAT;
}

/* A file that others than the server's user could have written is not believed. */
static bool
is_wanted(const Header *header, const struct stat *status, const Search *search)
{
	return S_ISREG(status->st_mode) && status->st_uid == geteuid() &&
		   (status->st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
		   (uint64) status->st_size == header->size + HEADER_SIZE &&
		   (search->request->size == 0 || header->size == search->request->size) &&
		   header->type == (uint32) search->request->type &&
		   strncmp(header->library, GPT_VERSION, sizeof(header->library)) == 0 &&
		   memcmp(header->sha256, search->request->sha256, GPT_SHA256_SIZE) == 0;
}

/* Reads the whole image and compares its CRC with the header; false for a short file as well. */
static bool
verify_content(int file, const Header *header)
{
	char *piece = palloc(GPT_IMAGE_PIECE);
	uint64 done = 0;
	pg_crc32c crc;

	INIT_CRC32C(crc);
	while (done < header->size)
	{
		size_t wanted = Min(header->size - done, GPT_IMAGE_PIECE);
		ssize_t n = pg_pread(file, piece, wanted, (off_t) (HEADER_SIZE + done));

		CHECK_FOR_INTERRUPTS();
		if (n <= 0)
			break;
		COMP_CRC32C(crc, piece, n);
		done += (uint64) n;
	}
	FIN_CRC32C(crc);
	pfree(piece);
	return done == header->size && EQ_CRC32C(crc, header->image_crc);
}

/* The context unmaps it. Nothing fails between the mapping and its being known to the context. */
static bool
map(const Search *search, int file, const struct stat *status)
{
	Mapping *mapping = MemoryContextAllocZero(search->context, sizeof(Mapping));
	GptImage *image = search->image;

	mapping->size = (size_t) status->st_size;
	mapping->address = mmap(NULL, mapping->size, PROT_READ, MAP_SHARED, file, 0);
	if (mapping->address == MAP_FAILED)
	{
		pfree(mapping);
		return false;
	}
	mapping->callback.func = unmap;
	mapping->callback.arg = mapping;
	MemoryContextRegisterResetCallback(search->context, &mapping->callback);
	image->bytes = (const char *) mapping->address + HEADER_SIZE;
	image->size = mapping->size - HEADER_SIZE;
	image->shared = true;
	image->device = status->st_dev;
	image->inode = status->st_ino;
	gpt_image_touch(image);
	populate(mapping->address, mapping->size);
	return true;
}

/*
 * A process that maps an image will read all of it. Entering its pages at once costs a third of the
 * page faults of the first call, and next to nothing with huge pages.
 */
static void
populate(char *address, size_t size)
{
#ifdef MADV_POPULATE_READ
	for (size_t done = 0; done < size; done += POPULATE_SIZE)
	{
		CHECK_FOR_INTERRUPTS();
		if (madvise(address + done, Min(size - done, POPULATE_SIZE), MADV_POPULATE_READ) != 0)
			return;
	}
#endif
}

static void
unmap(void *arg)
{
	const Mapping *mapping = arg;

	(void) munmap(mapping->address, mapping->size);
}

/* ---- Making it ---------------------------------------------------------- */

/*
 * Called with the lock: fills the file with the image, or builds the image in memory and stores it,
 * and maps the file if that is possible.
 */
static void
make(const Search *search)
{
	GptImage *image = search->image;
	MemoryContext memory =
		AllocSetContextCreate(search->context, "gpt image", ALLOCSET_DEFAULT_SIZES);
	bool attached = false;
	int file = open_aside(search, &attached);
	struct stat status;

	if (file >= 0 && search->request->fill != NULL)
	{
		attached =
			fill(search, file, memory) && fstat(file, &status) == 0 && map(search, file, &status);
		CloseTransientFile(file);
		file = -1;
	}
	if (!attached)
		image->bytes = search->request->build(&image->size, search->request->of, memory);
	if (file >= 0)
	{
		bool good = fits(search, image->size);

		if (good && !store(search, file, image->bytes))
		{
			warn(search, psprintf("Could not write file \"%s\": %m.", search->aside));
			good = false;
		}
		if (!good)
			(void) unlink(search->aside);
		attached = good && fstat(file, &status) == 0 && map(search, file, &status);
		CloseTransientFile(file);
	}
	if (attached)
		MemoryContextDelete(memory);
}

/*
 * Fills the file through a mapping, so that the image needs no memory of the session. The space is
 * reserved before: a full disk is noticed there, not by a signal in the mapping. False if the file
 * cannot be written; then it is removed. So it is after an error, by the context.
 */
static bool
fill(const Search *search, int file, MemoryContext memory)
{
	Unfinished *unfinished = map_unfinished(search, file, memory);
	size_t size = search->image->size;

	if (unfinished->address != NULL)
	{
		char *bytes = (char *) unfinished->address + HEADER_SIZE;
		pg_crc32c crc;

		search->request->fill(bytes, search->request->of);
		crc = gpt_image_bytes_crc(bytes, size);
		(void) munmap(unfinished->address, unfinished->size);
		unfinished->address = NULL;
		unfinished->complete = finish(search, file, crc);
	}
	if (unfinished->complete)
		return true;
	warn(search, psprintf("Could not write file \"%s\": %m.", search->aside));
	(void) unlink(search->aside);
	unfinished->complete = true;
	return false;
}

/* Reserves and maps the file; the address is NULL, with errno, if that is not possible. */
static Unfinished *
map_unfinished(const Search *search, int file, MemoryContext memory)
{
	Unfinished *unfinished = MemoryContextAllocZero(memory, sizeof(Unfinished));
	void *address;

	unfinished->size = search->image->size + HEADER_SIZE;
	unfinished->file = file;
	strlcpy(unfinished->path, search->aside, sizeof(unfinished->path));
	unfinished->callback.func = end_unfinished;
	unfinished->callback.arg = unfinished;
	MemoryContextRegisterResetCallback(memory, &unfinished->callback);
	if (!reserve(search, file))
		return unfinished;
	address = mmap(NULL, unfinished->size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (address == MAP_FAILED)
		return unfinished;
	unfinished->address = address;
#ifdef MADV_HUGEPAGE
	(void) madvise(address, unfinished->size, MADV_HUGEPAGE);
#endif
	return unfinished;
}

/*
 * Runs when the context goes, after an error too. The file, and with it the lock on it, may be
 * closed by then or not; if it is, another session may have begun to write it.
 */
static void
end_unfinished(void *arg)
{
	Unfinished *unfinished = arg;
	int file;

	if (unfinished->address != NULL)
		(void) munmap(unfinished->address, unfinished->size);
	if (unfinished->complete)
		return;
	if (is_named(unfinished->file, unfinished->path))
	{
		(void) unlink(unfinished->path);
		return;
	}
	file = open(unfinished->path, O_RDWR | O_NOFOLLOW | PG_BINARY);
	if (file < 0)
		return;
	if (flock(file, LOCK_EX | LOCK_NB) == 0 && is_named(file, unfinished->path))
		(void) unlink(unfinished->path);
	close(file);
}

/*
 * Opens the unfinished file for writing, locked; -1 if there can be none. If another process of the
 * same parallel query writes it, waits for that process, and sets *attached after mapping its
 * image.
 */
static int
open_aside(const Search *search, bool *attached)
{
	if (MakePGDirectory(GPT_IMAGE_DIRECTORY) != 0 && errno != EEXIST)
	{
		warn(search, psprintf("Could not create directory \"%s\": %m.", GPT_IMAGE_DIRECTORY));
		return -1;
	}
	for (;;)
	{
		int file = OpenTransientFile(search->aside, O_RDWR | O_CREAT | O_NOFOLLOW | PG_BINARY);

		if (file < 0)
		{
			warn(search, psprintf("Could not create file \"%s\": %m.", search->aside));
			return -1;
		}
		if (flock(file, LOCK_EX | LOCK_NB) == 0 && is_named(file, search->aside))
			return file;
		CloseTransientFile(file);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS,
						 gpt_wait_event("GptImageBuild"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		*attached = attach(search, true);
		if (*attached)
			return -1;
	}
}

/* It may have got its final name, or been removed, between the opening and the lock. */
static bool
is_named(int file, const char *path)
{
	struct stat status;
	struct stat named;

	return fstat(file, &status) == 0 && lstat(path, &named) == 0 && status.st_dev == named.st_dev &&
		   status.st_ino == named.st_ino;
}

/* Writes an image that was built in memory. False with errno if the file cannot be written. */
static bool
store(const Search *search, int file, const void *bytes)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	if (!reserve(search, file) ||
		!gpt_image_bytes_write(file, bytes, search->image->size, HEADER_SIZE, &crc))
		return false;
	FIN_CRC32C(crc);
	return finish(search, file, crc);
}

/*
 * The header is written last: a file without one is not complete. False with errno if the file
 * cannot be written.
 */
static bool
finish(const Search *search, int file, pg_crc32c image_crc)
{
	Header header = {.format = FORMAT,
					 .type = search->request->type,
					 .size = search->image->size,
					 .image_crc = image_crc};

	memcpy(header.magic, MAGIC, sizeof(header.magic));
	strlcpy(header.library, GPT_VERSION, sizeof(header.library));
	memcpy(header.sha256, search->request->sha256, GPT_SHA256_SIZE);
	header.created_at = GetCurrentTimestamp();
	INIT_CRC32C(header.header_crc);
	COMP_CRC32C(header.header_crc, &header, offsetof(Header, header_crc));
	FIN_CRC32C(header.header_crc);
	if (!gpt_image_bytes_write(file, (const char *) &header, sizeof(header), 0, NULL) ||
		!set_time(file, header.image_crc) || rename(search->aside, search->image->path) != 0)
		return false;
	ereport(DEBUG1, (errmsg_internal("made image \"%s\" of %s", search->image->path,
									 search->request->what)));
	return true;
}

/*
 * Reserves the space before writing, so that other sessions that make room count it, and a full
 * disk shows at once.
 */
static bool
reserve(const Search *search, int file)
{
	int result = ENOSPC;

	gpt_image_room_lock();
	if (gpt_image_make_room(search->image->size + HEADER_SIZE, search->aside) &&
		ftruncate(file, 0) == 0)
	{
		while ((result = posix_fallocate(file, 0, (off_t) (search->image->size + HEADER_SIZE))) ==
			   EINTR)
			CHECK_FOR_INTERRUPTS();
	}
	gpt_image_room_unlock();
	errno = result;
	return result == 0;
}

/* The time of the last access is now. */
static bool
set_time(int file, pg_crc32c crc)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = (time_t) crc}};

	return futimens(file, times) == 0;
}

static void
warn(const Search *search, const char *detail)
{
	static bool warned = false;

	if (!warned)
		ereport(WARNING, (errmsg("sessions do not share the image of %s", search->request->what),
						  errdetail("%s", detail),
						  errhint("Each session that uses it needs the memory for itself.")));
	warned = true;
}
