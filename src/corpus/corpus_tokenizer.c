/*
 * src/corpus/corpus_tokenizer.c
 *
 * Options and a spool go in, a tokenizer comes out. One that is trained sees the training side
 * only, and a sample of it when the corpus is large. Rows are drawn as those of a replay are: of a
 * text that is in six of ten rows six of ten, and the same ones in whatever order the rows are
 * stored.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "core/transaction.h"
#include "corpus/bpe_options.h"
#include "corpus/corpus.h"
#include "corpus/replay.h"
#include "corpus/spool.h"

/* bytes of text that a tokenizer is trained on */
#define SAMPLE_SIZE ((int64) 256 * 1024 * 1024)
/* of the documents; if this still needs too much memory, the job fails */
#define SMALLEST_SHARE 1e-6
/* bytes of text that are encoded to see what tokens are worth, and of one document among them */
#define MEASURED_SIZE (1024 * 1024)
#define MEASURED_DOCUMENT (64 * 1024)
#define SMALLEST_MEASURED 512 /* tokens */

static LmTokenizer *load_named(const char *name, uint8 *sha256);
static LmTokenizer *train_chars(GptSpool *spool, GptProgress *progress);
static LmTokenizer *train_bpe(const GptTrainOptions *options, const GptTokenizerChoice *choice,
							  GptSpool *spool, GptProgress *progress);

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
			return gpt_corpus_tokenizer_create(lm_bytes_spec());
		case LM_TOKENIZER_CHARS:
			return train_chars(spool, progress);
		case LM_TOKENIZER_BPE:
			return train_bpe(options, choice, spool, progress);
		case LM_TOKENIZER_SENTENCEPIECE:
		case LM_TOKENIZER_UNIGRAM:
			break;
	}
	elog(ERROR, "tokenizer \"%s\" is no kind that a job can train", options->tokenizer);
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

/* ---- The documents to train on ------------------------------------------ */

typedef struct Sample
{
	GptSpool *spool;
	GptReplay *drawn; /* NULL: all documents */
	bool in_row; /* a prompt has been read, its completion comes next ... */
	bool row_is_drawn; /* ... and this is decided of both */
} Sample;

/*
 * Begins a sample; below a share of 1, a first pass counts the training rows and draws among them.
 */
static Sample
sample_begin(GptSpool *spool, double share, GptProgress *progress)
{
	Sample sample = {spool};
	GptDocument document;

	gpt_spool_rewind(spool);
	if (share >= 1)
		return sample;
	sample.drawn = gpt_replay_create(0);
	while (gpt_spool_next(&document, spool))
	{
		gpt_progress_tick(progress);
		if (document.side == GPT_SIDE_TRAIN && !document.is_prompt)
			gpt_replay_count(sample.drawn, document.hash[1]);
	}
	gpt_replay_choose(sample.drawn, (int64) ceil(share * (double) sample.drawn->counts->n_rows));
	gpt_spool_rewind(spool);
	return sample;
}

static void
sample_end(Sample *sample)
{
	if (sample->drawn != NULL)
		gpt_replay_free(sample->drawn);
}

/* A prompt and its completion are drawn together. */
static bool
is_drawn(Sample *sample, const GptDocument *document)
{
	if (!sample->in_row)
		sample->row_is_drawn =
			document->side == GPT_SIDE_TRAIN &&
			(sample->drawn == NULL || gpt_replay_draw(sample->drawn, document->hash[1]));
	sample->in_row = document->is_prompt;
	return sample->row_is_drawn;
}

/* The next document of the sample; false after the last one. */
static bool
sample_next(GptDocument *document, Sample *sample, GptProgress *progress)
{
	while (gpt_spool_next(document, sample->spool))
	{
		gpt_progress_tick(progress);
		if (is_drawn(sample, document))
		{
			/*
			 * The beginning of a very long document is enough; it ends at the end of a character.
			 */
			if (document->size > SAMPLE_SIZE)
				document->size = pg_encoding_mbcliplen(PG_UTF8, document->text,
													   (int) document->size, SAMPLE_SIZE);
			return true;
		}
	}
	return false;
}

