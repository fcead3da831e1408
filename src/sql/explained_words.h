/*
 * src/sql/explained_words.h
 *
 * The words of a text and what each adds to a model's answer, for functions of C: what gpt_explain
 * returns as rows.
 */
#ifndef GPT_EXPLAINED_WORDS_H
#define GPT_EXPLAINED_WORDS_H

#include "engine/tokenizer.h"
#include "fmgr.h"

/* A word, and its weight. */
typedef struct GptExplainedWord
{
	size_t start; /* bytes of the text */
	size_t end;
	double weight;
} GptExplainedWord;

/* All of it is palloc'd. */
typedef struct GptExplainedWords
{
	LmBytes text; /* as the model reads it */
	GptExplainedWord *words; /* [n] in their order, without white space */
	size_t n;
	size_t capacity;
} GptExplainedWords;

/*
 * src/sql/sql_explain.c: explains the most probable answer to one text, with the errors and notices
 * of gpt_explain. function: the place of call, which keeps the model's weights from row to row.
 */
extern void gpt_explain_words(GptExplainedWords *words, FmgrInfo *function, const char *model,
							  LmBytes input, bool by_gradients);

#endif /* GPT_EXPLAINED_WORDS_H */
