/*
 * src/corpus/token_file.c
 *
 * Documents go in, the token file comes out. The order of documents is a function of rows and seed:
 *
 *   1. encode the documents, on all threads; unless the query's order is kept, put (side, hash of
 *      text and seed, ids of all parts of a row) into the server's external sort; count the lengths
 *      of documents;
 *   2. write the ids in order, training side first, and documents' lengths to a temporary file;
 *   3. choose the context, cut the documents into windows, append those (token_windows.c);
 *   4. write the header, sync, rename.
 *
 * The training side's ids stand together, so that a joined corpus is one window of them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/buffile.h"
#include "storage/fd.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "core/compat.h"
#include "core/settings.h"
#include "corpus/token_file_private.h"
#include "engine/marked_text.h"
#include "store/run_files.h"

#define JOINED_CONTEXT 256
#define LARGEST_SORT_MEMORY (64 * 1024) /* kB */

/* The key of a row in the sort, which compares bytes; shape and ids of each part follow it. */
typedef struct SortKey
{
	uint8 side;
	uint8 hash[16];
} SortKey;

static void start_writer(GptTokenWriter *writer, const GptTokenFileOptions *options,
						 LmTokenizer *tokenizer, bool masked, GptProgress *progress);
static void write_in_order(GptTokenWriter *writer, GptSpool *spool);
static void write_sorted(GptTokenWriter *writer, GptSpool *spool);
static void write_labels(GptTokenWriter *writer, const GptLabels *labels);
static void finish_file(GptTokenWriter *writer);
static void receive(void *context, const GptDocument *document, const int32 *ids, size_t n_ids);
static void put_row(GptTokenWriter *writer, const GptDocument *document);
static void store_ids(char *place, const int32 *ids, size_t n, int token_size);
static void append_row(GptTokenWriter *writer, GptSide side, const char *parts);

GptTokenFileOptions
gpt_token_file_options(const GptTrainOptions *options)
{
	return (GptTokenFileOptions){
		.seed = (uint64) options->seed,
		.documents = options->documents,
		.keep_order = !options->shuffle,
		.is_finetune = options->is_finetune,
		/* What reads a prompt as a whole has one prompt in a window. */
		.by_turn = options->architecture != GPT_CHOSEN && options->architecture != LM_DECODER,
		.context = options->context == GPT_CHOSEN ? 0 : (int) options->context,
	};
}

int
gpt_token_file_write(int64 *unpredicted, GptTokenFileOptions *options, GptSpool *spool,
					 LmTokenizer *tokenizer, GptProgress *progress)
{
	GptTokenWriter writer;
	const GptLabels *labels = gpt_spool_labels(spool);
	int context;

	start_writer(&writer, options, tokenizer, gpt_spool_marked(spool), progress);
	writer.group = gpt_task_group(gpt_spool_task(spool));
	writer.header.group = (uint64) writer.group;
	if (labels != NULL)
	{
		writer.header.n_labels = labels->n;
		writer.header.n_sets = labels->sets.n_sets;
		writer.header.n_members = labels->n_members;
		writer.header.pairs = gpt_task_is_pair(gpt_spool_task(spool));
		writer.header.numbers = gpt_spool_numbers(spool).scale > 0;
		writer.header.mean = gpt_spool_numbers(spool).mean;
		writer.header.scale = gpt_spool_numbers(spool).scale;
	}
	if (options->keep_order)
		write_in_order(&writer, spool);
	else
		write_sorted(&writer, spool);
	context = options->context;
	if (context == 0 && options->documents == LM_DOCUMENTS_JOINED)
		context = JOINED_CONTEXT;
	else if (context == 0)
		context =
			gpt_lengths_context(&writer.lengths, options->is_finetune, gpt_spool_prompted(spool));
	gpt_token_writer_windows(&writer, context);
	if (labels != NULL)
		write_labels(&writer, labels);
	finish_file(&writer);
	options->file = writer.file;
	options->n_cut = writer.n_cut;
	*unpredicted = writer.n_unpredicted;
	return context;
}

