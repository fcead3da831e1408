/*
 * src/engine/train/newton_schulz_bf16.c
 *
 * An iteration with operands of products in bfloat16: X, A and B are packed when they are complete,
 * each product takes packed tiles, and its float32 sums become the next matrix while they are in
 * the cache.
 */
#include "train/newton_schulz.h"

#define LINES 32 /* of an operand in a piece of packing */

static int long_lines(const LmNsMatrix *matrix);
static int side_lines(const LmNsMatrix *matrix);
static void pack_x(void *work, int piece, int thread);
static void pack_gram(void *work, int piece, int thread);
static void pack_polynomial(void *work, int piece, int thread);
static void gram_tile(void *work, int piece, int thread);
static void polynomial_tile(void *work, int piece, int thread);
static void product_tile(void *work, int piece, int thread);

void
lm_ns_iterate_bf16(LmNsSet *set)
{
	lm_ns_run(set, pack_x, long_lines);
	lm_ns_run(set, gram_tile, lm_ns_square_tiles);
	lm_ns_run(set, pack_gram, side_lines);
	lm_ns_run(set, polynomial_tile, lm_ns_square_tiles);
	lm_ns_run(set, pack_polynomial, side_lines);
	lm_ns_run(set, product_tile, lm_ns_tiles);
}

/* ---- Packing ------------------------------------------------------------ */

static bool
runs_along(LmTilePacking packing)
{
	return packing == LM_TILE_ALONG || packing == LM_TILE_ALONG_TURNED;
}

/*
 * Packs lines first .. first + LINES - 1 of an operand over k, from x with rows at a distance of
 * ld.
 */
static void
pack_lines(const LmNsSet *set, uint16_t *packed, const float *x, int ld, int first, int k,
		   LmTilePacking packing)
{
	int n_blocks = lm_tile_blocks(k);

	for (int line = first; line < first + LINES; line += LM_TILE)
		for (int block = 0; block < n_blocks; block++)
		{
			uint16_t *to =
				packed +
				((size_t) (line / LM_TILE) * (size_t) n_blocks + (size_t) block) * LM_TILE_BLOCK;

			if (runs_along(packing))
				set->bf16->pack(to, x + (size_t) line * (size_t) ld + block * LM_TILE_K,
								(size_t) ld, LM_TILE, LM_TILE_K, packing);
			else
				set->bf16->pack(to, x + (size_t) block * LM_TILE_K * (size_t) ld + line,
								(size_t) ld, LM_TILE_K, LM_TILE, packing);
		}
}

/*
 * Numbers of pieces: of packing X, where the operands of A and of B X are made at once; and of
 * packing a square matrix.
 */
static int
long_lines(const LmNsMatrix *matrix)
{
	return (matrix->rows + matrix->columns) / LINES;
}

static int
side_lines(const LmNsMatrix *matrix)
{
	return matrix->side / LINES;
}

/* Packs lines of X: the first pieces as both operands of A, the others as a factor of B X. */
static void
pack_x(void *work, int piece, int thread)
{
	const LmNsSet *set = work;
	const LmNsMatrix *matrix = lm_ns_matrix(set, &piece, long_lines);
	const float *x = lm_ns_source(set, matrix);
	int ld = matrix->columns, length = matrix->rows + matrix->columns - matrix->side;
	int first = piece * LINES;

	if (first < matrix->side)
	{
		pack_lines(set, matrix->gram_a, x, ld, first, length,
				   matrix->tall ? LM_TILE_ACROSS_TURNED : LM_TILE_ALONG);
		pack_lines(set, matrix->gram_b, x, ld, first, length,
				   matrix->tall ? LM_TILE_ACROSS : LM_TILE_ALONG_TURNED);
	}
	else
		pack_lines(set, matrix->factor, x, ld, first - matrix->side, matrix->side,
				   matrix->tall ? LM_TILE_ALONG : LM_TILE_ACROSS);
}

