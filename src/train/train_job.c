/*
 * src/train/train_job.c
 *
 * A claimed job goes in, a published model comes out. The story of a training:
 *
 *   0. begin     from new weights, from those of a base (train_base.c), or from a checkpoint
 *                (checkpoint.c), which has the results of steps 1 to 3;
 *                With option "servers", other servers join (members.h);
 *   1. read      the rows of the query, in one read-only transaction; no snapshot is held
 *                afterwards; where a fine-tune finds nothing new, the job ends;
 *   2. tokenize  a tokenizer is found or trained, and the token file written (corpus.c);
 *   3. plan      what the options leave open is chosen, and the memory checked before it is taken
 *                (train_plan.c); the job's row says under which conditions it runs;
 *   4. train     the linear part of a classifier (train_features.c), then steps and validations,
 * with short transactions for progress (train_loop.c), checkpoints and partial versions
 * (train_save.c);
 *   5. publish   what was made is measured on the held-out rows (train_measure.c); tokenizer,
 * weights, version and the job's success in one commit: before it there is nothing, after it
 * everything.
 */
#include "postgres.h"

#include <math.h>

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "core/bridge.h"
#include "core/clean_options.h"
#include "core/options.h"
#include "core/settings.h"
#include "core/stop.h"
#include "core/transaction.h"
#include "corpus/corpus.h"
#include "store/catalog.h"
#include "store/progress.h"
#include "store/run_files.h"
#include "store/model_extras.h"
#include "store/tokenizer_json.h"
#include "train/checkpoint.h"
#include "train/members.h"
#include "train/publish.h"
#include "train/publish_gate.h"
#include "train/train_base.h"
#include "train/train_features.h"
#include "train/train_job.h"
#include "train/train_loop.h"
#include "train/train_measure.h"
#include "train/train_objective.h"
#include "train/train_plan.h"
#include "train/train_report.h"
#include "train/train_save.h"

/* of the time, spent before training began, from which the note says so */
#define NOTED_SHARE 0.5

/* The publication, and with it the end of the job. */
typedef struct Ending
{
	const GptJob *job;
	const GptTrainOptions *options;
	const GptTrainBase *base;
	const GptCorpus *corpus;
	const GptTrainPlan *plan;
	const GptTrainResult *result;
	const GptTrainFeatures *features; /* NULL: no classifier */
	TimestampTz started_at;
	GptGate *gate;
	const GptMeasuring *measured;
	char *measured_note; /* why nothing was measured, or NULL */
	int32 version; /* its number, afterwards */
} Ending;

static GptCorpus *continue_corpus(const GptJob *job, GptTrainOptions *options,
								  const GptCheckpoint *from, GptProgress *progress);
static void end_without_rows(const GptJob *job);
static void continue_plan(GptTrainPlan *plan, const GptJob *job, const GptCheckpoint *from);
static void record_start(const GptJob *job, int64 step, bool data_changed);
static void record_corpus(const GptJob *job, const GptTrainOptions *options,
						  const GptCorpus *corpus);
static void record_plan(const GptJob *job, int64 step, const GptTrainPlan *plan,
						const GptTrainOptions *options, const GptCorpus *corpus);
static void publish_trial(void *argument);
static void publish_version(void *argument);
static const char *note_of_choice(const GptTrainResult *result);
static const char *note_of_figures(const GptTrainResult *result);
static char *reason_of_end(const GptTrainPlan *plan, const GptTrainResult *result);

