/*
 * src/engine/kernels/loss.c
 *
 * Softmax and cross-entropy over the vocabulary, row by row.
 */
#include <string.h>

#include "kernels/pieces.h"
#include "kernels/simd.h"

typedef struct LossWork
{
	const LmSimd *simd;
	float *gradient; /* the logits in place, or NULL: nll only */
	float *nll;
	const float *logits;
	const int32_t *targets;
	const float *weights;
	float scale;
	float smoothing;
	int n_rows;
	int V;
} LossWork;

static void run_rows(LmEngine *engine, LossWork *work);
static void loss_piece(void *work, int piece, int thread);
static void loss_row(const LossWork *work, int row);

void
lm_cross_entropy(LmEngine *engine, float *logits, float *nll, const int32_t *targets, const float *weights,
				 float scale, float smoothing, int n_rows, int V)
{
	LossWork work = {lm_simd(), logits, nll, logits, targets, weights, scale, smoothing, n_rows, V};

	run_rows(engine, &work);
}

void
lm_cross_entropy_forward(LmEngine *engine, float *nll, const float *logits, const int32_t *targets, int n_rows, int V)
{
	LossWork work = {lm_simd(), NULL, nll, logits, targets, NULL, 1, 0, n_rows, V};

	run_rows(engine, &work);
}

static void
run_rows(LmEngine *engine, LossWork *work)
{
	lm_engine_run(engine, loss_piece, work, lm_divide_up((size_t) work->n_rows, (size_t) lm_piece_rows(work->V)));
}

static void
loss_piece(void *argument, int piece, int thread)
{
	const LossWork *work = argument;
	int first = piece * lm_piece_rows(work->V);
	int last = first + lm_smaller(lm_piece_rows(work->V), work->n_rows - first);

	for (int row = first; row < last; row++)
		loss_row(work, row);
}

static void
loss_row(const LossWork *work, int row)
{
	size_t offset = (size_t) row * (size_t) work->V;
	int target = work->targets[row];
	double lse;

	work->nll[row] = 0;
	if (target < 0 || (work->weights && work->weights[row] == 0))
	{
		if (work->gradient)
			memset(work->gradient + offset, 0, (size_t) work->V * sizeof(float));
		return;
	}
	lse = work->simd->log_sum_exp(work->logits + offset, work->V);
	work->nll[row] = (float) (lse - work->logits[offset + (size_t) target]);
	if (work->gradient)
		work->simd->cross_entropy_gradient(work->gradient + offset, lse, target, work->weights[row] * work->scale,
										   work->smoothing, work->V);
}

double
lm_log_sum_exp(const float *x, int n)
{
	return lm_simd()->log_sum_exp(x, n);
}
