/*
 * src/corpus/languages.h
 *
 * The language of a text, as far as its script or its function words tell it. The words are those
 * of the stop lists that the server has for text search.
 */
#ifndef GPT_LANGUAGES_H
#define GPT_LANGUAGES_H

#include "engine/survey.h"

/* Languages with a stop list. */
typedef struct GptLanguages
{
	LmFunctionWords *words;
	int n;
	const char *names[LM_LANGUAGES];
} GptLanguages;

/* Reads the server's stop lists, in the current memory context; missing ones are left out. */
extern GptLanguages *gpt_languages_load(void);

/* The language of a row; NULL where too little tells it. */
extern const char *gpt_languages_of(const GptLanguages *languages, const LmSurvey *survey);

#endif /* GPT_LANGUAGES_H */
