/*
 * src/corpus_tokenizer.c
 *
 * Options and a spool go in, a tokenizer comes out. One that is trained sees the training side only, and a
 * sample of it when the corpus is large: the documents whose hash is low, so that the sample does not depend
 * on the order of the rows.
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "bridge.h"
#include "corpus.h"
#include "settings.h"
#include "spool.h"
#include "worker.h"

#define SAMPLE_SIZE ((int64) 256 * 1024 * 1024) /* bytes of text that a tokenizer is trained on */
#define SHORT_ROW 32 /* bytes of a text, and ... */
#define SHORT_PROMPTED_ROW 64 /* ... of a prompt with its completion, ... */
#define SHORT_SHARE 0.95 /* ... which so many rows do not exceed: measured in docs/training.md */
#define SMALLEST_VOCABULARY 512
#define LARGEST_VOCABULARY 32768
#define VOCABULARY_STEP 64
#define SMALLEST_SHARE 1e-6 /* of the documents; when that needs too much memory, none will do */

static LmTokenizer *load_named(const char *name, uint8 *sha256);
static LmTokenizer *train_chars(GptSpool *spool, GptProgress *progress);
static bool rows_ask_for_bytes(const GptTrainOptions *options, GptSpool *spool, GptProgress *progress);
static LmTokenizer *train_bpe(const GptTrainOptions *options, GptSpool *spool, GptProgress *progress);

LmTokenizer *
gpt_corpus_tokenizer_stored(const GptTrainOptions *options, uint8 *sha256, bool *stored)
{
	const char *name = options->tokenizer;

	*stored = name != NULL && !gpt_catalog_tokenizer_is_reserved(name);
	return *stored ? load_named(name, sha256) : NULL;
}

LmTokenizer *
gpt_corpus_tokenizer(const GptTrainOptions *options, GptSpool *spool, GptProgress *progress)
{
	const char *kind = options->tokenizer;

	if (kind == NULL)
		kind = rows_ask_for_bytes(options, spool, progress) ? "bytes" : "bpe";
	if (strcmp(kind, "bytes") == 0)
		return gpt_corpus_tokenizer_create(lm_bytes_spec());
	return strcmp(kind, "chars") == 0 ? train_chars(spool, progress) : train_bpe(options, spool, progress);
}

LmTokenizer *
gpt_corpus_tokenizer_create(const LmTokenizerSpec *spec)
{
	LmError error;
	LmTokenizer *tokenizer;

	while ((tokenizer = lm_tokenizer_create(gpt_bridge_host(CurrentMemoryContext), spec, &error)) == NULL)
		gpt_bridge_raise(&error);
	return tokenizer;
}

static LmTokenizer *
load_named(const char *name, uint8 *sha256)
{
	GptWorkerTransaction transaction;
	LmTokenizerSpec *spec;

	gpt_worker_begin(&transaction, GPT_COMMIT_ASYNC);
	MemoryContextSwitchTo(transaction.context);
	if (!gpt_catalog_resolve_tokenizer(name, sha256))
		gpt_catalog_raise_missing_tokenizer(name, GPT_WANTED_TOKENIZER);
	spec = gpt_catalog_read_tokenizer(sha256);
	gpt_worker_commit(&transaction);
	return gpt_corpus_tokenizer_create(spec);
}

/* ---- The documents to train on --------------------------------------------------------------------- */

typedef struct Sample
{
	GptSpool *spool;
	uint64 threshold; /* documents whose hash is at most this */
} Sample;

static Sample
sample_begin(GptSpool *spool, double share)
{
	Sample sample = {spool, PG_UINT64_MAX};

	if (share < 1)
		sample.threshold = (uint64) (share * 18446744073709551615.0);
	gpt_spool_rewind(spool);
	return sample;
}

/* The second hash decides, because the first one decides about the side. */
static bool
sample_next(GptDocument *document, Sample *sample, GptProgress *progress)
{
	while (gpt_spool_next(document, sample->spool))
	{
		gpt_progress_tick(progress);
		if (document->side == GPT_SIDE_TRAIN && document->hash[1] <= sample->threshold)
		{
			/* Of a very long document the beginning is enough, up to the end of a character. */
			if (document->size > SAMPLE_SIZE)
				document->size = pg_encoding_mbcliplen(PG_UTF8, document->text, (int) document->size, SAMPLE_SIZE);
			return true;
		}
	}
	return false;
}

/*
 * Tokens of several bytes hide the letters and digits of which short rows are made: words are reversed and numbers added byte by
 * byte. In longer rows they shorten what has to be remembered. A classifier's head counts runs of tokens, and wants words.
 */
