/*
 * src/train/train_estimate.c
 *
 * A query and the options of a training go in; a report as a job would write it comes out, without
 * a job.
 */
#include "postgres.h"

#include "corpus/facts.h"
#include "train/train_estimate.h"

static GptSpool *
read_rows(const char *query, const GptTrainOptions *options)
{
	GptSpoolOptions spool_options = {
		.query = query,
		.validation_query = options->validation_query,
		.validation_fraction = options->validation_fraction,
		.joined = options->documents == LM_DOCUMENTS_JOINED,
		.watermark = options->watermark,
		.seed = (uint64) options->seed,
		.normalize_nfc = options->normalize == GPT_NORMALIZE_NFC,
		.in_transaction = true,
	};

	return gpt_spool_read(&spool_options);
}

Jsonb *
gpt_train_estimate(const char *query, const GptTrainOptions *options)
{
	GptJsonWriter json = {NULL};
	GptProgress progress;
	GptSpool *spool;

	gpt_progress_start(&progress, GPT_NO_JOB);
	spool = read_rows(query, options);
	gpt_json_begin(&json, NULL);
	gpt_facts_write(&json, gpt_facts_collect(spool, &progress));
	gpt_spool_free(spool);
	return gpt_json_finish(&json);
}
