/*
 * include/train/train_job.h
 *
 * The pipeline of a training job.
 */
#ifndef GPT_TRAIN_JOB_H
#define GPT_TRAIN_JOB_H

#include "store/job.h"

/*
 * Runs a claimed job from its query to the published model, whose commit also makes the job
 * 'succeeded'. Raises an error when it fails or is cancelled; the caller records that. Outside of
 * transactions, in a memory context of the job's own. leave_slot gives the job's slot of
 * gpt.max_workers to the next jobs: it is called before publishing waits for a session that may be
 * idle for days.
 */
extern void gpt_train_job_run(const GptJob *job, void (*leave_slot)(void));

#endif /* GPT_TRAIN_JOB_H */
