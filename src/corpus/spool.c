/*
 * src/corpus/spool.c
 *
 * Queries go in, documents come out, with the side of the validation on which each lies.
 *
 * The rows say on which side they lie, or that is chosen after the last row (held_out.c) and looked
 * up by a row's hash. It does not depend on the order of the rows.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/settings.h"
#include "corpus/duplicates.h"
#include "corpus/spool_private.h"
#include "engine/marked_text.h"

#define LARGEST_COUNTED ((int64) 256 * 1024 * 1024) /* bytes; and ... */
#define NEAR_ROW_SIZE 200 /* ... bytes of memory that a row takes */

static bool is_large(const GptSpool *spool);
static GptLabelTable *create_labels(const GptSpoolOptions *options, const GptSourceShape *shape);
static void fix_sides(GptSpool *spool);
static void take_numbers(GptSpool *spool, const GptSpoolOptions *options);

GptSpool *
gpt_spool_read(const GptSpoolOptions *options)
{
	GptSpool *spool = palloc0(sizeof(GptSpool));
	const GptSourceShape *shape;
	GptSource source;
	GptSource validation;

	gpt_source_open(&source, options->query,
					options->texts_only ? GPT_SOURCE_TOKENIZER : GPT_SOURCE_TRAIN,
					options->watermark, options->replay > 0 ? NULL : options->since);
	shape = &source.shape;
	if (options->joined)
		gpt_source_check_joined(shape);
	if (options->validation_query != NULL)
	{
		gpt_source_open(&validation, options->validation_query, GPT_SOURCE_VALIDATION, NULL, NULL);
		gpt_source_check_validation(shape, &validation.shape);
		validation.chat = options->chat;
		validation.cleaner = options->cleaner;
	}
	gpt_source_check_chat(shape, options->chat != NULL);
	source.chat = options->chat;
	source.cleaner = options->cleaner;
	spool->marked = shape->messages_column != 0;
	spool->task = shape->task;
	if (options->n_labels > 0)
	{
		LmConfig head = {.multi_label = options->multi_label,
						 .number = options->numbers.scale > 0,
						 .pair = options->pair};

		gpt_source_check_head(shape, &head);
	}
	if (shape->label_column != 0)
		spool->labels = create_labels(options, shape);
	spool->file = BufFileCreateTemp(!options->in_transaction);
	spool->by_flag = shape->validation_column != 0 || options->validation_query != NULL;
	if (!spool->by_flag && options->validation_fraction > 0)
		spool->held = gpt_held_out_create(options->validation_fraction, shape->task);

	spool->dedup = options->dedup;
	spool->list = options->list;
	spool->comparison = Max(options->dedup, options->compare);
	if (spool->by_flag && spool->comparison == GPT_DEDUP_NONE)
		spool->comparison = GPT_DEDUP_EXACT;
	if (options->since == NULL)
		gpt_spool_add_rows(spool, &source);
	else if (!gpt_spool_add_since(spool, &source, options))
	{
		gpt_source_close(&source);
		gpt_spool_free(spool);
		return NULL;
	}
	gpt_source_close(&source);
	spool->watermark = spool->has_largest ? gpt_spool_watermark_text(spool) : options->since;
	spool->flag = true;
	if (options->validation_query != NULL)
	{
		gpt_spool_add_rows(spool, &validation);
		gpt_source_close(&validation);
	}
	if (spool->labels != NULL)
		spool->sorted_labels = gpt_label_table_sort(spool->labels);
	if (options->cleaner != NULL)
	{
		spool->cleans = true;
		spool->cleaned = options->cleaner->counts;
	}
	if (spool->comparison > options->dedup && !options->list && is_large(spool))
		spool->comparison = Max(options->dedup, GPT_DEDUP_EXACT);
	gpt_duplicates_find(spool);
	fix_sides(spool);
	if (spool->task->measured)
		take_numbers(spool, options);

	/* Writes buffered bytes to the file while the transaction's resources exist. */
	gpt_spool_rewind(spool);
	return spool;
}

static void
take_numbers(GptSpool *spool, const GptSpoolOptions *options)
{
	static const char *const names[] = {"label"};
	GptLabels *labels = palloc0(sizeof(GptLabels));

	labels->n = lengthof(names);
	labels->names = names;
	spool->sorted_labels = labels;
	spool->numbers = (GptNumbers){0, 1};
	if (options->numbers.scale > 0)
		spool->numbers = options->numbers;
	else
	{
		GptMoments moments = gpt_spool_moments(spool);

		spool->numbers = gpt_moments_numbers(&moments);
	}
}

/* Whether near rows are too many to be counted for a report alone, by time or by memory. */
static bool
is_large(const GptSpool *spool)
{
	return spool->bytes[GPT_SIDE_TRAIN] + spool->bytes[GPT_SIDE_VALIDATION] > LARGEST_COUNTED ||
		   spool->n_records * NEAR_ROW_SIZE > gpt_settings_max_memory() / 2;
}