static bool
rows_ask_for_bytes(const GptTrainOptions *options, GptSpool *spool, GptProgress *progress)
{
	Sample sample = sample_begin(spool, 1);
	int64 n_rows = 0;
	int64 n_short = 0;
	size_t size = 0;
	bool prompted = false;
	GptDocument document;

	if (options->vocabulary != GPT_CHOSEN || strcmp(options->normalize, "none") != 0 || strcmp(options->documents, "packed") != 0 ||
		gpt_spool_labels(spool) != NULL)
		return false;
	while (sample_next(&document, &sample, progress))
	{
		size += document.size;
		prompted = prompted || document.is_prompt;
		if (document.is_prompt)
			continue;
		n_rows++;
		n_short += size <= (prompted ? SHORT_PROMPTED_ROW : SHORT_ROW);
		size = 0;
	}
	return n_rows > 0 && (double) n_short >= SHORT_SHARE * (double) n_rows;
}

static LmTokenizer *
train_chars(GptSpool *spool, GptProgress *progress)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "gpt tokenizer training", ALLOCSET_DEFAULT_SIZES);
	LmError error;
	LmCharsTrainer *trainer = lm_chars_trainer_create(gpt_bridge_host(context), &error);
	Sample sample = sample_begin(spool, 1);
	const LmTokenizerSpec *spec;
	LmTokenizer *tokenizer;
	GptDocument document;

	if (trainer == NULL)
		gpt_bridge_raise(&error);
	while (sample_next(&document, &sample, progress))
	{
		/* Adding a text twice changes nothing. */
		while (!lm_chars_trainer_add(trainer, document.text, document.size, &error))
			gpt_bridge_raise_row(&error, document.query, document.row);
	}
	while ((spec = lm_chars_trainer_finish(trainer, &error)) == NULL)
		gpt_bridge_raise(&error);
	tokenizer = gpt_corpus_tokenizer_create(spec);
	lm_chars_trainer_free(trainer);
	MemoryContextDelete(context);
	return tokenizer;
}

/* ---- Byte pair encoding ---------------------------------------------------------------------------- */

static int
choose_vocabulary(int64 training_bytes)
{
	int64 root = (int64) rint(sqrt((double) training_bytes) / VOCABULARY_STEP) * VOCABULARY_STEP;

	return (int) Max(SMALLEST_VOCABULARY, Min(LARGEST_VOCABULARY, root));
}

/* False when that share of the documents needs too much memory, or a request interrupted without being one to stop. */
static bool
count_words(LmBpeTrainer *trainer, GptSpool *spool, double share, int64 memory, GptProgress *progress)
{
	Sample sample = sample_begin(spool, share);
	GptDocument document;
	LmError error;

	while (sample_next(&document, &sample, progress))
	{
		if (!lm_bpe_trainer_add(trainer, document.text, document.size, &error))
		{
			gpt_bridge_raise_row(&error, document.query, document.row);
			return false;
		}
		if ((int64) lm_bpe_trainer_memory(trainer) > memory)
			return false;
	}
	return true;
}

static void
check_vocabulary(int wanted, int reached, const GptTrainOptions *options)
{
	if (reached < wanted && options->vocabulary != GPT_CHOSEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("vocabulary of %d tokens is larger than the documents can support, which is %d", wanted, reached),
				 errhint("Set option \"vocabulary\" to %d or less, or leave it out.", reached)));
}

static LmTokenizer *
train_bpe(const GptTrainOptions *options, GptSpool *spool, GptProgress *progress)
{
	int64 bytes = gpt_spool_bytes(spool, GPT_SIDE_TRAIN);
	int vocabulary = options->vocabulary == GPT_CHOSEN ? choose_vocabulary(bytes) : (int) options->vocabulary;
	double share = (double) SAMPLE_SIZE / (double) Max(bytes, 1);
	LmTokenizer *tokenizer = NULL;

	while (tokenizer == NULL)
	{
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "gpt tokenizer training", ALLOCSET_DEFAULT_SIZES);
		LmError error;
		LmBpeTrainer *trainer = lm_bpe_trainer_create(gpt_bridge_host(context), NULL, strcmp(options->normalize, "NFC") == 0, &error);
		const LmTokenizerSpec *spec;
		int reached = 0;

		if (trainer == NULL)
			gpt_bridge_raise(&error);
		if (share < SMALLEST_SHARE)
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("training a tokenizer needs more memory than half of gpt.max_memory, " INT64_FORMAT " MB",
							gpt_settings_max_memory() / 2 / 1024 / 1024),
					 errhint("Raise gpt.max_memory, or use the tokenizer \"bytes\".")));
		if (!count_words(trainer, spool, share, gpt_settings_max_memory() / 2, progress))
			share = Min(share, 1) / 2;
		else if ((spec = lm_bpe_trainer_finish(trainer, vocabulary, &reached, &error)) == NULL)
			gpt_bridge_raise(&error);
		else
		{
			check_vocabulary(vocabulary, reached, options);
			tokenizer = gpt_corpus_tokenizer_create(spec);
		}
		lm_bpe_trainer_free(trainer);
		MemoryContextDelete(context);
	}
	return tokenizer;
}
