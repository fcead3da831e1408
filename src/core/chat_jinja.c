/*
 * src/core/chat_jinja.c
 *
 * A chat template goes in, the same in Jinja comes out, for programs that run such templates. Its
 * first line is a comment with the template's JSON, by which it is recognised again.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "core/chat.h"

#define COMMENT_BEGIN "{# gpt: "
#define COMMENT_END " #}"

/* The placeholders of a pattern and what Jinja writes for them; {date} depends on the template. */
static const struct
{
	const char *name;
	const char *expression;
} placeholders[] = {
	{"{content}", "content"}, {"{system}", "system_message"},
	{"{bos}", "bos_token"},	  {"{eos}", "eos_token"},
	{"{date}", NULL},		  {"{reasoning}", "('/think' if thinks else '/no_think')"}};

/* Appends a text as a string of Jinja. */
static void
append_string(StringInfo jinja, const char *text, size_t size)
{
	appendStringInfoChar(jinja, '\'');
	for (size_t i = 0; i < size; i++)
	{
		if (text[i] == '\n')
			appendStringInfoString(jinja, "\\n");
		else
		{
			if (text[i] == '\'' || text[i] == '\\')
				appendStringInfoChar(jinja, '\\');
			appendStringInfoChar(jinja, text[i]);
		}
	}
	appendStringInfoChar(jinja, '\'');
}

/* The date itself, or an expression of today's. */
static void
append_date(StringInfo jinja, const GptChatTemplate *template)
{
	const char *form = template->date != NULL ? template->date : "%Y-%m-%d";
	bool today = strchr(form, '%') != NULL;

	appendStringInfoString(jinja, today ? "strftime_now(" : "");
	append_string(jinja, form, strlen(form));
	appendStringInfoString(jinja, today ? ")" : "");
}

/* The number of the placeholder that a text begins with; -1: none. */
static int
placeholder_at(const char *text)
{
	for (int i = 0; i < lengthof(placeholders); i++)
	{
		if (strncmp(text, placeholders[i].name, strlen(placeholders[i].name)) == 0)
			return i;
	}
	return -1;
}

/* Appends a pattern as a sum of strings and variables. */
static void
append_pattern(StringInfo jinja, const char *pattern, const GptChatTemplate *template)
{
	const char *text = pattern;
	const char *plus = "";

	while (*text != '\0')
	{
		size_t literal = 0;
		int number = -1;

		while (text[literal] != '\0' && (number = placeholder_at(text + literal)) < 0)
			literal++;
		if (literal > 0)
		{
			appendStringInfoString(jinja, plus);
			append_string(jinja, text, literal);
			plus = " + ";
		}
		text += literal;
		if (number < 0)
			break;
		appendStringInfoString(jinja, plus);
		if (placeholders[number].expression != NULL)
			appendStringInfoString(jinja, placeholders[number].expression);
		else
			append_date(jinja, template);
		plus = " + ";
		text += strlen(placeholders[number].name);
	}
	if (plus[0] == '\0')
		appendStringInfoString(jinja, "''");
}

/* Appends {{- pattern }}. */
static void
append_output(StringInfo jinja, const char *pattern, const GptChatTemplate *template)
{
	if (pattern == NULL || pattern[0] == '\0')
		return;
	appendStringInfoString(jinja, "{{- ");
	append_pattern(jinja, pattern, template);
	appendStringInfoString(jinja, " }}\n");
}

/* Sets the template's own system message. */
static void
append_default(StringInfo jinja, const GptChatTemplate *template)
{
	appendStringInfoString(jinja, "{%- set system_message = ");
	if (template->default_system == NULL)
		appendStringInfoString(jinja, "none");
	else
	{
		if (template->default_reasoning != NULL)
		{
			append_string(jinja, template->default_reasoning, strlen(template->default_reasoning));
			appendStringInfoString(jinja, " if thinks else ");
		}
		append_string(jinja, template->default_system, strlen(template->default_system));
	}
	appendStringInfoString(jinja, " %}\n");
}

