/*
 * include/train/train_loop.h
 *
 * The training itself: steps, validation, the best weights; and the timing of steps for the plan.
 */
#ifndef GPT_TRAIN_LOOP_H
#define GPT_TRAIN_LOOP_H

#include "corpus/corpus.h"
#include "engine/loss_sample.h"
#include "engine/trainer.h"
#include "store/progress.h"
#include "train/train_plan.h"

/*
 * Everything that the rest of a training depends on besides weights, moments, plan and corpus:
 * plain bytes.
 */
typedef struct GptTrainState
{
	int64 step; /* done */
	LmCursor cursor;
	LmStepResult last;
	double loss_sum; /* since the last row of the log */
	int64 loss_steps;
	int64 tokens; /* since then */
	/* of losses since the last multiple of the validation interval: no matter of time */
	double window_sum;
	int64 window_steps;
	int64 all_tokens;
	int64 microseconds; /* of training */
	int64 used_time; /* microseconds of the job, from its claim on */
	double best_loss;
	int64 best_step;
	double best_window_loss; /* of training, at that step */
	LmLossSample best_sample; /* of the validation, at that step */
	int64 overfit_since; /* best_step, once the losses have parted; 0: they have not */
	int64 worse; /* validations since the best */
	LmLossSample sample; /* of the last validation */
	double validation_loss;
	double validation_bits_per_byte;
	bool has_best; /* weights have been put aside; the following are theirs */
	double best_training_loss;
	double best_validation_loss;
	double best_bits_per_byte;
} GptTrainState;

/* Where a training begins, and what it leaves on its way. Any may be NULL. */
typedef struct GptTrainHooks
{
	void *context;

	/*
	 * Sets weights, moments and state, which are those of the beginning before; allocates *best
	 * when the state has one.
	 */
	void (*restore)(void *context, GptTrainState *state, LmTrainer *trainer, float **best);

	/* After each step with its validation, and once before the first. */
	void (*save)(void *context, const GptTrainState *state, LmTrainer *trainer, const float *best);
} GptTrainHooks;

/*
 * The losses of what would be published now: of the best weights, or of the present ones; NaN where
 * there is none.
 */
extern void gpt_train_measures(double *loss, double *validation_loss, double *bits_per_byte,
							   const GptTrainState *state);

/* Reasons for the end of a training: the names of the options. */
typedef enum GptTrainEnd
{
	GPT_END_STEPS,
	GPT_END_EPOCHS,
	GPT_END_MINUTES,
	GPT_END_PATIENCE,
} GptTrainEnd;

/*
 * standard errors by which the last weights must be worse than the best ones for these to be
 * published
 */
#define GPT_BEST_ERRORS 2

/* Why the published weights are those of the last step, though the best ones were wanted. */
typedef enum GptTrainChoice
{
	GPT_CHOICE_MADE, /* they are the best, or the last were wanted, or are the best */
	/* the best validation loss does not differ from the last by more than chance */
	GPT_CHOICE_UNTOLD,
	GPT_CHOICE_FEW /* too little is measured to tell */
} GptTrainChoice;

/* The result; the trainer holds the weights of the last step. */
typedef struct GptTrainResult
{
	LmTrainer *trainer;
	float *best; /* weights of the best validation, or NULL: publish the trainer's */
	int64 steps; /* done */
	int64 expected_steps;
	GptTrainEnd end;
	int64 best_step; /* of the best validation loss; 0: there was none */
	/* of the time of the job, that had passed when its training began; 0 where time ends nothing */
	double untrained_share;
	int64 overfit_since; /* as in the state */
	GptTrainChoice choice;
	double loss; /* of the weights to publish; NaN: none */
	double validation_loss;
	double validation_bits_per_byte;
	double tokens_per_second;
} GptTrainResult;

/*
 * Runs the plan. started_at is the beginning of the job, as if there had been no interruption.
 * Everything lives in the current context and the engine. Outside of transactions.
 */
extern void gpt_train_run(GptTrainResult *result, const GptTrainPlan *plan, const GptCorpus *corpus,
						  const GptTrainHooks *hooks, TimestampTz started_at,
						  GptProgress *progress);
extern void gpt_train_free(GptTrainResult *result);

/* Predictions in a step of the plan's batches, on average: windows do not fill a batch exactly. */
extern double gpt_train_step_tokens(const GptTrainPlan *plan, const GptCorpus *corpus);

/*
 * Seconds of a step, from at most that many steps or about that long, at least two where they do
 * not take much longer; their weights are thrown away.
 */
extern double gpt_train_time_step(const GptTrainPlan *plan, const GptCorpus *corpus, int most_steps,
								  double most_seconds, GptProgress *progress);

#endif /* GPT_TRAIN_LOOP_H */
