/*
 * test/unit/kernels.h
 *
 * What the tests of the operations share: an engine, random arrays, comparison, and naive twins.
 */
#ifndef TEST_KERNELS_H
#define TEST_KERNELS_H

#include <float.h>

#include "engine/ops.h"
#include "kernels/simd.h"
#include "tap.h"

static TapHost kernels_host_state;
static LmHost kernels_host;

/* blas_library NULL: the one that is found, also where the built-in kernels would be preferred. */
static inline LmEngine *
test_engine(int n_threads, const char *blas_library)
{
	LmEngineOptions options = {
		.n_threads = n_threads, .blas_library = blas_library, .f32 = blas_library ? NULL : ""};
	LmError error = {0};
	LmEngine *engine;

	if (!kernels_host.reallocate)
		kernels_host = tap_host(&kernels_host_state);
	engine = lm_engine_start(&kernels_host, &options, &error);
	if (!engine)
		printf("# engine: %s\n", error.message);
	return engine;
}

/* All instruction sets that this processor has; returns how many. */
static inline int
test_simds(const LmSimd *simds[3])
{
	const LmSimd *best = lm_simd();
	int n = 0;

	simds[n++] = &lm_simd_base;
	if (best == &lm_simd_avx2 || best == &lm_simd_avx512)
		simds[n++] = &lm_simd_avx2;
	if (best == &lm_simd_avx512)
		simds[n++] = &lm_simd_avx512;
	return n;
}

/* count numbers of N(0, deviation), malloc'd; a different array for each seed */
static inline float *
random_floats(size_t count, float deviation, uint64_t seed)
{
	float *x = malloc((count + 1) * sizeof *x);

	lm_random_normal(x, count, deviation, lm_key(seed, LM_RANDOM_INIT, 0, 0));
	return x;
}

static inline float *
zero_array(size_t count)
{
	return calloc(count + 1, sizeof(float));
}

static inline float *
copy_floats(const float *x, size_t count)
{
	float *y = malloc((count + 1) * sizeof *y);

	memcpy(y, x, count * sizeof *y);
	return y;
}

static inline void *
test_scratch(size_t size)
{
	return aligned_alloc(64, size / 64 * 64 + 64);
}

/* Largest |x - y|; infinite when either is not a number. */
static inline double
largest_difference(const float *x, const float *y, size_t count)
{
	double largest = 0;

	for (size_t i = 0; i < count; i++)
	{
		double difference = fabs((double) x[i] - y[i]);

		if (!(difference <= largest))
			largest = isnan(difference) ? INFINITY : difference;
	}
	return largest;
}

static inline bool
same_bits(const float *x, const float *y, size_t count)
{
	return memcmp(x, y, count * sizeof *x) == 0;
}

static inline bool
is_close(const float *got, const float *wanted, size_t count, double tolerance, const char *name)
{
	double difference = largest_difference(got, wanted, count);
	bool pass = ok(difference <= tolerance, "%s", name);

	if (!pass)
		printf("# largest difference %g, tolerance %g\n", difference, tolerance);
	return pass;
}

static inline double
weighted_sum(const float *x, const float *weights, size_t count)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += (double) x[i] * weights[i];
	return sum;
}

/* Σ dy y of a function of x, for central differences: forward(context) reads x and returns it. */
typedef double (*Objective)(void *context);

/* |gradient - central difference| <= tolerance (1 + |gradient|) for some of x's elements. */
static inline bool
gradient_holds(Objective objective, void *context, float *x, const float *gradient, size_t count,
			   float step, double tolerance, const char *name)
{
	size_t stride = count / 37 + 1;
	double worst = 0;
	bool pass;

	for (size_t i = 0; i < count; i += stride)
	{
		float old = x[i];
		double above, below, slope;

		x[i] = old + step;
		above = objective(context);
		x[i] = old - step;
		below = objective(context);
		slope = (above - below) / ((double) (old + step) - (double) (old - step));
		x[i] = old;
		if (!(fabs(slope - gradient[i]) / (1 + fabs(slope)) <= worst))
			worst = fabs(slope - gradient[i]) / (1 + fabs(slope));
	}
	pass = ok(worst <= tolerance, "%s", name);
	if (!pass)
		printf("# relative difference %g, tolerance %g\n", worst, tolerance);
	return pass;
}

/* The mask of dropout as random.h and vector_random.h define it, from the scalar generator. */
static inline float
naive_mask(const LmDropout *dropout, int row, int channel, uint32_t head)
{
	uint32_t out[4], word, threshold;
	int group = channel / 64, quarter = channel % 64 / 16, lane = channel % 16 / 2,
		parity = channel % 2;

	if (!dropout || dropout->rate == 0)
		return 1;
	threshold = (uint32_t) (dropout->rate * 65536 + 0.5f);
	lm_random(out, dropout->key, (uint32_t) (group * 8 + lane), (uint32_t) dropout->positions[row],
			  (uint32_t) dropout->examples[row], head);
	word = out[parity + quarter / 2 * 2];
	if ((quarter % 2 ? word >> 16 : word & 0xffff) < threshold)
		return 0;
	return (float) (1 / (1 - threshold / 65536.0));
}

#endif /* TEST_KERNELS_H */
