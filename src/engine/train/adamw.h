/*
 * src/engine/train/adamw.h
 *
 * AdamW as a part of other optimizers, which leave some parameters to it.
 */
#ifndef LM_ADAMW_H
#define LM_ADAMW_H

#include "engine/optimizer.h"

/* Bytes of update->scratch that lm_adamw_update takes, a multiple of 64. */
size_t lm_adamw_scratch(const LmConfig *config);

/* Updates the parameters that `leaves` (NULL: none) does not say yes to. */
void lm_adamw_update(const LmUpdate *update, bool (*leaves)(const LmParam *param));

/* A part of the blocks that one rule updates. */
typedef struct LmAdamWRange
{
	size_t first; /* float of the block */
	size_t count;
	const LmAdamW *rule;
	int first_piece; /* set by lm_adamw_sweep */
} LmAdamWRange;

/*
 * Updates the ranges of blocks p, m, v in one run of all threads: each element is read once and
 * written once. Ranges do not overlap and have at least one element.
 */
void lm_adamw_sweep(LmEngine *engine, float *p, float *m, float *v, const float *gradient,
					LmAdamWRange *ranges, int n_ranges);

#endif /* LM_ADAMW_H */
