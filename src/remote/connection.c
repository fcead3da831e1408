/*
 * src/remote/connection.c
 *
 * Connections to other servers (include/remote/connection.h). libpq is in its non-blocking mode,
 * and the session waits for socket and latch together.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "core/compat.h"
#include "core/version.h"
#include "remote/connection.h"
#include "remote/message.h"
#include "remote/options.h"

/*
 * What the session there gets. Its time limits are those of this side, as a job has none either;
 * which there are depends on the server's version. The session ends some seconds after this side's
 * machine is gone without a word: it may hold what the next one needs. The last one may not exist
 * on its system: it makes a statement end when this side is gone.
 */
static const char *const settings[] = {
	"SET search_path = pg_catalog; SET timezone = 'UTC'; SET datestyle = ISO;"
	" SET intervalstyle = postgres; SET extra_float_digits = 3;"
	" SET standard_conforming_strings = on;"
	" SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;"
	" SET tcp_user_timeout = '11s';"
	" SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings"
	" WHERE name ~ '^(statement|lock|transaction|idle_session|idle_in_transaction_session)"
	"_timeout$'",
	"SET client_connection_check_interval = '500ms'"};

#define FAREWELL_SIZE 512

struct GptRemote
{
	MemoryContext context; /* its own; closing happens when this is reset */
	MemoryContextCallback callback;
	PGconn *connection; /* NULL: lost */
	bool has_descriptor; /* the socket is counted as one of this process */
	bool busy; /* a statement was sent whose end was not read */
	int limit_ms; /* of a statement that this side waits for; -1: none */
	PGresult *result; /* of the last statement */
	char *name;
	char *schema; /* of the extension there; NULL: not asked yet */
	char *lost; /* why the connection is lost; NULL: it is not */
	char farewell[FAREWELL_SIZE]; /* what the server said when it ended the session; or empty */
	GptRemoteNotice on_notice;
	void *notice_context;
};

static void establish(GptRemote *remote, const GptRemoteOptions *options);
static void poll_connecting(GptRemote *remote, TimestampTz end);
pg_noreturn static void fail_connecting(GptRemote *remote, const char *message);
static void set_up(GptRemote *remote);
static void receive_notice(void *argument, const PGresult *result);
static bool wait_for_socket(const GptRemote *remote, uint32 events, long timeout_ms);
static PGresult *run(GptRemote *remote, const char *sql, int n, const GptRemoteValue *values,
					 bool binary);
static PGresult *finish(GptRemote *remote);
static bool hand_over(GptRemote *remote, const char *sql, int n, const GptRemoteValue *values,
					  bool binary);
static bool take_results(GptRemote *remote);
static void forget_result(GptRemote *remote);
static void lose(GptRemote *remote, const char *why);
static void disconnect(void *argument);

GptRemote *
gpt_remote_connect(const char *server)
{
	GptRemoteOptions options;
	MemoryContext context;
	GptRemote *remote;

	gpt_remote_options(&options, server);
	context = AllocSetContextCreate(CurrentMemoryContext, "gpt remote", ALLOCSET_SMALL_SIZES);
	remote = MemoryContextAllocZero(context, sizeof(GptRemote));
	remote->context = context;
	remote->name = MemoryContextStrdup(context, server);
	remote->limit_ms = (int) options.timeout_ms;
	remote->callback.func = disconnect;
	remote->callback.arg = remote;
	MemoryContextRegisterResetCallback(context, &remote->callback);
	establish(remote, &options);
	if (options.needs_password && !PQconnectionUsedPassword(remote->connection))
	{
		gpt_remote_close(remote);
		ereport(ERROR,
				(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
				 errmsg("password is required"),
				 errdetail("Non-superuser cannot connect if the server \"%s\" does not request a"
						   " password.",
						   server),
				 errhint("Change the authentication method of that server, or let a superuser set"
						 " password_required to false in the user mapping.")));
	}
	set_up(remote);
	remote->limit_ms = -1;
	return remote;
}

