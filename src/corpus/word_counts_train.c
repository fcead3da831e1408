/*
 * src/corpus/word_counts_train.c
 *
 * The words of several servers go in, a tokenizer comes out.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "core/bridge.h"
#include "corpus/corpus.h"
#include "corpus/train_bpe.h"
#include "corpus/train_unigram.h"
#include "corpus/word_counts.h"

static LmTokenizer *train_chars(const GptTokenizerChoice *choice, const GptWordCounts *counts);

LmTokenizer *
gpt_word_counts_tokenizer(const GptTrainOptions *options, const GptTokenizerChoice *choice,
						  GptWordCounts *counts, GptProgress *progress)
{
	switch (choice->kind)
	{
		case LM_TOKENIZER_BYTES:
			return gpt_corpus_tokenizer_made(lm_bytes_spec(), choice);
		case LM_TOKENIZER_CHARS:
			return train_chars(choice, counts);
		case LM_TOKENIZER_BPE:
			return gpt_train_bpe_of(options, choice, counts, progress);
		case LM_TOKENIZER_UNIGRAM:
			return gpt_train_unigram_of(options, choice, counts, progress);
		case LM_TOKENIZER_SENTENCEPIECE:
			break;
	}
	elog(ERROR, "tokenizer \"%s\" is no kind that a job can train", options->tokenizer);
}

static LmTokenizer *
train_chars(const GptTokenizerChoice *choice, const GptWordCounts *counts)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "gpt tokenizer training",
												  ALLOCSET_DEFAULT_SIZES);
	GptWordWalk walk = {.counts = counts, .of_characters = true};
	LmError error;
	LmCharsTrainer *trainer = lm_chars_trainer_create(gpt_bridge_host(context), &error);
	const LmTokenizerSpec *spec;
	LmTokenizer *tokenizer;
	int64 count;
	LmBytes word;

	if (trainer == NULL)
		gpt_bridge_raise(&error);
	while (gpt_word_walk_next(&word, &count, &walk))
	{
		while (!lm_chars_trainer_add(trainer, word.data, word.size, &error))
			gpt_bridge_retry(&error);
	}
	while ((spec = lm_chars_trainer_finish(trainer, &error)) == NULL)
		gpt_bridge_retry(&error);
	tokenizer = gpt_corpus_tokenizer_made(spec, choice);
	lm_chars_trainer_free(trainer);
	MemoryContextDelete(context);
	return tokenizer;
}
