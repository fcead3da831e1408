/*
 * src/engine/kernels/linear_bf16.c
 *
 * Products with a weight in bfloat16. One run of all threads rounds and packs the operands, each read once; a second
 * one multiplies, in tiles cut by shape:
 *
 *   forward    y [rows, out]  = x w'    a: x along its rows    b: w along its rows, turned
 *   backward   dx [rows, in]  = dy w    a: dy along its rows   b: w across
 *              dw [out, in]  += dy' x   a: dy across, turned   b: x across
 *
 * Sums over more than K_BLOCK of k go through memory, so that a strip of b stays in the first level cache while the
 * tiles of a go past it.
 */
#include <string.h>

#include "base/engine_private.h"
#include "kernels/bf16.h"
#include "kernels/linear_bf16.h"
#include "kernels/pieces.h"
#include "kernels/simd.h"

#define K_BLOCK 512
#define MOST_SIDE 256 /* of a tile */
#define TILES_WANTED 32
#define PACK_NUMBERS 32768 /* in a piece, at least */

/* A float32 matrix on its way to a packed operand, or to two that are made of one reading. */
typedef struct Packing
{
	const float *from;
	int n_lines;
	int n; /* numbers in a line */
	uint16_t *along; /* NULL: not wanted */
	uint16_t *across;
	bool turn_along;
	bool turn_across;
	float *sums; /* [pieces, n] column sums of each piece, or NULL */
	int lines; /* in a piece */
	int n_pieces;
} Packing;

typedef struct Product
{
	const uint16_t *a;
	const uint16_t *b;
	int m;
	int n;
	int n_blocks; /* of k */
	int side_m; /* of a tile */
	int side_n;
	int n_down;
	int n_tiles;
	LmBf16Finish finish;
} Product;

typedef struct Work
{
	const LmBf16 *bf16;
	const LmSimd *simd;
	Packing packings[3];
	Product products[2];
	int n_packings;
	int n_products;
	float *dbias;
	const Packing *bias_sums;
} Work;

/* Where the operands of a layer lie in its scratch. */
typedef struct Places
{
	uint16_t *weight;
	uint16_t *input;
	uint16_t *output; /* dy along its rows */
	uint16_t *output_across;
	float *sums;
} Places;

static size_t lay_out(Places *places, char *base, int n_rows, int n_in, int n_out);
static Packing packing_of(const float *from, int n_lines, int n);
static void add_product(Work *work, const uint16_t *a, const uint16_t *b, int m, int n, int k, LmBf16Finish finish);
static void run(LmEngine *engine, Work *work);
static void pack_piece(void *work, int piece, int thread);
static void pack_lines(const LmBf16 *bf16, const Packing *packing, int first, int n_lines);
static void product_piece(void *work, int piece, int thread);
static void product_tile(const Work *work, const Product *product, int number);
static void product_strip(const Work *work, const Product *product, int row, int n_rows, int column);

size_t
lm_linear_packed_size(int n_rows, int n_in, int n_out)
{
	Places places;

	return lay_out(&places, NULL, n_rows, n_in, n_out);
}

static size_t
lay_out(Places *places, char *base, int n_rows, int n_in, int n_out)
{
	size_t weight_along = lm_bf16_count(n_out, n_in), weight_across = lm_bf16_count(n_in, n_out);
	size_t input_along = lm_bf16_count(n_rows, n_in), input_across = lm_bf16_count(n_in, n_rows);
	size_t sizes[] = {
		sizeof(uint16_t) * (weight_along > weight_across ? weight_along : weight_across),
		sizeof(uint16_t) * (input_along > input_across ? input_along : input_across),
		sizeof(uint16_t) * lm_bf16_count(n_rows, n_out),
		sizeof(uint16_t) * lm_bf16_count(n_out, n_rows),
		sizeof(float) * (size_t) packing_of(NULL, n_rows, n_out).n_pieces * (size_t) n_out,
	};
	char *at[5];
	size_t size = 0;

	for (int i = 0; i < 5; i++)
	{
		at[i] = base ? base + size : NULL;
		size += (sizes[i] + 63) / 64 * 64;
	}
	*places = (Places){(uint16_t *) at[0], (uint16_t *) at[1], (uint16_t *) at[2], (uint16_t *) at[3], (float *) at[4]};
	return size;
}

