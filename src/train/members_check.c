/*
 * src/train/members_check.c
 *
 * What a member does, and how large its difference is, goes in; whether any server that trains as
 * asked could do that comes out. A member may be another program, so nothing that it says is taken
 * for granted; but within these bounds it can say what it likes.
 */
#include "postgres.h"

#include <math.h>

#include "utils/timestamp.h"

#include "core/settings.h"
#include "engine/outer.h"
#include "train/members_private.h"
#include "train/membership.h"

#define SLOWER 100 /* so much more time for a step than this server has needed at most */
#define LEAVING 10 /* times gpt.peer_timeout, for the first step of all, which has failed */
#define LARGER 10 /* so much larger than a difference should be */

/* ---- Time --------------------------------------------------------------------------- */

void
gpt_members_note_step(GptMembers *members)
{
	int64 waited = members->mesh == NULL ? 0 : gpt_gradient_mesh_waited(members->mesh);
	int64 took = GetCurrentTimestamp() - members->step_at -
				 Max(0, waited - members->step_waited) * INT64CONST(1000);

	members->longest_step = Max(members->longest_step, took);
}

void
gpt_members_begin_step(GptMembers *members)
{
	members->step_at = GetCurrentTimestamp();
	members->step_waited = members->mesh == NULL ? 0 : gpt_gradient_mesh_waited(members->mesh);
}

/*
 * While this server does something else than steps, others may have to wait for it. Before it has
 * made a step itself, nobody knows how long one takes; gpt.read_timeout is long enough.
 */
static bool
makes_no_step(const GptMembers *members, const GptMember *member, TimestampTz now, int64 *limit_ms)
{
	TimestampTz since = members->by_step ? Max(member->step_at, members->step_at) : member->step_at;

	if (members->longest_step > 0)
		*limit_ms = Max((int64) gpt_peer_timeout, members->longest_step / 1000 * SLOWER);
	else if (members->by_step && members->mesh == NULL)
		*limit_ms = (int64) gpt_peer_timeout * LEAVING;
	else
		*limit_ms = (int64) gpt_read_timeout * 1000;
	return member->makes_steps && *limit_ms > 0 &&
		   now > TimestampTzPlusMilliseconds(since, *limit_ms);
}

bool
gpt_members_is_late(const GptMembers *members, const GptMember *member, TimestampTz now, char *why,
					size_t size)
{
	int64 limit_ms;

	if (now > TimestampTzPlusMilliseconds(member->heard_at, gpt_peer_timeout))
		snprintf(why, size, "it was silent for gpt.peer_timeout, %d ms", gpt_peer_timeout);
	else if (makes_no_step(members, member, now, &limit_ms))
		snprintf(why, size, "it made no step within " INT64_FORMAT " ms", limit_ms);
	else if (!member->makes_steps && gpt_read_timeout > 0 &&
			 now > TimestampTzPlusMilliseconds(member->asked_at, (int64) gpt_read_timeout * 1000))
		snprintf(why, size, "it did not answer within gpt.read_timeout, %d s", gpt_read_timeout);
	else
		return false;
	return true;
}

/* On its second connection the server is asked whether it lives. */
const char *
gpt_members_heart(GptMember *member)
{
	PGresult *result;
	GptRemoteState state = gpt_remote_poll(member->heart, &result);
	TimestampTz now = GetCurrentTimestamp();

	if (state == GPT_REMOTE_READY &&
		TimestampDifferenceExceeds(member->beat_at, now, GPT_MEMBERS_BEAT_MS))
	{
		member->beat_at = now;
		if (!gpt_remote_send(member->heart, "", 0, NULL, false))
			state = GPT_REMOTE_LOST;
	}
	if (state == GPT_REMOTE_LOST)
		return gpt_remote_message(member->heart);
	if (state == GPT_REMOTE_BUSY &&
		TimestampDifferenceExceeds(member->beat_at, now, GPT_MEMBERS_DEAD_MS))
		return psprintf("its server did not answer within %d ms", GPT_MEMBERS_DEAD_MS);
	return NULL;
}

/* Called inside libpq. The notice of a member that computes: gpt progress {"step": 12}. */
void
gpt_members_on_notice(void *context, const char *sqlstate, const char *message)
{
	static const char beginning[] = "gpt progress {\"step\": ";
	GptMember *member = context;

	member->heard_at = GetCurrentTimestamp();
	if (strncmp(message, beginning, sizeof(beginning) - 1) == 0)
		member->row.step = Max(0, strtoi64(message + sizeof(beginning) - 1, NULL, 10));
	if (member->row.step > member->most_step)
	{
		member->most_step = member->row.step;
		member->step_at = member->heard_at;
	}
}

/* ---- Differences -------------------------------------------------------------------- */

int64
gpt_members_most_tokens(const GptMembers *members)
{
	int64 steps = members->round_end - members->round_begin;

	return members->step_tokens > PG_INT64_MAX / 2 / Max(steps, 1) ? PG_INT64_MAX / 2
																   : members->step_tokens * steps;
}

/* The sum of squares of this server's own difference. */
static double
own_square(const GptMembers *members, LmTrainer *trainer)
{
	const float *params = lm_trainer_params(trainer);
	double sum = 0;

	for (size_t i = 0; i < members->total; i++)
	{
		float difference = members->common[i] - params[i];

		sum += (double) difference * difference;
	}
	return sum;
}

/*
 * AdamW moves a parameter by about the learning rate at most in each step, Muon by less; so a
 * difference that goes straight has the number of steps times the rate. Larger ones than that, and
 * than this server's own, are those of a member that wants to be the only one that is heard (Sun et
 * al. 2019, "Can You Really Backdoor Federated Learning?", section 3.1, bounds norms as well:
 * https://arxiv.org/abs/1911.07963).
 */
void
gpt_members_check_differences(const GptMembers *members, LmTrainer *trainer)
{
	double steps = (double) (members->round_end - members->round_begin);
	double straight = lm_trainer_options(trainer)->learning_rate * steps;
	double own = sqrt(own_square(members, trainer) / (double) members->total);
	double most = LARGER * Max(own, straight);

	for (int i = 0; i < members->n; i++)
	{
		const GptMember *member = &members->members[i];
		double mean;

		if (!member->ran)
			continue;
		mean = sqrt(lm_outer_square(member->packed, members->total, GPT_DIFFERENCE_BITS) /
					(double) members->total);
		if (!(mean <= most))
			gpt_members_raise_answer(
				member, psprintf("Its weights have moved by %g in %g steps, more than %g.", mean,
								 steps, most));
	}
}
