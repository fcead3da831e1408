/*
 * src/corpus/train_unigram.c
 *
 * Documents go in, a tokenizer of a unigram language model comes out (engine/unigram_trainer.h):
 * words are counted, and rounds of estimation give up tokens until the vocabulary is small enough.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "corpus/bpe_options.h"
#include "corpus/corpus.h"
#include "corpus/tokenizer_sample.h"
#include "corpus/train_unigram.h"
#include "engine/unigram_trainer.h"

/* One training, in a memory context of its own. */
typedef struct Training
{
	MemoryContext context;
	MemoryContextCallback release;
	const GptTrainOptions *options;
	GptProgress *progress;
	LmUnigramTrainer *trainer;
	int vocabulary;
} Training;

static Training *start_training(const GptTrainOptions *options, const GptTokenizerChoice *choice,
								GptProgress *progress);
static void release_trainer(void *training);
static bool put_word(void *trainer, LmBytes word, int64 count, LmError *error);
static bool count_words(Training *training, GptSpool *spool, double share);
static bool choose_tokens(Training *training);
static const LmTokenizerSpec *finish(Training *training, int *reached);
static bool retry(const LmError *error);

LmTokenizer *
gpt_train_unigram(const GptTrainOptions *options, const GptTokenizerChoice *choice, GptSpool *spool,
				  GptProgress *progress)
{
	double share = gpt_tokenizer_sample_share(options, spool);
	LmTokenizer *tokenizer = NULL;

	while (tokenizer == NULL)
	{
		GptTokenizerChoice sampled = gpt_choice_of_sample(choice, share);
		Training *training = start_training(options, &sampled, progress);
		const LmTokenizerSpec *spec = NULL;
		int reached;

		gpt_tokenizer_sample_check(share);
		if (count_words(training, spool, share) && choose_tokens(training))
			spec = finish(training, &reached);
		if (spec == NULL)
			share = Min(share, 1) / 2;
		else
		{
			gpt_tokenizer_sample_check_vocabulary(options, choice, reached + choice->n_special);
			tokenizer = gpt_corpus_tokenizer_made(spec, choice);
		}
		MemoryContextDelete(training->context);
	}
	return tokenizer;
}

LmTokenizer *
gpt_train_unigram_of(const GptTrainOptions *options, const GptTokenizerChoice *choice,
					 GptWordCounts *counts, GptProgress *progress)
{
	LmTokenizer *tokenizer = NULL;

	while (tokenizer == NULL)
	{
		Training *training = start_training(options, choice, progress);
		const LmTokenizerSpec *spec = NULL;
		int reached;

		if (gpt_word_counts_put(training->trainer, put_word, counts) && choose_tokens(training))
			spec = finish(training, &reached);
		if (spec == NULL)
			gpt_tokenizer_leave_out(&counts->least);
		else
		{
			gpt_tokenizer_sample_check_vocabulary(options, choice, reached + choice->n_special);
			tokenizer = gpt_corpus_tokenizer_made(spec, choice);
		}
		MemoryContextDelete(training->context);
	}
	return tokenizer;
}

static bool
put_word(void *trainer, LmBytes word, int64 count, LmError *error)
{
	return lm_unigram_trainer_put(trainer, word, count, error);
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
	LmUnigramOptions unigram = {
		.pattern = bpe.pattern,
		.normalize_nfc = bpe.normalize_nfc,
		.normalize_nfkc = bpe.normalize_nfkc,
		.min_count = choice->min_count,
		.memory = (size_t) gpt_settings_max_memory() / 2,
	};
	LmError error;

	training->context = context;
	training->options = options;
	training->progress = progress;
	training->vocabulary = Max(choice->vocabulary - choice->n_special, LM_UNIGRAM_SMALLEST);
	training->trainer = lm_unigram_trainer_create(gpt_bridge_host(context), &unigram, &error);
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
	lm_unigram_trainer_free(((Training *) training)->trainer);
}

/* False if the words do not fit into the memory. */
static bool
count_words(Training *training, GptSpool *spool, double share)
{
	GptTokenizerSample sample = gpt_tokenizer_sample_begin(spool, share, training->progress);
	bool fits = true;
	GptDocument document;
	LmError error;
	int failed;

	gpt_tokenizer_sample_phase(training->options, training->progress, "counting");
	while (fits && gpt_tokenizer_sample_next(&document, &sample, training->progress))
	{
		LmBytes text = {document.text, document.size};

		while (fits && !lm_unigram_trainer_add_many(training->trainer, &text, 1, &failed, &error))
		{
			fits = !lm_unigram_trainer_full(training->trainer);
			if (fits)
				gpt_bridge_retry_row(&error, document.query, document.row);
		}
	}
	gpt_tokenizer_sample_end(&sample);
	return fits;
}

/* Round after round; false if that needs too much memory. The step is what was given up. */
static bool
choose_tokens(Training *training)
{
	GptProgress *progress = training->progress;
	int candidates = 0;
	bool done = false;
	LmError error;

	gpt_tokenizer_sample_phase(training->options, progress, "choosing tokens");
	while (!done)
	{
		int n;

		gpt_progress_tick(progress);
		if (!lm_unigram_trainer_round(training->trainer, training->vocabulary, &done, &error))
		{
			if (!retry(&error))
				return false;
			continue;
		}
		n = lm_unigram_trainer_tokens(training->trainer);
		candidates = Max(candidates, n);
		if (training->options->makes_tokenizer)
		{
			progress->step = candidates - n;
			progress->steps = Max(candidates - training->vocabulary, 0);
		}
	}
	return true;
}

/* NULL if that needs too much memory. */
static const LmTokenizerSpec *
finish(Training *training, int *reached)
{
	const LmTokenizerSpec *spec;
	LmError error;

	while ((spec = lm_unigram_trainer_finish(training->trainer, training->vocabulary, reached,
											 &error)) == NULL)
	{
		if (!retry(&error))
			return NULL;
	}
	return spec;
}

/* False for what a smaller sample helps against; raises errors, and the request to stop. */
static bool
retry(const LmError *error)
{
	if (error->code == LM_ERR_LIMIT)
		return false;
	gpt_bridge_retry(error);
	return true;
}
