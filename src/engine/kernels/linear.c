/*
 * src/engine/kernels/linear.c
 *
 * Products with a weight in training, cut into tiles for the matrix library.
 *
 * A tile is wide enough that packing its operands is a small part of its work, at most LARGEST_TILE
 * so that a stop is noticed soon, and small enough that there are TILES_WANTED of them where the
 * work allows it.
 */
#include <string.h>

#include "kernels/linear_tiles.h"
#include "kernels/pieces.h"
#include "kernels/simd.h"

#define ROW_TILE 512
#define COLUMN_STEP 32 /* tiles are multiples of this, which suits every kernel */
#define SMALLEST_SIDE 96 /* below it, packing costs more than it gains */
/* multiply-adds: ~0.1 ms, some ten times what handing out a piece costs */
#define SMALLEST_TILE 4000000.0
#define LARGEST_TILE 500000000.0
#define TILES_WANTED 16
#define BIAS_ROWS 128 /* rows in a partial sum of dbias */

/* y [m, n] in tiles */
typedef struct Tiling
{
	int m;
	int n;
	int tile_m;
	int tile_n;
	int n_across;
	int n_tiles;
} Tiling;

typedef struct Tile
{
	int row;
	int n_rows;
	int column;
	int n_columns;
} Tile;

typedef struct ForwardWork
{
	const LmEngine *engine;
	const LmSimd *simd;
	const LmLinear *linear;
	float *y;
	const float *x;
	Tiling tiling;
} ForwardWork;

typedef struct BackwardWork
{
	const LmEngine *engine;
	const LmSimd *simd;
	const LmLinear *linear;
	float *dx;
	float *dw;
	const float *dy;
	const float *x;
	int n_rows;
	float *partial; /* [n_bias_pieces, n_out] */
	int n_bias_pieces;
	Tiling dw_tiling;
	Tiling dx_tiling;
} BackwardWork;

static Tiling cut_tiles(int m, int n, int k);
static Tile tile_of(const Tiling *tiling, int number);
static void forward_piece(void *work, int piece, int thread);
static void backward_piece(void *work, int piece, int thread);
static void weight_tile(const BackwardWork *work, int number);
static void input_tile(const BackwardWork *work, int number);
static void bias_piece(const BackwardWork *work, int piece);

void
lm_linear_forward(LmEngine *engine, float *y, const float *x, const LmLinear *linear, int n_rows)
{
	ForwardWork work = {engine, lm_simd(), linear,
						y,		x,		   cut_tiles(n_rows, linear->n_out, linear->n_in)};

	if (lm_linear_tiles(engine, linear))
	{
		lm_linear_tiles_forward(engine, y, x, linear, n_rows);
		return;
	}
	lm_engine_run(engine, forward_piece, &work, work.tiling.n_tiles);
}

/* One tile of y = x w' + bias, and of activated = activation(y) where that is wanted. */
static void
forward_piece(void *argument, int piece, int thread)
{
	const ForwardWork *work = argument;
	const LmLinear *linear = work->linear;
	Tile tile = tile_of(&work->tiling, piece);
	int n_in = linear->n_in, n_out = linear->n_out;
	float *y = work->y + (size_t) tile.row * (size_t) n_out + tile.column;
	const float *x = work->x + (size_t) tile.row * (size_t) n_in;
	const float *w = linear->w + (size_t) tile.column * (size_t) n_in;

	lm_matmul(work->engine, y, x, w, LM_NT, tile.n_rows, tile.n_columns, n_in, n_out, n_in, n_in, 1,
			  0);
	/* The tile is in the cache now; a pass of its own over y would wait for memory. */
	for (int i = 0; i < tile.n_rows; i++)
	{
		float *row = y + (size_t) i * (size_t) n_out;

		if (linear->bias)
			work->simd->add(row, linear->bias + tile.column, (size_t) tile.n_columns);
		if (linear->activated)
			work->simd->gelu_forward(linear->activated + (row - work->y), row,
									 (size_t) tile.n_columns, linear->activation);
	}
}

void
lm_linear_backward(LmEngine *engine, float *dx, float *dw, float *dbias, const float *dy,
				   const float *x, const LmLinear *linear, int n_rows, void *scratch)
{
	BackwardWork work = {engine, lm_simd(), linear, dx, dw, dy, x, n_rows, scratch};

	if (lm_linear_tiles(engine, linear))
	{
		lm_linear_tiles_backward(engine, dx, dw, dbias, dy, x, linear, n_rows);
		return;
	}
	work.n_bias_pieces = dbias ? lm_divide_up((size_t) n_rows, BIAS_ROWS) : 0;
	if (dw)
		work.dw_tiling = cut_tiles(linear->n_out, linear->n_in, n_rows);
	if (dx)
		work.dx_tiling = cut_tiles(n_rows, linear->n_in, linear->n_out);
	/*
	 * One run for all three: no thread waits for the last tile of one while there is work on
	 * another.
	 */
	lm_engine_run(engine, backward_piece, &work,
				  work.dw_tiling.n_tiles + work.dx_tiling.n_tiles + work.n_bias_pieces);
	for (int i = 0; i < work.n_bias_pieces; i++)
		work.simd->add(dbias, work.partial + (size_t) i * (size_t) linear->n_out,
					   (size_t) linear->n_out);
}

