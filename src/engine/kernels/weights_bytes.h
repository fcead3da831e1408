/*
 * src/engine/kernels/weights_bytes.h
 *
 * Weights quantised in groups of 32 inputs with a scale each: int8 and int4.
 *
 *   int8     unit of 32 inputs   | scales | quads 0 .. 7: 32 times 4 bytes, weight / scale + 128 |
 *   int4     unit of 32 inputs   | scales | double quads 0 .. 3: 32 times 4 bytes, of which the
 *                                low halves are quad 2i and the high halves quad 2i + 1,
 *                                weight / scale + 8 |
 *   scales   16 words; word i is the bfloat16 scale of channel i (low half) and i + 16 (high half)
 *
 * A scale is bfloat16 and not float16 because it has float32's range, so that no group of weights
 * is too small or too large for it, and is widened by a shift on every processor; its rounding
 * costs nothing, since weights are divided by the rounded scale.
 *
 * int8 is within half of 1/127 of the group's largest magnitude (and the 1/128 that rounding the
 * scale may take); int4 has 16 steps, of the tried scale with the least squared error.
 *
 * Each group of 32 inputs of a row becomes q = round(x 127 / m), m its largest magnitude. A product
 * is the sum over the groups in order of float(dot(q, w)) (scale (m / 127)), the dot products exact
 * in integers. It has the same bits on every processor.
 */
#ifndef LM_WEIGHTS_BYTES_H
#define LM_WEIGHTS_BYTES_H

#include <stdint.h>
#include <string.h>

#include "kernels/panels.h"

#define INT8_ZERO 128
#define INT4_ZERO 8

/* A unit of int8: scales and bytes as drawn above. */
typedef struct Int8Unit
{
	uint16_t scales[LM_PANEL];
	uint8_t quads[LM_GROUP / 4][LM_PANEL][4];
} Int8Unit;

/* A unit of int4. */
typedef struct Int4Unit
{
	uint16_t scales[LM_PANEL];
	uint8_t quads[LM_GROUP / 8][LM_PANEL][4]; /* two in each */
} Int4Unit;

#ifdef LM_PACKING
#include <math.h>

#include "kernels/bf16.h"
#include "kernels/pieces.h"

#define ROUND_TO_INT 12582912.0f /* 1.5 2^23: its lowest bit is worth one */
#define TRIED_SCALES 16 /* of a group of int4 */
#define ERROR_SUMS 8

/* Quantises a column's group of weights w [LM_GROUP] into a unit. */
typedef void (*PutGroup)(void *unit, int column, const float *w);

/* Hands each group of each row to put, padded with zeros. */
static void
pack_groups(char *panel, size_t unit_size, PutGroup put, const float *w, int n_in, int n_rows)
{
	for (int i = 0; i < n_in; i += LM_GROUP, panel += unit_size)
		for (int j = 0; j < LM_PANEL; j++)
		{
			float values[LM_GROUP] = {0};

			if (j < n_rows)
				memcpy(values, w + (size_t) j * (size_t) n_in + i,
					   (size_t) lm_smaller(LM_GROUP, n_in - i) * sizeof(float));
			put(panel, j, values);
		}
}

/* The place of a column's scale among those of a unit. */
static int
scale_place(int column)
{
	return column % (LM_PANEL / 2) * 2 + column / (LM_PANEL / 2);
}

/* 1 / scale; a scale of 0 or NaN, or one whose inverse is not finite, gives 0. */
static float
factor_of(float scale)
{
	float factor = fabsf(scale) > 0 ? 1 / scale : 0;

	return isfinite(factor) ? factor : 0;
}

/* q = round(w / scale), within bounds. */
static void
quantize(int8_t *q, const float *w, float scale, float lowest, float highest)
{
	float factor = factor_of(scale);

	for (int i = 0; i < LM_GROUP; i++)
	{
		float value = w[i] * factor;

		value = value > lowest ? value : lowest;
		value = value < highest ? value : highest;
		q[i] = (int8_t) (value + ROUND_TO_INT - ROUND_TO_INT);
	}
}

