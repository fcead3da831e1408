/*
 * src/serve/prompt_seen.c
 *
 * Hashes of beginnings go in, and whether they were there comes out (src/serve/prompt_seen.h).
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "storage/fd.h"

#include "serve/prompt_seen.h"
#include "store/prompt_directory.h"

static off_t
place_of(uint64 hash)
{
	return (off_t) (hash % GPT_PROMPTS_SEEN * sizeof(uint64));
}

void
gpt_prompts_see(bool *seen, const uint64 *hashes, int n)
{
	int file;

	memset(seen, 0, n * sizeof(bool));
	if (MakePGDirectory(GPT_IMAGE_DIRECTORY) != 0 && errno != EEXIST)
		return;
	file = OpenTransientFile(GPT_PROMPTS_SEEN_PATH, O_RDWR | O_CREAT | O_NOFOLLOW | PG_BINARY);
	if (file < 0)
		return;
	for (int i = 0; i < n; i++)
	{
		uint64 there = 0;

		if (pg_pread(file, &there, sizeof(there), place_of(hashes[i])) == sizeof(there))
			seen[i] = there == hashes[i];
		if (!seen[i])
			(void) !pg_pwrite(file, &hashes[i], sizeof(hashes[i]), place_of(hashes[i]));
	}
	CloseTransientFile(file);
}
