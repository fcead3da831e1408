/*
 * src/corpus/train_bpe.c
 *
 * Documents go in, a BPE tokenizer comes out. Documents are collected until they are worth a run of
 * all threads. Words beyond the memory go to a temporary file, in blocks of one part each, and come
 * back part by part (engine/tokenizer.h).
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "core/transaction.h"
#include "corpus/bpe_options.h"
#include "corpus/corpus.h"
#include "corpus/tokenizer_sample.h"
#include "corpus/train_bpe.h"
#include "corpus/worthwhile.h"

#define BATCH_SIZE ((size_t) 4 * 1024 * 1024) /* bytes of text */
#define BATCH_DOCUMENTS 4096
#define MERGES_AT_ONCE 64
#define LEAST_VOCABULARY 257 /* bytes and the end of a text */

/* Where a block of words is in the temporary file. */
typedef struct SpillBlock
{
	int file;
	off_t offset;
	uint32 size;
} SpillBlock;

/* The blocks of a part. */
typedef struct SpillPart
{
	SpillBlock *blocks;
	int n;
	int capacity;
} SpillPart;

/* One training. */
typedef struct Training
{
	MemoryContext context; /* everything of it */
	MemoryContextCallback release;
	const GptTrainOptions *options;
	GptProgress *progress;
	LmBpeTrainer *trainer;
	GptWordCounts *counts; /* of several servers; NULL: texts are counted */
	char *batch; /* documents that wait for a run */
	size_t size;
	LmBytes *texts;
	GptDocument *documents; /* whose they are */
	int n_texts;
	BufFile *file; /* NULL: nothing is spilled */
	SpillPart parts[LM_BPE_PARTS];
	char *block; /* that is read back */
} Training;

static Training *start_training(const GptTrainOptions *options, const GptTokenizerChoice *choice,
								GptProgress *progress);
static void note_share(double share, const GptProgress *progress);
static void release_trainer(void *training);
static bool train(Training *training, GptSpool *spool, double share, int vocabulary);
static bool put_word(void *trainer, LmBytes word, int64 count, LmError *error);
static void count_document(Training *training, const GptDocument *document);
static void count_batch(Training *training);
static void spill_words(Training *training);
static bool restore_words(Training *training);
static void read_block(Training *training, const SpillBlock *block);
static bool merge_pairs(Training *training, int vocabulary);
static bool fits(const LmError *error);
static LmTokenizer *make_tokenizer(Training *training, const GptTokenizerChoice *choice,
								   GptSpool *spool);

LmTokenizer *
gpt_train_bpe(const GptTrainOptions *options, const GptTokenizerChoice *choice, GptSpool *spool,
			  GptProgress *progress)
{
	double share = gpt_tokenizer_sample_share(options, spool);
	LmTokenizer *tokenizer = NULL;

	while (tokenizer == NULL)
	{
		GptTokenizerChoice sampled = gpt_choice_of_sample(choice, share);
		Training *training = start_training(options, &sampled, progress);

		gpt_tokenizer_sample_check(share);
		if (train(training, spool, share, choice->vocabulary))
			tokenizer = make_tokenizer(training, choice, spool);
		else
			share = Min(share, 1) / 2;
		MemoryContextDelete(training->context);
	}
	if (options->makes_tokenizer && share < 1)
		note_share(share, progress);
	return tokenizer;
}

LmTokenizer *
gpt_train_bpe_of(const GptTrainOptions *options, const GptTokenizerChoice *choice,
				 GptWordCounts *counts, GptProgress *progress)
{
	LmTokenizer *tokenizer = NULL;

	while (tokenizer == NULL)
	{
		Training *training = start_training(options, choice, progress);

		training->counts = counts;
		if (gpt_word_counts_put(training->trainer, put_word, counts) &&
			merge_pairs(training, choice->vocabulary))
			tokenizer = make_tokenizer(training, choice, NULL);
		else
			gpt_tokenizer_leave_out(&counts->least);
		MemoryContextDelete(training->context);
	}
	return tokenizer;
}

static bool
put_word(void *trainer, LmBytes word, int64 count, LmError *error)
{
	return lm_bpe_trainer_put(trainer, word, count, error);
}

static double
count_tokens(void *counts, LmTokenizer *tokenizer)
{
	double bytes;

	return gpt_word_counts_tokens(&bytes, tokenizer, counts);
}

