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
#include "train/members_private.h"

#define WAIT_MS 20 /* at most, before all members are looked at again */

/* Whether the answer is bytes. */
static bool
is_binary(const char *call)
{
	static const char *const calls[] = {"gpt_member_delta(", "gpt_member_mesh(",
										"gpt_member_counts("};

	for (int i = 0; i < lengthof(calls); i++)
	{
		if (strncmp(call, calls[i], strlen(calls[i])) == 0)
			return true;
	}
	return false;
}

void
gpt_members_ask(GptMembers *members, GptMember *member, const char *call, int n,
				const GptRemoteValue *values)
{
	char *sql = psprintf("SELECT %s.%s", gpt_remote_schema(member->work), call);

	Assert(!member->asked);
	member->result = NULL;
	member->heard_at = member->asked_at = member->step_at = GetCurrentTimestamp();
	member->makes_steps = strncmp(call, "gpt_member_run", 14) == 0;
	member->most_step = -1;
	if (gpt_remote_send(member->work, sql, n, values, is_binary(call)))
		member->asked = true;
	else
		gpt_members_lose(members, member, gpt_remote_message(member->work));
	pfree(sql);
}

/* An error of the member's: it is lost, or the training fails, as at its beginning always. */
static void
check_result(GptMembers *members, GptMember *member)
{
	int sqlstate = gpt_members_sqlstate(member->result);

	if (!members->is_new && sqlstate != 0 && gpt_members_is_loss(sqlstate))
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
	char why[100];

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
	if (gpt_members_is_late(members, member, GetCurrentTimestamp(), why, sizeof(why)))
		gpt_members_lose(members, member, why);
	else if (member->row.seen_at < member->heard_at)
	{
		member->row.seen_at = member->heard_at;
		member->row_changed = true;
	}
}

/* A member: both connections. */
static void
look_at_member(GptMembers *members, GptMember *member)
{
	const char *why;

	look_at_work(members, member);
	if (member->work != NULL && (why = gpt_members_heart(member)) != NULL)
		gpt_members_lose(members, member, why);
}

void
gpt_members_look(GptMembers *members)
{
	for (int i = 0; i < members->n; i++)
	{
		GptMember *member = &members->members[i];

		if (member->work != NULL)
			look_at_member(members, member);
		else if (member->coming != NULL)
			gpt_members_look_at_call(members, member);
	}
	gpt_members_record(members, false);
}

/* The connection on which something will come next; NULL: none. */
static GptRemote *
awaited_of(const GptMember *member)
{
	if (member->asked)
		return member->work;
	if (member->coming == NULL || member->has_begun)
		return NULL;
	return !member->begins && gpt_remote_connecting(member->coming) == GPT_REMOTE_READY
			   ? member->heart
			   : member->coming;
}

void
gpt_members_wait(GptMembers *members)
{
	int events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
	int socket = PGINVALID_SOCKET;

	for (int i = 0; socket == PGINVALID_SOCKET && i < members->n; i++)
	{
		GptRemote *remote = awaited_of(&members->members[i]);

		if (remote != NULL)
		{
			socket = gpt_remote_socket(remote);
			events |= (int) gpt_remote_events(remote);
		}
	}
	if (socket == PGINVALID_SOCKET)
		events &= ~(WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE);
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
