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

typedef struct GptTrainPlan
{
	const char *preset; /* "" where the options gave the shape */
	LmConfig config;
	/* of the version that a fine-tune starts from: what continues, continues from the same */
	uint8 base_sha256[GPT_SHA256_SIZE];
	int labels; /* of the corpus, for config ... */
	bool multi_label; /* ... as this */
	LmTrainOptions training; /* max_tokens, steps, rates ... */
	int n_threads;
	/* tokens that the training can pass, as far as is known before it; 0: not known */
	double token_budget;
	int batch_size;
	int accumulate;
	double step_tokens; /* predictions in a step, on average */
	double epochs;
	bool keep_best;
	int64 patience; /* 0: never */
	/*
	 * microseconds that the job may take, where they end it: training.steps are those expected; 0:
	 * steps end it
	 */
	int64 total_time;
	int64 used_time; /* of them, when the plan was made */
	int64 most_steps; /* that the epochs allow; 0: any number */
	bool epochs_given; /* they, not a number of steps, are what steps come from */
	int64 validation_interval; /* steps */
	int64 validation_tokens; /* at most that many are measured each time */
	size_t memory; /* bytes of the training phase */
	size_t parameters;
} GptTrainPlan;

/* ---- src/train/train_plan.c --------------------------------------------------- */

/*
 * Before the corpus is known: error when what the options ask for cannot be, or needs more than
 * gpt.max_memory at least.
 */
extern void gpt_plan_check(const GptTrainOptions *options);

/* The same for a fine-tune of a model of that shape, whose options are changed to it. */
extern void gpt_plan_check_base(GptTrainOptions *options, const LmConfig *config);

/*
 * Chooses everything that is not given. started_at is the beginning of the job, from which
 * `minutes` count. Measures the speed of this machine where time decides; error when the memory
 * does not fit.
 */
extern void gpt_plan_create(GptTrainPlan *plan, const GptTrainOptions *options,
							const GptCorpus *corpus, TimestampTz started_at, GptProgress *progress);

/* The engine that the plan's training runs on. */
extern LmEngine *gpt_plan_engine(const GptTrainPlan *plan);

/* The matrix kernels of that engine in the plan's precision. */
extern const char *gpt_plan_kernels(const GptTrainPlan *plan);

/* ---- src/train/train_shape.c: the sizes --------------------------------------- */

/*
 * Fills preset and config of the plan from options and, where they leave it open, the preset of
 * that name.
 */
extern void gpt_plan_shape(GptTrainPlan *plan, const GptTrainOptions *options, const char *preset,
						   int vocabulary, int context);

/* Sets the options of the shape to that of a fine-tune's base. */
extern void gpt_plan_take_shape(GptTrainOptions *options, const LmConfig *config);

/* Whether the options leave the shape to the job. */
extern bool gpt_plan_shape_is_open(const GptTrainOptions *options);

/* Floating point operations of training on one token, forward and backward. */
extern double gpt_plan_work(const LmConfig *config);

/*
 * Fills batch_size, accumulate, max_tokens, recompute and memory: what the options say, otherwise
 * the usual number of tokens a step, fewer where the token budget is so small that there would be
 * few steps, in as small micro-batches, and then with recomputation, as gpt.max_memory asks for.
 * Error when the smallest does not fit.
 */
extern void gpt_plan_batch(GptTrainPlan *plan, const GptTrainOptions *options);

/* The same, but returns false instead of raising the error. */
extern bool gpt_plan_batch_fits(GptTrainPlan *plan, const GptTrainOptions *options);

/*
 * src/train/train_memory.c: raises that error for a plan which does not fit, with options that
 * would.
 */
extern void gpt_plan_raise_memory(const GptTrainPlan *plan, const GptTrainOptions *options);

#endif /* GPT_TRAIN_PLAN_H */
