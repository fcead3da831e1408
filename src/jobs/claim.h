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
#include "train/job_slot.h"

/*
 * Claims the job of the ticket, with its lock and a slot, and returns it in the current memory
 * context. NULL if this process has nothing to do: another one runs the job, or it must wait for an
 * earlier job of the same model. May wait for a slot.
 */
extern GptJob *gpt_claim_job(const GptJobTicket *wanted);

/*
 * Gives back only the slot, and starts the next jobs; this job continues to its end without a slot.
 */
extern void gpt_claim_leave_slot(void);

/* The slot of the job that this process has claimed. */
extern const GptJobSlot gpt_claim_slot;

/* Gives back the locks of the job that has ended, and starts the next jobs of this database. */
extern void gpt_claim_start_next(const GptJobTicket *ended);

#endif /* GPT_CLAIM_H */
