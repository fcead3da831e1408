/*
 * src/train/members_parts.c
 *
 * Files of the run and updates go to the members in pieces; their differences come back in pieces.
 * All members are served at once, piece by piece. What a member answers is checked.
 */
#include "postgres.h"

#include <fcntl.h>

#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#include "core/compat.h"
#include "core/json_tree.h"
#include "core/transaction.h"
#include "engine/outer.h"
#include "store/blob.h"
#include "store/run_files.h"
#include "train/members_private.h"
#include "train/membership.h"

#define PIECE_SIZE (1024 * 1024) /* small, so that a slow network shows that it lives */

/* ---- Sending ------------------------------------------------------------------------ */

static void
put(GptMembers *members, GptMember *member, const char *part, int64 offset, const uint8 *bytes,
	size_t size)
{
	char place[32];
	GptRemoteValue values[] = {
		{.bytes = part},
		{.bytes = place},
		{.type = BYTEAOID, .bytes = bytes, .size = (int) size, .is_binary = true}};

	snprintf(place, sizeof(place), INT64_FORMAT, offset);
	gpt_members_ask(members, member, "gpt_member_put($1::text, $2::bigint, $3)", lengthof(values),
					values);
}

/* Members that keep states are told which one the coordinator has. */
static void
take(GptMembers *members, GptMember *member, const char *part, const uint8 *sha256)
{
	char options[64];
	GptRemoteValue values[] = {
		{.bytes = part},
		{.type = BYTEAOID, .bytes = sha256, .size = GPT_BLOB_HASH_SIZE, .is_binary = true},
		{.bytes = NULL}};

	if (members->keeps && members->saved_step >= 0)
	{
		snprintf(options, sizeof(options), "{\"also\": " INT64_FORMAT "}", members->saved_step);
		values[2].bytes = options;
	}
	gpt_members_ask(members, member, "gpt_member_take($1::text, $2, $3::jsonb)", lengthof(values),
					values);
}

/* Which flag says that a member has the file. */
static bool *
flag_of(GptMember *member, const char *extension)
{
	return strcmp(extension, GPT_TOKENS) == 0 ? &member->has_tokens : &member->has_state;
}

static bool
is_missing(const GptMembers *members, const char *extension)
{
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL && !*flag_of(member, extension))
			return true;
	}
	return false;
}

static File
open_file(const GptMembers *members, const char *extension)
{
	char *path = gpt_run_file_path(&members->job->run_id, extension, "");
	File file = PathNameOpenFile(path, O_RDONLY | PG_BINARY);

	if (file < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path)));
	return file;
}

/* The next piece of the file; 0 at its end. */
static size_t
read_piece(uint8 *buffer, File file, off_t offset)
{
	int n = FileRead(file, (char *) buffer, PIECE_SIZE, offset, gpt_wait_event("GptMembersRead"));

	if (n < 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read file \"%s\": %m", FilePathName(file))));
	return (size_t) n;
}

/* OpenSSL's digests belong to a transaction. */
static void
hash_file(uint8 *sha256, File file, uint8 *buffer)
{
	GptTransaction transaction;
	pg_cryptohash_ctx *digest;
	off_t offset = 0;
	bool good;
	size_t n;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	digest = pg_cryptohash_create(PG_SHA256);
	good = digest != NULL && pg_cryptohash_init(digest) >= 0;
	while (good && (n = read_piece(buffer, file, offset)) > 0)
	{
		good = pg_cryptohash_update(digest, buffer, n) >= 0;
		offset += (off_t) n;
		CHECK_FOR_INTERRUPTS();
	}
	if (!good || pg_cryptohash_final(digest, sha256, GPT_BLOB_HASH_SIZE) < 0)
		elog(ERROR, "could not compute sha256: %s", pg_cryptohash_error(digest));
	pg_cryptohash_free(digest);
	gpt_transaction_commit(&transaction);
}

static void
hash_bytes(uint8 *sha256, const uint8 *bytes, size_t size)
{
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_blob_hash(sha256, bytes, size);
	gpt_transaction_commit(&transaction);
}

static void
check_number(const GptMember *member, const char *name, int64 wanted, const char *otherwise)
{
	if (gpt_members_number(member, name, PG_INT64_MAX / 2) != wanted)
		gpt_members_raise_answer(member, otherwise);
}

