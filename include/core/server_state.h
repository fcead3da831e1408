/*
 * include/core/server_state.h
 *
 * What a background worker cannot learn from its signals: SIGTERM means the same from
 * pg_terminate_backend and from a server that stops. And what tells a database from all others.
 */
#ifndef GPT_SERVER_STATE_H
#define GPT_SERVER_STATE_H

/*
 * Whether the server is stopping. The eighth line of postmaster.pid says so before child processes
 * get a signal.
 */
extern bool gpt_server_is_stopping(void);

/*
 * A text that is the same in all sessions of this database, and in no other one: a copy of a
 * cluster has its system identifier, but has not started at the same microsecond. palloc'd.
 */
extern char *gpt_server_place(void);

#endif /* GPT_SERVER_STATE_H */