static GptLabelTable *
create_labels(const GptSpoolOptions *options, const GptSourceShape *shape)
{
	GptLabelOptions label_options = {
		.names = (const char *const *) options->labels,
		.n = options->n_labels,
		.grows = true,
		.is_part = options->is_part,
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
	if (spool->labels != NULL && !spool->is_sample)
		gpt_label_table_free(spool->labels);
	if (spool->held != NULL && !spool->is_sample)
		gpt_held_out_free(spool->held);
	if (spool->text != NULL)
		pfree(spool->text);
	if (spool->dropped != NULL)
		pfree(spool->dropped);
	if (spool->repeats != NULL)
		pfree(spool->repeats);
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

const GptSkipped *
gpt_spool_why_skipped(const GptSpool *spool)
{
	return &spool->all_skipped;
}

const GptCleanCounts *
gpt_spool_cleaned(const GptSpool *spool)
{
	return spool->cleans ? &spool->cleaned : NULL;
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

const GptTask *
gpt_spool_task(const GptSpool *spool)
{
	return spool->task;
}

bool
gpt_spool_prompted(const GptSpool *spool)
{
	return spool->task->prompted;
}

LmBytes
gpt_spool_ending(const GptSpool *spool)
{
	return (LmBytes){spool->ending + GPT_ENDING_SIZE - spool->ending_size, spool->ending_size};
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

int64
gpt_spool_replayed(const GptSpool *spool, int64 *wanted)
{
	*wanted = spool->n_replay_wanted;
	return spool->n_replayed;
}

const GptLabels *
gpt_spool_labels(const GptSpool *spool)
{
	return spool->sorted_labels;
}

GptNumbers
gpt_spool_numbers(const GptSpool *spool)
{
	return spool->numbers;
}

GptDedup
gpt_spool_comparison(const GptSpool *spool)
{
	return spool->comparison;
}

const GptDuplicates *
gpt_spool_duplicates(const GptSpool *spool)
{
	return &spool->duplicates;
}

bool
gpt_spool_repeat(GptRepeat *repeat, const GptSpool *spool, int64 number)
{
	if (number >= spool->n_records)
		return false;
	*repeat = spool->repeats[number];
	return true;
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
		while (gpt_spool_read_record(spool))
		{
			const GptSpoolRecord *record = &spool->record;

			CHECK_FOR_INTERRUPTS();
			gpt_held_out_elsewhere(held, record->hash[1], record->hash[0],
								   gpt_spool_label(spool, record), spool->sorted_labels);
		}
	}
	/* They are counted on the way, for a report. */
	if (spool->comparison == GPT_DEDUP_NONE)
	{
		spool->duplicates.exact = held->repeated;
		spool->comparison = GPT_DEDUP_EXACT;
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
	const GptSpoolRecord *record = &spool->record;
	uint32 label = gpt_spool_label(spool, record);
	uint32 flags =
		spool->held != NULL ? gpt_held_out_flags(spool->held, record->hash[1], label) : 0;

	spool->side = (flags & LM_GROUP_HELD_OUT) || (record->flags & GPT_ROW_VALIDATION)
					  ? GPT_SIDE_VALIDATION
					  : GPT_SIDE_TRAIN;
	spool->label = label;
	spool->cut = 0;
	if (flags & LM_GROUP_CUT)
		spool->cut = pg_encoding_mbcliplen(PG_UTF8, spool->text, (int) record->size,
										   (int) gpt_held_out_cut(spool->held, record->size));
}

/* ---- Documents ---------------------------------------------------------- */

/* What is the same for all documents of the record. */
static void
begin_document(GptDocument *document, const GptSpool *spool)
{
	const GptSpoolRecord *record = &spool->record;

	*document = (GptDocument){
		.text = spool->text,
		.size = record->size,
		.hash = {record->hash[0], record->hash[1]},
		.side = spool->side,
		.marked = spool->marked,
		.row = record->row,
		.query = gpt_source_name(record->flags & GPT_ROW_VALIDATION_QUERY ? GPT_SOURCE_VALIDATION
																		  : GPT_SOURCE_TRAIN),
		.weight = record->weight,
		.label = spool->task->measured	 ? gpt_spool_number_bits(spool, record->target)
				 : spool->agreed != NULL ? spool->agreed[spool->label]
										 : spool->label,
		.target = record->target,
	};
}

/* The first or the second part of a text that is cut. */
static void
cut_document(GptDocument *document, GptSpool *spool)
{
	bool is_end = spool->next_document > 0;

	document->side = is_end ? GPT_SIDE_VALIDATION : GPT_SIDE_TRAIN;
	document->text += is_end ? spool->cut : 0;
	document->size = is_end ? document->size - spool->cut : spool->cut;
	spool->next_document = is_end ? 0 : 1;
}

/* The next of the row's texts, as the task lists them. */
static void
take_document(GptDocument *document, GptSpool *spool)
{
	const GptTask *task = spool->task;
	const GptTaskDocument *next = &task->documents[spool->next_document];

	for (int text = 0; text < (int) next->text; text++)
		document->text += spool->record.sizes[text];
	document->size = spool->record.sizes[next->text];
	document->part = next->part;
	document->is_prompt = next->is_prompt;
	document->is_pair = next->is_pair;
	spool->next_document = (int) (next - task->documents + 1) % task->n_documents;
}

/* What the messages of a conversation say, without the marks and the template between them. */
static void
take_contents(GptDocument *document, GptSpool *spool)
{
	if (spool->contents_size < document->size)
	{
		MemoryContext context = GetMemoryChunkContext(spool);

		if (spool->contents != NULL)
			pfree(spool->contents);
		spool->contents = MemoryContextAllocHuge(context, document->size);
		spool->contents_size = document->size;
	}
	document->size = lm_marked_content(spool->contents, (LmBytes){document->text, document->size});
	document->text = spool->contents;
	document->marked = false;
}

void
gpt_spool_read_contents(GptSpool *spool, bool plain)
{
	spool->plain = plain;
}

bool
gpt_spool_next(GptDocument *document, GptSpool *spool)
{
	CHECK_FOR_INTERRUPTS();
	if (spool->next_document == 0)
	{
		if (!gpt_spool_read_record(spool))
			return false;
		choose_side(spool);
	}
	begin_document(document, spool);
	if (spool->marked && spool->plain)
		take_contents(document, spool);
	if (spool->cut > 0)
		cut_document(document, spool);
	else if (!spool->marked) /* a conversation is one text, whose marks tell its prompt */
		take_document(document, spool);
	return true;
}
