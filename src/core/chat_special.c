/*
 * src/core/chat_special.c
 *
 * A chat template goes in, the names of its special tokens come out: a tokenizer that is made for
 * conversations has a token for each, so that no message can forge a turn.
 */
#include "postgres.h"

#include "core/chat.h"

#define LONGEST_NAME 64

static bool
is_capital(char c)
{
	return (c >= 'A' && c <= 'Z') || c == '_' || c == '/';
}

/* Bytes of a name at the beginning of a text; 0: none begins there. */
static size_t
name_at(const char *text)
{
	const char *end = text + 1;

	if (*text == '[')
	{
		while (is_capital(*end))
			end++;
		return *end == ']' && end > text + 1 ? (size_t) (end + 1 - text) : 0;
	}
	if (*text != '<')
		return 0;
	/* "<<SYS>>" is one name. */
	while (*end != '\0' && strchr(" \t\r\n{}>", *end) == NULL)
		end++;
	while (*end == '>')
		end++;
	return end[-1] == '>' && end > text + 2 ? (size_t) (end - text) : 0;
}

static int
add_names(const char **names, int n, int most, const char *text)
{
	while (text != NULL && *text != '\0')
	{
		size_t size = name_at(text);
		bool is_known = false;

		for (int i = 0; i < n; i++)
			is_known = is_known || (strlen(names[i]) == size && strncmp(names[i], text, size) == 0);
		if (size > 0 && size <= LONGEST_NAME && !is_known && n < most)
			names[n++] = pnstrdup(text, size);
		text += size > 0 ? size : 1;
	}
	return n;
}

int
gpt_chat_special(const char **names, int most, const GptChatTemplate *chat)
{
	const char *const texts[] = {chat->begin, chat->system,	   chat->fold,
								 chat->user,  chat->assistant, chat->prompt};
	int n = 0;

	for (int i = 0; i < lengthof(texts); i++)
		n = add_names(names, n, most, texts[i]);
	for (int i = 0; i < GPT_CHAT_ENDS && chat->ends[i] != NULL; i++)
		n = add_names(names, n, most, chat->ends[i]);
	return n;
}