void
gpt_train_job_run(const GptJob *job, const GptJobSlot *slot)
{
	TimestampTz started_at = GetCurrentTimestamp();
	GptTrainOptions *options = gpt_options_parse(
		job->options, job->base == NULL ? GPT_FUNCTION_TRAIN : GPT_FUNCTION_FINETUNE);
	GptTrainBase *base = NULL;
	GptCheckpoint *from;
	GptProgress progress;
	GptTrainSaver saver;
	GptTrainHooks hooks;
	GptTrainResult result;
	GptTrainFeatures *features;
	GptMembers *members;
	GptTrainPlan plan;
	GptCorpus *corpus;
	Ending ending;
	GptGate gate;
	int64 step = 0;

	/* 0. */
	gpt_progress_start(&progress, job->number);
	from = gpt_checkpoint_open(&job->run_id);
	if (from == NULL || !from->has_weights || gpt_options_lora(options))
		base = gpt_train_base_find(job, options, from == NULL);
	if (from != NULL && from->has_weights)
		step = from->state.step;
	else if (base != NULL)
		step = base->step;
	record_start(job, step, from == NULL && job->steps > 0);
	gpt_gate_begin(&gate, job, options, &progress);
	/* A promoted standby has no checkpoint of a job that its primary had begun. */
	members =
		gpt_members_create(job, options, base, from != NULL || job->steps > 0, slot, &progress);
	if (members != NULL && from == NULL)
		gpt_members_await(members);

	/* 1, 2. */
	if (from != NULL)
		corpus = continue_corpus(job, options, from, &progress);
	else
		corpus = gpt_corpus_create_together(
			job, options, base != NULL ? &base->tokenizer : NULL,
			gpt_train_base_since(job, options, base),
			gpt_members_together(members, base != NULL ? &base->tokenizer : NULL), &progress);
	if (corpus == NULL)
	{
		end_without_rows(job);
		return;
	}
	if (base != NULL && base->step > 0 && corpus->task != NULL &&
		gpt_objective_has_reference(gpt_objective_of(options, corpus->task)))
	{
		/* Its own partial version is not the base that it is compared with. */
		base = gpt_train_base_find(job, options, false);
		step = 0;
		record_start(job, step, true);
	}
	if (options->chat_template != NULL ||
		(corpus->dataset.header->masked != 0 && !options->is_finetune))
		corpus->extras = gpt_extras_with_chat(corpus->extras, gpt_corpus_chat(options),
											  lm_tokenizer_spec(corpus->tokenizer));
	if (options->clean != NULL)
		corpus->extras =
			gpt_extras_with_clean(corpus->extras, gpt_clean_keep(options->clean, "clean"));
	record_corpus(job, options, corpus);

	/* 3. */
	if (from != NULL)
		continue_plan(&plan, job, from);
	else
	{
		if (members != NULL)
			gpt_members_tell_plan(members, options);
		if (options->sync == 0)
			gpt_members_choose_leaves(members, options);
		gpt_plan_create(&plan, options, corpus, started_at, &progress);
		if (options->sync == 0)
			gpt_members_plan_leaves(&plan);
		if (members != NULL)
			gpt_members_plan(members, &plan);
	}
	if (base != NULL && base->step == 0 && from == NULL)
		memcpy(plan.base_sha256, base->version->sha256, GPT_SHA256_SIZE);
	else if (base != NULL && base->step == 0 &&
			 memcmp(plan.base_sha256, base->version->sha256, GPT_SHA256_SIZE) != 0)
		gpt_train_base_changed(base);
	record_plan(job, step, &plan, options, corpus);
	corpus->extras = gpt_extras_with_beta(
		corpus->extras, gpt_objective_preference(plan.training.objective), plan.training.beta);

	/* 4. */
	gpt_train_saver_init(&saver, job, &plan, corpus, &progress);
	saver.from = from;
	saver.base = base;
	saver.members = members;
	hooks = gpt_train_saver_hooks(&saver);
	if (from != NULL)
		started_at -= from->has_weights ? from->state.used_time : from->plan.used_time;
	features = gpt_train_features_fit(job, &plan, corpus, base, &progress);
	if (members != NULL)
		gpt_members_deal(members, corpus);
	gpt_train_run(&result, &plan, corpus, &hooks, started_at, &progress);
	if (members != NULL)
		gpt_members_end(members);
	gpt_train_features_blend(features, &result, &plan, corpus);

	/* 5. */
	ending = (Ending){job, options, base, corpus, &plan, &result, features, started_at, &gate};
	ending.measured = gpt_train_measure(&ending.measured_note, job, &plan, base, corpus, &result,
										features, &progress);
	gpt_progress_phase(&progress, "publishing");
	if (gate.current > 0)
	{
		gpt_publish(job, publish_trial, &ending, slot->leave, &progress);
		gpt_gate_decide(&gate, job, options, gpt_objective_beta(options, plan.training.objective),
						ending.version, &progress);
		gpt_progress_phase(&progress, "publishing");
	}
	gpt_publish(job, publish_version, &ending, slot->leave, &progress);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt published model \"%s\", version %d",
						 job->number, job->model, ending.version)));
	if (members != NULL)
		gpt_members_forget(members);
	gpt_train_free(&result);
	gpt_corpus_free(corpus);
}

