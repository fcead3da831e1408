/*
 * include/jobs/launcher.h
 *
 * The launcher: with shared_preload_libraries = 'gpt', a process that starts the jobs which a
 * restart of the server interrupted or which found no free worker. It connects to no database; a
 * short-lived starter looks into one database after another. Without preload there is no launcher,
 * and the functions below do nothing.
 */
#ifndef GPT_LAUNCHER_H
#define GPT_LAUNCHER_H

#include "jobs/job_launch.h"

/*
 * Called by _PG_init: if the server is preloading libraries, registers the launcher and its shared
 * memory.
 */
extern void gpt_launcher_init(void);

/* Whether the launcher runs, which starts waiting jobs by itself. */
extern bool gpt_launcher_present(void);

/*
 * Asks the launcher to visit a database; InvalidOid: only to check whether jobs wait. Raises no
 * error.
 */
extern void gpt_launcher_request(Oid database);

/*
 * Leaves a worker to the launcher, which registers it as soon as there is a place; the caller may
 * hold the last one. Raises no error; without a launcher nothing happens.
 */
extern void gpt_launcher_hand_over(const GptJobTicket *ticket);

/*
 * A starter gets a job whose worker could not connect: it can connect, and writes the reason into
 * the job's row. May be called while the process exits.
 */
extern void gpt_launcher_report_connection(Oid database, int64 job);

/* The same for the worker that maintains the columns of a role. */
extern void gpt_launcher_report_owner(Oid database, Oid owner);

/* Main functions of the two processes; the argument is not used. */
extern PGDLLEXPORT void gpt_launcher_main(Datum argument);
extern PGDLLEXPORT void gpt_starter_main(Datum argument);

#endif /* GPT_LAUNCHER_H */
