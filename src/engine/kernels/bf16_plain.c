/*
 * src/engine/kernels/bf16_plain.c
 *
 * Products in bfloat16 in plain C: the twins of the vectorised kernels, with their rounding and
 * order of sums (Intel 64 and IA-32 Architectures Software Developer's Manual, VDPBF16PS and
 * TDPBF16PS).
 */
#include <math.h>
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/f32.h"

static float flush(float value);
static float tile_sum_avx512(float sum, const uint16_t *a, const uint16_t *b);
static float tile_sum_amx(float sum, const uint16_t *a, const uint16_t *b);

uint16_t
lm_bf16_from_float(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof bits);
	if ((bits & 0x7f800000) == 0)
		return (uint16_t) (bits >> 16 & 0x8000);
	if (isnan(value))
		return (uint16_t) (bits >> 16 | 0x40);
	return (uint16_t) ((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float
lm_bf16_to_float(uint16_t value)
{
	uint32_t bits = (uint32_t) value << 16;
	float result;

	memcpy(&result, &bits, sizeof result);
	return flush(result);
}

static float
flush(float value)
{
	return fabsf(value) < 0x1p-126f ? copysignf(0, value) : value;
}

void
lm_bf16_plain_pack(void *to, const float *from, size_t ld, int n_lines, int n,
				   LmTilePacking packing)
{
	bool across = packing == LM_TILE_ACROSS || packing == LM_TILE_ACROSS_TURNED;
	bool is_b = packing == LM_TILE_ACROSS || packing == LM_TILE_ALONG_TURNED;
	uint16_t *block = to;

	memset(block, 0, LM_TILE_BLOCK * sizeof *block);
	for (int line = 0; line < n_lines; line++)
		for (int i = 0; i < n; i++)
		{
			int k = across ? line : i, other = across ? i : line;
			int place = is_b ? k / 2 * LM_TILE_K + other * 2 + k % 2 : other * LM_TILE_K + k;

			block[place] = lm_bf16_from_float(from[(size_t) line * ld + (size_t) i]);
		}
}

/* sum += a row of a's block times a column of b's */
static float
tile_sum_avx512(float sum, const uint16_t *a, const uint16_t *b)
{
	for (int pair = 0; pair < LM_TILE; pair++)
		for (int i = 1; i >= 0; i--)
			sum = flush(fmaf(lm_bf16_to_float(a[2 * pair + i]),
							 lm_bf16_to_float(b[pair * LM_TILE_K + i]), sum));
	return sum;
}

/* The first and the second numbers of the pairs have a sum each, from zero on. */
static float
tile_sum_amx(float sum, const uint16_t *a, const uint16_t *b)
{
	float sums[2] = {0, 0};

	for (int pair = 0; pair < LM_TILE; pair++)
		for (int i = 0; i < 2; i++)
			sums[i] = flush(fmaf(lm_bf16_to_float(a[2 * pair + i]),
								 lm_bf16_to_float(b[pair * LM_TILE_K + i]), sums[i]));
	return flush(sum + flush(sums[0] + sums[1]));
}

typedef float (*TileSum)(float sum, const uint16_t *a, const uint16_t *b);

/* LmTiles.multiply in plain C; tile_sum adds products in the order of the processor's kernel. */
static void
multiply(float *sums, size_t ld, const uint16_t *a, size_t a_tile, const uint16_t *b, size_t b_tile,
		 int n_a, int n_b, int n_blocks, bool add, TileSum tile_sum)
{
	for (int row = 0; row < n_a * LM_TILE; row++)
		for (int column = 0; column < n_b * LM_TILE; column++)
		{
			const uint16_t *row_a =
				a + (size_t) (row / LM_TILE) * a_tile + row % LM_TILE * LM_TILE_K;
			const uint16_t *column_b =
				b + (size_t) (column / LM_TILE) * b_tile + column % LM_TILE * 2;
			float *y = sums + (size_t) row * ld + column, sum = add ? *y : 0;

			for (int block = 0; block < n_blocks; block++)
				sum =
					tile_sum(sum, row_a + block * LM_TILE_BLOCK, column_b + block * LM_TILE_BLOCK);
			*y = sum;
		}
}

static void
multiply_avx512(float *sums, size_t ld, const void *a, size_t a_tile, const void *b, size_t b_tile,
				int n_a, int n_b, int n_blocks, bool add)
{
	multiply(sums, ld, a, a_tile, b, b_tile, n_a, n_b, n_blocks, add, tile_sum_avx512);
}

static void
multiply_amx(float *sums, size_t ld, const void *a, size_t a_tile, const void *b, size_t b_tile,
			 int n_a, int n_b, int n_blocks, bool add)
{
	multiply(sums, ld, a, a_tile, b, b_tile, n_a, n_b, n_blocks, add, tile_sum_amx);
}

const LmTiles lm_bf16_plain_avx512 = {"plain avx512_bf16", sizeof(uint16_t), lm_bf16_plain_pack,
									  multiply_avx512, lm_f32_plain_finish};
const LmTiles lm_bf16_plain_amx = {"plain amx", sizeof(uint16_t), lm_bf16_plain_pack, multiply_amx,
								   lm_f32_plain_finish};
