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

#include "core/json_writer.h"
#include "core/options.h"
#include "core/transaction.h"
#include "corpus/corpus.h"
#include "corpus/facts.h"
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
	const char *why; /* this kind and size */
} Ending;

static void record_corpus(const GptJob *job, const GptFacts *facts);
static void publish_tokenizer(void *argument);
static Jsonb *conditions(const LmTokenizerSpec *spec);
static Jsonb *report(const Ending *ending);

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
	record_corpus(job, gpt_facts_collect(spool, &progress));

	/* 2. */
	choice = gpt_choose_tokenizer(options, spool, &progress);
	tokenizer = gpt_corpus_tokenizer(options, &choice, spool, NULL, &progress);

	/* 3. */
	gpt_progress_phase(&progress, "publishing");
	ending.spec = lm_tokenizer_spec(tokenizer);
	ending.why = choice.why;
	gpt_publish(job, publish_tokenizer, &ending, leave_slot, &progress);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt made tokenizer \"%s\" of %d tokens",
						 job->number, job->tokenizer, ending.spec->n_tokens)));
	gpt_spool_free(spool);
	lm_tokenizer_free(tokenizer);
}

/* Commits the counts at once, so that gpt_jobs shows them while the job runs. */
static void
record_corpus(const GptJob *job, const GptFacts *facts)
{
	GptTransaction transaction;
	GptJsonWriter json = {NULL};
	GptJobCorpus counts = {.documents = facts->documents,
						   .skipped = facts->rows - facts->documents,
						   .bytes = facts->bytes.sum,
						   .tokens = -1};

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_job_set_corpus(job->number, &counts);
	gpt_json_begin(&json, NULL);
	gpt_facts_write(&json, facts);
	gpt_job_add_report(job->number, gpt_json_finish(&json));
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
	gpt_job_add_report(ending->job->number, report(ending));
	gpt_publish_success(ending->job);
}

static Jsonb *
conditions(const LmTokenizerSpec *spec)
{
	GptJsonWriter json = {NULL};

	gpt_json_begin(&json, NULL);
	gpt_json_put_text(&json, "kind", lm_tokenizer_kind_name((int) spec->kind));
	gpt_json_put_integer(&json, "vocabulary", spec->n_tokens);
	return gpt_json_finish(&json);
}

/* The part of gpt_jobs.report that says what was made, and why. */
static Jsonb *
report(const Ending *ending)
{
	GptJsonWriter json = {NULL};

	gpt_json_begin(&json, NULL);
	gpt_json_begin(&json, "tokenizer");
	gpt_json_put_text(&json, "kind", lm_tokenizer_kind_name((int) ending->spec->kind));
	gpt_json_put_integer(&json, "vocabulary", ending->spec->n_tokens);
	gpt_json_put_text(&json, "why", ending->why);
	gpt_json_end(&json);
	return gpt_json_finish(&json);
}
