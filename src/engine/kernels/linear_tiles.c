/*
 * src/engine/kernels/linear_tiles.c
 *
 * Products with a weight by packed tiles, bfloat16 or float32. One run of all threads packs the
 * operands, each read once; a second one multiplies, in tiles cut by shape:
 *
 *   forward    y [rows, out]  = x w'    a: x along its rows    b: w along its rows, turned
 *   backward   dx [rows, in]  = dy w    a: dy along its rows   b: w across
 *              dw [out, in]  += dy' x   a: dy across, turned   b: x across
 *
 * Sums over more than K_BYTES of a line go through memory, so that a strip of b stays in the first
 * level cache while the tiles of a go past it, and what a tile of the output takes of a and b stays
 * in the second.
 */
#include <string.h>

#include "base/engine_private.h"
#include "kernels/f32.h"
#include "kernels/linear_tiles.h"
#include "kernels/pieces.h"
#include "kernels/simd.h"

#define K_BYTES 768
#define MOST_SIDE 256 /* of a tile */
#define TILES_WANTED 32
#define PACK_NUMBERS 32768 /* in a piece, at least */

/* A float32 matrix on its way to a packed operand, or to two that are made of one reading. */
typedef struct Packing
{
	const float *from;
	int n_lines;
	int n; /* numbers in a line */
	void *along; /* NULL: not wanted */
	void *across;
	bool turn_along;
	bool turn_across;
	float *sums; /* [pieces, n] column sums of each piece, or NULL */
	int lines; /* in a piece */
	int n_pieces;
} Packing;

typedef struct Product
{
	const void *a;
	const void *b;
	int m;
	int n;
	int n_blocks; /* of k */
	int side_m; /* of a tile */
	int side_n;
	int n_down;
	int n_tiles;
	LmTileFinish finish;
	/* Of the layer's fields; both have the shape of y. */
	LmActivation activation;
	float *activated;
	const float *before;
} Product;

typedef struct Work
{
	const LmTiles *tiles;
	const LmSimd *simd;
	Packing packings[3];
	Product products[2];
	int n_packings;
	int n_products;
	float *dbias;
	const Packing *bias_sums;
} Work;

/* The places of a layer's operands in its scratch. */
typedef struct Places
{
	void *weight;
	void *input;
	void *output; /* dy along its rows */
	void *output_across;
	float *sums;
} Places;

static size_t lay_out(Places *places, size_t number_size, char *base, int n_rows, int n_in,
					  int n_out);
static Packing packing_of(const float *from, int n_lines, int n);
static Product *add_product(Work *work, const void *a, const void *b, int m, int n, int k,
							LmTileFinish finish);
static void run(LmEngine *engine, Work *work);
static void pack_piece(void *work, int piece, int thread);
static void pack_lines(const LmTiles *tiles, const Packing *packing, int first, int n_lines);
static void product_piece(void *work, int piece, int thread);
static void product_tile(const Work *work, const Product *product, int number);
static void finish_rows(const Work *work, const Product *product, const float *sums, int row,
						int column, int n_rows, int n_columns);

size_t
lm_linear_packed_size(int n_rows, int n_in, int n_out, bool bf16)
{
	Places places;

	if (!bf16 && !lm_f32_best())
		return 0;
	return lay_out(&places, bf16 ? sizeof(uint16_t) : sizeof(float), NULL, n_rows, n_in, n_out);
}

const LmTiles *
lm_linear_tiles(const LmEngine *engine, const LmLinear *linear)
{
	if (!linear->packed)
		return NULL;
	return linear->bf16 ? engine->bf16 : engine->f32;
}

/* Places packed operands and bias sums in base (NULL: only counts); returns the size in bytes. */
static size_t
lay_out(Places *places, size_t number_size, char *base, int n_rows, int n_in, int n_out)
{
	size_t weight_along = lm_tile_count(n_out, n_in), weight_across = lm_tile_count(n_in, n_out);
	size_t input_along = lm_tile_count(n_rows, n_in), input_across = lm_tile_count(n_in, n_rows);
	size_t sizes[] = {
		number_size * (weight_along > weight_across ? weight_along : weight_across),
		number_size * (input_along > input_across ? input_along : input_across),
		number_size * lm_tile_count(n_rows, n_out),
		number_size * lm_tile_count(n_out, n_rows),
		sizeof(float) * (size_t) packing_of(NULL, n_rows, n_out).n_pieces * (size_t) n_out,
	};
	char *at[5];
	size_t size = 0;

	for (int i = 0; i < 5; i++)
	{
		at[i] = base ? base + size : NULL;
		size += (sizes[i] + 63) / 64 * 64;
	}
	*places = (Places){at[0], at[1], at[2], at[3], (float *) at[4]};
	return size;
}