/* Builds a tokenizer with one token per character from all training rows. */
static LmTokenizer *
train_chars(GptSpool *spool, GptProgress *progress)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "gpt tokenizer training",
												  ALLOCSET_DEFAULT_SIZES);
	LmError error;
	LmCharsTrainer *trainer = lm_chars_trainer_create(gpt_bridge_host(context), &error);
	Sample sample = sample_begin(spool, 1, progress);
	const LmTokenizerSpec *spec;
	LmTokenizer *tokenizer;
	GptDocument document;

	if (trainer == NULL)
		gpt_bridge_raise(&error);
	while (sample_next(&document, &sample, progress))
	{
		/* Adding a text twice changes nothing. */
		while (!lm_chars_trainer_add(trainer, document.text, document.size, &error))
			gpt_bridge_retry_row(&error, document.query, document.row);
	}
	while ((spec = lm_chars_trainer_finish(trainer, &error)) == NULL)
		gpt_bridge_retry(&error);
	tokenizer = gpt_corpus_tokenizer_create(spec);
	lm_chars_trainer_free(trainer);
	MemoryContextDelete(context);
	return tokenizer;
}

/* ---- Byte pair encoding ------------------------------------------------- */

/*
 * False when that share of the documents needs too much memory, or a request interrupted without
 * being one to stop.
 */
static bool
count_words(LmBpeTrainer *trainer, GptSpool *spool, double share, int64 memory,
			GptProgress *progress)
{
	Sample sample = sample_begin(spool, share, progress);
	bool counted = true;
	GptDocument document;
	LmError error;

	while (counted && sample_next(&document, &sample, progress))
	{
		counted = lm_bpe_trainer_add(trainer, document.text, document.size, &error);
		if (!counted)
			gpt_bridge_retry_row(&error, document.query, document.row);
		counted = counted && (int64) lm_bpe_trainer_memory(trainer) <= memory;
	}
	sample_end(&sample);
	return counted;
}

static void
check_vocabulary(const GptTokenizerChoice *choice, int reached, const GptTrainOptions *options)
{
	if (reached < choice->vocabulary && options->vocabulary != GPT_CHOSEN)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("vocabulary of %d tokens is larger than the documents can support, which is %d",
					choice->vocabulary, reached),
			 errhint("Set option \"vocabulary\" to %d or less, or leave it out%s.", reached,
					 options->makes_tokenizer && choice->min_count > 2
						 ? ", or learn rarer pairs with a smaller \"min_count\""
						 : "")));
}

/* A phase of a job that only makes a tokenizer; in others all of this is one phase. */
static void
show_phase(const GptTrainOptions *options, GptProgress *progress, const char *phase)
{
	if (options->makes_tokenizer)
		gpt_progress_phase(progress, phase);
}

/* NULL when a request interrupted without being one to stop. */
static const LmTokenizerSpec *
merge_pairs(LmBpeTrainer *trainer, const GptTrainOptions *options, int vocabulary, int *reached,
			GptProgress *progress)
{
	const LmTokenizerSpec *spec;
	LmError error;

	show_phase(options, progress, "merging");
	spec = lm_bpe_trainer_finish(trainer, vocabulary, reached, &error);
	if (spec == NULL)
		gpt_bridge_retry(&error);
	return spec;
}

/* ---- The tokens that are worth it --------------------------------------- */

/* A sample of the texts, one after the other. */
static StringInfoData
sample_text(GptSpool *spool, GptProgress *progress)
{
	double bytes = (double) gpt_spool_bytes(spool, GPT_SIDE_TRAIN);
	Sample sample = sample_begin(spool, MEASURED_SIZE / Max(bytes, 1), progress);
	GptDocument document;
	StringInfoData text;

	initStringInfo(&text);
	while (sample_next(&document, &sample, progress) && text.len < 16 * MEASURED_SIZE)
	{
		int size = (int) Min(document.size, MEASURED_DOCUMENT);

		appendBinaryStringInfo(&text, document.text,
							   pg_encoding_mbcliplen(PG_UTF8, document.text, size, size));
		appendStringInfoChar(&text, '\n');
	}
	sample_end(&sample);
	return text;
}

/* The tokenizer that the trainer would have made of fewer tokens. */
static LmTokenizerSpec
shorten(const LmTokenizerSpec *spec, int n_tokens)
{
	LmTokenizerSpec shorter = *spec;

	if (n_tokens == spec->n_tokens)
		return shorter;
	shorter.n_tokens = n_tokens;
	shorter.end_of_text = n_tokens - 1;
	shorter.tokens = palloc(n_tokens * sizeof(LmBytes));
	memcpy(shorter.tokens, spec->tokens, (n_tokens - 1) * sizeof(LmBytes));
	shorter.tokens[n_tokens - 1] = spec->tokens[spec->end_of_text];
	shorter.special = palloc0(n_tokens * sizeof(bool));
	shorter.special[n_tokens - 1] = true;
	shorter.n_merges = 0;
	while (shorter.n_merges < spec->n_merges &&
		   spec->merges[shorter.n_merges].result < n_tokens - 1)
		shorter.n_merges++;
	return shorter;
}

