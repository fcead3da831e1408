/*
 * include/jobs/maintainer.h
 *
 * The process that fills the maintained columns of a role, and follows the changes of their tables.
 */
#ifndef GPT_MAINTAINER_H
#define GPT_MAINTAINER_H

#define GPT_MAINTAINER_TYPE "gpt maintainer" /* bgw_type, as pg_stat_activity shows it */

/* For how long a worker, at least, tries to take the lock of its role. */
#define GPT_MAINTAINER_TRIES_MS 100

/* Main function of a worker, which gets its role in bgw_extra; the argument is not used. */
extern PGDLLEXPORT void gpt_maintainer_main(Datum argument);

#endif /* GPT_MAINTAINER_H */
