/*
 * src/train/train_save.c
 *
 * The state of a training goes in after each step; now and then a checkpoint or a partial version
 * comes out.
 *
 * The first checkpoint is written before the first step. It has the plan, which may rest on
 * measured time, and no weights yet: those of step 0 follow from the seed.
 */
#include "postgres.h"

#include "core/machine.h"
#include "core/settings.h"
#include "core/statement.h"
#include "core/stop.h"
#include "core/transaction.h"
#include "store/catalog.h"
#include "store/tokenizer_json.h"
#include "train/train_save.h"
#include "train/train_search.h"

#define LOCK_WAIT_MS 100 /* to publish a partial version */

static void restore(void *context, GptTrainState *state, LmTrainer *trainer, float **best,
					const GptReference *reference);
static void save(void *context, const GptTrainState *state, LmTrainer *trainer, const float *best,
				 const GptReference *reference);
static void before_step(void *context, const GptTrainState *state, LmTrainer *trainer,
						const float *best, const GptReference *reference);
static void after_step(void *context, const GptTrainState *state, LmTrainer *trainer, bool last);
static void failed_step(void *context, const GptTrainState *state, LmTrainer *trainer,
						const float *best, const GptReference *reference, const LmError *error);
static const LmTreeStep *tree_of(void *context);
static void write_checkpoint(GptTrainSaver *saver, const GptTrainState *state, LmTrainer *trainer,
							 const float *best, const GptReference *reference);
static void publish_version(void *argument);
static void publish_partial(GptTrainSaver *saver, const GptTrainState *state, LmTrainer *trainer,
							const float *best);
static bool tokenizer_exists(const uint8 *sha256);

void
gpt_train_saver_init(GptTrainSaver *saver, const GptJob *job, const GptTrainPlan *plan,
					 const GptCorpus *corpus, GptProgress *progress)
{
	GptCheckpoint *next = &saver->next;

	MemSet(saver, 0, sizeof(GptTrainSaver));
	saver->job = job;
	saver->corpus = corpus;
	saver->progress = progress;
	saver->saved_at = GetCurrentTimestamp();
	saver->published_at = saver->saved_at;
	next->run_id = job->run_id;
	next->plan = *plan;
	strlcpy(next->preset, plan->preset, sizeof(next->preset));
	strlcpy(next->machine, gpt_train_machine(plan), sizeof(next->machine));
	gpt_corpus_record(&next->corpus, corpus);
	next->tokenizer =
		gpt_tokenizer_to_json(lm_tokenizer_spec(corpus->tokenizer), &next->tokenizer_size);
}

GptTrainHooks
gpt_train_saver_hooks(GptTrainSaver *saver)
{
	GptTrainHooks hooks = {.context = saver, .restore = restore, .save = save};

	if (saver->members != NULL)
	{
		hooks.before_step = before_step;
		hooks.after_step = after_step;
		hooks.failed_step = failed_step;
	}
	if (saver->next.plan.training.tree_leaves > 0)
		hooks.tree = tree_of;
	return hooks;
}

/*
 * Start of the loop: weights come from the checkpoint, else from the base, else stay initialised.
 */
static void
restore(void *context, GptTrainState *state, LmTrainer *trainer, float **best,
		const GptReference *reference)
{
	GptTrainSaver *saver = context;

	if (saver->members != NULL)
	{
		saver->next.outer =
			gpt_members_outer(saver->members, &saver->next.outer_count, &saver->next.plan, trainer);
		if (saver->from != NULL)
		{
			saver->from->outer = saver->next.outer;
			saver->from->outer_count = saver->next.outer_count;
		}
	}
	if (saver->from != NULL && saver->from->has_weights)
	{
		/* A checkpoint does not have the base of an adapter. */
		if (lm_trainer_base(trainer) != NULL)
			gpt_train_base_read(trainer, saver->base, true);
		*state = saver->from->state;
		if (state->has_best)
			*best = MemoryContextAllocHuge(CurrentMemoryContext,
										   lm_trainer_table(trainer)->total * sizeof(float));
		gpt_checkpoint_read_weights(saver->from, trainer, *best, reference, saver->progress);
		if (saver->members != NULL)
			gpt_members_saved(saver->members, state->step);
	}
	else if (saver->base != NULL)
	{
		gpt_train_base_read(trainer, saver->base, false);
		state->step = saver->base->step;
		if (state->step > 0)
			saver->saved_at = 0; /* at once */
	}
	if (saver->from != NULL)
		gpt_checkpoint_close(saver->from);
	saver->from = NULL;
}

