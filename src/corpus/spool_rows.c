/*
 * src/corpus/spool_rows.c
 *
 * Rows of a query go in; those that are documents come out as records of the spool's file, each
 * with its hashes.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"

#include "core/settings.h"
#include "corpus/spool_private.h"

#define ROW_MEMORY 13 /* bytes for a byte of a long text on its way to the token file */

static void add_row(void *context, const GptSourceRow *row);

void
gpt_spool_add_rows(GptSpool *spool, const GptSource *source)
{
	int64 before = spool->documents;

	MemSet(&spool->why_skipped, 0, sizeof(GptSkipped));
	gpt_source_run(source, add_row, spool);
	if (spool->documents == before)
		gpt_source_raise_skipped(gpt_source_name(source->kind), &spool->why_skipped);
}

bool
gpt_spool_add_since(GptSpool *spool, const GptSource *source, const GptSpoolOptions *options)
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

static uint64
hash_text(const GptSourceRow *row, GptRowText text, uint64 seed)
{
	LmBytes bytes = gpt_source_row_text(row, text);

	return hash_bytes_extended((const unsigned char *) bytes.data, (int) bytes.size, seed);
}

static void
hash_row(uint64 *hash, const GptSpool *spool, const GptSourceRow *row)
{
	for (int i = 0; i < 2; i++)
		hash[i] = hash_text(row, GPT_TEXT_MAIN, i);
	if (spool->task->prompted)
	{
		hash[0] = hash_text(row, GPT_TEXT_PROMPT, 0);
		hash[1] = hash_combine64(hash[0], hash[1]);
	}
	for (GptRowText text = GPT_TEXT_OTHER; text < GPT_ROW_TEXTS; text++)
	{
		if (gpt_task_has(spool->task, text))
			hash[1] = hash_combine64(hash[1], hash_text(row, text, 0));
	}
}

/* Whether the row is not one to add now: it is an old one, or its watermark is null. */
static bool
is_put_aside(GptSpool *spool, const GptSourceRow *row)
{
	uint64 hash[2];

	if (!spool->has_since || spool->replays)
	{
		if (row->has_watermark)
			gpt_spool_note_watermark(spool, row);
		return false;
	}
	if (!row->has_watermark)
		return true;
	if (gpt_spool_is_new(spool, row))
	{
		gpt_spool_note_watermark(spool, row);
		return false;
	}
	if (gpt_source_skip(NULL, row, spool->task) == GPT_SKIP_NONE)
	{
		hash_row(hash, spool, row);
		gpt_old_rows_keep(spool->old, row, hash);
	}
	return true;
}

/* Keeps the bytes in which this prompt and all before it end. */
static void
note_ending(GptSpool *spool, const GptSourceRow *row)
{
	size_t size = Min(row->prompt_size, spool->has_ending ? spool->ending_size : GPT_ENDING_SIZE);
	const char *end = row->prompt + row->prompt_size;
	size_t n = 0;

	if (!spool->has_ending)
		memcpy(spool->ending + GPT_ENDING_SIZE - size, end - size, size);
	while (n < size && end[-1 - (ptrdiff_t) n] == spool->ending[GPT_ENDING_SIZE - 1 - n])
		n++;
	spool->ending_size = n;
	spool->has_ending = true;
}

/* Callback of both queries: checks a row's size, hashes it and appends it to the temporary file. */
static void
add_row(void *context, const GptSourceRow *row)
{
	GptSpool *spool = context;
	GptSpoolRecord record = {.weight = (float) row->weight, .target = row->target};
	uint64 size = 0;

	if (!spool->flag && is_put_aside(spool, row))
		return;
	if (gpt_source_skip(&spool->why_skipped, row, spool->task) != GPT_SKIP_NONE)
	{
		(void) gpt_source_skip(&spool->all_skipped, row, spool->task);
		spool->skipped++;
		return;
	}
	for (int text = 0; text < GPT_ROW_TEXTS; text++)
	{
		record.sizes[text] = (uint32) gpt_source_row_text(row, text).size;
		size += record.sizes[text];
	}
	if (size > PG_INT32_MAX || (int64) size * ROW_MEMORY > gpt_settings_max_memory())
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("row " UINT64_FORMAT " of %s has " UINT64_FORMAT
						" MB of text, too much for gpt.max_memory, " INT64_FORMAT " MB",
						row->number,
						gpt_source_name(spool->flag ? GPT_SOURCE_VALIDATION : GPT_SOURCE_TRAIN),
						size >> 20, gpt_settings_max_memory() >> 20),
				 errdetail("Encoding a text takes up to %d times its size.", ROW_MEMORY),
				 errhint("Cut the text into several rows, or raise gpt.max_memory.")));
	record.size = (uint32) size;
	hash_row(record.hash, spool, row);
	if (spool->task->prompted && !spool->marked)
		note_ending(spool, row);
	if (spool->labels != NULL)
		record.label = gpt_label_table_add(spool->labels, row->labels, row->n_labels);
	record.row = row->number;
	if (spool->flag)
		record.flags |= GPT_ROW_VALIDATION_QUERY;
	if (spool->flag || row->validation)
		record.flags |= GPT_ROW_VALIDATION;

	gpt_spool_count(spool, &record);
	if (spool->bytes[GPT_SIDE_TRAIN] + spool->bytes[GPT_SIDE_VALIDATION] >
		(int64) gpt_max_corpus_size * 1024 * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("query returned more text than gpt.max_corpus_size, %d MB",
						gpt_max_corpus_size),
				 errhint("Select fewer rows, or let a superuser raise gpt.max_corpus_size.")));
	gpt_spool_write(spool, &record, row);
	spool->n_records++;
}
