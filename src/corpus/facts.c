/*
 * src/corpus/facts.c
 *
 * The documents of a spool go in, facts about the rows come out. Sizes are those of all rows. The
 * looks into texts cost more, so of a large corpus a sample is surveyed; it depends on the numbers
 * of the rows only, and the report says how many they are.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "corpus/facts.h"
#include "corpus/languages.h"

#define SAMPLE_SIZE ((double) 8 * 1024 * 1024) /* bytes that are surveyed */
#define LEAST_LOOK ((double) 16 * 1024) /* bytes of one text that are surveyed, if it has them */
#define LONG_DOCUMENT 100 /* bytes, from which a text should have a sentence */

/* A row whose documents are being read: a prompt and its completion, or a text that is cut. */
typedef struct Row
{
	uint64 number; /* 0: there is none yet */
	bool of_validation_query;
	int64 size;
	bool is_surveyed;
	LmSurvey survey;
} Row;

typedef struct Collector
{
	GptFacts *facts;
	const LmHost *host;
	const GptLanguages *languages;
	GptTargetCounter *targets;
	size_t look; /* bytes of one text that are surveyed, at most */
	uint64 limit; /* rows whose mixed number is not larger are surveyed */
	Row row;
} Collector;

static void begin_facts(GptFacts *facts, const GptSpool *spool);
static void choose_sample(Collector *collector);
static void begin_row(Collector *collector, const GptDocument *document, bool of_validation_query);
static void survey_document(Collector *collector, const GptDocument *document);
static void finish_row(Collector *collector);
static void finish_survey(Collector *collector);

GptFacts *
gpt_facts_collect(GptSpool *spool, GptProgress *progress)
{
	GptFacts *facts = palloc0(sizeof(GptFacts));
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt facts", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	Collector *collector = palloc0(sizeof(Collector));
	GptDocument document;

	begin_facts(facts, spool);
	collector->facts = facts;
	collector->host = gpt_bridge_host(context);
	collector->languages = gpt_languages_load();
	collector->targets = gpt_target_counter_create(spool);
	choose_sample(collector);
	gpt_spool_rewind(spool);
	while (gpt_spool_next(&document, spool))
	{
		bool of_validation_query = document.query == gpt_source_name(GPT_SOURCE_VALIDATION);
		const Row *row = &collector->row;

		gpt_progress_tick(progress);
		/* The prompt of two answers counts once. */
		if (document.is_prompt && document.part > 0)
			continue;
		if (document.row != row->number || of_validation_query != row->of_validation_query)
		{
			finish_row(collector);
			begin_row(collector, &document, of_validation_query);
			gpt_target_counter_add(collector->targets, &document);
		}
		collector->row.size += (int64) document.size;
		if (collector->row.is_surveyed)
			survey_document(collector, &document);
	}
	finish_row(collector);
	gpt_target_counter_finish(&facts->targets, collector->targets, GetMemoryChunkContext(facts));
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return facts;
}

static void
begin_facts(GptFacts *facts, const GptSpool *spool)
{
	facts->skipped = *gpt_spool_why_skipped(spool);
	if (gpt_spool_cleaned(spool) != NULL)
	{
		GptCleanCounts *cleaned =
			MemoryContextAlloc(GetMemoryChunkContext(facts), sizeof(GptCleanCounts));

		*cleaned = *gpt_spool_cleaned(spool);
		facts->cleaned = cleaned;
	}
	facts->documents = gpt_spool_documents(spool);
	facts->duplicates = *gpt_spool_duplicates(spool);
	facts->comparison = gpt_spool_comparison(spool);
	facts->by_flag = gpt_spool_holds_out(spool) && gpt_spool_held_out(spool) == NULL;
	facts->rows = facts->documents + gpt_spool_skipped(spool) + facts->duplicates.dropped;
	for (int side = 0; side < GPT_N_SIDES; side++)
	{
		facts->side_documents[side] = gpt_spool_side_documents(spool, side);
		facts->side_bytes[side] = gpt_spool_bytes(spool, side);
	}
}

/* Of few rows more of each is surveyed, of many not each. */
static void
choose_sample(Collector *collector)
{
	const int64 *bytes = collector->facts->side_bytes;
	double n = (double) collector->facts->documents;
	double mean = (double) (bytes[GPT_SIDE_TRAIN] + bytes[GPT_SIDE_VALIDATION]) / n;
	double look = Max(SAMPLE_SIZE / n, LEAST_LOOK);
	double share = SAMPLE_SIZE / (n * Min(mean, look));

	collector->look = (size_t) look;
	collector->limit = share < 1 ? (uint64) (share * (double) PG_UINT64_MAX) : PG_UINT64_MAX;
}

static void
begin_row(Collector *collector, const GptDocument *document, bool of_validation_query)
{
	Row *row = &collector->row;

	row->number = document->row;
	row->of_validation_query = of_validation_query;
	row->size = 0;
	row->is_surveyed =
		document->row == 1 ||
		lm_row_mix(document->row * 2 + (uint64) of_validation_query) <= collector->limit;
	if (row->is_surveyed)
		MemSet(&row->survey, 0, sizeof(LmSurvey));
}

static void
survey_document(Collector *collector, const GptDocument *document)
{
	LmBytes text = {document->text, document->size};
	LmError error;

	if (text.size > collector->look)
		text.size =
			(size_t) pg_encoding_mbcliplen(PG_UTF8, text.data, (int) text.size, collector->look);
	/* Asked to stop for something that raises no error, it looks again: only letters count twice.
	 */
	while (!lm_survey_add(&collector->row.survey, collector->languages->words, collector->host,
						  text, document->marked, &error))
		gpt_bridge_retry(&error);
	if (text.size < document->size)
		collector->row.survey.ends = true;
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
finish_row(Collector *collector)
{
	if (collector->row.number == 0)
		return;
	gpt_sizes_add(&collector->facts->bytes, collector->row.size);
	note_length(collector->facts, &collector->row);
	if (collector->row.is_surveyed)
		finish_survey(collector);
}

static void
count_language(GptFactsSurvey *survey, const char *name)
{
	int i = 0;

	while (i < survey->n_languages && survey->languages[i].name != name)
		i++;
	if (i == GPT_FACTS_LANGUAGES)
		return;
	if (i == survey->n_languages)
		survey->languages[survey->n_languages++] = (GptLanguageCount){name, 0};
	survey->languages[i].n++;
}

static void
finish_survey(Collector *collector)
{
	GptFactsSurvey *all = &collector->facts->survey;
	const LmSurvey *survey = &collector->row.survey;

	all->documents++;
	for (int i = 0; i < survey->n_scripts; i++)
		all->letters[i] += survey->letters[i];
	for (int i = 0; i < LM_N_TRAITS; i++)
		all->traits[i] += survey->traits >> i & 1;
	if (collector->row.size >= LONG_DOCUMENT)
	{
		all->long_documents++;
		all->unended += !survey->ends;
	}
	count_language(all, gpt_languages_of(collector->languages, survey));
}
