/*
 * src/jobs/starter.h
 *
 * A starter: a short-lived worker that looks into one database as the bootstrap superuser and
 * launches the jobs that wait there, or says in a job's row why its worker could not connect.
 */
#ifndef GPT_STARTER_H
#define GPT_STARTER_H

#include "postmaster/bgworker.h"

/* The message that a starter gets at its start, in bgw_extra. */
typedef struct GptStarterTicket
{
	Oid database;
	pid_t notify_pid; /* gets a signal when the starter starts and ends; 0: none */
	bool cut_off; /* also the jobs that a restart of the server cut off */
	int64 refused_job; /* only this job, whose worker could not connect; 0: look for jobs */
	Oid refused_owner; /* the same of the worker that maintains columns of a role */
} GptStarterTicket;

/* Registers a starter; NULL if max_worker_processes is exhausted. */
extern BackgroundWorkerHandle *gpt_starter_launch(const GptStarterTicket *ticket);

#endif /* GPT_STARTER_H */
