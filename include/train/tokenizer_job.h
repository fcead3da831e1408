/*
 * include/train/tokenizer_job.h
 *
 * The pipeline of a job of gpt_train_tokenizer.
 */
#ifndef GPT_TOKENIZER_JOB_H
#define GPT_TOKENIZER_JOB_H

#include "store/job.h"

/*
 * Runs a claimed job from its query to the named tokenizer, as gpt_train_job_run (train_job.h) does
 * to the published model. It has no checkpoint: a job that was interrupted begins anew.
 */
extern void gpt_tokenizer_job_run(const GptJob *job, void (*leave_slot)(void));

#endif /* GPT_TOKENIZER_JOB_H */