/* The sum of squared errors of quantize. */
static float
squared_error(const float *w, float scale, float lowest, float highest)
{
	float factor = factor_of(scale), errors[ERROR_SUMS] = {0}, sum = 0;

	for (int i = 0; i < LM_GROUP; i += ERROR_SUMS)
		for (int j = 0; j < ERROR_SUMS; j++)
		{
			float value = w[i + j] * factor, error;

			value = value > lowest ? value : lowest;
			value = value < highest ? value : highest;
			value = value + ROUND_TO_INT - ROUND_TO_INT;
			error = w[i + j] - value * scale;
			errors[j] += error * error;
		}
	for (int j = 0; j < ERROR_SUMS; j++)
		sum += errors[j];
	return sum;
}

/*
 * The scale of a group, rounded up so that no weight lies beyond 127 steps; NaN for weights that
 * are not finite.
 */
static float
int8_scale(const float *w)
{
	float largest = 0;
	uint16_t scale;

	for (int i = 0; i < LM_GROUP; i++)
	{
		if (!isfinite(w[i]))
			return NAN;
		largest = fmaxf(largest, fabsf(w[i]));
	}
	scale = lm_bf16_from_float(largest / 127);
	return lm_bf16_to_float((uint16_t) (scale + (lm_bf16_to_float(scale) < largest / 127)));
}

/* One byte a weight: q + 128. */
static void
put_int8(void *to, int column, const float *w)
{
	Int8Unit *unit = to;
	uint16_t scale = lm_bf16_from_float(int8_scale(w));
	int8_t q[LM_GROUP];

	unit->scales[scale_place(column)] = scale;
	quantize(q, w, lm_bf16_to_float(scale), -127, 127);
	for (int i = 0; i < LM_GROUP; i++)
		unit->quads[i / 4][column][i % 4] = (uint8_t) (q[i] + INT8_ZERO);
}

/*
 * The scale with the least squared error, of those that put the largest weight between 6.2 and 9.2
 * steps from 0, on the side that has 8 steps. It is 8 steps where errors are too small or too large
 * to compare.
 */
static float
int4_scale(const float *w)
{
	float largest = 0, best = 0, least = INFINITY;

	for (int i = 0; i < LM_GROUP; i++)
	{
		if (!isfinite(w[i]))
			return NAN;
		largest = fabsf(w[i]) > fabsf(largest) ? w[i] : largest;
	}
	for (int i = 0; i < TRIED_SCALES && largest != 0; i++)
	{
		float scale = -largest / (6.2f + 0.2f * (float) ((i + 9) % TRIED_SCALES)), error;

		scale = lm_bf16_to_float(lm_bf16_from_float(scale));
		error = squared_error(w, scale, -8, 7);
		if (i == 0 || error < least)
		{
			least = error;
			best = scale;
		}
	}
	return best;
}

/* Half a byte a weight: q + 8, even quads in the low halves. */
static void
put_int4(void *to, int column, const float *w)
{
	Int4Unit *unit = to;
	uint16_t scale = lm_bf16_from_float(int4_scale(w));
	int8_t q[LM_GROUP];

	unit->scales[scale_place(column)] = scale;
	quantize(q, w, lm_bf16_to_float(scale), -8, 7);
	for (int i = 0; i < LM_GROUP; i++)
	{
		uint8_t *place = &unit->quads[i / 8][column][i % 4];
		uint8_t half = (uint8_t) (q[i] + INT4_ZERO);

		*place = i / 4 % 2 == 0 ? half : (uint8_t) (*place | half << 4);
	}
}

/* LmWeightType.pack. */
static void
pack_int8(void *panel, const float *w, int n_in, int n_rows)
{
	pack_groups(panel, sizeof(Int8Unit), put_int8, w, n_in, n_rows);
}

/* LmWeightType.pack. */
static void
pack_int4(void *panel, const float *w, int n_in, int n_rows)
{
	pack_groups(panel, sizeof(Int4Unit), put_int4, w, n_in, n_rows);
}

/* Weight i of a column in steps of its scale. */
static int
int8_of(const void *unit, int column, int i)
{
	return ((const Int8Unit *) unit)->quads[i / 4][column][i % 4] - INT8_ZERO;
}

/* Weight i of a column in steps of its scale. */
static int
int4_of(const void *unit, int column, int i)
{
	uint8_t byte = ((const Int4Unit *) unit)->quads[i / 8][column][i % 4];

	return (i / 4 % 2 == 0 ? byte & 15 : byte >> 4) - INT4_ZERO;
}

