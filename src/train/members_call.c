/*
 * src/train/members_call.c
 *
 * Servers that are away go in, members come out: two connections to each are made, and
 * gpt_member_begin runs there, which may read the rows of that server.
 *
 * Nothing here waits, so that the others train on while a server is called that accepts connections
 * and says nothing more. All servers are called at once.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/json_tree.h"
#include "core/settings.h"
#include "core/stop.h"
#include "core/transaction.h"
#include "core/version.h"
#include "train/members_private.h"
#include "train/membership.h"

#define MOST_ROWS (PG_INT64_MAX / 4)

/* The argument of a call. */
typedef struct Calling
{
	GptMembers *members;
	GptMember *member;
	const char *why; /* of fail_late */
} Calling;

static void attempt(GptMembers *members, GptMember *member, GptWork work, const char *why);
static const char *why_of(const ErrorData *error, const char *server);
static void begin_connections(void *argument);
static void send_begin(void *argument);
static void take_answer(void *argument);
static void fail_late(void *argument);
static void go_on_connecting(GptMembers *members, GptMember *member);
static void go_on_beginning(GptMembers *members, GptMember *member);
static void check_answer(const GptMembers *members, const GptMember *member);
static const char *why_late(const GptMembers *members, GptMember *member);
static void give_up(GptMembers *members, GptMember *member, const char *why);
static bool is_error(const GptMembers *members, int sqlstate);
static bool is_failure(const ErrorData *error);

bool
gpt_members_call(GptMembers *members, GptMember *member)
{
	PGresult *result;

	if (member->work != NULL)
		return false;
	if (member->coming == NULL && GetCurrentTimestamp() >= member->try_at)
		attempt(members, member, begin_connections, NULL);
	if (member->coming == NULL || !member->has_begun)
		return false;
	/* It may have waited for the end of a round. */
	if (gpt_remote_poll(member->coming, &result) == GPT_REMOTE_LOST)
	{
		give_up(members, member, gpt_remote_message(member->coming));
		return false;
	}
	member->work = member->coming;
	member->coming = NULL;
	member->has_tokens = member->has_state = false;
	member->asked = member->ran = false;
	member->result = NULL;
	member->row.state = GPT_SERVER_TRAINING;
	member->row.seen_at = member->heard_at = GetCurrentTimestamp();
	member->row_changed = members->has_changed = true;
	ereport(LOG, (errmsg("job " INT64_FORMAT " of gpt trains on server \"%s\" too",
						 members->job->number, member->row.server)));
	return true;
}

void
gpt_members_look_at_call(GptMembers *members, GptMember *member)
{
	if (member->has_begun)
		return;
	if (member->begins)
		go_on_beginning(members, member);
	else
		go_on_connecting(members, member);
}

/* What raises an error loses the server, or ends the training. */
static void
attempt(GptMembers *members, GptMember *member, GptWork work, const char *why)
{
	Calling calling = {members, member, why};
	ErrorData *error = gpt_transaction_attempt(GPT_COMMIT_ASYNC, 0, work, &calling, is_failure);

	if (error == NULL)
		return;
	member->is_refused = error->sqlerrcode == ERRCODE_INSUFFICIENT_RESOURCES;
	why = why_of(error, member->row.server);
	if (is_error(members, error->sqlerrcode))
	{
		member->row.state = GPT_SERVER_LOST;
		gpt_members_blame(members, member, why);
		ReThrowError(error);
	}
	give_up(members, member, why);
	FreeErrorData(error);
}

/* Message and detail as one line, for a row that names the server. */
static const char *
why_of(const ErrorData *error, const char *server)
{
	const char *reporter = psprintf("Server \"%s\" reports this.", server);
	const char *detail = error->detail;
	char *why;

	if (detail != NULL && strncmp(detail, reporter, strlen(reporter)) == 0)
		detail += strlen(reporter) + (detail[strlen(reporter)] == ' ');
	why = detail == NULL || detail[0] == '\0' ? pstrdup(error->message)
											  : psprintf("%s: %s", error->message, detail);
	for (char *at = why; *at != '\0'; at++)
	{
		if (*at == '\n' || *at == '\t')
			*at = ' ';
	}
	return why;
}

/* A cancellation of this job is none. */
static bool
is_failure(const ErrorData *error)
{
	return !gpt_stop_is_cancelled() && !gpt_stop_is_terminated();
}

/* At the beginning of a training a server that is not there is one, and a busy one is not. */
static bool
is_error(const GptMembers *members, int sqlstate)
{
	return !gpt_members_is_loss(sqlstate) ||
		   (members->is_new &&
			ERRCODE_TO_CATEGORY(sqlstate) != ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES));
}

static void
give_up(GptMembers *members, GptMember *member, const char *why)
{
	member->try_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), GPT_MEMBERS_TRY_MS);
	gpt_members_lose(members, member, why);
}

/* ---- Connecting -------------------------------------------------------------------- */

