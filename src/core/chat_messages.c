/*
 * src/core/chat_messages.c
 *
 * JSON goes in, the messages of a conversation come out; and whether they follow the rules of a
 * template.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "core/chat.h"
#include "core/compat.h"
#include "core/json_tree.h"
#include "core/words.h"

#define MAX_NODES (1 << 20)

/* ---- Reading ------------------------------------------------------------ */

const char *
gpt_chat_role_name(int role)
{
	static const char *const names[] = {"system", "user", "assistant"};

	return role >= 0 && role < lengthof(names) ? names[role] : NULL;
}

static void
refuse(const GptChat *chat, int number, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("message %d%s %s", number, chat->where, what)));
}

static void
read_message(GptChat *chat, const GptJson *object)
{
	GptChatMessage *message = &chat->messages[chat->n++];
	const GptJson *role = gpt_json_field(object, "role");
	const GptJson *content = gpt_json_field(object, "content");
	int number;

	if (object->type != GPT_JSON_OBJECT)
		refuse(chat, chat->n, "is not an object");
	if (role == NULL || role->type != GPT_JSON_STRING)
		refuse(chat, chat->n,
			   role == NULL ? "has no \"role\"" : "has a \"role\" that is not a text");
	number = gpt_word_find(gpt_chat_role_name, role->text, strlen(role->text));
	if (number < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("message %d%s has the unknown role \"%s\"", chat->n, chat->where,
							   role->text),
						errhint("Roles are %s.", gpt_words_list(gpt_chat_role_name, ", "))));
	if (content == NULL || content->type != GPT_JSON_STRING)
		refuse(chat, chat->n,
			   content == NULL ? "has no \"content\"" : "has a \"content\" that is not a text");
	message->role = (GptChatRole) number;
	message->content = content->text;
	message->size = strlen(content->text);
}

void
gpt_chat_read(GptChat *chat, const char *json, size_t size, const char *where)
{
	const GptJson *tree = gpt_json_parse(json, size, MAX_NODES, psprintf("messages%s", where));

	chat->where = where;
	chat->n = 0;
	if (tree->type == GPT_JSON_STRING)
	{
		chat->messages = palloc(sizeof(GptChatMessage));
		chat->messages[chat->n++] = (GptChatMessage){GPT_CHAT_USER, tree->text, strlen(tree->text)};
		return;
	}
	if (tree->type != GPT_JSON_ARRAY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("messages%s are not an array", where),
						errhint("Write [{\"role\": \"user\", \"content\": \"...\"}].")));
	if (tree->count == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("messages%s are an empty array", where),
						errhint("Write [{\"role\": \"user\", \"content\": \"...\"}].")));
	chat->messages = palloc(tree->count * sizeof(GptChatMessage));
	for (const GptJson *object = tree->first; object != NULL; object = object->next)
		read_message(chat, object);
}

void
gpt_chat_read_jsonb(GptChat *chat, Jsonb *json, const char *where)
{
	char *text = JsonbToCString(NULL, &json->root, (int) VARSIZE(json));

	gpt_chat_read(chat, text, strlen(text), where);
}

void
gpt_chat_clean(LmCleaned *whole, GptChat *chat, GptCleaner *cleaner)
{
	int n_answers = 0, n_short[2] = {0, 0};

	*whole = (LmCleaned){0};
	if (cleaner == NULL)
		return;
	for (int i = 0; i < chat->n; i++)
	{
		GptChatMessage *message = &chat->messages[i];
		bool answer = message->role == GPT_CHAT_ASSISTANT;
		LmCleaned cleaned;
		LmBytes text =
			gpt_cleaner_text(&cleaned, cleaner, (LmBytes){message->content, message->size}, 0);

		message->content = text.data;
		message->size = text.size;
		n_answers += answer;
		n_short[answer] += cleaned.too_short;
		whole->changed = whole->changed || cleaned.changed;
		for (int j = 0; j < LM_N_MASKS; j++)
			whole->masks[j] += cleaned.masks[j];
	}
	whole->too_short = n_answers > 0 ? n_short[1] == n_answers : n_short[0] == chat->n;
}

/* ---- Rules -------------------------------------------------------------- */

/* What is wrong with a conversation. */
typedef enum Fault
{
	FAULT_NONE,
	FAULT_SYSTEM_LATER,
	FAULT_TURN,
	FAULT_NO_SYSTEM,
	FAULT_SYSTEM_ALONE,
	FAULT_ANSWERED,
} Fault;

/* The speaker whose turn it is where user and assistant alternate. */
static GptChatRole
role_of_turn(const GptChat *chat, int i)
{
	int first = chat->messages[0].role == GPT_CHAT_SYSTEM ? 1 : 0;

	return (i - first) % 2 == 0 ? GPT_CHAT_USER : GPT_CHAT_ASSISTANT;
}

/* The first fault, and in *number the message that has it; prompts: the model shall answer. */
static Fault
find_fault(int *number, const GptChat *chat, const GptChatTemplate *template, bool prompts)
{
	bool has_system = chat->messages[0].role == GPT_CHAT_SYSTEM;
	bool alternates = (template->rules & GPT_CHAT_ALTERNATE) != 0;

	for (int i = 0; i < chat->n; i++)
	{
		*number = i + 1;
		if (i > 0 && chat->messages[i].role == GPT_CHAT_SYSTEM)
			return FAULT_SYSTEM_LATER;
		if (alternates && !(i == 0 && has_system) &&
			chat->messages[i].role != role_of_turn(chat, i))
			return FAULT_TURN;
	}
	*number = 1;
	if (has_system && template->system == NULL && template->fold == NULL)
		return FAULT_NO_SYSTEM;
	if (has_system && template->system == NULL && chat->n == 1)
		return FAULT_SYSTEM_ALONE;
	*number = chat->n;
	return prompts && chat->messages[chat->n - 1].role != GPT_CHAT_USER ? FAULT_ANSWERED
																		: FAULT_NONE;
}

bool
gpt_chat_fits(const GptChat *chat, const GptChatTemplate *template)
{
	int number;

	return find_fault(&number, chat, template, true) == FAULT_NONE;
}

void
gpt_chat_check(const GptChat *chat, const GptChatTemplate *template, bool prompts)
{
	int number;
	Fault fault = find_fault(&number, chat, template, prompts);
	const char *role = gpt_chat_role_name(chat->messages[number - 1].role);

	switch (fault)
	{
		case FAULT_NONE:
			return;
		case FAULT_SYSTEM_LATER:
			refuse(chat, number, "is of role \"system\", which only the first one may have");
			break;
		case FAULT_TURN:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("message %d%s is of role \"%s\", but it is the turn of \"%s\"", number,
							chat->where, role, gpt_chat_role_name(role_of_turn(chat, number - 1))),
					 errdetail("The model's chat template wants user and assistant to alternate, "
							   "after a system message that may come first.")));
			break;
		case FAULT_NO_SYSTEM:
			refuse(chat, number,
				   "is of role \"system\", which the model's chat template does not have");
			break;
		case FAULT_SYSTEM_ALONE:
			refuse(chat, number, "is of role \"system\", and no message of the user follows it");
			break;
		case FAULT_ANSWERED:
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("message %d%s, the last one, is of role \"%s\"", number,
								   chat->where, role),
							errhint("The model answers a message of the user.")));
			break;
	}
}
