/*
 * include/jobs/worker.h
 *
 * The process that runs one training job: connect, claim, run the pipeline, record how it ended,
 * exit.
 */
#ifndef GPT_WORKER_H
#define GPT_WORKER_H

#define GPT_LIBRARY "$libdir/gpt" /* bgw_library_name */
#define GPT_WORKER_TYPE "gpt trainer" /* bgw_type, as pg_stat_activity shows it */

/* Main function of a worker, which gets its job in bgw_extra; the argument is not used. */
extern PGDLLEXPORT void gpt_worker_main(Datum argument);

#endif /* GPT_WORKER_H */
