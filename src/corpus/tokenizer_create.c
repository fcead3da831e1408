/*
 * src/corpus/tokenizer_create.c
 *
 * A description goes in, a tokenizer comes out, in the current memory context.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "corpus/corpus.h"

static const LmTokenizerSpec *with_special(const LmTokenizerSpec *spec, const char *const *names,
										   int n_names);

LmTokenizer *
gpt_corpus_tokenizer_made(const LmTokenizerSpec *spec, const GptTokenizerChoice *choice)
{
	return gpt_corpus_tokenizer_create(
		choice->n_special > 0 ? with_special(spec, choice->special, choice->n_special) : spec);
}

/* The description with so many more special tokens at its end, palloc'd. */
static const LmTokenizerSpec *
with_special(const LmTokenizerSpec *spec, const char *const *names, int n_names)
{
	LmTokenizerSpec *more = palloc(sizeof(LmTokenizerSpec));
	int n = spec->n_tokens;

	*more = *spec;
	more->n_tokens = n + n_names;
	more->tokens = palloc(more->n_tokens * sizeof(LmBytes));
	more->special = palloc(more->n_tokens * sizeof(bool));
	memcpy(more->tokens, spec->tokens, n * sizeof(LmBytes));
	memcpy(more->special, spec->special, n * sizeof(bool));
	for (int i = 0; i < n_names; i++)
	{
		more->tokens[n + i] = (LmBytes){names[i], strlen(names[i])};
		more->special[n + i] = true;
	}
	if (spec->flags != NULL)
	{
		more->flags = palloc0(more->n_tokens);
		memcpy(more->flags, spec->flags, n);
	}
	if (spec->scores != NULL)
	{
		more->scores = palloc0(more->n_tokens * sizeof(double));
		memcpy(more->scores, spec->scores, n * sizeof(double));
	}
	return more;
}

LmTokenizer *
gpt_corpus_tokenizer_create(const LmTokenizerSpec *spec)
{
	LmError error;
	LmTokenizer *tokenizer;

	while ((tokenizer = lm_tokenizer_create(gpt_bridge_host(CurrentMemoryContext), spec, &error)) ==
		   NULL)
		gpt_bridge_retry(&error);
	return tokenizer;
}
