/*
 * src/engine/text/word_survey_private.h
 *
 * What counting (word_survey.c) and writing (word_counts.c) know of a survey.
 */
#ifndef LM_TEXT_WORD_SURVEY_PRIVATE_H
#define LM_TEXT_WORD_SURVEY_PRIVATE_H

#include "engine/word_counts.h"
#include "text/word_counter.h"

/* Rows have a tag from 1 to this. Two rows have the same by chance only: one pair in 2^51. */
#define LM_ROW_TAGS (((int64_t) 1 << 51) - 1)

/* Words with their counts, and, where rows are counted, in place of counts: */
typedef struct LmSurveyTable
{
	LmWords words;
	LmWords rows; /* the tag of the only row that has the word; above LM_ROW_TAGS: two have it */
} LmSurveyTable;

struct LmWordSurvey
{
	LmHost host;
	LmWordSurveyOptions options; /* without the pattern */
	LmWordCounter *counter; /* of one text */
	LmSurveyTable tables[LM_N_SURVEYED];
	int64_t row; /* the tag of the text's */
	bool full;
};

#endif /* LM_TEXT_WORD_SURVEY_PRIVATE_H */
