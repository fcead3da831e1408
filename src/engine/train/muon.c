/*
 * src/engine/train/muon.c
 *
 * Newton-Schulz iterations on all matrices of a layer at once, in tiles. Five times
 *
 *   A = X X';  B = b A + c A A;  X = a X + B X
 *
 * from X = u / |u| take the singular values to within 0.7 and 1.2 of 1 (coefficients and analysis: Keller Jordan 2024). A
 * matrix with more rows than columns uses A = X' X and X = a X + X B. A and B are symmetric: only tiles on and above the
 * diagonal are computed, the others are their mirror images.
 *
 * The iterations go back and forth between the scratch and the place of the result, where the fifth one ends. Tiles are cut
 * by shape, so the result does not depend on the number of threads.
 */
#include <math.h>

#include "kernels/pieces.h"
#include "kernels/simd.h"
#include "model/arena.h"
#include "train/muon.h"

#define ITERATIONS 5 /* odd: the result lies where the first one wrote */
#define COEFFICIENT_A 3.4445f
#define COEFFICIENT_B (-4.7750f)
#define COEFFICIENT_C 2.0315f
#define NORM_EPSILON 1e-7
#define TILE 192 /* rows and columns of a piece of a product */
#define MAX_MATRICES 16 /* of a layer */
#define RMS_OF_ADAMW 0.2f

typedef struct Matrix
{
	size_t offset; /* in a block of parameters */
	int rows;
	int columns;
	int side; /* the smaller of the two */
	bool tall; /* more rows than columns */
	float *x; /* [rows, columns] */
	float *gram; /* [side, side] A */
	float *polynomial; /* [side, side] B */
	double *sums; /* of squares of u, for each piece */
	float inverse_norm;
} Matrix;

typedef struct Layer
{
	LmEngine *engine;
	const LmSimd *simd;
	const LmMuon *muon;
	int n;
	Matrix matrices[MAX_MATRICES];
	float *params;
	float *moments;
	float *directions;
	const float *gradient;
	int iteration;
} Layer;

/* How many pieces a pass cuts a matrix into, and what it does with one. */
typedef int (*CountPieces)(const Matrix *matrix);

static bool lay_out(Layer *layer, LmArena *arena, const LmParamTable *table, int number);
static void add_matrices(Layer *layer, LmArena *arena, const LmParam *param);
static void run(Layer *layer, LmPiece piece, CountPieces count);
static const Matrix *matrix_of(const Layer *layer, int *piece, CountPieces count);
static int elements_pieces(const Matrix *matrix);
static int gram_tiles(const Matrix *matrix);
static int product_tiles(const Matrix *matrix);
static void candidate_piece(void *work, int piece, int thread);
static void find_norms(Layer *layer);
static void gram_tile(void *work, int piece, int thread);
static void polynomial_tile(void *work, int piece, int thread);
static void product_tile(void *work, int piece, int thread);
static void update_piece(void *work, int piece, int thread);

bool
lm_muon_takes(const LmParam *param)
{
	return param->layer >= 0 && !param->vector;
}

bool
lm_muon_scratch(size_t *bytes, const LmConfig *config)
{
	size_t C = (size_t) config->channels, M = (size_t) config->mlp_channels;
	size_t side = C < M ? C : M;
	LmArena arena = {0};

	/* As add_matrices takes it: queries, keys, values, projection; and up to three matrices of the MLP. */
	for (int i = 0; i < 7; i++)
	{
		size_t columns = i < 4 ? C : M, square = i < 4 ? C : side;

		(void) lm_arena_floats(&arena, C, columns);
		(void) lm_arena_floats(&arena, square, square);
		(void) lm_arena_floats(&arena, square, square);
		(void) lm_arena_take(&arena, C * columns / LM_PIECE_ELEMENTS + 1, sizeof(double));
	}
	*bytes = arena.used;
	return !arena.overflow;
}

