/*
 * src/train/publish.h
 *
 * The commit that ends a job with success.
 */
#ifndef GPT_PUBLISH_H
#define GPT_PUBLISH_H

#include "core/transaction.h"
#include "store/job.h"
#include "store/progress.h"

/*
 * Does the work, which stores what the job has made, in a transaction of its own. Where another
 * session is in the way it gives back the slot (gpt_train_job_run), waits, and tries again.
 */
extern void gpt_publish(const GptJob *job, GptWork work, void *argument, void (*leave_slot)(void),
						GptProgress *progress);

/*
 * A part of that work: the job's success, and the end of its files. Last, so that whoever sees the
 * success finds no file. Raises an error if the job was ended or asked to stop meanwhile.
 */
extern void gpt_publish_success(const GptJob *job);

#endif /* GPT_PUBLISH_H */
