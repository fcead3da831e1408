/*
 * src/core/chat_template.c
 *
 * The JSON text of a chat template goes in: the name of a known one, a template of Jinja, or an
 * object with the patterns of messages. The template comes out.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "core/chat.h"
#include "core/json_tree.h"

#define MAX_NODES 100

/* A text of a template and the member of an object that gives it. */
typedef struct Member
{
	const char *name;
	size_t offset; /* in GptChatTemplate */
	bool has_content; /* the pattern must have {content} once */
} Member;

#define MEMBER(field, has_content)                            \
	{                                                         \
#field, offsetof(GptChatTemplate, field), has_content \
	}

static const Member members[] = {MEMBER(begin, false),
								 MEMBER(system, true),
								 MEMBER(fold, true),
								 MEMBER(user, true),
								 MEMBER(assistant, true),
								 MEMBER(prompt, false),
								 MEMBER(default_system, false),
								 MEMBER(no_think, false),
								 MEMBER(date, false)};

static const struct
{
	const char *name;
	int rule;
} rules[] = {{"trim", GPT_CHAT_TRIM},
			 {"alternate", GPT_CHAT_ALTERNATE},
			 {"forget_reasoning", GPT_CHAT_FORGET}};

static void
refuse(const char *member, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("member \"%s\" of the chat template %s", member, what)));
}

static const GptChatTemplate *
find(const char *name)
{
	const GptChatTemplate *known;

	for (int i = 0; (known = gpt_chat_known(i)) != NULL; i++)
	{
		if (strcmp(known->name, name) == 0)
			return known;
	}
	return NULL;
}

/* Sets a text of the template; false if it has no such member. */
static bool
take_text(GptChatTemplate *template, const GptJson *value)
{
	for (int i = 0; i < lengthof(members); i++)
	{
		const Member *member = &members[i];
		const char *text = gpt_json_string(value);
		const char *content;

		if (strcmp(member->name, value->name) != 0)
			continue;
		if (value->type != GPT_JSON_NULL && text == NULL)
			refuse(value->name, "is not a text");
		content = text != NULL ? strstr(text, "{content}") : NULL;
		if (text != NULL && member->has_content &&
			(content == NULL || strstr(content + 1, "{content}") != NULL))
			refuse(value->name, "must have {content} once");
		*(const char **) ((char *) template + member->offset) = text;
		return true;
	}
	return false;
}

static bool
take_rule(GptChatTemplate *template, const GptJson *value)
{
	for (int i = 0; i < lengthof(rules); i++)
	{
		if (strcmp(rules[i].name, value->name) != 0)
			continue;
		if (value->type != GPT_JSON_TRUE && value->type != GPT_JSON_FALSE)
			refuse(value->name, "is not a boolean");
		template->rules &= ~rules[i].rule;
		if (value->type == GPT_JSON_TRUE)
			template->rules |= rules[i].rule;
		return true;
	}
	return false;
}

/* A text, or an array of texts. */
static void
take_ends(GptChatTemplate *template, const GptJson *value)
{
	const GptJson *end = value->type == GPT_JSON_ARRAY ? value->first : value;
	int n = 0;

	MemSet(template->ends, 0, sizeof(template->ends));
	for (; end != NULL; end = end == value ? NULL : end->next)
	{
		const char *text = gpt_json_string(end);

		if (text == NULL || text[0] == '\0')
			refuse(value->name, "is not a text, or an array of texts");
		if (n == GPT_CHAT_ENDS)
			refuse(value->name, psprintf("has more than %d texts", GPT_CHAT_ENDS));
		template->ends[n++] = text;
	}
}

/* What follows the content of an answer, without spaces; NULL if that is nothing. */
static char *
end_of_answer(const char *assistant)
{
	const char *end = strstr(assistant, "{content}") + strlen("{content}");
	size_t size;

	end += strspn(end, " \t\n\r");
	for (size = strlen(end); size > 0 && strchr(" \t\n\r", end[size - 1]) != NULL;)
		size--;
	return size > 0 ? pnstrdup(end, size) : NULL;
}

/* Fills in what follows from the rest, and checks that a conversation can be written. */
static void
complete(GptChatTemplate *template)
{
	const char *missing = template->user == NULL		? "user"
						  : template->assistant == NULL ? "assistant"
														: NULL;
	char *end;

	if (missing != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("chat template has no member \"%s\"", missing),
				 errhint("Give it, or \"template\", the name of a known template to change.")));
	if (template->prompt == NULL)
		template->prompt = pnstrdup(template->assistant,
									strstr(template->assistant, "{content}") - template->assistant);
	if (template->ends[0] != NULL || strstr(template->assistant, "{eos}") != NULL)
		return;
	end = end_of_answer(template->assistant);
	if (end == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("chat template does not say how an answer ends"),
						errhint("Put a text, or {eos}, after {content} in \"assistant\", and name "
								"it in \"end\".")));
	template->ends[0] = end;
}

static const GptChatTemplate *
from_object(const GptJson *object)
{
	GptChatTemplate *template = palloc0(sizeof(GptChatTemplate));
	const GptJson *name = gpt_json_field(object, "template");

	if (name != NULL)
	{
		const GptChatTemplate *known = name->type == GPT_JSON_STRING ? find(name->text) : NULL;

		if (known == NULL)
			refuse("template", "is not the name of a known template");
		*template = *known;
	}
	for (const GptJson *value = object->first; value != NULL; value = value->next)
	{
		(void) gpt_json_field(object, value->name);
		if (strcmp(value->name, "template") == 0 || take_text(template, value) ||
			take_rule(template, value))
			continue;
		if (strcmp(value->name, "end") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("chat template has the unknown member \"%s\"", value->name),
					 errhint("Members are template, begin, system, fold, user, assistant, prompt, "
							 "end, default_system, no_think, date, trim, alternate and "
							 "forget_reasoning.")));
		take_ends(template, value);
	}
	complete(template);
	return template;
}

static const GptJson *
parse(const char *json)
{
	const GptJson *tree = gpt_json_parse(json, strlen(json), MAX_NODES, "chat template");

	if (tree->type != GPT_JSON_STRING && tree->type != GPT_JSON_OBJECT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("chat template is neither a text nor an object")));
	return tree;
}

const GptChatTemplate *
gpt_chat_template_parse(const char *json)
{
	const GptJson *tree = parse(json);
	const GptChatTemplate *known;

	if (tree->type == GPT_JSON_OBJECT)
		return from_object(tree);
	known = find(tree->text);
	if (known == NULL)
		return gpt_chat_template_parse(gpt_chat_recognize(tree->text));
	return known;
}

char *
gpt_chat_template_keep(const char *json)
{
	const GptJson *tree = parse(json);

	if (tree->type == GPT_JSON_OBJECT)
		(void) from_object(tree);
	else if (find(tree->text) == NULL)
		return gpt_chat_recognize(tree->text);
	return pstrdup(json);
}
