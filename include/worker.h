/*
 * include/worker.h
 *
 * The process that runs one training job: connect, claim, run the pipeline, record how it ended, exit.
 */
#ifndef GPT_WORKER_H
#define GPT_WORKER_H

#include "job.h"
#include "utils/resowner.h"

#define GPT_LIBRARY "$libdir/gpt"
#define GPT_WORKER_TYPE "gpt trainer"

extern PGDLLEXPORT void gpt_worker_main(Datum argument);

/*
 * For the pipeline. _begin starts a transaction that does what the extension needs whatever the role's
 * settings say: READ COMMITTED, writable, with an active snapshot. _commit ends it. Memory context and resource owner are as before afterwards.
 */
typedef enum GptCommit
{
	GPT_COMMIT_ASYNC, /* waits for nothing */
	GPT_COMMIT_LOCAL, /* waits for the disk, but not for standbys: training goes on while one is missing */
	GPT_COMMIT_FULL, /* as the server is set up */
} GptCommit;

typedef struct GptWorkerTransaction
{
	MemoryContext context;
	ResourceOwner owner;
} GptWorkerTransaction;

extern void gpt_worker_begin(GptWorkerTransaction *transaction, GptCommit commit);
extern void gpt_worker_commit(GptWorkerTransaction *transaction);

/* An error when the process was asked to stop, also where the user's query swallowed the first request. */
extern void gpt_worker_check_stop(void);

/*
 * Around the query of the user: cancels it after gpt.read_timeout, and ends the process when it does not let
 * itself be cancelled. (statement_timeout does not work in a background worker.)
 */
extern void gpt_worker_arm_timeout(void);
extern void gpt_worker_disarm_timeout(void);

#endif /* GPT_WORKER_H */
