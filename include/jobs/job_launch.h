/*
 * include/jobs/job_launch.h
 *
 * Starts the worker of a job: at the commit of the transaction that submits it, or at once.
 */
#ifndef GPT_JOB_LAUNCH_H
#define GPT_JOB_LAUNCH_H

#include "utils/uuid.h"

/* The message that a worker gets at its start, in bgw_extra. */
typedef struct GptJobTicket
{
	int64 job;
	pg_uuid_t run_id;
	Oid database;
	Oid owner;
} GptJobTicket;

/*
 * Starts a worker when the current transaction commits; nothing happens if it, or the
 * subtransaction, rolls back.
 */
extern void gpt_job_launch_at_commit(const GptJobTicket *ticket);

/* Starts a worker when the current transaction, or the subtransaction, rolls back. */
extern void gpt_job_launch_at_abort(const GptJobTicket *ticket);

/* Whether the current transaction will launch the job when it commits. */
extern bool gpt_job_launch_pending(int64 job);

/* Registers a worker at once; false if max_worker_processes is exhausted. Raises no error. */
extern bool gpt_job_launch(const GptJobTicket *ticket);

/*
 * The worker of a job as far as this session knows: NOT_OURS, if another process registered it;
 * ALIVE, until it ends; NO_PLACE, if max_worker_processes was exhausted.
 */
typedef enum GptLaunchState
{
	GPT_LAUNCH_NOT_OURS,
	GPT_LAUNCH_ALIVE,
	GPT_LAUNCH_ENDED,
	GPT_LAUNCH_NO_PLACE,
} GptLaunchState;

/* Asks the server for the state of the last worker that this session registered for the job. */
extern GptLaunchState gpt_job_launch_state(int64 job);

#endif /* GPT_JOB_LAUNCH_H */
