/*
 * include/store/job_server.h
 *
 * The servers of a job that trains on several: their rows in gpt_job_server, written by the job's
 * worker alone. All functions are called inside a transaction.
 */
#ifndef GPT_JOB_SERVER_H
#define GPT_JOB_SERVER_H

#include "utils/timestamp.h"

/* The states of a member. */
typedef enum GptServerState
{
	GPT_SERVER_JOINING,
	GPT_SERVER_TRAINING,
	GPT_SERVER_LOST,
	GPT_SERVER_ENDED,
} GptServerState;

/* The word of a state, as in the table. */
extern const char *gpt_server_state_name(GptServerState state);

/* A row. */
typedef struct GptJobServer
{
	int member; /* 0: where the job runs */
	const char *server; /* name of the foreign server; NULL: where the job runs */
	GptServerState state;
	int64 step; /* that it has reached */
	double steps_per_second; /* NaN: not known yet; also the next */
	double waiting_share;
	int epoch; /* of the membership in which it was last */
	const char *error; /* why it was lost last; NULL: it never was */
	TimestampTz seen_at; /* 0: never */
} GptJobServer;

/* Inserts or replaces the row of a member. */
extern void gpt_job_server_set(int64 job, const GptJobServer *server);

/* Removes the rows of members from that number on. */
extern void gpt_job_server_remove(int64 job, int first);

/* The last epoch of the job's membership; 0 if there was none. */
extern int gpt_job_server_epoch(int64 job);

#endif /* GPT_JOB_SERVER_H */