/* A member that has taken the tokens says what they are. */
static void
check_tokens(const GptMembers *members, const GptMember *member)
{
	const LmDatasetHeader *header = members->corpus->dataset.header;

	check_number(member, "vocabulary", header->vocabulary, "Its tokenizer is another one.");
	check_number(member, "tokens", (int64) header->n_tokens, "Its tokens are others.");
	check_number(member, "windows", (int64) header->n_train_windows, "Its tokens are others.");
}

/* One that has taken the checkpoint has its step and its weights. */
static void
check_state(const GptMembers *members, const GptMember *member)
{
	check_number(member, "step", members->supplied_step, "It is at another step.");
	check_number(member, "crc", members->supplied_crc,
				 "Its weights are not those of the other servers.");
}

void
gpt_members_send_file(GptMembers *members, const char *part, const char *extension)
{
	uint8 sha256[GPT_BLOB_HASH_SIZE];
	uint8 *buffer;
	off_t offset = 0;
	File file;
	size_t n;

	if (!is_missing(members, extension))
		return;
	buffer = palloc(PIECE_SIZE);
	file = open_file(members, extension);
	hash_file(sha256, file, buffer);
	while ((n = read_piece(buffer, file, offset)) > 0)
	{
		for (int i = 0; i < members->n; i++)
		{
			GptMember *member = &members->members[i];

			if (member->work != NULL && !*flag_of(member, extension))
				put(members, member, part, offset, buffer, n);
		}
		gpt_members_gather(members);
		offset += (off_t) n;
	}
	FileClose(file);
	pfree(buffer);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL && !*flag_of(member, extension))
			take(members, member, part, sha256);
	}
	gpt_members_gather(members);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work == NULL || *flag_of(member, extension))
			continue;
		if (strcmp(extension, GPT_TOKENS) == 0)
			check_tokens(members, member);
		else
			check_state(members, member);
		*flag_of(member, extension) = true;
		member->had_state = member->had_state || member->has_state;
	}
}

void
gpt_members_supply_data(GptMembers *members)
{
	if (members->is_local)
		gpt_members_supply_rows(members);
	else
		gpt_members_send_file(members, "tokens", GPT_TOKENS);
}

void
gpt_members_send_tokenizer(GptMembers *members, LmBytes tokenizer, const char *options)
{
	const uint8 *data = (const uint8 *) tokenizer.data;
	uint8 sha256[GPT_BLOB_HASH_SIZE];
	GptRemoteValue values[] = {
		{.bytes = "tokenizer"},
		{.type = BYTEAOID, .bytes = sha256, .size = GPT_BLOB_HASH_SIZE, .is_binary = true},
		{.bytes = options}};

	hash_bytes(sha256, data, tokenizer.size);
	for (size_t offset = 0; offset < tokenizer.size; offset += PIECE_SIZE)
	{
		for (int i = 0; i < members->n; i++)
		{
			GptMember *member = &members->members[i];

			if (member->work != NULL && !member->has_tokens)
				put(members, member, "tokenizer", (int64) offset, data + offset,
					Min(tokenizer.size - offset, PIECE_SIZE));
		}
		gpt_members_gather(members);
	}
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL && !member->has_tokens)
			gpt_members_ask(members, member, "gpt_member_take($1::text, $2, $3::jsonb)",
							lengthof(values), values);
	}
	gpt_members_gather(members);
	for (int i = 0; options != NULL && i < members->n; i++)
	{
		const GptMember *member = &members->members[i];

		if (member->work != NULL && !member->has_tokens)
			check_number(member, "vocabulary", members->corpus->dataset.header->vocabulary,
						 "Its tokenizer is another one.");
	}
}

static bool
lacks_update(const GptMember *member)
{
	return member->ran && !member->updated;
}

void
gpt_members_send_update(GptMembers *members, uint32 crc)
{
	const uint8 *update = members->packed;
	uint8 sha256[GPT_BLOB_HASH_SIZE];

	hash_bytes(sha256, members->packed, members->update_size);
	for (size_t offset = 0; offset < members->update_size; offset += PIECE_SIZE)
	{
		for (int i = 0; i < members->n; i++)
		{
			if (lacks_update(&members->members[i]))
				put(members, &members->members[i], "update", (int64) offset, update + offset,
					Min(members->update_size - offset, PIECE_SIZE));
		}
		gpt_members_gather(members);
	}
	for (int i = 0; i < members->n; i++)
	{
		if (lacks_update(&members->members[i]))
			take(members, &members->members[i], "update", sha256);
	}
	gpt_members_gather(members);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (!lacks_update(member))
			continue;
		if (gpt_members_number(member, "crc", PG_UINT32_MAX) != (int64) crc)
			gpt_members_raise_answer(member, "Its weights are not those of the other servers.");
		member->updated = true;
	}
}