void
lm_muon_directions(LmEngine *engine, float *directions, const float *moments, const float *gradient,
				   const LmParamTable *table, const LmMuon *muon, void *scratch)
{
	for (int number = 0; number < table->config.layers; number++)
	{
		Layer layer = {.engine = engine, .simd = lm_simd(), .muon = muon, .moments = (float *) moments, .directions = directions, .gradient = gradient};
		LmArena arena = {.base = scratch};

		if (!lay_out(&layer, &arena, table, number) || lm_engine_stopped(engine))
			return;
		run(&layer, candidate_piece, elements_pieces);
		if (lm_engine_stopped(engine))
			return;
		find_norms(&layer);
		for (layer.iteration = 0; layer.iteration < ITERATIONS; layer.iteration++)
		{
			run(&layer, gram_tile, gram_tiles);
			run(&layer, polynomial_tile, gram_tiles);
			run(&layer, product_tile, product_tiles);
		}
	}
}

void
lm_muon_update(LmEngine *engine, float *params, float *moments, const float *directions, const float *gradient,
			   const LmParamTable *table, const LmMuon *muon)
{
	for (int number = 0; number < table->config.layers; number++)
	{
		Layer layer = {.engine = engine, .simd = lm_simd(), .muon = muon, .params = params, .moments = moments, .directions = (float *) directions, .gradient = gradient};
		LmArena arena = {0};

		if (lay_out(&layer, &arena, table, number))
			run(&layer, update_piece, elements_pieces);
	}
}

/* ---- Matrices -------------------------------------------------------------------------------------- */

/* False where the layer has none. */
static bool
lay_out(Layer *layer, LmArena *arena, const LmParamTable *table, int number)
{
	for (int i = 0; i < table->n_params; i++)
		if (table->params[i].layer == number && lm_muon_takes(&table->params[i]))
			add_matrices(layer, arena, &table->params[i]);
	return layer->n > 0;
}

static void
add_matrices(Layer *layer, LmArena *arena, const LmParam *param)
{
	int n_parts = param->kind == LM_ATTENTION_WEIGHT ? 3 : 1;
	int rows = param->rows / n_parts;

	for (int part = 0; part < n_parts && layer->n < MAX_MATRICES; part++)
	{
		Matrix *matrix = &layer->matrices[layer->n++];
		size_t side;

		matrix->offset = param->offset + (size_t) part * (size_t) rows * (size_t) param->columns;
		matrix->rows = rows;
		matrix->columns = param->columns;
		matrix->tall = matrix->rows > matrix->columns;
		matrix->side = lm_smaller(matrix->rows, matrix->columns);
		side = (size_t) matrix->side;
		matrix->x = lm_arena_floats(arena, (size_t) matrix->rows, (size_t) matrix->columns);
		matrix->gram = lm_arena_floats(arena, side, side);
		matrix->polynomial = lm_arena_floats(arena, side, side);
		matrix->sums = lm_arena_take(arena, (size_t) matrix->rows * (size_t) matrix->columns / LM_PIECE_ELEMENTS + 1, sizeof(double));
	}
}

static size_t
count_of(const Matrix *matrix)
{
	return (size_t) matrix->rows * (size_t) matrix->columns;
}

/* Between scratch and result, beginning in the scratch. */
static const float *
source_of(const Layer *layer, const Matrix *matrix)
{
	return layer->iteration % 2 == 0 ? matrix->x : layer->directions + matrix->offset;
}

static float *
target_of(const Layer *layer, const Matrix *matrix)
{
	return layer->iteration % 2 == 0 ? layer->directions + matrix->offset : matrix->x;
}

/* What X has to be multiplied with: u is not divided by its norm, its first use is. */
static float
scale_of(const Layer *layer, const Matrix *matrix)
{
	return layer->iteration == 0 ? matrix->inverse_norm : 1;
}

/* ---- Pieces ---------------------------------------------------------------------------------------- */

