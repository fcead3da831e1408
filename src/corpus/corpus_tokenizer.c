/*
 * src/corpus/corpus_tokenizer.c
 *
 * Options and a spool go in, a tokenizer comes out. One that is trained sees the training side
 * only.
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
								GptProgress *progress);

LmTokenizer *
gpt_corpus_tokenizer_stored(const GptTrainOptions *options, uint8 *sha256, bool *stored)
{
	const char *name = options->tokenizer;

	*stored = name != NULL && !gpt_catalog_tokenizer_is_reserved(name);
	return *stored ? load_named(name, sha256) : NULL;
}

LmTokenizer *
gpt_corpus_tokenizer(const GptTrainOptions *options, const GptTokenizerChoice *choice,
					 GptSpool *spool, GptProgress *progress)
{
	switch (choice->kind)
	{
		case LM_TOKENIZER_BYTES:
			return gpt_corpus_tokenizer_made(lm_bytes_spec(), choice);
		case LM_TOKENIZER_CHARS:
			return train_chars(choice, spool, progress);
		case LM_TOKENIZER_BPE:
			return gpt_train_bpe(options, choice, spool, progress);
		case LM_TOKENIZER_UNIGRAM:
			return gpt_train_unigram(options, choice, spool, progress);
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

/* Builds a tokenizer with one token per character from all training rows. */
static LmTokenizer *
train_chars(const GptTokenizerChoice *choice, GptSpool *spool, GptProgress *progress)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "gpt tokenizer training",
												  ALLOCSET_DEFAULT_SIZES);
	LmError error;
	LmCharsTrainer *trainer = lm_chars_trainer_create(gpt_bridge_host(context), &error);
	GptTokenizerSample sample = gpt_tokenizer_sample_begin(spool, 1, progress);
	const LmTokenizerSpec *spec;
	LmTokenizer *tokenizer;
	GptDocument document;

	if (trainer == NULL)
		gpt_bridge_raise(&error);
	while (gpt_tokenizer_sample_next(&document, &sample, progress))
	{
		/* Adding a text twice changes nothing. */
		while (!lm_chars_trainer_add(trainer, document.text, document.size, &error))
			gpt_bridge_retry_row(&error, document.query, document.row);
	}
	while ((spec = lm_chars_trainer_finish(trainer, &error)) == NULL)
		gpt_bridge_retry(&error);
	tokenizer = gpt_corpus_tokenizer_made(spec, choice);
	lm_chars_trainer_free(trainer);
	MemoryContextDelete(context);
	return tokenizer;
}
