/*
 * src/corpus/spool.c
 *
 * Rows go in, documents come out, with the side of the validation on which each lies.
 *
 *   record in the file   | Record: hashes, sizes, weight, label, flags | prompt | text |
 *
 * The rows say on which side they lie, or that is chosen after the last row (held_out.c) and looked
 * up by a row's hash. It does not depend on the order of the rows.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "core/settings.h"
#include "corpus/held_out.h"
#include "corpus/label_table.h"
#include "corpus/old_rows.h"
#include "corpus/source.h"
#include "corpus/spool.h"

#define FLAG_VALIDATION 1
#define FLAG_VALIDATION_QUERY 2
#define ROW_MEMORY 13 /* bytes for a byte of a long text on its way to the token file */

typedef struct Record
{
	uint64 hash[2]; /* the first of the prompt, where there is one, the second of all text */
	uint32 size; /* of prompt and text */
	uint32 prompt_size; /* 0: there is no prompt */
	float weight;
	uint32 label; /* the number that gpt_label_table_add returned */
	uint32 flags;
	uint64 row; /* its number among those of its query */
} Record;

struct GptSpool
{
	BufFile *file;
	bool by_flag; /* the rows say on which side they lie */
	bool flag; /* of the query that is being read */
	bool prompted; /* the queries have a column "prompt" or "messages" */
	bool marked; /* they have a column "messages" */
	GptLabelTable *labels; /* NULL: there is no such column */
	const GptLabels *sorted_labels; /* in the end */
	GptOldRows *old; /* while the query is read, if old rows are replayed; else NULL */
	bool replays; /* the row that is added is an old one */
	Datum since; /* rows beyond this value of the watermark's column are new */
	bool has_since;
	int64 n_replay_wanted;
	int64 n_replayed;
	const char *watermark; /* as text, in the end */
	bool has_largest;
	Datum largest; /* value of the watermark's column */
	FmgrInfo *compare;
	Oid collation;
	Oid type;
	int16 length;
	bool by_value;
	GptHeldOut *held; /* NULL: the query chooses the held-out rows, or there are none */
	int64 documents;
	int64 skipped;
	GptSkipped why_skipped; /* of the query that is being read */
	int64 bytes[GPT_N_SIDES]; /* by flag; corrected in the end */
	int64 side_documents[GPT_N_SIDES];
	char *text;
	size_t capacity;
	Record record;
	GptSide side; /* of the record ... */
	uint32 label; /* ... and its label's number in the end */
	size_t cut; /* where its text is cut; 0: it is not */
	bool second_part; /* of a row with a prompt, or of a text that is cut, comes next */
};

static GptLabelTable *create_labels(const GptSpoolOptions *options, const GptSourceShape *shape);
static void read_source(GptSpool *spool, const GptSource *source);
static bool read_since(GptSpool *spool, const GptSource *source, const GptSpoolOptions *options);
static void note_watermark(GptSpool *spool, const GptSourceRow *row);
static const char *watermark_text(GptSpool *spool);
static void add_row(void *context, const GptSourceRow *row);
static void count(GptSpool *spool, const Record *record);
static void fix_sides(GptSpool *spool);
static bool read_record(GptSpool *spool);