/* A job that makes a tokenizer is expected to read all rows. */
static void
note_share(double share, const GptProgress *progress)
{
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_job_add_note(progress->job,
					 psprintf("the tokenizer was trained on a sample of %.3g %% of the rows: the "
							  "words of all need more than half of gpt.max_memory, " INT64_FORMAT
							  " MB",
							  100 * share, gpt_settings_max_memory() / 1024 / 1024));
	gpt_transaction_commit(&transaction);
}

/* ICU's part of the trainer is outside of memory contexts, so the context releases it. */
static Training *
start_training(const GptTrainOptions *options, const GptTokenizerChoice *choice,
			   GptProgress *progress)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "gpt tokenizer training",
												  ALLOCSET_DEFAULT_SIZES);
	Training *training = MemoryContextAllocZero(context, sizeof(Training));
	LmBpeOptions bpe = gpt_bpe_options(options);
	LmError error;

	training->context = context;
	training->options = options;
	training->progress = progress;
	training->batch = MemoryContextAlloc(context, BATCH_SIZE);
	training->texts = MemoryContextAlloc(context, BATCH_DOCUMENTS * sizeof(LmBytes));
	training->documents = MemoryContextAlloc(context, BATCH_DOCUMENTS * sizeof(GptDocument));
	bpe.min_count = choice->min_count;
	bpe.memory = (size_t) gpt_settings_max_memory() / 2;
	/* A session that estimates has no threads of its own. */
	if (progress->job != GPT_NO_JOB)
		bpe.engine = gpt_bridge_training_engine(gpt_settings_train_threads(options->threads));
	training->trainer = lm_bpe_trainer_create(gpt_bridge_host(context), &bpe, &error);
	if (training->trainer == NULL)
		gpt_bridge_raise(&error);
	training->release.func = release_trainer;
	training->release.arg = training;
	MemoryContextRegisterResetCallback(context, &training->release);
	return training;
}

static void
release_trainer(void *training)
{
	lm_bpe_trainer_free(((Training *) training)->trainer);
}

/* False when that share of the documents needs too much memory. */
static bool
train(Training *training, GptSpool *spool, double share, int vocabulary)
{
	GptTokenizerSample sample;
	GptDocument document;
	bool fitted;

	gpt_tokenizer_sample_phase(training->options, training->progress, "counting");
	sample = gpt_tokenizer_sample_begin(spool, share, training->progress);
	while (gpt_tokenizer_sample_next(&document, &sample, training->progress))
		count_document(training, &document);
	count_batch(training);
	gpt_tokenizer_sample_end(&sample);
	fitted = !lm_bpe_trainer_spilled(training->trainer) || restore_words(training);
	if (training->file != NULL)
		BufFileClose(training->file);
	training->file = NULL;
	return fitted && merge_pairs(training, vocabulary);
}

/* ---- Counting ----------------------------------------------------------- */

/* A document larger than a batch is counted at once, the others are copied. */
static void
count_document(Training *training, const GptDocument *document)
{
	bool large = document->size > BATCH_SIZE;
	char *copy;

	if (large || training->n_texts == BATCH_DOCUMENTS ||
		training->size + document->size > BATCH_SIZE)
		count_batch(training);
	copy = training->batch + training->size;
	training->texts[training->n_texts].data = large ? document->text : copy;
	training->texts[training->n_texts].size = document->size;
	training->documents[training->n_texts++] = *document;
	if (large)
		count_batch(training);
	else
	{
		memcpy(copy, document->text, document->size);
		training->size += document->size;
	}
}

/* Counts the words of the batch. What interrupts without being a request to stop only delays. */
static void
count_batch(Training *training)
{
	LmError error;
	int failed = 0;

	while (training->n_texts > 0 && !lm_bpe_trainer_add_many(training->trainer, training->texts,
															 training->n_texts, &failed, &error))
	{
		if (lm_bpe_trainer_full(training->trainer))
			spill_words(training);
		else
			gpt_bridge_retry_row(&error, training->documents[failed].query,
								 training->documents[failed].row);
	}
	training->n_texts = 0;
	training->size = 0;
}

/* ---- Words beyond the memory -------------------------------------------- */

