/*
 * src/train/members_return.c
 *
 * A server that was lost in a round comes back. What it has kept of the beginning of the round
 * (membership_kept.c) lets it make the round again, with the same difference; the others keep
 * theirs meanwhile. So the update is that of a round in which nobody was lost.
 *
 *   lost before its difference was here   kept beginning -> steps -> difference
 *   lost before it had the update         kept end; or kept beginning -> steps -> update
 *
 * One that has not kept its state, since its disk was full or was lost, misses the rest of the
 * round, and gets a checkpoint before the next one. The job's note says so.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "core/transaction.h"
#include "store/job.h"
#include "train/members_private.h"

bool
gpt_members_are_complete(const GptMembers *members)
{
	for (int i = 0; i < members->n; i++)
	{
		if (members->members[i].work == NULL || !members->members[i].has_state)
			return false;
	}
	return true;
}

void
gpt_members_saved(GptMembers *members, int64 step)
{
	members->saved_step = step;
}

/* That the weights are not those of a training without the loss. */
static void
note(const GptMembers *members, const char *text)
{
	GptTransaction transaction;

	gpt_transaction_begin(&transaction, GPT_COMMIT_ASYNC);
	gpt_job_add_note(members->job->number, text);
	gpt_transaction_commit(&transaction);
}

static void
note_missing(const GptMembers *members, const GptMember *member, int64 step)
{
	note(members, psprintf("server \"%s\" came back without what it had kept of step " INT64_FORMAT
						   ", and continues with the moments of the coordinator",
						   member->row.server, step));
}

/* Those who have kept that step go on from there. */
static void
take_kept(GptMembers *members, int64 step, uint32 crc)
{
	gpt_members_take_kept(members, step, crc);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->has_other_rows)
			note(members, psprintf("the rows of server \"%s\" changed before it came back at "
								   "step " INT64_FORMAT,
								   member->row.server, step));
		member->has_other_rows = false;
	}
}

bool
gpt_members_supply_kept(GptMembers *members, const GptTrainState *state, LmTrainer *trainer)
{
	bool all = true;

	if (!members->keeps)
		return false;
	gpt_members_supply_data(members);
	take_kept(members, state->step, gpt_train_weights_crc(trainer));
	for (int i = 0; i < members->n; i++)
	{
		const GptMember *member = &members->members[i];

		if (member->work == NULL || member->has_state)
			continue;
		all = false;
		if ((member->had_state || members->is_continued) && !member->missed)
			note_missing(members, member, state->step);
	}
	return all;
}

/* ---- In a round ----------------------------------------------------------------------- */

/* Whether a member is still needed: for its difference, or to give it the update. */
static bool
is_needed(const GptMember *member, bool has_update)
{
	return !member->missed && !(has_update ? member->updated : member->fetched);
}

static bool
is_anyone_needed(const GptMembers *members, bool has_update)
{
	for (int i = 0; i < members->n; i++)
	{
		if (is_needed(&members->members[i], has_update))
			return true;
	}
	return false;
}

/* Those who are here again go on from what they have kept. */
static void
take_up(GptMembers *members, const uint32 *crc)
{
	gpt_members_supply_data(members);
	if (crc != NULL)
		take_kept(members, members->round_end, *crc);
	for (int i = 0; crc != NULL && i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		member->updated = member->updated || (member->returns && member->has_state);
		member->returns = member->returns && !member->has_state;
	}
	take_kept(members, members->round_begin, members->round_crc);
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (!member->returns || member->work == NULL)
			continue;
		member->returns = false;
		member->missed = !member->has_state;
		if (member->missed)
			note_missing(members, member, members->round_begin);
		else
			gpt_members_ask_round(members, member);
	}
}

bool
gpt_members_bring_back(GptMembers *members, const uint32 *crc)
{
	MemoryContext old_context = MemoryContextSwitchTo(members->scratch);
	bool is_back = false;
	bool all = true;

	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (!is_needed(member, crc != NULL))
			continue;
		member->returns = gpt_members_call(members, member);
		is_back = is_back || member->returns;
		all = all && member->work != NULL;
	}
	if (is_back)
		take_up(members, crc);
	MemoryContextSwitchTo(old_context);
	return all;
}

/* Lost servers are called until they come back. */
static void
wait_for_lost(GptMembers *members, const uint32 *crc)
{
	const char *phase = members->progress->phase;

	while (!gpt_members_bring_back(members, crc))
	{
		members->progress->phase = "waiting for servers";
		gpt_members_wait(members);
		gpt_members_look(members);
	}
	members->progress->phase = phase;
	gpt_members_gather_runs(members);
	gpt_members_read_answers(members);
}

void
gpt_members_finish_runs(GptMembers *members)
{
	gpt_members_gather_runs(members);
	gpt_members_read_answers(members);
	gpt_members_fetch(members);
	while (members->keeps && is_anyone_needed(members, false))
	{
		wait_for_lost(members, NULL);
		gpt_members_fetch(members);
	}
}

void
gpt_members_finish_round(GptMembers *members, uint32 crc)
{
	gpt_members_send_update(members, crc);
	while (members->keeps && is_anyone_needed(members, true))
	{
		wait_for_lost(members, &crc);
		gpt_members_send_update(members, crc);
	}
}