static void
establish(GptRemote *remote, const GptRemoteOptions *options)
{
	TimestampTz end = GetCurrentTimestamp() + options->timeout_ms * INT64CONST(1000);

	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
				 errmsg("could not connect to server \"%s\"", remote->name),
				 errdetail("There are too many open files on the local server."),
				 errhint("Raise the server's max_files_per_process and/or \"ulimit -n\" limits.")));
	remote->has_descriptor = true;
	remote->connection = PQconnectStartParams(options->keywords, options->values, 0);
	if (remote->connection == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	PQsetNoticeReceiver(remote->connection, receive_notice, remote);
	poll_connecting(remote, end);
	if (PQsetnonblocking(remote->connection, 1) != 0)
		fail_connecting(remote, PQerrorMessage(remote->connection));
}

static void
poll_connecting(GptRemote *remote, TimestampTz end)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	if (PQstatus(remote->connection) == CONNECTION_BAD)
		fail_connecting(remote, PQerrorMessage(remote->connection));
	for (;;)
	{
		long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (left <= 0)
			fail_connecting(remote, "timeout expired");
		if (!wait_for_socket(
				remote, state == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE,
				left))
			continue; /* libpq would take the connection for one that stands */
		state = PQconnectPoll(remote->connection);
		if (state == PGRES_POLLING_OK)
			return;
		if (state == PGRES_POLLING_FAILED)
			fail_connecting(remote, PQerrorMessage(remote->connection));
	}
}

static void
fail_connecting(GptRemote *remote, const char *message)
{
	const char *name = pstrdup(remote->name);
	const char *detail = gpt_remote_clean(message);

	gpt_remote_close(remote);
	ereport(ERROR,
			(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
			 errmsg("could not connect to server \"%s\"", name), errdetail_internal("%s", detail)));
}

static void
set_up(GptRemote *remote)
{
	for (int i = 0; i < lengthof(settings); i++)
	{
		forget_result(remote);
		if (PQsendQuery(remote->connection, settings[i]) != 1)
			lose(remote, PQerrorMessage(remote->connection));
		remote->busy = true;
		finish(remote);
		if (i == 0)
			gpt_remote_check(remote, remote->result);
	}
	forget_result(remote);
}

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
static void
receive_notice(void *argument, const PGresult *result)
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
		lose(remote, "an earlier statement was interrupted");
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
			lose(remote, psprintf("The server did not answer within %d ms.", remote->limit_ms));
		else
			wait_for_socket(remote, gpt_remote_events(remote), remote->limit_ms >= 0 ? left : -1);
	}
	if (state == GPT_REMOTE_LOST)
		ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
						errmsg("lost the connection to server \"%s\"", remote->name),
						errdetail_internal("%s", remote->lost)));
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

	forget_result(remote);
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
			remote->busy = true;
		else
			lose(remote, PQerrorMessage(remote->connection));
	}
	pfree(types);
	pfree(bytes);
	pfree(sizes);
	pfree(formats);
	return remote->connection != NULL;
}

GptRemoteState
gpt_remote_poll(GptRemote *remote, PGresult **result)
{
	*result = NULL;
	if (remote->connection == NULL)
		return GPT_REMOTE_LOST;
	if (PQflush(remote->connection) < 0 || PQconsumeInput(remote->connection) == 0 ||
		PQstatus(remote->connection) == CONNECTION_BAD)
	{
		lose(remote, PQerrorMessage(remote->connection));
		return GPT_REMOTE_LOST;
	}
	if (remote->busy && !take_results(remote))
		return remote->connection == NULL ? GPT_REMOTE_LOST : GPT_REMOTE_BUSY;
	*result = remote->result;
	return GPT_REMOTE_READY;
}

/*
 * Reads results as far as they have come; true at their end. Of several, the first error counts, or
 * else the last. A server that goes down sends an error first: only the end shows that it is gone.
 */