static void
run(Layer *layer, LmPiece piece, CountPieces count)
{
	int n_pieces = 0;

	for (int i = 0; i < layer->n; i++)
		n_pieces += count(&layer->matrices[i]);
	lm_engine_run(layer->engine, piece, layer, n_pieces);
}

/* The matrix of a piece, which becomes the number within it. */
static const Matrix *
matrix_of(const Layer *layer, int *piece, CountPieces count)
{
	const Matrix *matrix = layer->matrices;

	for (int n = count(matrix); *piece >= n; n = count(matrix))
	{
		*piece -= n;
		matrix++;
	}
	return matrix;
}

static int
elements_pieces(const Matrix *matrix)
{
	return lm_divide_up(count_of(matrix), LM_PIECE_ELEMENTS);
}

static int
gram_tiles(const Matrix *matrix)
{
	int n = lm_divide_up((size_t) matrix->side, TILE);

	return n * (n + 1) / 2;
}

static int
product_tiles(const Matrix *matrix)
{
	return lm_divide_up((size_t) matrix->rows, TILE) * lm_divide_up((size_t) matrix->columns, TILE);
}

/* u, and the sum of its squares */
static void
candidate_piece(void *work, int piece, int thread)
{
	const Layer *layer = work;
	const Matrix *matrix = matrix_of(layer, &piece, elements_pieces);
	size_t first = (size_t) piece * LM_PIECE_ELEMENTS;
	size_t count = lm_piece_size(first, count_of(matrix), LM_PIECE_ELEMENTS), place = matrix->offset + first;
	float momentum = LM_MUON_MOMENTUM;

	layer->simd->blend(matrix->x + first, (1 + momentum) * layer->muon->gradient_scale, layer->gradient + place,
					   momentum * momentum, layer->moments + place, count);
	matrix->sums[piece] = layer->simd->sum_squares(matrix->x + first, count);
}

static void
find_norms(Layer *layer)
{
	for (int i = 0; i < layer->n; i++)
	{
		Matrix *matrix = &layer->matrices[i];
		double sum = 0;

		for (int piece = 0; piece < elements_pieces(matrix); piece++)
			sum += matrix->sums[piece];
		matrix->inverse_norm = (float) (1 / (sqrt(sum) + NORM_EPSILON));
	}
}

/* ---- Tiles ----------------------------------------------------------------------------------------- */

typedef struct Tile
{
	int row;
	int column;
	int n_rows;
	int n_columns;
} Tile;

/* Tiles on and above the diagonal, row by row. */
static Tile
upper_tile(const Matrix *matrix, int number)
{
	int n = lm_divide_up((size_t) matrix->side, TILE), row = 0;
	Tile tile;

	for (; number >= n - row; row++)
		number -= n - row;
	tile.row = row * TILE;
	tile.column = (row + number) * TILE;
	tile.n_rows = lm_smaller(TILE, matrix->side - tile.row);
	tile.n_columns = lm_smaller(TILE, matrix->side - tile.column);
	return tile;
}

static void
mirror(float *y, const Matrix *matrix, Tile tile)
{
	size_t side = (size_t) matrix->side;

	if (tile.row == tile.column)
		return;
	for (int i = tile.row; i < tile.row + tile.n_rows; i++)
		for (int j = tile.column; j < tile.column + tile.n_columns; j++)
			y[(size_t) j * side + (size_t) i] = y[(size_t) i * side + (size_t) j];
}

