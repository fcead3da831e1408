/*
 * include/core/chat.h
 *
 * Conversations and the templates that write them: a list of messages goes in, a marked text
 * (engine/marked_text.h) comes out, in the form in which the model was trained to answer.
 */
#ifndef GPT_CHAT_H
#define GPT_CHAT_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "core/clean_options.h"

/* The speakers. */
typedef enum GptChatRole
{
	GPT_CHAT_SYSTEM,
	GPT_CHAT_USER,
	GPT_CHAT_ASSISTANT,
} GptChatRole;

/* The word of a GptChatRole; NULL beyond the last. */
extern const char *gpt_chat_role_name(int role);

typedef struct GptChatMessage
{
	GptChatRole role;
	const char *content;
	size_t size;
} GptChatMessage;

/* A conversation. */
typedef struct GptChat
{
	const char *where; /* in errors, after "message 3": "" or " of row 17 of query" */
	int n;
	GptChatMessage *messages;
} GptChat;

/* Rules of a template. */
#define GPT_CHAT_TRIM (1 << 0) /* spaces around contents are dropped */
#define GPT_CHAT_TRIM_ANSWERS (1 << 1) /* around the assistant's alone */
#define GPT_CHAT_ALTERNATE (1 << 2) /* user and assistant take turns; the user begins */
#define GPT_CHAT_FOLD_LAST \
	(1 << 3) /* the system message goes into the last user's, not the first */
/* answers before the last question lose what they have up to </think> */
#define GPT_CHAT_FORGET (1 << 4)
/* the last answer has a block <think>, even an empty one */
#define GPT_CHAT_THINK_LAST (1 << 5)
/* without reasoning, each answer begins with the template's empty block */
#define GPT_CHAT_THINK_NEVER (1 << 6)

#define GPT_CHAT_ENDS 4

/*
 * A template: a pattern for each kind of message. In patterns, {content} stands for what was said;
 * {bos} and {eos} for the tokenizer's tokens; {date} for today; {reasoning} for "/think" or
 * "/no_think"; in `fold`, {system} for the system message.
 */
typedef struct GptChatTemplate
{
	const char *name;
	const char *begin; /* in front of all messages */
	const char *system; /* NULL: it is folded into a user's message ... */
	const char *fold; /* ... so; NULL: the template has no system messages */
	const char *user;
	const char *assistant;
	const char *prompt; /* after the messages: the model answers here */
	/* empty block of reasoning, which follows the prompt of an answer without; NULL: no such switch
	 */
	const char *no_think;
	const char *default_system; /* without a system message; NULL: none */
	const char *default_reasoning; /* instead, where the model reasons; NULL: the same */
	const char *ends[GPT_CHAT_ENDS]; /* what ends an answer beside {eos}; NULL after the last */
	const char *date; /* form of {date}, of strftime; or the date itself */
	int rules;
} GptChatTemplate;

/* The known templates by number; NULL after the last. */
extern const GptChatTemplate *gpt_chat_known(int number);

/*
 * The template of a JSON text: a string, which is the name of a known one or a template of Jinja,
 * or an object that describes one. Errors list what is possible. palloc'd, or constant.
 */
extern const GptChatTemplate *gpt_chat_template_parse(const char *json);

/*
 * The names of special tokens that the template's texts have: <...> without spaces, and [...] of
 * capital letters; at most so many. palloc'd; returns their number.
 */
extern int gpt_chat_special(const char **names, int most, const GptChatTemplate *chat);

/* The same as the JSON text to keep with a version: a template of Jinja becomes a name. palloc'd.
 */
extern char *gpt_chat_template_keep(const char *json);

/*
 * src/core/chat_recognize.c: the JSON text to keep for a template of Jinja, which is recognised by
 * its text and never run; an error if it is not among the known ones. palloc'd.
 */
extern char *gpt_chat_recognize(const char *jinja);

/*
 * src/core/chat_jinja.c: a template and its JSON text in Jinja, palloc'd, for programs that run
 * such templates; _of_jinja gives the JSON text back that it was made from, or NULL.
 */
extern char *gpt_chat_to_jinja(const GptChatTemplate *template, const char *chat);
extern char *gpt_chat_of_jinja(const char *jinja);

/*
 * src/core/chat_messages.c: reads [{"role": ..., "content": ...}, ...], or a string, which is one
 * message of the user. Raises errors that name the message and `where`, which must outlive chat.
 * The texts are copies.
 */
extern void gpt_chat_read(GptChat *chat, const char *json, size_t size, const char *where);
extern void gpt_chat_read_jsonb(GptChat *chat, Jsonb *json, const char *where);

/*
 * Cleans the contents. whole: what that did to all of them, without the text; too_short: all
 * answers are, or, where there is none, all messages. cleaner NULL: nothing.
 */
extern void gpt_chat_clean(LmCleaned *whole, GptChat *chat, GptCleaner *cleaner);

/*
 * _check raises an error that names the message which breaks a rule of the template, and with
 * prompts also if there is nothing to answer. _fits: whether it raises none, with prompts.
 */
extern void gpt_chat_check(const GptChat *chat, const GptChatTemplate *template, bool prompts);
extern bool gpt_chat_fits(const GptChat *chat, const GptChatTemplate *template);

/*
 * src/core/chat.c: appends the marked text after which the model answers. reasoning: the model may
 * reason first, if it can. Errors of gpt_chat_check.
 */
extern void gpt_chat_prompt(StringInfo text, const GptChat *chat, const GptChatTemplate *template,
							bool reasoning);

/* A conversation to learn from: two marked texts, one after the other. */
typedef struct GptChatTraining
{
	StringInfoData prompt; /* up to the first answer */
	StringInfoData answers; /* to the end of the last; answers and their ends are learned */
} GptChatTraining;

/* Both are palloc'd; answers is empty where the assistant says nothing. Errors as for a prompt. */
extern void gpt_chat_train(GptChatTraining *training, const GptChat *chat,
						   const GptChatTemplate *template);

/*
 * The answer in a generated text, palloc'd, without white space around it. Without reasoning, what
 * the text has up to </think> is dropped, and a block that does not end; with it, a block that
 * began in the prompt is whole.
 */
extern char *gpt_chat_answer(const char *output, size_t size, const GptChatTemplate *template,
							 bool reasoning);

#endif /* GPT_CHAT_H */
