/*
 * src/engine/train/trainer_private.h
 *
 * The parts of a trainer.
 */
#ifndef LM_TRAINER_PRIVATE_H
#define LM_TRAINER_PRIVATE_H

#include "engine/optimizer.h"
#include "model/frozen.h"
#include "model/objective.h"

struct LmTrainer
{
	LmEngine *engine;
	LmTrainOptions options;
	LmParamTable *table;
	float *params; /* and the gradient after them */
	float *gradient;
	const LmOptimizer *optimizer;
	float *moments; /* as many blocks as the optimizer has */
	LmParamTable *base_table; /* NULL, as the next one, without an adapter */
	float *base;
	LmFrozen frozen;
	void *activations;
	float *tree_sums; /* of nodes, lm_tree_buffers blocks; NULL, as the next, without tree_leaves */
	double *tree_values; /* [tree_leaves, LM_TREE_VALUES] */
	void *squares; /* scratch of the norm */
	void *scratch; /* of the optimizer */
	LmNetwork network;
};

/* Clears what the first pass of a step adds to instead of writing it. */
void lm_trainer_clear_gradient(LmTrainer *trainer);

/*
 * The end of a step: norm of the gradient block, checks, and the update. Fills grad_norm. Errors of
 * lm_trainer_step.
 */
bool lm_trainer_update(LmStepResult *result, LmTrainer *trainer, int64_t step, LmError *error);

#endif /* LM_TRAINER_PRIVATE_H */
