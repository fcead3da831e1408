/*
 * src/engine/base/random.c
 *
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.2)
 * and the numbers drawn from it. kernels/vector_random.h has the vectorised copy for dropout masks.
 */
#include <math.h>

#include "base/philox.h"
#include "engine/random.h"

/*
 * Black and Rogaway (2002) need three rounds for a pseudorandom permutation; small domains mix
 * better with more.
 */
#define FEISTEL_ROUNDS 6

static double uniform53(uint32_t high, uint32_t low);
static void normal_pair(double pair[2], LmKey key, uint64_t number);
static uint64_t feistel(LmKey key, uint64_t value, int half_bits);

LmKey
lm_key(uint64_t seed, LmPurpose purpose, uint64_t step, uint32_t layer)
{
	LmKey root = {{(uint32_t) seed, (uint32_t) (seed >> 32)}};
	uint32_t out[4];

	lm_random(out, root, (uint32_t) purpose, layer, (uint32_t) step, (uint32_t) (step >> 32));
	return (LmKey){{out[0], out[1]}};
}

void
lm_random(uint32_t out[4], LmKey key, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	uint32_t key0 = key.word[0], key1 = key.word[1];

	for (int round = 0; round < PHILOX_ROUNDS; round++)
	{
		uint64_t product0 = (uint64_t) PHILOX_MULTIPLIER_0 * a;
		uint64_t product1 = (uint64_t) PHILOX_MULTIPLIER_1 * c;

		a = (uint32_t) (product1 >> 32) ^ b ^ key0;
		b = (uint32_t) product1;
		c = (uint32_t) (product0 >> 32) ^ d ^ key1;
		d = (uint32_t) product0;
		key0 += PHILOX_WEYL_0;
		key1 += PHILOX_WEYL_1;
	}
	out[0] = a;
	out[1] = b;
	out[2] = c;
	out[3] = d;
}

double
lm_random_uniform(LmKey key, uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t out[4];

	lm_random(out, key, a, b, c, 0);
	return uniform53(out[0], out[1]);
}

static double
uniform53(uint32_t high, uint32_t low)
{
	return ((double) (high >> 5) * 67108864.0 + (double) (low >> 6)) * 0x1p-53;
}

void
lm_random_normal(float *out, uint64_t count, float deviation, LmKey key)
{
	lm_random_normal_from(out, 0, count, deviation, key);
}

void
lm_random_normal_from(float *out, uint64_t first, uint64_t count, float deviation, LmKey key)
{
	double pair[2];

	for (uint64_t i = 0; i < count; i++)
	{
		if (i % 2 == 0)
			normal_pair(pair, key, (first + i) / 2);
		out[i] = (float) (deviation * pair[i % 2]);
	}
}

/*
 * Box and Muller (1958), equations 1: both normals of two uniforms. 1 - u keeps the logarithm
 * finite.
 */
static void
normal_pair(double pair[2], LmKey key, uint64_t number)
{
	uint32_t out[4];
	double radius, angle;

	lm_random(out, key, (uint32_t) number, (uint32_t) (number >> 32), 0, 1);
	radius = sqrt(-2.0 * log(1.0 - uniform53(out[0], out[1])));
	angle = 6.283185307179586 * uniform53(out[2], out[3]);
	pair[0] = radius * cos(angle);
	pair[1] = radius * sin(angle);
}

uint64_t
lm_random_permute(LmKey key, uint64_t i, uint64_t n)
{
	int half_bits = 1;

	if (n < 2)
		return 0;
	while (half_bits < 32 && (UINT64_C(1) << (2 * half_bits)) < n)
		half_bits++;
	/*
	 * The domain is less than 4 n, so that the walk back into 0 .. n - 1 takes fewer than 4 steps
	 * on average.
	 */
	do
		i = feistel(key, i, half_bits);
	while (i >= n);
	return i;
}

/* A permutation of the numbers of 2 half_bits bits: each round maps (l, r) to (r, l ^ f(r)). */
static uint64_t
feistel(LmKey key, uint64_t value, int half_bits)
{
	uint64_t mask = (UINT64_C(1) << half_bits) - 1;
	uint64_t left = value >> half_bits & mask, right = value & mask;

	for (uint32_t round = 0; round < FEISTEL_ROUNDS; round++)
	{
		uint32_t out[4];
		uint64_t next;

		lm_random(out, key, (uint32_t) right, round, 0, 2);
		next = left ^ (out[0] & mask);
		left = right;
		right = next;
	}
	return left << half_bits | right;
}
