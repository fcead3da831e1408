/*
 * src/remote/distribute.c
 *
 * The sender of a version (include/remote/distribute.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/statement.h"
#include "remote/distribute.h"
#include "store/tokenizer_json.h"
#include "store/weights_header.h"

typedef struct Sender
{
	GptRemote *remote;
	const char *put; /* the statements */
	const char *take;
	int64 sent;
} Sender;

static char *facts_of(const GptVersion *version, size_t tokenizer_size);
static bool is_there(const Sender *sender, const char *facts, const GptVersion *version);
static void send_bytes(Sender *sender, const char *bytes, size_t size);
static void send_weights(Sender *sender, const GptVersion *version);

/* An error leaves the transaction there without its end: the connection closes, and it is undone.
 */
int64
gpt_distribute_send(GptRemote *remote, const GptVersion *version)
{
	const char *schema = gpt_remote_schema(remote);
	Sender sender = {.remote = remote};
	size_t size;
	char *tokenizer = gpt_tokenizer_to_json(gpt_catalog_read_tokenizer(version->tokenizer), &size);
	char *facts = facts_of(version, size);

	sender.put = psprintf("SELECT %s.gpt_distribute_put($1, $2)", schema);
	sender.take = psprintf("SELECT %s.gpt_distribute_take($1)", schema);
	gpt_remote_query(remote, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", 0, NULL);
	if (!is_there(&sender, facts, version))
	{
		send_bytes(&sender, tokenizer, size);
		send_weights(&sender, version);
		if (!is_there(&sender, facts, version))
			ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
							errmsg("server \"%s\" has not taken version %d of model \"%s\"",
								   gpt_remote_name(remote), version->version, version->model)));
	}
	gpt_remote_query(remote, "COMMIT", 0, NULL);
	pfree(tokenizer);
	pfree(facts);
	return sender.sent;
}

/* As the text of a JSON object. */
static char *
facts_of(const GptVersion *version, size_t tokenizer_size)
{
	GptStatement statement;
	char *facts;

	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, version->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(version->version));
	gpt_statement_add_hash(&statement, version->sha256);
	gpt_statement_add(&statement, INT8OID, Int64GetDatum((int64) tokenizer_size));
	if (gpt_statement_run(
			&statement,
			"SELECT pg_catalog.jsonb_build_object('model', v.model, 'version', v.version, "
			"'run_id', "
			"v.run_id, 'size', v.size, 'sha256', pg_catalog.encode(v.sha256, 'hex'), 'tokenizer', "
			"pg_catalog.encode(v.tokenizer, 'hex'), 'tokenizer_size', $4, 'config', v.config, "
			"'task', v.task, 'loss', v.loss, 'validation_loss', v.validation_loss, "
			"'validation_bits_per_byte', v.validation_bits_per_byte, 'base', v.base, "
			"'base_version', v.base_version, 'base_sha256', pg_catalog.encode(v.base_sha256, "
			"'hex'), 'search', pg_catalog.encode(v.search, 'hex'), 'image_type', m.image_type, "
			"'current', coalesce(m.version = v.version, false))::text FROM %1$s.gpt_version v JOIN "
			"%1$s.gpt_model m USING (model) WHERE v.model = $1 AND v.version = $2 AND v.sha256 = "
			"$3 AND v.state <> 'partial'") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("version %d of model \"%s\" is partial", version->version, version->model),
				 errdetail("Only the last version of a training is distributed.")));
	facts = gpt_statement_text(&statement, 0, 1);
	gpt_statement_end(&statement);
	return facts;
}

/* Whether the server has the version now. Its answer is a number, or NULL; nothing else counts. */
static bool
is_there(const Sender *sender, const char *facts, const GptVersion *version)
{
	const GptRemoteValue value = {.type = JSONBOID, .bytes = facts};
	PGresult *result = gpt_remote_query(sender->remote, sender->take, 1, &value);

	if (PQntuples(result) == 1 && PQnfields(result) == 1)
	{
		if (PQgetisnull(result, 0, 0))
			return false;
		if (strcmp(PQgetvalue(result, 0, 0), psprintf("%d", version->version)) == 0)
			return true;
	}
	ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
					errmsg("server \"%s\" gave an answer that gpt does not give",
						   gpt_remote_name(sender->remote))));
}

static void
send_bytes(Sender *sender, const char *bytes, size_t size)
{
	for (size_t at = 0; at < size; at += GPT_DISTRIBUTE_PIECE)
	{
		char *offset = psprintf(INT64_FORMAT, sender->sent);
		int n = (int) Min(size - at, GPT_DISTRIBUTE_PIECE);
		const GptRemoteValue values[] = {
			{.type = INT8OID, .bytes = offset},
			{.type = BYTEAOID, .bytes = bytes + at, .size = n, .is_binary = true}};

		gpt_remote_query(sender->remote, sender->put, 2, values);
		sender->sent += n;
		pfree(offset);
	}
}

/* The receiver compares the hash as well; here the error says which side is at fault. */
static void
send_weights(Sender *sender, const GptVersion *version)
{
	GptBlob *blob = gpt_blob_open(version->weights, true);
	char *piece = palloc(GPT_DISTRIBUTE_PIECE);
	uint8 sha256[GPT_SHA256_SIZE];
	size_t n;

	if (blob == NULL)
		gpt_weights_corrupt(version, "The large object does not exist.");
	while ((n = gpt_blob_read(blob, piece, GPT_DISTRIBUTE_PIECE)) > 0)
		send_bytes(sender, piece, n);
	pfree(piece);
	if (gpt_blob_close(blob, sha256) != version->size ||
		memcmp(sha256, version->sha256, GPT_SHA256_SIZE) != 0)
		gpt_weights_corrupt(version, "The content hash differs from that of the catalog.");
}
