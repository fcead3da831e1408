/*
 * include/engine/random.h
 *
 * Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
 * easy as 1, 2, 3", section 3.2). A number is a function of its key and its place, so it does not
 * depend on threads, micro-batches, recomputation or resume.
 */
#ifndef LM_RANDOM_H
#define LM_RANDOM_H

#include <stdint.h>

/* The streams of random numbers. A number of this list never changes: results depend on it. */
typedef enum LmPurpose
{
	LM_RANDOM_INIT = 1,
	LM_RANDOM_EMBEDDING_DROPOUT,
	LM_RANDOM_ATTENTION_DROPOUT,
	LM_RANDOM_PROJECTION_DROPOUT,
	LM_RANDOM_MLP_DROPOUT,
	LM_RANDOM_ORDER,
	LM_RANDOM_CROP,
	LM_RANDOM_SAMPLE,
	LM_RANDOM_LORA_DROPOUT,
	LM_RANDOM_OUTPUTS_DROPOUT,
	LM_RANDOM_CROSS_DROPOUT,
	LM_RANDOM_CROSS_PROJECTION_DROPOUT,
	LM_RANDOM_RUNS_DROPOUT,
	LM_RANDOM_RESAMPLE,
} LmPurpose;

/* The key of a stream; a plain value. */
typedef struct LmKey
{
	uint32_t word[2];
} LmKey;

/* A key from what stays the same over a pass: seed, purpose, step, layer. */
LmKey lm_key(uint64_t seed, LmPurpose purpose, uint64_t step, uint32_t layer);

/* out [4] gets four uniform 32-bit words for the place (a, b, c, d). */
void lm_random(uint32_t out[4], LmKey key, uint32_t a, uint32_t b, uint32_t c, uint32_t d);

/* Uniform in [0, 1) with 53 bits, of the place (a, b, c). */
double lm_random_uniform(LmKey key, uint32_t a, uint32_t b, uint32_t c);

/* count draws of N(0, deviation) (Box and Muller 1958); the i-th is a function of key and i. */
void lm_random_normal(float *out, uint64_t count, float deviation, LmKey key);
/* Draws number first .. first + count - 1 of the same; first is even. */
void lm_random_normal_from(float *out, uint64_t first, uint64_t count, float deviation, LmKey key);

/*
 * A permutation of 0 .. n - 1 without memory: the i-th element under key (Feistel network over the
 * next power of two, walking the cycle until the value is below n; Black and Rogaway 2002).
 */
uint64_t lm_random_permute(LmKey key, uint64_t i, uint64_t n);

#endif /* LM_RANDOM_H */
