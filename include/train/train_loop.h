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

/* What the objective of a training reports of a validation beside its loss. */
typedef struct GptFigures
{
	double values[LM_MAX_FIGURES];
	double divergence; /* from the base, nats a token; NaN: not measured */
} GptFigures;

/*
 * The state of a training besides weights, moments, plan and corpus. A checkpoint stores its bytes.
 */
typedef struct GptTrainState
{
	int64 step; /* steps done */
	LmCursor cursor;
	LmStepResult last;
	double loss_sum; /* since the last row of the log */
	int64 loss_steps;
	int64 tokens; /* since then */
	/* since the last multiple of the validation interval, so that timing does not matter */
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
	/* of the objective (lm_trainer_figure_names): sums since the last row of the log, and means */
	double figure_sums[LM_MAX_FIGURES];
	GptFigures figures; /* of the last validation */
	bool has_best; /* weights have been put aside; the following are theirs */
	double best_training_loss;
	double best_validation_loss;
	double best_bits_per_byte;
	GptFigures best_figures;
} GptTrainState;

/*
 * What the base says, kept for the whole training: a log-likelihood for each window, then rows of
 * logarithms of probabilities, as the plan has them.
 */
typedef struct GptReference
{
	float *values; /* NULL: nothing is kept */
	size_t count;
} GptReference;

/* Where a training begins, and what it saves on its way. Any function may be NULL. */
typedef struct GptTrainHooks
{
	void *context;

	/*
	 * Called before the first step: may replace the initial weights, moments, state and reference;
	 * allocates *best if state->has_best.
	 */
	void (*restore)(void *context, GptTrainState *state, LmTrainer *trainer, float **best,
					const GptReference *reference);

	/* Called before the first step, and after each step and its validation. */
	void (*save)(void *context, const GptTrainState *state, LmTrainer *trainer, const float *best,
				 const GptReference *reference);

	/*
	 * Of a training over several servers (members.h); otherwise NULL. Called before a step, and
	 * after it and before its validation; last: no step follows. The second may change weights.
	 */
	void (*before_step)(void *context, const GptTrainState *state, LmTrainer *trainer,
						const float *best, const GptReference *reference);
	void (*after_step)(void *context, const GptTrainState *state, LmTrainer *trainer, bool last);
	/*
	 * The tree along which the next step sums its gradient, but for the batches; NULL, or returns
	 * NULL: none. _failed is called when a step with other members could not be made; it is done
	 * again then, with the tree that is asked for anew.
	 */
	const struct LmTreeStep *(*tree)(void *context);
	void (*failed_step)(void *context, const GptTrainState *state, LmTrainer *trainer,
						const float *best, const GptReference *reference, const LmError *error);
} GptTrainHooks;

/*
 * The losses of the weights that would be published now: the best ones, or the present ones; NaN if
 * not measured.
 */
extern void gpt_train_measures(double *loss, double *validation_loss, double *bits_per_byte,
							   const GptTrainState *state);

/* Reasons for the end of a training, named after the options. */
typedef enum GptTrainEnd
{
	GPT_END_STEPS,
	GPT_END_EPOCHS,
	GPT_END_MINUTES,
	GPT_END_PATIENCE,
} GptTrainEnd;

/* The best weights are published only if the last ones are worse by so many standard errors. */
#define GPT_BEST_ERRORS 2

/* Why the last weights are published although option "publish" is "best". */
typedef enum GptTrainChoice
{
	GPT_CHOICE_MADE, /* they are not: the best are published, or the last are the best or wanted */
	/* the last validation loss differs from the best by no more than chance */
	GPT_CHOICE_UNTOLD,
	GPT_CHOICE_FEW /* too few losses were measured to decide */
} GptTrainChoice;

/* The result; the trainer holds the weights of the last step. */
typedef struct GptTrainResult
{
	LmTrainer *trainer;
	float *best; /* weights of the best validation, or NULL: publish the trainer's */
	/* the published weights with n-grams, and their table; NULL: the version has none */
	float *with_ngrams;
	LmParamTable *ngram_table;
	double network_loss; /* on validation, without n-grams, where there are some */
	int64 steps; /* done */
	int64 expected_steps;
	GptTrainEnd end;
	int64 best_step; /* of the best validation loss; 0: there was none */
	/* share of the job's time that passed before its training began; 0 without a time limit */
	double untrained_share;
	int64 overfit_since; /* as in the state */
	GptTrainChoice choice;
	double loss; /* of the weights to publish; NaN: none */
	double validation_loss;
	double validation_bits_per_byte;
	const char *const *figure_names; /* of the figures; NULL after the last */
	GptFigures figures; /* NaN: not measured */
	double tokens_per_second;
} GptTrainResult;

/*
 * Runs the plan. started_at: when the job would have begun without interruptions. Everything lives
 * in the current memory context and the engine; _free frees the trainer. Outside of transactions.
 */
extern void gpt_train_run(GptTrainResult *result, const GptTrainPlan *plan, const GptCorpus *corpus,
						  const GptTrainHooks *hooks, TimestampTz started_at,
						  GptProgress *progress);
extern void gpt_train_free(GptTrainResult *result);

/* Average number of predictions in a step of the plan; windows do not fill a batch exactly. */
extern double gpt_train_step_tokens(const GptTrainPlan *plan, const GptCorpus *corpus);

/*
 * Seconds per step, measured on at most most_steps steps or about most_seconds; at least two steps
 * unless they take much longer. The trained weights are thrown away.
 */
extern double gpt_train_time_step(const GptTrainPlan *plan, const GptCorpus *corpus, int most_steps,
								  double most_seconds, GptProgress *progress);

/*
 * src/train/train_compute.c: CRC-32C of the weights, with which servers that should be equal are
 * compared. Serves interrupts.
 */
extern uint32 gpt_train_weights_crc(LmTrainer *trainer);

#endif /* GPT_TRAIN_LOOP_H */
