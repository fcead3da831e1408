/*
 * src/engine/kernels/dropout.c
 *
 * Dropout, and a row of the residual connection with a dropped-out branch. Masks are made again in
 * the backward pass instead of kept.
 */
#include "kernels/dropout.h"
#include "kernels/pieces.h"

/* channels of a mask that fit the level 1 cache; a multiple of LM_MASK_GROUP */
#define CHUNK 1024

typedef struct DropoutWork
{
	const LmSimd *simd;
	float *y;
	const float *x;
	const LmDropout *dropout;
	uint32_t threshold;
	int n_rows;
	int C;
} DropoutWork;

static void dropout_piece(void *work, int piece, int thread);
static void dropout_row(const DropoutWork *work, int row);

void
lm_dropout(LmEngine *engine, float *y, const float *x, const LmDropout *dropout, int n_rows, int C)
{
	DropoutWork work = {lm_simd(), y, x, dropout, lm_dropout_threshold(dropout), n_rows, C};

	if (work.threshold > 0)
		lm_engine_run(engine, dropout_piece, &work,
					  lm_divide_up((size_t) n_rows, (size_t) lm_piece_rows(C)));
}

static void
dropout_piece(void *argument, int piece, int thread)
{
	const DropoutWork *work = argument;
	int first = piece * lm_piece_rows(work->C);
	int last = first + lm_smaller(lm_piece_rows(work->C), work->n_rows - first);

	for (int row = first; row < last; row++)
		dropout_row(work, row);
}

/* y = mask x for one row; the mask is made in chunks, so that it stays in the cache. */
static void
dropout_row(const DropoutWork *work, int row)
{
	_Alignas(64) float mask[CHUNK];
	LmMaskRow place = lm_mask_row(work->dropout, work->threshold, row, 0);

	for (int channel = 0; channel < work->C; channel += CHUNK)
	{
		size_t offset = (size_t) row * (size_t) work->C + (size_t) channel;
		int n = lm_smaller(CHUNK, work->C - channel);

		work->simd->dropout_mask(mask, &place, channel, n);
		work->simd->multiply_to(work->y + offset, work->x + offset, mask, (size_t) n);
	}
}

void
lm_residual_row(const LmSimd *simd, const LmResidual *residual, uint32_t threshold, int row, int C)
{
	_Alignas(64) float mask[CHUNK];
	size_t first = (size_t) row * (size_t) C;
	LmMaskRow place;

	if (threshold == 0)
	{
		simd->add_to(residual->sum + first, residual->x + first, residual->branch + first,
					 (size_t) C);
		return;
	}
	place = lm_mask_row(residual->dropout, threshold, row, 0);
	for (int channel = 0; channel < C; channel += CHUNK)
	{
		size_t offset = first + (size_t) channel;
		int n = lm_smaller(CHUNK, C - channel);

		simd->dropout_mask(mask, &place, channel, n);
		simd->multiply_add(residual->sum + offset, residual->x + offset, mask,
						   residual->branch + offset, (size_t) n);
	}
}
