/*
 * src/train/membership_parts.c
 *
 * Pieces of a file go in, in order; a temporary file of the server with a known hash comes out. The
 * server removes such files at the end of the session, and after a crash when it starts.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "pgstat.h"

#include "core/compat.h"
#include "core/pulse.h"
#include "core/words.h"
#include "train/membership_private.h"

#define PIECE_SIZE (1024 * 1024)

GPT_WORDS(
	gpt_member_part_name, [GPT_PART_TOKENIZER] = "tokenizer", [GPT_PART_TOKENS] = "tokens",
	[GPT_PART_CHECKPOINT] = "checkpoint", [GPT_PART_UPDATE] = "update", [GPT_PART_KEPT] = "kept");

void
gpt_received_reset(GptReceived *part)
{
	if (part->file >= 0)
		FileClose(part->file);
	part->file = -1;
	part->size = 0;
}

static void
check_piece(const GptReceived *part, int number, int64 offset, size_t size, int64 most)
{
	const char *name = gpt_member_part_name(number);

	if (size > GPT_MEMBER_PIECE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a piece of %zu bytes is larger than %d", size, GPT_MEMBER_PIECE)));
	if (offset != 0 && offset != part->size)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("offset " INT64_FORMAT " of part \"%s\" does not follow", offset, name),
			 errdetail("The next piece begins at " INT64_FORMAT "; offset 0 begins the part again.",
					   part->size)));
	if ((int64) size > most - offset)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("part \"%s\" of a member has at most " INT64_FORMAT " bytes", name, most)));
}

void
gpt_received_append(GptReceived *part, int number, int64 offset, const void *bytes, size_t size,
					int64 most)
{
	check_piece(part, number, offset, size, most);
	if (part->bytes != NULL)
	{
		memcpy(part->bytes + offset, bytes, size);
		part->size = offset + (int64) size;
		return;
	}
	if (offset == 0)
		gpt_received_reset(part);
	if (part->file < 0)
		part->file = OpenTemporaryFile(true);
	errno = 0;
	if (FileWrite(part->file, unconstify(char *, (const char *) bytes), (int) size, offset,
				  gpt_wait_event("GptMemberWrite")) != (int) size)
	{
		errno = errno != 0 ? errno : ENOSPC;
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not write file \"%s\": %m", FilePathName(part->file))));
	}
	part->size = offset + (int64) size;
}

/* Adds the part from its beginning; false for an error of the library. */
static bool
hash_all(pg_cryptohash_ctx *hash, const GptReceived *part)
{
	uint8 *buffer = part->bytes == NULL ? palloc(PIECE_SIZE) : NULL;
	bool good = true;

	for (int64 done = 0; good && done < part->size; done += PIECE_SIZE)
	{
		int n = (int) Min(part->size - done, PIECE_SIZE);
		const uint8 *from = part->bytes + done;

		CHECK_FOR_INTERRUPTS();
		gpt_pulse();
		if (part->bytes == NULL)
		{
			from = buffer;
			if (FileRead(part->file, (char *) buffer, n, done, gpt_wait_event("GptMemberRead")) !=
				n)
				ereport(ERROR, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m",
																  FilePathName(part->file))));
		}
		good = pg_cryptohash_update(hash, from, n) >= 0;
	}
	if (buffer != NULL)
		pfree(buffer);
	return good;
}

void
gpt_received_read(const GptReceived *part, char *bytes)
{
	for (int64 done = 0; done < part->size; done += PIECE_SIZE)
	{
		int n = (int) Min(part->size - done, PIECE_SIZE);

		CHECK_FOR_INTERRUPTS();
		if (FileRead(part->file, bytes + done, n, done, gpt_wait_event("GptMemberRead")) != n)
			ereport(ERROR, (errcode_for_file_access(),
							errmsg("could not read file \"%s\": %m", FilePathName(part->file))));
	}
}

void
gpt_received_check(const GptReceived *part, int number, const uint8 *sha256)
{
	pg_cryptohash_ctx *hash;
	uint8 found[PG_SHA256_DIGEST_LENGTH];

	if (part->size == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the member has received no bytes of part \"%s\"",
							   gpt_member_part_name(number)),
						errhint("Send them with gpt_member_put first.")));
	hash = pg_cryptohash_create(PG_SHA256);
	if (hash == NULL || pg_cryptohash_init(hash) < 0 || !hash_all(hash, part) ||
		pg_cryptohash_final(hash, found, sizeof(found)) < 0)
		elog(ERROR, "could not compute sha256: %s", pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
	if (memcmp(found, sha256, sizeof(found)) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("part \"%s\" was altered or cut on its way to the member",
							   gpt_member_part_name(number)),
						errdetail("Its " INT64_FORMAT " bytes have another sha256 than announced.",
								  part->size)));
}
