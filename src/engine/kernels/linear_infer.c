/*
 * src/engine/kernels/linear_infer.c
 *
 * Products with a weight for inference: packed panels stream past the rows, cut over threads.
 *
 * A piece is a run of panels, which one thread reads as one stream. Its length follows from the
 * work and the number of threads; results do not depend on it. A product of a few microseconds
 * stays on the calling thread. Where rows are many, threads pack them once for all pieces.
 */
#include "kernels/panels.h"
#include "kernels/pieces.h"

/* Work is weights times rows; reading a weight counts as one row more. */
/* in a piece: ~2 microseconds, the time to wake a spinning thread */
#define LEAST_WORK 131072.0
#define MOST_WORK 3e8 /* in a piece: a few ms, so that a stop is noticed soon */
#define PIECES_OF_THREAD 4
/* the same, where the last piece would have a thread wait for long */
#define PIECES_OF_MANY_ROWS 8
#define MANY_ROWS 64
#define LEAST_SHARED_ROWS 24 /* below, packing them again takes less than sharing does */

typedef struct InferWork
{
	const LmPanelKernels *kernels;
	const LmLinear *linear;
	float *y;
	LmPanelRows rows;
	uint32_t *packed;
	int n_parts;
	int n_panels; /* in a piece */
} InferWork;

static void pack_piece(void *work, int piece, int thread);
static void infer_piece(void *work, int piece, int thread);

/* float32 takes one word for each input, the other types take less; groups are whole. */
size_t
lm_linear_infer_scratch(int n_rows, int n_in)
{
	return (size_t) n_rows * (size_t) lm_divide_up((size_t) n_in, LM_GROUP) * LM_GROUP *
		   sizeof(uint32_t);
}

void
lm_linear_infer(LmEngine *engine, float *y, const float *x, const LmLinear *linear, int n_rows,
				void *scratch)
{
	InferWork work = {
		lm_panel_kernels(), linear, y, {x, n_rows, linear->n_in, NULL}, scratch, 1, 1};
	int n_panels = lm_divide_up((size_t) linear->n_out, LM_PANEL),
		n_threads = lm_engine_threads(engine), n_pieces;
	double panel_work = (double) linear->n_in * LM_PANEL * (n_rows + 1);
	int n_wanted = n_threads * (n_rows < MANY_ROWS ? PIECES_OF_THREAD : PIECES_OF_MANY_ROWS);
	double wanted = n_threads > 1 ? (double) n_panels / n_wanted : n_panels;

	if (n_rows <= 0)
		return;
	wanted = wanted * panel_work < LEAST_WORK ? LEAST_WORK / panel_work : wanted;
	wanted = wanted * panel_work > MOST_WORK ? MOST_WORK / panel_work : wanted;
	work.n_panels = wanted < n_panels ? (int) wanted + 1 : n_panels;
	n_pieces = lm_divide_up((size_t) n_panels, (size_t) work.n_panels);
	if (scratch && n_pieces > 1 && n_rows >= LEAST_SHARED_ROWS)
	{
		work.n_parts = n_threads > 1 ? PIECES_OF_THREAD * n_threads : 1;
		lm_engine_run(engine, pack_piece, &work, work.n_parts);
		work.rows.packed = work.packed;
	}
	lm_engine_run(engine, infer_piece, &work, n_pieces);
}

static void
pack_piece(void *argument, int piece, int thread)
{
	const InferWork *work = argument;

	work->kernels->pack(work->linear->type, work->packed, &work->rows, piece, work->n_parts);
}

static void
infer_piece(void *argument, int piece, int thread)
{
	const InferWork *work = argument;
	const LmLinear *linear = work->linear;
	int first = piece * work->n_panels * LM_PANEL;
	int n_out = lm_smaller(work->n_panels * LM_PANEL, linear->n_out - first);

	work->kernels->multiply(linear->type, work->y + first, &work->rows,
							(const char *) linear->panels +
								(size_t) (first / LM_PANEL) *
									lm_panel_size(linear->type, linear->n_in),
							linear->bias ? linear->bias + first : NULL, n_out, linear->n_out);
}
