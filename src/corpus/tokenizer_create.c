/*
 * src/corpus/tokenizer_create.c
 *
 * A description goes in, a tokenizer comes out, in the current memory context.
 */
#include "postgres.h"

#include "core/bridge.h"
#include "corpus/corpus.h"

LmTokenizer *
gpt_corpus_tokenizer_made(const LmTokenizerSpec *spec, const GptTokenizerChoice *choice)
{
	return gpt_corpus_tokenizer_create(choice->separates ? gpt_prompt_form_spec(spec) : spec);
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
