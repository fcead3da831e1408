/*
 * src/remote/connection.c
 *
 * Statements on connections to other servers (include/remote/connection.h). libpq is in its
 * non-blocking mode, and the session waits for socket and latch together.
 */
#include "postgres.h"

#ifdef __linux__
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#endif

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "remote/connection_private.h"
#include "remote/message.h"

/*
 * Bytes that may come after a statement was sent, and for each second that it runs: an answer has
 * 16 MB at most (GPT_MEMBER_PIECE), a member's notices some 700 bytes a second.
 */
#define MOST_RECEIVED (64 * 1024 * 1024)
#define MOST_EACH_SECOND 4096

static PGresult *run(GptRemote *remote, const char *sql, int n, const GptRemoteValue *values,
					 bool binary);
static PGresult *finish(GptRemote *remote);
static bool hand_over(GptRemote *remote, const char *sql, int n, const GptRemoteValue *values,
					  bool binary);
static uint64 received_of(const GptRemote *remote);
static void check_received(GptRemote *remote);
static bool take_results(GptRemote *remote);

const char *
gpt_remote_name(const GptRemote *remote)
{
	return remote->name;
}

void
gpt_remote_on_notice(GptRemote *remote, GptRemoteNotice on_notice, void *context)
{
	remote->on_notice = on_notice;
	remote->notice_context = context;
}

/*
 * libpq's own receiver would write to the server's log. The error that ends a session which runs
 * nothing comes as a notice, too.
 */
void
gpt_remote_receive_notice(void *argument, const PGresult *result)
{
	GptRemote *remote = argument;
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (severity != NULL && strcmp(severity, "FATAL") == 0 && message != NULL)
		gpt_remote_clip(remote->farewell, message, sizeof(remote->farewell));
	if (remote->on_notice != NULL && message != NULL)
		remote->on_notice(remote->notice_context, sqlstate != NULL ? sqlstate : "00000", message);
}

PGresult *
gpt_remote_query(GptRemote *remote, const char *sql, int n, const GptRemoteValue *values)
{
	return run(remote, sql, n, values, false);
}

PGresult *
gpt_remote_query_binary(GptRemote *remote, const char *sql, int n, const GptRemoteValue *values)
{
	return run(remote, sql, n, values, true);
}

static PGresult *
run(GptRemote *remote, const char *sql, int n, const GptRemoteValue *values, bool binary)
{
	/* An error left an earlier statement behind: its result would be taken for that of this one. */
	if (remote->busy)
		gpt_remote_lose(remote, "an earlier statement was interrupted");
	hand_over(remote, sql, n, values, binary);
	finish(remote);
	gpt_remote_check(remote, remote->result);
	return remote->result;
}

void
gpt_remote_limit(GptRemote *remote, int limit_ms)
{
	remote->limit_ms = limit_ms;
}

/* Waits for the end of the statement. A lost connection is an error. */
static PGresult *
finish(GptRemote *remote)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), Max(remote->limit_ms, 0));
	PGresult *result;
	GptRemoteState state;

	while ((state = gpt_remote_poll(remote, &result)) == GPT_REMOTE_BUSY)
	{
		long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (remote->limit_ms >= 0 && left <= 0)
			gpt_remote_lose(remote,
							psprintf("The server did not answer within %d ms.", remote->limit_ms));
		else
			gpt_remote_wait(remote, remote->limit_ms >= 0 ? left : -1);
	}
	if (state == GPT_REMOTE_LOST)
		gpt_remote_raise_lost(remote);
	return result;
}

bool
gpt_remote_send(GptRemote *remote, const char *sql, int n, const GptRemoteValue *values,
				bool binary)
{
	return !remote->busy && hand_over(remote, sql, n, values, binary);
}

