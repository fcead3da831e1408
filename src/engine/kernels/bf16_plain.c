/*
 * src/engine/kernels/bf16_plain.c
 *
 * Products in bfloat16 in plain C: the twins of the vectorised kernels, with their rounding and order of sums
 * (Intel 64 and IA-32 Architectures Software Developer's Manual, VDPBF16PS and TDPBF16PS).
 */
#include <math.h>
#include <string.h>

#include "kernels/bf16.h"

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
lm_bf16_plain_pack(uint16_t *block, const float *from, size_t ld, int n_lines, int n, LmBf16Packing packing)
{
	bool across = packing == LM_BF16_ACROSS || packing == LM_BF16_ACROSS_TURNED;
	bool is_b = packing == LM_BF16_ACROSS || packing == LM_BF16_ALONG_TURNED;

	memset(block, 0, LM_BF16_BLOCK * sizeof *block);
	for (int line = 0; line < n_lines; line++)
		for (int i = 0; i < n; i++)
		{
			int k = across ? line : i, other = across ? i : line;
			int place = is_b ? k / 2 * LM_BF16_K + other * 2 + k % 2 : other * LM_BF16_K + k;

			block[place] = lm_bf16_from_float(from[(size_t) line * ld + (size_t) i]);
		}
}

/* sum += a row of a's block times a column of b's */
static float
tile_sum_avx512(float sum, const uint16_t *a, const uint16_t *b)
{
	for (int pair = 0; pair < LM_BF16_TILE; pair++)
		for (int i = 1; i >= 0; i--)
			sum = flush(fmaf(lm_bf16_to_float(a[2 * pair + i]), lm_bf16_to_float(b[pair * LM_BF16_K + i]), sum));
	return sum;
}

/* The first and second numbers of the pairs are summed apart, from zero. */
static float
tile_sum_amx(float sum, const uint16_t *a, const uint16_t *b)
{
	float sums[2] = {0, 0};

	for (int pair = 0; pair < LM_BF16_TILE; pair++)
		for (int i = 0; i < 2; i++)
			sums[i] = flush(fmaf(lm_bf16_to_float(a[2 * pair + i]), lm_bf16_to_float(b[pair * LM_BF16_K + i]), sums[i]));
	return flush(sum + flush(sums[0] + sums[1]));
}

typedef float (*TileSum)(float sum, const uint16_t *a, const uint16_t *b);

static void
multiply(float *sums, size_t ld, const uint16_t *a, size_t a_tile, const uint16_t *b, size_t b_tile, int n_a, int n_b,
		 int n_blocks, bool add, TileSum tile_sum)
{
	for (int row = 0; row < n_a * LM_BF16_TILE; row++)
		for (int column = 0; column < n_b * LM_BF16_TILE; column++)
		{
			const uint16_t *row_a = a + (size_t) (row / LM_BF16_TILE) * a_tile + row % LM_BF16_TILE * LM_BF16_K;
			const uint16_t *column_b = b + (size_t) (column / LM_BF16_TILE) * b_tile + column % LM_BF16_TILE * 2;
			float *y = sums + (size_t) row * ld + column, sum = add ? *y : 0;

			for (int block = 0; block < n_blocks; block++)
				sum = tile_sum(sum, row_a + block * LM_BF16_BLOCK, column_b + block * LM_BF16_BLOCK);
			*y = sum;
		}
}

static void
multiply_avx512(float *sums, size_t ld, const uint16_t *a, size_t a_tile, const uint16_t *b, size_t b_tile, int n_a,
				int n_b, int n_blocks, bool add)
{
	multiply(sums, ld, a, a_tile, b, b_tile, n_a, n_b, n_blocks, add, tile_sum_avx512);
}

static void
multiply_amx(float *sums, size_t ld, const uint16_t *a, size_t a_tile, const uint16_t *b, size_t b_tile, int n_a,
			 int n_b, int n_blocks, bool add)
{
	multiply(sums, ld, a, a_tile, b, b_tile, n_a, n_b, n_blocks, add, tile_sum_amx);
}

static void
finish_plain(const LmBf16Finish *finish, const float *sums, size_t ld, int n_rows, int n_columns)
{
	for (int row = 0; row < n_rows; row++)
		for (int column = 0; column < n_columns; column++)
		{
			float *y = finish->y + (size_t) row * finish->ld_y + column;
			float value = sums[(size_t) row * ld + column];

			if (finish->bias)
				value += finish->bias[column];
			*y = finish->add ? *y + value : value;
		}
}

const LmBf16 lm_bf16_plain_avx512 = {"plain avx512_bf16", lm_bf16_plain_pack, multiply_avx512, finish_plain};
const LmBf16 lm_bf16_plain_amx = {"plain amx", lm_bf16_plain_pack, multiply_amx, finish_plain};