/* ---- Continuing --------------------------------------------------------- */

/*
 * Opens the token file. If it is lost, the rows are read again and encoded with the tokenizer of
 * the weights.
 */
static GptCorpus *
continue_corpus(const GptJob *job, GptTrainOptions *options, const GptCheckpoint *from,
				GptProgress *progress)
{
	GptGivenTokenizer given = {.stored = from->corpus.tokenizer_is_stored};
	GptCorpus *corpus;

	given.spec = gpt_tokenizer_from_json(from->tokenizer, from->tokenizer_size);
	memcpy(given.sha256, from->corpus.tokenizer_hash, GPT_SHA256_SIZE);
	/* Rows may have fewer labels than the model. */
	gpt_train_base_labels(&given, job);
	corpus = gpt_corpus_open(job, &from->corpus, &given, progress);
	if (corpus != NULL)
		return corpus;
	options->context = from->corpus.context;
	options->architecture = (int) from->plan.config.architecture;
	corpus =
		gpt_corpus_create(job, options, &given, gpt_train_base_since(job, options, NULL), progress);
	if (corpus == NULL)
		return NULL;
	if (corpus->dataset.size == from->corpus.file_size && corpus->file_crc == from->corpus.file_crc)
		return corpus;
	if (from->plan.config.labels > 0 || corpus->dataset.header->n_labels > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("rows of query have changed since the training began"),
						errdetail("The token file is lost, and the classifier's labels could have "
								  "other meanings now."),
						errhint("Submit a new job.")));
	if (from->plan.reference_windows > 0 || from->plan.reference_rows > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("rows of query have changed since the training began"),
						errdetail("The token file is lost, and what the base says of the old rows "
								  "does not hold for the new ones."),
						errhint("Submit a new job.")));
	record_start(job, from->has_weights ? from->state.step : 0, true);
	return corpus;
}

/* Takes over the checkpoint's plan; a note records that machine or settings have changed. */
static void
continue_plan(GptTrainPlan *plan, const GptJob *job, const GptCheckpoint *from)
{
	GptTransaction transaction;
	const char *machine;

	*plan = from->plan;
	plan->preset = pstrdup(from->preset);
	plan->n_threads = Min(plan->n_threads, gpt_train_threads);
	/*
	 * Without bfloat16 on this machine the run continues in float32; the note about the kernels
	 * shows it.
	 */
	if (lm_engine_bf16(gpt_plan_engine(plan)) == NULL)
		plan->training.precision = LM_FLOAT32;
	gpt_bridge_check_memory(plan->memory);
	machine = gpt_train_machine(plan);
	if (strncmp(machine, from->machine, sizeof(from->machine) - 1) == 0)
		return;
	gpt_transaction_begin(&transaction, GPT_COMMIT_LOCAL);
	gpt_job_add_note(job->number, psprintf("continued at step " INT64_FORMAT
										   " under other conditions: before, %s",
										   from->state.step, from->machine));
	gpt_transaction_commit(&transaction);
}

/* A fine-tune without new rows has succeeded. */
static void
end_without_rows(const GptJob *job)
{
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_job_set_note(job->number, "no row with a text is beyond the watermark of the base version, "
								  "so there is no new version");
	if (!gpt_job_end(job->number, GPT_JOB_SUCCEEDED, NULL))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("job " INT64_FORMAT " was ended by another process", job->number)));
	gpt_run_files_remove(&job->run_id);
	gpt_transaction_commit(&transaction);
}

