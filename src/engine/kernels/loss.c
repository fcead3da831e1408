/*
 * src/engine/kernels/loss.c
 *
 * Softmax and cross-entropy over the vocabulary, and sigmoids and their cross-entropies over
 * labels, row by row.
 */
#include <math.h>
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
	int V; /* or labels */
	const LmLabelSets *sets; /* targets are their numbers; NULL: targets are tokens, or labels */
} LossWork;

static void run_rows(LmEngine *engine, LossWork *work);
static void loss_piece(void *work, int piece, int thread);
static void loss_row(const LossWork *work, int row);
static void softmax_row(const LossWork *work, int row);
static void sigmoid_row(const LossWork *work, int row);

void
lm_cross_entropy(LmEngine *engine, float *logits, float *nll, const int32_t *targets,
				 const float *weights, float scale, float smoothing, int n_rows, int V)
{
	LossWork work = {lm_simd(), logits,	   nll,	   logits, targets, weights,
					 scale,		smoothing, n_rows, V,	   NULL};

	run_rows(engine, &work);
}

void
lm_cross_entropy_forward(LmEngine *engine, float *nll, const float *logits, const int32_t *targets,
						 int n_rows, int V)
{
	LossWork work = {lm_simd(), NULL, nll, logits, targets, NULL, 1, 0, n_rows, V, NULL};

	run_rows(engine, &work);
}

void
lm_binary_cross_entropy(LmEngine *engine, float *logits, float *nll, const int32_t *targets,
						const LmLabelSets *sets, const float *weights, float scale, float smoothing,
						int n_rows, int n_labels)
{
	LossWork work = {lm_simd(), logits,	   nll,	   logits,	 targets, weights,
					 scale,		smoothing, n_rows, n_labels, sets};

	run_rows(engine, &work);
}

void
lm_binary_cross_entropy_forward(LmEngine *engine, float *nll, const float *logits,
								const int32_t *targets, const LmLabelSets *sets, int n_rows,
								int n_labels)
{
	LossWork work = {lm_simd(), NULL, nll, logits, targets, NULL, 1, 0, n_rows, n_labels, sets};

	run_rows(engine, &work);
}

static void
run_rows(LmEngine *engine, LossWork *work)
{
	lm_engine_run(engine, loss_piece, work,
				  lm_divide_up((size_t) work->n_rows, (size_t) lm_piece_rows(work->V)));
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

/* Loss and gradient of one row: both 0 without a target, else by softmax or by sigmoids. */
static void
loss_row(const LossWork *work, int row)
{
	work->nll[row] = 0;
	if (work->targets[row] < 0 || (work->weights && work->weights[row] == 0))
	{
		if (work->gradient)
			memset(work->gradient + (size_t) row * (size_t) work->V, 0,
				   (size_t) work->V * sizeof(float));
	}
	else if (work->sets)
		sigmoid_row(work, row);
	else
		softmax_row(work, row);
}

static void
softmax_row(const LossWork *work, int row)
{
	size_t offset = (size_t) row * (size_t) work->V;
	int target = work->targets[row];
	double lse = work->simd->log_sum_exp(work->logits + offset, work->V);

	work->nll[row] = (float) (lse - work->logits[offset + (size_t) target]);
	if (work->gradient)
		work->simd->cross_entropy_gradient(work->gradient + offset, lse, target,
										   work->weights[row] * work->scale, work->smoothing,
										   work->V);
}

/*
 * Σ log(1 + exp x) - Σ of the set's x. In plain C: labels are few beside the products that make
 * their logits. The exponential is of
 * -|x|, which does not overflow. The set's logits are subtracted before they are overwritten.
 */
static void
sigmoid_row(const LossWork *work, int row)
{
	const float *x = work->logits + (size_t) row * (size_t) work->V;
	float *gradient = work->gradient ? work->gradient + (size_t) row * (size_t) work->V : NULL;
	double factor = work->gradient ? (double) work->weights[row] * work->scale : 0, sum = 0;
	uint64_t n;
	const uint32_t *members = lm_label_set(&n, work->sets, (uint64_t) work->targets[row]);

	for (uint64_t i = 0; i < n; i++)
		sum -= x[members[i]];
	for (int i = 0; i < work->V; i++)
	{
		double logit = x[i], small = exp(-fabs(logit));

		sum += (logit > 0 ? logit : 0) + log1p(small);
		if (gradient)
			gradient[i] =
				(float) (factor * ((logit > 0 ? 1 : small) / (1 + small) - 0.5 * work->smoothing));
	}
	for (uint64_t i = 0; gradient && i < n; i++)
		gradient[members[i]] -= (float) (factor * (1 - work->smoothing));
	work->nll[row] = (float) sum;
}

double
lm_log_sum_exp(const float *x, int n)
{
	return lm_simd()->log_sum_exp(x, n);
}
