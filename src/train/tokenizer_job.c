/*
 * src/train/tokenizer_job.c
 *
 * A claimed job goes in, a tokenizer with a name comes out:
 *
 *   1. read      the rows of the query, in one read-only transaction; no snapshot is held
 *                afterwards;
 *   2. train     words are counted and pairs merged (corpus_tokenizer.c);
 *   3. publish   tokenizer, name and the job's success in one commit.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "core/options.h"
#include "core/transaction.h"
#include "corpus/corpus.h"
#include "corpus/spool.h"
#include "store/catalog.h"
#include "store/progress.h"
#include "train/publish.h"
#include "train/tokenizer_job.h"

/* The publication, and with it the end of the job. */
typedef struct Ending
{
	const GptJob *job;
	const LmTokenizerSpec *spec;
} Ending;

static void record_corpus(const GptJob *job, const GptSpool *spool);
static void publish_tokenizer(void *argument);
static Jsonb *conditions(const LmTokenizerSpec *spec);

void
gpt_tokenizer_job_run(const GptJob *job, void (*leave_slot)(void))
{
	GptTrainOptions *options = gpt_options_parse(job->options, GPT_FUNCTION_TRAIN_TOKENIZER);
	GptSpoolOptions spool_options;
	GptProgress progress;
	GptSpool *spool;
	GptTokenizerChoice choice;
	LmTokenizer *tokenizer;
	Ending ending = {.job = job};

	/* 1. */
	gpt_progress_start(&progress, job->number);
	gpt_progress_phase(&progress, "reading");
	spool_options = gpt_corpus_spool_options(job->query, options);
	spool = gpt_corpus_read(job, &spool_options);
	record_corpus(job, spool);

	/* 2. */
	choice = gpt_choose_tokenizer(options, spool, &progress);
	tokenizer = gpt_corpus_tokenizer(options, &choice, spool, &progress);
	gpt_spool_free(spool);

	/* 3. */
	gpt_progress_phase(&progress, "publishing");
	ending.spec = lm_tokenizer_spec(tokenizer);
	gpt_publish(job, publish_tokenizer, &ending, leave_slot, &progress);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt made tokenizer \"%s\" of %d tokens",
						 job->number, job->tokenizer, ending.spec->n_tokens)));
	lm_tokenizer_free(tokenizer);
}

/* Commits the counts at once, so that gpt_jobs shows them while the job runs. */
static void
record_corpus(const GptJob *job, const GptSpool *spool)
{
	GptTransaction transaction;
	GptJobCorpus counts = {.documents = gpt_spool_documents(spool),
						   .skipped = gpt_spool_skipped(spool),
						   .bytes = gpt_spool_bytes(spool, GPT_SIDE_TRAIN),
						   .tokens = -1};

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_job_set_corpus(job->number, &counts);
	gpt_transaction_commit(&transaction);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt has read " INT64_FORMAT
						 " documents, " INT64_FORMAT " bytes",
						 job->number, counts.documents, counts.bytes)));
}

/* The locks are taken in the order of gpt_import_tokenizer: the tokenizer's row, then its name. */
static void
publish_tokenizer(void *argument)
{
	const Ending *ending = argument;
	const LmTokenizerSpec *spec = ending->spec;
	int64 merges = ending->spec->n_merges;
	uint8 sha256[GPT_SHA256_SIZE];

	gpt_catalog_store_tokenizer(sha256, spec);
	gpt_catalog_name_tokenizer(ending->job->tokenizer, sha256);
	gpt_job_set_steps(ending->job->number, merges, merges, conditions(spec));
	gpt_publish_success(ending->job);
}

static Jsonb *
conditions(const LmTokenizerSpec *spec)
{
	char *text = psprintf("{\"kind\": \"%s\", \"vocabulary\": %d}",
						  lm_tokenizer_kind_name((int) spec->kind), spec->n_tokens);

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}