GptSpool *
gpt_spool_read(const GptSpoolOptions *options)
{
	GptSpool *spool = palloc0(sizeof(GptSpool));
	const GptSourceShape *shape;
	GptSource source;
	GptSource validation;

	gpt_source_open(&source, options->query, GPT_SOURCE_TRAIN, options->watermark,
					options->replay > 0 ? NULL : options->since);
	shape = &source.shape;
	if (options->joined)
		gpt_source_check_joined(shape);
	if (options->validation_query != NULL)
	{
		gpt_source_open(&validation, options->validation_query, GPT_SOURCE_VALIDATION, NULL, NULL);
		gpt_source_check_validation(shape, &validation.shape);
		validation.chat = options->chat;
	}
	gpt_source_check_chat(shape, options->chat != NULL);
	source.chat = options->chat;
	spool->marked = shape->messages_column != 0;
	spool->prompted = shape->prompt_column != 0 || spool->marked;
	if (shape->label_column != 0 && options->n_labels > 0)
		gpt_source_check_labels(shape, options->multi_label);
	if (shape->label_column != 0)
		spool->labels = create_labels(options, shape);
	spool->file = BufFileCreateTemp(true);
	spool->by_flag = shape->validation_column != 0 || options->validation_query != NULL;
	if (!spool->by_flag && options->validation_fraction > 0)
		spool->held = gpt_held_out_create(options->validation_fraction, spool->prompted,
										  spool->labels != NULL);

	if (options->since == NULL)
		read_source(spool, &source);
	else if (!read_since(spool, &source, options))
	{
		gpt_source_close(&source);
		gpt_spool_free(spool);
		return NULL;
	}
	gpt_source_close(&source);
	spool->watermark = spool->has_largest ? watermark_text(spool) : options->since;
	spool->flag = true;
	if (options->validation_query != NULL)
	{
		read_source(spool, &validation);
		gpt_source_close(&validation);
	}
	if (spool->labels != NULL)
		spool->sorted_labels = gpt_label_table_sort(spool->labels);
	fix_sides(spool);

	/* Writes buffered bytes to the file while the transaction's resources exist. */
	gpt_spool_rewind(spool);
	return spool;
}

static GptLabelTable *
create_labels(const GptSpoolOptions *options, const GptSourceShape *shape)
{
	GptLabelOptions label_options = {
		.names = (const char *const *) options->labels,
		.n = options->n_labels,
		.sets = shape->label_is_set,
		.normalize_nfc = options->normalize_nfc,
	};

	gpt_source_label_equality(&label_options.equality, shape);
	return gpt_label_table_create(&label_options);
}

void
gpt_spool_free(GptSpool *spool)
{
	BufFileClose(spool->file);
	if (spool->labels != NULL)
		gpt_label_table_free(spool->labels);
	if (spool->held != NULL)
		gpt_held_out_free(spool->held);
	if (spool->text != NULL)
		pfree(spool->text);
	pfree(spool);
}

int64
gpt_spool_documents(const GptSpool *spool)
{
	return spool->documents;
}

int64
gpt_spool_skipped(const GptSpool *spool)
{
	return spool->skipped;
}

bool
gpt_spool_holds_out(const GptSpool *spool)
{
	return spool->by_flag || spool->bytes[GPT_SIDE_VALIDATION] > 0;
}

const GptHeldOut *
gpt_spool_held_out(const GptSpool *spool)
{
	return spool->held;
}

int64
gpt_spool_side_documents(const GptSpool *spool, GptSide side)
{
	return spool->side_documents[side];
}

bool
gpt_spool_prompted(const GptSpool *spool)
{
	return spool->prompted;
}

bool
gpt_spool_marked(const GptSpool *spool)
{
	return spool->marked;
}

int64
gpt_spool_bytes(const GptSpool *spool, GptSide side)
{
	return spool->bytes[side];
}

/* ---- Writing ------------------------------------------------------------ */

static void
read_source(GptSpool *spool, const GptSource *source)
{
	int64 before = spool->documents;

	MemSet(&spool->why_skipped, 0, sizeof(GptSkipped));
	gpt_source_run(source, add_row, spool);
	if (spool->documents == before)
		gpt_source_raise_skipped(gpt_source_name(source->kind), &spool->why_skipped);
}

/*
 * Reads the rows beyond the watermark, and replays as many of the others as their share requires.
 * False if there is no row beyond it.
 */
static bool
read_since(GptSpool *spool, const GptSource *source, const GptSpoolOptions *options)
{
	Oid type = source->shape.columns[source->shape.watermark_column - 1].type;

	if (options->replay == 0)
	{
		gpt_source_run(source, add_row, spool);
		return spool->documents > 0;
	}
	spool->since = gpt_source_watermark(type, options->since);
	spool->has_since = true;
	spool->old = gpt_old_rows_create(options->seed);
	gpt_source_run(source, add_row, spool);
	if (spool->documents > 0)
	{
		spool->replays = true;
		spool->n_replay_wanted =
			(int64) rint(options->replay / (1 - options->replay) * (double) spool->documents);
		spool->n_replayed = gpt_old_rows_draw(spool->old, spool->n_replay_wanted, add_row, spool);
		spool->replays = false;
	}
	gpt_old_rows_free(spool->old);
	spool->old = NULL;
	return spool->documents > 0;
}

