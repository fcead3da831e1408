/*
 * src/engine/train/dual_rows.h
 *
 * A row times the weights of up to sixteen labels, and its addition to them. Those of a feature lie
 * side by side: w [n_features, lanes], of one label or of a multiple of four.
 */
#ifndef LM_DUAL_ROWS_H
#define LM_DUAL_ROWS_H

#include "train/dual.h"

#define FOUR 4
#define MOST_FOURS 4
#define MOST_LANES (FOUR * MOST_FOURS)

typedef float Four __attribute__((vector_size(16)));

/* Of one label; four sums, because each addition waits for the one before it. */
static inline float
product(const float *w, const LmFeatureRows *rows, size_t row)
{
	double sums[FOUR] = {w[0]};
	size_t i = lm_row_begin(rows, row), end = rows->ends[row];

	for (; i + FOUR <= end; i += FOUR)
		for (size_t k = 0; k < FOUR; k++)
			sums[k] += (double) w[rows->features[i + k]] * rows->values[i + k];
	for (; i < end; i++)
		sums[0] += (double) w[rows->features[i]] * rows->values[i];
	return (float) (sums[0] + sums[1] + (sums[2] + sums[3]));
}

static inline void
products_of(Four *sums, const Four *w, const LmFeatureRows *rows, size_t row, const size_t fours)
{
	size_t end = rows->ends[row];
	Four y[MOST_FOURS];

#pragma GCC unroll 4
	for (size_t k = 0; k < fours; k++)
		y[k] = w[k];
	for (size_t i = lm_row_begin(rows, row); i < end; i++)
	{
		const Four *at = w + (size_t) rows->features[i] * fours;
		float value = rows->values[i];

#pragma GCC unroll 4
		for (size_t k = 0; k < fours; k++)
			y[k] += at[k] * value;
	}
#pragma GCC unroll 4
	for (size_t k = 0; k < fours; k++)
		sums[k] = y[k];
}

static inline void
add_row_of(Four *w, const Four *factors, const LmFeatureRows *rows, size_t row, const size_t fours)
{
	size_t end = rows->ends[row];
	Four y[MOST_FOURS];

#pragma GCC unroll 4
	for (size_t k = 0; k < fours; k++)
	{
		y[k] = factors[k];
		w[k] += y[k];
	}
	for (size_t i = lm_row_begin(rows, row); i < end; i++)
	{
		Four *at = w + (size_t) rows->features[i] * fours;
		float value = rows->values[i];

#pragma GCC unroll 4
		for (size_t k = 0; k < fours; k++)
			at[k] += y[k] * value;
	}
}

/* The compiler makes loops of the number of vectors. */
static inline void
products(float *sums, const float *weights, int lanes, const LmFeatureRows *rows, size_t row)
{
	const Four *w = (const Four *) (const void *) weights;
	Four *to = (Four *) (void *) sums;

	switch (lanes)
	{
		case 1:
			sums[0] = product(weights, rows, row);
			break;
		case FOUR:
			products_of(to, w, rows, row, 1);
			break;
		case 2 * FOUR:
			products_of(to, w, rows, row, 2);
			break;
		case 3 * FOUR:
			products_of(to, w, rows, row, 3);
			break;
		default:
			products_of(to, w, rows, row, MOST_FOURS);
	}
}

static inline void
add_row(float *weights, const float *factors, int lanes, const LmFeatureRows *rows, size_t row)
{
	const Four *from = (const Four *) (const void *) factors;
	Four *w = (Four *) (void *) weights;

	switch (lanes)
	{
		case 1:
			weights[0] += factors[0];
			for (size_t i = lm_row_begin(rows, row); i < rows->ends[row]; i++)
				weights[rows->features[i]] += factors[0] * rows->values[i];
			break;
		case FOUR:
			add_row_of(w, from, rows, row, 1);
			break;
		case 2 * FOUR:
			add_row_of(w, from, rows, row, 2);
			break;
		case 3 * FOUR:
			add_row_of(w, from, rows, row, 3);
			break;
		default:
			add_row_of(w, from, rows, row, MOST_FOURS);
	}
}

#endif /* LM_DUAL_ROWS_H */