static void
pack_gram(void *work, int piece, int thread)
{
	const LmNsSet *set = work;
	const LmNsMatrix *matrix = lm_ns_matrix(set, &piece, side_lines);

	pack_lines(set, matrix->square_a, matrix->gram, matrix->side, piece * LINES, matrix->side,
			   LM_TILE_ALONG);
	pack_lines(set, matrix->square_b, matrix->gram, matrix->side, piece * LINES, matrix->side,
			   LM_TILE_ACROSS);
}

static void
pack_polynomial(void *work, int piece, int thread)
{
	const LmNsSet *set = work;
	const LmNsMatrix *matrix = lm_ns_matrix(set, &piece, side_lines);

	if (matrix->tall)
		pack_lines(set, matrix->square_b, matrix->polynomial, matrix->side, piece * LINES,
				   matrix->side, LM_TILE_ACROSS);
	else
		pack_lines(set, matrix->square_a, matrix->polynomial, matrix->side, piece * LINES,
				   matrix->side, LM_TILE_ALONG);
}

/* ---- Products ----------------------------------------------------------- */

/* A tile of y, rows at a distance of ld, from packed operands over k. */
static void
multiply(const LmNsSet *set, float *y, size_t ld, const uint16_t *a, const uint16_t *b,
		 LmNsTile tile, int k)
{
	size_t stride = (size_t) lm_tile_blocks(k) * LM_TILE_BLOCK;

	set->bf16->multiply(y, ld, a + (size_t) (tile.row / LM_TILE) * stride, stride,
						b + (size_t) (tile.column / LM_TILE) * stride, stride,
						tile.n_rows / LM_TILE, tile.n_columns / LM_TILE, lm_tile_blocks(k), false);
}

/* One tile of A = scale^2 X X' (X' X where tall), and its mirror image. */
static void
gram_tile(void *work, int piece, int thread)
{
	const LmNsSet *set = work;
	const LmNsMatrix *matrix = lm_ns_matrix(set, &piece, lm_ns_square_tiles);
	LmNsTile tile = lm_ns_square_tile(matrix, piece);
	size_t side = (size_t) matrix->side;
	float *y = matrix->gram + (size_t) tile.row * side + tile.column;
	float scale = lm_ns_scale(set, matrix);

	multiply(set, y, side, matrix->gram_a, matrix->gram_b, tile,
			 matrix->rows + matrix->columns - matrix->side);
	for (int i = 0; scale != 1 && i < tile.n_rows; i++)
		set->simd->scale(y + (size_t) i * side, scale * scale, (size_t) tile.n_columns);
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
	float *y = matrix->polynomial + place;

	multiply(set, y, side, matrix->square_a, matrix->square_b, tile, matrix->side);
	for (int i = 0; i < tile.n_rows; i++)
		set->simd->blend(y + (size_t) i * side, LM_NS_C, y + (size_t) i * side, LM_NS_B,
						 matrix->gram + place + (size_t) i * side, (size_t) tile.n_columns);
	lm_ns_mirror(matrix->polynomial, matrix, tile);
}

/* One tile of the next X = a X + B X (a X + X B where tall); scale is that of the first X. */
static void
product_tile(void *work, int piece, int thread)
{
	const LmNsSet *set = work;
	const LmNsMatrix *matrix = lm_ns_matrix(set, &piece, lm_ns_tiles);
	LmNsTile tile = lm_ns_tile(matrix, piece);
	size_t ld = (size_t) matrix->columns, place = (size_t) tile.row * ld + (size_t) tile.column;
	const float *x = lm_ns_source(set, matrix) + place;
	float *y = lm_ns_target(set, matrix) + place;
	float scale = lm_ns_scale(set, matrix);

	multiply(set, y, ld, matrix->tall ? matrix->factor : matrix->square_a,
			 matrix->tall ? matrix->square_b : matrix->factor, tile, matrix->side);
	for (int i = 0; i < tile.n_rows; i++)
		set->simd->blend(y + (size_t) i * ld, scale, y + (size_t) i * ld, LM_NS_A * scale,
						 x + (size_t) i * ld, (size_t) tile.n_columns);
}
