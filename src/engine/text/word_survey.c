/*
 * src/engine/text/word_survey.c
 *
 * Texts in, their words with their counts out, and of each word whether it stands in two different
 * rows. A counter of the trainers counts one text at a time; its words go into the survey's tables.
 */
#include "engine/word_counts.h"
#include "text/array.h"
#include "text/utf8.h"
#include "text/word_counter.h"
#include "text/word_survey_private.h"

#define LARGE_SCRATCH                                                          \
	32768 /* words of a text, from which on its table is not kept for the next \
		   */

static bool add_words(LmWordSurvey *survey, const LmWords *words, LmError *error);
static bool add_characters(LmWordSurvey *survey, LmBytes word, int64_t count, LmError *error);
static bool add(LmSurveyTable *table, LmBytes word, int64_t count, const LmWordSurvey *survey,
				LmError *error);

LmWordSurvey *
lm_word_survey_create(const LmHost *host, const LmWordSurveyOptions *options, LmError *error)
{
	LmWordSurvey *survey = lm_array_allocate(host, 1, sizeof *survey, error);
	LmCounterOptions counting = {.pattern = options->pattern,
								 .normalize_nfc = options->normalize_nfc,
								 .normalize_nfkc = options->normalize_nfkc};

	if (!survey)
		return NULL;
	survey->host = *host;
	survey->options = *options;
	survey->options.pattern = NULL;
	for (int i = 0; i < LM_N_SURVEYED; i++)
		survey->tables[i].words.host = survey->tables[i].rows.host = *host;
	survey->counter = lm_counter_create(host, &counting, error);
	if (survey->counter)
		return survey;
	lm_word_survey_free(survey);
	return NULL;
}

void
lm_word_survey_free(LmWordSurvey *survey)
{
	LmHost host;

	if (!survey)
		return;
	host = survey->host;
	lm_counter_free(survey->counter);
	for (int i = 0; i < LM_N_SURVEYED; i++)
	{
		lm_words_free(&survey->tables[i].words);
		lm_words_free(&survey->tables[i].rows);
	}
	lm_free(&host, survey);
}

bool
lm_word_survey_full(const LmWordSurvey *survey)
{
	return survey->full;
}

bool
lm_word_survey_add(LmWordSurvey *survey, LmBytes text, uint64_t row, LmError *error)
{
	const LmWords *words;
	bool good;

	survey->row = (int64_t) (row % LM_ROW_TAGS) + 1;
	if (!lm_counter_add(survey->counter, &text, 1, NULL, error) ||
		!(words = lm_counter_words(survey->counter, error)))
		return false;
	good = add_words(survey, words, error);
	if (words->count > LARGE_SCRATCH)
		lm_counter_release(survey->counter);
	else
		lm_counter_clear(survey->counter);
	return good;
}

static bool
add_words(LmWordSurvey *survey, const LmWords *words, LmError *error)
{
	LmWordCursor cursor = {0, 0};
	size_t size = 0;
	int64_t count;
	LmBytes word;

	while (lm_words_next(words, &cursor, &word, &count))
		if (!add(&survey->tables[LM_SURVEYED_WORDS], word, count, survey, error) ||
			(survey->options.characters && !add_characters(survey, word, count, error)))
			return false;
	for (int i = 0; i < LM_N_SURVEYED; i++)
		size +=
			lm_words_memory(&survey->tables[i].words) + lm_words_memory(&survey->tables[i].rows);
	survey->full = survey->options.memory > 0 && size > survey->options.memory;
	return !survey->full || lm_fail(error, LM_ERR_LIMIT, -1, "words need more memory than %zu MB",
									survey->options.memory >> 20);
}

static bool
add_characters(LmWordSurvey *survey, LmBytes word, int64_t count, LmError *error)
{
	int length;

	for (size_t i = 0; i < word.size; i += (size_t) length)
	{
		lm_utf8_decode(word.data + i, &length);
		if (!add(&survey->tables[LM_SURVEYED_CHARACTERS], (LmBytes){word.data + i, (size_t) length},
				 count, survey, error))
			return false;
	}
	return true;
}

/* The count of a word in `rows` is the tag of its first row, and LM_ROW_TAGS + 1 once a second. */
static bool
add(LmSurveyTable *table, LmBytes word, int64_t count, const LmWordSurvey *survey, LmError *error)
{
	int64_t tag = 0;

	if (!lm_words_add(&table->words, word, count, error))
		return false;
	if (!survey->options.rows)
		return true;
	tag = lm_words_count(&table->rows, word);
	if (tag == 0)
		return lm_words_add(&table->rows, word, survey->row, error);
	if (tag <= LM_ROW_TAGS && tag != survey->row)
		lm_words_put(&table->rows, &word, 1, LM_ROW_TAGS + 1);
	return true;
}