void
lm_linear_bf16_forward(LmEngine *engine, float *y, const float *x, const LmLinear *linear, int n_rows)
{
	int n_in = linear->n_in, n_out = linear->n_out;
	Work work = {.bf16 = engine->bf16, .simd = lm_simd(), .n_packings = 2};
	LmBf16Finish finish = {.y = y, .ld_y = (size_t) n_out, .bias = linear->bias};
	Places places;

	lay_out(&places, linear->packed, n_rows, n_in, n_out);
	work.packings[0] = packing_of(linear->w, n_out, n_in);
	work.packings[0].along = places.weight;
	work.packings[0].turn_along = true;
	work.packings[1] = packing_of(x, n_rows, n_in);
	work.packings[1].along = places.input;
	add_product(&work, places.input, places.weight, n_rows, n_out, n_in, finish);
	run(engine, &work);
}

void
lm_linear_bf16_backward(LmEngine *engine, float *dx, float *dw, float *dbias, const float *dy, const float *x,
						const LmLinear *linear, int n_rows)
{
	int n_in = linear->n_in, n_out = linear->n_out;
	Work work = {.bf16 = engine->bf16, .simd = lm_simd(), .n_packings = 1, .dbias = dbias};
	Packing *output = &work.packings[0];
	Places places;

	lay_out(&places, linear->packed, n_rows, n_in, n_out);
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
					(LmBf16Finish){.y = dw, .ld_y = (size_t) n_in, .add = !linear->overwrite});
	}
	if (dx)
	{
		Packing *weight = &work.packings[work.n_packings++];

		output->along = places.output;
		*weight = packing_of(linear->w, n_out, n_in);
		weight->across = places.weight;
		add_product(&work, places.output, places.weight, n_rows, n_in, n_out,
					(LmBf16Finish){.y = dx, .ld_y = (size_t) n_in});
	}
	run(engine, &work);
}

static Packing
packing_of(const float *from, int n_lines, int n)
{
	int steps = PACK_NUMBERS / LM_BF16_STEP / n;
	int lines = LM_BF16_STEP * (steps > 1 ? steps : 1);

	return (Packing){.from = from, .n_lines = n_lines, .n = n, .lines = lines, .n_pieces = lm_divide_up((size_t) n_lines, (size_t) lines)};
}

/* Tiles as large as leaves TILES_WANTED of them, within half of MOST_SIDE and MOST_SIDE. */
static void
add_product(Work *work, const uint16_t *a, const uint16_t *b, int m, int n, int k, LmBf16Finish finish)
{
	Product *product = &work->products[work->n_products++];
	int side = MOST_SIDE;

	*product = (Product){.a = a, .b = b, .m = m, .n = n, .n_blocks = lm_bf16_blocks(k), .finish = finish};
	if ((double) m * n < (double) TILES_WANTED * MOST_SIDE * MOST_SIDE)
		side = MOST_SIDE / 2;
	product->side_m = product->side_n = side;
	product->n_down = lm_divide_up((size_t) m, (size_t) side);
	product->n_tiles = product->n_down * lm_divide_up((size_t) n, (size_t) side);
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
			work->simd->add(sums, packing->from + (size_t) line * (size_t) packing->n, (size_t) packing->n);
	}
	for (int line = 0; line < n_lines; line += LM_BF16_STEP)
		pack_lines(work->bf16, packing, first + line, lm_smaller(LM_BF16_STEP, n_lines - line));
}

