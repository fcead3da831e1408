/*
 * include/store/progress.h
 *
 * What a running job tells the world: its row in gpt_progress, its log, its process title. Each
 * write is a short transaction of its own, which does not wait for the disk; between two writes
 * nothing is held.
 */
#ifndef GPT_PROGRESS_H
#define GPT_PROGRESS_H

#include "utils/timestamp.h"

/* A row of gpt_train_log; NaN is NULL. */
typedef struct GptLogRow
{
	int64 step;
	double loss;
	double validation_loss;
	double validation_bits_per_byte;
	double learning_rate;
	double grad_norm;
	double tokens_per_second;
	TimestampTz at;
	char measures[320]; /* an object of JSON; empty is NULL */
} GptLogRow;

#define GPT_LOG_BATCH 64

/* The progress of a running job, and log rows that are not written yet. */
typedef struct GptProgress
{
	int64 job;
	const char *phase;
	int64 step;
	int64 steps; /* 0: not known yet */
	double loss; /* NaN: not known yet; also the following */
	double validation_loss;
	double validation_bits_per_byte;
	double tokens_per_second;
	double seconds_left;
	TimestampTz written_at;
	int n_rows; /* log rows that wait for the next write */
	GptLogRow rows[GPT_LOG_BATCH];
} GptProgress;

/*
 * Clears the struct and begins to report on a job. GPT_NO_JOB: work of a session, which only checks
 * for interrupts.
 */
#define GPT_NO_JOB 0
extern void gpt_progress_start(GptProgress *progress, int64 job);

/*
 * Sets the current phase of the job; written at once, unless a transaction is open. phase must stay
 * valid.
 */
extern void gpt_progress_phase(GptProgress *progress, const char *phase);

/*
 * Writes if the last write is about a second ago and no transaction is open, so it can be called
 * often. Raises an error if the process was asked to stop.
 */
extern void gpt_progress_tick(GptProgress *progress);

/* Keeps a log row for the next write; writes at once if no more rows fit. _flush writes now. */
extern void gpt_progress_log(GptProgress *progress, const GptLogRow *row);
extern void gpt_progress_flush(GptProgress *progress);

#endif /* GPT_PROGRESS_H */