/* The role, the server and its mapping are looked up anew each time. */
static void
begin_connections(void *argument)
{
	Calling *calling = argument;
	GptMember *member = calling->member;
	MemoryContext old_context = MemoryContextSwitchTo(member->context);
	GptRemote *coming;

	MemoryContextReset(member->context);
	coming = gpt_remote_begin(member->row.server);
	member->heart = gpt_remote_begin(member->row.server);
	member->coming = coming;
	member->begins = member->has_begun = false;
	member->beat_at = 0;
	MemoryContextSwitchTo(old_context);
}

static void
go_on_connecting(GptMembers *members, GptMember *member)
{
	GptRemoteState coming = gpt_remote_connecting(member->coming);
	GptRemoteState heart = gpt_remote_connecting(member->heart);

	if (coming == GPT_REMOTE_LOST || heart == GPT_REMOTE_LOST ||
		(coming == GPT_REMOTE_READY && heart == GPT_REMOTE_READY))
		attempt(members, member, send_begin, NULL);
}

static void
send_begin(void *argument)
{
	Calling *calling = argument;
	GptMember *member = calling->member;
	GptRemoteValue spec = {.bytes = gpt_members_spec(calling->members, member)};

	if (gpt_remote_connecting(member->coming) == GPT_REMOTE_LOST)
		gpt_remote_raise_lost(member->coming);
	if (gpt_remote_connecting(member->heart) == GPT_REMOTE_LOST)
		gpt_remote_raise_lost(member->heart);
	gpt_remote_on_notice(member->coming, gpt_members_on_notice, member);
	member->begins = true;
	member->begun_at = member->heard_at = GetCurrentTimestamp();
	if (!gpt_remote_send(
			member->coming,
			psprintf("SELECT %s.gpt_member_begin($1::jsonb)", gpt_remote_schema(member->coming)), 1,
			&spec, false))
		gpt_remote_raise_lost(member->coming);
}

/* ---- Beginning ---------------------------------------------------------------------- */

static void
go_on_beginning(GptMembers *members, GptMember *member)
{
	PGresult *result;
	const char *why;

	if (gpt_remote_poll(member->coming, &result) != GPT_REMOTE_BUSY)
	{
		member->result = result;
		attempt(members, member, take_answer, NULL);
	}
	else if ((why = why_late(members, member)) != NULL)
		attempt(members, member, fail_late, why);
}

static void
take_answer(void *argument)
{
	Calling *calling = argument;
	GptMember *member = calling->member;

	if (member->result == NULL)
		gpt_remote_raise_lost(member->coming);
	gpt_remote_check(member->coming, member->result);
	check_answer(calling->members, member);
	gpt_members_check_place(calling->members, member, member->result);
	member->result = NULL;
	member->has_begun = true;
}

/* What the server says of itself, where this could be another program's answer. */
static void
check_answer(const GptMembers *members, const GptMember *member)
{
	const GptJson *answer = gpt_members_answer(member);
	const char *version = gpt_json_string(gpt_json_field(answer, "version"));
	int64 protocol = gpt_members_number(member, "protocol", PG_INT32_MAX);

	if (version == NULL || strcmp(version, GPT_VERSION) != 0)
		gpt_members_raise_answer(member, "It does not have version " GPT_VERSION " of gpt.");
	if (protocol != GPT_MEMBER_PROTOCOL)
		gpt_members_raise_answer(member, psprintf("Its protocol is " INT64_FORMAT ", not %d.",
												  protocol, GPT_MEMBER_PROTOCOL));
	if (gpt_json_string(gpt_json_field(answer, "machine")) == NULL)
		gpt_members_raise_answer(member, "It does not say on what machine it runs.");
	(void) gpt_members_number(member, "pid", PG_INT32_MAX);
	if (!members->is_local)
		return;
	(void) gpt_members_number(member, "counts.documents", MOST_ROWS);
	(void) gpt_members_number(member, "counts.skipped", MOST_ROWS);
	(void) gpt_members_number(member, "counts.bytes", MOST_ROWS);
	(void) gpt_members_number(member, "counts.held_out", MOST_ROWS);
}

/* NULL: it may go on. Nobody knows how long a query takes before it gives its first row. */
static const char *
why_late(const GptMembers *members, GptMember *member)
{
	TimestampTz since = members->is_local ? member->begun_at : member->heard_at;
	int64 limit = members->is_local ? (int64) gpt_read_timeout * 1000 : gpt_peer_timeout;
	const char *why = gpt_members_heart(member);

	if (why == NULL && limit > 0 &&
		GetCurrentTimestamp() >= TimestampTzPlusMilliseconds(since, limit))
		why = psprintf("the server did not answer within " INT64_FORMAT " ms", limit);
	return why;
}

static void
fail_late(void *argument)
{
	Calling *calling = argument;

	ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
					errmsg("lost the connection to server \"%s\"", calling->member->row.server),
					errdetail_internal("%s", calling->why)));
}