/* Opens the token file and leaves room for its header, which finish_file writes last. */
static void
start_writer(GptTokenWriter *writer, const GptTokenFileOptions *options, LmTokenizer *tokenizer,
			 bool masked, GptProgress *progress)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(tokenizer);

	MemSet(writer, 0, sizeof(GptTokenWriter));
	writer->options = options;
	writer->progress = progress;
	writer->encoder =
		gpt_encoder_create(tokenizer, &options->prompt, options->n_threads, receive, writer);
	writer->end = spec->end_of_text;
	writer->buffer = palloc(GPT_TOKEN_BUFFER);
	initStringInfo(&writer->record);
	writer->shapes = BufFileCreateTemp(options->run_id != NULL);
	memcpy(writer->header.magic, LM_DATASET_MAGIC, sizeof(writer->header.magic));
	writer->header.vocabulary = spec->n_tokens;
	writer->header.token_size = spec->n_tokens <= 65536 && !masked ? 2 : 4;
	writer->header.masked = masked;

	writer->file = options->run_id != NULL ? gpt_run_file_create(options->run_id, GPT_TOKENS, ERROR)
										   : OpenTemporaryFile(options->keep);
	gpt_token_writer_append(writer, &writer->header, sizeof(writer->header));
}

/* ---- 1. Encoding -------------------------------------------------------- */

/* Appends ids to writer->record, in the form that they have in the file. */
static void
append_ids(GptTokenWriter *writer, const int32 *ids, size_t n)
{
	size_t size = n * writer->header.token_size;
	StringInfo record = &writer->record;

	enlargeStringInfo(record, (int) Min(size, PG_INT32_MAX));
	store_ids(record->data + record->len, ids, n, writer->header.token_size);
	record->len += (int) size;
	writer->shape.n_ids += n;
}

/* The prompt of a conversation is what stands before its first answer. */
static void
note_marks(GptTokenWriter *writer, const GptDocument *document, const int32 *ids, size_t n_ids)
{
	size_t n_context = 0;

	while (n_context < n_ids && (ids[n_context] & LM_ID_CONTEXT) != 0)
		n_context++;
	writer->shape.n_prompt = (uint32) Min(n_context > 0 ? n_context - 1 : 0, PG_UINT32_MAX);
	writer->shape.n_bytes = lm_marked_learned_size(document->text, document->size);
}

/* The key of a row and the shape of a part get their values when they are complete. */
static void
begin_part(GptTokenWriter *writer, const GptDocument *document)
{
	static const SortKey empty = {0};
	static const GptDocumentShape shapeless = {0};
	StringInfo record = &writer->record;

	if (document->part == 0)
	{
		resetStringInfo(record);
		appendBinaryStringInfo(record, (const char *) &empty, sizeof(empty));
		writer->n_row_ids = 0;
	}
	writer->shape_at = record->len;
	appendBinaryStringInfo(record, (const char *) &shapeless, sizeof(shapeless));
	writer->shape = (GptDocumentShape){.weight = document->weight, .label = document->label};
	if (writer->options->documents != LM_DOCUMENTS_JOINED && writer->end >= 0 && !document->marked)
		append_ids(writer, &writer->end, 1);
}

/*
 * Into writer->record: a place for the key, then each part. A prompt waits there for its
 * completion. A conversation has the tokens around it that its template names.
 */
static void
receive(void *context, const GptDocument *document, const int32 *ids, size_t n_ids)
{
	GptTokenWriter *writer = context;
	StringInfo record = &writer->record;

	gpt_progress_tick(writer->progress);
	if (!writer->in_document)
		begin_part(writer, document);
	append_ids(writer, ids, n_ids);
	writer->n_row_ids += (int64) n_ids;
	writer->in_document = document->is_prompt || document->is_pair;
	if (document->is_pair)
	{
		/* The second text begins with the end token between them. */
		writer->shape.n_prompt = (uint32) Min(writer->shape.n_ids, PG_UINT32_MAX);
		writer->shape.n_bytes = document->size;
		if (writer->end >= 0)
			append_ids(writer, &writer->end, 1);
		return;
	}
	if (document->is_prompt)
	{
		/* The first id is not predicted. */
		writer->shape.n_prompt =
			writer->shape.n_ids > 0 ? (uint32) Min(writer->shape.n_ids - 1, PG_UINT32_MAX) : 0;
		return;
	}
	writer->shape.n_bytes = document->size;
	if (document->marked)
		note_marks(writer, document, ids, n_ids);
	if (writer->end >= 0 && !document->marked)
		append_ids(writer, &writer->end, 1);
	memcpy(record->data + writer->shape_at, &writer->shape, sizeof(writer->shape));
	if (document->part + 1 < writer->group)
		return;
	if (writer->options->sizes != NULL)
		gpt_sizes_add(writer->options->sizes, writer->n_row_ids);
	if (writer->sort != NULL)
		put_row(writer, document);
	else
		append_row(writer, document->side, record->data + sizeof(SortKey));
}