void
lm_linear_tiles_forward(LmEngine *engine, float *y, const float *x, const LmLinear *linear,
						int n_rows)
{
	int n_in = linear->n_in, n_out = linear->n_out;
	Work work = {.tiles = lm_linear_tiles(engine, linear), .simd = lm_simd(), .n_packings = 2};
	LmTileFinish finish = {.y = y, .ld_y = (size_t) n_out, .bias = linear->bias};
	Places places;
	Product *product;

	lay_out(&places, work.tiles->number_size, linear->packed, n_rows, n_in, n_out);
	work.packings[0] = packing_of(linear->w, n_out, n_in);
	work.packings[0].along = places.weight;
	work.packings[0].turn_along = true;
	work.packings[1] = packing_of(x, n_rows, n_in);
	work.packings[1].along = places.input;
	product = add_product(&work, places.input, places.weight, n_rows, n_out, n_in, finish);
	product->activation = linear->activation;
	product->activated = linear->activated;
	run(engine, &work);
}

void
lm_linear_tiles_backward(LmEngine *engine, float *dx, float *dw, float *dbias, const float *dy,
						 const float *x, const LmLinear *linear, int n_rows)
{
	int n_in = linear->n_in, n_out = linear->n_out;
	Work work = {.tiles = lm_linear_tiles(engine, linear),
				 .simd = lm_simd(),
				 .n_packings = 1,
				 .dbias = dbias};
	Packing *output = &work.packings[0];
	Places places;

	lay_out(&places, work.tiles->number_size, linear->packed, n_rows, n_in, n_out);
	*output = packing_of(dy, n_rows, n_out);
	output->sums = dbias ? places.sums : NULL;
	work.bias_sums = output;
	if (dw)
	{
		Packing *input = &work.packings[work.n_packings++];

		output->across = places.output_across;
		output->turn_across = true;
		*input = packing_of(x, n_rows, n_in);
		input->across = places.input;
		add_product(&work, places.output_across, places.input, n_out, n_in, n_rows,
					(LmTileFinish){.y = dw, .ld_y = (size_t) n_in, .add = !linear->overwrite});
	}
	if (dx)
	{
		Packing *weight = &work.packings[work.n_packings++];
		Product *product;

		output->along = places.output;
		*weight = packing_of(linear->w, n_out, n_in);
		weight->across = places.weight;
		product = add_product(&work, places.output, places.weight, n_rows, n_in, n_out,
							  (LmTileFinish){.y = dx, .ld_y = (size_t) n_in});
		product->activation = linear->activation;
		product->before = linear->before;
	}
	run(engine, &work);
}

static Packing
packing_of(const float *from, int n_lines, int n)
{
	int steps = PACK_NUMBERS / LM_TILE_STEP / n;
	int lines = LM_TILE_STEP * (steps > 1 ? steps : 1);

	return (Packing){.from = from,
					 .n_lines = n_lines,
					 .n = n,
					 .lines = lines,
					 .n_pieces = lm_divide_up((size_t) n_lines, (size_t) lines)};
}

/*
 * Adds a product in tiles of MOST_SIDE, or of half that side where fewer than TILES_WANTED would
 * exist.
 */
static Product *
add_product(Work *work, const void *a, const void *b, int m, int n, int k, LmTileFinish finish)
{
	Product *product = &work->products[work->n_products++];
	int side = MOST_SIDE;

	*product =
		(Product){.a = a, .b = b, .m = m, .n = n, .n_blocks = lm_tile_blocks(k), .finish = finish};
	if ((double) m * n < (double) TILES_WANTED * MOST_SIDE * MOST_SIDE)
		side = MOST_SIDE / 2;
	product->side_m = product->side_n = side;
	product->n_down = lm_divide_up((size_t) m, (size_t) side);
	product->n_tiles = product->n_down * lm_divide_up((size_t) n, (size_t) side);
	return product;
}

static void
run(LmEngine *engine, Work *work)
{
	int n_pieces = 0;

	for (int i = 0; i < work->n_packings; i++)
		n_pieces += work->packings[i].n_pieces;
	lm_engine_run(engine, pack_piece, work, n_pieces);
	n_pieces = work->dbias ? 1 : 0;
	for (int i = 0; i < work->n_products; i++)
		n_pieces += work->products[i].n_tiles;
	lm_engine_run(engine, product_piece, work, n_pieces);
}

/* Packs the lines of one piece of one packing, and sums them where a bias needs its gradient. */
static void
pack_piece(void *argument, int piece, int thread)
{
	const Work *work = argument;
	const Packing *packing = work->packings;
	int first, n_lines;

	while (piece >= packing->n_pieces)
		piece -= packing++->n_pieces;
	first = piece * packing->lines;
	n_lines = lm_smaller(packing->lines, packing->n_lines - first);
	if (packing->sums)
	{
		float *sums = packing->sums + (size_t) piece * (size_t) packing->n;

		memset(sums, 0, (size_t) packing->n * sizeof *sums);
		for (int line = first; line < first + n_lines; line++)
			work->simd->add(sums, packing->from + (size_t) line * (size_t) packing->n,
							(size_t) packing->n);
	}
	for (int line = 0; line < n_lines; line += LM_TILE_STEP)
		pack_lines(work->tiles, packing, first + line, lm_smaller(LM_TILE_STEP, n_lines - line));
}

