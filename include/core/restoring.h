/*
 * include/core/restoring.h
 *
 * Whether a session restores a dump, and what it should know then.
 */
#ifndef GPT_RESTORING_H
#define GPT_RESTORING_H

/* The name that sessions of pg_restore bear. */
#define GPT_RESTORE_PROGRAM "pg_restore"

/* Whether this is a session of pg_restore. */
extern bool gpt_restoring(void);

/*
 * What to do if a model is missing or its object is empty, of the form of errhint. NULL: neither
 * pg_restore nor COPY runs in this session, so it does not restore a dump.
 */
extern const char *gpt_restoring_hint(void);

#endif /* GPT_RESTORING_H */
