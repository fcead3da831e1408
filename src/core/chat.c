/*
 * src/core/chat.c
 *
 * A conversation goes in, a marked text comes out, by the patterns of a template: what the template
 * says is marked as template, what people said as content. A generated text goes in, the answer in
 * it comes out.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/chat.h"
#include "engine/marked_text.h"

#define DATE_SIZE 64
#define THINK "<think>"
#define END_THINK "</think>"

/* A marked text that is written. */
typedef struct Writer
{
	StringInfo text;
	const GptChatTemplate *template;
	bool reasoning;
	bool is_content; /* the state of the marks */
	bool is_learned;
	/* bytes before the first learned text, and up to the end of the last; both 0: there is none */
	int learned_begin;
	int learned_end;
} Writer;

/* A piece of text. */
typedef struct Piece
{
	const char *data;
	size_t size;
} Piece;

/* What the placeholders of a pattern stand for. */
typedef struct Values
{
	Piece content;
	Piece system; /* folded into the content, unless data is NULL */
} Values;

static void put_pattern(Writer *writer, const char *pattern, size_t size, const Values *values);

/* ---- Writing ------------------------------------------------------------ */

static void
put_mark(Writer *writer, LmMark mark)
{
	appendStringInfoChar(writer->text, '\0');
	appendStringInfoChar(writer->text, (char) mark);
}

static void
put(Writer *writer, const char *data, size_t size, bool is_content)
{
	if (size > 0 && writer->is_content != is_content)
	{
		writer->is_content = is_content;
		put_mark(writer, is_content ? LM_MARK_CONTENT : LM_MARK_TEMPLATE);
	}
	appendBinaryStringInfo(writer->text, data, (int) size);
}

/* What is learned begins as template, so that it can be a text of its own. */
static void
set_learned(Writer *writer, bool is_learned)
{
	if (writer->is_learned == is_learned)
		return;
	if (is_learned && writer->is_content)
	{
		writer->is_content = false;
		put_mark(writer, LM_MARK_TEMPLATE);
	}
	if (is_learned && writer->learned_end == 0)
		writer->learned_begin = writer->text->len;
	if (!is_learned)
		writer->learned_end = writer->text->len;
	writer->is_learned = is_learned;
	put_mark(writer, is_learned ? LM_MARK_LEARNED : LM_MARK_CONTEXT);
}

/* The form of the template, or the date itself; months and days have English names. */
static void
put_date(Writer *writer)
{
	const char *form = writer->template->date != NULL ? writer->template->date : "%Y-%m-%d";
	pg_time_t now = timestamptz_to_time_t(GetCurrentTransactionStartTimestamp());
	char date[DATE_SIZE];

	put(writer, date, pg_strftime(date, sizeof(date), form, pg_localtime(&now, session_timezone)),
		false);
}

/* Writes what a placeholder stands for; returns its length, 0: the text begins with none. */
static size_t
put_placeholder(Writer *writer, const char *text, const Values *values)
{
	static const char *const names[] = {"{content}", "{system}", "{bos}",
										"{eos}",	 "{date}",	 "{reasoning}"};
	int i = 0;

	while (i < lengthof(names) && strncmp(text, names[i], strlen(names[i])) != 0)
		i++;
	switch (i)
	{
		case 0:
			if (values->system.data != NULL)
			{
				Values inner = {values->content};
				const char *fold = writer->template->fold;
				const char *system = strstr(fold, "{system}");

				/* The pattern has {content}, and {system} unless its maker left it out. */
				if (system != NULL)
				{
					put_pattern(writer, fold, system - fold, &inner);
					put(writer, values->system.data, values->system.size, true);
					fold = system + strlen("{system}");
				}
				put_pattern(writer, fold, strlen(fold), &inner);
			}
			else
				put(writer, values->content.data, values->content.size, true);
			break;
		case 1:
			return 0;
		case 2:
			put_mark(writer, LM_MARK_BEGINNING);
			break;
		case 3:
			put_mark(writer, LM_MARK_END);
			break;
		case 4:
			put_date(writer);
			break;
		case 5:
			put(writer, writer->reasoning ? "/think" : "/no_think",
				strlen(writer->reasoning ? "/think" : "/no_think"), false);
			break;
		default:
			return 0;
	}
	return strlen(names[i]);
}

