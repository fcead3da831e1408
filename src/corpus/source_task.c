/*
 * src/corpus/source_task.c
 *
 * The table of tasks. The columns of a query go in; the first task that accepts all of them comes
 * out.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "corpus/source_role.h"
#include "store/catalog.h"

#define BIT GPT_ROLE_BIT

/* What a query of any task may have besides. */
#define BESIDES (BIT(GPT_ROLE_WEIGHT) | BIT(GPT_ROLE_VALIDATION) | BIT(GPT_ROLE_WATERMARK))

/* Texts that are any text where a task does not name them. */
#define FREE_TEXTS                                                                              \
	(BIT(GPT_ROLE_TEXT) | BIT(GPT_ROLE_CHOSEN) | BIT(GPT_ROLE_REJECTED) | BIT(GPT_ROLE_QUERY) | \
	 BIT(GPT_ROLE_POSITIVE) | BIT(GPT_ROLE_NEGATIVE))

/* Those as well, if nothing is trained: an evaluation may score prompts like any text. */
#define HALVES (BIT(GPT_ROLE_PROMPT) | BIT(GPT_ROLE_COMPLETION))

#define ONE_TEXT .n_documents = 1, .documents = {{GPT_TEXT_MAIN}}
#define PAIR .n_documents = 2, .documents = {{GPT_TEXT_MAIN, .is_pair = true}, {GPT_TEXT_OTHER}}

static const GptTask tasks[] = {
	{.name = "language modelling",
	 .rows = GPT_ROWS_TEXT,
	 .n_texts = 1,
	 .accepts = "one text",
	 ONE_TEXT},
	{.name = GPT_TASK_COMPLETION,
	 .rows = GPT_ROWS_COMPLETION,
	 .prompted = true,
	 .required = BIT(GPT_ROLE_PROMPT) | BIT(GPT_ROLE_COMPLETION),
	 .accepts = "prompt and completion",
	 .n_documents = 2,
	 .documents = {{GPT_TEXT_PROMPT, .is_prompt = true}, {GPT_TEXT_MAIN}}},
	{.name = GPT_TASK_CHAT,
	 .rows = GPT_ROWS_CHAT,
	 .prompted = true,
	 .required = BIT(GPT_ROLE_MESSAGES),
	 .accepts = "messages (jsonb)",
	 ONE_TEXT},
	{.name = GPT_TASK_PREFERENCE,
	 .rows = GPT_ROWS_PREFERENCE,
	 .prompted = true,
	 .compared = true,
	 .required = BIT(GPT_ROLE_PROMPT) | BIT(GPT_ROLE_CHOSEN) | BIT(GPT_ROLE_REJECTED),
	 .accepts = "prompt, chosen and rejected",
	 .n_documents = 4,
	 .documents = {{GPT_TEXT_PROMPT, .is_prompt = true},
				   {GPT_TEXT_MAIN},
				   {GPT_TEXT_PROMPT, .part = 1, .is_prompt = true},
				   {GPT_TEXT_OTHER, .part = 1}}},
	{.name = GPT_TASK_RETRIEVAL,
	 .rows = GPT_ROWS_RETRIEVAL,
	 .required = BIT(GPT_ROLE_QUERY) | BIT(GPT_ROLE_POSITIVE),
	 .accepts = "query, positive and perhaps negative",
	 .n_documents = 2,
	 .documents = {{GPT_TEXT_MAIN}, {GPT_TEXT_OTHER, .part = 1}}},
	{.name = GPT_TASK_RETRIEVAL,
	 .rows = GPT_ROWS_RETRIEVAL,
	 .required = BIT(GPT_ROLE_QUERY) | BIT(GPT_ROLE_POSITIVE) | BIT(GPT_ROLE_NEGATIVE),
	 .n_documents = 3,
	 .documents = {{GPT_TEXT_MAIN}, {GPT_TEXT_OTHER, .part = 1}, {GPT_TEXT_THIRD, .part = 2}}},
	{.name = "classification",
	 .rows = GPT_ROWS_LABELS,
	 .labelled = true,
	 .required = BIT(GPT_ROLE_LABEL),
	 .n_texts = 1,
	 .accepts = "one or two texts and label",
	 ONE_TEXT},
	{.name = "multi-label classification",
	 .rows = GPT_ROWS_LABELS,
	 .labelled = true,
	 .required = BIT(GPT_ROLE_LABELS),
	 .n_texts = 1,
	 ONE_TEXT},
	{.name = "regression",
	 .rows = GPT_ROWS_NUMBERS,
	 .measured = true,
	 .required = BIT(GPT_ROLE_NUMBER),
	 .n_texts = 1,
	 ONE_TEXT},
	{.name = "pair classification",
	 .rows = GPT_ROWS_LABELS,
	 .labelled = true,
	 .required = BIT(GPT_ROLE_LABEL),
	 .n_texts = 2,
	 PAIR},
	{.name = "multi-label pair classification",
	 .rows = GPT_ROWS_LABELS,
	 .labelled = true,
	 .required = BIT(GPT_ROLE_LABELS),
	 .n_texts = 2,
	 PAIR},
	{.name = "pair regression",
	 .rows = GPT_ROWS_NUMBERS,
	 .measured = true,
	 .required = BIT(GPT_ROLE_NUMBER),
	 .n_texts = 2,
	 PAIR},
};

const GptTask *
gpt_task_named(const char *name)
{
	for (int i = 0; i < lengthof(tasks); i++)
	{
		if (strcmp(tasks[i].name, name) == 0)
			return &tasks[i];
	}
	return NULL;
}

bool
gpt_task_takes_as_text(const GptTask *task, GptRole role)
{
	return ((FREE_TEXTS | HALVES) & ~task->required & BIT(role)) != 0;
}

/* also: roles that are texts here besides the free ones. */
static bool
accepts(const GptTask *task, const GptColumns *columns, uint32 also)
{
	int n_texts = 0;

	for (int role = 0; role < GPT_N_ROLES; role++)
	{
		int n = columns->n[role];

		if (BIT(role) & task->required)
		{
			if (n != 1)
				return false;
		}
		else if (BIT(role) & (FREE_TEXTS | also))
			n_texts += n;
		else if (n > 0 && (BIT(role) & BESIDES) == 0)
			return false;
	}
	return n_texts == task->n_texts;
}

const GptTask *
gpt_task_of(const GptColumns *columns)
{
	int n = columns->kind == GPT_SOURCE_TOKENIZER ? 1 : lengthof(tasks);

	for (int i = 0; i < n; i++)
	{
		if (accepts(&tasks[i], columns, 0))
			return &tasks[i];
	}
	if ((columns->kind == GPT_SOURCE_EVALUATE || columns->kind == GPT_SOURCE_COMPARE) &&
		accepts(&tasks[0], columns, HALVES))
		return &tasks[0];
	return NULL;
}

char *
gpt_task_hint(GptSourceKind kind)
{
	StringInfoData text;

	if (kind == GPT_SOURCE_TOKENIZER)
		return pstrdup("One column of text is accepted.");
	initStringInfo(&text);
	for (int i = 0; i < lengthof(tasks); i++)
	{
		if (tasks[i].accepts != NULL)
			appendStringInfo(&text, "%s%s",
							 text.len > 0 ? "; " : "Its columns can be: ", tasks[i].accepts);
	}
	appendStringInfo(&text,
					 "; and weight%s. The section on gpt_train in docs/sql.md describes them.",
					 kind == GPT_SOURCE_TRAIN ? ", is_validation" : "");
	return text.data;
}