/* Up to 32 lines: two tiles along, or one block of k across. */
static void
pack_lines(const LmTiles *tiles, const Packing *packing, int first, int n_lines)
{
	const float *from = packing->from + (size_t) first * (size_t) packing->n;
	size_t ld = (size_t) packing->n, block_size = LM_TILE_BLOCK * tiles->number_size;

	if (packing->along)
	{
		size_t tile_size = (size_t) lm_tile_blocks(packing->n) * block_size;
		char *to = (char *) packing->along + (size_t) (first / LM_TILE) * tile_size;

		for (int tile = 0; tile < LM_TILE_STEP; tile += LM_TILE)
			for (int i = 0; i < packing->n; i += LM_TILE_K, to += block_size)
			{
				int left = n_lines - tile < 0 ? 0 : lm_smaller(LM_TILE, n_lines - tile);

				tiles->pack(to, from + (left > 0 ? (size_t) tile * ld : 0) + i, ld, left,
							lm_smaller(LM_TILE_K, packing->n - i),
							packing->turn_along ? LM_TILE_ALONG_TURNED : LM_TILE_ALONG);
			}
	}
	if (packing->across)
	{
		size_t tile_size = (size_t) lm_tile_blocks(packing->n_lines) * block_size;
		char *to = (char *) packing->across + (size_t) (first / LM_TILE_K) * block_size;
		int i = 0;

		for (; i < packing->n; i += LM_TILE, to += tile_size)
			tiles->pack(to, from + i, ld, n_lines, lm_smaller(LM_TILE, packing->n - i),
						packing->turn_across ? LM_TILE_ACROSS_TURNED : LM_TILE_ACROSS);
		if (i % LM_TILE_STEP != 0)
			memset(to, 0, block_size);
	}
}

/* One tile of one of the products; the piece after the last tile adds the partial sums to dbias. */
static void
product_piece(void *argument, int piece, int thread)
{
	const Work *work = argument;

	for (int i = 0; i < work->n_products; i++)
	{
		if (piece < work->products[i].n_tiles)
		{
			product_tile(work, &work->products[i], piece);
			return;
		}
		piece -= work->products[i].n_tiles;
	}
	for (int i = 0; i < work->bias_sums->n_pieces; i++)
		work->simd->add(work->dbias,
						work->bias_sums->sums + (size_t) i * (size_t) work->bias_sums->n,
						(size_t) work->bias_sums->n);
}

/* Tiles follow each other downwards, so that b's part is still in the cache. */
static void
product_tile(const Work *work, const Product *product, int number)
{
	_Alignas(64) float sums[MOST_SIDE * MOST_SIDE];
	int row = number % product->n_down * product->side_m,
		column = number / product->n_down * product->side_n;
	int n_rows = lm_smaller(product->side_m, product->m - row),
		n_columns = lm_smaller(product->side_n, product->n - column);
	int n_a = lm_divide_up((size_t) n_rows, LM_TILE_STEP) * 2,
		n_b = lm_divide_up((size_t) n_columns, LM_TILE_STEP) * 2;
	size_t number_size = work->tiles->number_size,
		   tile = (size_t) product->n_blocks * LM_TILE_BLOCK;
	const char *a = (const char *) product->a + (size_t) (row / LM_TILE) * tile * number_size;
	const char *b = (const char *) product->b + (size_t) (column / LM_TILE) * tile * number_size;
	int n_parts = lm_divide_up((size_t) product->n_blocks * LM_TILE_K * number_size, K_BYTES);
	int part = lm_divide_up((size_t) product->n_blocks, (size_t) n_parts);

	for (int block = 0; block < product->n_blocks; block += part)
	{
		size_t offset = (size_t) block * LM_TILE_BLOCK * number_size;

		work->tiles->multiply(sums, MOST_SIDE, a + offset, tile, b + offset, tile, n_a, n_b,
							  lm_smaller(part, product->n_blocks - block), block > 0);
	}
	finish_rows(work, product, sums, row, column, n_rows, n_columns);
}

/* Row by row where there is an activation, which then finds its row in the level 1 cache. */
static void
finish_rows(const Work *work, const Product *product, const float *sums, int row, int column,
			int n_rows, int n_columns)
{
	LmTileFinish finish = product->finish;
	int step = product->activated || product->before ? 1 : n_rows;

	finish.bias = finish.bias ? finish.bias + column : NULL;
	for (int i = 0; i < n_rows; i += step)
	{
		size_t offset = (size_t) (row + i) * finish.ld_y + (size_t) column;

		finish.y = product->finish.y + offset;
		work->tiles->finish(&finish, sums + (size_t) i * MOST_SIDE, MOST_SIDE, step, n_columns);
		if (product->activated)
			work->simd->gelu_forward(product->activated + offset, finish.y, (size_t) n_columns,
									 product->activation);
		if (product->before)
			work->simd->gelu_backward(finish.y, finish.y, product->before + offset,
									  (size_t) n_columns, product->activation);
	}
}