/* True or false in an answer; false where it is missing. */
static bool
is_true(const GptJson *answer, const char *name)
{
	const GptJson *field = answer == NULL ? NULL : gpt_json_field(answer, name);

	return field != NULL && field->type == GPT_JSON_TRUE;
}

/* What an answer to part "kept" says; an error there was forgiven. */
static void
read_found(const GptMembers *members, GptMember *member)
{
	const GptJson *answer;

	if (gpt_members_sqlstate(member->result) != 0)
	{
		ereport(
			LOG,
			(errmsg("server \"%s\" cannot use what it has kept of job " INT64_FORMAT " of gpt: %s",
					member->row.server, members->job->number, gpt_remote_message(member->work))));
		return;
	}
	answer = gpt_members_answer(member);
	member->has_state = is_true(answer, "found");
	member->has_other_rows = is_true(answer, "changed");
}

void
gpt_members_take_kept(GptMembers *members, int64 step, uint32 crc)
{
	char options[128];
	GptRemoteValue value = {.bytes = options};

	snprintf(options, sizeof(options),
			 "{\"step\": " INT64_FORMAT ", \"crc\": %u, \"also\": " INT64_FORMAT "}", step, crc,
			 members->saved_step >= 0 ? members->saved_step : step);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work == NULL || !member->has_tokens || member->has_state ||
			!(member->had_state || members->is_continued) || (members->in_round && member->missed))
			continue;
		gpt_members_ask(members, member, "gpt_member_take('kept'::text, NULL::bytea, $1::jsonb)", 1,
						&value);
		member->forgives = member->work != NULL;
	}
	gpt_members_gather(members);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (!member->forgives)
			continue;
		member->forgives = false;
		read_found(members, member);
	}
}

/* ---- Fetching ----------------------------------------------------------------------- */

/* Copies a piece of a difference. */
static void
keep_piece(const GptMembers *members, GptMember *member, size_t offset, size_t size)
{
	if (PQntuples(member->result) != 1 || PQnfields(member->result) != 1 ||
		PQgetisnull(member->result, 0, 0) || PQfformat(member->result, 0) != 1 ||
		PQgetlength(member->result, 0, 0) != (int) size)
		gpt_members_raise_answer(member,
								 psprintf("A piece of its difference has not %zu bytes.", size));
	memcpy(member->packed + offset, PQgetvalue(member->result, 0, 0), size);
}

static void
check_hash(const GptMembers *members, const GptMember *member)
{
	uint8 sha256[GPT_BLOB_HASH_SIZE];
	char hex[2 * GPT_BLOB_HASH_SIZE + 1];

	hash_bytes(sha256, member->packed, members->difference_size);
	hex[hex_encode((const char *) sha256, sizeof(sha256), hex)] = '\0';
	if (strcmp(hex, member->sha256) != 0)
		gpt_members_raise_answer(member,
								 "Its difference was altered, or is that of another round.");
}

/* What it has fetched it keeps, also of a member that makes the round again. */
static bool
lacks_difference(const GptMember *member)
{
	return member->ran && !member->fetched;
}

void
gpt_members_fetch(GptMembers *members)
{
	LmError error;

	for (size_t offset = 0; offset < members->difference_size; offset += PIECE_SIZE)
	{
		size_t size = Min(members->difference_size - offset, PIECE_SIZE);
		char place[32];
		char length[32];
		GptRemoteValue values[] = {{.bytes = place}, {.bytes = length}};

		snprintf(place, sizeof(place), "%zu", offset);
		snprintf(length, sizeof(length), "%zu", size);
		for (int i = 0; i < members->n; i++)
		{
			if (lacks_difference(&members->members[i]))
				gpt_members_ask(members, &members->members[i],
								"gpt_member_delta($1::bigint, $2::integer)", lengthof(values),
								values);
		}
		gpt_members_gather(members);
		for (int i = 0; i < members->n; i++)
		{
			if (lacks_difference(&members->members[i]))
				keep_piece(members, &members->members[i], offset, size);
		}
	}
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (!lacks_difference(member))
			continue;
		check_hash(members, member);
		if (!lm_outer_check(member->packed, members->difference_size, members->total,
							GPT_DIFFERENCE_BITS, members->engine, &error))
			gpt_members_raise_answer(member, error.message);
		member->fetched = true;
	}
}
