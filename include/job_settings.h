/*
 * include/job_settings.h
 *
 * Settings of the session that submits a job, kept in the job's row and applied in its worker, so that the
 * query means there what it meant here.
 */
#ifndef GPT_JOB_SETTINGS_H
#define GPT_JOB_SETTINGS_H

#include "utils/jsonb.h"

/* search_path (without pg_temp), time zone and styles, row_security, and the limits of gpt; palloc'd. */
extern Jsonb *gpt_job_settings_capture(void);
extern void gpt_job_settings_apply(Jsonb *settings);

#endif /* GPT_JOB_SETTINGS_H */