/* Scales come first in the units of both types. */
static float
scale_of(const void *unit, int column)
{
	return lm_bf16_to_float(((const uint16_t *) unit)[scale_place(column)]);
}

/* LmWeightType.weight. */
static float
weight_int8(const void *unit, int column, int i)
{
	return (float) int8_of(unit, column, i) * scale_of(unit, column);
}

/* LmWeightType.weight. */
static float
weight_int4(const void *unit, int column, int i)
{
	return (float) int4_of(unit, column, i) * scale_of(unit, column);
}

/* Quantises the inputs as quantize_group does; number gives the weights in steps of their scale. */
static float
add_group(float sum, const float *x, const void *unit, int column, int n,
		  int (*number)(const void *unit, int column, int i))
{
	float largest = 0, scale = 0;
	int dot = 0;

	for (int i = 0; i < n; i++)
		largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
	if (largest > LM_SMALLEST_GROUP)
	{
		scale = largest / 127;
		for (int i = 0; i < n; i++)
			dot += (int) lrintf(x[i] * (127 / largest)) * number(unit, column, i);
	}
	return sum + (float) dot * (scale_of(unit, column) * scale);
}

/* LmWeightType.add. */
static float
add_int8(float sum, const float *x, const void *unit, int column, int n)
{
	return add_group(sum, x, unit, column, n, int8_of);
}

/* LmWeightType.add. */
static float
add_int4(float sum, const float *x, const void *unit, int column, int n)
{
	return add_group(sum, x, unit, column, n, int4_of);
}
#endif /* LM_PACKING */

#ifdef LM_SIMD
#include "kernels/panel_rows.h"
#include "kernels/panel_tiles.h"

#if LANES == 16
#define BYTE_ROWS 6
#else
#define BYTE_ROWS 4
#endif

/* Sums of two neighbouring products, of shorts and of unsigned bytes with signed ones. */
#if defined(__AVX512BW__)
#define MULTIPLY_SHORTS(a, b) ((Words) _mm512_madd_epi16((__m512i) (a), (__m512i) (b)))
#define MULTIPLY_BYTES(a, b) ((Shorts) _mm512_maddubs_epi16((__m512i) (a), (__m512i) (b)))
#elif defined(__AVX2__)
#define MULTIPLY_SHORTS(a, b) ((Words) _mm256_madd_epi16((__m256i) (a), (__m256i) (b)))
#define MULTIPLY_BYTES(a, b) ((Shorts) _mm256_maddubs_epi16((__m256i) (a), (__m256i) (b)))
#elif defined(__SSE2__)
#define MULTIPLY_SHORTS(a, b) ((Words) _mm_madd_epi16((__m128i) (a), (__m128i) (b)))
#endif

/* A vector of 16-bit numbers. */
typedef int16_t Shorts __attribute__((vector_size(LANES * 4)));

/*
 * Where rows of int8 are split: each word of four numbers becomes one of numbers 0 and 2 and one of
 * numbers 1 and 3, in 16 bits each, so that a tile need not do it again for each panel.
 */
#if defined(MULTIPLY_SHORTS) && !defined(__AVX512VNNI__)
#define HAS_SPLIT_ROWS
#endif

/* Words of a unit of a packed row. */
enum
{
#if defined(HAS_SPLIT_ROWS)
	int8_words = 2 * LM_GROUP_QUADS,
#else
	int8_words = LM_GROUP_QUADS,
#endif
	int4_words = LM_GROUP_QUADS
};

/* sum + the four products of unsigned bytes w and signed bytes x of each lane */
INLINE Words
add_quad(Words sum, Words w, uint32_t x)
{
#if defined(__AVX512VNNI__)
	return (Words) _mm512_dpbusd_epi32((__m512i) sum, (__m512i) w, (__m512i) splat_word(x));
#elif defined(MULTIPLY_SHORTS)
	Shorts signed_x = (Shorts) splat_word(x);

	sum += MULTIPLY_SHORTS(w & 0x00ff00ff, (signed_x << 8) >> 8);
	return sum + MULTIPLY_SHORTS((w >> 8) & 0x00ff00ff, signed_x >> 8);
#else
	for (int i = 0; i < 32; i += 8)
		sum += ((w >> i) & 0xff) * (uint32_t) (int32_t) (int8_t) (x >> i);
	return sum;
#endif
}