static bool
hand_over(GptRemote *remote, const char *sql, int n, const GptRemoteValue *values, bool binary)
{
	Oid *types = palloc(Max(n, 1) * sizeof(Oid));
	const char **bytes = palloc(Max(n, 1) * sizeof(char *));
	int *sizes = palloc(Max(n, 1) * sizeof(int));
	int *formats = palloc(Max(n, 1) * sizeof(int));

	gpt_remote_forget(remote);
	for (int i = 0; i < n; i++)
	{
		types[i] = values[i].type;
		bytes[i] = values[i].bytes;
		sizes[i] = values[i].size;
		formats[i] = values[i].is_binary;
	}
	if (remote->connection != NULL)
	{
		if (PQsendQueryParams(remote->connection, sql, n, types, bytes, sizes, formats, binary) ==
			1)
			gpt_remote_sent(remote);
		else
			gpt_remote_lose(remote, PQerrorMessage(remote->connection));
	}
	pfree(types);
	pfree(bytes);
	pfree(sizes);
	pfree(formats);
	return remote->connection != NULL;
}

/* Rows come one by one, so that no more than two are here. */
void
gpt_remote_sent(GptRemote *remote)
{
	remote->busy = true;
	(void) PQsetSingleRowMode(remote->connection);
	remote->sent_at = GetCurrentTimestamp();
	remote->received = received_of(remote);
}

GptRemoteState
gpt_remote_poll(GptRemote *remote, PGresult **result)
{
	PGnotify *notify;

	*result = NULL;
	if (remote->connection == NULL)
		return GPT_REMOTE_LOST;
	if (PQflush(remote->connection) < 0 || PQconsumeInput(remote->connection) == 0 ||
		PQstatus(remote->connection) == CONNECTION_BAD)
	{
		gpt_remote_lose(remote, PQerrorMessage(remote->connection));
		return GPT_REMOTE_LOST;
	}
	while ((notify = PQnotifies(remote->connection)) != NULL)
		PQfreemem(notify);
	check_received(remote);
	if (remote->connection == NULL)
		return GPT_REMOTE_LOST;
	if (remote->busy && !take_results(remote))
		return remote->connection == NULL ? GPT_REMOTE_LOST : GPT_REMOTE_BUSY;
	*result = remote->result;
	return GPT_REMOTE_READY;
}

/* All bytes that have come on the connection, as far as the system counts them. */
static uint64
received_of(const GptRemote *remote)
{
#ifdef __linux__
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	if (getsockopt(PQsocket(remote->connection), IPPROTO_TCP, TCP_INFO, &info, &size) == 0)
		return info.tcpi_bytes_received;
#endif
	return 0;
}

/* An answer, and notices for as long as the statement runs, do not come to this. */
static void
check_received(GptRemote *remote)
{
	uint64 received = received_of(remote) - remote->received;
	uint64 seconds = (uint64) Max(0, GetCurrentTimestamp() - remote->sent_at) / USECS_PER_SEC;

	if (remote->busy && received > MOST_RECEIVED + MOST_EACH_SECOND * seconds)
		gpt_remote_lose(remote, psprintf("the server sent more than %d MB as an answer",
										 MOST_RECEIVED / (1024 * 1024)));
}

