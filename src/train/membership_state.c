/*
 * src/train/membership_state.c
 *
 * A checkpoint that has arrived goes in; a trainer that goes on from it comes out.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/settings.h"
#include "core/pulse.h"
#include "store/tokenizer_json.h"
#include "train/membership_private.h"
#include "train/train_base.h"

void
gpt_membership_drop_state(GptMembership *member)
{
	GptTraining *training = &member->training;

	/* A channel that is connected has an exchange of this trainer. */
	if (member->mesh != NULL && member->mesh->exchange != NULL)
		gpt_membership_close_mesh(member);
	/* An engine that was started again has taken its memory along. */
	if (training->trainer != NULL && member->generation == gpt_bridge_generation())
	{
		gpt_training_finish(training);
		lm_trainer_free(training->trainer);
	}
	MemSet(training, 0, sizeof(GptTraining));
	member->corpus = NULL;
	member->checkpoint = NULL;
	member->common = member->left = NULL;
	member->packed = NULL;
	member->packed_size = 0;
	member->update_size = 0;
	member->parts[GPT_PART_UPDATE] = (GptReceived){.file = -1};
	if (member->state_context != NULL)
		MemoryContextDelete(member->state_context);
	member->state_context = NULL;
	member->stage = Min(member->stage, GPT_MEMBER_HAS_TOKENS);
}

/* The plan as this machine carries it out. */
static void
take_plan(GptMembership *member, const GptCheckpoint *checkpoint)
{
	const LmDatasetHeader *header = member->dataset.header;
	GptTrainPlan *plan = &member->plan;

	*plan = checkpoint->plan;
	plan->preset = "";
	if (member->spec.is_local)
	{
		/* Of its own rows; it validates none. */
		plan->reference_windows =
			plan->reference_windows > 0
				? (int64) (header->n_train_windows + header->n_validation_windows)
				: 0;
		plan->reference_rows = 0;
	}
	plan->n_threads = Max(1, Min(plan->n_threads, gpt_settings_train_threads(-1)));
	if (plan->training.precision == LM_BFLOAT16 && lm_engine_bf16(gpt_plan_engine(plan)) == NULL)
		plan->training.precision = LM_FLOAT32;
}

/* All of it is known before anything is allocated. */
static uint64
check_memory(const GptTrainPlan *plan)
{
	size_t bytes;
	size_t parameters;
	LmError error;

	if (!lm_trainer_memory(&bytes, &plan->config, &plan->training, plan->n_threads, &error))
		gpt_bridge_raise(&error);
	if (!lm_param_total(&parameters, &plan->config))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the model has too many parameters")));
	gpt_bridge_check_memory((uint64) bytes + gpt_membership_extra_memory(plan, parameters));
	return (uint64) bytes + gpt_membership_extra_memory(plan, parameters);
}

/*
 * Where a member has come to in rows of its own, after so many steps of all members: the
 * coordinator's cursor is of other rows. As long as all members are there, it is where this one
 * would be without having been away.
 */
static LmCursor
cursor_of_own(const GptMembership *member, int64 steps)
{
	const GptTrainPlan *plan = &member->plan;
	LmTreeNode own = lm_tree_share(plan->accumulate, member->spec.member, member->spec.members);
	LmCursor cursor = {0};
	LmError error;

	for (int64 step = 0; step < steps; step++)
	{
		CHECK_FOR_INTERRUPTS();
		gpt_pulse();
		for (int leaf = 0; leaf < own.count; leaf++)
		{
			if (!lm_dataset_skip(&cursor, &member->training.dataset, plan->training.max_tokens,
								 plan->batch_size, &error))
				gpt_bridge_raise(&error);
		}
	}
	return cursor;
}

/* The coordinator's log-likelihoods are of the coordinator's rows; a file of this member has its
 * own. */
static bool
refers_itself(const GptMembership *member, const GptCheckpoint *checkpoint)
{
	return member->spec.is_local && checkpoint->path == NULL;
}

/* What the base says of the own rows: computed once, when the trainer has the base's weights. */
static void
refer(GptMembership *member, const GptTrainBase *base)
{
	GptTraining *training = &member->training;
	size_t size = training->reference.count * sizeof(float);

	if (size == 0)
		return;
	if (member->reference == NULL)
	{
		gpt_train_base_read_here(training->trainer, base);
		gpt_training_refer(training);
		member->reference = MemoryContextAllocHuge(member->context, size);
		memcpy(member->reference, training->reference.values, size);
	}
	memcpy(training->reference.values, member->reference, size);
}