/* Scales of LANES columns from `column` on. */
INLINE Floats
load_scales(const char *unit, int column)
{
	const uint32_t *words = (const uint32_t *) (const void *) unit;

	return column < LM_PANEL / 2
			   ? (Floats) (load_words(words + column) << 16)
			   : (Floats) (load_words(words + column - LM_PANEL / 2) & 0xffff0000);
}

/* Integer sums of a unit, as any processor computes them: int8 has a quad a word, int4 two. */
INLINE void
add_unit_plainly(Words *sums, const char *unit, const char **ahead, size_t step, int column,
				 const uint32_t *x, int n_rows, int n_vectors, bool is_int4)
{
	const uint32_t *w =
		(const uint32_t *) (const void *) (unit + LM_PANEL * sizeof(uint16_t)) + column;

	for (int quad = 0; quad < LM_GROUP_QUADS;
		 quad += is_int4 ? 2 : 1, w += LM_PANEL, x += is_int4 ? 2 * n_rows : n_rows)
	{
		Words weights[PANEL_VECTORS];

		*ahead = fetch_ahead(*ahead, step, n_rows);
#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
			weights[v] = load_words(w + v * LANES);
#pragma GCC unroll 8
		for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
				sums[i * n_vectors + v] = add_quad(
					sums[i * n_vectors + v], is_int4 ? weights[v] & 0x0f0f0f0f : weights[v], x[i]);
#pragma GCC unroll 8
		for (int i = 0; is_int4 && i < n_rows; i++)
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
				sums[i * n_vectors + v] = add_quad(sums[i * n_vectors + v],
												   (weights[v] >> 4) & 0x0f0f0f0f, x[n_rows + i]);
	}
}

#if defined(MULTIPLY_BYTES) && !defined(__AVX512VNNI__)
#define HAS_SHORT_SUMS

/*
 * The same of int4 in sums of 16 bits, which a group cannot overflow: a lane takes 8 pairs of
 * products, each at most 2 15 127. All low halves of the bytes come first and then the high ones: a
 * shorter loop keeps its sums in registers.
 */
INLINE void
add_int4_unit(Words *sums, const char *unit, const char **ahead, size_t step, int column,
			  const uint32_t *x, int n_rows, int n_vectors)
{
	const uint32_t *w =
		(const uint32_t *) (const void *) (unit + LM_PANEL * sizeof(uint16_t)) + column;
	Shorts shorts[MOST_SUMS];

#pragma GCC unroll 16
	for (int i = 0; i < n_rows * n_vectors; i++)
		shorts[i] = (Shorts) splat_word(0);
#pragma GCC unroll 2
	for (int half = 0; half < 2; half++)
#pragma GCC unroll 1
		for (int pair = 0; pair < LM_GROUP_QUADS / 2; pair++)
		{
			Words bytes[PANEL_VECTORS];

			if (half == 0)
				*ahead = fetch_ahead(*ahead, step, n_rows);
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
			{
				bytes[v] = load_words(w + pair * LM_PANEL + v * LANES);
				bytes[v] = (half == 0 ? bytes[v] : bytes[v] >> 4) & 0x0f0f0f0f;
			}
#pragma GCC unroll 8
			for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
				for (int v = 0; v < n_vectors; v++)
					shorts[i * n_vectors + v] +=
						MULTIPLY_BYTES(bytes[v], splat_word(x[(2 * pair + half) * n_rows + i]));
		}
#pragma GCC unroll 16
	for (int i = 0; i < n_rows * n_vectors; i++)
		sums[i] += MULTIPLY_SHORTS(shorts[i], splat_word(0x00010001));
}
#endif

