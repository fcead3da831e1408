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

/* All times are microseconds, as in TimestampTz. */
typedef struct GptTrainClock
{
	int64 total; /* 0: time ends nothing, and the rest means nothing */
	TimestampTz job_started_at; /* as if there had been no interruption */
	TimestampTz started_at; /* of training, likewise */
	TimestampTz ends_at; /* of training with its last validation */
	int64 step; /* what a step takes, on average of the last ones */
	int64 validation; /* what the last one took */
} GptTrainClock;

/*
 * trained: time that earlier tries spent in training, until their last checkpoint. size: bytes of
 * the version to be published.
 */
extern void gpt_train_clock_start(GptTrainClock *clock, int64 total, TimestampTz job_started_at,
								  int64 trained, uint64 size);

extern void gpt_train_clock_count_step(GptTrainClock *clock, int64 took);
extern void gpt_train_clock_count_validation(GptTrainClock *clock, int64 took);

/* The part of the time for training that has passed, 0 to 1. */
extern double gpt_train_clock_share(const GptTrainClock *clock);

/* Whether the training ends nearer to its time without another step than with it. */
extern bool gpt_train_clock_is_over(const GptTrainClock *clock);

/* When a step that is still being made is given up. */
extern TimestampTz gpt_train_clock_deadline(const GptTrainClock *clock);

#endif /* GPT_TRAIN_CLOCK_H */
