/*
 * src/remote/connect.c
 *
 * A foreign server goes in, a connection that stands comes out (include/remote/connection.h): libpq
 * connects, then the session there is set up, and asked which gpt it has. None of it waits but
 * gpt_remote_connect, which waits for socket and latch together. (libpq looks up the name of a host
 * at once, and may wait for that; option hostaddr needs no look-up.)
 */
#include "postgres.h"

#include <poll.h>

#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/version.h"
#include "remote/connection_private.h"
#include "remote/message.h"
#include "remote/options.h"

/*
 * What the session there gets. Its time limits are those of this side, as a job has none either;
 * which there are depends on the server's version. The session ends some seconds after this side's
 * machine is gone without a word: it may hold what the next one needs. The second statement may not
 * exist on its system: it makes a statement end when this side is gone. The answer to the last one
 * is kept.
 */
static const char *const set_up[] = {
	"SET search_path = pg_catalog; SET timezone = 'UTC'; SET datestyle = ISO;"
	" SET intervalstyle = postgres; SET extra_float_digits = 3;"
	" SET standard_conforming_strings = on;"
	" SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;"
	" SET tcp_user_timeout = '11s';"
	" SELECT pg_catalog.count(pg_catalog.set_config(name, '0', false)) FROM pg_catalog.pg_settings"
	" WHERE name ~ '^(statement|lock|transaction|idle_session|idle_in_transaction_session)"
	"_timeout$'",
	"SET client_connection_check_interval = '500ms'",
	"SELECT pg_catalog.quote_ident(n.nspname), e.extversion FROM pg_catalog.pg_extension e"
	" JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'gpt'"};

#define MAY_FAIL 1 /* which of them */

static void start(GptRemote *remote, const GptRemoteOptions *options);
static bool advance(GptRemote *remote);
static bool go_on_connecting(GptRemote *remote);
static bool go_on_setting_up(GptRemote *remote);
static void send_next(GptRemote *remote);
static void keep_version(GptRemote *remote);
static void fail(GptRemote *remote, const char *why);

GptRemote *
gpt_remote_begin(const char *server)
{
	GptRemoteOptions options;
	MemoryContext context;
	GptRemote *remote;

	gpt_remote_options(&options, server);
	context = AllocSetContextCreate(CurrentMemoryContext, "gpt remote", ALLOCSET_SMALL_SIZES);
	remote = MemoryContextAllocZero(context, sizeof(GptRemote));
	remote->context = context;
	remote->name = MemoryContextStrdup(context, server);
	remote->limit_ms = -1;
	remote->needs_password = options.needs_password;
	remote->connect_by = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), options.timeout_ms);
	remote->callback.func = gpt_remote_disconnect;
	remote->callback.arg = remote;
	MemoryContextRegisterResetCallback(context, &remote->callback);
	start(remote, &options);
	return remote;
}

static void
start(GptRemote *remote, const GptRemoteOptions *options)
{
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
	PQsetNoticeReceiver(remote->connection, gpt_remote_receive_notice, remote);
	remote->wants = WL_SOCKET_WRITEABLE;
	if (PQstatus(remote->connection) == CONNECTION_BAD)
		fail(remote, PQerrorMessage(remote->connection));
}

GptRemote *
gpt_remote_connect(const char *server)
{
	GptRemote *remote = gpt_remote_begin(server);
	GptRemoteState state;

	while ((state = gpt_remote_connecting(remote)) == GPT_REMOTE_BUSY)
		gpt_remote_wait(remote,
						TimestampDifferenceMilliseconds(GetCurrentTimestamp(), remote->connect_by));
	if (state == GPT_REMOTE_LOST)
		gpt_remote_raise_lost(remote);
	return remote;
}

GptRemoteState
gpt_remote_connecting(GptRemote *remote)
{
	while (remote->connection != NULL && remote->stage != GPT_REMOTE_STANDS && advance(remote))
		;
	if (remote->connection != NULL && remote->stage != GPT_REMOTE_STANDS &&
		GetCurrentTimestamp() >= remote->connect_by)
		fail(remote, "timeout expired");
	if (remote->connection == NULL)
		return GPT_REMOTE_LOST;
	return remote->stage == GPT_REMOTE_STANDS ? GPT_REMOTE_READY : GPT_REMOTE_BUSY;
}

