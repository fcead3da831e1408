/*
 * src/engine/formats/blocks_256.c
 *
 * Blocks of 256 elements, in groups of 16 or 32 with a scale of few bits each; d and m, halves,
 * scale these scales.
 *
 *   Q2_K    | 16 scales | 64 bytes | d | m |             y = d s q - m t; a byte has s low, t high
 *   Q3_K    | 32 high | 64 bytes | 12 scales | d |       y = d (s - 32) (q - 4)
 *   Q4_K    | d | m | 12 scales | 128 bytes |            y = d s q - m t
 *   Q5_K    | d | m | 12 scales | 32 high | 128 bytes |  y = d s q - m t
 *   Q6_K    | 128 bytes | 64 high | 16 scales | d |      y = d s (q - 32), s signed
 *   IQ4_XS  | d | 2 high scales | 4 scales | 128 bytes | y = d (s - 32) lm_iq4_values[q]
 *
 * Where elements have `bits` bits, a byte has those of 8 / bits elements, lowest bits first, that
 * lie `run` elements apart. The high bits of an element stand in an array of their own.
 *
 * Source of the layouts: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/ggml.
 */
#include "formats/blocks.h"
#include "formats/half.h"
#include "formats/iq4.h"

#define ELEMENTS 256

/*
 * Adds to q [ELEMENTS] the bits of each element, shifted by `shift`: elements e to e + run - 1 take
 * theirs from run bytes, the next run elements from the next bits of the same bytes.
 */
static inline void
unpack(int *q, const uint8_t *bytes, int bits, int run, int shift)
{
	for (int e = 0; e < ELEMENTS; bytes += run)
		for (int low = 0; low < 8; low += bits, e += run)
			for (int j = 0; j < run; j++)
				q[e + j] |= (bytes[j] >> low & ((1 << bits) - 1)) << shift;
}

/*
 * The eight scales and eight minima, of six bits, of Q4_K and Q5_K. Bytes 0 to 3 have the scales
 * and bytes 4 to 7 the minima of groups 0 to 3 in their low six bits. Byte 8 + i has the low four
 * bits of scale and minimum 4 + i, of which the high two bits are those of bytes i and 4 + i.
 */
static inline void
unpack_scales(int *scales, int *minima, const uint8_t *bytes)
{
	for (int i = 0; i < 4; i++)
	{
		scales[i] = bytes[i] & 63;
		minima[i] = bytes[4 + i] & 63;
		scales[4 + i] = (bytes[8 + i] & 15) | bytes[i] >> 6 << 4;
		minima[4 + i] = bytes[8 + i] >> 4 | bytes[4 + i] >> 6 << 4;
	}
}

void
lm_q2_k_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 84)
	{
		float d = lm_half_to_float(lm_load_u16(block + 80));
		float m = lm_half_to_float(lm_load_u16(block + 82));
		int q[ELEMENTS] = {0};

		unpack(q, block + 16, 2, 32, 0);
		for (int e = 0; e < ELEMENTS; e++)
			y[e] =
				d * (float) (block[e / 16] & 15) * (float) q[e] - m * (float) (block[e / 16] >> 4);
	}
}

/*
 * Of 16 scales, byte i of the first eight has the low four bits of scales i and i + 8, and byte i
 * of the last four the high two bits of scales i, i + 4, i + 8 and i + 12.
 */
void
lm_q3_k_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 110)
	{
		const uint8_t *scales = block + 96;
		float d = lm_half_to_float(lm_load_u16(block + 108));
		int q[ELEMENTS] = {0};

		unpack(q, block + 32, 2, 32, 0);
		unpack(q, block, 1, 32, 2);
		for (int group = 0; group < 16; group++)
		{
			int low = scales[group % 8] >> (group < 8 ? 0 : 4) & 15;
			int high = scales[8 + group % 4] >> group / 4 * 2 & 3;
			float factor = d * (float) ((low | high << 4) - 32);

			for (int j = 16 * group; j < 16 * group + 16; j++)
				y[j] = factor * (float) (q[j] - 4);
		}
	}
}

/* y = d s q - m t, in groups of 32. */
static inline void
scale_groups(float *y, const int *q, const uint8_t *block)
{
	float d = lm_half_to_float(lm_load_u16(block));
	float m = lm_half_to_float(lm_load_u16(block + 2));
	int scales[8], minima[8];

	unpack_scales(scales, minima, block + 4);
	for (int group = 0; group < 8; group++)
	{
		float factor = d * (float) scales[group], minimum = m * (float) minima[group];

		for (int j = 32 * group; j < 32 * group + 32; j++)
			y[j] = factor * (float) q[j] - minimum;
	}
}

void
lm_q4_k_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 144)
	{
		int q[ELEMENTS] = {0};

		unpack(q, block + 16, 4, 32, 0);
		scale_groups(y, q, block);
	}
}

void
lm_q5_k_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 176)
	{
		int q[ELEMENTS] = {0};

		unpack(q, block + 48, 4, 32, 0);
		unpack(q, block + 16, 1, 32, 4);
		scale_groups(y, q, block);
	}
}

void
lm_q6_k_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 210)
	{
		float d = lm_half_to_float(lm_load_u16(block + 208));
		int q[ELEMENTS] = {0};

		unpack(q, block, 4, 64, 0);
		unpack(q, block + 128, 2, 32, 4);
		for (int group = 0; group < 16; group++)
		{
			float factor = d * (float) (int8_t) block[192 + group];

			for (int j = 16 * group; j < 16 * group + 16; j++)
				y[j] = factor * (float) (q[j] - 32);
		}
	}
}

void
lm_iq4_xs_decode(float *y, const void *blocks, size_t n_blocks)
{
	const uint8_t *block = blocks;

	for (size_t i = 0; i < n_blocks; i++, y += ELEMENTS, block += 136)
	{
		float d = lm_half_to_float(lm_load_u16(block));
		int q[ELEMENTS] = {0};

		unpack(q, block + 8, 4, 16, 0);
		for (int group = 0; group < 8; group++)
		{
			int low = block[4 + group / 2] >> (group % 2 ? 4 : 0) & 15;
			int high = lm_load_u16(block + 2) >> 2 * group & 3;
			float factor = d * (float) ((low | high << 4) - 32);

			for (int j = 32 * group; j < 32 * group + 32; j++)
				y[j] = factor * (float) lm_iq4_values[q[j]];
		}
	}
}
