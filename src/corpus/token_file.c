/*
 * src/corpus/token_file.c
 *
 * Documents go in, the token file comes out. The order of documents is a function of rows and seed:
 *
 *   1. encode the documents, on all threads; unless the query's order is kept, put (side, hash of
 *      text and seed, ids) into the server's external sort; count the lengths of documents;
 *   2. write the ids in order, training side first, and documents' lengths to a temporary file;
 *   3. choose the context, cut the documents into windows, append those;
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
#include "corpus/encoder.h"
#include "corpus/lengths.h"
#include "corpus/token_file.h"
#include "engine/marked_text.h"
#include "store/run_files.h"

#define BUFFER_SIZE (256 * 1024)
#define JOINED_CONTEXT 256
#define LARGEST_SORT_MEMORY (64 * 1024) /* kB */
#define JOINED_WINDOW (1 << 30) /* predictions: a window's length has 32 bits */

/* The record of a document, in the order of the file. */
typedef struct DocumentShape
{
	uint64 n_ids;
	uint64 n_bytes; /* of its text, without the prompt's */
	uint32 n_prompt; /* its first predictions, which are not counted */
	float weight;
	uint32 label;
} DocumentShape;

/* The key before the ids in the sort, which compares bytes. */
typedef struct SortKey
{
	uint8 side;
	uint8 hash[16];
	uint8 shape[sizeof(DocumentShape)];
} SortKey;

typedef struct Writer
{
	const GptTokenFileOptions *options;
	GptProgress *progress;
	GptEncoder *encoder;
	int32 end; /* id of end of text, or -1 */
	StringInfoData record; /* SortKey and ids of the current document */
	bool in_document; /* its prompt is in the record already */
	DocumentShape shape; /* of the current document */
	int64 n_row_ids; /* of its text */
	Tuplesortstate *sort; /* NULL: the query's order is kept */
	File file;
	off_t offset; /* of the buffer's first byte in the file */
	char *buffer;
	size_t used;
	char *read; /* of a masked file, a buffer to read ids again */
	BufFile *shapes; /* of each document, in the order of the file */
	int64 n_documents[GPT_N_SIDES];
	uint64 n_ids[GPT_N_SIDES];
	uint64 n_bytes[GPT_N_SIDES];
	int64 n_unpredicted; /* documents without a window */
	GptLengths lengths; /* of training documents */
	LmDatasetHeader header;
} Writer;

static void start_writer(Writer *writer, const GptTokenFileOptions *options, LmTokenizer *tokenizer,
						 bool masked, GptProgress *progress);
static void write_in_order(Writer *writer, GptSpool *spool);
static void write_sorted(Writer *writer, GptSpool *spool);
static void write_windows(Writer *writer, int context);
static void write_labels(Writer *writer, const GptLabels *labels);
static void finish_file(Writer *writer);
static void receive(void *context, const GptDocument *document, const int32 *ids, size_t n_ids);
static void put_document(Writer *writer, const GptDocument *document);
static void store_ids(char *place, const int32 *ids, size_t n, int token_size);
static void append_document(Writer *writer, GptSide side, const DocumentShape *shape,
							const char *ids);
static void append_bytes(Writer *writer, const void *data, size_t size);
static void flush(Writer *writer);

GptTokenFileOptions
gpt_token_file_options(const GptTrainOptions *options)
{
	return (GptTokenFileOptions){
		.seed = (uint64) options->seed,
		.documents = options->documents,
		.keep_order = !options->shuffle,
		.is_finetune = options->is_finetune,
		.context = options->context == GPT_CHOSEN ? 0 : (int) options->context,
	};
}

int
gpt_token_file_write(int64 *unpredicted, GptTokenFileOptions *options, GptSpool *spool,
					 LmTokenizer *tokenizer, GptProgress *progress)
{
	Writer writer;
	const GptLabels *labels = gpt_spool_labels(spool);
	int context;

	start_writer(&writer, options, tokenizer, gpt_spool_marked(spool), progress);
	if (labels != NULL)
	{
		writer.header.n_labels = labels->n;
		writer.header.n_sets = labels->sets.n_sets;
		writer.header.n_members = labels->n_members;
	}
	if (options->keep_order)
		write_in_order(&writer, spool);
	else
		write_sorted(&writer, spool);
	context = options->context;
	if (context == 0 && options->documents == LM_DOCUMENTS_JOINED)
		context = JOINED_CONTEXT;
	else if (context == 0)
		context = gpt_lengths_context(&writer.lengths, options->is_finetune);
	write_windows(&writer, context);
	if (labels != NULL)
		write_labels(&writer, labels);
	finish_file(&writer);
	options->file = writer.file;
	*unpredicted = writer.n_unpredicted;
	return context;
}

