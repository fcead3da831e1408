/*
 * include/jobs/launcher.h
 *
 * The launcher: with shared_preload_libraries = 'gpt', a process that starts the jobs which a
 * server restart left behind or which found no free worker. It is connected to no database; a
 * short-lived starter looks into one database after another. Without preload none of this exists
 * and the functions below do nothing.
 */
#ifndef GPT_LAUNCHER_H
#define GPT_LAUNCHER_H

#include "jobs/job_launch.h"

/*
 * From _PG_init: registers the launcher and its shared memory while the server preloads libraries.
 */
extern void gpt_launcher_init(void);

/* Whether a launcher runs that will start jobs by itself. */
extern bool gpt_launcher_present(void);

/*
 * Asks for a visit of a database, InvalidOid for no more than a look whether somebody waits; never
 * fails.
 */
extern void gpt_launcher_request(Oid database);

/*
 * Gives the launcher a worker to register when there is a place: the caller may hold the last one.
 * Never fails. Without a launcher nothing happens.
 */
extern void gpt_launcher_hand_over(const GptJobTicket *ticket);

/*
 * Hands a job whose worker could not connect to a starter, which can, and which writes the reason
 * into the job's row. May be called while the process exits.
 */
extern void gpt_launcher_report_connection(Oid database, int64 job);

/* Entry points of the two processes. */
extern PGDLLEXPORT void gpt_launcher_main(Datum argument);
extern PGDLLEXPORT void gpt_starter_main(Datum argument);

#endif /* GPT_LAUNCHER_H */
