/*
 * src/train/members.c
 *
 * The servers that option "servers" names go in; connections to members come out, are lost and come
 * back.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"
#include "utils/memutils.h"

#include "core/bridge.h"
#include "core/json_tree.h"
#include "core/transaction.h"
#include "engine/outer.h"
#include "store/run_files.h"
#include "train/members_private.h"
#include "train/membership.h"

#define RUN_STEPS 50 /* of all members, before they answer */
#define MOST_RATE_FACTOR 2.0 /* of learning rates: no more was measured */
#define LEAVES 4 /* micro-batches of a step, where options leave it open */

static void name_members(GptMembers *members, const char *servers);
static void begin_rows(GptMembers *members);
static void call_all(GptMembers *members);
static void close_member(GptMember *member);

GptMembers *
gpt_members_create(const GptJob *job, const GptTrainOptions *options, const GptTrainBase *base,
				   bool continued, const GptJobSlot *slot, GptProgress *progress)
{
	GptMembers *members;

	if (options->servers == NULL)
		return NULL;
	members = palloc0(sizeof(GptMembers));
	members->job = job;
	members->progress = progress;
	members->slot = slot;
	members->scratch =
		AllocSetContextCreate(CurrentMemoryContext, "gpt members", ALLOCSET_DEFAULT_SIZES);
	members->rows = 1;
	members->is_local = options->data == GPT_DATA_LOCAL;
	members->options = unconstify(GptTrainOptions *, options);
	members->word_floor = options->word_floor;
	members->on_loss = options->on_loss;
	members->by_step = options->sync == 0;
	members->sync = members->by_step ? RUN_STEPS : options->sync;
	members->bfloat16 = options->gradient_type == GPT_GRADIENT_BFLOAT16;
	if (members->by_step)
	{
		gpt_mesh_check();
		if (!pg_strong_random(members->secret, sizeof(members->secret)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random numbers")));
	}
	members->is_new = !continued;
	gpt_members_find_base(members, base);
	members->is_continued = continued;
	members->keeps = !members->by_step && members->on_loss == GPT_ON_LOSS_WAIT;
	members->saved_step = -1;
	name_members(members, options->servers);
	begin_rows(members);
	gpt_progress_phase(progress, "connecting");
	call_all(members);
	gpt_members_record(members, true);
	return members;
}

/* Names were checked with the options: they are a JSON array of texts. */
static void
name_members(GptMembers *members, const char *servers)
{
	const GptJson *array =
		gpt_json_parse(servers, strlen(servers), GPT_MOST_MEMBERS + 1, "option \"servers\"");
	int i = 0;

	members->n = array->count;
	members->members = palloc0(array->count * sizeof(GptMember));
	for (const GptJson *name = array->first; name != NULL; name = name->next, i++)
	{
		GptMember *member = &members->members[i];

		member->row = (GptJobServer){.member = i + 1,
									 .server = gpt_json_string(name),
									 .state = GPT_SERVER_JOINING,
									 .steps_per_second = get_float8_nan(),
									 .waiting_share = get_float8_nan()};
		member->context = AllocSetContextCreate(CurrentMemoryContext, "gpt member connections",
												ALLOCSET_SMALL_SIZES);
		member->row_changed = true;
	}
	members->own.row = (GptJobServer){.state = GPT_SERVER_TRAINING,
									  .steps_per_second = get_float8_nan(),
									  .waiting_share = get_float8_nan()};
	members->own.row_changed = true;
}

static void
begin_rows(GptMembers *members)
{
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	members->epoch = gpt_job_server_epoch(members->job->number);
	gpt_job_server_remove(members->job->number, members->n + 1);
	gpt_transaction_commit(&transaction);
	gpt_members_record(members, true);
}

void
gpt_members_tell_plan(const GptMembers *members, GptTrainOptions *options)
{
	options->n_servers = gpt_members_count(members);
	options->all_rows = members->rows;
}

/*
 * A step whose size does not depend on that of the gradient goes as much farther along what batches
 * have in common as they are less noisy: by the root of their size. The batch of n members is n
 * times as large, so the rate of a new model is that much higher. A head has a rate of its own.
 * Measured in docs/benchmarks.md.
 */
static void
raise_rates(const GptMembers *members, GptTrainPlan *plan)
{
	double factor = Min(sqrt(gpt_members_count(members)), MOST_RATE_FACTOR);

	if (!members->options->head_rate_is_open || members->options->is_finetune)
		return;
	plan->training.learning_rate *= factor;
	plan->training.head_rate /= factor;
	if (isnan(members->options->min_learning_rate))
		plan->training.min_learning_rate *= factor;
}

void
gpt_members_plan(const GptMembers *members, GptTrainPlan *plan)
{
	size_t floats = members->by_step ? 0 : 5 * plan->parameters * sizeof(float);
	size_t packed = lm_outer_size(plan->parameters, GPT_UPDATE_BITS) * (size_t) (members->n + 2);

	if (members->by_step)
		return;
	raise_rates(members, plan);
	plan->validation_interval =
		(plan->validation_interval + members->sync - 1) / members->sync * members->sync;
	plan->memory += floats + packed;
	gpt_bridge_check_memory(plan->memory);
}

void
gpt_members_choose_leaves(const GptMembers *members, GptTrainOptions *options)
{
	int count = members == NULL ? 1 : gpt_members_count(members);

	if (options->accumulate == GPT_CHOSEN)
		options->accumulate = Max(LEAVES, count);
	if (options->accumulate < count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"accumulate\" must be at least the number of servers, %d with "
						"this one, not " INT64_FORMAT,
						count, options->accumulate)));
}