/* Opens the token file and leaves room for its header, which finish_file writes last. */
static void
start_writer(Writer *writer, const GptTokenFileOptions *options, LmTokenizer *tokenizer,
			 bool masked, GptProgress *progress)
{
	const LmTokenizerSpec *spec = lm_tokenizer_spec(tokenizer);

	MemSet(writer, 0, sizeof(Writer));
	writer->options = options;
	writer->progress = progress;
	writer->encoder = gpt_encoder_create(tokenizer, options->n_threads, receive, writer);
	writer->end = spec->end_of_text;
	writer->buffer = palloc(BUFFER_SIZE);
	initStringInfo(&writer->record);
	writer->shapes = BufFileCreateTemp(options->run_id != NULL);
	memcpy(writer->header.magic, LM_DATASET_MAGIC, sizeof(writer->header.magic));
	writer->header.vocabulary = spec->n_tokens;
	writer->header.token_size = spec->n_tokens <= 65536 && !masked ? 2 : 4;
	writer->header.masked = masked;
	writer->header.group = 1;

	writer->file = options->run_id != NULL ? gpt_run_file_create(options->run_id, GPT_TOKENS)
										   : OpenTemporaryFile(false);
	append_bytes(writer, &writer->header, sizeof(writer->header));
}

/* ---- 1. Encoding -------------------------------------------------------- */

/* Appends ids to writer->record, in the form that they have in the file. */
static void
append_ids(Writer *writer, const int32 *ids, size_t n)
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
note_marks(Writer *writer, const GptDocument *document, const int32 *ids, size_t n_ids)
{
	size_t n_context = 0;

	while (n_context < n_ids && (ids[n_context] & LM_ID_CONTEXT) != 0)
		n_context++;
	writer->shape.n_prompt = (uint32) Min(n_context > 0 ? n_context - 1 : 0, PG_UINT32_MAX);
	writer->shape.n_bytes = lm_marked_learned_size(document->text, document->size);
}

/*
 * Into writer->record: a place for the key, then the ids. A prompt waits there for its completion.
 * A conversation has the tokens around it that its template names.
 */
