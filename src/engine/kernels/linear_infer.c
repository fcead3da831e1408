/*
 * src/engine/kernels/linear_infer.c
 *
 * Products with a weight for inference: packed panels stream past the rows, cut over threads.
 *
 * A piece is a run of panels, which one thread reads as one stream. How long it is follows from the work and the number of
 * threads: results do not depend on it. What takes a few microseconds stays on the calling thread.
 */
#include "kernels/panels.h"
#include "kernels/pieces.h"

/* Work is weights times rows; reading a weight counts as one row more. */
#define LEAST_WORK 131072.0 /* in a piece: ~2 microseconds, what waking a spinning thread takes */
#define MOST_WORK 3e8 /* in a piece: a few ms, so that a stop is noticed soon */
#define PIECES_OF_THREAD 4

typedef struct InferWork
{
	LmPanelMultiply multiply;
	const LmLinear *linear;
	float *y;
	const float *x;
	int n_rows;
	int n_panels; /* in a piece */
} InferWork;

static void infer_piece(void *work, int piece, int thread);

void
lm_linear_infer(LmEngine *engine, float *y, const float *x, const LmLinear *linear, int n_rows)
{
	InferWork work = {lm_panel_kernels()->multiply[linear->type], linear, y, x, n_rows, 1};
	int n_panels = lm_divide_up((size_t) linear->n_out, LM_PANEL), n_threads = lm_engine_threads(engine);
	double panel_work = (double) linear->n_in * LM_PANEL * (n_rows + 1);
	double wanted = n_threads > 1 ? (double) n_panels / (PIECES_OF_THREAD * n_threads) : n_panels;

	if (n_rows <= 0)
		return;
	wanted = wanted * panel_work < LEAST_WORK ? LEAST_WORK / panel_work : wanted;
	wanted = wanted * panel_work > MOST_WORK ? MOST_WORK / panel_work : wanted;
	work.n_panels = wanted < n_panels ? (int) wanted + 1 : n_panels;
	lm_engine_run(engine, infer_piece, &work, lm_divide_up((size_t) n_panels, (size_t) work.n_panels));
}

static void
infer_piece(void *argument, int piece, int thread)
{
	const InferWork *work = argument;
	const LmLinear *linear = work->linear;
	int first = piece * work->n_panels * LM_PANEL;
	int n_out = lm_smaller(work->n_panels * LM_PANEL, linear->n_out - first);

	work->multiply(work->y + first, work->x, (const char *) linear->panels + (size_t) (first / LM_PANEL) * lm_panel_size(linear->type, linear->n_in),
				   linear->bias ? linear->bias + first : NULL, work->n_rows, linear->n_in, n_out, linear->n_out);
}
