/*
 * src/corpus/corpus_estimate.c
 *
 * A query goes in, the corpus that a job would make of it comes out, without a job: all rows are
 * read, but of a large corpus only a sample becomes tokens.
 */
#include "postgres.h"

#include <math.h>

#include "corpus/corpus.h"
#include "corpus/facts.h"
#include "corpus/token_file.h"

/* bytes of text that become tokens; a corpus that has not more is estimated exactly */
#define SAMPLE_SIZE ((double) 8 * 1024 * 1024)

static void train_tokenizer(GptCorpus *corpus, const GptTrainOptions *options, GptSpool *spool,
							GptSpool *sample, double share, GptProgress *progress);
static void keep_tokenizer(LmTokenizer *tokenizer);
static void make_tokens(GptCorpus *corpus, const GptTrainOptions *options, GptSpool *sample,
						double factor, GptProgress *progress);

GptCorpus *
gpt_corpus_estimate(const char *query, const GptTrainOptions *options, GptProgress *progress)
{
	GptSpoolOptions spool_options = gpt_corpus_spool_options(query, options);
	GptCorpus *corpus = palloc0(sizeof(GptCorpus));
	double share;
	GptSpool *spool;
	GptSpool *sample;

	corpus->tokenizer =
		gpt_corpus_tokenizer_stored(options, corpus->tokenizer_hash, &corpus->tokenizer_is_stored);
	if (corpus->tokenizer != NULL)
		keep_tokenizer(corpus->tokenizer);
	spool_options.normalize_nfc = gpt_corpus_normalizes(corpus, options);
	spool_options.in_transaction = true;
	spool_options.chat = gpt_corpus_chat_template(options, NULL);
	spool_options.compare = GPT_DEDUP_NEAR;
	spool = gpt_spool_read(&spool_options);
	corpus->facts = gpt_facts_collect(spool, progress);
	corpus->counts.documents = gpt_spool_documents(spool);
	corpus->counts.skipped = gpt_spool_skipped(spool);
	corpus->counts.bytes = corpus->facts->bytes.sum;
	corpus->counts.held_out = gpt_spool_side_documents(spool, GPT_SIDE_VALIDATION);
	corpus->prompted = gpt_spool_prompted(spool);
	corpus->task = gpt_spool_task(spool);
	corpus->prompt = gpt_prompt_form_choose(options, NULL, spool);

	share = SAMPLE_SIZE / (double) corpus->facts->side_bytes[GPT_SIDE_TRAIN];
	sample = share < 1 ? gpt_spool_sample(spool, share, progress) : spool;
	if (corpus->tokenizer == NULL)
		train_tokenizer(corpus, options, spool, sample, share, progress);
	make_tokens(corpus, options, sample,
				(double) corpus->facts->side_bytes[GPT_SIDE_TRAIN] /
					(double) gpt_spool_bytes(sample, GPT_SIDE_TRAIN),
				progress);
	if (sample != spool)
	{
		corpus->facts->token_documents = gpt_spool_documents(sample);
		corpus->has_validation = gpt_spool_holds_out(spool);
		gpt_spool_free(sample);
	}
	gpt_spool_free(spool);
	return corpus;
}

/* Kind and size follow from all texts; the sample may support fewer tokens than are wanted. */
static void
train_tokenizer(GptCorpus *corpus, const GptTrainOptions *options, GptSpool *spool,
				GptSpool *sample, double share, GptProgress *progress)
{
	GptTokenizerChoice choice;
	GptTrainOptions lenient = *options;

	gpt_spool_read_contents(spool, true);
	choice = gpt_choose_tokenizer(options, spool, progress);
	gpt_spool_read_contents(spool, false);

	if (sample != spool)
	{
		lenient.vocabulary = GPT_CHOSEN;
		choice = gpt_choice_of_sample(&choice, share);
	}
	gpt_corpus_special(&choice, options, corpus);
	corpus->why_tokenizer = choice.why;
	gpt_spool_read_contents(sample, true);
	corpus->tokenizer = gpt_corpus_tokenizer(&lenient, &choice, sample, NULL, progress);
	gpt_spool_read_contents(sample, false);
	keep_tokenizer(corpus->tokenizer);
}

static void
free_tokenizer(void *tokenizer)
{
	lm_tokenizer_free(tokenizer);
}

/* The tokenizer lives as long as the memory context: memory of ICU is given back with it. */
static void
keep_tokenizer(LmTokenizer *tokenizer)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	*callback = (MemoryContextCallback){.func = free_tokenizer, .arg = tokenizer};
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
}

static int64
scaled(int64 n, double factor)
{
	return (int64) rint((double) n * factor);
}

/* factor: bytes of the corpus for each byte of the sample. */
static void
make_tokens(GptCorpus *corpus, const GptTrainOptions *options, GptSpool *sample, double factor,
			GptProgress *progress)
{
	GptTokenFileOptions file = gpt_token_file_options(options);
	GptFacts *facts = corpus->facts;
	LmDatasetHeader *header;
	int64 unpredicted;

	file.sizes = &facts->tokens;
	gpt_prompt_form_fit(&corpus->prompt, corpus->tokenizer);
	file.prompt = gpt_prompt_form_template(&corpus->prompt);
	for (int side = 0; side < GPT_N_SIDES; side++)
		facts->token_bytes += gpt_spool_bytes(sample, side);
	corpus->dataset.documents = file.documents;
	corpus->dataset.shuffle = options->shuffle;
	corpus->dataset.seed = (uint64) options->seed;
	corpus->dataset.context =
		gpt_token_file_write(&unpredicted, &file, sample, corpus->tokenizer, progress);
	gpt_token_file_load(&corpus->dataset, file.file);

	/* It has been checked; only the plan reads the number of tokens. */
	header = unconstify(LmDatasetHeader *, corpus->dataset.header);
	header->train_tokens = (uint64) scaled((int64) header->train_tokens, factor);
	corpus->has_validation = header->n_validation_windows > 0;
	corpus->counts.tokens = scaled((int64) header->n_tokens, factor);
	if (factor > 1)
		corpus->counts.tokens =
			scaled((int64) header->n_tokens,
				   factor * (double) facts->bytes.sum / (double) facts->side_bytes[GPT_SIDE_TRAIN]);
	unpredicted = scaled(unpredicted, factor);
	corpus->counts.documents -= unpredicted;
	corpus->counts.skipped += unpredicted;
	facts->documents -= unpredicted;
	facts->skipped.n[GPT_SKIP_TOKENS] = unpredicted;
}
