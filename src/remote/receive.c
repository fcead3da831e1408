/*
 * src/remote/receive.c
 *
 * The receiver of a version (include/remote/distribute.h). All that comes is anybody's.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "core/compat.h"
#include "core/statement.h"
#include "remote/distribute.h"
#include "remote/facts.h"
#include "store/catalog_model.h"
#include "store/import.h"
#include "store/import_tokenizer.h"
#include "store/tokenizer_json.h"

#define PIECE_SIZE (256 * 1024)

/*
 * What this transaction has received. A subtransaction that aborts takes what it began with it; one
 * that ends well leaves it to the transaction around it. That is how memory of a transaction lives,
 * so the file is closed with it. A resource owner would close it at the end of the subtransaction,
 * and leave its number, which soon is that of another file, to the next piece.
 */
static struct
{
	File file; /* -1: nothing */
	int64 size;
	int64 at; /* where reading goes on */
	const MemoryContextCallback *callback; /* of the transaction that began */
} received = {.file = -1};

static void begin(void);
static void close_file(void);
static void forget(void *argument);
static void write_bytes(const void *bytes, size_t size);
static void read_bytes(char *bytes, size_t size);
static bool find(const GptSentVersion *facts);
static void check_owner(const GptVersion *version);
static void adopt(const GptSentVersion *facts, const GptVersion *version);
static void store_tokenizer(const GptSentVersion *facts);
static void publish(const GptSentVersion *facts);
static void write_weights(GptBlob *blob, void *context, const pg_uuid_t *run_id);
static void check_published(const GptSentVersion *facts, const LmParamTable *table);
static void set_task(const GptSentVersion *facts);

void
gpt_distribute_put_bytes(int64 offset, const void *bytes, size_t size)
{
	if (size > GPT_DISTRIBUTE_MOST)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a piece has %zu bytes, the limit is %d", size, GPT_DISTRIBUTE_MOST)));
	if (offset == 0)
		begin();
	if (received.file < 0 || offset != received.size)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the piece at " INT64_FORMAT " is not the next one", offset),
						errdetail("This transaction has received " INT64_FORMAT " bytes.",
								  received.file < 0 ? 0 : received.size)));
	write_bytes(bytes, size);
}

/* temp_file_limit counts the file; it has no name once it is closed. */
static void
begin(void)
{
	MemoryContextCallback *callback =
		MemoryContextAllocZero(CurTransactionContext, sizeof(MemoryContextCallback));

	close_file();
	received.size = 0;
	received.callback = callback->arg = callback;
	callback->func = forget;
	MemoryContextRegisterResetCallback(CurTransactionContext, callback);
	received.file = OpenTemporaryFile(true);
}

static void
close_file(void)
{
	if (received.file >= 0)
		FileClose(received.file);
	received.file = -1;
}

static void
forget(void *argument)
{
	if (received.callback == argument)
		close_file();
}

static void
write_bytes(const void *bytes, size_t size)
{
	errno = 0;
	if (FileWrite(received.file, unconstify(char *, (const char *) bytes), (int) size,
				  received.size, gpt_wait_event("GptDistributeWrite")) != (int) size)
	{
		errno = errno != 0 ? errno : ENOSPC;
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not write file \"%s\": %m", FilePathName(received.file))));
	}
	received.size += (int64) size;
}

static void
read_bytes(char *bytes, size_t size)
{
	for (size_t done = 0; done < size;)
	{
		size_t n = Min(size - done, PIECE_SIZE);

		CHECK_FOR_INTERRUPTS();
		if (FileRead(received.file, bytes + done, (int) n, received.at,
					 gpt_wait_event("GptDistributeRead")) != (int) n)
			gpt_distribute_refuse("Bytes are missing.");
		received.at += (int64) n;
		done += n;
	}
}

int32
gpt_distribute_take_version(Datum jsonb)
{
	GptSentVersion facts = {0};

	gpt_distribute_read_facts(&facts, jsonb);
	gpt_model_check_unused(list_make1(facts.model));
	gpt_catalog_check_model_name(facts.model);
	if (find(&facts))
		return facts.version;
	if (received.file < 0)
		return 0;
	if (received.size != facts.tokenizer_size + facts.size)
		gpt_distribute_refuse("The number of bytes is another one.");
	received.at = 0;
	store_tokenizer(&facts);
	publish(&facts);
	close_file();
	return facts.version;
}

/* ---- What is there ------------------------------------------------------ */

/* Whether the model has the version; it becomes the current one where it is that of the sender. */
static bool
find(const GptSentVersion *facts)
{
	GptVersion *version;

	PushActiveSnapshot(GetLatestSnapshot());
	version = gpt_catalog_version(psprintf("%s@%d", facts->model, facts->version), true);
	if (version != NULL)
	{
		check_owner(version);
		gpt_catalog_check_use(version);
		if (memcmp(version->sha256, facts->sha256, GPT_SHA256_SIZE) != 0 ||
			memcmp(version->tokenizer, facts->tokenizer, GPT_SHA256_SIZE) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("version %d of model \"%s\" is another one on this server",
							facts->version, facts->model),
					 errhint("Remove the model on this server with gpt_drop_model, or distribute a"
							 " copy of another name (gpt_copy_model).")));
		adopt(facts, version);
	}
	PopActiveSnapshot();
	return version != NULL;
}

