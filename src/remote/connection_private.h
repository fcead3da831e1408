/*
 * src/remote/connection_private.h
 *
 * A connection to another server, as connect.c makes it and connection.c uses it.
 */
#ifndef GPT_REMOTE_CONNECTION_PRIVATE_H
#define GPT_REMOTE_CONNECTION_PRIVATE_H

#include "datatype/timestamp.h"

#include "remote/connection.h"

#define GPT_REMOTE_FAREWELL 512 /* bytes */

/* How far a connection has come. */
typedef enum GptRemoteStage
{
	GPT_REMOTE_CONNECTS, /* libpq is at work */
	GPT_REMOTE_SETS_UP, /* a statement of the set-up runs */
	GPT_REMOTE_STANDS,
} GptRemoteStage;

struct GptRemote
{
	MemoryContext context; /* its own; closing happens when this is reset */
	MemoryContextCallback callback;
	PGconn *connection; /* NULL: lost */
	bool has_descriptor; /* the socket is counted as one of this process */
	GptRemoteStage stage;
	int statement; /* of the set-up */
	bool needs_password; /* the role must authenticate by one */
	TimestampTz connect_by; /* until then it stands, or is lost */
	uint32 wants; /* what the socket must be ready for, before libpq goes on connecting */
	bool busy; /* a statement was sent whose end was not read */
	TimestampTz sent_at;
	uint64 received; /* bytes on the connection before that */
	int limit_ms; /* of a statement that this side waits for; -1: none */
	PGresult *result; /* of the last statement */
	char *name;
	char *schema; /* of the extension there, quoted; NULL: there is none */
	char *version;
	/* why the connection is lost; lost NULL: it is not */
	char *lost;
	int sqlstate;
	const char *message;
	const char *hint; /* may be NULL */
	char farewell[GPT_REMOTE_FAREWELL]; /* what the server said when it ended the session, or "" */
	GptRemoteNotice on_notice;
	void *notice_context;
};

/* ---- src/remote/connection.c ------------------------------------------------------ */

/* Closes a connection that is lost for a reason, which becomes valid text. */
extern void gpt_remote_lose(GptRemote *remote, const char *why);

/* A callback of the connection's memory context. */
extern void gpt_remote_disconnect(void *argument);

/* What libpq calls for a notice. */
extern void gpt_remote_receive_notice(void *argument, const PGresult *result);

/* Waits for at most that time (-1: any), serving interrupts. */
extern void gpt_remote_wait(const GptRemote *remote, long timeout_ms);

/* A statement was handed to libpq. */
extern void gpt_remote_sent(GptRemote *remote);

/* Forgets the result of the last statement. */
extern void gpt_remote_forget(GptRemote *remote);

#endif /* GPT_REMOTE_CONNECTION_PRIVATE_H */
