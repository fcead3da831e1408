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
 * The settings that a job takes from the session that submits it, palloc'd: those that the session
 * has changed or that the role's own settings would change in the worker, custom ones included, and
 * the limits of gpt. Left out are time-outs, settings of the client, the log and the server, and
 * the temporary schema in search_path. Raises an error if the current role, as which the worker
 * connects, may not set the session's value.
 */
extern Jsonb *gpt_job_settings_capture(void);

/*
 * Called in the worker: sets them for the rest of the process. Raises an error for a value that is
 * not, or no longer, valid or permitted.
 */
extern void gpt_job_settings_apply(Jsonb *settings);

/* Inside a transaction: sets them until its end. */
extern void gpt_job_settings_apply_local(Jsonb *settings);

/* The same on another server, whose own limits of gpt stay. */
extern void gpt_job_settings_apply_elsewhere(Jsonb *settings);

#endif /* GPT_JOB_SETTINGS_H */