static bool
is_due(TimestampTz since, int seconds)
{
	return GetCurrentTimestamp() - since >= (TimestampTz) seconds * USECS_PER_SEC;
}

/* End of a step: writes a checkpoint or publishes a partial version when its interval is over. */
static void
save(void *context, const GptTrainState *state, LmTrainer *trainer, const float *best,
	 const GptReference *reference)
{
	GptTrainSaver *saver = context;

	if (state->step == 0)
	{
		gpt_checkpoint_write(&saver->next, NULL, NULL, reference, saver->progress);
		return;
	}
	/* In the middle of a round no other server has these weights. */
	if (saver->members != NULL && !gpt_members_are_common(saver->members))
		return;
	if (is_due(saver->saved_at, gpt_checkpoint_interval))
	{
		write_checkpoint(saver, state, trainer, best, reference);
		saver->saved_at = GetCurrentTimestamp();
	}
	if (gpt_publish_interval > 0 && is_due(saver->published_at, gpt_publish_interval))
	{
		publish_partial(saver, state, trainer, best);
		saver->published_at = GetCurrentTimestamp();
	}
}

/* Members that join get a checkpoint, as a job that continues does. */
static void
before_step(void *context, const GptTrainState *state, LmTrainer *trainer, const float *best,
			const GptReference *reference)
{
	GptTrainSaver *saver = context;

	while (!gpt_members_begin(saver->members, state, trainer))
	{
		if (!gpt_members_join(saver->members, state) ||
			gpt_members_supply_kept(saver->members, state, trainer))
			continue;
		saver->next.state = *state;
		gpt_transaction_flush();
		gpt_checkpoint_write(&saver->next, trainer, best, reference, saver->progress);
		gpt_members_saved(saver->members, state->step);
		gpt_members_supply(saver->members, state, trainer);
	}
}

static void
after_step(void *context, const GptTrainState *state, LmTrainer *trainer, bool last)
{
	GptTrainSaver *saver = context;

	gpt_members_after_step(saver->members, state, trainer, last);
}

static void
failed_step(void *context, const GptTrainState *state, LmTrainer *trainer, const float *best,
			const GptReference *reference, const LmError *error)
{
	GptTrainSaver *saver = context;

	gpt_members_failed_step(saver->members, state, trainer, error);
	before_step(context, state, trainer, best, reference);
}

static const LmTreeStep *
tree_of(void *context)
{
	GptTrainSaver *saver = context;
	int n_leaves = saver->next.plan.training.tree_leaves;

	if (saver->members != NULL && gpt_members_tree(saver->members) != NULL)
		return gpt_members_tree(saver->members);
	saver->alone = (LmTreeStep){.n_leaves = n_leaves, .own = {0, n_leaves}, .dealt = true};
	return &saver->alone;
}

/*
 * A run that continues does not log again what it logged before the checkpoint, so that is flushed
 * first. The row learns of the checkpoint after the file: a job that gets this far has not been
 * tried in vain.
 */
