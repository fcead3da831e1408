/*
 * src/core/lora_targets.c
 *
 * The layers that an adapter changes (LmConfig.lora_targets), as words and back.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "core/lora_targets.h"
#include "core/words.h"
#include "engine/config.h"

char *
gpt_lora_targets_words(int targets)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < LM_TARGETS; i++)
	{
		if ((targets >> i & 1) != 0)
			appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", lm_target_name(i));
	}
	return text.data;
}

int
gpt_lora_targets_parse(const char *text, size_t length)
{
	const char *end = text + length;
	int targets = 0;

	for (const char *at = text; at <= end;)
	{
		const char *comma = memchr(at, ',', (size_t) (end - at));
		const char *stop = comma != NULL ? comma : end;
		int word;

		while (at < stop && *at == ' ')
			at++;
		while (stop > at && stop[-1] == ' ')
			stop--;
		word = gpt_word_find(lm_target_name, at, (size_t) (stop - at));
		if (word < 0)
			return 0;
		targets |= 1 << word;
		at = (comma != NULL ? comma : end) + 1;
	}
	return targets;
}