/* Up to 32 lines: two tiles along, or one block of k across. */
static void
pack_lines(const LmBf16 *bf16, const Packing *packing, int first, int n_lines)
{
	const float *from = packing->from + (size_t) first * (size_t) packing->n;
	size_t ld = (size_t) packing->n;

	if (packing->along)
	{
		size_t n_blocks = (size_t) lm_bf16_blocks(packing->n);
		uint16_t *to = packing->along + (size_t) (first / LM_BF16_TILE) * n_blocks * LM_BF16_BLOCK;

		for (int tile = 0; tile < LM_BF16_STEP; tile += LM_BF16_TILE)
			for (int i = 0; i < packing->n; i += LM_BF16_K, to += LM_BF16_BLOCK)
			{
				int left = n_lines - tile < 0 ? 0 : lm_smaller(LM_BF16_TILE, n_lines - tile);

				bf16->pack(to, from + (left > 0 ? (size_t) tile * ld : 0) + i, ld, left, lm_smaller(LM_BF16_K, packing->n - i),
						   packing->turn_along ? LM_BF16_ALONG_TURNED : LM_BF16_ALONG);
			}
	}
	if (packing->across)
	{
		size_t tile_count = (size_t) lm_bf16_blocks(packing->n_lines) * LM_BF16_BLOCK;
		uint16_t *to = packing->across + (size_t) (first / LM_BF16_K) * LM_BF16_BLOCK;
		int i = 0;

		for (; i < packing->n; i += LM_BF16_TILE, to += tile_count)
			bf16->pack(to, from + i, ld, n_lines, lm_smaller(LM_BF16_TILE, packing->n - i),
					   packing->turn_across ? LM_BF16_ACROSS_TURNED : LM_BF16_ACROSS);
		if (i % LM_BF16_STEP != 0)
			memset(to, 0, LM_BF16_BLOCK * sizeof *to);
	}
}

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
		work->simd->add(work->dbias, work->bias_sums->sums + (size_t) i * (size_t) work->bias_sums->n,
						(size_t) work->bias_sums->n);
}

/* Tiles follow each other downwards, so that b's part is still in the cache. */
static void
product_tile(const Work *work, const Product *product, int number)
{
	int row = number % product->n_down * product->side_m, first = number / product->n_down * product->side_n;
	int n_rows = lm_smaller(product->side_m, product->m - row);
	int last = lm_smaller(first + product->side_n, product->n);

	for (int column = first; column < last; column += LM_BF16_STEP)
		product_strip(work, product, row, n_rows, column);
}

static void
product_strip(const Work *work, const Product *product, int row, int n_rows, int column)
{
	_Alignas(64) float sums[MOST_SIDE * LM_BF16_STEP];
	size_t tile = (size_t) product->n_blocks * LM_BF16_BLOCK;
	const uint16_t *a = product->a + (size_t) (row / LM_BF16_TILE) * tile;
	const uint16_t *b = product->b + (size_t) (column / LM_BF16_TILE) * tile;
	int n_a = lm_divide_up((size_t) n_rows, LM_BF16_STEP) * 2;
	int n_parts = lm_divide_up((size_t) product->n_blocks, K_BLOCK / LM_BF16_K);
	int part = lm_divide_up((size_t) product->n_blocks, (size_t) n_parts);
	LmBf16Finish finish = product->finish;

	for (int block = 0; block < product->n_blocks; block += part)
		work->bf16->multiply(sums, LM_BF16_STEP, a + (size_t) block * LM_BF16_BLOCK, tile,
							 b + (size_t) block * LM_BF16_BLOCK, tile, n_a, 2, lm_smaller(part, product->n_blocks - block),
							 block > 0);
	finish.y += (size_t) row * finish.ld_y + (size_t) column;
	finish.bias = finish.bias ? finish.bias + column : NULL;
	work->bf16->finish(&finish, sums, LM_BF16_STEP, n_rows, lm_smaller(LM_BF16_STEP, product->n - column));
}