/* Writes ids in the form of the file; the place need not be aligned. */
static void
store_ids(char *place, const int32 *ids, size_t n, int token_size)
{
	if (token_size == sizeof(int32))
	{
		memcpy(place, ids, n * sizeof(int32));
		return;
	}
	for (size_t i = 0; i < n; i++)
	{
		uint16 narrow = (uint16) ids[i];

		memcpy(place + i * sizeof(narrow), &narrow, sizeof(narrow));
	}
}

/*
 * Writes documents in the order of the rows, training side first: one pass over the spool per side.
 */
static void
write_in_order(GptTokenWriter *writer, GptSpool *spool)
{
	GptDocument document;

	for (int side = 0; side < GPT_N_SIDES; side++)
	{
		gpt_spool_rewind(spool);
		while (gpt_spool_next(&document, spool))
		{
			if (document.side == side)
				gpt_encoder_add(writer->encoder, &document);
		}
		gpt_encoder_flush(writer->encoder);
	}
}

/* ---- 2. Sorting --------------------------------------------------------- */

/* A transaction is needed to read catalogs; afterwards no snapshot is held. */
static Tuplesortstate *
begin_sort(void)
{
	int memory = (int) Min(LARGEST_SORT_MEMORY, Max(64, gpt_settings_max_memory() / 8 / 1024));
	Oid less = lookup_type_cache(BYTEAOID, TYPECACHE_LT_OPR)->lt_opr;
	Tuplesortstate *sort =
		tuplesort_begin_datum(BYTEAOID, less, InvalidOid, false, memory, NULL, TUPLESORT_NONE);

	InvalidateCatalogSnapshot();
	return sort;
}

/* Hands a row to the sort; the key is a seeded hash, so the order of the rows plays no role. */
static void
put_row(GptTokenWriter *writer, const GptDocument *document)
{
	SortKey key;
	bytea *value;

	key.side = (uint8) document->side;
	for (int i = 0; i < 2; i++)
	{
		uint64 hash = hash_bytes_extended((const unsigned char *) document->hash,
										  sizeof(document->hash), 2 * writer->options->seed + i);

		memcpy(key.hash + i * sizeof(hash), &hash, sizeof(hash));
	}
	memcpy(writer->record.data, &key, sizeof(key));

	value = palloc(VARHDRSZ + writer->record.len);
	SET_VARSIZE(value, VARHDRSZ + writer->record.len);
	memcpy(VARDATA(value), writer->record.data, writer->record.len);
	tuplesort_putdatum(writer->sort, PointerGetDatum(value), false);
	pfree(value);
}

/*
 * One transaction, at whose end the server closes the files of the sort. Meanwhile the progress row
 * does not change. No snapshot and no locks are held. Without a run there is a transaction already.
 */
static void
write_sorted(GptTokenWriter *writer, GptSpool *spool)
{
	MemoryContext context = CurrentMemoryContext;
	GptDocument document;
	Datum value;
	bool isnull;

	if (writer->options->run_id != NULL)
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		MemoryContextSwitchTo(context);
	}
	writer->sort = begin_sort();
	gpt_spool_rewind(spool);
	while (gpt_spool_next(&document, spool))
		gpt_encoder_add(writer->encoder, &document);
	gpt_encoder_flush(writer->encoder);
	tuplesort_performsort(writer->sort);
	while (gpt_sort_next(writer->sort, &value, &isnull))
	{
		const bytea *record = DatumGetByteaPP(value);
		const char *data = VARDATA_ANY(record);
		const SortKey *key = (const SortKey *) data;

		gpt_progress_tick(writer->progress);
		append_row(writer, key->side, data + sizeof(SortKey));
		pfree(DatumGetPointer(value));
	}
	tuplesort_end(writer->sort);
	if (writer->options->run_id == NULL)
		return;
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

