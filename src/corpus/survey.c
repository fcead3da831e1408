/*
 * src/corpus/survey.c
 *
 * A spool goes in, the survey of its rows comes out, as bytes.
 */
#include "postgres.h"

#include "libpq/pqformat.h"
#include "port/pg_crc32c.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/compat.h"
#include "core/settings.h"
#include "corpus/bpe_options.h"
#include "corpus/survey.h"
#include "corpus/survey_private.h"
#include "corpus/tokenizer_sample.h"

#define MEASURED_SIZE (1024 * 1024) /* bytes of text that a tokenizer encodes */

static void measure_rows(GptSurvey *survey, GptSpool *spool, GptProgress *progress);
static void count_labels(GptSurvey *survey, GptSpool *spool, const GptDocument *document);
static LmWordSurvey *count_words(GptSurvey *survey, const GptTrainOptions *options, GptSpool *spool,
								 MemoryContext context, GptProgress *progress);
static bool count_sample(LmWordSurvey *words, GptSurvey *survey, GptSpool *spool, double share,
						 GptProgress *progress);
static void count_tokens(GptSurvey *survey, GptSpool *spool, LmTokenizer *tokenizer,
						 GptProgress *progress);
static void write_table(GptSurveyWords *table, LmWordSurvey *words, LmSurveyed which, int64 floor,
						size_t most);
static bytea *write_bytes(const GptSurvey *survey);
static void write_text(StringInfo buffer, LmBytes text);
static void write_words(StringInfo buffer, const GptSurveyWords *words);

bytea *
gpt_survey_write(const GptTrainOptions *options, GptSpool *spool, int64 floor,
				 LmTokenizer *tokenizer, GptProgress *progress)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gpt survey", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	GptSurvey *survey = palloc0(sizeof(GptSurvey));
	const LmBpeOptions split = gpt_bpe_options(options);
	LmWordSurvey *counted = NULL;
	bytea *bytes;

	survey->task = gpt_spool_task(spool);
	survey->marked = gpt_spool_marked(spool);
	survey->has_words = tokenizer == NULL;
	survey->normalize = options->normalize;
	survey->split = pstrdup(split.pattern != NULL ? split.pattern : "");
	survey->floor = floor;
	survey->documents = gpt_spool_documents(spool);
	survey->skipped = gpt_spool_skipped(spool);
	survey->held_out = gpt_spool_side_documents(spool, GPT_SIDE_VALIDATION);
	for (int side = 0; side < GPT_N_SIDES; side++)
		survey->side_bytes[side] = gpt_spool_bytes(spool, side);
	if (survey->documents >= floor)
		survey->ending = gpt_spool_ending(spool);
	gpt_spool_read_contents(spool, true);
	measure_rows(survey, spool, progress);
	if (tokenizer != NULL)
		count_tokens(survey, spool, tokenizer, progress);
	else
	{
		counted = count_words(survey, options, spool, context, progress);
		write_table(&survey->words, counted, LM_SURVEYED_WORDS, floor, GPT_MOST_WORDS);
		write_table(&survey->characters, counted, LM_SURVEYED_CHARACTERS, floor,
					GPT_MOST_CHARACTERS);
	}
	gpt_spool_read_contents(spool, false);
	MemoryContextSwitchTo(caller);
	bytes = write_bytes(survey);
	MemoryContextDelete(context);
	return bytes;
}

/* ---- Rows --------------------------------------------------------------- */

static void
measure_rows(GptSurvey *survey, GptSpool *spool, GptProgress *progress)
{
	const GptLabels *labels = gpt_spool_labels(spool);
	size_t size = 0;
	GptDocument document;

	survey->texts.task = survey->task;
	survey->texts.bytes = survey->side_bytes[GPT_SIDE_TRAIN];
	if (survey->task->measured)
		survey->moments = gpt_spool_moments(spool);
	else if (labels != NULL)
	{
		survey->sets = labels->sets.n_sets > 0;
		survey->n_labels = labels->n;
		survey->labels = palloc0(Max(labels->n, 1) * sizeof(GptSurveyLabel));
		for (int i = 0; i < labels->n; i++)
			survey->labels[i].name = pstrdup(labels->names[i]);
	}
	gpt_spool_rewind(spool);
	while (gpt_spool_next(&document, spool))
	{
		gpt_progress_tick(progress);
		size += document.size;
		if (document.side == GPT_SIDE_TRAIN)
			survey->texts.characters += gpt_tokenizer_characters(document.text, document.size);
		if (document.is_prompt || document.is_pair)
			continue;
		if (survey->n_labels > 0)
			count_labels(survey, spool, &document);
		if (document.side == GPT_SIDE_TRAIN)
		{
			survey->texts.rows++;
			survey->texts.short_rows += gpt_tokenizer_row_is_short(survey->task, size);
			gpt_lengths_by_size_add(&survey->lengths, size);
		}
		size = 0;
	}
	/* A prompt is read with each of its answers. */
	survey->texts.characters = Min(survey->texts.characters, survey->texts.bytes);
}

