/*
 * include/engine/outer.h
 *
 * DiLoCo (Douillard et al. 2023, "DiLoCo: Distributed Low-Communication Training of Language
 * Models", algorithm 1, https://arxiv.org/abs/2311.08105): members train on their own rows, and
 * meet once in many steps. All of them have the same bits of the `common` parameters.
 *
 *   member       difference = common - local                  lm_outer_difference
 *   coordinator  gradient = Σ weight difference / Σ weight    lm_outer_add, members in their order
 *   coordinator  momentum = 0.5 momentum + gradient / rates   lm_outer_update
 *                update = (gradient + 0.5 rates momentum) / 1.5        (Nesterov's momentum)
 *   everybody    common = common - update; local = common     lm_outer_apply
 *
 * `rates` is the sum of the learning rates of the round's steps: what the members can go in it.
 * The momentum is kept for a rate of 1, so that it shrinks as the learning rate falls, and as
 * rounds get shorter; otherwise the large differences of the first rounds would still move the last
 * ones. The first update is the mean of the differences. Momentum and rate are less than those of
 * the paper (0.9 and 0.7), whose trainings have hundreds of rounds: docs/benchmarks.md has
 * measurements.
 *
 * Differences and updates travel packed, as integers of 8 or 4 bits with a scale for each
 * LM_OUTER_BLOCK values. What rounding takes away is kept by the sender, and is part of what it
 * sends next time (error feedback: Seide et al. 2014, "1-bit stochastic gradient descent";
 * Karimireddy et al. 2019, https://arxiv.org/abs/1901.09847). The coordinator applies the packed
 * update as everybody does, so that the common parameters do not drift apart. 4 bits are those of
 * Douillard et al. 2025, "Streaming DiLoCo", section 3.4 (https://arxiv.org/abs/2501.18512), but as
 * integers.
 *
 *   packed: | scale, float32, little endian | 256 x 8 bits, or 128 x two of 4 bits | next block ...
 *
 * An integer is two's complement, -127 .. 127 or -7 .. 7. With 4 bits, byte i of a block of n
 * values has value i in its lower half, value i + (n + 1) / 2 in its upper one. The last block is
 * as short as its values need. Packed bytes may be cut anywhere on their way.
 *
 * Blocks of floats are [count], the caller's. Results do not depend on the number of threads. bits
 * is 8 or 4. The caller of these functions has called lm_engine_begin.
 */
#ifndef LM_OUTER_H
#define LM_OUTER_H

#include "engine/engine.h"

#define LM_OUTER_BLOCK 256
#define LM_OUTER_MOMENTUM 0.5f

/* Bytes of count packed values; 0 for bits that are neither 8 nor 4, or on overflow. */
size_t lm_outer_size(size_t count, int bits);

/*
 * packed = common - local + left; left = what rounding took away. left starts as zeros.
 * LM_ERR_NUMERIC with the index of a block that has a value that is not finite, LM_ERR_STOPPED;
 * left and packed are undefined then.
 */
bool lm_outer_difference(uint8_t *packed, float *left, const float *common, const float *local,
						 size_t count, int bits, LmEngine *engine, LmError *error);

/*
 * Whether bytes from outside are packed values: their size, finite scales of 0 or more, no integer
 * out of range, no bits beyond the last. LM_ERR_FORMAT with the index of the block, LM_ERR_STOPPED.
 */
bool lm_outer_check(const uint8_t *packed, size_t size, size_t count, int bits, LmEngine *engine,
					LmError *error);

/*
 * The sum of squares of packed values, after lm_outer_check; in one order, on the calling thread.
 */
double lm_outer_square(const uint8_t *packed, size_t count, int bits);

/*
 * sum += share packed, after lm_outer_check. The sum starts as zeros; its bits depend on the order
 * of members. The sum is undefined where the engine was stopped.
 */
void lm_outer_add(float *sum, const uint8_t *packed, float share, size_t count, int bits,
				  LmEngine *engine);

/*
 * packed = update + left, of the gradient and the momentum before; momentum and left become those
 * after it. Both start as zeros. rates is above 0. Held (lm_engine_hold), so done or not done:
 * LM_ERR_NUMERIC, with the index of a block, before anything has changed.
 */
bool lm_outer_update(uint8_t *packed, float *momentum, float *left, const float *gradient,
					 float rates, size_t count, int bits, LmEngine *engine, LmError *error);

/*
 * common = common - packed, after lm_outer_check; local = common, where it is not NULL. Held. The
 * same bits on every machine with IEEE 754 numbers.
 */
void lm_outer_apply(float *common, float *local, const uint8_t *packed, size_t count, int bits,
					LmEngine *engine);

#endif /* LM_OUTER_H */
