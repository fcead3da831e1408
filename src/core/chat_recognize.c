/*
 * src/core/chat_recognize.c
 *
 * The text of a chat template of Jinja goes in, the known template that it is comes out: the pieces
 * of text in it tell the families apart. Nothing of it is run.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"

#include "core/chat.h"

/* A family, by pieces of its templates' texts. The first row that fits is taken. */
typedef struct Family
{
	const char *name;
	const char *has[3]; /* all of them; NULL after the last */
	const char *lacks; /* or NULL */
} Family;

static const Family families[] = {
	{"phi4", {"<|im_start|>", "<|im_sep|>"}, NULL},
	{"smollm3", {"<|im_start|>", "Reasoning Mode: "}, NULL},
	{"qwen3", {"<|im_start|>", "</think>", "enable_thinking"}, NULL},
	{"qwen3-thinking", {"<|im_start|>", "<|im_start|>assistant\\n<think>\\n'", "</think>"}, NULL},
	{"chatml", {"<|im_start|>"}, NULL},
	{"llama3.2", {"<|start_header_id|>", "Cutting Knowledge Date", "strftime_now"}, NULL},
	{"llama3.1", {"<|start_header_id|>", "Cutting Knowledge Date"}, NULL},
	{"llama3", {"<|start_header_id|>"}, NULL},
	{"gemma", {"<start_of_turn>"}, NULL},
	{"llama2", {"[INST]", "<<SYS>>"}, NULL},
	{"mistral-v7", {"[INST]", "[SYSTEM_PROMPT] "}, NULL},
	{"mistral-v7-tekken", {"[INST]", "[SYSTEM_PROMPT]"}, NULL},
	{"mistral-v3-tekken", {"\"[INST]\""}, NULL},
	{"mistral-v3", {"\"[INST] \"", "[/INST]\""}, NULL},
	{"mistral-v1", {"' [INST] '"}, NULL},
	{"mistral", {"'[INST] '", "' [/INST]'"}, NULL},
	{"deepseek-r1", {"<｜Assistant｜><think>\\n"}, NULL},
	{"deepseek3", {"<｜Assistant｜>"}, NULL},
	{"deepseek-coder", {"### Instruction:", "<|EOT|>"}, NULL},
	{"deepseek", {"'User: '", "'Assistant: '", "'Assistant:'"}, NULL},
	{"zephyr", {"<|user|>\\n' + message['content'] + eos_token", "<|assistant|>"}, NULL},
	{"zephyr", {"<|user|>\n' + message['content'] + eos_token", "<|assistant|>"}, NULL},
	{"phi4-mini", {"<|assistant|>", "<|end|>", "'|>' + message['content']"}, "\\n"},
	{"phi3", {"<|assistant|>", "<|end|>"}, NULL},
};

#define FORGETS "split('</think>')[-1]"
#define SYSTEM_START "<|im_start|>system"
#define SYSTEM_END "<|im_end|>"

static bool
fits(const Family *family, const char *jinja)
{
	for (int i = 0; i < lengthof(family->has) && family->has[i] != NULL; i++)
	{
		if (strstr(jinja, family->has[i]) == NULL)
			return false;
	}
	return family->lacks == NULL || strstr(jinja, family->lacks) == NULL;
}

/*
 * The system message that a template of ChatML has for conversations without one: what stands
 * between the beginning and the end of a system turn in one string of the template. NULL: none.
 */
static char *
default_system(const char *jinja)
{
	const char *at = jinja;

	while ((at = strstr(at, SYSTEM_START)) != NULL)
	{
		const char *text = at + strlen(SYSTEM_START);
		const char *end = strstr(text, SYSTEM_END);
		size_t newline = text[0] == '\n' ? 1 : strncmp(text, "\\n", 2) == 0 ? 2 : 0;

		at = text;
		text += newline;
		if (newline > 0 && end != NULL && end > text &&
			strcspn(text, "'\"{}\\") >= (size_t) (end - text))
			return pnstrdup(text, end - text);
	}
	return NULL;
}

/* The name of the known template of ChatML with that system message; NULL if there is none. */
static const char *
name_of_system(const char *text)
{
	const GptChatTemplate *known;

	for (int i = 0; (known = gpt_chat_known(i)) != NULL; i++)
	{
		if (known->default_system != NULL && known->default_reasoning == NULL &&
			strcmp(known->default_system, text) == 0)
			return known->name;
	}
	return NULL;
}

static const GptChatTemplate *
known_of(const char *name)
{
	const GptChatTemplate *known;

	for (int i = 0; (known = gpt_chat_known(i)) != NULL; i++)
	{
		if (strcmp(known->name, name) == 0)
			return known;
	}
	elog(ERROR, "chat template \"%s\" is not in the table", name);
}

static void
raise_unknown(void)
{
	StringInfoData list;
	const GptChatTemplate *known;

	initStringInfo(&list);
	for (int i = 0; (known = gpt_chat_known(i)) != NULL; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", known->name);
	ereport(
		ERROR,
		(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("chat template is not known"),
		 errdetail("The known templates are %s.", list.data),
		 errhint("Name one of them in the option \"chat_template\", or describe the "
				 "template by an object, as {\"user\": \"<|user|>{content}<|end|>\", "
				 "\"assistant\": \"<|assistant|>{content}<|end|>\", \"prompt\": "
				 "\"<|assistant|>\", \"end\": [\"<|end|>\"]}. gpt_import takes \"none\", too.")));
}

/* A family's word, or an object with what this template has otherwise. */
char *
gpt_chat_recognize(const char *jinja)
{
	const char *name = NULL;
	const char *system = NULL;
	bool has_bos = strstr(jinja, "bos_token") != NULL;
	bool forgets = strstr(jinja, FORGETS) != NULL;
	const GptChatTemplate *known;
	bool knows_bos;
	char *own = gpt_chat_of_jinja(jinja);
	StringInfoData json;

	if (own != NULL)
		return gpt_chat_template_keep(own);
	for (int i = 0; i < lengthof(families) && name == NULL; i++)
	{
		if (fits(&families[i], jinja))
			name = families[i].name;
	}
	if (name == NULL)
		raise_unknown();
	if (strcmp(name, "chatml") == 0)
		system = default_system(jinja);
	if (system != NULL && name_of_system(system) != NULL)
	{
		name = name_of_system(system);
		system = NULL;
	}
	known = known_of(name);
	/* Patterns of a turn may have the token as well, as those of Llama 2. */
	knows_bos = known->begin != NULL || strstr(known->user, "{bos}") != NULL;
	forgets = forgets && (known->rules & GPT_CHAT_FORGET) == 0;
	initStringInfo(&json);
	if (system == NULL && knows_bos == has_bos && !forgets)
	{
		escape_json(&json, name);
		return json.data;
	}
	appendStringInfoString(&json, "{\"template\": ");
	escape_json(&json, name);
	if (system != NULL)
	{
		appendStringInfoString(&json, ", \"default_system\": ");
		escape_json(&json, system);
	}
	if (has_bos != knows_bos)
		appendStringInfo(&json, ", \"begin\": \"%s\"", has_bos ? "{bos}" : "");
	if (forgets)
		appendStringInfoString(&json, ", \"forget_reasoning\": true");
	appendStringInfoChar(&json, '}');
	return json.data;
}
