/*
 * src/engine/kernels/weights_bfloat16.h
 *
 * Weights rounded to bfloat16, to nearest even.
 *
 *   unit of 2 inputs   | 32 pairs (input 2i, 2i + 1) |
 *
 * Rows are rounded to bfloat16 too (denormals to 0). A product is one chain of multiply-adds in
 * float32, of each pair the second input first, as in vdpbf16ps, which also takes denormal sums
 * for 0. It has the same bits on every processor, denormal sums apart.
 */
#ifndef LM_WEIGHTS_BFLOAT16_H
#define LM_WEIGHTS_BFLOAT16_H

#ifdef LM_PACKING
#include <math.h>

#include "kernels/bf16.h"

/* LmWeightType.pack; the layout is drawn above. */
static void
pack_bfloat16(void *panel, const float *w, int n_in, int n_rows)
{
	uint16_t *to = panel;

	for (int i = 0; i < n_in; i += 2, to += 2 * LM_PANEL)
		for (int j = 0; j < LM_PANEL; j++)
		{
			const float *pair = w + (size_t) j * (size_t) n_in + i;

			to[2 * j] = j < n_rows ? lm_bf16_from_float(pair[0]) : 0;
			to[2 * j + 1] = j < n_rows && i + 1 < n_in ? lm_bf16_from_float(pair[1]) : 0;
		}
}

/* LmWeightType.weight. */
static float
weight_bfloat16(const void *unit, int column, int i)
{
	return lm_bf16_to_float(((const uint16_t *) unit)[2 * column + i]);
}

/* LmWeightType.add. */
static float
add_bfloat16(float sum, const float *x, const void *unit, int column, int n)
{
	for (int i = n - 1; i >= 0; i--)
		sum =
			fmaf(lm_bf16_to_float(lm_bf16_from_float(x[i])), weight_bfloat16(unit, column, i), sum);
	return sum;
}
#endif /* LM_PACKING */

#ifdef LM_SIMD
#include "kernels/panel_rows.h"
#include "kernels/panel_tiles.h"

#if defined(__AVX512BF16__)
#define BFLOAT16_ROWS 12
#else
#define HAS_WIDE_ROWS /* a word for each number, so that a tile need not widen it */
#if LANES == 16
#define BFLOAT16_ROWS 12
#else
#define BFLOAT16_ROWS 6
#endif
#endif

/* Words of a unit of a packed row. */
enum
{
#if defined(HAS_WIDE_ROWS)
	bfloat16_words = 2
#else
	bfloat16_words = 1
#endif
};

/* The sums + x[1] w[1] + x[0] w[0], rounded twice, of n_rows rows of pairs. */
INLINE void
add_pairs(Floats *sums, const uint32_t *x, const uint32_t *w, int n_rows, int n_vectors)
{
#if defined(HAS_WIDE_ROWS)
	/* The second weights, which are the high halves of the words, then the first ones. */
#pragma GCC unroll 2
	for (int half = 1; half >= 0; half--)
	{
		Floats weights[PANEL_VECTORS];

#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
			weights[v] = (Floats) (half == 1 ? load_words(w + v * LANES) & 0xffff0000
											 : load_words(w + v * LANES) << 16);
#pragma GCC unroll 12
		for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
				sums[i * n_vectors + v] = multiply_add((Floats) splat_word(x[half * n_rows + i]),
													   weights[v], sums[i * n_vectors + v]);
	}
#else
	Words weights[PANEL_VECTORS];

#pragma GCC unroll 8
	for (int v = 0; v < n_vectors; v++)
		weights[v] = load_words(w + v * LANES);
#pragma GCC unroll 12
	for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
			sums[i * n_vectors + v] =
				(Floats) _mm512_dpbf16_ps((__m512) sums[i * n_vectors + v],
										  (__m512bh) splat_word(x[i]), (__m512bh) weights[v]);
#endif
}

/* n_rows rows against n_vectors vectors of columns; both are constants where this is inlined. */
INLINE void
bfloat16_tile(const PanelTile *tile, int n_rows, int n_vectors)
{
	const uint32_t *w = (const uint32_t *) (const void *) tile->panel + tile->column;
	const uint32_t *x = tile->words;
	const char *ahead = tile->ahead;
	Floats sums[MOST_SUMS];

	begin_sums(sums, tile, n_rows, n_vectors);
	for (int unit = 0; unit < tile->n_units; unit++, w += LM_PANEL, x += bfloat16_words * n_rows)
	{
		ahead = fetch_ahead(ahead, tile->ahead_step, n_rows);
		add_pairs(sums, x, w, n_rows, n_vectors);
	}
	end_sums(sums, tile, n_rows, n_vectors);
}

/* ConvertRow. */
static void
bfloat16_convert(uint32_t *words, const float *x, int n_in, int first, int n_units)
{
	round_row(words, x, n_in, first, n_units);
}

TILES_OF(bfloat16, BFLOAT16_ROWS)
#endif /* LM_SIMD */

#endif /* LM_WEIGHTS_BFLOAT16_H */
