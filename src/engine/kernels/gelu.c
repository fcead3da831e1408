/*
 * src/engine/kernels/gelu.c
 *
 * GELU (Hendrycks and Gimpel 2016) and its backward pass, and the sum of two arrays: passes over
 * elements.
 */
#include "kernels/pieces.h"
#include "kernels/simd.h"

typedef struct ElementWork
{
	const LmSimd *simd;
	float *y;
	const float *dy;
	const float *x;
	size_t count;
	LmActivation kind;
} ElementWork;

static void run_elements(LmEngine *engine, LmPiece piece, ElementWork *work);
static void forward_piece(void *work, int piece, int thread);
static void backward_piece(void *work, int piece, int thread);
static void add_piece(void *work, int piece, int thread);

void
lm_gelu_forward(LmEngine *engine, float *y, const float *x, size_t count, LmActivation kind)
{
	ElementWork work = {lm_simd(), y, NULL, x, count, kind};

	run_elements(engine, forward_piece, &work);
}

void
lm_gelu_backward(LmEngine *engine, float *dx, const float *dy, const float *x, size_t count,
				 LmActivation kind)
{
	ElementWork work = {lm_simd(), dx, dy, x, count, kind};

	run_elements(engine, backward_piece, &work);
}

void
lm_add(LmEngine *engine, float *y, const float *x, size_t count)
{
	ElementWork work = {lm_simd(), y, NULL, x, count, LM_GELU};

	run_elements(engine, add_piece, &work);
}

static void
run_elements(LmEngine *engine, LmPiece piece, ElementWork *work)
{
	lm_engine_run(engine, piece, work, lm_divide_up(work->count, LM_PIECE_ELEMENTS));
}

static void
forward_piece(void *argument, int piece, int thread)
{
	const ElementWork *work = argument;
	size_t first = (size_t) piece * LM_PIECE_ELEMENTS;
	size_t n = lm_piece_size(first, work->count, LM_PIECE_ELEMENTS);

	work->simd->gelu_forward(work->y + first, work->x + first, n, work->kind);
}

static void
backward_piece(void *argument, int piece, int thread)
{
	const ElementWork *work = argument;
	size_t first = (size_t) piece * LM_PIECE_ELEMENTS;
	size_t n = lm_piece_size(first, work->count, LM_PIECE_ELEMENTS);

	work->simd->gelu_backward(work->y + first, work->dy + first, work->x + first, n, work->kind);
}

static void
add_piece(void *argument, int piece, int thread)
{
	const ElementWork *work = argument;
	size_t first = (size_t) piece * LM_PIECE_ELEMENTS;

	work->simd->add(work->y + first, work->x + first,
					lm_piece_size(first, work->count, LM_PIECE_ELEMENTS));
}