/* Writes a pattern, or a part of one. */
static void
put_pattern(Writer *writer, const char *pattern, size_t size, const Values *values)
{
	size_t i = 0;

	while (i < size)
	{
		size_t literal = 0;
		size_t taken;

		while (i + literal < size && pattern[i + literal] != '{')
			literal++;
		put(writer, pattern + i, literal, false);
		i += literal;
		if (i == size)
			break;
		taken = put_placeholder(writer, pattern + i, values);
		if (taken == 0)
			put(writer, pattern + i, 1, false);
		i += Max(taken, 1);
	}
}

static void
put_whole(Writer *writer, const char *pattern, Piece content)
{
	Values values = {content};

	put_pattern(writer, pattern, strlen(pattern), &values);
}

/* ---- Contents ----------------------------------------------------------- */

static bool
is_space(char byte)
{
	return strchr(" \t\n\r\f\v", byte) != NULL && byte != '\0';
}

static Piece
trim(Piece piece)
{
	while (piece.size > 0 && is_space(piece.data[0]))
		piece = (Piece){piece.data + 1, piece.size - 1};
	while (piece.size > 0 && is_space(piece.data[piece.size - 1]))
		piece.size--;
	return piece;
}

static Piece
trim_newlines(Piece piece, bool at_end)
{
	while (piece.size > 0 && piece.data[0] == '\n')
		piece = (Piece){piece.data + 1, piece.size - 1};
	while (at_end && piece.size > 0 && piece.data[piece.size - 1] == '\n')
		piece.size--;
	return piece;
}

/* The last place of a text in a piece; NULL: none. */
static const char *
find_last(Piece piece, const char *text)
{
	size_t size = strlen(text);

	for (size_t i = piece.size; i >= size; i--)
	{
		if (memcmp(piece.data + i - size, text, size) == 0)
			return piece.data + i - size;
	}
	return NULL;
}

/* Takes an answer apart: what follows </think>, and the reasoning before it; false: it has none. */
static bool
split_reasoning(Piece *reasoning, Piece *answer, Piece content)
{
	const char *end = find_last(content, END_THINK);
	const char *begin;

	*answer = content;
	if (end == NULL)
		return false;
	answer->data = end + strlen(END_THINK);
	answer->size = content.data + content.size - answer->data;
	*reasoning = (Piece){content.data, end - content.data};
	begin = find_last(*reasoning, THINK);
	if (begin != NULL)
	{
		reasoning->size -= begin + strlen(THINK) - reasoning->data;
		reasoning->data = begin + strlen(THINK);
	}
	return true;
}

/* The content of a message as the template wants it; one that is folded stays as it is. */
static Piece
content_of(const GptChatMessage *message, const GptChatTemplate *template)
{
	Piece content = {message->content, message->size};
	bool trims = false;

	switch (message->role)
	{
		case GPT_CHAT_SYSTEM:
			trims = (template->rules & GPT_CHAT_TRIM) != 0 && template->system != NULL;
			break;
		case GPT_CHAT_USER:
			trims = (template->rules & GPT_CHAT_TRIM) != 0;
			break;
		case GPT_CHAT_ASSISTANT:
			trims = (template->rules & (GPT_CHAT_TRIM | GPT_CHAT_TRIM_ANSWERS)) != 0;
			break;
	}
	return trims ? trim(content) : content;
}

/* ---- Turns -------------------------------------------------------------- */

/* The bytes of an answer's pattern before what the model writes: those of the prompt. */
static size_t
size_of_lead(const GptChatTemplate *template)
{
	size_t most = strstr(template->assistant, "{content}") - template->assistant;
	size_t size = 0;

	while (size < most && template->assistant[size] == template->prompt[size])
		size++;
	return size;
}