static void
backward_piece(void *argument, int piece, int thread)
{
	const BackwardWork *work = argument;

	if (piece < work->dw_tiling.n_tiles)
		weight_tile(work, piece);
	else if (piece < work->dw_tiling.n_tiles + work->dx_tiling.n_tiles)
		input_tile(work, piece - work->dw_tiling.n_tiles);
	else
		bias_piece(work, piece - work->dw_tiling.n_tiles - work->dx_tiling.n_tiles);
}

/* y = x w': dw += dy' x, over all rows in one call, so that there is nothing to sum over pieces */
static void
weight_tile(const BackwardWork *work, int number)
{
	Tile tile = tile_of(&work->dw_tiling, number);
	int n_in = work->linear->n_in, n_out = work->linear->n_out;

	lm_matmul(work->engine, work->dw + (size_t) tile.row * (size_t) n_in + tile.column,
			  work->dy + tile.row, work->x + tile.column, LM_TN, tile.n_rows, tile.n_columns,
			  work->n_rows, n_in, n_out, n_in, 1, work->linear->overwrite ? 0 : 1);
}

/* y = x w': dx = dy w */
static void
input_tile(const BackwardWork *work, int number)
{
	Tile tile = tile_of(&work->dx_tiling, number);
	const LmLinear *linear = work->linear;
	int n_in = linear->n_in, n_out = linear->n_out;
	float *dx = work->dx + (size_t) tile.row * (size_t) n_in + tile.column;

	lm_matmul(work->engine, dx, work->dy + (size_t) tile.row * (size_t) n_out,
			  linear->w + tile.column, LM_NN, tile.n_rows, tile.n_columns, n_out, n_in, n_out, n_in,
			  1, 0);
	for (int i = 0; linear->before && i < tile.n_rows; i++)
	{
		float *row = dx + (size_t) i * (size_t) n_in;

		work->simd->gelu_backward(row, row, linear->before + (row - work->dx),
								  (size_t) tile.n_columns, linear->activation);
	}
}

static void
bias_piece(const BackwardWork *work, int piece)
{
	int n_out = work->linear->n_out, first = piece * BIAS_ROWS;
	int last = first + lm_smaller(BIAS_ROWS, work->n_rows - first);
	float *partial = work->partial + (size_t) piece * (size_t) n_out;

	memset(partial, 0, (size_t) n_out * sizeof *partial);
	for (int i = first; i < last; i++)
		work->simd->add(partial, work->dy + (size_t) i * (size_t) n_out, (size_t) n_out);
}

size_t
lm_linear_backward_scratch(int n_rows, int n_out)
{
	return (size_t) lm_divide_up((size_t) n_rows, BIAS_ROWS) * (size_t) n_out * sizeof(float);
}

/*
 * Halves the longer side of the tiles until there are enough of them, or they would get too small.
 */
static Tiling
cut_tiles(int m, int n, int k)
{
	Tiling tiling = {m, n, lm_smaller(m, ROW_TILE), n};

	for (;;)
	{
		double work = (double) tiling.tile_m * tiling.tile_n * k;
		int *side = tiling.tile_n >= tiling.tile_m ? &tiling.tile_n : &tiling.tile_m;
		int half = (*side / 2 + COLUMN_STEP - 1) / COLUMN_STEP * COLUMN_STEP;

		tiling.n_across = lm_divide_up((size_t) n, (size_t) tiling.tile_n);
		tiling.n_tiles = tiling.n_across * lm_divide_up((size_t) m, (size_t) tiling.tile_m);
		if (half < SMALLEST_SIDE || half >= *side)
			return tiling;
		if (work <= LARGEST_TILE && (tiling.n_tiles >= TILES_WANTED || work / 2 < SMALLEST_TILE))
			return tiling;
		*side = half;
	}
}

static Tile
tile_of(const Tiling *tiling, int number)
{
	Tile tile;

	tile.row = number / tiling->n_across * tiling->tile_m;
	tile.column = number % tiling->n_across * tiling->tile_n;
	tile.n_rows = lm_smaller(tiling->tile_m, tiling->m - tile.row);
	tile.n_columns = lm_smaller(tiling->tile_n, tiling->n - tile.column);
	return tile;
}
