/*
 * src/train/publish.c
 *
 * What a job has made goes in; one commit makes it visible, with the job's success.
 */
#include "postgres.h"

#include "core/stop.h"
#include "store/run_files.h"
#include "train/publish.h"

#define LOCK_WAIT_MS 1000 /* to publish, with the slot */

/*
 * An idle session that has changed the model, or uses the name, can hold its lock for days. The
 * slot is given back before, so that no other job waits for that.
 */
void
gpt_publish(const GptJob *job, GptWork work, void *argument, void (*leave_slot)(void),
			GptProgress *progress)
{
	bool published =
		gpt_transaction_try(job->number, GPT_COMMIT_FULL, LOCK_WAIT_MS, work, argument);

	if (!published)
	{
		leave_slot();
		gpt_progress_phase(progress, "waiting to publish");
	}
	while (!published)
	{
		gpt_stop_check();
		published = gpt_transaction_try(job->number, GPT_COMMIT_FULL, 0, work, argument);
	}
}

void
gpt_publish_success(const GptJob *job)
{
	if (!gpt_job_end(job->number, GPT_JOB_SUCCEEDED, NULL))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("job " INT64_FORMAT " was ended by another process", job->number)));
	gpt_stop_check();

	/* A commit that fails is a failed job, without files. */
	gpt_run_files_remove(&job->run_id);
}