/* Whether the server asks for, or gives, what no statement of gpt is for. */
static bool
is_copy(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/*
 * Reads results as far as they have come; true at their end. Of several, the first error counts, or
 * else the last; a row is the result of its statement. A server that goes down sends an error
 * first: only the end shows that it is gone.
 */
static bool
take_results(GptRemote *remote)
{
	while (!PQisBusy(remote->connection))
	{
		PGresult *next = PQgetResult(remote->connection);
		ExecStatusType status =
			remote->result == NULL ? PGRES_EMPTY_QUERY : PQresultStatus(remote->result);

		if (next == NULL)
		{
			remote->busy = false;
			return true;
		}
		if (status == PGRES_SINGLE_TUPLE && PQresultStatus(next) == PGRES_SINGLE_TUPLE)
		{
			PQclear(next);
			gpt_remote_lose(remote, "the server answered with several rows");
			return false;
		}
		if (status == PGRES_FATAL_ERROR ||
			(status == PGRES_SINGLE_TUPLE && PQresultStatus(next) == PGRES_TUPLES_OK))
			PQclear(next);
		else
		{
			gpt_remote_forget(remote);
			remote->result = next;
		}
		if (PQstatus(remote->connection) == CONNECTION_BAD || is_copy(remote->result))
		{
			gpt_remote_lose(remote, is_copy(remote->result) ? "the server answered with COPY"
															: PQresultErrorMessage(remote->result));
			return false;
		}
	}
	return false;
}

int
gpt_remote_socket(const GptRemote *remote)
{
	return remote->connection == NULL ? PGINVALID_SOCKET : PQsocket(remote->connection);
}

/* PQflush has nothing to do unless poll has left something to send. */
uint32
gpt_remote_events(const GptRemote *remote)
{
	if (remote->stage == GPT_REMOTE_CONNECTS)
		return remote->wants;
	return remote->connection != NULL && PQflush(remote->connection) == 1
			   ? WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE
			   : WL_SOCKET_READABLE;
}

void
gpt_remote_wait(const GptRemote *remote, long timeout_ms)
{
	int wake = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (int) gpt_remote_events(remote) |
			   (timeout_ms >= 0 ? WL_TIMEOUT : 0);

	wake = WaitLatchOrSocket(MyLatch, wake, PQsocket(remote->connection), timeout_ms,
							 gpt_wait_event("GptRemote"));
	if (wake & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

const char *
gpt_remote_message(const GptRemote *remote)
{
	if (remote->lost != NULL)
		return remote->message == NULL ? pstrdup(remote->lost)
									   : psprintf("%s: %s", remote->message, remote->lost);
	return gpt_remote_summary(remote->result);
}

int
gpt_remote_sqlstate(const GptRemote *remote)
{
	return remote->message == NULL ? ERRCODE_CONNECTION_FAILURE : remote->sqlstate;
}

void
gpt_remote_raise_lost(const GptRemote *remote)
{
	ereport(ERROR,
			(errcode(gpt_remote_sqlstate(remote)),
			 remote->message != NULL ? errmsg_internal("%s", remote->message)
									 : errmsg("lost the connection to server \"%s\"", remote->name),
			 errdetail_internal("%s", remote->lost),
			 remote->hint != NULL ? errhint("%s", remote->hint) : 0));
}

void
gpt_remote_check(GptRemote *remote, const PGresult *result)
{
	switch (PQresultStatus(result))
	{
		case PGRES_EMPTY_QUERY:
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
		case PGRES_SINGLE_TUPLE:
			return;
		default:
			gpt_remote_raise(remote->name, result);
	}
}

void
gpt_remote_close(GptRemote *remote)
{
	MemoryContextDelete(remote->context);
}

void
gpt_remote_forget(GptRemote *remote)
{
	PQclear(remote->result);
	remote->result = NULL;
}

/* The reason is copied before what it may be part of is freed. */
void
gpt_remote_lose(GptRemote *remote, const char *why)
{
	MemoryContext old = MemoryContextSwitchTo(remote->context);

	if (remote->lost == NULL)
		remote->lost = gpt_remote_clean(remote->farewell[0] != '\0' ? remote->farewell : why);
	MemoryContextSwitchTo(old);
	gpt_remote_disconnect(remote);
}

/* May run twice, and during an abort. */
void
gpt_remote_disconnect(void *argument)
{
	GptRemote *remote = argument;

	gpt_remote_forget(remote);
	if (remote->connection != NULL)
		PQfinish(remote->connection);
	remote->connection = NULL;
	remote->busy = false;
	if (remote->has_descriptor)
		ReleaseExternalFD();
	remote->has_descriptor = false;
}