static void
receive(void *context, const GptDocument *document, const int32 *ids, size_t n_ids)
{
	static const SortKey empty = {0};
	Writer *writer = context;
	StringInfo record = &writer->record;

	gpt_progress_tick(writer->progress);
	if (!writer->in_document)
	{
		resetStringInfo(record);
		appendBinaryStringInfo(record, (const char *) &empty, sizeof(empty));
		writer->n_row_ids = 0;
		writer->shape = (DocumentShape){.weight = document->weight, .label = document->label};
		if (writer->options->documents != LM_DOCUMENTS_JOINED && writer->end >= 0 &&
			!document->marked)
			append_ids(writer, &writer->end, 1);
	}
	append_ids(writer, ids, n_ids);
	writer->n_row_ids += (int64) n_ids;
	writer->in_document = document->is_prompt;
	if (document->is_prompt)
	{
		/* The first id is not predicted. */
		writer->shape.n_prompt =
			writer->shape.n_ids > 0 ? (uint32) Min(writer->shape.n_ids - 1, PG_UINT32_MAX) : 0;
		return;
	}
	if (writer->options->sizes != NULL)
		gpt_sizes_add(writer->options->sizes, writer->n_row_ids);
	writer->shape.n_bytes = document->size;
	if (document->marked)
		note_marks(writer, document, ids, n_ids);
	if (writer->end >= 0 && !document->marked)
		append_ids(writer, &writer->end, 1);
	if (writer->sort != NULL)
		put_document(writer, document);
	else
		append_document(writer, document->side, &writer->shape, record->data + sizeof(SortKey));
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
write_in_order(Writer *writer, GptSpool *spool)
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

/*
 * Hands a document to the sort; the key is a seeded hash, so the order of the rows plays no role.
 */
static void
put_document(Writer *writer, const GptDocument *document)
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
	memcpy(key.shape, &writer->shape, sizeof(key.shape));
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
write_sorted(Writer *writer, GptSpool *spool)
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
		DocumentShape shape;

		gpt_progress_tick(writer->progress);
		memcpy(&shape, key->shape, sizeof(shape));
		append_document(writer, key->side, &shape, data + sizeof(SortKey));
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
begin_stream(Writer *writer, GptSide side)
{
	char id[sizeof(int32)];

	if (writer->end < 0)
		return;
	store_ids(id, &writer->end, 1, writer->header.token_size);
	append_bytes(writer, id, writer->header.token_size);
	writer->n_ids[side]++;
}

/* Appends a document's tokens to the token file, and its shape to the temporary file of shapes. */
static void
append_document(Writer *writer, GptSide side, const DocumentShape *shape, const char *ids)
{
	uint64 n = shape->n_ids;

	if (writer->options->documents == LM_DOCUMENTS_JOINED && writer->n_documents[side] == 0)
		begin_stream(writer, side);
	append_bytes(writer, ids, n * writer->header.token_size);
	BufFileWrite(writer->shapes, unconstify(DocumentShape *, shape), sizeof(*shape));
	writer->n_documents[side]++;
	writer->n_ids[side] += n;
	writer->n_bytes[side] += shape->n_bytes;
	if (side == GPT_SIDE_TRAIN && n > 0)
		gpt_lengths_add(&writer->lengths, n - 1);
}

/* Appends bytes at the end of the file through the writer's buffer. */
static void
append_bytes(Writer *writer, const void *data, size_t size)
{
	const char *from = data;

	while (size > 0)
	{
		size_t n = Min(size, BUFFER_SIZE - writer->used);

		memcpy(writer->buffer + writer->used, from, n);
		writer->used += n;
		from += n;
		size -= n;
		if (writer->used == BUFFER_SIZE)
			flush(writer);
	}
}

static void
write_at(Writer *writer, const void *data, size_t size, off_t offset)
{
	CHECK_FOR_INTERRUPTS();
	if (FileWrite(writer->file, unconstify(char *, (const char *) data), (int) size, offset,
				  gpt_wait_event("GptTokenFileWrite")) != (int) size)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not write file \"%s\": %m", FilePathName(writer->file))));
}

static void
flush(Writer *writer)
{
	write_at(writer, writer->buffer, writer->used, writer->offset);
	writer->offset += writer->used;
	writer->used = 0;
}

/* ---- 3. Windows --------------------------------------------------------- */

/*
 * If prompt and completion do not fit the context together, the prompt keeps its last ids: as many
 * as fit, at least half a context.
 */
static uint64
skipped_of_prompt(const DocumentShape *shape, int context)
{
	uint64 kept = context / 2;

	if (shape->n_ids <= (uint64) context + 1 || shape->n_prompt <= kept)
		return 0;
	return Min(shape->n_ids - 1 - context, shape->n_prompt - kept);
}

/* How many predictions of a window count: not its prompt's, and not those of ids with a flag. */
static uint32
count_predictions(Writer *writer, const LmWindow *window)
{
	uint32 n = window->length - 1 - window->prompt;
	uint64 id = window->offset + 1 + window->prompt;
	uint32 counted = 0;

	if (writer->header.masked == 0)
		return n;
	while (n > 0)
	{
		const uint32 *ids = (const uint32 *) writer->read;
		int n_read = (int) Min(n, BUFFER_SIZE / sizeof(uint32));
		int size = n_read * (int) sizeof(uint32);

		if (FileRead(writer->file, writer->read, size,
					 (off_t) (sizeof(LmDatasetHeader) + id * sizeof(uint32)),
					 gpt_wait_event("GptTokenFileRead")) != size)
			ereport(ERROR, (errcode_for_file_access(),
							errmsg("could not read file \"%s\": %m", FilePathName(writer->file))));
		for (int i = 0; i < n_read; i++)
			counted += (ids[i] & LM_ID_CONTEXT) == 0;
		id += n_read;
		n -= n_read;
	}
	return counted;
}