static void
gram_tile(void *work, int piece, int thread)
{
	const Layer *layer = work;
	const Matrix *matrix = matrix_of(layer, &piece, gram_tiles);
	Tile tile = upper_tile(matrix, piece);
	const float *x = source_of(layer, matrix);
	float *y = matrix->gram + (size_t) tile.row * (size_t) matrix->side + tile.column;
	float scale = scale_of(layer, matrix);
	int ld = matrix->columns;

	if (matrix->tall)
		lm_matmul(layer->engine, y, x + tile.row, x + tile.column, LM_TN, tile.n_rows, tile.n_columns, matrix->rows,
				  matrix->side, ld, ld, scale * scale, 0);
	else
		lm_matmul(layer->engine, y, x + (size_t) tile.row * (size_t) ld, x + (size_t) tile.column * (size_t) ld, LM_NT,
				  tile.n_rows, tile.n_columns, matrix->columns, matrix->side, ld, ld, scale * scale, 0);
	mirror(matrix->gram, matrix, tile);
}

static void
polynomial_tile(void *work, int piece, int thread)
{
	const Layer *layer = work;
	const Matrix *matrix = matrix_of(layer, &piece, gram_tiles);
	Tile tile = upper_tile(matrix, piece);
	size_t side = (size_t) matrix->side, place = (size_t) tile.row * side + (size_t) tile.column;

	for (int i = 0; i < tile.n_rows; i++)
	{
		const float *row = matrix->gram + place + (size_t) i * side;

		layer->simd->blend(matrix->polynomial + place + (size_t) i * side, COEFFICIENT_B, row, 0, row, (size_t) tile.n_columns);
	}
	lm_matmul(layer->engine, matrix->polynomial + place, matrix->gram + (size_t) tile.row * side, matrix->gram + tile.column,
			  LM_NN, tile.n_rows, tile.n_columns, matrix->side, matrix->side, matrix->side, matrix->side, COEFFICIENT_C, 1);
	mirror(matrix->polynomial, matrix, tile);
}

static void
product_tile(void *work, int piece, int thread)
{
	const Layer *layer = work;
	const Matrix *matrix = matrix_of(layer, &piece, product_tiles);
	int across = lm_divide_up((size_t) matrix->columns, TILE), ld = matrix->columns, side = matrix->side;
	int row = piece / across * TILE, column = piece % across * TILE;
	int n_rows = lm_smaller(TILE, matrix->rows - row), n_columns = lm_smaller(TILE, matrix->columns - column);
	size_t place = (size_t) row * (size_t) ld + (size_t) column;
	const float *x = source_of(layer, matrix);
	float *y = target_of(layer, matrix) + place;
	float scale = scale_of(layer, matrix);

	for (int i = 0; i < n_rows; i++)
	{
		const float *old = x + place + (size_t) i * (size_t) ld;

		layer->simd->blend(y + (size_t) i * (size_t) ld, COEFFICIENT_A * scale, old, 0, old, (size_t) n_columns);
	}
	if (matrix->tall)
		lm_matmul(layer->engine, y, x + (size_t) row * (size_t) ld, matrix->polynomial + column, LM_NN, n_rows, n_columns, side,
				  ld, ld, side, scale, 1);
	else
		lm_matmul(layer->engine, y, matrix->polynomial + (size_t) row * (size_t) side, x + column, LM_NN, n_rows, n_columns, side,
				  ld, side, ld, scale, 1);
}

static void
update_piece(void *work, int piece, int thread)
{
	const Layer *layer = work;
	const LmMuon *muon = layer->muon;
	const Matrix *matrix = matrix_of(layer, &piece, elements_pieces);
	size_t first = (size_t) piece * LM_PIECE_ELEMENTS;
	size_t count = lm_piece_size(first, count_of(matrix), LM_PIECE_ELEMENTS), place = matrix->offset + first;
	float larger = (float) (matrix->tall ? matrix->rows : matrix->columns);

	layer->simd->blend(layer->moments + place, muon->gradient_scale, layer->gradient + place, LM_MUON_MOMENTUM,
					   layer->moments + place, count);
	layer->simd->blend(layer->params + place, 1 - muon->rate * muon->decay, layer->params + place,
					   -muon->rate * RMS_OF_ADAMW * sqrtf(larger), layer->directions + place, count);
}
