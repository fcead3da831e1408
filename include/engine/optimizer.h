/*
 * include/engine/optimizer.h
 *
 * The optimizers: one row of a table for each. Options, checks, plan, memory and training read it,
 * so a further optimizer is a file in train/ and a row in train/optimizers.c.
 */
#ifndef LM_OPTIMIZER_H
#define LM_OPTIMIZER_H

#include "engine/trainer.h"

/* The numbers of optimizers that other code names: their rows. LmTrainOptions.optimizer is one. */
enum
{
	LM_ADAMW,
	LM_MUON,
};

#define LM_MAX_MOMENTS 2

/* A step whose gradient is computed, as the optimizer sees it. */
typedef struct LmUpdate
{
	LmEngine *engine;
	const LmTrainOptions *options;
	const LmParamTable *table;
	float *params;
	float *moments[LM_MAX_MOMENTS]; /* as many as the row says; 0 before the first step */
	const float *gradient;
	float gradient_scale; /* clipping: the factor of every element of the gradient */
	double learning_rate;
	int64_t step; /* counted from 0 */
	void *scratch;
} LmUpdate;

/* A row of the table of optimizers. */
typedef struct LmOptimizer
{
	const char *name;
	const char *about; /* for the option's description: what it does; NULL for the usual one */
	/* blocks of the size of the parameters; only these and the parameters last over steps */
	int n_moments;
	const char *no_adapters; /* NULL, or a sentence: why it trains none */
	/*
	 * A training has smaller steps where otherwise there would be fewer than this, and the smallest
	 * where there would be fewer than `fewest`; measured in docs/benchmarks.md.
	 */
	int steps;
	int fewest;

	/* Bytes of scratch for a checked configuration; false beyond the address space. */
	bool (*scratch)(size_t *bytes, const LmConfig *config, const LmTrainOptions *options);
	/*
	 * NULL, or the long part of the update. It may write to scratch, and to moments that each step
	 * computes from the beginning. It may be stopped: the engine is then `stopped`.
	 */
	void (*prepare)(const LmUpdate *update);
	/* The next parameters and moments. It is not stopped. */
	void (*update)(const LmUpdate *update);
} LmOptimizer;

/* The row of a number; NULL where there is none. */
const LmOptimizer *lm_optimizer(int number);

#endif /* LM_OPTIMIZER_H */
