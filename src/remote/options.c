/*
 * src/remote/options.c
 *
 * Foreign server and user mapping to options of libpq (src/remote/options.h). The rules are those
 * of postgres_fdw (https://www.postgresql.org/docs/15/postgres-fdw.html, F.38.1.1), so that a
 * server that works for its foreign tables works here.
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "libpq-fe.h"

#include "core/compat.h"
#include "remote/connection.h"
#include "remote/options.h"

#define DEFAULT_TIMEOUT_MS 10000
#define LEAST_TIMEOUT_MS 1000 /* of one of several hosts, unless another one is given */
#define MOST_TIMEOUT_S 600
#define OWN_OPTIONS 4 /* application_name, client_encoding, time-out, and the NULL at the end */

static ForeignServer *find_server(const char *name);
static UserMapping *find_mapping(const ForeignServer *server);
static int take(GptRemoteOptions *options, int n, const List *given, const PQconninfoOption *known);
static bool is_known(const char *name, const PQconninfoOption *known);
static bool requires_password(const UserMapping *mapping);
static void check_password(const GptRemoteOptions *options, const char *server);
static void set_timeout(GptRemoteOptions *options, int n);

void
gpt_remote_options(GptRemoteOptions *options, const char *name)
{
	ForeignServer *server = find_server(name);
	UserMapping *mapping = find_mapping(server);
	int room = list_length(server->options) + list_length(mapping->options) + OWN_OPTIONS;
	PQconninfoOption *known = PQconndefaults();
	int n = 0;

	if (known == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	options->keywords = palloc0(room * sizeof(char *));
	options->values = palloc0(room * sizeof(char *));
	options->keywords[n] = "application_name";
	options->values[n++] = "gpt";
	n = take(options, n, server->options, known);
	n = take(options, n, mapping->options, known);
	options->keywords[n] = "client_encoding";
	options->values[n++] = GetDatabaseEncodingName();
	PQconninfoFree(known);
	options->needs_password = requires_password(mapping);
	set_timeout(options, n);
	check_password(options, name);
}

/*
 * Only superusers create foreign-data wrappers, so the name says which validator has checked the
 * options: that of postgres_fdw lets superusers alone set password_required.
 */
static ForeignServer *
find_server(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	const char *wrapper;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("server \"%s\" does not exist", name),
				 errhint("Make it with CREATE SERVER ... FOREIGN DATA WRAPPER postgres_fdw; "
						 "the view pg_catalog.pg_foreign_server lists those that exist.")));
	if (gpt_server_aclcheck(server->serverid, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for foreign server %s", server->servername),
						errhint("Its owner can GRANT USAGE ON FOREIGN SERVER %s TO %s.",
								quote_identifier(server->servername),
								quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	wrapper = GetForeignDataWrapper(server->fdwid)->fdwname;
	if (strcmp(wrapper, "postgres_fdw") != 0)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("server \"%s\" is not a server of postgres_fdw", name),
						errdetail("Its foreign-data wrapper is \"%s\".", wrapper)));
	return server;
}

void
gpt_remote_require(const char *server)
{
	GptRemoteOptions options;

	gpt_remote_options(&options, server);
}

/* PostgreSQL's own error does not say for which server. */
static UserMapping *
find_mapping(const ForeignServer *server)
{
	if (!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(GetUserId()),
							   ObjectIdGetDatum(server->serverid)) &&
		!SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
							   ObjectIdGetDatum(server->serverid)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("user mapping not found for user \"%s\", server \"%s\"",
						GetUserNameFromId(GetUserId(), false), server->servername),
				 errhint("Make it with CREATE USER MAPPING FOR %s SERVER %s OPTIONS (user '...', "
						 "password '...').",
						 quote_identifier(GetUserNameFromId(GetUserId(), false)),
						 quote_identifier(server->servername))));
	return GetUserMapping(GetUserId(), server->serverid);
}

/* Options without a value there, and those of libpq that postgres_fdw refuses, do not occur. */
static int
take(GptRemoteOptions *options, int n, const List *given, const PQconninfoOption *known)
{
	ListCell *cell;

	foreach (cell, given)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (!is_known(option->defname, known))
			continue;
		options->keywords[n] = option->defname;
		options->values[n++] = defGetString(option);
	}
	return n;
}

static bool
is_known(const char *name, const PQconninfoOption *known)
{
	for (; known->keyword != NULL; known++)
		if (strcmp(known->keyword, name) == 0)
			return strchr(known->dispchar, 'D') == NULL;
	return false;
}

static bool
requires_password(const UserMapping *mapping)
{
	ListCell *cell;

	if (superuser())
		return false;
	foreach (cell, mapping->options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "password_required") == 0)
			return defGetBoolean(option);
	}
	return true;
}

/* Otherwise libpq would take the password of the server's environment or operating system user. */
static void
check_password(const GptRemoteOptions *options, const char *server)
{
	if (!options->needs_password)
		return;
	for (int i = 0; options->keywords[i] != NULL; i++)
		if (strcmp(options->keywords[i], "password") == 0 && options->values[i][0] != '\0')
			return;
	ereport(ERROR, (errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
					errmsg("password is required for server \"%s\"", server),
					errdetail("Non-superusers must provide a password in the user mapping.")));
}

/* The value that libpq takes; NULL where there is none. */
static const char *
value_of(const GptRemoteOptions *options, const char *keyword)
{
	const char *value = NULL;

	for (int i = 0; options->keywords[i] != NULL; i++)
		if (strcmp(options->keywords[i], keyword) == 0)
			value = options->values[i];
	return value;
}

static int
count_elements(const char *list)
{
	int n = 1;

	for (; list != NULL && *list != '\0'; list++)
		n += *list == ',';
	return n;
}

/*
 * libpq itself regards connect_timeout, which is that of each host, in its blocking calls alone. Of
 * several hosts, one whose machine is gone without a word must not take the time of the others: the
 * kernel gives it up. n: where further options go.
 */
static void
set_timeout(GptRemoteOptions *options, int n)
{
	const char *given = value_of(options, "connect_timeout");
	int hosts = Max(count_elements(value_of(options, "host")),
					count_elements(value_of(options, "hostaddr")));
	int seconds = given == NULL ? 0 : atoi(given);
	int64 each = seconds > 0 ? Min(seconds, MOST_TIMEOUT_S) * INT64CONST(1000)
							 : Max(DEFAULT_TIMEOUT_MS / hosts, LEAST_TIMEOUT_MS);

	options->timeout_ms = (int) Min(each * hosts, MOST_TIMEOUT_S * 1000);
	if (hosts == 1 || value_of(options, "tcp_user_timeout") != NULL)
		return;
	options->keywords[n] = "tcp_user_timeout";
	options->values[n] = psprintf(INT64_FORMAT, each);
}
