/*
 * src/corpus/token_file_map.c
 *
 * Maps the complete token file of a run for reading.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "corpus/token_file.h"
#include "store/run_files.h"

#define MAGIC_SIZE 8
#define PIECE_SIZE (1024 * 1024) /* read at once */

/* Earlier forms of the file: without prompts and weights, without labels, without sets of labels.
 */
static bool
is_old(const char *magic)
{
	return memcmp(magic, "gpt tok", MAGIC_SIZE - 1) == 0 && magic[MAGIC_SIZE - 1] >= '1' &&
		   magic[MAGIC_SIZE - 1] <= '3';
}

bool
gpt_token_file_exists(const pg_uuid_t *run_id)
{
	char magic[MAGIC_SIZE];
	int file = BasicOpenFile(gpt_run_file_path(run_id, GPT_TOKENS, ""), O_RDONLY | PG_BINARY);
	bool exists = file >= 0;

	if (exists)
	{
		exists = pread(file, magic, sizeof(magic), 0) != (ssize_t) sizeof(magic) || !is_old(magic);
		close(file);
	}
	return exists;
}

void
gpt_token_file_load(LmDataset *dataset, File file)
{
	int64 size = FileSize(file);
	char *base = size < 0 ? NULL : MemoryContextAllocHuge(CurrentMemoryContext, (Size) size);
	int64 done = 0;
	LmError error;

	while (done < size)
	{
		int n = FileRead(file, base + done, (int) Min(size - done, PIECE_SIZE), done,
						 gpt_wait_event("GptTokenFileRead"));

		CHECK_FOR_INTERRUPTS();
		if (n <= 0)
			break;
		done += n;
	}
	if (size < 0 || done < size)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read file \"%s\": %m", FilePathName(file))));
	FileClose(file);
	if (!lm_dataset_open(dataset, base, (size_t) size, &error))
		gpt_bridge_raise(&error);
}

/* what: it, in an error of its content. */
static void
map_file(LmDataset *dataset, const char *path, const char *what)
{
	int file = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	struct stat status;
	void *base;
	LmError error;

	if (file < 0 || fstat(file, &status) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path)));
	base = mmap(NULL, status.st_size, PROT_READ, MAP_SHARED, file, 0);
	close(file);
	if (base == MAP_FAILED)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not map file \"%s\": %m", path)));
	if (!lm_dataset_open(dataset, base, status.st_size, &error))
	{
		munmap(base, status.st_size);
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("%s is corrupted: %s", what, error.message)));
	}
}

void
gpt_token_file_open(LmDataset *dataset, const pg_uuid_t *run_id)
{
	const char *path = gpt_run_file_path(run_id, GPT_TOKENS, "");

	map_file(dataset, path, psprintf("file \"%s\"", path));
}

void
gpt_token_file_take(LmDataset *dataset, File received)
{
	map_file(dataset, pstrdup(FilePathName(received)), "the token file");
	FileClose(received);
}

void
gpt_token_file_close(LmDataset *dataset)
{
	munmap(unconstify(void *, dataset->base), dataset->size);
	dataset->base = NULL;
}