static bool
take_results(GptRemote *remote)
{
	while (!PQisBusy(remote->connection))
	{
		PGresult *next = PQgetResult(remote->connection);

		if (next == NULL)
		{
			remote->busy = false;
			return true;
		}
		if (remote->result != NULL && PQresultStatus(remote->result) == PGRES_FATAL_ERROR)
			PQclear(next);
		else
		{
			forget_result(remote);
			remote->result = next;
		}
		if (PQstatus(remote->connection) == CONNECTION_BAD)
		{
			lose(remote, PQresultErrorMessage(remote->result));
			return false;
		}
		if (PQresultStatus(remote->result) == PGRES_COPY_IN ||
			PQresultStatus(remote->result) == PGRES_COPY_OUT ||
			PQresultStatus(remote->result) == PGRES_COPY_BOTH)
		{
			lose(remote, "the server answered with COPY");
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
	return remote->connection != NULL && PQflush(remote->connection) == 1
			   ? WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE
			   : WL_SOCKET_READABLE;
}

/* Waits for at most that time (-1: any). Returns whether the socket is ready. */
static bool
wait_for_socket(const GptRemote *remote, uint32 events, long timeout_ms)
{
	int wake = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | events | (timeout_ms >= 0 ? WL_TIMEOUT : 0);

	wake = WaitLatchOrSocket(MyLatch, wake, PQsocket(remote->connection), timeout_ms,
							 gpt_wait_event("GptRemote"));
	if (wake & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return (wake & events) != 0;
}

const char *
gpt_remote_message(const GptRemote *remote)
{
	if (remote->lost != NULL)
		return pstrdup(remote->lost);
	return gpt_remote_summary(remote->result);
}

void
gpt_remote_check(GptRemote *remote, const PGresult *result)
{
	switch (PQresultStatus(result))
	{
		case PGRES_EMPTY_QUERY:
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
			return;
		default:
			gpt_remote_raise(remote->name, result);
	}
}

const char *
gpt_remote_schema(GptRemote *remote)
{
	PGresult *result;

	if (remote->schema != NULL)
		return remote->schema;
	result = gpt_remote_query(
		remote,
		"SELECT pg_catalog.quote_ident(n.nspname), e.extversion FROM pg_catalog.pg_extension e"
		" JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'gpt'",
		0, NULL);
	if (PQntuples(result) != 1 || PQnfields(result) != 2)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("extension gpt does not exist on server \"%s\"", remote->name),
						errhint("Run CREATE EXTENSION gpt there.")));
	if (strcmp(PQgetvalue(result, 0, 1), GPT_VERSION) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("server \"%s\" has version %s of gpt, this server has version %s",
						remote->name, gpt_remote_clean(PQgetvalue(result, 0, 1)), GPT_VERSION),
				 errhint("Install the same version on both, and run ALTER EXTENSION gpt UPDATE.")));
	remote->schema = MemoryContextStrdup(remote->context, PQgetvalue(result, 0, 0));
	return remote->schema;
}

void
gpt_remote_close(GptRemote *remote)
{
	MemoryContextDelete(remote->context);
}

static void
forget_result(GptRemote *remote)
{
	PQclear(remote->result);
	remote->result = NULL;
}

/* The reason is copied before what it may be part of is freed. */
static void
lose(GptRemote *remote, const char *why)
{
	MemoryContext old = MemoryContextSwitchTo(remote->context);

	if (remote->lost == NULL)
		remote->lost = gpt_remote_clean(remote->farewell[0] != '\0' ? remote->farewell : why);
	MemoryContextSwitchTo(old);
	disconnect(remote);
}

/* May run twice, and during an abort. */
static void
disconnect(void *argument)
{
	GptRemote *remote = argument;

	forget_result(remote);
	if (remote->connection != NULL)
		PQfinish(remote->connection);
	remote->connection = NULL;
	remote->busy = false;
	if (remote->has_descriptor)
		ReleaseExternalFD();
	remote->has_descriptor = false;
}
