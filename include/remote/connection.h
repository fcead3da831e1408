/*
 * include/remote/connection.h
 *
 * A connection to another server: a foreign server of postgres_fdw and the user mapping of the
 * current role say where and as whom (CREATE SERVER, CREATE USER MAPPING). The session waits on its
 * latch, so interrupts are served at once, and statement_timeout holds.
 *
 * A connection is a child of the memory context that is current when it is made, and is closed when
 * that context is reset or deleted: by an error too, wherever it was raised. A statement that still
 * runs there then ends within a second, because the server there watches the connection.
 *
 * The other server is not trusted: what it sends is text or bytes to check. Its messages are cut at
 * 2 KB and are valid UTF-8.
 */
#ifndef GPT_REMOTE_CONNECTION_H
#define GPT_REMOTE_CONNECTION_H

#include "libpq-fe.h"

#include "core/compat.h"

typedef struct GptRemote GptRemote;

/* A parameter of a statement. */
typedef struct GptRemoteValue
{
	Oid type; /* a built-in type's; InvalidOid: the statement says */
	const void *bytes; /* NULL: the value is NULL; a text that is not binary ends in a NUL */
	int size; /* of a binary value */
	bool is_binary; /* in the type's binary form: the bytes of a bytea as they are */
} GptRemoteValue;

/* What gpt_remote_poll sees. */
typedef enum GptRemoteState
{
	GPT_REMOTE_BUSY, /* no result yet */
	GPT_REMOTE_READY, /* the result is there, or no statement runs */
	GPT_REMOTE_LOST, /* the connection is gone: gpt_remote_message says why */
} GptRemoteState;

/*
 * A notice, warning or other message of the server while a statement runs. Called inside libpq: may
 * not raise an error, and copies what it keeps.
 */
typedef void (*GptRemoteNotice)(void *context, const char *sqlstate, const char *message);

/*
 * Connects, inside a transaction, to the foreign server of that name as the current role's user
 * mapping says. The role needs USAGE on the server. Server and mapping give the options of libpq;
 * others (fetch_size ...) are ignored. As with postgres_fdw, a role that is no superuser must have
 * authenticated by a password of the mapping, unless that says password_required 'false'. The
 * session there has application_name 'gpt', search_path pg_catalog, no time limits of its own, and
 * dates, intervals and floats in the form that any server reads. Errors name the server: 08001 if
 * there is no connection.
 */
extern GptRemote *gpt_remote_connect(const char *server);

/*
 * The same without waiting. _begin, inside a transaction, raises what gpt_remote_require raises,
 * and begins to connect. _connecting, anywhere, goes on as far as it can: GPT_REMOTE_READY once the
 * connection stands; GPT_REMOTE_LOST as soon as it cannot, at the latest after connect_timeout.
 * Until then the caller waits for gpt_remote_events of gpt_remote_socket, and uses it for nothing
 * else.
 */
extern GptRemote *gpt_remote_begin(const char *server);
extern GptRemoteState gpt_remote_connecting(GptRemote *remote);

/*
 * From now on a statement of gpt_remote_query that takes longer loses the connection; -1: none
 * does, as at first.
 */
extern void gpt_remote_limit(GptRemote *remote, int limit_ms);

/*
 * Raises what gpt_remote_connect raises before it connects: no such server, no USAGE, no mapping,
 * no password.
 */
extern void gpt_remote_require(const char *server);

/* The foreign server's name. */
extern const char *gpt_remote_name(const GptRemote *remote);

/*
 * From now on messages go to on_notice with that context; NULL: they are dropped, as at first.
 */
extern void gpt_remote_on_notice(GptRemote *remote, GptRemoteNotice on_notice, void *context);

/*
 * Runs one statement with n parameters, and waits. An error there is raised here, with its
 * SQLSTATE, and the server's name in the context. The result is text, or each column in its type's
 * binary form (_binary), and has no more than one row: a server that sends a second one, or more
 * than 64 MB, is lost. It belongs to the connection: it lives until the next statement or the end
 * of the connection, and is not cleared by the caller.
 */
extern PGresult *gpt_remote_query(GptRemote *remote, const char *sql, int n,
								  const GptRemoteValue *values);
extern PGresult *gpt_remote_query_binary(GptRemote *remote, const char *sql, int n,
										 const GptRemoteValue *values);

/*
 * The same without waiting, and without errors. _send returns false if the connection is lost, or
 * an earlier statement still runs. _poll never waits: it sends and reads what it can. If it returns
 * GPT_REMOTE_READY, *result is the result, which may be an error (gpt_remote_check raises it), or
 * NULL if nothing was sent since; the result belongs to the connection. The caller waits for
 * gpt_remote_events (WL_SOCKET_READABLE, perhaps WL_SOCKET_WRITEABLE) of gpt_remote_socket, which
 * is PGINVALID_SOCKET once the connection is lost.
 */
extern bool gpt_remote_send(GptRemote *remote, const char *sql, int n, const GptRemoteValue *values,
							bool binary);
extern GptRemoteState gpt_remote_poll(GptRemote *remote, PGresult **result);
extern int gpt_remote_socket(const GptRemote *remote);
extern uint32 gpt_remote_events(const GptRemote *remote);

/*
 * Why the connection is lost, or the message of the last result that is an error; palloc'd, one
 * line.
 */
extern const char *gpt_remote_message(const GptRemote *remote);

/* Copies a message in UTF-8 into to [size], cut before a character that does not fit. */
extern void gpt_remote_clip(char *to, const char *message, size_t size);

/* Raises the error that made the connection lost, with the server's name; its SQLSTATE. */
pg_noreturn extern void gpt_remote_raise_lost(const GptRemote *remote);
extern int gpt_remote_sqlstate(const GptRemote *remote);

/* Raises the error that a result is; returns if it is none. */
extern void gpt_remote_check(GptRemote *remote, const PGresult *result);

/*
 * The schema of the extension there, quoted for a statement; lives as long as the connection. An
 * error, which names both versions, unless it has the version of this library.
 */
extern const char *gpt_remote_schema(GptRemote *remote);

/* Closes the connection and frees it. */
extern void gpt_remote_close(GptRemote *remote);

#endif /* GPT_REMOTE_CONNECTION_H */
