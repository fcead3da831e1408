/*
 * src/train/train_clock.c
 *
 * Times go in; how much of the time of a job is left comes out.
 *
 *   | reading, tokens, choosing | steps and validations ... | last validation | publication |
 *   job_started_at              started_at                          ends_at       + total
 */
#include "postgres.h"

#include <math.h>

#include "train/train_clock.h"

#define LEAST_SHARE 0.05 /* of the time, for training, however long the reading took */
#define PUBLICATION_TIME 200000 /* of a version, and for each byte ... */
/* ... bytes in a microsecond: large object, hash, write-ahead log */
#define PUBLICATION_SPEED 40.0
#define MOST_PUBLICATION 0.3 /* of the time */
#define GRACE 0.02 /* of the time, for a step that has become slower than those before */
#define NEW_STEP 0.2 /* weight of the last step in the average */

void
gpt_train_clock_start(GptTrainClock *clock, int64 total, TimestampTz job_started_at, int64 trained,
					  uint64 size)
{
	double publication = Min(PUBLICATION_TIME + (double) size / PUBLICATION_SPEED,
							 MOST_PUBLICATION * (double) total);

	MemSet(clock, 0, sizeof(GptTrainClock));
	clock->total = total;
	clock->job_started_at = job_started_at;
	clock->started_at = GetCurrentTimestamp() - trained;
	clock->ends_at = Max(job_started_at + total - (int64) publication,
						 clock->started_at + (int64) (LEAST_SHARE * (double) total));
}

void
gpt_train_clock_count_step(GptTrainClock *clock, int64 took)
{
	clock->step = clock->step == 0
					  ? took
					  : (int64) ((1 - NEW_STEP) * (double) clock->step + NEW_STEP * (double) took);
}

void
gpt_train_clock_count_validation(GptTrainClock *clock, int64 took)
{
	clock->validation = took;
}

double
gpt_train_clock_share(const GptTrainClock *clock)
{
	double share = (double) (GetCurrentTimestamp() - clock->started_at) /
				   (double) Max(clock->ends_at - clock->validation - clock->started_at, 1);

	return fmax(0, fmin(share, 1));
}

bool
gpt_train_clock_is_over(const GptTrainClock *clock)
{
	return clock->total > 0 &&
		   GetCurrentTimestamp() + clock->step / 2 + clock->validation >= clock->ends_at;
}

TimestampTz
gpt_train_clock_deadline(const GptTrainClock *clock)
{
	return clock->ends_at - clock->validation + (int64) (GRACE * (double) clock->total);
}
