/*
 * src/engine/kernels/pieces.h
 *
 * How work is cut. Sizes follow from shapes alone, never from the number of threads, so that
 * results do not depend on it.
 */
#ifndef LM_PIECES_H
#define LM_PIECES_H

#include <stddef.h>

/*
 * Elements in a piece of an elementwise pass: some tens of microseconds, and half of a level 2
 * cache.
 */
#define LM_PIECE_ELEMENTS 65536

/* Pieces of at most size that count elements need. */
static inline int
lm_divide_up(size_t count, size_t size)
{
	return (int) ((count + size - 1) / size);
}

/* Rows of n_columns elements in a piece, at least one. */
static inline int
lm_piece_rows(int n_columns)
{
	int n_rows = LM_PIECE_ELEMENTS / (n_columns > 0 ? n_columns : 1);

	return n_rows > 0 ? n_rows : 1;
}

/* The smaller of two numbers. */
static inline int
lm_smaller(int a, int b)
{
	return a < b ? a : b;
}

/* How many of count elements belong to the piece that begins at first. */
static inline size_t
lm_piece_size(size_t first, size_t count, size_t size)
{
	return count - first < size ? count - first : size;
}

#endif /* LM_PIECES_H */