static void
count_labels(GptSurvey *survey, GptSpool *spool, const GptDocument *document)
{
	const GptLabels *labels = gpt_spool_labels(spool);
	uint64_t n = 1;
	const uint32_t *members = &document->label;

	if (survey->sets)
		members = lm_label_set(&n, &labels->sets, document->label);
	for (uint64_t i = 0; i < n; i++)
		survey->labels[members[i]].n_rows[document->side]++;
}

/* ---- Words -------------------------------------------------------------- */

static void
free_survey(void *survey)
{
	lm_word_survey_free(survey);
}

/* In the context, which also gives back what ICU holds. */
static LmWordSurvey *
start_counting(const GptTrainOptions *options, int64 floor, MemoryContext context)
{
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));
	LmBpeOptions split = gpt_bpe_options(options);
	LmWordSurveyOptions counting = {
		.pattern = split.pattern,
		.normalize_nfc = split.normalize_nfc,
		.normalize_nfkc = split.normalize_nfkc,
		.rows = floor > 1,
		.characters = true,
		.memory = (size_t) gpt_settings_max_memory() / 2,
	};
	LmError error;
	LmWordSurvey *words = lm_word_survey_create(gpt_bridge_host(context), &counting, &error);

	if (words == NULL)
		gpt_bridge_raise(&error);
	*callback = (MemoryContextCallback){.func = free_survey, .arg = words};
	MemoryContextRegisterResetCallback(context, callback);
	return words;
}

/* A smaller sample where the words need too much memory. */
static LmWordSurvey *
count_words(GptSurvey *survey, const GptTrainOptions *options, GptSpool *spool,
			MemoryContext context, GptProgress *progress)
{
	double share = Min(1, gpt_tokenizer_sample_share(options, spool));

	for (;;)
	{
		MemoryContext own =
			AllocSetContextCreate(context, "gpt counted words", ALLOCSET_DEFAULT_SIZES);
		LmWordSurvey *words = start_counting(options, survey->floor, own);

		gpt_tokenizer_sample_check(share);
		if (count_sample(words, survey, spool, share, progress))
			return words;
		MemoryContextDelete(own);
		share /= 2;
	}
}

/* A prompt is read with each of its answers, and its bytes are counted again. */
static void
limit_counted(GptSurvey *survey)
{
	int64 all = survey->texts.bytes;

	if (survey->counted_bytes <= all)
		return;
	survey->counted_tokens =
		(int64) ((double) survey->counted_tokens * (double) all / (double) survey->counted_bytes);
	survey->counted_bytes = all;
}

/* False when the words of that share need too much memory. */
static bool
count_sample(LmWordSurvey *words, GptSurvey *survey, GptSpool *spool, double share,
			 GptProgress *progress)
{
	GptTokenizerSample sample = gpt_tokenizer_sample_begin(spool, share, progress);
	GptDocument document;
	LmError error;
	bool fits = true;

	survey->counted_bytes = 0;
	while (fits && gpt_tokenizer_sample_next(&document, &sample, progress))
	{
		LmBytes text = {document.text, document.size};

		survey->counted_bytes += (int64) document.size;
		while (fits && !lm_word_survey_add(words, text, document.hash[1], &error))
		{
			fits = !lm_word_survey_full(words);
			if (fits)
				gpt_bridge_retry_row(&error, document.query, document.row);
		}
	}
	gpt_tokenizer_sample_end(&sample);
	limit_counted(survey);
	return fits;
}

/* Encodes a sample. */
static void
count_tokens(GptSurvey *survey, GptSpool *spool, LmTokenizer *tokenizer, GptProgress *progress)
{
	double share = (double) MEASURED_SIZE / (double) Max(survey->texts.bytes, 1);
	GptTokenizerSample sample = gpt_tokenizer_sample_begin(spool, share, progress);
	LmTokens tokens = {NULL};
	GptDocument document;
	LmError error;

	while (survey->counted_bytes < 16 * MEASURED_SIZE &&
		   gpt_tokenizer_sample_next(&document, &sample, progress))
	{
		tokens.count = 0;
		while (!lm_tokenizer_encode(tokenizer, &tokens, document.text, document.size, &error))
			gpt_bridge_retry_row(&error, document.query, document.row);
		survey->counted_bytes += (int64) document.size;
		survey->counted_tokens += (int64) tokens.count;
	}
	lm_tokens_free(gpt_bridge_host(CurrentMemoryContext), &tokens);
	gpt_tokenizer_sample_end(&sample);
	limit_counted(survey);
}

