/*
 * include/engine/trainer.h
 *
 * Training: parameters, gradient, moments, activations, and the step over them.
 *
 *   step = zero -> for each micro-batch: forward, loss, backward into one contiguous gradient
 *   block in table order -> reduce hook -> norm -> update per group
 *
 * The loss is Σ weight nll / Σ weight over all micro-batches; the divisor is known before the first
 * backward.
 */
#ifndef LM_TRAINER_H
#define LM_TRAINER_H

#include "engine/batch.h"
#include "engine/params.h"
#include "engine/search.h"

/* How the learning rate goes over the steps. */
typedef enum LmSchedule
{
	/* linear warm-up, then half a cosine from rate to minimum (Loshchilov and Hutter 2017) */
	LM_SCHEDULE_COSINE,
	LM_SCHEDULE_LINEAR,
	LM_SCHEDULE_CONSTANT,
} LmSchedule;

/* The type of the operands of products with a weight. */
typedef enum LmPrecision
{
	LM_FLOAT32,
	/* operands of products with a weight are rounded to it; sums and all else are float32 */
	LM_BFLOAT16,
} LmPrecision;

/* What the loss of a window is: a row of model/objective.h. */
typedef enum LmObjectiveKind
{
	/* labels where the model has some, or number where its label is one, else language */
	LM_OBJECTIVE_OF_MODEL,
	LM_OBJECTIVE_LANGUAGE,
	LM_OBJECTIVE_LABELS,
	LM_OBJECTIVE_DPO, /* pairs of answers, which of them was chosen */
	LM_OBJECTIVE_ORPO, /* the same without a reference */
	LM_OBJECTIVE_NUMBER, /* regression */
	LM_OBJECTIVE_CONTRASTIVE, /* texts and what should be found for them */
} LmObjectiveKind;

#define LM_MAX_FIGURES 4 /* numbers that an objective reports beside its loss */

/* How to train. lm_train_options_default has the usual values. */
typedef struct LmTrainOptions
{
	int max_tokens; /* of a micro-batch: activations are sized for this */
	LmObjectiveKind objective;
	LmPrecision precision; /* LM_BFLOAT16 only where lm_engine_bf16 names kernels */
	int optimizer; /* its number: a row of optimizer.h */
	/*
	 * of an adapter's base: the type in which the matrices of its blocks are kept, by ggml's number
	 * (block_type.h); each layer becomes float32 for its products. 0: all of the base is float32
	 */
	int base_type;
	/*
	 * computes the activations inside a block a second time in the backward pass, instead of
	 * keeping them: less memory, the same bits
	 */
	bool recompute;
	/*
	 * the most micro-batches of lm_trainer_step_tree (gradient_tree.h), whose sums need memory; 0:
	 * that function is not used
	 */
	int tree_leaves;
	LmSchedule schedule;
	double learning_rate;
	double min_learning_rate;
	double head_rate; /* of a classifier's head, which starts untrained: times the learning rate */
	int64_t warmup_steps;
	int64_t steps;
	double share; /* of the training that is done, where a time limit ends it; negative: by steps */
	double weight_decay;
	double beta1;
	double beta2;
	double epsilon;
	double grad_clip; /* 0: none */
	/*
	 * of lm_cross_entropy, where reported losses exclude it; of DPO the share of swapped pairs,
	 * where they include it
	 */
	double label_smoothing;
	double beta; /* of DPO and ORPO: above 0 */
	double temperature; /* of contrastive training: above 0 */
	uint64_t seed;
} LmTrainOptions;

/* The names of schedules, precisions and optimizers; NULL after the last. */
const char *lm_schedule_name(int schedule);
const char *lm_precision_name(int precision);
const char *lm_optimizer_name(int optimizer);
const char *lm_optimizer_about(int optimizer); /* what it does, or NULL */

/* The usual values of all fields. */
LmTrainOptions lm_train_options_default(void);

/* LM_ERR_ARGUMENT where schedule, precision or optimizer is none that the engine knows. */
bool lm_train_options_check(const LmTrainOptions *options, LmError *error);

/* Learning rate of a step counted from 0. */
double lm_learning_rate(const LmTrainOptions *options, int64_t step);

/* Parameters, gradient, moments and activations of one training. */
typedef struct LmTrainer LmTrainer;

/*
 * Bytes that a trainer allocates: the one formula, also used by lm_trainer_create. Of the options,
 * max_tokens, objective, precision, recompute, optimizer, base_type and tree_leaves matter.
 * LM_ERR_LIMIT on overflow, LM_ERR_ARGUMENT for an option that is no value of its kind, for an
 * optimizer that does not train adapters, and for a type of the base whose blocks do not divide its
 * matrices.
 */
bool lm_trainer_memory(size_t *bytes, const LmConfig *config, const LmTrainOptions *options,
					   int n_threads, LmError *error);

/*
 * A trainer with weights initialised from options->seed and moments 0. Errors of lm_trainer_memory,
 * LM_ERR_MEMORY, LM_ERR_STOPPED. Lives until lm_trainer_free; the engine must outlive it.
 */
LmTrainer *lm_trainer_create(LmEngine *engine, const LmConfig *config,
							 const LmTrainOptions *options, LmError *error);
