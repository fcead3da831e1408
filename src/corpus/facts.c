/*
 * src/corpus/facts.c
 *
 * The documents of a spool go in, facts about the rows come out.
 */
#include "postgres.h"

#include "corpus/facts.h"

/* A row whose documents are being read: a prompt and its completion, or a text that is cut. */
typedef struct Row
{
	uint64 number; /* 0: there is none yet */
	bool of_validation_query;
	int64 size;
} Row;

static void finish_row(GptFacts *facts, const Row *row);

static bool
is_of_validation_query(const GptDocument *document)
{
	return document->query == gpt_source_name(GPT_SOURCE_VALIDATION);
}

GptFacts *
gpt_facts_collect(GptSpool *spool, GptProgress *progress)
{
	GptFacts *facts = palloc0(sizeof(GptFacts));
	Row row = {0};
	GptDocument document;

	facts->skipped = *gpt_spool_why_skipped(spool);
	if (gpt_spool_cleaned(spool) != NULL)
	{
		GptCleanCounts *cleaned = palloc(sizeof(GptCleanCounts));

		*cleaned = *gpt_spool_cleaned(spool);
		facts->cleaned = cleaned;
	}
	facts->documents = gpt_spool_documents(spool);
	facts->rows = facts->documents + gpt_spool_skipped(spool);
	for (int side = 0; side < GPT_N_SIDES; side++)
	{
		facts->side_documents[side] = gpt_spool_side_documents(spool, side);
		facts->side_bytes[side] = gpt_spool_bytes(spool, side);
	}
	gpt_spool_rewind(spool);
	while (gpt_spool_next(&document, spool))
	{
		bool of_validation_query = is_of_validation_query(&document);

		gpt_progress_tick(progress);
		if (document.row != row.number || of_validation_query != row.of_validation_query)
		{
			finish_row(facts, &row);
			row = (Row){document.row, of_validation_query, 0};
		}
		row.size += (int64) document.size;
	}
	finish_row(facts, &row);
	return facts;
}

/* Keeps the longest rows in order; of equal ones, those that came first. */
static void
note_length(GptFacts *facts, const Row *row)
{
	int place = facts->n_longest;

	while (place > 0 && facts->longest[place - 1].size < row->size)
		place--;
	if (place == GPT_FACTS_LONGEST)
		return;
	if (facts->n_longest < GPT_FACTS_LONGEST)
		facts->n_longest++;
	for (int i = facts->n_longest - 1; i > place; i--)
		facts->longest[i] = facts->longest[i - 1];
	facts->longest[place] = (GptLongRow){row->number, row->size, row->of_validation_query};
}

static void
finish_row(GptFacts *facts, const Row *row)
{
	if (row->number == 0)
		return;
	gpt_sizes_add(&facts->bytes, row->size);
	note_length(facts, row);
}
