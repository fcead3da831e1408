/*
 * include/jobs/worker.h
 *
 * The process that runs one training job: connect, claim, run the pipeline, record how it ended,
 * exit.
 */
#ifndef GPT_WORKER_H
#define GPT_WORKER_H

#define GPT_LIBRARY "$libdir/gpt"
#define GPT_WORKER_TYPE "gpt trainer"

extern PGDLLEXPORT void gpt_worker_main(Datum argument);

#endif /* GPT_WORKER_H */
