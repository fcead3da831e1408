/*
 * src/engine/train/newton_schulz.c
 *
 * The iterations in float32, and what both number formats share: tiles, buffers, the order of the
 * passes.
 */
#include "train/newton_schulz.h"

#define ITERATIONS 5 /* odd: the result lies where the first one wrote */

static void gram_tile(void *work, int piece, int thread);
static void polynomial_tile(void *work, int piece, int thread);
static void product_tile(void *work, int piece, int thread);

bool
lm_ns_fits_bf16(int rows, int columns)
{
	return rows % LM_TILE_STEP == 0 && columns % LM_TILE_STEP == 0;
}

void
lm_ns_layout(LmNsMatrix *matrix, LmArena *arena, int rows, int columns, bool bf16)
{
	int side = lm_smaller(rows, columns), length = rows + columns - side;

	*matrix = (LmNsMatrix){.rows = rows, .columns = columns, .side = side, .tall = rows > columns};
	matrix->x = lm_arena_floats(arena, (size_t) rows, (size_t) columns);
	matrix->gram = lm_arena_floats(arena, (size_t) side, (size_t) side);
	matrix->polynomial = lm_arena_floats(arena, (size_t) side, (size_t) side);
	if (!bf16)
		return;
	matrix->gram_a = lm_arena_take(arena, lm_tile_count(side, length), sizeof(uint16_t));
	matrix->gram_b = lm_arena_take(arena, lm_tile_count(side, length), sizeof(uint16_t));
	matrix->factor = lm_arena_take(arena, lm_tile_count(length, side), sizeof(uint16_t));
	matrix->square_a = lm_arena_take(arena, lm_tile_count(side, side), sizeof(uint16_t));
	matrix->square_b = lm_arena_take(arena, lm_tile_count(side, side), sizeof(uint16_t));
}

void
lm_newton_schulz(LmNsSet *set)
{
	for (set->iteration = 0; set->iteration < ITERATIONS && !lm_engine_stopped(set->engine);
		 set->iteration++)
	{
		if (set->bf16)
			lm_ns_iterate_bf16(set);
		else
		{
			lm_ns_run(set, gram_tile, lm_ns_square_tiles);
			lm_ns_run(set, polynomial_tile, lm_ns_square_tiles);
			lm_ns_run(set, product_tile, lm_ns_tiles);
		}
	}
}

/* ---- Pieces ------------------------------------------------------------- */

void
lm_ns_run(LmNsSet *set, LmPiece piece, LmNsCount count)
{
	int n_pieces = 0;

	for (int i = 0; i < set->n; i++)
		n_pieces += count(&set->matrices[i]);
	lm_engine_run(set->engine, piece, set, n_pieces);
}

const LmNsMatrix *
lm_ns_matrix(const LmNsSet *set, int *piece, LmNsCount count)
{
	const LmNsMatrix *matrix = set->matrices;

	for (int n = count(matrix); *piece >= n; n = count(matrix))
	{
		*piece -= n;
		matrix++;
	}
	return matrix;
}

int
lm_ns_square_tiles(const LmNsMatrix *matrix)
{
	int n = lm_divide_up((size_t) matrix->side, LM_NS_TILE);

	return n * (n + 1) / 2;
}

/* On and above the diagonal, row by row. */
LmNsTile
lm_ns_square_tile(const LmNsMatrix *matrix, int number)
{
	int n = lm_divide_up((size_t) matrix->side, LM_NS_TILE), row = 0;
	LmNsTile tile;

	for (; number >= n - row; row++)
		number -= n - row;
	tile.row = row * LM_NS_TILE;
	tile.column = (row + number) * LM_NS_TILE;
	tile.n_rows = lm_smaller(LM_NS_TILE, matrix->side - tile.row);
	tile.n_columns = lm_smaller(LM_NS_TILE, matrix->side - tile.column);
	return tile;
}

int
lm_ns_tiles(const LmNsMatrix *matrix)
{
	return lm_divide_up((size_t) matrix->rows, LM_NS_TILE) *
		   lm_divide_up((size_t) matrix->columns, LM_NS_TILE);
}

LmNsTile
lm_ns_tile(const LmNsMatrix *matrix, int number)
{
	int across = lm_divide_up((size_t) matrix->columns, LM_NS_TILE);
	LmNsTile tile = {.row = number / across * LM_NS_TILE, .column = number % across * LM_NS_TILE};

	tile.n_rows = lm_smaller(LM_NS_TILE, matrix->rows - tile.row);
	tile.n_columns = lm_smaller(LM_NS_TILE, matrix->columns - tile.column);
	return tile;
}

