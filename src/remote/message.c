/*
 * src/remote/message.c
 *
 * Messages of other servers (src/remote/message.h). The other server may send any bytes.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "remote/connection.h"
#include "remote/message.h"

#define MOST_BYTES 2048

static const char *hint_of_grant(const char *message);
static int sqlstate_of(const PGresult *result);
static const char *field(const PGresult *result, int code);

char *
gpt_remote_clean(const char *message)
{
	char *copy;
	int size;

	if (message == NULL || message[0] == '\0')
		return pstrdup("The server gave no reason.");
	size = strnlen(message, MOST_BYTES + MAX_MULTIBYTE_CHAR_LEN);
	if (!pg_verify_mbstr(GetDatabaseEncoding(), message, strlen(message), true))
		return pstrdup("The server's message is not valid text.");
	size = pg_mbcliplen(message, size, MOST_BYTES);
	while (size > 0 && strchr("\r\n\t ", message[size - 1]) != NULL)
		size--;
	copy = pnstrdup(message, size);
	return copy;
}

char *
gpt_remote_summary(const PGresult *result)
{
	const char *message = field(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = field(result, PG_DIAG_MESSAGE_DETAIL);

	if (message == NULL)
		return gpt_remote_clean(PQresultErrorMessage(result));
	return detail == NULL ? pstrdup(message) : psprintf("%s: %s", message, detail);
}

void
gpt_remote_clip(char *to, const char *message, size_t size)
{
	size_t n = strlen(message);

	if (n >= size)
	{
		n = size - 1;
		while (n > 0 && ((unsigned char) message[n] & 0xC0) == 0x80)
			n--;
	}
	memcpy(to, message, n);
	to[n] = '\0';
}

void
gpt_remote_raise(const char *server, const PGresult *result)
{
	const char *message = field(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = field(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = field(result, PG_DIAG_MESSAGE_HINT);

	if (message == NULL)
		message = gpt_remote_clean(PQresultErrorMessage(result));
	if (hint == NULL && sqlstate_of(result) == ERRCODE_INSUFFICIENT_PRIVILEGE)
		hint = hint_of_grant(message);
	if (sqlstate_of(result) == ERRCODE_UNDEFINED_FUNCTION)
		hint = "Look whether the extension gpt was dropped there.";
	ereport(ERROR, (errcode(sqlstate_of(result)), errmsg_internal("%s", message),
					detail != NULL ? errdetail("Server \"%s\" reports this. %s", server, detail)
								   : errdetail("Server \"%s\" reports this.", server),
					hint != NULL ? errhint("%s", hint) : 0, errcontext("server \"%s\"", server)));
}

/* The functions that go together are named at once. In every language the message names one. */
static const char *
hint_of_grant(const char *message)
{
	if (strstr(message, "gpt_member_") != NULL)
		return "On that server, GRANT EXECUTE ON FUNCTION gpt_member_begin, gpt_member_counts, "
			   "gpt_member_put, gpt_member_take, gpt_member_run, gpt_member_delta, "
			   "gpt_member_mesh, gpt_member_end to the role that the user mapping names.";
	if (strstr(message, "gpt_distribute_") != NULL)
		return "On that server, GRANT EXECUTE ON FUNCTION gpt_distribute_put, gpt_distribute_take "
			   "to the role that the user mapping names.";
	return "Grant it on that server to the role that the user mapping names.";
}

/* Five digits or upper-case letters; one of class 00 would be no error. */
static int
sqlstate_of(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (state == NULL || strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5 ||
		state[5] != '\0' || strncmp(state, "00", 2) == 0)
		return ERRCODE_CONNECTION_FAILURE;
	return MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
}

static const char *
field(const PGresult *result, int code)
{
	const char *value = PQresultErrorField(result, code);

	return value == NULL ? NULL : gpt_remote_clean(value);
}
