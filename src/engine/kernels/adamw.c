/*
 * src/engine/kernels/adamw.c
 *
 * The optimizer's pass over all parameters, and the gradient's norm.
 */
#include "kernels/pieces.h"
#include "kernels/simd.h"

typedef struct SweepWork
{
	const LmSimd *simd;
	float *p;
	float *m;
	float *v;
	const float *gradient;
	const LmAdamWRange *ranges;
	int n_ranges;
} SweepWork;

typedef struct SumWork
{
	const LmSimd *simd;
	double *sums;
	const float *x;
	size_t count;
} SumWork;

static void sweep_piece(void *work, int piece, int thread);
static const LmAdamWRange *range_of(const SweepWork *work, int piece);
static void sum_piece(void *work, int piece, int thread);

void
lm_adamw_sweep(LmEngine *engine, float *p, float *m, float *v, const float *gradient,
			   LmAdamWRange *ranges, int n_ranges)
{
	SweepWork work = {lm_simd(), p, m, v, gradient, ranges, n_ranges};
	int n_pieces = 0;

	for (int i = 0; i < n_ranges; i++)
	{
		ranges[i].first_piece = n_pieces;
		n_pieces += lm_divide_up(ranges[i].count, LM_PIECE_ELEMENTS);
	}
	lm_engine_run(engine, sweep_piece, &work, n_pieces);
}

static void
sweep_piece(void *argument, int piece, int thread)
{
	const SweepWork *work = argument;
	const LmAdamWRange *range = range_of(work, piece);
	size_t first = (size_t) (piece - range->first_piece) * LM_PIECE_ELEMENTS;
	size_t count = lm_piece_size(first, range->count, LM_PIECE_ELEMENTS);

	first += range->first;
	work->simd->adamw(work->p + first, work->m + first, work->v + first, work->gradient + first,
					  count, range->rule);
}

/* The last range whose first piece is not beyond. */
static const LmAdamWRange *
range_of(const SweepWork *work, int piece)
{
	int first = 0, last = work->n_ranges - 1;

	while (first < last)
	{
		int middle = (first + last + 1) / 2;

		if (work->ranges[middle].first_piece <= piece)
			first = middle;
		else
			last = middle - 1;
	}
	return &work->ranges[first];
}

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
