/*
 * include/jobs/job_settings.h
 *
 * Settings of the session that submits a job, kept in the job's row and applied in its worker, so
 * that the query means there what it meant here.
 */
#ifndef GPT_JOB_SETTINGS_H
#define GPT_JOB_SETTINGS_H

#include "utils/jsonb.h"

/*
 * Every setting that the session has changed, or that the role's own would change in the worker,
 * custom ones among them, but for time-outs, what concerns the client, the log and the server, and
 * the temporary schema in search_path; and the limits of gpt; palloc'd. Error where the current
 * role, as which the worker connects, may not have the session's value there.
 */
extern Jsonb *gpt_job_settings_capture(void);

/*
 * In the worker, for the rest of the process. Error for a value that is not, or no longer, possible
 * or permitted.
 */
extern void gpt_job_settings_apply(Jsonb *settings);

#endif /* GPT_JOB_SETTINGS_H */