int64
gpt_spool_replayed(const GptSpool *spool, int64 *wanted)
{
	*wanted = spool->n_replay_wanted;
	return spool->n_replayed;
}

static void
start_watermark(GptSpool *spool, const GptSourceRow *row)
{
	TypeCacheEntry *type =
		lookup_type_cache(row->watermark_attribute->atttypid, TYPECACHE_CMP_PROC_FINFO);

	spool->compare = &type->cmp_proc_finfo;
	spool->type = type->type_id;
	spool->collation = row->watermark_attribute->attcollation;
	spool->length = type->typlen;
	spool->by_value = type->typbyval;
}

static bool
is_greater(const GptSpool *spool, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(spool->compare, spool->collation, a, b)) > 0;
}

/* The largest value so far, kept in the spool's memory. */
static void
note_watermark(GptSpool *spool, const GptSourceRow *row)
{
	MemoryContext old_context;

	if (spool->has_largest && !is_greater(spool, row->watermark, spool->largest))
		return;
	old_context = MemoryContextSwitchTo(GetMemoryChunkContext(spool));
	if (spool->has_largest && !spool->by_value)
		pfree(DatumGetPointer(spool->largest));
	spool->largest = spool->by_value || spool->length != -1
						 ? datumCopy(row->watermark, spool->by_value, spool->length)
						 : PointerGetDatum(PG_DETOAST_DATUM_COPY(row->watermark));
	spool->has_largest = true;
	MemoryContextSwitchTo(old_context);
}

