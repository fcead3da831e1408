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
	void *squares; /* scratch of the norm */
	void *scratch; /* of the optimizer */
	LmNetwork network;
};

#endif /* LM_TRAINER_PRIVATE_H */