/* ---- The job's row ------------------------------------------------------ */

static void
record_start(const GptJob *job, int64 step, bool data_changed)
{
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_job_set_start(job->number, step, data_changed);
	gpt_transaction_commit(&transaction);
	if (step > 0)
		ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt continues at step " INT64_FORMAT,
							 job->number, step)));
}

/* Commits the counts at once, so that gpt_jobs shows them while the training runs. */
static void
record_corpus(const GptJob *job, const GptTrainOptions *options, const GptCorpus *corpus)
{
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_job_set_corpus(job->number, &corpus->counts);
	if (corpus->facts != NULL)
	{
		GptJsonWriter report = {NULL};

		gpt_json_begin(&report, NULL);
		gpt_report_corpus(&report, corpus);
		gpt_report_warnings(&report, corpus, NULL, options);
		gpt_job_add_report(job->number, gpt_json_finish(&report));
	}
	if (corpus->note != NULL)
		gpt_job_add_note(job->number, corpus->note);
	gpt_transaction_commit(&transaction);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt has read " INT64_FORMAT
						 " documents, " INT64_FORMAT " bytes, " INT64_FORMAT " tokens",
						 job->number, corpus->counts.documents, corpus->counts.bytes,
						 corpus->counts.tokens)));
}

static void
record_plan(const GptJob *job, int64 step, const GptTrainPlan *plan, const GptTrainOptions *options,
			const GptCorpus *corpus)
{
	GptJsonWriter report = {NULL};
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_job_set_steps(job->number, step, plan->training.steps,
					  gpt_report_conditions(plan, corpus, NULL));
	gpt_json_begin(&report, NULL);
	gpt_report_choices(&report, plan, (double) plan->total_time / USECS_PER_SEC, NULL);
	if (corpus->facts != NULL)
		gpt_report_warnings(&report, corpus, plan, options);
	gpt_job_add_report(job->number, gpt_json_finish(&report));
	gpt_transaction_commit(&transaction);
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt trains %zu parameters for " INT64_FORMAT
						 " steps with %d threads",
						 job->number, plan->parameters, plan->training.steps, plan->n_threads)));
}

/* ---- Publication -------------------------------------------------------- */

/* What was trained, with its losses. */
static void
fill_publication(GptPublication *publication, const Ending *ending)
{
	const GptTrainResult *result = ending->result;

	gpt_train_publication(publication, ending->job, ending->base, ending->corpus, result->trainer,
						  result->best);
	if (result->with_ngrams != NULL)
	{
		publication->table = result->ngram_table;
		publication->block = result->with_ngrams;
	}
	if (ending->features != NULL)
		gpt_train_features_publish(publication, ending->features);
	publication->loss = result->loss;
	publication->validation_loss = result->validation_loss;
	publication->validation_bits_per_byte = result->validation_bits_per_byte;
}

/*
 * A partial version, which gpt_evaluate can measure. The commit that ends the job makes it final,
 * or a candidate.
 */
static void
publish_trial(void *argument)
{
	Ending *ending = argument;
	GptPublication publication;

	fill_publication(&publication, ending);
	publication.partial = true;
	publication.step = ending->result->steps;
	ending->version = gpt_catalog_publish(&publication);
	gpt_stop_check();
}

/*
 * The commit waits for synchronous standbys; a cancellation ends that wait, and the version is
 * published all the same.
 */