void lm_trainer_free(LmTrainer *trainer);

/*
 * What contrastive training reads the letters of tokens with, and the statistics of their rarity
 * (NULL: none). They must outlive the trainer.
 */
void lm_trainer_set_search(LmTrainer *trainer, const LmTokenizer *tokenizer,
						   const LmSearch *search);

/* Parts of the trainer, which live as long as it; blocks are [table->total] floats. */
LmEngine *lm_trainer_engine(const LmTrainer *trainer);
const LmParamTable *lm_trainer_table(const LmTrainer *trainer);
float *lm_trainer_params(LmTrainer *trainer); /* block, may be written between steps */
/*
 * The base of an adapter: frozen, with random weights until the caller writes the block. NULL
 * without an adapter. With a base_type, the block has the other parameters, zeros until they are
 * written, and one layer's matrices.
 */
const LmParamTable *lm_trainer_base_table(const LmTrainer *trainer);
float *lm_trainer_base(LmTrainer *trainer);
/*
 * Writes rows [n_rows, columns] of a parameter of the base, in whatever type it has there; a vector
 * is one row. False for a parameter that the base does not have.
 */
bool lm_trainer_put_base(LmTrainer *trainer, LmParamKind kind, int layer, int first_row, int n_rows,
						 const float *rows);
float *lm_trainer_gradient(LmTrainer *trainer); /* of the last step, before clipping */
/*
 * Block `number` of the moments that the optimizer keeps, and how many blocks there are. The second
 * moments of parameters that Muon updates are its last directions.
 */
float *lm_trainer_moments(LmTrainer *trainer, int number);
int lm_trainer_n_moments(const LmTrainer *trainer);
/* steps, share, warm-up and rates may be changed between steps */
LmTrainOptions *lm_trainer_options(LmTrainer *trainer);
/* decay flags may be changed before the first step */
LmParamTable *lm_trainer_table_mutable(LmTrainer *trainer);

/* Figures of one step. */
typedef struct LmStepResult
{
	double loss; /* nats per unit of weight */
	double figures[LM_MAX_FIGURES]; /* of the objective, per unit of weight */
	double grad_norm;
	double learning_rate;
	int64_t tokens;
} LmStepResult;

/*
 * Called with the gradient block between the backward pass and the norm, for an all-reduce. May be
 * NULL. On false the step fails with its error.
 */
typedef bool (*LmReduce)(void *context, float *gradient, size_t count, LmError *error);

/*
 * One optimizer update from n_micro_batches batches. step counts from 0. LM_ERR_NUMERIC with the
 * step when loss or gradient norm is not finite (parameters are then as before), LM_ERR_STOPPED
 * (likewise).
 */
bool lm_trainer_step(LmStepResult *result, LmTrainer *trainer, int64_t step, const LmBatch *batches,
					 int n_micro_batches, LmReduce reduce, void *reduce_context, LmError *error);

/* The names of the figures of the trainer's objective; NULL after the last. */
const char *const *lm_trainer_figure_names(const LmTrainer *trainer);

/*
 * The values of the figures, [LM_MAX_FIGURES], from the means of their sums (LmStepResult.figures,
 * or lm_trainer_figures / weight), which stay as they are. The same order as the names.
 */
void lm_trainer_figure_values(double *values, const LmTrainer *trainer, const double *means);

/* Σ weight figure of the batch that was evaluated last, [LM_MAX_FIGURES]. */
const double *lm_trainer_figures(const LmTrainer *trainer);

/*
 * *sum += Σ weight nll and *weight += Σ weight of a batch, without dropout. LM_ERR_ARGUMENT for a
 * batch that does not fit the trainer, LM_ERR_STOPPED.
 */
bool lm_trainer_evaluate(double *sum, double *weight, LmTrainer *trainer, const LmBatch *batch,
						 LmError *error);

/*
 * The logits of a classifier's network for the first n windows of a batch, [n, labels], without
 * dropout. Errors of lm_trainer_evaluate.
 */
bool lm_trainer_label_logits(float *logits, size_t n, LmTrainer *trainer, const LmBatch *batch,
							 LmError *error);

/*
 * The loss of the batch that was evaluated last, [n_tokens], for the rows that have a target and a
 * weight; with groups that of each group, at its last row. Lives until the next call.
 */
const float *lm_trainer_nll(const LmTrainer *trainer);

/*
 * The log-likelihood of each window of a batch, without dropout: the sum over its rows with a
 * target, whatever the objective; values [windows of the batch]. Errors of lm_trainer_evaluate.
 */
bool lm_trainer_likelihoods(float *values, LmTrainer *trainer, const LmBatch *batch,
							LmError *error);

/*
 * The logarithms of the probabilities of all tokens after n rows of the batch that was evaluated
 * last, or whose likelihoods were computed last: out [n, vocabulary].
 */
bool lm_trainer_log_probs(float *out, LmTrainer *trainer, const int *rows, int n, LmError *error);

/* Logits of every row, for tests: out [n_tokens, vocabulary]. */
bool lm_trainer_logits(float *out, LmTrainer *trainer, const LmBatch *batch, LmError *error);

#endif /* LM_TRAINER_H */