static double
count_tokens(const LmTokenizerSpec *spec, int n_tokens, StringInfo text)
{
	LmTokenizerSpec shorter = shorten(spec, n_tokens);
	LmTokenizer *tokenizer = gpt_corpus_tokenizer_create(&shorter);
	LmTokens tokens = {NULL};
	LmError error;
	double n;

	while (!lm_tokenizer_encode(tokenizer, &tokens, text->data, (size_t) text->len, &error))
		gpt_bridge_retry(&error);
	n = (double) tokens.count;
	lm_tokens_free(gpt_bridge_host(CurrentMemoryContext), &tokens);
	lm_tokenizer_free(tokenizer);
	return n;
}

/*
 * Numbers and identifiers make pairs without end, which cut them here so and there so, and shorten
 * the texts by next to nothing. The size grows while twice as many tokens would make the texts
 * shorter by least_gain.
 */
static LmTokenizerSpec
worthwhile(const LmTokenizerSpec *spec, double least_gain, GptSpool *spool, GptProgress *progress)
{
	StringInfoData text;
	int size = SMALLEST_MEASURED;
	double n;

	if (least_gain <= 0 || spec->n_tokens <= size)
		return *spec;
	text = sample_text(spool, progress);
	n = count_tokens(spec, size, &text);
	while (size < spec->n_tokens)
	{
		int next = Min(spec->n_tokens, (int) rint(size * M_SQRT2));
		double n_next = count_tokens(spec, next, &text);
		double doublings = log2((double) next / size);

		if (1 - pow(n_next / n, 1 / doublings) < least_gain)
			break;
		size = next;
		n = n_next;
	}
	pfree(text.data);
	return shorten(spec, size);
}

/* Trains BPE on a sample; halves the sample until its words fit into half of gpt.max_memory. */
static LmTokenizer *
train_bpe(const GptTrainOptions *options, const GptTokenizerChoice *choice, GptSpool *spool,
		  GptProgress *progress)
{
	int64 bytes = gpt_spool_bytes(spool, GPT_SIDE_TRAIN);
	/* A tokenizer is made of all texts, unless it is only a part of a job's work. */
	double share = options->makes_tokenizer ? 1 : (double) SAMPLE_SIZE / (double) Max(bytes, 1);
	LmTokenizer *tokenizer = NULL;

	while (tokenizer == NULL)
	{
		MemoryContext context = AllocSetContextCreate(
			CurrentMemoryContext, "gpt tokenizer training", ALLOCSET_DEFAULT_SIZES);
		LmError error;
		LmBpeOptions bpe = gpt_bpe_options(options);
		LmBpeTrainer *trainer;
		const LmTokenizerSpec *spec;
		int reached = 0;

		bpe.min_count = gpt_choice_of_sample(choice, share).min_count;
		trainer = lm_bpe_trainer_create(gpt_bridge_host(context), &bpe, &error);
		if (trainer == NULL)
			gpt_bridge_raise(&error);
		if (share < SMALLEST_SHARE)
			ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
							errmsg("training a tokenizer needs more memory than half of "
								   "gpt.max_memory, " INT64_FORMAT " MB",
								   gpt_settings_max_memory() / 2 / 1024 / 1024),
							errhint("Raise gpt.max_memory, or use the tokenizer \"bytes\".")));
		show_phase(options, progress, "counting");
		if (!count_words(trainer, spool, share, gpt_settings_max_memory() / 2, progress))
			share = Min(share, 1) / 2;
		else if ((spec = merge_pairs(trainer, options, choice->vocabulary, &reached, progress)) !=
				 NULL)
		{
			LmTokenizerSpec kept = worthwhile(spec, choice->least_gain, spool, progress);

			check_vocabulary(choice, reached, options);
			tokenizer = gpt_corpus_tokenizer_create(&kept);
		}
		lm_bpe_trainer_free(trainer);
		MemoryContextDelete(context);
	}
	return tokenizer;
}
