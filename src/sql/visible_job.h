/*
 * src/sql/visible_job.h
 *
 * The jobs that the current role may see: those of roles whose privileges it has.
 */
#ifndef GPT_VISIBLE_JOB_H
#define GPT_VISIBLE_JOB_H

#include "fmgr.h"

#include "store/job.h"

/* A job by its number, palloc'd; an error where the current role may not see it. */
extern GptJob *gpt_visible_job(int64 number);

/*
 * The number of the newest job of a model, or else of a tokenizer, of that name. A name of digits
 * that no job has is the number of a job, so that a literal in quotes is one. Errors: there is no
 * such job, or the name is of a version.
 */
extern int64 gpt_visible_job_of(const char *name);

/*
 * The number of the job that the first argument of a call means: job bigint or model text. Errors:
 * NULL, and those of _of.
 */
extern int64 gpt_visible_job_argument(FunctionCallInfo fcinfo);

/* Raises an error if the job is of another database or cluster. */
extern void gpt_visible_job_check_local(const GptJob *job);

extern bool gpt_visible_job_has_ended(const GptJob *job);

#endif /* GPT_VISIBLE_JOB_H */
