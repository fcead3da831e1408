/*
 * src/core/words.c
 *
 * From a word to its enumerator, and all words of a list.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "core/words.h"

int
gpt_word_find(GptWordOf word_of, const char *word, size_t length)
{
	for (int i = 0; word_of(i) != NULL; i++)
	{
		if (strlen(word_of(i)) == length && memcmp(word_of(i), word, length) == 0)
			return i;
	}
	return -1;
}

char *
gpt_words_list(GptWordOf word_of, const char *last)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; word_of(i) != NULL; i++)
		appendStringInfo(&list, "%s%s",
						 i == 0					  ? ""
						 : word_of(i + 1) != NULL ? ", "
												  : last,
						 word_of(i));
	return list.data;
}
