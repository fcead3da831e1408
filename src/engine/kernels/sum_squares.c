/*
 * src/engine/kernels/sum_squares.c
 *
 * The sum of squares of a block: the gradient's norm.
 */
#include "kernels/pieces.h"
#include "kernels/simd.h"

typedef struct SumWork
{
	const LmSimd *simd;
	double *sums;
	const float *x;
	size_t count;
} SumWork;

static void sum_piece(void *work, int piece, int thread);

double
lm_sum_squares(LmEngine *engine, const float *x, size_t count, void *scratch)
{
	SumWork work = {lm_simd(), scratch, x, count};
	int n_pieces = lm_divide_up(count, LM_PIECE_ELEMENTS);
	double sum = 0;

	lm_engine_run(engine, sum_piece, &work, n_pieces);
	for (int i = 0; i < n_pieces; i++)
		sum += work.sums[i];
	return sum;
}

static void
sum_piece(void *argument, int piece, int thread)
{
	const SumWork *work = argument;
	size_t first = (size_t) piece * LM_PIECE_ELEMENTS;

	work->sums[piece] = work->simd->sum_squares(
		work->x + first, lm_piece_size(first, work->count, LM_PIECE_ELEMENTS));
}

size_t
lm_sum_squares_scratch(size_t count)
{
	return (size_t) lm_divide_up(count, LM_PIECE_ELEMENTS) * sizeof(double);
}