/* The offset after what ends an answer in its pattern. */
static size_t
offset_of_end(const GptChatTemplate *template)
{
	const char *content = strstr(template->assistant, "{content}") + strlen("{content}");
	const char *end = strstr(content, "{eos}");

	if (end != NULL)
		return end + strlen("{eos}") - template->assistant;
	for (int i = 0; i < GPT_CHAT_ENDS && template->ends[i] != NULL; i++)
	{
		end = strstr(content, template->ends[i]);
		if (end != NULL)
			return end + strlen(template->ends[i]) - template->assistant;
	}
	return strlen(template->assistant);
}

/* Writes an answer; learns: what the model writes of it counts. */
static void
put_answer(Writer *writer, const GptChat *chat, int i, int last_question, bool learns)
{
	const GptChatTemplate *template = writer->template;
	Values values = {content_of(&chat->messages[i], template)};
	size_t lead = size_of_lead(template);
	size_t end = offset_of_end(template);
	Piece answer;
	Piece reasoning = {"", 0};
	bool reasons = split_reasoning(&reasoning, &answer, values.content);
	bool is_last = i == chat->n - 1;

	put_pattern(writer, template->assistant, lead, &values);
	if ((template->rules & GPT_CHAT_FORGET) != 0 && i < last_question)
		values.content = reasons && (template->rules & GPT_CHAT_THINK_LAST) != 0
							 ? trim_newlines(answer, false)
							 : answer;
	else if ((template->rules & GPT_CHAT_THINK_LAST) != 0 && (is_last || reasons))
	{
		/* A block without reasoning is what the prompt of such an answer has. */
		set_learned(writer, learns && reasons);
		put(writer, THINK "\n", strlen(THINK "\n"), false);
		reasoning = trim_newlines(reasoning, true);
		put(writer, reasoning.data, reasoning.size, true);
		put(writer, "\n" END_THINK "\n\n", strlen("\n" END_THINK "\n\n"), false);
		values.content = trim_newlines(answer, false);
	}
	else if ((template->rules & GPT_CHAT_THINK_NEVER) != 0)
	{
		if (!writer->reasoning)
			put(writer, template->no_think, strlen(template->no_think), false);
		values.content = trim_newlines(values.content, false);
	}
	set_learned(writer, learns);
	put_pattern(writer, template->assistant + lead, end - lead, &values);
	set_learned(writer, false);
	put_pattern(writer, template->assistant + end, strlen(template->assistant) - end, &values);
}

/* The piece without a word, palloc'd; *found: it was there. */
static Piece
without(bool *found, Piece piece, const char *word)
{
	size_t size = strlen(word);
	char *rest = palloc(piece.size + 1);
	size_t n = 0;

	*found = false;
	for (size_t i = 0; i < piece.size;)
	{
		if (piece.size - i >= size && memcmp(piece.data + i, word, size) == 0)
		{
			*found = true;
			i += size;
		}
		else
			rest[n++] = piece.data[i++];
	}
	return (Piece){rest, n};
}

/* A message of the system whose words switch the reasoning, as in SmolLM3. */
static Piece
take_switches(Writer *writer, Piece system)
{
	bool on;
	bool off;

	system = without(&off, system, "/no_think");
	system = without(&on, system, "/think");
	if (on || off)
		writer->reasoning = !off;
	while (system.size > 0 && is_space(system.data[system.size - 1]))
		system.size--;
	return system;
}

/* The system message, or else the template's own; data is NULL where there is neither. */
static Piece
system_of(Writer *writer, const GptChat *chat)
{
	const GptChatTemplate *template = writer->template;
	const char *text = template->default_system;
	Piece system = {NULL, 0};

	if (chat->messages[0].role == GPT_CHAT_SYSTEM)
	{
		system = content_of(&chat->messages[0], template);
		if ((template->rules & GPT_CHAT_THINK_NEVER) == 0)
			return system;
		system = take_switches(writer, system);
		if (system.size > 0)
			return system;
	}
	if (writer->reasoning && template->default_reasoning != NULL)
		text = template->default_reasoning;
	return (Piece){text, text != NULL ? strlen(text) : 0};
}