static void
spill_words(Training *training)
{
	MemoryContext caller = MemoryContextSwitchTo(training->context);
	LmError error;
	LmBytes block;
	int part;

	if (training->file == NULL)
		training->file = BufFileCreateTemp(!IsTransactionState());
	while ((block = lm_bpe_trainer_spill(training->trainer, &part, &error)).size > 0)
	{
		SpillPart *spilled = &training->parts[part];
		SpillBlock *place;

		CHECK_FOR_INTERRUPTS();
		if (spilled->n == spilled->capacity)
		{
			spilled->capacity = Max(64, 2 * spilled->capacity);
			spilled->blocks =
				spilled->blocks == NULL
					? palloc(spilled->capacity * sizeof(SpillBlock))
					: repalloc(spilled->blocks, spilled->capacity * sizeof(SpillBlock));
		}
		place = &spilled->blocks[spilled->n++];
		BufFileTell(training->file, &place->file, &place->offset);
		place->size = (uint32) block.size;
		BufFileWrite(training->file, unconstify(char *, block.data), block.size);
	}
	if (block.data == NULL)
		gpt_bridge_raise(&error);
	MemoryContextSwitchTo(caller);
}

/* Gives all words back, part by part; false when they are too many to merge. */
static bool
restore_words(Training *training)
{
	size_t largest = 0;
	LmError error;
	int part;

	spill_words(training);
	for (part = 0; part < LM_BPE_PARTS; part++)
		for (int i = 0; i < training->parts[part].n; i++)
			largest = Max(largest, training->parts[part].blocks[i].size);
	training->block = MemoryContextAlloc(training->context, Max(largest, 1));
	while ((part = lm_bpe_trainer_wanted(training->trainer)) >= 0)
	{
		for (int i = 0; i < training->parts[part].n; i++)
		{
			LmBytes block = {training->block, training->parts[part].blocks[i].size};

			gpt_progress_tick(training->progress);
			read_block(training, &training->parts[part].blocks[i]);
			if (!lm_bpe_trainer_restore(training->trainer, block, &error))
				gpt_bridge_raise(&error);
		}
		if (!lm_bpe_trainer_restored(training->trainer, &error))
			return fits(&error);
	}
	return true;
}

static void
read_block(Training *training, const SpillBlock *block)
{
	if (BufFileSeek(training->file, block->file, block->offset, SEEK_SET) != 0 ||
		BufFileRead(training->file, training->block, block->size) != block->size)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not read a temporary file of words: %m")));
}

/* False for what a smaller sample helps against; raises other errors. */
static bool
fits(const LmError *error)
{
	if (error->code != LM_ERR_LIMIT)
		gpt_bridge_raise(error);
	return false;
}

/* ---- Merging ------------------------------------------------------------ */

/* False when that needs too much memory. */
static bool
merge_pairs(Training *training, int vocabulary)
{
	GptProgress *progress = training->progress;
	bool done = false;
	LmError error;

	gpt_tokenizer_sample_phase(training->options, progress, "merging");
	while (!done)
	{
		if (!lm_bpe_trainer_merge(training->trainer, vocabulary, MERGES_AT_ONCE, &done, &error))
		{
			if (error.code != LM_ERR_STOPPED)
				return fits(&error);
			gpt_bridge_retry(&error);
		}
		if (training->options->makes_tokenizer)
		{
			progress->step = lm_bpe_trainer_tokens(training->trainer) - 257;
			progress->steps = vocabulary - 257;
		}
		gpt_progress_tick(progress);
	}
	return true;
}

static LmTokenizer *
make_tokenizer(Training *training, const GptTokenizerChoice *choice, GptSpool *spool)
{
	const GptTrainOptions *options = training->options;
	const LmTokenizerSpec *spec;
	LmTokenizerSpec kept;
	LmError error;
	int vocabulary = Max(choice->vocabulary - choice->n_special, LEAST_VOCABULARY);
	int reached;

	while ((spec = lm_bpe_trainer_finish(training->trainer, vocabulary, &reached, &error)) == NULL)
		gpt_bridge_retry(&error);
	gpt_tokenizer_sample_check_vocabulary(options, choice, reached + choice->n_special);
	kept = training->counts != NULL
			   ? gpt_worthwhile_tokens_by(spec, choice->least_gain, count_tokens, training->counts)
			   : gpt_worthwhile_tokens(spec, choice->least_gain, spool, training->progress);
	return gpt_corpus_tokenizer_made(&kept, choice);
}
