/*
 * src/engine/train/schedule.c
 *
 * The options of training, and the learning rate of each step.
 */
#include <math.h>

#include "engine/gradient_tree.h"
#include "base/names.h"
#include "engine/block_type.h"
#include "engine/trainer.h"

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif

LM_NAMES(lm_schedule_name, [LM_SCHEDULE_COSINE] = "cosine", [LM_SCHEDULE_LINEAR] = "linear",
		 [LM_SCHEDULE_CONSTANT] = "constant");
LM_NAMES(lm_precision_name, [LM_FLOAT32] = "float32", [LM_BFLOAT16] = "bfloat16");

LmTrainOptions
lm_train_options_default(void)
{
	return (LmTrainOptions){
		.max_tokens = 4096,
		.schedule = LM_SCHEDULE_COSINE,
		.learning_rate = 1e-3,
		.min_learning_rate = 1e-4,
		.head_rate = 1,
		.warmup_steps = 100,
		.steps = 1000,
		.share = -1,
		.weight_decay = 0.1,
		.beta1 = 0.9,
		.beta2 = 0.95,
		.epsilon = 1e-8,
		.grad_clip = 1.0,
		.beta = 0.1,
		.temperature = 0.05,
		.seed = 0,
	};
}

bool
lm_train_options_check(const LmTrainOptions *options, LmError *error)
{
	if (!lm_schedule_name((int) options->schedule))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "schedule %d is not known",
					   (int) options->schedule);
	if (!lm_precision_name((int) options->precision))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "precision %d is not known",
					   (int) options->precision);
	if (!lm_optimizer_name(options->optimizer))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "optimizer %d is not known", options->optimizer);
	if (!lm_block_type_numbered(options->base_type))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "type %d of a base is not known",
					   options->base_type);
	if (options->tree_leaves < 0 || options->tree_leaves > LM_TREE_LEAVES)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "a tree of %d micro-batches is beyond %d",
					   options->tree_leaves, LM_TREE_LEAVES);
	if ((options->objective == LM_OBJECTIVE_DPO || options->objective == LM_OBJECTIVE_ORPO) &&
		!(options->beta > 0))
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "beta %g is not above 0", options->beta);
	return true;
}

double
lm_learning_rate(const LmTrainOptions *options, int64_t step)
{
	double rate = options->learning_rate, minimum = options->min_learning_rate;
	double warmup, progress;

	if (step < options->warmup_steps)
		return rate * (double) (step + 1) / (double) options->warmup_steps;
	if (options->schedule == LM_SCHEDULE_CONSTANT)
		return rate;
	if (options->share < 0 && step >= options->steps)
		return minimum;
	progress =
		(double) (step - options->warmup_steps) / (double) (options->steps - options->warmup_steps);
	if (options->share >= 0)
	{
		/* steps is only an estimate: the warm-up may have taken another share of the time. */
		warmup = fmin((double) options->warmup_steps / (double) options->steps, 0.5);
		progress = fmin(fmax((options->share - warmup) / (1 - warmup), 0), 1);
	}
	switch (options->schedule)
	{
		case LM_SCHEDULE_COSINE:
			return minimum + 0.5 * (1 + cos(M_PI * progress)) * (rate - minimum);
		case LM_SCHEDULE_LINEAR:
			return rate + progress * (minimum - rate);
		case LM_SCHEDULE_CONSTANT:
			break;
	}
	return rate;
}
