/*
 * src/jobs/announce.h
 *
 * Tells listeners the state of a job.
 */
#ifndef GPT_ANNOUNCE_H
#define GPT_ANNOUNCE_H

#include "store/job.h"

/*
 * In a transaction of its own. A failure is logged: a full queue must keep no job from its end, nor
 * the next one from its start.
 */
extern void gpt_job_announce(int64 job, GptJobState state);

#endif /* GPT_ANNOUNCE_H */