void
lm_ns_mirror(float *y, const LmNsMatrix *matrix, LmNsTile tile)
{
	size_t side = (size_t) matrix->side;

	if (tile.row == tile.column)
		return;
	for (int i = tile.row; i < tile.row + tile.n_rows; i++)
		for (int j = tile.column; j < tile.column + tile.n_columns; j++)
			y[(size_t) j * side + (size_t) i] = y[(size_t) i * side + (size_t) j];
}

const float *
lm_ns_source(const LmNsSet *set, const LmNsMatrix *matrix)
{
	return set->iteration % 2 == 0 ? matrix->x : matrix->result;
}

float *
lm_ns_target(const LmNsSet *set, const LmNsMatrix *matrix)
{
	return set->iteration % 2 == 0 ? matrix->result : matrix->x;
}

/* u itself is not divided by its norm: the first use of it is. */
float
lm_ns_scale(const LmNsSet *set, const LmNsMatrix *matrix)
{
	return set->iteration == 0 ? matrix->inverse_norm : 1;
}

/* ---- float32 ------------------------------------------------------------ */

/* One tile of A = scale^2 X X' (X' X where tall), and its mirror image. */
static void
gram_tile(void *work, int piece, int thread)
{
	const LmNsSet *set = work;
	const LmNsMatrix *matrix = lm_ns_matrix(set, &piece, lm_ns_square_tiles);
	LmNsTile tile = lm_ns_square_tile(matrix, piece);
	const float *x = lm_ns_source(set, matrix);
	float *y = matrix->gram + (size_t) tile.row * (size_t) matrix->side + tile.column;
	float scale = lm_ns_scale(set, matrix);
	int ld = matrix->columns;

	if (matrix->tall)
		lm_matmul(set->engine, y, x + tile.row, x + tile.column, LM_TN, tile.n_rows, tile.n_columns,
				  matrix->rows, matrix->side, ld, ld, scale * scale, 0);
	else
		lm_matmul(set->engine, y, x + (size_t) tile.row * (size_t) ld,
				  x + (size_t) tile.column * (size_t) ld, LM_NT, tile.n_rows, tile.n_columns,
				  matrix->columns, matrix->side, ld, ld, scale * scale, 0);
	lm_ns_mirror(matrix->gram, matrix, tile);
}

/* One tile of B = b A + c A A, and its mirror image. */
static void
polynomial_tile(void *work, int piece, int thread)
{
	const LmNsSet *set = work;
	const LmNsMatrix *matrix = lm_ns_matrix(set, &piece, lm_ns_square_tiles);
	LmNsTile tile = lm_ns_square_tile(matrix, piece);
	size_t side = (size_t) matrix->side, place = (size_t) tile.row * side + (size_t) tile.column;

	for (int i = 0; i < tile.n_rows; i++)
	{
		const float *row = matrix->gram + place + (size_t) i * side;

		set->simd->blend(matrix->polynomial + place + (size_t) i * side, LM_NS_B, row, 0, row,
						 (size_t) tile.n_columns);
	}
	lm_matmul(set->engine, matrix->polynomial + place, matrix->gram + (size_t) tile.row * side,
			  matrix->gram + tile.column, LM_NN, tile.n_rows, tile.n_columns, matrix->side,
			  matrix->side, matrix->side, matrix->side, LM_NS_C, 1);
	lm_ns_mirror(matrix->polynomial, matrix, tile);
}

/* One tile of the next X = a X + B X (a X + X B where tall); scale is that of the first X. */
static void
product_tile(void *work, int piece, int thread)
{
	const LmNsSet *set = work;
	const LmNsMatrix *matrix = lm_ns_matrix(set, &piece, lm_ns_tiles);
	LmNsTile tile = lm_ns_tile(matrix, piece);
	size_t ld = (size_t) matrix->columns, side = (size_t) matrix->side;
	size_t place = (size_t) tile.row * ld + (size_t) tile.column;
	const float *x = lm_ns_source(set, matrix);
	float *y = lm_ns_target(set, matrix) + place;
	float scale = lm_ns_scale(set, matrix);

	for (int i = 0; i < tile.n_rows; i++)
	{
		const float *old = x + place + (size_t) i * ld;

		set->simd->blend(y + (size_t) i * ld, LM_NS_A * scale, old, 0, old,
						 (size_t) tile.n_columns);
	}
	if (matrix->tall)
		lm_matmul(set->engine, y, x + (size_t) tile.row * ld, matrix->polynomial + tile.column,
				  LM_NN, tile.n_rows, tile.n_columns, matrix->side, matrix->columns,
				  matrix->columns, matrix->side, scale, 1);
	else
		lm_matmul(set->engine, y, matrix->polynomial + (size_t) tile.row * side, x + tile.column,
				  LM_NN, tile.n_rows, tile.n_columns, matrix->side, matrix->columns, matrix->side,
				  matrix->columns, scale, 1);
}