static void
write_checkpoint(GptTrainSaver *saver, const GptTrainState *state, LmTrainer *trainer,
				 const float *best, const GptReference *reference)
{
	GptTransaction transaction;

	gpt_progress_phase(saver->progress, "writing a checkpoint");
	saver->next.state = *state;
	gpt_transaction_flush();
	gpt_checkpoint_write(&saver->next, trainer, best, reference, saver->progress);
	if (saver->members != NULL)
		gpt_members_saved(saver->members, state->step);
	gpt_transaction_begin(&transaction, GPT_COMMIT_LOCAL);
	gpt_job_set_checkpoint(saver->job->number, state->step);
	gpt_transaction_commit(&transaction);
	if (gpt_checkpoint_interval > 0)
		ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt wrote a checkpoint of step " INT64_FORMAT,
							 saver->job->number, state->step)));
	gpt_progress_phase(saver->progress, "training");
}

/* ---- Versions ----------------------------------------------------------- */

typedef struct Partial
{
	const GptTrainSaver *saver;
	const GptTrainState *state;
	LmTrainer *trainer;
	const float *best;
	int32 version; /* its number, afterwards */
} Partial;

/* If another session has changed the model and is idle, this partial version is skipped. */
static void
publish_partial(GptTrainSaver *saver, const GptTrainState *state, LmTrainer *trainer,
				const float *best)
{
	Partial partial = {saver, state, trainer, best, 0};

	gpt_progress_phase(saver->progress, "publishing");
	if (gpt_transaction_try(saver->job->number, GPT_COMMIT_LOCAL, LOCK_WAIT_MS, publish_version,
							&partial))
		ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt published step " INT64_FORMAT
							 " as model \"%s\", version %d",
							 saver->job->number, state->step, saver->job->model, partial.version)));
	gpt_progress_phase(saver->progress, "training");
}

/* Runs inside a transaction, and ends in a check for cancellation before the commit. */
static void
publish_version(void *argument)
{
	Partial *partial = argument;
	const GptTrainSaver *saver = partial->saver;
	GptPublication publication;

	gpt_train_publication(&publication, saver->job, saver->base, saver->corpus, partial->trainer,
						  partial->best);
	gpt_train_measures(&publication.loss, &publication.validation_loss,
					   &publication.validation_bits_per_byte, partial->state);
	publication.partial = true;
	publication.step = partial->state->step;
	partial->version = gpt_catalog_publish(&publication);
	gpt_stop_check();
}

void
gpt_train_publication(GptPublication *publication, const GptJob *job, const GptTrainBase *base,
					  const GptCorpus *corpus, LmTrainer *trainer, const float *best)
{
	MemSet(publication, 0, sizeof(GptPublication));
	publication->model = job->model;
	publication->run_id = job->run_id;
	publication->may_exist = job->base != NULL;
	publication->table = lm_trainer_table(trainer);
	if (publication->table->config.lora_rank > 0)
	{
		publication->base = base->full->model;
		publication->base_version = base->full->version;
		memcpy(publication->base_sha256, base->full->sha256, GPT_SHA256_SIZE);
	}
	publication->watermark_column = corpus->watermark_column;
	publication->watermark = corpus->watermark;
	publication->labels = lm_dataset_labels(&corpus->dataset);
	publication->extras = corpus->extras;
	publication->search = gpt_train_search(&publication->search_size, corpus, trainer, best);
	publication->block = best != NULL ? best : lm_trainer_params(trainer);
	memcpy(publication->tokenizer, corpus->tokenizer_hash, GPT_SHA256_SIZE);
	if (!corpus->tokenizer_is_stored || !tokenizer_exists(corpus->tokenizer_hash))
		gpt_catalog_store_tokenizer(publication->tokenizer, lm_tokenizer_spec(corpus->tokenizer));
}

/* A named tokenizer can be dropped while a job uses it. */
static bool
tokenizer_exists(const uint8 *sha256)
{
	GptStatement statement;
	bool exists;

	gpt_statement_begin(&statement);
	gpt_statement_add_hash(&statement, sha256);
	exists = gpt_statement_run(&statement, "SELECT FROM %s.gpt_tokenizer WHERE sha256 = $1") > 0;
	gpt_statement_end(&statement);
	return exists;
}

const char *
gpt_train_machine(const GptTrainPlan *plan)
{
	return psprintf("%s; %s", gpt_machine_cpu(), gpt_plan_kernels(plan));
}
