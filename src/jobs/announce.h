/*
 * src/jobs/announce.h
 *
 * Tells listeners the state of a job.
 */
#ifndef GPT_ANNOUNCE_H
#define GPT_ANNOUNCE_H

#include "store/job.h"

/*
 * Sends the notification of a job's state in a transaction of its own. A failure is only logged: a
 * full queue must not keep a job from its end, nor the next job from its start.
 */
extern void gpt_job_announce(int64 job, GptJobState state);

#endif /* GPT_ANNOUNCE_H */
