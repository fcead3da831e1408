/*
 * src/train/train_clock.h
 *
 * The time that a job may take, where time ends it: from its claim to its published version,
 * earlier tries included. Training ends so early that its last validation and the publication end
 * in time; how far it has come decides the learning rate.
 */
#ifndef GPT_TRAIN_CLOCK_H
#define GPT_TRAIN_CLOCK_H

#include "utils/timestamp.h"

/* The time of a training. All times are in microseconds, as in TimestampTz. */
typedef struct GptTrainClock
{
	int64 total; /* 0: no time limit, and the rest is not used */
	TimestampTz job_started_at; /* as if there had been no interruption */
	TimestampTz started_at; /* of training, likewise */
	TimestampTz ends_at; /* of training with its last validation */
	int64 step; /* average duration of recent steps */
	int64 validation; /* duration of the last validation */
} GptTrainClock;

/*
 * trained: time that earlier tries spent in training, up to their last checkpoint. size: bytes of
 * the version that will be published.
 */
extern void gpt_train_clock_start(GptTrainClock *clock, int64 total, TimestampTz job_started_at,
								  int64 trained, uint64 size);

/* Note the duration of a step or a validation. */
extern void gpt_train_clock_count_step(GptTrainClock *clock, int64 took);
extern void gpt_train_clock_count_validation(GptTrainClock *clock, int64 took);

/* The share of the training time that has passed, from 0 to 1. */
extern double gpt_train_clock_share(const GptTrainClock *clock);

/* Whether stopping now ends nearer to the time limit than one more step. */
extern bool gpt_train_clock_is_over(const GptTrainClock *clock);

/* The time at which an unfinished step is given up. */
extern TimestampTz gpt_train_clock_deadline(const GptTrainClock *clock);

#endif /* GPT_TRAIN_CLOCK_H */
