/*
 * src/engine/kernels/lora.c
 *
 * The product of a low-rank adapter, added to that of a layer (Hu et al. 2021, "LoRA: Low-rank
 * adaptation of large language models", equation 3):
 *
 *   h = mask(x) A';  y += scale h B'
 *
 * All of it is in float32. Pieces are rows or, for the gradients of A and B, columns that sum over
 * all rows in one call: so no sum goes over pieces. The backward pass computes h again, which costs
 * rank / n_out of the layer itself.
 */
#include "engine/ops.h"
#include "kernels/pieces.h"

#define ROWS 64
#define COLUMNS 128

typedef struct LoraWork
{
	const LmEngine *engine;
	const LmLora *lora;
	float *y; /* or dx, da, db */
	float *h;
	const float *x;
	const float *dy;
	float *db;
	int n_rows;
	int n_pieces_a;
	float beta;
} LoraWork;

static void forward_piece(void *work, int piece, int thread);
static void middle_piece(void *work, int piece, int thread);
static void weight_piece(void *work, int piece, int thread);
static void input_piece(void *work, int piece, int thread);
static void merge_piece(void *work, int piece, int thread);

/* The input of A. */
static const float *
masked(LmEngine *engine, const float *x, const LmLora *lora, int n_rows)
{
	if (lora->dropout.rate == 0)
		return x;
	lm_dropout(engine, lora->masked, x, &lora->dropout, n_rows, lora->n_in);
	return lora->masked;
}

void
lm_lora_forward(LmEngine *engine, float *y, const float *x, const LmLora *lora, int n_rows)
{
	LoraWork work = {.engine = engine, .lora = lora, .y = y, .h = lora->h, .n_rows = n_rows};

	work.x = masked(engine, x, lora, n_rows);
	lm_engine_run(engine, forward_piece, &work, lm_divide_up((size_t) n_rows, ROWS));
}

/* h = x A', y += scale h B' for the rows of one piece. */
static void
forward_piece(void *argument, int piece, int thread)
{
	const LoraWork *work = argument;
	const LmLora *lora = work->lora;
	size_t first = (size_t) piece * ROWS;
	int n = lm_smaller(ROWS, work->n_rows - (int) first), in = lora->n_in, out = lora->n_out,
		rank = lora->rank;
	float *h = work->h + first * (size_t) rank;

	lm_matmul(work->engine, h, work->x + first * (size_t) in, lora->a, LM_NT, n, rank, in, rank, in,
			  in, 1, 0);
	lm_matmul(work->engine, work->y + first * (size_t) out, h, lora->b, LM_NT, n, out, rank, out,
			  rank, rank, lora->scale, 1);
}

void
lm_lora_backward(LmEngine *engine, float *dx, float *da, float *db, const float *dy, const float *x,
				 const LmLora *lora, bool overwrite, int n_rows)
{
	int n_blocks = lm_divide_up((size_t) n_rows, ROWS);
	LoraWork work = {.engine = engine,
					 .lora = lora,
					 .dy = dy,
					 .h = lora->h,
					 .db = db,
					 .n_rows = n_rows,
					 .beta = overwrite ? 0 : 1};

	work.x = masked(engine, x, lora, n_rows);
	lm_engine_run(engine, middle_piece, &work, n_blocks);
	work.y = da;
	work.n_pieces_a = lm_divide_up((size_t) lora->n_in, COLUMNS);
	lm_engine_run(engine, weight_piece, &work,
				  work.n_pieces_a + lm_divide_up((size_t) lora->n_out, COLUMNS));
	/* h = mask(x) A': dx += mask(dh A) */
	work.y = lora->dropout.rate == 0 ? dx : lora->masked;
	work.beta = lora->dropout.rate == 0 ? 1 : 0;
	lm_engine_run(engine, input_piece, &work, n_blocks);
	if (lora->dropout.rate == 0)
		return;
	lm_dropout(engine, lora->masked, lora->masked, &lora->dropout, n_rows, lora->n_in);
	lm_add(engine, dx, lora->masked, (size_t) n_rows * (size_t) lora->n_in);
}

/* h = mask(x) A';  y += scale h B': dh = scale dy B */
static void
middle_piece(void *argument, int piece, int thread)
{
	const LoraWork *work = argument;
	const LmLora *lora = work->lora;
	size_t first = (size_t) piece * ROWS;
	int n = lm_smaller(ROWS, work->n_rows - (int) first), in = lora->n_in, out = lora->n_out,
		rank = lora->rank;

	lm_matmul(work->engine, work->h + first * (size_t) rank, work->x + first * (size_t) in, lora->a,
			  LM_NT, n, rank, in, rank, in, in, 1, 0);
	lm_matmul(work->engine, lora->dh + first * (size_t) rank, work->dy + first * (size_t) out,
			  lora->b, LM_NN, n, rank, out, rank, out, rank, lora->scale, 0);
}

/* dA += dh' mask(x), some of its columns; dB += scale dy' h, some of its rows */
static void
weight_piece(void *argument, int piece, int thread)
{
	const LoraWork *work = argument;
	const LmLora *lora = work->lora;
	bool is_a = piece < work->n_pieces_a;
	int first = (is_a ? piece : piece - work->n_pieces_a) * COLUMNS;
	int in = lora->n_in, out = lora->n_out, rank = lora->rank;

	if (is_a)
		lm_matmul(work->engine, work->y + first, lora->dh, work->x + first, LM_TN, rank,
				  lm_smaller(COLUMNS, in - first), work->n_rows, in, rank, in, 1, work->beta);
	else
		lm_matmul(work->engine, work->db + (size_t) first * (size_t) rank, work->dy + first,
				  work->h, LM_TN, lm_smaller(COLUMNS, out - first), rank, work->n_rows, rank, out,
				  rank, lora->scale, work->beta);
}

static void
input_piece(void *argument, int piece, int thread)
{
	const LoraWork *work = argument;
	const LmLora *lora = work->lora;
	size_t first = (size_t) piece * ROWS;
	int n = lm_smaller(ROWS, work->n_rows - (int) first), in = lora->n_in, rank = lora->rank;

	lm_matmul(work->engine, work->y + first * (size_t) in, lora->dh + first * (size_t) rank,
			  lora->a, LM_NN, n, in, rank, in, rank, in, 1, work->beta);
}

void
lm_lora_merge(LmEngine *engine, float *w, const LmLora *lora)
{
	LoraWork work = {.engine = engine, .lora = lora, .y = w};

	lm_engine_run(engine, merge_piece, &work, lm_divide_up((size_t) lora->n_out, ROWS));
}

/* w += scale B A, some of its rows */
static void
merge_piece(void *argument, int piece, int thread)
{
	const LoraWork *work = argument;
	const LmLora *lora = work->lora;
	size_t first = (size_t) piece * ROWS;
	int n = lm_smaller(ROWS, lora->n_out - (int) first), in = lora->n_in, rank = lora->rank;

	lm_matmul(work->engine, work->y + first * (size_t) in, lora->b + first * (size_t) rank, lora->a,
			  LM_NN, n, in, rank, in, rank, in, lora->scale, 1);
}
