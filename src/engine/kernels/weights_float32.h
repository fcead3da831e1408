/*
 * src/engine/kernels/weights_float32.h
 *
 * float32 weights, which stay as they are.
 *
 *   unit of 1 input   | 32 floats |
 *
 * A product is one chain of multiply-adds over the inputs in order: it has the same bits wherever
 * there is a fused multiply-add.
 */
#ifndef LM_WEIGHTS_FLOAT32_H
#define LM_WEIGHTS_FLOAT32_H

#ifdef LM_PACKING
#include <math.h>

/* LmWeightType.pack; the layout is drawn above. */
static void
pack_float32(void *panel, const float *w, int n_in, int n_rows)
{
	float *to = panel;

	for (int i = 0; i < n_in; i++, to += LM_PANEL)
		for (int j = 0; j < LM_PANEL; j++)
			to[j] = j < n_rows ? w[(size_t) j * (size_t) n_in + i] : 0;
}

/* LmWeightType.weight. */
static float
weight_float32(const void *unit, int column, int i)
{
	return ((const float *) unit)[column];
}

/* LmWeightType.add. */
static float
add_float32(float sum, const float *x, const void *unit, int column, int n)
{
	return fmaf(*x, ((const float *) unit)[column], sum);
}
#endif /* LM_PACKING */

#ifdef LM_SIMD
#include "kernels/panel_tiles.h"

#if LANES == 16
#define FLOAT32_ROWS 12
#else
#define FLOAT32_ROWS 6
#endif

/* n_rows rows against n_vectors vectors of columns; both are constants where this is inlined. */
INLINE void
float32_tile(const PanelTile *tile, int n_rows, int n_vectors)
{
	const float *w = (const float *) (const void *) tile->panel + tile->column;
	const float *x = (const float *) (const void *) tile->words;
	const char *ahead = tile->ahead;
	Floats sums[MOST_SUMS];

	begin_sums(sums, tile, n_rows, n_vectors);
	for (int unit = 0; unit < tile->n_units; unit++, w += LM_PANEL, x += n_rows)
	{
		Floats weights[PANEL_VECTORS];

		ahead = fetch_ahead(ahead, tile->ahead_step, n_rows);
#pragma GCC unroll 8
		for (int v = 0; v < n_vectors; v++)
			weights[v] = load(w + v * LANES);
#pragma GCC unroll 12
		for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 8
			for (int v = 0; v < n_vectors; v++)
				sums[i * n_vectors + v] =
					multiply_add(splat(x[i]), weights[v], sums[i * n_vectors + v]);
	}
	end_sums(sums, tile, n_rows, n_vectors);
}

/* Words of a unit of a packed row. */
enum
{
	float32_words = 1
};
#define float32_convert NULL

TILES_OF(float32, FLOAT32_ROWS)
#endif /* LM_SIMD */

#endif /* LM_WEIGHTS_FLOAT32_H */
