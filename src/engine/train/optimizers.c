/*
 * src/engine/train/optimizers.c
 *
 * The table of optimizers. Further rows go to the end: a checkpoint has the number of its row.
 */
#include "engine/optimizer.h"

/* Each is defined in a file of its name. */
extern const LmOptimizer lm_adamw, lm_muon;

static const LmOptimizer *const optimizers[] = {
	[LM_ADAMW] = &lm_adamw,
	[LM_MUON] = &lm_muon,
};

const LmOptimizer *
lm_optimizer(int number)
{
	return number >= 0 && (size_t) number < sizeof optimizers / sizeof *optimizers
			   ? optimizers[number]
			   : NULL;
}

const char *
lm_optimizer_about(int number)
{
	const LmOptimizer *optimizer = lm_optimizer(number);

	return optimizer ? optimizer->about : NULL;
}

const char *
lm_optimizer_name(int number)
{
	const LmOptimizer *optimizer = lm_optimizer(number);

	return optimizer ? optimizer->name : NULL;
}
