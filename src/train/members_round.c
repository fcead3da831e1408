/*
 * src/train/members_round.c
 *
 * Rounds of DiLoCo (engine/outer.h): all members begin with the same weights and make steps of
 * their own; their differences go in, one update comes out, which everybody applies.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/bridge.h"
#include "engine/outer.h"
#include "train/members_private.h"
#include "train/membership.h"

#define OUTER_BLOCKS 3 /* momentum, and twice what packing left */
#define LEAST_RATES 1e-12 /* the least learning rate: a schedule may end at 0 */
#define MOST_MS ((int64) 1000 * 60 * 60 * 24 * 365)

static int64 steps_of_round(const GptMembers *members, const GptTrainState *state);
static void make_update(GptMembers *members, LmTrainer *trainer);
static void note_speeds(GptMembers *members, const GptTrainState *state, TimestampTz own_end);

float *
gpt_members_outer(GptMembers *members, size_t *count, const GptTrainPlan *plan, LmTrainer *trainer)
{
	size_t total = lm_trainer_table(trainer)->total;
	size_t size = total * sizeof(float);
	MemoryContext context = CurrentMemoryContext;

	*count = 0;
	members->plan = plan;
	members->memory = plan->memory;
	members->engine = lm_trainer_engine(trainer);
	members->total = total;
	members->total_time = plan->total_time;
	members->steps = plan->training.steps;
	members->step_tokens = (int64) plan->accumulate * plan->training.max_tokens;
	if (members->by_step)
		return NULL;
	members->difference_size = lm_outer_size(total, GPT_DIFFERENCE_BITS);
	members->update_size = lm_outer_size(total, GPT_UPDATE_BITS);
	members->common = MemoryContextAllocHuge(context, size);
	members->sum = MemoryContextAllocHuge(context, size);
	members->outer =
		MemoryContextAllocExtended(context, OUTER_BLOCKS * size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	members->packed = MemoryContextAllocHuge(context, members->update_size);
	for (int i = 0; i < members->n; i++)
		members->members[i].packed = MemoryContextAllocHuge(context, members->difference_size);
	*count = OUTER_BLOCKS * total;
	return members->outer;
}

bool
gpt_members_are_common(const GptMembers *members)
{
	return members->by_step || !members->in_round;
}

bool
gpt_members_begin(GptMembers *members, const GptTrainState *state, LmTrainer *trainer)
{
	double done = lm_trainer_options(trainer)->share;

	gpt_members_begin_step(members);
	if (members->in_round)
		return true;
	if (!members->has_joined)
		return false;
	members->has_joined = false;
	if (!gpt_members_are_complete(members) && !gpt_members_may_lack(members, state))
		return false;
	MemoryContextReset(members->scratch);
	if (members->by_step)
		return gpt_members_begin_steps(members, state, trainer);
	members->is_new = false;
	members->epoch += members->has_changed;
	members->has_changed = false;
	members->in_round = true;
	members->round_begin = state->step;
	members->round_end = state->step + steps_of_round(members, state);
	members->round_started_at = GetCurrentTimestamp();
	members->own_tokens = 0;
	members->rates = 0;
	memcpy(members->common, lm_trainer_params(trainer), members->total * sizeof(float));
	members->round_share[0] = '\0';
	if (members->total_time > 0)
		snprintf(members->round_share, sizeof(members->round_share), "%.9f", Min(1, Max(0, done)));
	if (members->keeps)
		members->round_crc = gpt_train_weights_crc(trainer);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		member->answered = member->ran = member->fetched = member->updated = false;
		member->missed = false;
		if (member->work != NULL)
			gpt_members_ask_round(members, member);
	}
	members->own.row.epoch = members->epoch;
	members->own.row_changed = true;
	return true;
}

void
gpt_members_ask_round(GptMembers *members, GptMember *member)
{
	char first[32];
	char steps[32];
	char epoch[32];
	GptRemoteValue values[] = {
		{.bytes = first}, {.bytes = steps}, {.bytes = epoch}, {.bytes = NULL}};

	snprintf(first, sizeof(first), INT64_FORMAT, members->round_begin);
	snprintf(steps, sizeof(steps), INT64_FORMAT, members->round_end - members->round_begin);
	snprintf(epoch, sizeof(epoch), "%d", members->epoch);
	if (members->round_share[0] != '\0')
		values[3].bytes = members->round_share;
	member->n_vain = 0;
	member->row.epoch = members->epoch;
	member->row_changed = true;
	gpt_members_ask(members, member,
					"gpt_member_run($1::bigint, $2::bigint, $3::integer, NULL::jsonb, $4::float8)",
					lengthof(values), values);
	member->runs = member->asked;
}

/* Where time ends the training, the last round is as short as the time that is left. */
static int64
steps_of_round(const GptMembers *members, const GptTrainState *state)
{
	int64 steps = members->sync - state->step % members->sync;

	if (members->total_time == 0)
		steps = Min(steps, members->steps - state->step);
	else if (state->step > 0 && state->microseconds > 0)
	{
		double left = (double) (members->total_time - state->used_time);
		double each = (double) state->microseconds / (double) state->step;

		if (left < (double) steps * each)
			steps = (int64) (left / each);
	}
	return Max(steps, 1);
}

