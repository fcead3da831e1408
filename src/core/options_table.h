/*
 * src/core/options_table.h
 *
 * The table of options: names, types, ranges, defaults and descriptions.
 */
#ifndef GPT_OPTIONS_TABLE_H
#define GPT_OPTIONS_TABLE_H

#include "core/options.h"
#include "core/words.h"

/* The types of options, and of their members in GptTrainOptions. */
typedef enum GptOptionType
{
	OPTION_BOOLEAN, /* bool */
	OPTION_INTEGER, /* int64 */
	OPTION_NUMBER, /* double */
	OPTION_WORD, /* an enumerator: of the word in the option's list */
	OPTION_TEXT, /* const char * */
	OPTION_JSON, /* the same: the JSON text of a text or an object */
	OPTION_NAMES, /* the same: the JSON text of an array of different texts, at least one */
} GptOptionType;

/* A row of the table. */
typedef struct GptOption
{
	const char *name;
	int functions;
	GptOptionType type;
	const char *default_value; /* NULL: chosen by the job */
	double minimum; /* of integers and numbers; of names the largest number of them is */
	double maximum;
	GptWordOf word_of; /* of words: the list; "auto" is one too where it is the default */
	size_t offset; /* in GptTrainOptions */
	const char *description;
	/* has a default, but it matters whether it was given: NaN in GptTrainOptions unless it was */
	bool late;
	bool boolean_too; /* a GptSwitch, or JSON that is no text: may be a boolean of JSON */
	/* of words: the meaning of a word; NULL, or returns NULL, if the description has it */
	GptWordOf about;
	const char *zero; /* of integers: a text that stands for 0, below the minimum; or NULL */
	const char *hint; /* of errors about its value; or NULL */
} GptOption;

/* gpt_options_count() rows, in the order of gpt_options(). */
extern const GptOption gpt_options_table[];

#endif /* GPT_OPTIONS_TABLE_H */
