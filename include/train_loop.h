/*
 * include/train_loop.h
 *
 * The training itself: steps, validation, the best weights; and the timing of steps for the plan.
 */
#ifndef GPT_TRAIN_LOOP_H
#define GPT_TRAIN_LOOP_H

#include "corpus.h"
#include "engine/trainer.h"
#include "progress.h"
#include "train_plan.h"

/* What came out; the trainer holds the weights of the last step. */
typedef struct GptTrainResult
{
	LmTrainer *trainer;
	float *best; /* weights of the best validation, or NULL: publish the trainer's */
	int64 steps; /* done */
	bool ended_early; /* by patience */
	double loss; /* of the weights to publish; NaN: none */
	double validation_loss;
	double validation_bits_per_byte;
	double tokens_per_second;
} GptTrainResult;

/* Runs the plan. Everything lives in the current context and the engine. Outside of transactions. */
extern void gpt_train_run(GptTrainResult *result, const GptTrainPlan *plan, const GptCorpus *corpus, GptProgress *progress);
extern void gpt_train_free(GptTrainResult *result);

/* Predictions in a step of the plan's batches, on average: windows do not fill a batch exactly. */
extern double gpt_train_step_tokens(const GptTrainPlan *plan, const GptCorpus *corpus);

/* Seconds of a step, from at most that many steps or that long, at least two; their weights are thrown away. */
extern double gpt_train_time_step(const GptTrainPlan *plan, const GptCorpus *corpus, int most_steps, double most_seconds,
								  GptProgress *progress);

#endif /* GPT_TRAIN_LOOP_H */