/* ---- Ids ---------------------------------------------------------------- */

/* A joined stream begins with the end of the document before it. */
static void
begin_stream(GptTokenWriter *writer, GptSide side)
{
	char id[sizeof(int32)];

	if (writer->end < 0)
		return;
	store_ids(id, &writer->end, 1, writer->header.token_size);
	gpt_token_writer_append(writer, id, writer->header.token_size);
	writer->n_ids[side]++;
}

/* Appends a row's tokens to the token file, and its shapes to the temporary file of shapes. */
static void
append_row(GptTokenWriter *writer, GptSide side, const char *parts)
{
	if (writer->options->documents == LM_DOCUMENTS_JOINED && writer->n_rows[side] == 0)
		begin_stream(writer, side);
	for (int part = 0; part < writer->group; part++)
	{
		GptDocumentShape shape;

		memcpy(&shape, parts, sizeof(shape));
		parts += sizeof(shape);
		gpt_token_writer_append(writer, parts, shape.n_ids * writer->header.token_size);
		parts += shape.n_ids * writer->header.token_size;
		BufFileWrite(writer->shapes, &shape, sizeof(shape));
		writer->n_ids[side] += shape.n_ids;
		writer->n_bytes[side] += shape.n_bytes;
		if (side == GPT_SIDE_TRAIN && shape.n_ids > 0)
			gpt_lengths_add(&writer->lengths, shape.n_ids - 1);
	}
	writer->n_rows[side]++;
}

/* Appends bytes at the end of the file through the writer's buffer. */
void
gpt_token_writer_append(GptTokenWriter *writer, const void *data, size_t size)
{
	const char *from = data;

	while (size > 0)
	{
		size_t n = Min(size, GPT_TOKEN_BUFFER - writer->used);

		memcpy(writer->buffer + writer->used, from, n);
		writer->used += n;
		from += n;
		size -= n;
		if (writer->used == GPT_TOKEN_BUFFER)
			gpt_token_writer_flush(writer);
	}
}

static void
write_at(GptTokenWriter *writer, const void *data, size_t size, off_t offset)
{
	CHECK_FOR_INTERRUPTS();
	if (FileWrite(writer->file, unconstify(char *, (const char *) data), (int) size, offset,
				  gpt_wait_event("GptTokenFileWrite")) != (int) size)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not write file \"%s\": %m", FilePathName(writer->file))));
}

void
gpt_token_writer_flush(GptTokenWriter *writer)
{
	write_at(writer, writer->buffer, writer->used, writer->offset);
	writer->offset += writer->used;
	writer->used = 0;
}

/* ---- 4. The file as a whole --------------------------------------------- */

/* Windows end at a multiple of 8. */
static void
write_labels(GptTokenWriter *writer, const GptLabels *labels)
{
	gpt_token_writer_append(writer, labels->sets.ends,
							labels->sets.n_sets * sizeof(*labels->sets.ends));
	gpt_token_writer_append(writer, labels->sets.members,
							labels->n_members * sizeof(*labels->sets.members));
	for (int i = 0; i < labels->n; i++)
		gpt_token_writer_append(writer, labels->names[i], strlen(labels->names[i]) + 1);
}

/* Writes the header over the room left for it, then gives the complete file its final name. */
static void
finish_file(GptTokenWriter *writer)
{
	LmDatasetHeader *header = &writer->header;

	if (header->n_train_windows == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("documents have too few tokens to train on"),
						errdetail("No document has two tokens.")));
	gpt_token_writer_flush(writer);
	write_at(writer, header, sizeof(*header), 0);
	BufFileClose(writer->shapes);
	gpt_encoder_free(writer->encoder);
	pfree(writer->record.data);
	pfree(writer->buffer);
	if (writer->read != NULL)
		pfree(writer->read);
	if (writer->options->run_id == NULL)
		return;
	FileClose(writer->file);
	gpt_run_file_complete(writer->options->run_id, GPT_TOKENS);
}
