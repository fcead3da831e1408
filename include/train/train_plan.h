/*
 * include/train/train_plan.h
 *
 * What a training job will do, once its options, its corpus and the machine are known.
 */
#ifndef GPT_TRAIN_PLAN_H
#define GPT_TRAIN_PLAN_H

#include "core/options.h"
#include "corpus/corpus.h"
#include "engine/config.h"
#include "engine/engine.h"
#include "engine/trainer.h"

/* All numbers of a training, chosen before its first step. A checkpoint stores its bytes. */
typedef struct GptTrainPlan
{
	const char *preset; /* "" if the options give the shape */
	LmConfig config;
	int context; /* of a window: at most that of config */
	/* of the version that a fine-tune starts from; a continued run needs the same */
	uint8 base_sha256[GPT_SHA256_SIZE];
	int labels; /* of the corpus, for config ... */
	bool multi_label; /* ... as this */
	bool pair; /* rows are pairs of texts */
	GptNumbers numbers; /* of regression; otherwise its scale is 0 */
	int group; /* windows that belong together, at least so many are in a micro-batch */
	/*
	 * what is kept of the base: a log-likelihood for each window of DPO, and the probabilities of
	 * all tokens after so many rows of the validation; 0: nothing
	 */
	int64 reference_windows;
	int reference_rows;
	LmTrainOptions training; /* max_tokens, steps, rates ... */
	int n_threads;
	/* estimate of the tokens that fit into the time; 0: not known */
	double token_budget;
	int batch_size;
	int accumulate;
	double step_tokens; /* predictions in a step, on average */
	double epochs;
	bool keep_best;
	GptSwitch ngrams; /* whether the version gets n-grams beside its network */
	bool ngrams_of_held_out; /* they then have the text of both sides: the job chose the sides */
	size_t ngram_memory; /* bytes that making them takes after the last step */
	int64 patience; /* 0: never */
	/*
	 * time limit of the job, microseconds, with training.steps the expected number; 0: the number
	 * of steps ends it
	 */
	int64 total_time;
	int64 used_time; /* part of it that had passed when the plan was made */
	int64 most_steps; /* limit by the number of epochs; 0: none */
	bool epochs_given; /* steps follow from option "epochs" */
	int64 validation_interval; /* steps */
	int64 validation_tokens; /* limit of one validation */
	size_t memory; /* bytes of the training phase */
	size_t parameters;
} GptTrainPlan;

/* How steps are timed for a plan that is not carried out. */
typedef struct GptPlanTiming
{
	double most_seconds; /* of each of up to two measurements */
	double step_seconds; /* of a step of the plan, afterwards */
	double seconds; /* of the whole job, without the time that reading takes */
} GptPlanTiming;

/* ---- src/train/train_plan.c --------------------------------------------------- */

/*
 * Before the corpus is known: raises an error if the options contradict one another, or need more
 * than gpt.max_memory in any case.
 */
extern void gpt_plan_check(const GptTrainOptions *options);

/*
 * The same for a fine-tune of a model of that shape, which is written into the options; file_type
 * is there already.
 */
extern void gpt_plan_check_base(GptTrainOptions *options, const LmConfig *config);

/*
 * Chooses everything that is not given. started_at: the beginning of the job, from which `minutes`
 * count. With a time limit it measures the speed of this machine. Raises an error if the memory
 * does not suffice. _estimate makes the same plan and always measures its steps.
 */
extern void gpt_plan_create(GptTrainPlan *plan, const GptTrainOptions *options,
							const GptCorpus *corpus, TimestampTz started_at, GptProgress *progress);
extern void gpt_plan_estimate(GptTrainPlan *plan, GptPlanTiming *timing,
							  const GptTrainOptions *options, const GptCorpus *corpus,
							  GptProgress *progress);

/* The engine that the plan's training runs on. */
extern LmEngine *gpt_plan_engine(const GptTrainPlan *plan);

/* The matrix kernels of that engine in the plan's precision. */
extern const char *gpt_plan_kernels(const GptTrainPlan *plan);

/* ---- src/train/train_servers.c ------------------------------------------------ */

/* Tokens of an epoch, which is one of the rows of all servers. */
extern double gpt_plan_all_tokens(const GptTrainOptions *options, const GptCorpus *corpus);

/*
 * Trainings that go on side by side, each with the plan's steps: one on each server, in rounds; and
 * the servers that make one step together, where gradients are summed in each step.
 */
extern double gpt_plan_runs(const GptTrainOptions *options);
extern double gpt_plan_hands(const GptTrainOptions *options);

/* ---- src/train/train_shape.c: the sizes --------------------------------------- */

/*
 * Sets preset and config of the plan from the options; where they leave the shape open, from the
 * preset of that name. context: of a window, and without a base of the model.
 */
extern void gpt_plan_shape(GptTrainPlan *plan, const GptTrainOptions *options, const char *preset,
						   int vocabulary, int context);

/* Whether the rows of a model's matrices are whole blocks of option "base_type", which is given. */
extern bool gpt_plan_base_type_fits(const GptTrainOptions *options, const LmConfig *config);

/* The word of option "base_type" for an adapter's base. */
extern const char *gpt_plan_base_type(const GptTrainPlan *plan);

/*
 * Sets the options of the shape to the shape of the base model. The context of a fine-tune stays if
 * it is given; otherwise it is the model's, or where that is long, left to the corpus.
 */
extern void gpt_plan_take_shape(GptTrainOptions *options, const LmConfig *config);

/* Whether the options leave the shape to the job. */
extern bool gpt_plan_shape_is_open(const GptTrainOptions *options);

/* Floating-point operations of training on one token, forward and backward. */
extern double gpt_plan_work(const LmConfig *config);

/*
 * Sets batch_size, accumulate, max_tokens, recompute and memory. Options that are given decide;
 * otherwise a step has the usual number of tokens, fewer if the token budget allows only few steps.
 * Micro-batches become smaller, and then recomputation is used, until they fit into gpt.max_memory.
 * Raises an error if nothing fits.
 */
extern void gpt_plan_batch(GptTrainPlan *plan, const GptTrainOptions *options);

/* The same, but returns false instead of raising an error. */
extern bool gpt_plan_batch_fits(GptTrainPlan *plan, const GptTrainOptions *options);

/*
 * src/train/train_memory.c: raises the error for a plan that does not fit, with options that would
 * fit in the hint.
 */
extern void gpt_plan_raise_memory(const GptTrainPlan *plan, const GptTrainOptions *options);

#endif /* GPT_TRAIN_PLAN_H */
