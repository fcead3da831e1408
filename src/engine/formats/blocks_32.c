/*
 * src/engine/formats/blocks_32.c
 *
 * Blocks of 32 elements. The first bytes are the scale d, a half; a type with a minimum m, a half,
 * has it next; a type with five bits has their highest ones next, 32 bits. The elements follow:
 * byte j has element j in its low four bits and element j + 16 in its high ones, or Q8_0 a byte for
 * each.
 *
 *   Q4_0    | d | 16 bytes |            y = d (q - 8)
 *   Q4_1    | d | m | 16 bytes |        y = d q + m
 *   Q5_0    | d | high | 16 bytes |     y = d (q - 16)
 *   Q5_1    | d | m | high | 16 bytes | y = d q + m
 *   Q8_0    | d | 32 bytes |            y = d q, q signed
 *   IQ4_NL  | d | 16 bytes |            y = d lm_iq4_values[q]
 *
 * Source of the layouts: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/ggml. Rows
 * of bytes are 8-bit integers, so that products and sums are those of the reference, bit by bit.
 */
#include <math.h>

#include "formats/blocks.h"
#include "formats/half.h"
#include "formats/iq4.h"

#define ELEMENTS 32
#define HALF 16

/* q [ELEMENTS] = the four bits of each element. */
static inline void
unpack_nibbles(int *q, const uint8_t *bytes)
{
	for (int j = 0; j < HALF; j++)
	{
		q[j] = bytes[j] & 15;
		q[j + HALF] = bytes[j] >> 4;
	}
}

/* The same, with bit j of high as the fifth bit of element j. */
static inline void
unpack_fives(int *q, uint32_t high, const uint8_t *bytes)
{
	unpack_nibbles(q, bytes);
	for (int j = 0; j < ELEMENTS; j++)
		q[j] |= (int) (high >> j & 1) << 4;
}

/* y = d q + m, rounded after the product. */
static inline void
scale(float *y, const int *q, float d, float m)
{
	for (int j = 0; j < ELEMENTS; j++)
		y[j] = d * (float) q[j] + m;
}

/* y = d (q - middle). */
static inline void
scale_around(float *y, const int *q, float d, int middle)
{
	for (int j = 0; j < ELEMENTS; j++)
		y[j] = d * (float) (q[j] - middle);
}

void
lm_q4_0_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;
	int q[ELEMENTS];

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 18)
	{
		unpack_nibbles(q, block + 2);
		scale_around(y, q, lm_half_to_float(lm_load_u16(block)), 8);
	}
}

void
lm_q4_1_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;
	int q[ELEMENTS];

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 20)
	{
		unpack_nibbles(q, block + 4);
		scale(y, q, lm_half_to_float(lm_load_u16(block)), lm_half_to_float(lm_load_u16(block + 2)));
	}
}

void
lm_q5_0_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;
	int q[ELEMENTS];

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 22)
	{
		unpack_fives(q, lm_load_u32(block + 2), block + 6);
		scale_around(y, q, lm_half_to_float(lm_load_u16(block)), 16);
	}
}

void
lm_q5_1_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;
	int q[ELEMENTS];

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 24)
	{
		unpack_fives(q, lm_load_u32(block + 4), block + 8);
		scale(y, q, lm_half_to_float(lm_load_u16(block)), lm_half_to_float(lm_load_u16(block + 2)));
	}
}

void
lm_q8_0_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 34)
	{
		float d = lm_half_to_float(lm_load_u16(block));

		for (int j = 0; j < ELEMENTS; j++)
			y[j] = d * (float) (int8_t) block[2 + j];
	}
}

void
lm_iq4_nl_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;
	int q[ELEMENTS];

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 18)
	{
		float d = lm_half_to_float(lm_load_u16(block));

		unpack_nibbles(q, block + 2);
		for (int j = 0; j < ELEMENTS; j++)
			y[j] = d * (float) lm_iq4_values[q[j]];
	}
}

/*
 * value as an integer from low to high, cut towards zero. What is not finite, as with the inverse
 * of a d below 2^-126, becomes 0.
 */
static inline int
cut(float value, float low, float high)
{
	if (!(fabsf(value) < INFINITY))
		return 0;
	value = value > low ? value : low;
	return (int) (value < high ? value : high);
}

/*
 * The element of the largest magnitude becomes -8, so d = -x / 8, and the others are rounded after
 * x / d + 8; 15 is the largest of them.
 */
void
lm_q4_0_encode(void *blocks, const float *x, size_t n_blocks)
{
	uint8_t *block = blocks;

	for (size_t i = 0; i < n_blocks; i++, x += ELEMENTS, block += 18)
	{
		float most = 0, d, inverse;

		for (int j = 0; j < ELEMENTS; j++)
			if (fabsf(x[j]) > fabsf(most) || isnan(x[j]))
				most = x[j];
		d = most / -8;
		inverse = d != 0 ? 1 / d : 0;
		lm_store_u16(block, lm_half_from_float(d));
		for (int j = 0; j < HALF; j++)
		{
			int low = cut(x[j] * inverse + 8.5f, 0, 15);
			int high = cut(x[j + HALF] * inverse + 8.5f, 0, 15);

			block[2 + j] = (uint8_t) (low | high << 4);
		}
	}
}

/* The largest magnitude becomes 127; a half is rounded away from zero. */
void
lm_q8_0_encode(void *blocks, const float *x, size_t n_blocks)
{
	uint8_t *block = blocks;

	for (size_t i = 0; i < n_blocks; i++, x += ELEMENTS, block += 34)
	{
		float most = 0, d, inverse;

		for (int j = 0; j < ELEMENTS; j++)
			if (fabsf(x[j]) > most || isnan(x[j]))
				most = fabsf(x[j]);
		d = most / 127;
		inverse = d != 0 ? 1 / d : 0;
		lm_store_u16(block, lm_half_from_float(d));
		for (int j = 0; j < ELEMENTS; j++)
			block[2 + j] = (uint8_t) (int8_t) cut(roundf(x[j] * inverse), -127, 127);
	}
}
