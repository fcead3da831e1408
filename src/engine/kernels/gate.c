/*
 * src/engine/kernels/gate.c
 *
 * The gate of a gated MLP (Shazeer 2020, "GLU variants improve transformer", section 2) and the
 * soft cap of logits, with their backward passes.
 */
#include "kernels/pieces.h"
#include "kernels/simd.h"

typedef struct GateWork
{
	const LmSimd *simd;
	float *y; /* [n_rows, M], or dx [n_rows, 2 M] */
	const float *dy;
	const float *x; /* [n_rows, 2 M] */
	int n_rows;
	int M;
	LmActivation kind;
} GateWork;

typedef struct CapWork
{
	const LmSimd *simd;
	float *y;
	const float *dy;
	const float *x;
	size_t count;
	float cap;
} CapWork;

static void run_rows(LmEngine *engine, LmPiece piece, GateWork *work);
static void forward_piece(void *work, int piece, int thread);
static void backward_piece(void *work, int piece, int thread);
static int last_row(const GateWork *work, int first);
static void cap_piece(void *work, int piece, int thread);
static void cap_gradient_piece(void *work, int piece, int thread);

void
lm_gate_forward(LmEngine *engine, float *y, const float *x, int n_rows, int M, LmActivation kind)
{
	GateWork work = {lm_simd(), y, NULL, x, n_rows, M, kind};

	run_rows(engine, forward_piece, &work);
}

void
lm_gate_backward(LmEngine *engine, float *dx, const float *dy, const float *x, int n_rows, int M,
				 LmActivation kind)
{
	GateWork work = {lm_simd(), dx, dy, x, n_rows, M, kind};

	run_rows(engine, backward_piece, &work);
}

static void
run_rows(LmEngine *engine, LmPiece piece, GateWork *work)
{
	lm_engine_run(engine, piece, work,
				  lm_divide_up((size_t) work->n_rows, (size_t) lm_piece_rows(2 * work->M)));
}

/* y = activation(gate) up */
static void
forward_piece(void *argument, int piece, int thread)
{
	const GateWork *work = argument;
	size_t M = (size_t) work->M;
	int first = piece * lm_piece_rows(2 * work->M);

	for (int row = first; row < last_row(work, first); row++)
	{
		const float *x = work->x + (size_t) row * 2 * M;

		work->simd->gate_forward(work->y + (size_t) row * M, x, x + M, M, work->kind);
	}
}

static int
last_row(const GateWork *work, int first)
{
	return first + lm_smaller(lm_piece_rows(2 * work->M), work->n_rows - first);
}

/* dgate = dy up activation'(gate), dup = dy activation(gate) */
static void
backward_piece(void *argument, int piece, int thread)
{
	const GateWork *work = argument;
	size_t M = (size_t) work->M;
	int first = piece * lm_piece_rows(2 * work->M);

	for (int row = first; row < last_row(work, first); row++)
	{
		const float *x = work->x + (size_t) row * 2 * M;
		float *dx = work->y + (size_t) row * 2 * M;

		work->simd->gate_backward(dx, dx + M, work->dy + (size_t) row * M, x, x + M, M, work->kind);
	}
}

void
lm_softcap_forward(LmEngine *engine, float *y, const float *x, size_t count, float cap)
{
	CapWork work = {lm_simd(), y, NULL, x, count, cap};

	lm_engine_run(engine, cap_piece, &work, lm_divide_up(count, LM_PIECE_ELEMENTS));
}

void
lm_softcap_backward(LmEngine *engine, float *dx, const float *dy, const float *y, size_t count,
					float cap)
{
	CapWork work = {lm_simd(), dx, dy, y, count, cap};

	lm_engine_run(engine, cap_gradient_piece, &work, lm_divide_up(count, LM_PIECE_ELEMENTS));
}

static void
cap_piece(void *argument, int piece, int thread)
{
	const CapWork *work = argument;
	size_t first = (size_t) piece * LM_PIECE_ELEMENTS;

	work->simd->softcap(work->y + first, work->x + first, work->cap,
						lm_piece_size(first, work->count, LM_PIECE_ELEMENTS));
}

static void
cap_gradient_piece(void *argument, int piece, int thread)
{
	const CapWork *work = argument;
	size_t first = (size_t) piece * LM_PIECE_ELEMENTS;

	work->simd->softcap_gradient(work->y + first, work->dy + first, work->x + first, work->cap,
								 lm_piece_size(first, work->count, LM_PIECE_ELEMENTS));
}