void
gpt_members_plan_leaves(GptTrainPlan *plan)
{
	size_t before;
	size_t after;
	LmError error;

	if (!lm_trainer_memory(&before, &plan->config, &plan->training, plan->n_threads, &error))
		gpt_bridge_raise(&error);
	plan->training.tree_leaves = plan->accumulate;
	if (!lm_trainer_memory(&after, &plan->config, &plan->training, plan->n_threads, &error))
		gpt_bridge_raise(&error);
	plan->memory += after - before;
	gpt_bridge_check_memory(plan->memory);
}

void
gpt_members_deal(GptMembers *members, GptCorpus *corpus)
{
	members->corpus = corpus;
	if (members->is_local)
		gpt_members_keep_agreement(members, corpus);
	if (members->is_local || members->by_step)
		return;
	corpus->dataset.shares = (uint64) gpt_members_count(members);
	corpus->dataset.share = 0;
}

/* ---- Joining and leaving --------------------------------------------------------- */

void
gpt_members_await(GptMembers *members)
{
	const GptTrainState beginning = {0};

	(void) gpt_members_join(members, &beginning);
	members->has_joined = false;
}

/* Until each is a member, or is lost. */
static void
call_all(GptMembers *members)
{
	bool called;

	for (;;)
	{
		called = false;
		gpt_members_look(members);
		for (int i = 0; i < members->n; i++)
		{
			(void) gpt_members_call(members, &members->members[i]);
			called = called || members->members[i].coming != NULL;
		}
		if (!called)
			return;
		gpt_members_wait(members);
	}
}

static bool
may_go_on(const GptMembers *members, const GptTrainState *state)
{
	bool all = true;

	for (int i = 0; i < members->n; i++)
		all = all && members->members[i].work != NULL;
	return all || gpt_members_may_lack(members, state);
}

bool
gpt_members_join(GptMembers *members, const GptTrainState *state)
{
	const char *phase = members->progress->phase;
	bool needed = false;

	if (members->in_round)
		return false;
	for (;;)
	{
		gpt_members_look(members);
		for (int i = 0; i < members->n; i++)
			(void) gpt_members_call(members, &members->members[i]);
		if (may_go_on(members, state))
			break;
		if (strcmp(members->progress->phase, "waiting for servers") != 0)
			gpt_progress_phase(members->progress, "waiting for servers");
		gpt_members_wait(members);
		gpt_members_lend_slot(members);
	}
	members->has_joined = true;
	if (strcmp(members->progress->phase, phase) != 0)
		gpt_progress_phase(members->progress, phase);
	for (int i = 0; i < members->n; i++)
		needed = needed || (members->members[i].work != NULL && !members->members[i].has_state);
	return needed;
}

void
gpt_members_supply(GptMembers *members, const GptTrainState *state, LmTrainer *trainer)
{
	members->supplied_step = state->step;
	members->supplied_crc = gpt_train_weights_crc(trainer);
	gpt_members_supply_data(members);
	gpt_members_send_file(members, "checkpoint", GPT_CHECKPOINT);
}

void
gpt_members_end(GptMembers *members)
{
	members->is_ending = true;
	gpt_members_close_mesh(members);
	gpt_members_gather_runs(members);
	for (int i = 0; i < members->n; i++)
	{
		if (members->members[i].work != NULL)
			gpt_members_ask(members, &members->members[i], "gpt_member_end()", 0, NULL);
	}
	gpt_members_gather(members);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL)
			member->row.state = GPT_SERVER_ENDED;
		if (!members->keeps || member->work == NULL)
			close_member(member);
		member->row_changed = true;
	}
	members->own.row.state = GPT_SERVER_ENDED;
	members->own.row_changed = true;
	gpt_members_record(members, true);
}

/* Nobody waits for them: what a server does not remove now, it removes when it is old. */
void
gpt_members_forget(GptMembers *members)
{
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL && !member->asked)
			(void) gpt_remote_send(
				member->work,
				psprintf("SELECT %s.gpt_member_end()", gpt_remote_schema(member->work)), 0, NULL,
				false);
		close_member(member);
	}
}

static void
close_member(GptMember *member)
{
	member->work = member->heart = member->coming = NULL;
	MemoryContextReset(member->context);
}
