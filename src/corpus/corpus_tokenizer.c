/*
 * src/corpus/corpus_tokenizer.c
 *
 * Options and a spool, or the counted words of several servers, go in; a tokenizer comes out. One
 * that is trained sees the training side only.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/transaction.h"
#include "corpus/corpus.h"
#include "corpus/spool.h"
#include "corpus/tokenizer_sample.h"
#include "corpus/train_bpe.h"
#include "corpus/train_unigram.h"

static LmTokenizer *load_named(const char *name, uint8 *sha256);
static LmTokenizer *train_chars(const GptTokenizerChoice *choice, GptSpool *spool,
								const GptWordCounts *counts, GptProgress *progress);

LmTokenizer *
gpt_corpus_tokenizer_stored(const GptTrainOptions *options, uint8 *sha256, bool *stored)
{
	const char *name = options->tokenizer;

	*stored = name != NULL && !gpt_catalog_tokenizer_is_reserved(name);
	return *stored ? load_named(name, sha256) : NULL;
}

LmTokenizer *
gpt_corpus_tokenizer(const GptTrainOptions *options, const GptTokenizerChoice *choice,
					 GptSpool *spool, GptWordCounts *counts, GptProgress *progress)
{
	switch (choice->kind)
	{
		case LM_TOKENIZER_BYTES:
			return gpt_corpus_tokenizer_made(lm_bytes_spec(), choice);
		case LM_TOKENIZER_CHARS:
			return train_chars(choice, spool, counts, progress);
		case LM_TOKENIZER_BPE:
			return spool != NULL ? gpt_train_bpe(options, choice, spool, progress)
								 : gpt_train_bpe_of(options, choice, counts, progress);
		case LM_TOKENIZER_UNIGRAM:
			return spool != NULL ? gpt_train_unigram(options, choice, spool, progress)
								 : gpt_train_unigram_of(options, choice, counts, progress);
		case LM_TOKENIZER_SENTENCEPIECE:
			break;
	}
	elog(ERROR, "tokenizer \"%s\" is no kind that a job can train", options->tokenizer);
}

static LmTokenizer *
load_named(const char *name, uint8 *sha256)
{
	bool in_transaction = IsTransactionState();
	GptTransaction transaction;
	LmTokenizerSpec *spec;

	if (!in_transaction)
	{
		gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
		MemoryContextSwitchTo(transaction.context);
	}
	if (!gpt_catalog_resolve_tokenizer(name, sha256))
		gpt_catalog_raise_missing_tokenizer(name, GPT_WANTED_TOKENIZER);
	spec = gpt_catalog_read_tokenizer(sha256);
	if (!in_transaction)
		gpt_transaction_commit(&transaction);
	return gpt_corpus_tokenizer_create(spec);
}

/* Adding a text twice changes nothing. */
static void
add_texts(LmCharsTrainer *trainer, GptSpool *spool, GptProgress *progress)
{
	GptTokenizerSample sample = gpt_tokenizer_sample_begin(spool, 1, progress);
	GptDocument document;
	LmError error;

	while (gpt_tokenizer_sample_next(&document, &sample, progress))
	{
		while (!lm_chars_trainer_add(trainer, document.text, document.size, &error))
			gpt_bridge_retry_row(&error, document.query, document.row);
	}
}

static void
add_characters(LmCharsTrainer *trainer, const GptWordCounts *counts)
{
	GptWordWalk walk = {.counts = counts, .of_characters = true};
	LmBytes character;
	LmError error;
	int64 count;

	while (gpt_word_walk_next(&character, &count, &walk))
	{
		while (!lm_chars_trainer_add(trainer, character.data, character.size, &error))
			gpt_bridge_retry(&error);
	}
}

/* Builds a tokenizer with one token per character of all training rows. */
static LmTokenizer *
train_chars(const GptTokenizerChoice *choice, GptSpool *spool, const GptWordCounts *counts,
			GptProgress *progress)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "gpt tokenizer training",
												  ALLOCSET_DEFAULT_SIZES);
	LmError error;
	LmCharsTrainer *trainer = lm_chars_trainer_create(gpt_bridge_host(context), &error);
	const LmTokenizerSpec *spec;
	LmTokenizer *tokenizer;

	if (trainer == NULL)
		gpt_bridge_raise(&error);
	if (spool != NULL)
		add_texts(trainer, spool, progress);
	else
		add_characters(trainer, counts);
	while ((spec = lm_chars_trainer_finish(trainer, &error)) == NULL)
		gpt_bridge_retry(&error);
	tokenizer = gpt_corpus_tokenizer_made(spec, choice);
	lm_chars_trainer_free(trainer);
	MemoryContextDelete(context);
	return tokenizer;
}