/* The number of the first or last message of the user; -1: there is none. */
static int
question(const GptChat *chat, bool last)
{
	int found = -1;

	for (int i = 0; i < chat->n && (last || found < 0); i++)
	{
		if (chat->messages[i].role == GPT_CHAT_USER)
			found = i;
	}
	return found;
}

/* Writes all messages. learns: answers are learned. */
static void
put_messages(Writer *writer, const GptChat *chat, bool learns)
{
	const GptChatTemplate *template = writer->template;
	Piece system = system_of(writer, chat);
	bool folds = system.data != NULL && template->system == NULL && template->fold != NULL;
	int folded = folds ? question(chat, (template->rules & GPT_CHAT_FOLD_LAST) != 0) : -1;
	int last_question = question(chat, true);

	if (template->begin != NULL)
		put_whole(writer, template->begin, (Piece){"", 0});
	if (system.data != NULL && template->system != NULL)
		put_whole(writer, template->system, system);
	for (int i = 0; i < chat->n; i++)
	{
		Values values = {content_of(&chat->messages[i], template)};

		CHECK_FOR_INTERRUPTS();
		switch (chat->messages[i].role)
		{
			case GPT_CHAT_SYSTEM:
				break;
			case GPT_CHAT_USER:
				if (i == folded)
					values.system = system;
				put_pattern(writer, template->user, strlen(template->user), &values);
				break;
			case GPT_CHAT_ASSISTANT:
				put_answer(writer, chat, i, last_question, learns);
				break;
		}
	}
}

void
gpt_chat_prompt(StringInfo text, const GptChat *chat, const GptChatTemplate *template,
				bool reasoning)
{
	Writer writer = {.text = text, .template = template, .reasoning = reasoning};

	gpt_chat_check(chat, template, true);
	put_messages(&writer, chat, false);
	put_whole(&writer, template->prompt, (Piece){"", 0});
	if (!writer.reasoning && template->no_think != NULL)
		put_whole(&writer, template->no_think, (Piece){"", 0});
}

/* Whether an answer has a block of reasoning: then the conversation is one of a model that reasons.
 */
static bool
has_reasoning(const GptChat *chat)
{
	for (int i = 0; i < chat->n; i++)
	{
		if (chat->messages[i].role == GPT_CHAT_ASSISTANT &&
			strstr(chat->messages[i].content, END_THINK) != NULL)
			return true;
	}
	return false;
}

void
gpt_chat_train(GptChatTraining *training, const GptChat *chat, const GptChatTemplate *template)
{
	StringInfo text = &training->prompt;
	Writer writer = {.text = text, .template = template, .reasoning = has_reasoning(chat)};

	gpt_chat_check(chat, template, false);
	initStringInfo(text);
	initStringInfo(&training->answers);
	/* A mark that changes nothing, because a prompt of no bytes would be none. */
	put_mark(&writer, LM_MARK_CONTEXT);
	put_messages(&writer, chat, true);
	if (writer.learned_end == 0)
		return;
	appendBinaryStringInfo(&training->answers, text->data + writer.learned_begin,
						   writer.learned_end - writer.learned_begin);
	text->len = writer.learned_begin;
}

/* ---- Answers ------------------------------------------------------------ */

char *
gpt_chat_answer(const char *output, size_t size, const GptChatTemplate *template, bool reasoning)
{
	const char *opened = strstr(template->prompt, THINK);
	Piece text = {output, size};
	Piece dropped;
	Piece answer;

	if (reasoning)
	{
		text = trim(text);
		return psprintf("%s%.*s", opened != NULL ? opened : "", (int) text.size, text.data);
	}
	if (split_reasoning(&dropped, &answer, text))
		text = answer;
	else if (opened != NULL)
		text.size = 0;
	else
	{
		/* A block that has not ended. */
		const char *begin = find_last(text, THINK);

		if (begin != NULL)
			text.size = begin - text.data;
	}
	text = trim(text);
	return pnstrdup(text.data, text.size);
}
