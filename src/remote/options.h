/*
 * src/remote/options.h
 *
 * The options of libpq that a foreign server and a user mapping give (include/remote/connection.h).
 */
#ifndef GPT_REMOTE_OPTIONS_H
#define GPT_REMOTE_OPTIONS_H

typedef struct GptRemoteOptions
{
	const char **keywords; /* for PQconnectStartParams; NULL ends them */
	const char **values;
	bool needs_password; /* the role must authenticate by a password */
	int timeout_ms; /* for connecting: connect_timeout for each host, or 10 s */
} GptRemoteOptions;

/*
 * The options of that foreign server for the current role; palloc'd. Checks USAGE, the kind of the
 * server, and that the mapping has a password where the role needs one.
 */
extern void gpt_remote_options(GptRemoteOptions *options, const char *server);

#endif /* GPT_REMOTE_OPTIONS_H */