static void
publish_version(void *argument)
{
	Ending *ending = argument;
	const GptJob *job = ending->job;
	const GptTrainResult *result = ending->result;
	GptJsonWriter report = {NULL};
	GptPublication publication;

	fill_publication(&publication, ending);
	publication.keep_versions = Max(ending->options->keep_versions, 0);
	publication.candidate = !ending->gate->passes;
	publication.made = ending->version;
	ending->version = gpt_catalog_publish(&publication);
	gpt_job_set_steps(job->number, result->steps, result->expected_steps,
					  gpt_report_conditions(ending->plan, ending->corpus, result));
	gpt_json_begin(&report, NULL);
	gpt_report_choices(&report, ending->plan,
					   (double) (GetCurrentTimestamp() - ending->started_at) / USECS_PER_SEC,
					   result);
	if (ending->corpus->dataset.header->group > 1)
		gpt_report_measures(&report, result);
	if (ending->features != NULL)
		gpt_train_features_report(&report, ending->features);
	if (ending->gate->current > 0)
		gpt_gate_report(&report, ending->gate, ending->options);
	gpt_job_add_report(job->number, gpt_json_finish(&report));
	gpt_job_add_note(job->number, reason_of_end(ending->plan, result));
	if (ending->gate->current > 0)
		gpt_job_add_note(job->number,
						 gpt_gate_note(ending->gate, job, ending->options, ending->version));
	gpt_catalog_keep_measures(job->model, ending->version, ending->measured->evaluation,
							  ending->measured->profile);
	if (ending->measured_note != NULL)
		gpt_job_add_note(job->number, ending->measured_note);
	if (ending->features != NULL && gpt_train_features_note(ending->features) != NULL)
		gpt_job_add_note(job->number, gpt_train_features_note(ending->features));
	gpt_job_set_overfit(job->number, result->overfit_since);
	if (ending->corpus->dataset.header->group > 1 && note_of_figures(result) != NULL)
		gpt_job_add_note(job->number, note_of_figures(result));
	if (note_of_choice(result) != NULL)
		gpt_job_add_note(job->number, note_of_choice(result));
	gpt_publish_success(job);
}

/* NULL where there is nothing to note. */
static const char *
note_of_choice(const GptTrainResult *result)
{
	switch (result->choice)
	{
		case GPT_CHOICE_MADE:
			return NULL;
		case GPT_CHOICE_FEW:
			return "the validation rows are too few to choose the best version or to detect "
				   "over-fitting: the last weights are published";
		case GPT_CHOICE_UNTOLD:
			return psprintf("the last weights are published: their validation loss is not above "
							"that of step " INT64_FORMAT ", the lowest, by %d standard errors",
							result->best_step, GPT_BEST_ERRORS);
	}
	elog(ERROR, "kind of choice %d is unknown", (int) result->choice);
}

/* What was measured on the validation rows beside the loss; NULL where there is nothing. */
static const char *
note_of_figures(const GptTrainResult *result)
{
	StringInfoData note;

	if (result->figure_names[0] == NULL || isnan(result->figures.values[0]))
		return NULL;
	initStringInfo(&note);
	appendStringInfoString(&note, "the validation rows have");
	for (int i = 0; result->figure_names[i] != NULL; i++)
		appendStringInfo(&note, "%s %s %.4g", i > 0 ? "," : "", result->figure_names[i],
						 result->figures.values[i]);
	if (!isnan(result->figures.divergence))
		appendStringInfo(&note, "; the KL divergence from the base is %.3g nats a token there",
						 result->figures.divergence);
	return note.data;
}

/* The part of the note that names the option which ended the training. */
static char *
reason_of_end(const GptTrainPlan *plan, const GptTrainResult *result)
{
	StringInfoData reason;

	initStringInfo(&reason);
	appendStringInfo(&reason, "ended by %s", gpt_train_end_name(result->end));
	if (result->end == GPT_END_PATIENCE)
		appendStringInfo(&reason,
						 ": the validation loss was not below that of step " INT64_FORMAT
						 " in " INT64_FORMAT " validations",
						 result->best_step, plan->patience);
	else if (result->end == GPT_END_MINUTES)
		appendStringInfo(&reason, ", at step " INT64_FORMAT, result->steps);
	if (result->untrained_share > NOTED_SHARE)
		appendStringInfo(&reason, "; %.0f %% of the minutes passed before training began",
						 100 * result->untrained_share);
	return reason.data;
}