void
gpt_members_after_step(GptMembers *members, const GptTrainState *state, LmTrainer *trainer,
					   bool last)
{
	const char *phase = members->progress->phase;
	MemoryContext old_context;
	TimestampTz own_end;
	uint32 crc;

	if (members->by_step)
	{
		gpt_members_end_steps(members, state, trainer, last);
		return;
	}
	gpt_members_note_step(members);
	members->own_tokens += state->last.tokens;
	members->rates += state->last.learning_rate;
	members->own.row.step = state->step;
	members->own.row.seen_at = GetCurrentTimestamp();
	members->own.row_changed = true;
	gpt_members_look(members);
	if (state->step < members->round_end && !last)
	{
		if (members->keeps)
			(void) gpt_members_bring_back(members, NULL);
		return;
	}
	old_context = MemoryContextSwitchTo(members->scratch);
	own_end = GetCurrentTimestamp();
	/* Seen where it lasts. */
	members->progress->phase = "waiting for the end of the round";
	gpt_members_finish_runs(members);
	members->progress->phase = phase;
	note_speeds(members, state, own_end);
	gpt_members_check_differences(members, trainer);
	make_update(members, trainer);
	crc = gpt_train_weights_crc(trainer);
	gpt_members_finish_round(members, crc);
	members->in_round = false;
	gpt_members_record(members, false);
	MemoryContextSwitchTo(old_context);
}

void
gpt_members_read_answers(GptMembers *members)
{
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];
		int64 step;

		if (!member->answered)
			continue;
		member->answered = false;
		step = gpt_members_number(member, "step", PG_INT64_MAX / 2);
		if (step != members->round_end)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("server \"%s\" is at step " INT64_FORMAT
								   " of the training, not " INT64_FORMAT,
								   member->row.server, step, members->round_end)));
		member->ran = true;
		gpt_members_text(member->sha256, sizeof(member->sha256), member, "sha256");
		member->row.step = step;
		member->tokens = gpt_members_number(member, "tokens", gpt_members_most_tokens(members));
		member->ms = (double) gpt_members_number(member, "ms", MOST_MS);
	}
}

static void
note_speeds(GptMembers *members, const GptTrainState *state, TimestampTz own_end)
{
	TimestampTz end = own_end;
	double steps = (double) (members->round_end - members->round_begin);
	double own_steps = (double) (state->step - members->round_begin);

	for (int i = 0; i < members->n; i++)
	{
		if (members->members[i].ran)
			end = Max(end, members->members[i].ran_at);
	}
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (!member->ran)
			continue;
		member->row.steps_per_second = steps * 1000 / Max(member->ms, 1);
		member->row.waiting_share =
			Max(0, 1 - member->ms * 1000 / (double) Max(1, end - members->round_started_at));
		member->row_changed = true;
	}
	members->own.row.step = state->step;
	members->own.row.steps_per_second =
		own_steps * USECS_PER_SEC / (double) Max(1, own_end - members->round_started_at);
	members->own.row.waiting_share =
		(double) (end - own_end) / (double) Max(1, end - members->round_started_at);
	members->own.row.seen_at = GetCurrentTimestamp();
	members->own.row_changed = true;
}

/*
 * The mean of the differences, weighted by tokens, becomes the update. Not stopped in the middle: a
 * weight is as before, or as after.
 */
static void
make_update(GptMembers *members, LmTrainer *trainer)
{
	size_t total = members->total;
	float *momentum = members->outer;
	float *left = members->outer + total;
	float *own_left = left + total;
	double tokens = (double) members->own_tokens;
	float rates = (float) Max(members->rates, LEAST_RATES);
	LmEngine *engine = members->engine;
	LmError error;
	bool good;

	for (int i = 0; i < members->n; i++)
	{
		if (members->members[i].fetched)
			tokens += (double) members->members[i].tokens;
	}
	tokens = Max(tokens, 1);
	memset(members->sum, 0, total * sizeof(float));
	lm_engine_begin(engine);
	lm_engine_hold(engine, true);
	good =
		lm_outer_difference(members->packed, own_left, members->common, lm_trainer_params(trainer),
							total, GPT_DIFFERENCE_BITS, engine, &error);
	if (good)
		lm_outer_add(members->sum, members->packed, (float) ((double) members->own_tokens / tokens),
					 total, GPT_DIFFERENCE_BITS, engine);
	for (int i = 0; good && i < members->n; i++)
	{
		const GptMember *member = &members->members[i];

		if (member->fetched)
			lm_outer_add(members->sum, member->packed, (float) ((double) member->tokens / tokens),
						 total, GPT_DIFFERENCE_BITS, engine);
	}
	good = good && lm_outer_update(members->packed, momentum, left, members->sum, rates, total,
								   GPT_UPDATE_BITS, engine, &error);
	if (good)
		lm_outer_apply(members->common, lm_trainer_params(trainer), members->packed, total,
					   GPT_UPDATE_BITS, engine);
	lm_engine_hold(engine, false);
	if (!good)
		gpt_bridge_raise(&error);
}
