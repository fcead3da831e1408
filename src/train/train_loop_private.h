/*
 * src/train/train_loop_private.h
 *
 * The state of a running training, which its steps (train_loop.c) and its validations
 * (train_validate.c) share.
 */
#ifndef GPT_TRAIN_LOOP_PRIVATE_H
#define GPT_TRAIN_LOOP_PRIVATE_H

#include "engine/gradient_tree.h"
#include "train/train_clock.h"
#include "train/train_loop.h"

/* A measurement of the divergence from the base. */
typedef struct GptDivergence
{
	int64 stride; /* every so many rows one is measured */
	int64 n_seen;
	int n_done; /* rows measured before this batch, ... */
	int n_rows; /* ... and in it */
	int *rows; /* NULL: nothing is measured */
	float *log_probs; /* [n_rows, vocabulary] */
	double sum;
} GptDivergence;

/* All that a training has at hand between its steps. */
typedef struct GptTraining
{
	const GptTrainPlan *plan;
	const GptCorpus *corpus;
	const GptTrainHooks *hooks; /* NULL: steps are only timed */
	GptProgress *progress;
	LmDataset dataset; /* of the corpus, with references */
	LmTrainer *trainer;
	const LmHost *host;
	LmReader *reader;
	LmTreeNode drawn; /* the leaves whose batches it makes; without a tree all micro-batches */
	const LmBatch *batches; /* of the step, in the reader */
	LmCursor drawn_from; /* where they begin */
	LmBatch validation;
	/* of the negative logarithms of the batches measured so far, and of their weights */
	double validation_sum;
	double validation_weight;
	double validation_figures[LM_MAX_FIGURES]; /* sums, as these */
	GptReference reference;
	float *likelihoods; /* of the windows of a batch, while the base is read */
	GptDivergence divergence;
	GptTrainState state;
	float *best; /* weights of the best validation, where they are kept */
	TimestampTz logged_at;
	TimestampTz started_at; /* as if there had been no interruption */
	GptTrainClock clock;
	TimestampTz deadline; /* deadline of the current step; 0: none */
	/* how its gradient is summed, but for the batches; NULL: by lm_trainer_step */
	const LmTreeStep *tree;
	int64 validated_step; /* of the last validation */
	GptTrainEnd end;
} GptTraining;

/* src/train/train_compute.c: a piece of work of the engine, at the priority of training; `what`
 * sets done and error. */
typedef struct GptTrainTask
{
	GptTraining *training;
	void *context; /* of the work, beside its training; or NULL */
	bool done;
	LmError error;
} GptTrainTask;

/* Runs a piece of work with its training (and a context); false where it was not done. */
extern bool gpt_training_compute(GptTraining *training, void (*what)(void *work), LmError *error);
extern bool gpt_training_compute_with(GptTraining *training, void (*what)(void *work),
									  void *context, LmError *error);

/*
 * src/train/train_loop.c: the pieces of a training without validations, for a member of a training
 * over servers. _start allocates all memory in the current memory context and the engine; where it
 * fails, _finish and lm_trainer_free free what there is. _step draws the batches of a step and
 * makes it. _finish frees all but the trainer.
 */
extern void gpt_training_start(GptTraining *training, const GptTrainPlan *plan,
							   const GptCorpus *corpus, GptProgress *progress);
extern void gpt_training_step(GptTraining *training);
extern void gpt_training_finish(GptTraining *training);

/* The same as _step, but a step that cannot be made returns false, and has changed nothing. */
extern bool gpt_training_try_step(GptTraining *training, LmError *error);

/* ---- src/train/train_validate.c ------------------------------------------------ */

/* Measures the loss on held-out windows, up to the token limit of the plan. */
extern void gpt_training_validate(GptTraining *training);

/* Means of the figures since the last row of the log and, where it is one, of the validation. */
extern void gpt_training_measures(char *text, size_t size, const GptTraining *training,
								  bool validated);

/* Keeps the weights when they are the best so far; false when training should end. */
extern bool gpt_training_keep_best(GptTraining *training);

/*
 * src/train/train_ngrams.c: adds n-grams to the result, where the plan says so and they help, and
 * makes its validation loss that of the mixture.
 */
extern void gpt_training_add_ngrams(GptTraining *training, GptTrainResult *result);

/* Chooses between the best and the last weights. */
extern GptTrainChoice gpt_training_choose(GptTraining *training);

/* ---- src/train/train_reference.c ----------------------------------------------- */

/* Allocates what the plan keeps of the base; sets the dataset of the training. */
extern void gpt_training_allocate_reference(GptTraining *training);

/* Fills it from the present weights, which are the base's. */
extern void gpt_training_refer(GptTraining *training);

/*
 * The divergence of the present weights from the base, measured on the rows that are kept: _begin,
 * then _add for each batch of a validation after its evaluation, then _end, which returns NaN where
 * none are kept.
 */
extern void gpt_training_diverge_begin(GptTraining *training);
extern void gpt_training_diverge_add(GptTraining *training);
extern double gpt_training_diverge_end(GptTraining *training);

#endif /* GPT_TRAIN_LOOP_PRIVATE_H */
