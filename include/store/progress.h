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
} GptLogRow;

#define GPT_LOG_BATCH 64

typedef struct GptProgress
{
	int64 job;
	const char *phase;
	int64 step;
	int64 steps; /* 0: not yet known */
	double loss; /* NaN: not yet known; so are the following */
	double validation_loss;
	double validation_bits_per_byte;
	double tokens_per_second;
	double seconds_left;
	TimestampTz written_at;
	int n_rows; /* log rows that wait for the next write */
	GptLogRow rows[GPT_LOG_BATCH];
} GptProgress;

extern void gpt_progress_start(GptProgress *progress, int64 job);

/* Says what the job does now; written at once, unless a transaction is open. */
extern void gpt_progress_phase(GptProgress *progress, const char *phase);

/*
 * Cheap: writes when the last write is about a second ago, unless a transaction is open. Also asks
 * whether to stop.
 */
extern void gpt_progress_tick(GptProgress *progress);

/* The row is written with the next write; when no more fit, at once. */
extern void gpt_progress_log(GptProgress *progress, const GptLogRow *row);
extern void gpt_progress_flush(GptProgress *progress);

#endif /* GPT_PROGRESS_H */
