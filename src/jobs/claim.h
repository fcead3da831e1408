/*
 * src/jobs/claim.h
 *
 * Who runs a job, and which one is next (src/jobs/claim.c). For the worker, outside of
 * transactions.
 */
#ifndef GPT_CLAIM_H
#define GPT_CLAIM_H

#include "jobs/job_launch.h"
#include "store/job.h"

/*
 * The job, claimed, in the current memory context; NULL when there is nothing to do for this
 * process. May wait.
 */
extern GptJob *gpt_claim_job(const GptJobTicket *wanted);

/* Gives back the slot alone, and starts the next jobs: this one goes on without, to its end. */
extern void gpt_claim_leave_slot(void);

/* Gives back the locks of the job that has ended, and starts the next jobs of this database. */
extern void gpt_claim_start_next(const GptJobTicket *ended);

#endif /* GPT_CLAIM_H */
