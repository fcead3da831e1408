/*
 * src/engine/kernels/norm.c
 *
 * Layer normalisation (Ba et al. 2016, equations 3 and 4) and RMSNorm (Zhang and Sennrich 2019),
 * and their backward passes.
 */
#include <string.h>

#include "kernels/dropout.h"
#include "kernels/pieces.h"

#define BACKWARD_ROWS 64 /* rows in a partial sum of dweight and dbias */

typedef struct ForwardWork
{
	const LmSimd *simd;
	float *y;
	float *mean;
	float *rstd;
	const float *x;
	const float *weight;
	const float *bias;
	int n_rows;
	int C;
	float epsilon;
	bool centered;
	const LmResidual *residual; /* NULL: x is there already */
	uint32_t threshold;
} ForwardWork;

typedef struct BackwardWork
{
	const LmSimd *simd;
	float *dx;
	float *partial; /* [blocks, 2, C]: dweight, then dbias */
	bool has_bias;
	const float *dy;
	const float *x;
	const float *mean;
	const float *rstd;
	const float *weight;
	int n_rows;
	int C;
	bool centered;
} BackwardWork;

static void residual_piece(void *work, int piece, int thread);
static void forward_piece(void *work, int piece, int thread);
static void backward_piece(void *work, int piece, int thread);

static bool
is_centred(LmNorm kind)
{
	switch (kind)
	{
		case LM_LAYERNORM:
			return true;
		case LM_RMSNORM:
			break;
	}
	return false;
}

void
lm_norm_forward(LmEngine *engine, float *y, float *mean, float *rstd, const float *x,
				const float *weight, const float *bias, int n_rows, int C, float epsilon,
				LmNorm kind)
{
	ForwardWork work = {lm_simd(),		  y,	mean, rstd, x, weight, bias, n_rows, C, epsilon,
						is_centred(kind), NULL, 0};

	lm_engine_run(engine, forward_piece, &work,
				  lm_divide_up((size_t) n_rows, (size_t) lm_piece_rows(C)));
}

void
lm_residual_norm_forward(LmEngine *engine, float *y, float *mean, float *rstd,
						 const LmResidual *residual, const float *weight, const float *bias,
						 int n_rows, int C, float epsilon, LmNorm kind)
{
	ForwardWork work = {lm_simd(),
						y,
						mean,
						rstd,
						residual->sum,
						weight,
						bias,
						n_rows,
						C,
						epsilon,
						is_centred(kind),
						residual,
						lm_dropout_threshold(residual->dropout)};

	lm_engine_run(engine, forward_piece, &work,
				  lm_divide_up((size_t) n_rows, (size_t) lm_piece_rows(C)));
}

void
lm_residual_forward(LmEngine *engine, const LmResidual *residual, int n_rows, int C)
{
	ForwardWork work = {.simd = lm_simd(),
						.n_rows = n_rows,
						.C = C,
						.residual = residual,
						.threshold = lm_dropout_threshold(residual->dropout)};

	lm_engine_run(engine, residual_piece, &work,
				  lm_divide_up((size_t) n_rows, (size_t) lm_piece_rows(C)));
}

static void
residual_piece(void *argument, int piece, int thread)
{
	const ForwardWork *work = argument;
	int first = piece * lm_piece_rows(work->C);
	int last = first + lm_smaller(lm_piece_rows(work->C), work->n_rows - first);

	for (int i = first; i < last; i++)
		lm_residual_row(work->simd, work->residual, work->threshold, i, work->C);
}

/* Normalises the rows of one piece; the residual sum of a row is made just before, in the cache. */
static void
forward_piece(void *argument, int piece, int thread)
{
	const ForwardWork *work = argument;
	int first = piece * lm_piece_rows(work->C);
	int last = first + lm_smaller(lm_piece_rows(work->C), work->n_rows - first);

	for (int i = first; i < last; i++)
	{
		size_t offset = (size_t) i * (size_t) work->C;
		float mean, rstd;

		if (work->residual)
			lm_residual_row(work->simd, work->residual, work->threshold, i, work->C);
		work->simd->norm_forward(work->y + offset, &mean, &rstd, work->x + offset, work->weight,
								 work->bias, work->C, work->epsilon, work->centered);
		if (work->mean)
			work->mean[i] = mean;
		if (work->rstd)
			work->rstd[i] = rstd;
	}
}

void
lm_norm_backward(LmEngine *engine, float *dx, float *dweight, float *dbias, const float *dy,
				 const float *x, const float *mean, const float *rstd, const float *weight,
				 int n_rows, int C, LmNorm kind, void *scratch)
{
	BackwardWork work = {lm_simd(), dx,	  scratch, dbias != NULL, dy, x,
						 mean,		rstd, weight,  n_rows,		  C,  is_centred(kind)};
	int n_blocks = lm_divide_up((size_t) n_rows, BACKWARD_ROWS);

	lm_engine_run(engine, backward_piece, &work, n_blocks);
	for (int i = 0; dweight && i < n_blocks; i++)
	{
		const float *partial = work.partial + (size_t) i * 2 * (size_t) C;

		work.simd->add(dweight, partial, (size_t) C);
		if (dbias)
			work.simd->add(dbias, partial + C, (size_t) C);
	}
}

/* dx of the rows of one piece; dweight and dbias are summed in the piece's partial. */
static void
backward_piece(void *argument, int piece, int thread)
{
	const BackwardWork *work = argument;
	int C = work->C, first = piece * BACKWARD_ROWS;
	int last = first + lm_smaller(BACKWARD_ROWS, work->n_rows - first);
	float *partial = work->partial + (size_t) piece * 2 * (size_t) C;

	memset(partial, 0, 2 * (size_t) C * sizeof *partial);
	for (int i = first; i < last; i++)
	{
		size_t offset = (size_t) i * (size_t) C;

		work->simd->norm_backward(work->dx + offset, partial, work->has_bias ? partial + C : NULL,
								  work->dy + offset, work->x + offset, work->mean[i], work->rstd[i],
								  work->weight, C, work->centered);
	}
}

size_t
lm_norm_backward_scratch(int n_rows, int C)
{
	return (size_t) lm_divide_up((size_t) n_rows, BACKWARD_ROWS) * 2 * (size_t) C * sizeof(float);
}
