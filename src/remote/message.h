/*
 * src/remote/message.h
 *
 * What another server, or libpq, says, as messages of this one.
 */
#ifndef GPT_REMOTE_MESSAGE_H
#define GPT_REMOTE_MESSAGE_H

#include "libpq-fe.h"

#include "core/compat.h"

/* A copy without line ends at its end, at most 2 KB, valid in the database's encoding; palloc'd. */
extern char *gpt_remote_clean(const char *message);

/* A result's error in one line, without severity and hint; palloc'd. */
extern char *gpt_remote_summary(const PGresult *result);

/* Raises a result that is an error, or none that a statement can have. */
pg_noreturn extern void gpt_remote_raise(const char *server, const PGresult *result);

#endif /* GPT_REMOTE_MESSAGE_H */