/* Dates in the one form that is read the same under every setting. */
static const char *
watermark_text(GptSpool *spool)
{
	int guc_level = NewGUCNestLevel();
	Oid function;
	bool is_varlena;
	char *text;

	(void) set_config_option("datestyle", "ISO, YMD", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	(void) set_config_option("intervalstyle", "postgres", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("extra_float_digits", "1", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	getTypeOutputInfo(gpt_source_watermark_type(spool->type), &function, &is_varlena);
	text = OidOutputFunctionCall(function, spool->largest);
	AtEOXact_GUC(true, guc_level);
	if (strlen(text) > GPT_WATERMARK_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("watermark of %zu bytes is too long", strlen(text)),
						errdetail("It may have up to %d bytes.", GPT_WATERMARK_SIZE)));
	return MemoryContextStrdup(GetMemoryChunkContext(spool), text);
}

const char *
gpt_spool_watermark(const GptSpool *spool)
{
	return spool->watermark;
}

static void
hash_row(uint64 *hash, const GptSpool *spool, const GptSourceRow *row)
{
	for (int i = 0; i < 2; i++)
		hash[i] = hash_bytes_extended((const unsigned char *) row->text, (int) row->size, i);
	if (spool->prompted)
	{
		hash[0] =
			hash_bytes_extended((const unsigned char *) row->prompt, (int) row->prompt_size, 0);
		hash[1] = hash_combine64(hash[0], hash[1]);
	}
}

/* Whether the row is not one to add now: it is an old one, or its watermark is null. */
static bool
is_put_aside(GptSpool *spool, const GptSourceRow *row)
{
	uint64 hash[2];

	if (row->has_watermark && spool->compare == NULL)
		start_watermark(spool, row);
	if (!spool->has_since || spool->replays)
	{
		if (row->has_watermark)
			note_watermark(spool, row);
		return false;
	}
	if (!row->has_watermark)
		return true;
	if (is_greater(spool, row->watermark, spool->since))
	{
		note_watermark(spool, row);
		return false;
	}
	if (gpt_source_skip(NULL, row, spool->prompted, spool->labels != NULL) == GPT_SKIP_NONE)
	{
		hash_row(hash, spool, row);
		gpt_old_rows_keep(spool->old, row, hash);
	}
	return true;
}

/* Callback of both queries: checks a row's size, hashes it and appends it to the temporary file. */
static void
add_row(void *context, const GptSourceRow *row)
{
	GptSpool *spool = context;
	Record record = {.prompt_size = (uint32) row->prompt_size, .weight = (float) row->weight};

	if (!spool->flag && is_put_aside(spool, row))
		return;
	if (gpt_source_skip(&spool->why_skipped, row, spool->prompted, spool->labels != NULL) !=
		GPT_SKIP_NONE)
	{
		spool->skipped++;
		return;
	}
	record.size = (uint32) (row->prompt_size + row->size);
	if ((int64) record.size * ROW_MEMORY > gpt_settings_max_memory())
		ereport(
			ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("row " UINT64_FORMAT
					" of %s has %u MB of text, too much for gpt.max_memory, " INT64_FORMAT " MB",
					row->number,
					gpt_source_name(spool->flag ? GPT_SOURCE_VALIDATION : GPT_SOURCE_TRAIN),
					record.size >> 20, gpt_settings_max_memory() >> 20),
			 errdetail("Encoding a text takes up to %d times its size.", ROW_MEMORY),
			 errhint("Cut the text into several rows, or raise gpt.max_memory.")));
	hash_row(record.hash, spool, row);
	if (spool->labels != NULL)
		record.label = gpt_label_table_add(spool->labels, row->labels, row->n_labels);
	record.row = row->number;
	if (spool->flag)
		record.flags |= FLAG_VALIDATION_QUERY;
	if (spool->flag || row->validation)
		record.flags |= FLAG_VALIDATION;
	if (spool->held != NULL)
		gpt_held_out_add(spool->held, record.hash[1], record.hash[0], record.size, record.label);

	count(spool, &record);
	if (spool->bytes[GPT_SIDE_TRAIN] + spool->bytes[GPT_SIDE_VALIDATION] >
		(int64) gpt_max_corpus_size * 1024 * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("query returned more text than gpt.max_corpus_size, %d MB",
						gpt_max_corpus_size),
				 errhint("Select fewer rows, or let a superuser raise gpt.max_corpus_size.")));
	BufFileWrite(spool->file, &record, sizeof(record));
	if (record.prompt_size > 0)
		BufFileWrite(spool->file, unconstify(char *, row->prompt), row->prompt_size);
	BufFileWrite(spool->file, unconstify(char *, row->text), row->size);
}

const GptLabels *
gpt_spool_labels(const GptSpool *spool)
{
	return spool->sorted_labels;
}

static void
count(GptSpool *spool, const Record *record)
{
	GptSide side = record->flags & FLAG_VALIDATION ? GPT_SIDE_VALIDATION : GPT_SIDE_TRAIN;

	spool->documents++;
	spool->bytes[side] += record->size;
	spool->side_documents[side]++;
}

/* ---- Sides -------------------------------------------------------------- */

/*
 * Chooses the held-out rows after the last row; a second pass over the file runs only where needed.
 */
static void
hold_out(GptSpool *spool)
{
	GptHeldOut *held = spool->held;

	if (gpt_held_out_sort(held, spool->sorted_labels))
	{
		gpt_spool_rewind(spool);
		while (read_record(spool))
		{
			const Record *record = &spool->record;
			uint32 label =
				spool->labels != NULL ? gpt_label_table_number(spool->labels, record->label) : 0;

			CHECK_FOR_INTERRUPTS();
			gpt_held_out_elsewhere(held, record->hash[1], record->hash[0], label,
								   spool->sorted_labels);
		}
	}
	gpt_held_out_choose(held, spool->labels, spool->sorted_labels);
	spool->bytes[GPT_SIDE_VALIDATION] = gpt_held_out_bytes(held);
	spool->bytes[GPT_SIDE_TRAIN] -= spool->bytes[GPT_SIDE_VALIDATION];
	spool->side_documents[GPT_SIDE_VALIDATION] = (int64) held->chosen.n_rows;
	spool->side_documents[GPT_SIDE_TRAIN] -= spool->side_documents[GPT_SIDE_VALIDATION];
}

