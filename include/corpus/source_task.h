/*
 * include/corpus/source_task.h
 *
 * The tasks of training: which columns a query has for each, and how a row becomes documents.
 */
#ifndef GPT_SOURCE_TASK_H
#define GPT_SOURCE_TASK_H

#include "core/options.h"

/* The texts of a row, in the order in which a spool keeps them. */
typedef enum GptRowText
{
	GPT_TEXT_PROMPT,
	GPT_TEXT_MAIN, /* the text, completion, chosen answer, or query */
	GPT_TEXT_OTHER, /* the second text of a pair, the rejected answer, or what a query finds */
	GPT_TEXT_THIRD, /* what a query does not find */
	GPT_ROW_TEXTS
} GptRowText;

/* One of a row's texts as a document. */
typedef struct GptTaskDocument
{
	GptRowText text;
	uint8 part; /* number of the window of the row's group that it is in */
	bool is_prompt; /* the next document goes on in the same part; it alone is learnt */
	bool is_pair; /* the next document, in the same part, is the other text of a pair */
} GptTaskDocument;

#define GPT_TASK_DOCUMENTS 4

/* A row of the table of tasks. */
typedef struct GptTask
{
	const char *name; /* as in gpt_versions.task */
	GptRows rows;
	uint32 required; /* bits of the roles of columns that must be there, once each */
	int n_texts; /* besides: columns of text of any other name */
	bool prompted; /* a null prompt is no prompt */
	bool labelled; /* a row has labels, ... */
	bool measured; /* ... or a number */
	bool compared; /* a row whose GPT_TEXT_MAIN and GPT_TEXT_OTHER are equal says nothing */
	const char *accepts; /* its columns in the hint of an error; NULL: in those of another task */
	int n_documents;
	GptTaskDocument documents[GPT_TASK_DOCUMENTS];
} GptTask;

/* The task of a name; NULL: there is none. */
extern const GptTask *gpt_task_named(const char *name);

/* Whether rows have this text. */
static inline bool
gpt_task_has(const GptTask *task, GptRowText text)
{
	for (int i = 0; i < task->n_documents; i++)
	{
		if (task->documents[i].text == text)
			return true;
	}
	return false;
}

/* Whether rows are pairs of texts that are judged together. */
static inline bool
gpt_task_is_pair(const GptTask *task)
{
	return task->documents[0].is_pair;
}

/* How many windows of a row belong together: 1, or the number of its parts. */
static inline int
gpt_task_group(const GptTask *task)
{
	return task->documents[task->n_documents - 1].part + 1;
}

#endif /* GPT_SOURCE_TASK_H */
