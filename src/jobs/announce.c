/*
 * src/jobs/announce.c
 *
 * A job's new state goes in, a notification to its listeners comes out.
 */
#include "postgres.h"

#include "core/transaction.h"
#include "jobs/announce.h"

#define NOTIFY_WAIT_MS 5000 /* for another process that sends a notification */

typedef struct Notification
{
	int64 job;
	GptJobState state;
} Notification;

static void
notify(void *argument)
{
	const Notification *notification = argument;

	gpt_job_notify(notification->job, notification->state);
}

static bool
is_any_failure(const ErrorData *error)
{
	return true;
}

void
gpt_job_announce(int64 job, GptJobState state)
{
	Notification notification = {job, state};
	ErrorData *failure = gpt_transaction_attempt(GPT_COMMIT_ASYNC, NOTIFY_WAIT_MS, notify,
												 &notification, is_any_failure);

	if (failure == NULL)
		return;
	ereport(LOG,
			(errmsg("could not notify of job " INT64_FORMAT " of gpt: %s", job, failure->message)));
	FreeErrorData(failure);
}
