/*
 * include/train/train_estimate.h
 *
 * What a training on the rows of a query would find and choose.
 */
#ifndef GPT_TRAIN_ESTIMATE_H
#define GPT_TRAIN_ESTIMATE_H

#include "core/options.h"

/*
 * Reads the rows as gpt_train would, under the active snapshot, in the current transaction and in a
 * memory context that the caller deletes soon, which ends the threads that it has started; the
 * options are those of gpt_train, checked. Raises the errors that would end such a job.
 */
extern Jsonb *gpt_train_estimate(const char *query, const GptTrainOptions *options);

#endif /* GPT_TRAIN_ESTIMATE_H */