/* False where the other server has to do something first, or the connection is lost. */
static bool
advance(GptRemote *remote)
{
	return remote->stage == GPT_REMOTE_CONNECTS ? go_on_connecting(remote)
												: go_on_setting_up(remote);
}

/* libpq would take a connection for one that stands before its socket is ready. */
static bool
go_on_connecting(GptRemote *remote)
{
	struct pollfd ready = {.fd = PQsocket(remote->connection),
						   .events = remote->wants == WL_SOCKET_READABLE ? POLLIN : POLLOUT};

	if (poll(&ready, 1, 0) <= 0)
		return false;
	switch (PQconnectPoll(remote->connection))
	{
		case PGRES_POLLING_READING:
			remote->wants = WL_SOCKET_READABLE;
			return true;
		case PGRES_POLLING_WRITING:
			remote->wants = WL_SOCKET_WRITEABLE;
			return true;
		case PGRES_POLLING_OK:
			break;
		default:
			fail(remote, PQerrorMessage(remote->connection));
			return false;
	}
	if (PQsetnonblocking(remote->connection, 1) != 0)
		fail(remote, PQerrorMessage(remote->connection));
	else if (remote->needs_password && !PQconnectionUsedPassword(remote->connection))
	{
		remote->sqlstate = ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED;
		remote->message = MemoryContextStrdup(
			remote->context, psprintf("password is required for server \"%s\"", remote->name));
		remote->hint = "Change the authentication method of that server, or let a superuser set "
					   "password_required to false in the user mapping.";
		gpt_remote_lose(remote, "Non-superuser cannot connect if the server does not request a "
								"password.");
	}
	else
		send_next(remote);
	return true;
}

static bool
go_on_setting_up(GptRemote *remote)
{
	PGresult *result;

	if (gpt_remote_poll(remote, &result) != GPT_REMOTE_READY)
		return false;
	if (PQresultStatus(result) == PGRES_FATAL_ERROR && remote->statement != MAY_FAIL)
	{
		fail(remote, PQresultErrorMessage(result));
		return false;
	}
	if (++remote->statement < lengthof(set_up))
	{
		send_next(remote);
		return true;
	}
	keep_version(remote);
	gpt_remote_forget(remote);
	remote->stage = GPT_REMOTE_STANDS;
	return true;
}

static void
send_next(GptRemote *remote)
{
	const char *sql = set_up[remote->statement];

	remote->stage = GPT_REMOTE_SETS_UP;
	gpt_remote_forget(remote);
	/* Several statements at once are for the simple protocol alone. */
	if (remote->statement == lengthof(set_up) - 1)
		(void) gpt_remote_send(remote, sql, 0, NULL, false);
	else if (PQsendQuery(remote->connection, sql) == 1)
		gpt_remote_sent(remote);
	else
		fail(remote, PQerrorMessage(remote->connection));
}

/* Names are the other server's, of any length. */
static void
keep_version(GptRemote *remote)
{
	const PGresult *result = remote->result;
	MemoryContext old;

	if (PQntuples(result) != 1 || PQnfields(result) != 2 ||
		PQgetlength(result, 0, 0) > 4 * NAMEDATALEN)
		return;
	old = MemoryContextSwitchTo(remote->context);
	remote->schema = gpt_remote_clean(PQgetvalue(result, 0, 0));
	remote->version = gpt_remote_clean(PQgetvalue(result, 0, 1));
	MemoryContextSwitchTo(old);
}

static void
fail(GptRemote *remote, const char *why)
{
	remote->sqlstate = ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION;
	remote->message = MemoryContextStrdup(
		remote->context, psprintf("could not connect to server \"%s\"", remote->name));
	gpt_remote_lose(remote, why);
}

const char *
gpt_remote_schema(GptRemote *remote)
{
	if (remote->schema == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("extension gpt does not exist on server \"%s\"", remote->name),
						errhint("Run CREATE EXTENSION gpt there.")));
	if (strcmp(remote->version, GPT_VERSION) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("server \"%s\" has version %s of gpt, this server has version %s",
						remote->name, remote->version, GPT_VERSION),
				 errhint("Install the same version on both, and run ALTER EXTENSION gpt UPDATE.")));
	return remote->schema;
}
