/*
 * include/jobs/worker.h
 *
 * The process that runs one training job: connect, claim, run the pipeline, record how it ended,
 * exit.
 */
#ifndef GPT_WORKER_H
#define GPT_WORKER_H

#include "store/job.h"
#include "utils/resowner.h"

#define GPT_LIBRARY "$libdir/gpt"
#define GPT_WORKER_TYPE "gpt trainer"

extern PGDLLEXPORT void gpt_worker_main(Datum argument);

/*
 * For the pipeline. _begin starts a transaction that does what the extension needs whatever the
 * role's settings say: READ COMMITTED, writable, with an active snapshot. _commit ends it. Memory
 * context and resource owner are as before afterwards.
 */
typedef enum GptCommit
{
	GPT_COMMIT_ASYNC, /* waits for nothing */
	/* waits for the disk, but not for standbys: training goes on while one is missing */
	GPT_COMMIT_LOCAL,
	GPT_COMMIT_FULL, /* as the server is set up */
} GptCommit;

typedef struct GptWorkerTransaction
{
	MemoryContext context;
	ResourceOwner owner;
} GptWorkerTransaction;

extern void gpt_worker_begin(GptWorkerTransaction *transaction, GptCommit commit);
extern void gpt_worker_commit(GptWorkerTransaction *transaction);

/*
 * Does the work in a transaction of its own, unless another session stands in the way: false, and
 * nothing is done, where it holds a lock for longer than that (0: it is waited for), or a deadlock
 * or serialization failure ends the transaction. Other errors are raised.
 */
extern bool gpt_worker_try(GptCommit commit, int wait_ms, void (*work)(void *argument),
						   void *argument);

/*
 * Tells listeners, in a transaction of its own. What fails is logged: a full queue must keep no job
 * from its end, nor the next one from its start.
 */
extern void gpt_worker_notify(int64 job, GptJobState state);

/*
 * Gives the slot of this job to the next ones: before it waits for a session that may be idle for
 * days.
 */
extern void gpt_worker_leave_slot(void);

/*
 * An error when the process was asked to stop, also where the user's query swallowed the first
 * request.
 */
extern void gpt_worker_check_stop(void);

/*
 * Around the query of the user: cancels it after gpt.read_timeout, and ends the process when it
 * does not let itself be cancelled. (statement_timeout does not work in a background worker.)
 */
extern void gpt_worker_arm_timeout(void);
extern void gpt_worker_disarm_timeout(void);

#endif /* GPT_WORKER_H */
