/*
 * src/train/members_wait.c
 *
 * Statements go to members; their results, and the news that a server is lost, come back.
 *
 * Each member has two connections. On the one that works, a session is silent for as long as it
 * computes, but for its notices; on the other one its server answers at once while it lives.
 * What has arrived is read before the clock is asked, so this process may be away for any time.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/settings.h"
#include "train/members_private.h"

#define WAIT_MS 20 /* at most, before all members are looked at again */

void
gpt_members_ask(GptMembers *members, GptMember *member, const char *call, int n,
				const GptRemoteValue *values)
{
	char *sql = psprintf("SELECT %s.%s", gpt_remote_schema(member->work), call);

	Assert(!member->asked);
	member->result = NULL;
	member->heard_at = GetCurrentTimestamp();
	if (gpt_remote_send(member->work, sql, n, values,
						strncmp(call, "gpt_member_delta", 16) == 0 ||
							strncmp(call, "gpt_member_mesh", 15) == 0))
		member->asked = true;
	else
		gpt_members_lose(members, member, gpt_remote_message(member->work));
	pfree(sql);
}

/* An error of the member's: it is lost, or the training fails, as at its beginning always. */
static void
check_result(GptMembers *members, GptMember *member)
{
	const char *state = PQresultErrorField(member->result, PG_DIAG_SQLSTATE);

	if (!members->is_new && state != NULL && strlen(state) == 5 &&
		gpt_members_is_loss(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])))
		gpt_members_lose(members, member, gpt_remote_message(member->work));
	else if (!members->is_ending && !member->forgives)
	{
		if (PQresultStatus(member->result) == PGRES_FATAL_ERROR)
			gpt_members_blame(members, member, gpt_remote_message(member->work));
		gpt_remote_check(member->work, member->result);
	}
}

/* The connection that works. */
static void
look_at_work(GptMembers *members, GptMember *member)
{
	PGresult *result;

	switch (gpt_remote_poll(member->work, &result))
	{
		case GPT_REMOTE_LOST:
			gpt_members_lose(members, member, gpt_remote_message(member->work));
			return;
		case GPT_REMOTE_READY:
			if (!member->asked)
				return;
			member->asked = false;
			member->answered = member->answered || member->runs;
			member->runs = false;
			member->result = result;
			member->heard_at = member->ran_at = GetCurrentTimestamp();
			member->row.seen_at = member->heard_at;
			check_result(members, member);
			return;
		case GPT_REMOTE_BUSY:
			break;
	}
	if (TimestampDifferenceExceeds(member->heard_at, GetCurrentTimestamp(), gpt_peer_timeout))
		gpt_members_lose(members, member,
						 psprintf("it was silent for gpt.peer_timeout, %d ms", gpt_peer_timeout));
	else if (member->row.seen_at < member->heard_at)
	{
		member->row.seen_at = member->heard_at;
		member->row_changed = true;
	}
}

/* The one on which the server is asked whether it lives. */
static void
look_at_heart(GptMembers *members, GptMember *member)
{
	GptRemoteState state;
	PGresult *result;
	TimestampTz now;

	state = gpt_remote_poll(member->heart, &result);
	now = GetCurrentTimestamp();
	if (state == GPT_REMOTE_LOST)
		gpt_members_lose(members, member, gpt_remote_message(member->heart));
	else if (state == GPT_REMOTE_READY &&
			 TimestampDifferenceExceeds(member->beat_at, now, GPT_MEMBERS_BEAT_MS))
	{
		member->beat_at = now;
		if (!gpt_remote_send(member->heart, "", 0, NULL, false))
			gpt_members_lose(members, member, gpt_remote_message(member->heart));
	}
	else if (state == GPT_REMOTE_BUSY &&
			 TimestampDifferenceExceeds(member->beat_at, now, GPT_MEMBERS_DEAD_MS))
		gpt_members_lose(members, member,
						 psprintf("its server did not answer within %d ms", GPT_MEMBERS_DEAD_MS));
}

void
gpt_members_look(GptMembers *members)
{
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL)
			look_at_work(members, member);
		if (member->work != NULL)
			look_at_heart(members, member);
	}
	gpt_members_record(members, false);
}

void
gpt_members_wait(GptMembers *members)
{
	int events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
	int socket = PGINVALID_SOCKET;

	for (int i = 0; socket == PGINVALID_SOCKET && i < members->n; i++)
	{
		const GptMember *member = &members->members[i];

		if (member->asked)
		{
			socket = gpt_remote_socket(member->work);
			events |= (int) gpt_remote_events(member->work);
		}
	}
	/* The others' results wait in their sockets meanwhile. */
	events = WaitLatchOrSocket(MyLatch, events, socket, WAIT_MS, gpt_wait_event("GptMembers"));
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	gpt_progress_tick(members->progress);
}

static void
gather(GptMembers *members, bool of_runs)
{
	for (;;)
	{
		bool asked = false;

		gpt_members_look(members);
		for (int i = 0; i < members->n; i++)
		{
			const GptMember *member = &members->members[i];

			asked = asked || (member->asked && (of_runs || !member->runs));
		}
		if (!asked)
			return;
		gpt_members_wait(members);
	}
}

void
gpt_members_gather(GptMembers *members)
{
	gather(members, false);
}

void
gpt_members_gather_runs(GptMembers *members)
{
	gather(members, true);
}
