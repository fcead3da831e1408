/*
 * include/train/train_job.h
 *
 * The pipeline of a training job.
 */
#ifndef GPT_TRAIN_JOB_H
#define GPT_TRAIN_JOB_H

#include "store/job.h"
#include "train/job_slot.h"

/*
 * Runs a claimed job from its query to the published model; the commit of the model also sets the
 * job to 'succeeded'. Raises an error if the job fails or is cancelled; the caller records it.
 * Outside of transactions, in a memory context of the job's own. The slot is left before publishing
 * waits for another session, which may be idle for days, and lent while servers have none free.
 */
extern void gpt_train_job_run(const GptJob *job, const GptJobSlot *slot);

#endif /* GPT_TRAIN_JOB_H */