/* Takes the system message, which may switch the reasoning, apart from the others. */
static void
append_system(StringInfo jinja, const GptChatTemplate *template)
{
	bool trims = (template->rules & GPT_CHAT_TRIM) != 0 && template->system != NULL;

	if (template->no_think != NULL)
		appendStringInfoString(jinja, "{%- set thinks = not (enable_thinking is defined and "
									  "enable_thinking is false) %}\n");
	appendStringInfo(jinja,
					 "{%%- if messages[0]['role'] == 'system' %%}\n"
					 "{%%- set system_message = messages[0]['content']%s %%}\n"
					 "{%%- set loop_messages = messages[1:] %%}\n",
					 trims ? " | trim" : "");
	if ((template->rules & GPT_CHAT_THINK_NEVER) != 0)
	{
		appendStringInfoString(
			jinja,
			"{%- if '/no_think' in system_message %}\n{%- set thinks = false %}\n"
			"{%- elif '/think' in system_message %}\n{%- set thinks = true %}\n{%- endif %}\n"
			"{%- set system_message = system_message.replace('/no_think', '').replace('/think', "
			"'').rstrip() %}\n{%- if not system_message %}\n");
		append_default(jinja, template);
		appendStringInfoString(jinja, "{%- endif %}\n");
	}
	appendStringInfoString(jinja, "{%- else %}\n");
	append_default(jinja, template);
	appendStringInfoString(jinja, "{%- set loop_messages = messages %}\n{%- endif %}\n");
	append_output(jinja, template->begin, template);
	if (template->system == NULL)
		return;
	appendStringInfoString(jinja, "{%- if system_message is not none %}\n"
								  "{%- set content = system_message %}\n");
	append_output(jinja, template->system, template);
	appendStringInfoString(jinja, "{%- endif %}\n");
}

static void
append_user(StringInfo jinja, const GptChatTemplate *template)
{
	bool folds = template->system == NULL && template->fold != NULL;

	appendStringInfoString(jinja, "{%- if message['role'] == 'user' %}\n");
	if (folds)
	{
		appendStringInfo(jinja,
						 "{%%- if loop.%s and system_message is not none %%}\n{%%- set content = ",
						 (template->rules & GPT_CHAT_FOLD_LAST) != 0 ? "last" : "first");
		append_pattern(jinja, template->fold, template);
		appendStringInfoString(jinja, " %}\n{%- endif %}\n");
	}
	append_output(jinja, template->user, template);
}

static void
append_assistant(StringInfo jinja, const GptChatTemplate *template)
{
	appendStringInfoString(jinja, "{%- elif message['role'] == 'assistant' %}\n");
	if ((template->rules & GPT_CHAT_TRIM_ANSWERS) != 0)
		appendStringInfoString(jinja, "{%- set content = content | trim %}\n");
	if ((template->rules & GPT_CHAT_FORGET) != 0)
		appendStringInfo(jinja,
						 "{%%- if '</think>' in content %%}\n"
						 "{%%- set content = content.split('</think>')[-1]%s %%}\n{%%- endif %%}\n",
						 (template->rules & GPT_CHAT_THINK_LAST) != 0 ? ".lstrip('\\n')" : "");
	if ((template->rules & GPT_CHAT_THINK_NEVER) != 0)
	{
		appendStringInfoString(jinja, "{%- set content = content.lstrip('\\n') %}\n"
									  "{%- if not thinks %}\n{%- set content = ");
		append_string(jinja, template->no_think, strlen(template->no_think));
		appendStringInfoString(jinja, " + content %}\n{%- endif %}\n");
	}
	append_output(jinja, template->assistant, template);
	appendStringInfoString(jinja, "{%- endif %}\n");
}

char *
gpt_chat_to_jinja(const GptChatTemplate *template, const char *chat)
{
	StringInfoData jinja;

	initStringInfo(&jinja);
	if (strstr(chat, "#}") == NULL)
		appendStringInfo(&jinja, COMMENT_BEGIN "%s" COMMENT_END "\n", chat);
	append_system(&jinja, template);
	appendStringInfoString(&jinja, "{%- for message in loop_messages %}\n");
	if ((template->rules & GPT_CHAT_ALTERNATE) != 0)
		appendStringInfoString(&jinja,
							   "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\n"
							   "{{- raise_exception('user and assistant must take turns') }}\n"
							   "{%- endif %}\n");
	appendStringInfo(&jinja, "{%%- set content = message['content']%s %%}\n",
					 (template->rules & GPT_CHAT_TRIM) != 0 ? " | trim" : "");
	append_user(&jinja, template);
	append_assistant(&jinja, template);
	appendStringInfoString(&jinja, "{%- endfor %}\n{%- if add_generation_prompt %}\n");
	append_output(&jinja, template->prompt, template);
	if (template->no_think != NULL)
	{
		appendStringInfoString(&jinja, "{%- if not thinks %}\n");
		append_output(&jinja, template->no_think, template);
		appendStringInfoString(&jinja, "{%- endif %}\n");
	}
	appendStringInfoString(&jinja, "{%- endif %}\n");
	return jinja.data;
}

char *
gpt_chat_of_jinja(const char *jinja)
{
	const char *begin = jinja + strlen(COMMENT_BEGIN);
	const char *end;

	if (strncmp(jinja, COMMENT_BEGIN, strlen(COMMENT_BEGIN)) != 0)
		return NULL;
	end = strstr(begin, COMMENT_END);
	return end != NULL ? pnstrdup(begin, end - begin) : NULL;
}
