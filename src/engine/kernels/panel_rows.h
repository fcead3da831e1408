/*
 * src/engine/kernels/panel_rows.h
 *
 * Rows of activations in the form that tiles read: numbers rounded to bfloat16, or groups of bytes
 * with a scale.
 */
#ifndef LM_PANEL_ROWS_H
#define LM_PANEL_ROWS_H

#include "kernels/panels.h"
#include "kernels/vector_transpose.h"

#define GROUP_VECTORS (LM_GROUP / LANES)
#define ROUND_TO_INT 12582912.0f /* 1.5 2^23: its lowest bit is worth one */

/* LANES small numbers in memory. */
typedef int8_t Chars __attribute__((vector_size(LANES), aligned(1), may_alias));

/* x, or a copy of its n numbers padded with zeros to LM_GROUP where there are fewer. */
INLINE const float *
whole_group(const float *x, int n, float *padded)
{
	if (n >= LM_GROUP)
		return x;
	for (int i = 0; i < LM_GROUP; i++)
		padded[i] = i < n ? x[i] : 0;
	return padded;
}

#if defined(__AVX512BF16__)
/*
 * Words of n_units pairs from input `first` on: to nearest even, denormals to zero, NaN stays.
 * Writes whole groups, so words must have room for LM_GROUP / 2 more.
 */
INLINE void
round_row(uint32_t *words, const float *x, int n_in, int first, int n_units)
{
	float padded[LM_GROUP];

	for (int i = 0; i < 2 * n_units; i += LM_GROUP)
	{
		const float *from = whole_group(x + first + i, n_in - first - i, padded);

		*(__m512i_u *) (void *) (words + i / 2) =
			(__m512i) _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from));
	}
}
#else
/* The bits of x rounded to bfloat16, in float32: nearest even, denormals to zero, NaN stays. */
INLINE Words
round_to_bfloat16(Floats x)
{
	Words bits = (Words) x, rounded = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
	Words magnitude = bits & 0x7fffffff;

	rounded = (Words) choose(is_below(magnitude, splat_word(0x7f800001)), (Floats) rounded,
							 (Floats) ((bits & 0xffff0000) | 0x400000));
	return (Words) choose(is_below(magnitude, splat_word(0x00800000)), (Floats) (bits & 0x80000000),
						  (Floats) rounded);
}

/*
 * 2 n_units numbers from input `first` on, each rounded in a word of its own. Writes whole groups,
 * so words must have room for LM_GROUP more.
 */
INLINE void
round_row(uint32_t *words, const float *x, int n_in, int first, int n_units)
{
	float padded[LM_GROUP];

	for (int i = 0; i < 2 * n_units; i += LM_GROUP)
	{
		const float *from = whole_group(x + first + i, n_in - first - i, padded);

		for (int j = 0; j < LM_GROUP; j += LANES)
			store((float *) (void *) words + i + j, (Floats) round_to_bfloat16(load(from + j)));
	}
}
#endif

/* The numbers of a group, from -127 to 127, as bytes in their order. */
INLINE void
store_bytes(uint32_t *words, const Words *numbers)
{
#if defined(__AVX2__) && LANES == 8
	/* Packing works on halves of a register, so that words come out in the order 0 4 1 5 ... */
	__m256i bytes =
		_mm256_packs_epi16(_mm256_packs_epi32((__m256i) numbers[0], (__m256i) numbers[1]),
						   _mm256_packs_epi32((__m256i) numbers[2], (__m256i) numbers[3]));

	bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
	store((float *) (void *) words, (Floats) bytes);
#else
#pragma GCC unroll 8
	for (int v = 0; v < GROUP_VECTORS; v++)
		*(Chars *) ((char *) words + v * LANES) = __builtin_convertvector((Ints) numbers[v], Chars);
#endif
}

/*
 * Quantises a group: its bytes, its scale, and *start, which is minus zero times the sum of its
 * bytes and makes up for weights that are stored with `zero` added. A group that is not finite gets
 * the scale NaN.
 */
INLINE void
quantize_group(uint32_t *words, float *scale, int32_t *start, const float *x, int zero)
{
	Floats values[GROUP_VECTORS], largest = splat(0), nothing = splat(0);
	Words sum = splat_word(0), numbers[GROUP_VECTORS];
	float magnitude, factor, total;

#pragma GCC unroll 8
	for (int v = 0; v < GROUP_VECTORS; v++)
	{
		values[v] = load(x + v * LANES);
		largest = larger((Floats) ((Words) values[v] & 0x7fffffff), largest);
		nothing += values[v] * 0.0f;
	}
	magnitude = largest_lane(largest);
	factor = magnitude > LM_SMALLEST_GROUP ? 127 / magnitude : 0;
	*scale = (magnitude > LM_SMALLEST_GROUP ? magnitude / 127 : 0) + sum_lanes(nothing);
#pragma GCC unroll 8
	for (int v = 0; v < GROUP_VECTORS; v++)
	{
		numbers[v] = (Words) (values[v] * factor + ROUND_TO_INT) - (Words) splat(ROUND_TO_INT);
		sum += numbers[v];
	}
	store_bytes(words, numbers);
	total = sum_lanes(__builtin_convertvector((Ints) sum, Floats));
	*start = total == total && *scale == *scale ? -zero * (int32_t) total : 0;
}

/*
 * Each word of four bytes becomes two, of which the second ones follow the first: bytes 0 and 2,
 * and bytes 1 and 3, in 16 bits each.
 */
INLINE void
split_group(uint32_t *words)
{
	for (int i = 0; i < LM_GROUP_QUADS; i++)
	{
		uint32_t four = words[i];

		words[i] = (uint32_t) (int8_t) four & 0xffff;
		words[i] |= (uint32_t) (int8_t) (four >> 16) << 16;
		words[LM_GROUP_QUADS + i] = (uint32_t) (int8_t) (four >> 8) & 0xffff;
		words[LM_GROUP_QUADS + i] |= (uint32_t) (int8_t) (four >> 24) << 16;
	}
}

/*
 * n_units groups from input `first` on, then their scales, then their starts; a group of
 * LM_GROUP_QUADS words, or split in twice as many.
 */
INLINE void
quantize_row(uint32_t *words, int unit_words, const float *x, int n_in, int first, int n_units,
			 int zero)
{
	float *scales = (float *) (void *) (words + (size_t) n_units * (size_t) unit_words);
	int32_t *starts = (int32_t *) (void *) (scales + n_units);
	float padded[LM_GROUP];

	for (int unit = 0; unit < n_units; unit++)
	{
		int at = first + unit * LM_GROUP;
		uint32_t *to = words + unit * unit_words;

		quantize_group(to, scales + unit, starts + unit, whole_group(x + at, n_in - at, padded),
					   zero);
		if (unit_words > LM_GROUP_QUADS)
			split_group(to);
	}
}

#endif /* LM_PANEL_ROWS_H */
