/*
 * src/engine/kernels/vector_transpose.h
 *
 * LANES vectors as a square matrix, transposed in registers, and longer rows transposed square by
 * square.
 */
#ifndef LM_VECTOR_TRANSPOSE_H
#define LM_VECTOR_TRANSPOSE_H

#include "kernels/vector_types.h"

/* Low or high halves of a and b, lane by lane in turn. */
#if LANES == 16
#define ZIP_LOW(a, b) \
	__builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define ZIP_HIGH(a, b) \
	__builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif LANES == 8
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* Rows become columns: zipping the upper half of the rows with the lower, log2(LANES) times. */
INLINE void
transpose_lanes(Floats rows[LANES])
{
#pragma GCC unroll 4
	for (int step = 1; step < LANES; step *= 2)
	{
		Floats zipped[LANES];

#pragma GCC unroll 8
		for (int i = 0; i < LANES / 2; i++)
		{
			zipped[2 * i] = ZIP_LOW(rows[i], rows[i + LANES / 2]);
			zipped[2 * i + 1] = ZIP_HIGH(rows[i], rows[i + LANES / 2]);
		}
#pragma GCC unroll 16
		for (int i = 0; i < LANES; i++)
			rows[i] = zipped[i];
	}
}

/*
 * packed[p * stride + i] = from[i * ld + p] for i below n_lines, at most LANES, and p below k.
 * Stores whole vectors, so that LANES floats from packed[(k - 1) * stride] on are written: the
 * callers pack in ascending order and have room after the last.
 */
static __attribute__((unused)) void
pack_transposed(float *packed, size_t stride, const float *from, size_t ld, int n_lines, int k)
{
	Floats rows[LANES];
	int p = 0;

	for (; p + LANES <= k; p += LANES)
	{
#pragma GCC unroll 16
		for (int i = 0; i < LANES; i++)
			rows[i] = i < n_lines ? load(from + (size_t) i * ld + p) : splat(0);
		transpose_lanes(rows);
#pragma GCC unroll 16
		for (int i = 0; i < LANES; i++)
			store(packed + (size_t) (p + i) * stride, rows[i]);
	}
	for (; p < k; p++)
	{
		float column[LANES] = {0};

		for (int i = 0; i < n_lines; i++)
			column[i] = from[(size_t) i * ld + p];
		store(packed + (size_t) p * stride, load(column));
	}
}

#endif /* LM_VECTOR_TRANSPOSE_H */
