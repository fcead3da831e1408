/*
 * include/jobs/job_launch.h
 *
 * Starts the worker of a job: at the commit of the transaction that submits it, or at once.
 */
#ifndef GPT_JOB_LAUNCH_H
#define GPT_JOB_LAUNCH_H

#include "utils/uuid.h"

/* The message to a worker at its start, in bgw_extra. */
typedef struct GptJobTicket
{
	int64 job;
	pg_uuid_t run_id;
	Oid database;
	Oid owner;
} GptJobTicket;

/*
 * When the current transaction commits, a worker is started; nothing happens when it, or the
 * subtransaction, rolls back.
 */
extern void gpt_job_launch_at_commit(const GptJobTicket *ticket);

/* When the current transaction, or the subtransaction, rolls back. */
extern void gpt_job_launch_at_abort(const GptJobTicket *ticket);

/* Whether the current transaction is about to launch the job. */
extern bool gpt_job_launch_pending(int64 job);

/*
 * Registers a worker at once; false when max_worker_processes is exhausted. Does not raise errors.
 */
extern bool gpt_job_launch(const GptJobTicket *ticket);

/*
 * Whether this session registered a worker for the job that has not ended, or tried to and found no
 * place.
 */
typedef enum GptLaunchState
{
	GPT_LAUNCH_NOT_OURS,
	GPT_LAUNCH_ALIVE,
	GPT_LAUNCH_ENDED,
	GPT_LAUNCH_NO_PLACE,
} GptLaunchState;

extern GptLaunchState gpt_job_launch_state(int64 job);

#endif /* GPT_JOB_LAUNCH_H */