/* The table lives as long as the words. */
static void
write_table(GptSurveyWords *table, LmWordSurvey *words, LmSurveyed which, int64 floor, size_t most)
{
	LmWordTable written;
	LmError error;

	while (!lm_word_survey_write(&written, words, which, floor, most, &error))
		gpt_bridge_retry(&error);
	*table = (GptSurveyWords){written.floor, written.n, written.n_rare, written.rare_occurrences,
							  written.bytes};
}

/* ---- Bytes -------------------------------------------------------------- */

static bytea *
write_bytes(const GptSurvey *survey)
{
	StringInfoData buffer;
	pg_crc32c crc;
	bytea *bytes;
	int n_lengths = 0;

	initStringInfo(&buffer);
	enlargeStringInfo(&buffer, VARHDRSZ);
	buffer.len = VARHDRSZ;
	appendBinaryStringInfo(&buffer, GPT_SURVEY_MAGIC, GPT_SURVEY_MAGIC_SIZE);
	pq_sendint32(&buffer, GPT_SURVEY_VERSION);
	pq_sendint32(&buffer, 0); /* for the CRC */

	write_text(&buffer, (LmBytes){survey->task->name, strlen(survey->task->name)});
	pq_sendbyte(&buffer, survey->marked);
	pq_sendbyte(&buffer, survey->sets);
	pq_sendbyte(&buffer, survey->has_words);
	pq_sendbyte(&buffer, (uint8) survey->normalize);
	write_text(&buffer, (LmBytes){survey->split, strlen(survey->split)});
	pq_sendint64(&buffer, survey->floor);
	pq_sendint64(&buffer, survey->documents);
	pq_sendint64(&buffer, survey->skipped);
	pq_sendint64(&buffer, survey->held_out);
	for (int side = 0; side < GPT_N_SIDES; side++)
		pq_sendint64(&buffer, survey->side_bytes[side]);
	pq_sendint64(&buffer, survey->counted_bytes);
	pq_sendint64(&buffer, survey->counted_tokens);
	pq_sendint64(&buffer, survey->texts.rows);
	pq_sendint64(&buffer, survey->texts.short_rows);
	pq_sendint64(&buffer, survey->texts.characters);
	pq_sendfloat8(&buffer, survey->moments.weight);
	pq_sendfloat8(&buffer, survey->moments.mean);
	pq_sendfloat8(&buffer, survey->moments.squares);
	write_text(&buffer, survey->ending);

	for (int i = 0; i < GPT_SIZE_COUNTS; i++)
		n_lengths += survey->lengths.n[i] > 0;
	pq_sendint32(&buffer, n_lengths);
	for (int i = 0; i < GPT_SIZE_COUNTS; i++)
	{
		if (survey->lengths.n[i] == 0)
			continue;
		pq_sendint32(&buffer, i);
		pq_sendint64(&buffer, survey->lengths.n[i]);
		pq_sendint64(&buffer, survey->lengths.bytes[i]);
	}
	pq_sendint32(&buffer, survey->n_labels);
	for (int i = 0; i < survey->n_labels; i++)
	{
		write_text(&buffer, (LmBytes){survey->labels[i].name, strlen(survey->labels[i].name)});
		for (int side = 0; side < GPT_N_SIDES; side++)
			pq_sendint64(&buffer, survey->labels[i].n_rows[side]);
	}
	write_words(&buffer, &survey->words);
	write_words(&buffer, &survey->characters);

	crc = gpt_survey_crc((LmBytes){buffer.data + VARHDRSZ, buffer.len - VARHDRSZ});
	crc = pg_hton32(crc);
	memcpy(buffer.data + VARHDRSZ + GPT_SURVEY_CRC_AT, &crc, sizeof(crc));
	bytes = (bytea *) buffer.data;
	SET_VARSIZE(bytes, buffer.len);
	return bytes;
}

static void
write_text(StringInfo buffer, LmBytes text)
{
	pq_sendint32(buffer, (uint32) text.size);
	pq_sendbytes(buffer, text.data != NULL ? text.data : "", (int) text.size);
}

static void
write_words(StringInfo buffer, const GptSurveyWords *words)
{
	pq_sendint64(buffer, words->floor);
	pq_sendint64(buffer, words->n);
	pq_sendint64(buffer, words->n_rare);
	pq_sendint64(buffer, words->rare_occurrences);
	write_text(buffer, words->table);
}
