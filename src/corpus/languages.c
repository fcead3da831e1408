/*
 * src/corpus/languages.c
 *
 * Stop lists go in, and what was seen in a text; the text's language comes out. A script that one
 * language is written in tells it. For the others the function words do: a few of them, at least a
 * twelfth of the words, and clearly more than of any other language.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/fd.h"

#include "core/bridge.h"
#include "corpus/languages.h"

#define LEAST_WORDS 1.0
#define LEAST_SHARE (1.0 / 12)
#define LEAST_LEAD 1.2 /* times the words of the next language */
#define LONGEST_LINE 256

/* The lists of the server; what else is in the folder need not be a language. */
static const char *const listed[] = {"danish",	   "dutch",		"english", "finnish", "french",
									 "german",	   "hungarian", "italian", "nepali",  "norwegian",
									 "portuguese", "russian",	"spanish", "swedish", "turkish"};

static void load_list(GptLanguages *languages, const char *name);
static void add_word(GptLanguages *languages, char *line);

GptLanguages *
gpt_languages_load(void)
{
	GptLanguages *languages = palloc0(sizeof(GptLanguages));
	LmError error;

	languages->words = lm_function_words_create(gpt_bridge_host(CurrentMemoryContext), &error);
	if (languages->words == NULL)
		gpt_bridge_raise(&error);
	for (int i = 0; i < lengthof(listed); i++)
		load_list(languages, listed[i]);
	return languages;
}

/* A report must not fail because of a list: what cannot be read counts as missing. */
static void
load_list(GptLanguages *languages, const char *name)
{
	char sharepath[MAXPGPATH];
	char line[LONGEST_LINE];
	FILE *file;

	get_share_path(my_exec_path, sharepath);
	file = AllocateFile(psprintf("%s/tsearch_data/%s.stop", sharepath, name), "r");
	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL)
		add_word(languages, line);
	FreeFile(file);
	languages->names[languages->n++] = name;
}

static void
add_word(GptLanguages *languages, char *line)
{
	LmBytes word = {line, strcspn(line, " \t\r\n")};
	size_t position;
	LmError error;

	if (lm_utf8_valid(word.data, word.size, &position) &&
		!lm_function_words_add(languages->words, word, languages->n, &error))
		gpt_bridge_raise(&error);
}

const char *
gpt_languages_of(const GptLanguages *languages, const LmSurvey *survey)
{
	const char *told = lm_survey_language(survey);
	double second = 0;
	int best = 0;

	if (told != NULL || survey->n_words == 0)
		return told;
	for (int i = 1; i < languages->n; i++)
	{
		if (survey->function_words[i] > survey->function_words[best])
		{
			second = survey->function_words[best];
			best = i;
		}
		else
			second = Max(second, survey->function_words[i]);
	}
	return languages->n > 0 && survey->function_words[best] >= LEAST_WORDS &&
				   survey->function_words[best] >= LEAST_SHARE * survey->n_words &&
				   survey->function_words[best] >= LEAST_LEAD * second
			   ? languages->names[best]
			   : NULL;
}