/* False where nothing is predicted in the document. */
static bool
append_windows(Writer *writer, GptSide side, uint64 offset, const DocumentShape *shape, int context)
{
	uint64 skipped = skipped_of_prompt(shape, context);
	uint64 n_ids = shape->n_ids - skipped;
	uint64 n_prompt = shape->n_prompt - Min(skipped, shape->n_prompt);
	uint64 count = lm_windows_count(n_ids, context);
	LmDatasetHeader *header = &writer->header;
	bool is_predicted = false;

	for (uint64 i = 0; i < count; i++)
	{
		LmWindow window = lm_windows_cut(i, skipped + offset, n_ids, context);
		uint64 before = window.offset - offset - skipped;
		uint32 counted;

		if (n_prompt >= before + window.length - 1)
			continue;
		window.prompt = n_prompt > before ? (uint32) (n_prompt - before) : 0;
		counted = count_predictions(writer, &window);
		if (counted == 0)
			continue;
		window.weight = shape->weight;
		window.label = shape->label;
		append_bytes(writer, &window, sizeof(window));
		is_predicted = true;
		if (side == GPT_SIDE_TRAIN)
		{
			header->n_train_windows++;
			header->train_tokens += window.length - 1;
		}
		else
		{
			header->n_validation_windows++;
			header->validation_tokens += window.length - 1;
			header->validation_counted += header->n_labels > 0 ? 1 : counted;
			header->validation_masked += window.length - 1 - window.prompt - counted;
		}
	}
	if (is_predicted && side == GPT_SIDE_VALIDATION)
		header->validation_bytes += shape->n_bytes;
	return is_predicted;
}

/* Appends the table of windows after the tokens; it starts at a multiple of eight bytes. */
static void
write_windows(Writer *writer, int context)
{
	static const char zeros[8] = {0};
	LmDatasetHeader *header = &writer->header;
	off_t end = writer->offset + writer->used;
	uint64 offset = 0;

	if (header->masked != 0)
	{
		flush(writer);
		writer->read = palloc(BUFFER_SIZE);
	}
	header->n_tokens = writer->n_ids[GPT_SIDE_TRAIN] + writer->n_ids[GPT_SIDE_VALIDATION];
	header->windows_offset = TYPEALIGN64(8, end);
	append_bytes(writer, zeros, header->windows_offset - end);
	if (BufFileSeek(writer->shapes, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not rewind a temporary file")));
	for (int side = 0; side < GPT_N_SIDES; side++)
	{
		if (writer->options->documents == LM_DOCUMENTS_JOINED)
		{
			DocumentShape stream = {writer->n_ids[side], writer->n_bytes[side], 0, 1, 0};

			(void) append_windows(writer, side, offset, &stream, JOINED_WINDOW);
			offset += writer->n_ids[side];
			continue;
		}
		for (int64 i = 0; i < writer->n_documents[side]; i++)
		{
			DocumentShape shape;

			if (BufFileRead(writer->shapes, &shape, sizeof(shape)) != sizeof(shape))
				ereport(ERROR,
						(errcode_for_file_access(), errmsg("could not read a temporary file")));
			gpt_progress_tick(writer->progress);
			if (!append_windows(writer, side, offset, &shape, context))
				writer->n_unpredicted++;
			offset += shape.n_ids;
		}
	}
}

/* ---- 4. The file as a whole --------------------------------------------- */

/* Windows end at a multiple of 8. */
static void
write_labels(Writer *writer, const GptLabels *labels)
{
	append_bytes(writer, labels->sets.ends, labels->sets.n_sets * sizeof(*labels->sets.ends));
	append_bytes(writer, labels->sets.members, labels->n_members * sizeof(*labels->sets.members));
	for (int i = 0; i < labels->n; i++)
		append_bytes(writer, labels->names[i], strlen(labels->names[i]) + 1);
}

/* Writes the header over the room left for it, then gives the complete file its final name. */
static void
finish_file(Writer *writer)
{
	LmDatasetHeader *header = &writer->header;

	if (header->n_train_windows == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND),
						errmsg("documents have too few tokens to train on"),
						errdetail("No document has two tokens.")));
	flush(writer);
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
