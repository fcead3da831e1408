/*
 * src/train_job.c
 *
 * A claimed job goes in, a published model comes out. The story of a training:
 *
 *   1. read      the rows of the query, in one read-only transaction; no snapshot is held afterwards;
 *   2. tokenize  a tokenizer is found or trained, and the token file written (corpus.c);
 *   3. plan      what the options leave open is chosen, and the memory checked before it is taken
 *                (train_plan.c); the job's row says under which conditions it runs;
 *   4. train     steps and validations, with short transactions for progress (train_loop.c);
 *   5. publish   tokenizer, weights, version and the job's success in one commit: before it there is nothing,
 *                after it everything.
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bridge.h"
#include "catalog.h"
#include "corpus.h"
#include "options.h"
#include "progress.h"
#include "token_file.h"
#include "train_job.h"
#include "train_loop.h"
#include "train_plan.h"
#include "worker.h"

static void record_corpus(const GptJob *job, const GptCorpus *corpus);
static void record_plan(const GptJob *job, const GptTrainPlan *plan);
static void publish(const GptJob *job, const GptCorpus *corpus, const GptTrainPlan *plan, const GptTrainResult *result);
static char *conditions(const GptTrainPlan *plan, const GptTrainResult *result);

void
gpt_train_job_run(const GptJob *job)
{
	TimestampTz started_at = GetCurrentTimestamp();
	GptTrainOptions *options = gpt_options_parse(job->options);
	GptProgress progress;
	GptTrainResult result;
	GptTrainPlan plan;
	GptCorpus *corpus;

	/* 1, 2. */
	gpt_progress_start(&progress, job->number);
	corpus = gpt_corpus_create(job, options, &progress);
	record_corpus(job, corpus);

	/* 3. */
	gpt_plan_create(&plan, options, corpus, started_at, &progress);
	record_plan(job, &plan);

	/* 4. */
	gpt_train_run(&result, &plan, corpus, &progress);

	/* 5. */
	gpt_progress_phase(&progress, "publishing");
	publish(job, corpus, &plan, &result);
	gpt_train_free(&result);
	gpt_corpus_free(corpus);
}

void
gpt_train_job_remove_files(const pg_uuid_t *run_id)
{
	gpt_token_file_remove(run_id);
}

static void
record_corpus(const GptJob *job, const GptCorpus *corpus)
{
	GptWorkerTransaction transaction;

	gpt_worker_begin(&transaction, false);
	gpt_job_set_corpus(job->number, &corpus->counts);
	gpt_worker_commit(&transaction);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt has read " INT64_FORMAT " documents, " INT64_FORMAT " bytes, " INT64_FORMAT " tokens",
						 job->number, corpus->counts.documents, corpus->counts.bytes, corpus->counts.tokens)));
}

static void
record_plan(const GptJob *job, const GptTrainPlan *plan)
{
	GptWorkerTransaction transaction;

	gpt_worker_begin(&transaction, false);
	gpt_job_set_steps(job->number, 0, plan->training.steps, conditions(plan, NULL));
	gpt_worker_commit(&transaction);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt trains %zu parameters for " INT64_FORMAT " steps with %d threads", job->number,
						 plan->parameters, plan->training.steps, plan->n_threads)));
}

/* ---- Publication ----------------------------------------------------------------------------------- */

static void
publish(const GptJob *job, const GptCorpus *corpus, const GptTrainPlan *plan, const GptTrainResult *result)
{
	GptPublication publication = {.model = job->model, .run_id = job->run_id, .table = lm_trainer_table(result->trainer)};
	GptWorkerTransaction transaction;
	int32 version;

	publication.block = result->best != NULL ? result->best : lm_trainer_params(result->trainer);
	publication.loss = result->loss;
	publication.validation_loss = result->validation_loss;
	publication.validation_bits_per_byte = result->validation_bits_per_byte;

	gpt_worker_begin(&transaction, true);
	if (gpt_catalog_model_exists(job->model))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" already exists", job->model),
				 errdetail("It was created while the job ran.")));
	memcpy(publication.tokenizer, corpus->tokenizer_hash, GPT_SHA256_SIZE);
	if (!corpus->tokenizer_is_stored)
		gpt_catalog_store_tokenizer(publication.tokenizer, lm_tokenizer_spec(corpus->tokenizer));
	version = gpt_catalog_publish(&publication);
	gpt_job_set_steps(job->number, result->steps, plan->training.steps, conditions(plan, result));
	if (!gpt_job_end(job->number, GPT_JOB_SUCCEEDED, NULL))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("job " INT64_FORMAT " was ended by another process", job->number)));
	gpt_worker_check_stop();

	/* Now, so that whoever sees the success finds no file. (A commit that fails is a failed job, without files.) */
	gpt_train_job_remove_files(&job->run_id);
	gpt_worker_commit(&transaction);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt published model \"%s\", version %d", job->number, job->model, version)));
}

/* ---- Conditions ------------------------------------------------------------------------------------ */

static void
put_text(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "%s\"%s\": ", json->len > 1 ? ", " : "", name);
	escape_json(json, value);
}

/* NaN and infinity have no place in JSON. */
static void
put_number(StringInfo json, const char *name, double value)
{
	appendStringInfo(json, "%s\"%s\": ", json->len > 1 ? ", " : "", name);
	if (isfinite(value) && value == floor(value))
		appendStringInfo(json, "%.0f", value);
	else if (isfinite(value))
		appendStringInfo(json, "%.6g", value);
	else
		appendStringInfoString(json, "null");
}

static char *
cpu_name(void)
{
	FILE *file = AllocateFile("/proc/cpuinfo", "r");
	char line[256];
	char *name = pstrdup("not known");

	if (file == NULL)
		return name;
	while (fgets(line, sizeof(line), file) != NULL)
	{
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || colon == NULL)
			continue;
		name = pstrdup(colon + 2);
		name[strcspn(name, "\n")] = '\0';
		break;
	}
	FreeFile(file);
	return name;
}

/* What the result rests on: with the same rows, seed and these, the weights are the same bits. */
static char *
conditions(const GptTrainPlan *plan, const GptTrainResult *result)
{
	const LmTrainOptions *training = &plan->training;
	const LmConfig *config = &plan->config;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	put_text(&json, "cpu", cpu_name());
	put_text(&json, "kernels", lm_engine_description(gpt_plan_engine(plan)));
	put_number(&json, "threads", plan->n_threads);
	put_text(&json, "precision", "float32");
	put_text(&json, "preset", plan->preset);
	put_number(&json, "parameters", plan->parameters);
	put_number(&json, "layers", config->layers);
	put_number(&json, "heads", config->heads);
	put_number(&json, "channels", config->channels);
	put_number(&json, "context", config->context);
	put_number(&json, "vocabulary", config->vocabulary);
	put_number(&json, "dropout", config->dropout);
	put_number(&json, "batch_size", plan->batch_size);
	put_number(&json, "accumulate", plan->accumulate);
	put_number(&json, "steps", training->steps);
	put_number(&json, "epochs", plan->epochs);
	put_number(&json, "learning_rate", training->learning_rate);
	put_number(&json, "min_learning_rate", training->min_learning_rate);
	put_number(&json, "warmup_steps", training->warmup_steps);
	put_number(&json, "beta2", training->beta2);
	put_number(&json, "seed", training->seed);
	put_number(&json, "patience", plan->patience);
	put_number(&json, "memory_mb", plan->memory / 1048576.0);
	if (result != NULL)
	{
		put_number(&json, "tokens_per_second", result->tokens_per_second);
		put_text(&json, "ended", result->ended_early ? "early" : "after all steps");
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}
