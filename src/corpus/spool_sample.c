/*
 * src/corpus/spool_sample.c
 *
 * A spool and a share go in; a spool of so many of its training rows comes out, drawn as those of a
 * replay are: of a text that is in six of ten rows six of ten, and the same ones in whatever order
 * the rows are stored.
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"

#include "corpus/replay.h"
#include "corpus/spool_private.h"

/* bytes of a text without a prompt; the beginning of a longer one is enough */
#define LONGEST_TEXT (1024 * 1024)

static bool next_row(GptSpool *spool, bool *in_row, GptProgress *progress);
static void copy_row(GptSpool *sample, const GptSpool *spool);

GptSpool *
gpt_spool_sample(GptSpool *spool, double share, GptProgress *progress)
{
	GptSpool *sample = palloc(sizeof(GptSpool));
	GptReplay *drawn = gpt_replay_create(0);
	bool in_row = false;

	*sample = *spool;
	sample->is_sample = true;
	sample->file = BufFileCreateTemp(false);
	sample->text = NULL;
	sample->capacity = 0;
	sample->dropped = NULL;
	sample->repeats = NULL;
	sample->documents = 0;
	MemSet(sample->bytes, 0, sizeof(sample->bytes));
	MemSet(sample->side_documents, 0, sizeof(sample->side_documents));

	gpt_spool_rewind(spool);
	while (next_row(spool, &in_row, progress))
		gpt_replay_count(drawn, spool->record.hash[1]);
	gpt_replay_choose(drawn, (int64) ceil(share * (double) drawn->counts->n_rows));
	gpt_spool_rewind(spool);
	in_row = false;
	while (next_row(spool, &in_row, progress))
	{
		if (gpt_replay_draw(drawn, spool->record.hash[1]))
			copy_row(sample, spool);
	}
	gpt_replay_free(drawn);
	gpt_spool_rewind(sample);
	return sample;
}

/* The next row of the training side is in spool->record and spool->text. *in_row: false at first.
 */
static bool
next_row(GptSpool *spool, bool *in_row, GptProgress *progress)
{
	GptDocument document;

	while (gpt_spool_next(&document, spool))
	{
		bool begins = !*in_row;

		gpt_progress_tick(progress);
		*in_row = spool->next_document > 0;
		if (begins && document.side == GPT_SIDE_TRAIN)
			return true;
	}
	return false;
}

static void
copy_row(GptSpool *sample, const GptSpool *spool)
{
	GptSpoolRecord record = spool->record;

	if (record.size > LONGEST_TEXT && record.size == record.sizes[GPT_TEXT_MAIN])
	{
		record.size =
			(uint32) pg_encoding_mbcliplen(PG_UTF8, spool->text, (int) record.size, LONGEST_TEXT);
		record.sizes[GPT_TEXT_MAIN] = record.size;
	}
	BufFileWrite(sample->file, &record, sizeof(record));
	BufFileWrite(sample->file, spool->text, record.size);
	sample->documents++;
	sample->bytes[GPT_SIDE_TRAIN] += record.size;
	sample->side_documents[GPT_SIDE_TRAIN]++;
}