#if defined(HAS_SPLIT_ROWS)
/* The same of int8 with rows that are split; even bytes come first and then odd ones. */
INLINE void
add_int8_unit(Words *sums, const char *unit, const char **ahead, size_t step, int column,
			  const uint32_t *x, int n_rows, int n_vectors)
{
	const uint32_t *w =
		(const uint32_t *) (const void *) (unit + LM_PANEL * sizeof(uint16_t)) + column;

#pragma GCC unroll 2
	for (int half = 0; half < 2; half++)
#pragma GCC unroll 1
		for (int quad = 0; quad < LM_GROUP_QUADS; quad++, x += n_rows)
		{
			Words shorts[PANEL_VECTORS];

			if (half == 0)
				*ahead = fetch_ahead(*ahead, step, n_rows);
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
			{
				shorts[v] = load_words(w + quad * LM_PANEL + v * LANES);
				shorts[v] = (half == 0 ? shorts[v] : shorts[v] >> 8) & 0x00ff00ff;
			}
#pragma GCC unroll 8
			for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
				for (int v = 0; v < n_vectors; v++)
					sums[i * n_vectors + v] += MULTIPLY_SHORTS(shorts[v], splat_word(x[i]));
		}
}
#endif

/* Integer sums of a unit, by the instructions that the processor has. */
INLINE void
add_unit(Words *sums, const char *unit, const char **ahead, size_t step, int column,
		 const uint32_t *x, int n_rows, int n_vectors, bool is_int4)
{
#if defined(HAS_SHORT_SUMS)
	if (is_int4)
	{
		add_int4_unit(sums, unit, ahead, step, column, x, n_rows, n_vectors);
		return;
	}
#endif
#if defined(HAS_SPLIT_ROWS)
	if (!is_int4)
	{
		add_int8_unit(sums, unit, ahead, step, column, x, n_rows, n_vectors);
		return;
	}
#endif
	add_unit_plainly(sums, unit, ahead, step, column, x, n_rows, n_vectors, is_int4);
}

/* Rows against columns, unit by unit: exact integer sums, then the scales of weights and rows. */
INLINE void
byte_tile(const PanelTile *tile, int n_rows, int n_vectors, bool is_int4)
{
	size_t unit_size = is_int4 ? sizeof(Int4Unit) : sizeof(Int8Unit);
	const uint32_t *x = tile->words;
	const float *scales = tile->scales;
	const int32_t *starts = tile->starts;
	const char *at = tile->panel, *ahead = tile->ahead;
	Floats sums[MOST_SUMS];

	begin_sums(sums, tile, n_rows, n_vectors);
	for (int unit = 0; unit < tile->n_units; unit++)
	{
		Words dots[MOST_SUMS];

#pragma GCC unroll 8
		for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
				dots[i * n_vectors + v] = splat_word((uint32_t) starts[i]);
		add_unit(dots, at, &ahead, tile->ahead_step, tile->column, x, n_rows, n_vectors, is_int4);
#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
		{
			Floats weight_scales = load_scales(at, tile->column + v * LANES);

#pragma GCC unroll 8
			for (int i = 0; i < n_rows; i++)
				sums[i * n_vectors + v] +=
					__builtin_convertvector((Ints) dots[i * n_vectors + v], Floats) *
					(weight_scales * scales[i]);
		}
		at += unit_size;
		x += (is_int4 ? int4_words : int8_words) * n_rows;
		scales += n_rows;
		starts += n_rows;
	}
	end_sums(sums, tile, n_rows, n_vectors);
}

/* The tile of int8. */
INLINE void
int8_tile(const PanelTile *tile, int n_rows, int n_vectors)
{
	byte_tile(tile, n_rows, n_vectors, false);
}

/* The tile of int4. */
INLINE void
int4_tile(const PanelTile *tile, int n_rows, int n_vectors)
{
	byte_tile(tile, n_rows, n_vectors, true);
}

/* ConvertRow: the rows of both types differ in their zero. */
static void
int8_convert(uint32_t *words, const float *x, int n_in, int first, int n_units)
{
	quantize_row(words, int8_words, x, n_in, first, n_units, INT8_ZERO);
}

/* ConvertRow. */
static void
int4_convert(uint32_t *words, const float *x, int n_in, int first, int n_units)
{
	quantize_row(words, int4_words, x, n_in, first, n_units, INT4_ZERO);
}

TILES_OF(int8, BYTE_ROWS)
TILES_OF(int4, BYTE_ROWS)
#endif /* LM_SIMD */

#endif /* LM_WEIGHTS_BYTES_H */
