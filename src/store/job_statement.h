/*
 * src/store/job_statement.h
 *
 * Statements on the row of one job, whose number is the first parameter.
 */
#ifndef GPT_JOB_STATEMENT_H
#define GPT_JOB_STATEMENT_H

#include "core/statement.h"

/* Begins a statement with $1 = job; _add sets $1 for a further run of it. */
extern void gpt_job_statement_begin(GptStatement *statement, int64 job);
extern void gpt_job_statement_add(GptStatement *statement, int64 job);

#endif /* GPT_JOB_STATEMENT_H */
