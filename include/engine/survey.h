/*
 * include/engine/survey.h
 *
 * A look at a text: how many letters of each script it has, whether it has HTML, addresses or
 * control characters, and how many of its words are function words of which language.
 */
#ifndef LM_SURVEY_H
#define LM_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/host.h"
#include "engine/tokenizer.h"

#define LM_SCRIPTS 256 /* more than ICU knows */
#define LM_LANGUAGES 32 /* of function words, at most */

/* What a text has at least one of. */
typedef enum LmTrait
{
	LM_TRAIT_HTML, /* a tag of HTML, a comment, or a character reference such as &amp; */
	LM_TRAIT_URL,
	LM_TRAIT_EMAIL, /* an e-mail address */
	LM_TRAIT_CONTROL, /* a control character but tab and line ends, or one without width */
	LM_N_TRAITS
} LmTrait;

/* Function words of languages, which are numbered by the caller. */
typedef struct LmFunctionWords LmFunctionWords;

/*
 * _add: the word, in lower case, is one of the language, 0 to LM_LANGUAGES - 1. Words of more than
 * 63 bytes are left out. LM_ERR_MEMORY. _free: NULL is fine.
 */
LmFunctionWords *lm_function_words_create(const LmHost *host, LmError *error);
bool lm_function_words_add(LmFunctionWords *words, LmBytes word, int language, LmError *error);
void lm_function_words_free(LmFunctionWords *words);

/* What was seen in a text, or in several one after the other. Zero it before the first. */
typedef struct LmSurvey
{
	uint32_t traits; /* 1 << LmTrait */
	uint32_t letters[LM_SCRIPTS]; /* characters by script, but those of no single script */
	int n_scripts; /* letters beyond are 0 */
	int n_words; /* the first ones, which were looked up */
	/* function words of each language; one of several languages counts for each a part */
	float function_words[LM_LANGUAGES];
	bool ends; /* the last text ends like a sentence, or has no letter */
} LmSurvey;

/*
 * Adds a valid UTF-8 text of at most 1 GiB. marked: a marked text (engine/marked_text.h), whose
 * contents count. words:
 * NULL where no language is asked for. Linear time; asks should_stop every 64 KiB: LM_ERR_STOPPED.
 */
bool lm_survey_add(LmSurvey *survey, const LmFunctionWords *words, const LmHost *host, LmBytes text,
				   bool marked, LmError *error);

/* ICU's name of a script, such as "Latin"; NULL where it has none. */
const char *lm_script_name(int script);

/* The script of most letters; any where there are none. */
int lm_survey_script(const LmSurvey *survey);

/*
 * The language that the scripts of the letters tell, such as "thai": one that has the script of
 * most letters to itself. NULL where several languages are written in it.
 */
const char *lm_survey_language(const LmSurvey *survey);

#endif /* LM_SURVEY_H */