/* Weights, moments and place; without weights those of step 0, which follow from the seed. */
static void
restore(GptMembership *member, GptCheckpoint *checkpoint)
{
	GptTraining *training = &member->training;
	size_t size = lm_trainer_table(training->trainer)->total * sizeof(float);
	float *best = NULL;

	if (!checkpoint->has_weights)
		return;
	if (checkpoint->state.has_best)
		best = MemoryContextAllocHuge(CurrentMemoryContext, size);
	if (checkpoint->path != NULL)
	{
		gpt_membership_allocate_round(member);
		checkpoint->outer = member->left;
		checkpoint->outer_count = lm_trainer_table(training->trainer)->total;
	}
	gpt_checkpoint_read_weights(checkpoint, training->trainer, best,
								refers_itself(member, checkpoint) ? NULL : &training->reference,
								&member->progress);
	if (member->common != NULL)
		memcpy(member->common, lm_trainer_params(training->trainer), size);
	if (best != NULL)
		pfree(best);
	training->state.step = checkpoint->state.step;
	training->state.cursor = checkpoint->state.cursor;
	if (member->spec.is_local && member->plan.training.tree_leaves > 0)
		training->state.cursor = cursor_of_own(member, checkpoint->state.step);
}

/* The version below an adapter, which this server has too. */
static GptTrainBase *
find_base(const GptMembership *member, const GptTrainPlan *plan)
{
	const GptMemberSpec *spec = &member->spec;
	const uint8 *sha256 = spec->has_base_sha256 ? spec->base_sha256 : plan->base_sha256;
	GptTrainBase *base;

	if (member->spec.base == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the training needs its base, and the member knows none"),
						errhint("Give gpt_member_begin the member \"base\".")));
	base = gpt_train_base_named(member->spec.base);
	if (memcmp(base->version->sha256, sha256, GPT_SHA256_SIZE) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\", version %d, of this server has other weights than the "
						"base of the training",
						base->version->model, base->version->version),
				 errhint("Send the base to this server with gpt_distribute.")));
	return base;
}

void
gpt_membership_take_state(GptMembership *member, File file, const char *path)
{
	const GptMemberSpec *spec = &member->spec;
	GptCheckpoint *checkpoint;
	GptTrainBase *base = NULL;
	MemoryContext old_context;

	gpt_membership_drop_state(member);
	member->state_context =
		AllocSetContextCreate(member->context, "gpt member state", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(member->state_context);
	gpt_progress_start(&member->progress, GPT_NO_JOB);
	checkpoint = gpt_checkpoint_receive(file, path == NULL ? NULL : pstrdup(path), &spec->run_id);
	member->corpus = gpt_corpus_receive(
		&member->dataset, member->tokens_crc, spec->is_local, &checkpoint->corpus,
		gpt_tokenizer_from_json(checkpoint->tokenizer, checkpoint->tokenizer_size));
	gpt_membership_check(member, checkpoint);
	if (!spec->is_local && checkpoint->plan.training.tree_leaves == 0)
	{
		/* Of steps that all make together every member draws all batches. */
		member->corpus->dataset.shares = (uint64) spec->members;
		member->corpus->dataset.share = (uint64) spec->member;
	}
	if (checkpoint->plan.config.lora_rank > 0 ||
		(spec->is_local && checkpoint->plan.reference_windows > 0))
		base = find_base(member, &checkpoint->plan);
	take_plan(member, checkpoint);
	member->memory = check_memory(&member->plan);
	/* It is started here, if it was not. */
	(void) gpt_plan_engine(&member->plan);
	member->generation = gpt_bridge_generation();
	gpt_training_start(&member->training, &member->plan, member->corpus, &member->progress);
	if (checkpoint->plan.config.lora_rank > 0)
		gpt_train_base_read_frozen(member->training.trainer, base);
	if (refers_itself(member, checkpoint))
		refer(member, base);
	restore(member, checkpoint);
	member->progress.step = member->training.state.step;
	member->checkpoint = checkpoint;
	MemoryContextSwitchTo(old_context);
	member->stage = GPT_MEMBER_READY;
}