static void
fix_sides(GptSpool *spool)
{
	if (spool->held != NULL)
		hold_out(spool);
	if (spool->side_documents[GPT_SIDE_TRAIN] == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND), errmsg("query returned no document to train on"),
				 errdetail("In all rows with text, \"is_validation\" is true.")));
}

/* The side of the record. A text that is cut, at the beginning of a character, is on both sides. */
static void
choose_side(GptSpool *spool)
{
	const Record *record = &spool->record;
	uint32 label = spool->labels != NULL ? gpt_label_table_number(spool->labels, record->label) : 0;
	uint32 flags =
		spool->held != NULL ? gpt_held_out_flags(spool->held, record->hash[1], label) : 0;

	spool->side = (flags & LM_GROUP_HELD_OUT) || (record->flags & FLAG_VALIDATION)
					  ? GPT_SIDE_VALIDATION
					  : GPT_SIDE_TRAIN;
	spool->label = label;
	spool->cut = 0;
	if (flags & LM_GROUP_CUT)
		spool->cut = pg_encoding_mbcliplen(PG_UTF8, spool->text, (int) record->size,
										   (int) gpt_held_out_cut(spool->held, record->size));
}

/* ---- Reading ------------------------------------------------------------ */

void
gpt_spool_rewind(GptSpool *spool)
{
	if (BufFileSeek(spool->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not rewind the temporary file of the corpus")));
	spool->second_part = false;
}

static void
read_exactly(GptSpool *spool, void *target, size_t size)
{
	size_t n = BufFileRead(spool->file, target, size);

	if (n != size)
		ereport(
			ERROR,
			(errcode_for_file_access(),
			 errmsg("could not read the temporary file of the corpus: read only %zu of %zu bytes",
					n, size)));
}

/* Reads the next record and its text into spool->text; false at the end of the file. */
static bool
read_record(GptSpool *spool)
{
	size_t n = BufFileRead(spool->file, &spool->record, sizeof(Record));

	if (n == 0)
		return false;
	if (n != sizeof(Record))
		ereport(
			ERROR,
			(errcode_for_file_access(),
			 errmsg("could not read the temporary file of the corpus: read only %zu of %zu bytes",
					n, sizeof(Record))));
	if (spool->record.size > spool->capacity)
	{
		if (spool->text != NULL)
			pfree(spool->text);
		spool->capacity = Max((size_t) spool->record.size, 2 * spool->capacity);
		spool->text = MemoryContextAllocHuge(GetMemoryChunkContext(spool), spool->capacity);
	}
	read_exactly(spool, spool->text, spool->record.size);
	return true;
}

bool
gpt_spool_next(GptDocument *document, GptSpool *spool)
{
	size_t first_size; /* of a row in two parts; 0: it has one */

	CHECK_FOR_INTERRUPTS();
	if (!spool->second_part && !read_record(spool))
		return false;
	if (!spool->second_part)
		choose_side(spool);
	document->hash[0] = spool->record.hash[0];
	document->hash[1] = spool->record.hash[1];
	document->side = spool->side;
	document->weight = spool->record.weight;
	document->row = spool->record.row;
	document->query = gpt_source_name(
		spool->record.flags & FLAG_VALIDATION_QUERY ? GPT_SOURCE_VALIDATION : GPT_SOURCE_TRAIN);
	document->label = spool->label;
	document->marked = spool->marked;
	if (spool->cut > 0)
		document->side = spool->second_part ? GPT_SIDE_VALIDATION : GPT_SIDE_TRAIN;

	/* A conversation is one text, whose marks say where its prompt ends. */
	first_size = spool->cut > 0 ? spool->cut : spool->marked ? 0 : spool->record.prompt_size;
	document->is_prompt = first_size > 0 && spool->cut == 0 && !spool->second_part;
	document->text = spool->text + (spool->second_part ? first_size : 0);
	document->size =
		first_size > 0 && !spool->second_part ? first_size : spool->record.size - first_size;
	spool->second_part = first_size > 0 && !spool->second_part;
	return true;
}