/* The privilege to use a model of somebody else would not help. */
static void
check_owner(const GptVersion *version)
{
	if (!gpt_blob_can_use(version->weights) &&
		!has_privs_of_role(GetUserId(), gpt_blob_owner(version->weights)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("model \"%s\" belongs to another role on this server", version->model),
				 errhint("Distribute a copy of another name (gpt_copy_model), or let the user "
						 "mapping name the owner.")));
}

static void
adopt(const GptSentVersion *facts, const GptVersion *version)
{
	const GptVersion *current = gpt_catalog_version(facts->model, true);

	if (facts->current && (current == NULL || current->version != version->version))
		gpt_catalog_rollback(facts->model, version->version);
	if (version->image_type != facts->image_type)
		gpt_catalog_set_image_type(facts->model, facts->image_type);
}

/* ---- What comes --------------------------------------------------------- */

/* The bytes of a tokenizer.json that this version writes are read and written as they are. */
static void
store_tokenizer(const GptSentVersion *facts)
{
	char *json = palloc(facts->tokenizer_size + 1);
	uint8 sha256[GPT_SHA256_SIZE];
	LmTokenizerSpec *spec;

	read_bytes(json, facts->tokenizer_size);
	json[facts->tokenizer_size] = '\0';
	gpt_blob_hash(sha256, json, facts->tokenizer_size);
	if (memcmp(sha256, facts->tokenizer, GPT_SHA256_SIZE) != 0)
		gpt_distribute_refuse("The hash of the tokenizer differs.");
	spec = gpt_tokenizer_from_json(json, facts->tokenizer_size);
	gpt_import_tokenizer_check(spec);
	if (facts->base == NULL && spec->n_tokens > facts->config.vocabulary)
		gpt_distribute_refuse("The tokenizer has more tokens than the model.");
	gpt_catalog_store_tokenizer(sha256, spec);
	if (memcmp(sha256, facts->tokenizer, GPT_SHA256_SIZE) != 0)
		gpt_distribute_refuse("The tokenizer is not written as it was read.");
	pfree(json);
}

static void
publish(const GptSentVersion *facts)
{
	LmParamTable *table = gpt_weights_table(&facts->config);
	GptPublication publication = {.model = facts->model,
								  .run_id = facts->run_id,
								  .table = table,
								  .write = write_weights,
								  .write_context = (void *) facts,
								  .extras = facts->extras,
								  .labels = facts->labels,
								  .loss = facts->loss,
								  .validation_loss = facts->validation_loss,
								  .validation_bits_per_byte = facts->validation_bits_per_byte,
								  .candidate = !facts->current,
								  .number = facts->version,
								  .base = facts->base,
								  .base_version = facts->base_version,
								  .may_exist = true};

	memcpy(publication.tokenizer, facts->tokenizer, GPT_SHA256_SIZE);
	memcpy(publication.base_sha256, facts->base_sha256, GPT_SHA256_SIZE);
	if (facts->search != NULL)
	{
		publication.search = VARDATA(facts->search);
		publication.search_size = VARSIZE(facts->search) - VARHDRSZ;
	}
	gpt_catalog_publish(&publication);
	set_task(facts);
	PushActiveSnapshot(GetLatestSnapshot());
	check_published(facts, table);
	PopActiveSnapshot();
}

static void
write_weights(GptBlob *blob, void *context, const pg_uuid_t *run_id)
{
	const GptSentVersion *facts = context;
	char *piece = palloc(PIECE_SIZE);

	for (int64 left = facts->size; left > 0;)
	{
		size_t n = (size_t) Min(left, PIECE_SIZE);

		read_bytes(piece, n);
		gpt_blob_write(blob, piece, n);
		left -= n;
	}
	pfree(piece);
}

/*
 * The row is there, under the run's id; its file is one of the configuration, tensor by tensor, as
 * an import looks at any file, in the layout of our own files, and its hash is that of the facts.
 * An error takes all of it back.
 */
static void
check_published(const GptSentVersion *facts, const LmParamTable *table)
{
	GptVersion *version =
		gpt_catalog_version(psprintf("%s@%d", facts->model, facts->version), true);
	GptImport *import;

	if (version == NULL || version->altered)
		gpt_distribute_refuse("The weights have the id of another run.");
	if (version->size != facts->size ||
		memcmp(version->sha256, facts->sha256, GPT_SHA256_SIZE) != 0)
		gpt_distribute_refuse("The hash of the weights differs.");
	gpt_weights_abandon(gpt_weights_open(version, table));
	import = gpt_import_open(&version->weights, 1);
	gpt_import_match(import, table, GPT_IMPORT_KEEP);
	gpt_import_close(import);
	if (version->base != NULL)
		(void) gpt_catalog_base(version);
	adopt(facts, version);
}

static void
set_task(const GptSentVersion *facts)
{
	GptStatement statement;

	if (facts->task == NULL)
		return;
	gpt_statement_begin(&statement);
	gpt_statement_add_text(&statement, facts->model);
	gpt_statement_add(&statement, INT4OID, Int32GetDatum(facts->version));
	gpt_statement_add_text(&statement, facts->task);
	gpt_statement_change(&statement, 1,
						 "UPDATE %s.gpt_version SET task = $3 WHERE model = $1 AND version = $2");
	gpt_statement_end(&statement);
}
