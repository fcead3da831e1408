/*
 * src/engine/kernels/bf16_simd_avx512bf16.c
 *
 * Products in bfloat16 by vdpbf16ps: 8 rows of a against 32 columns of b are 16 registers of sums.
 * The Makefile gives this file its flags.
 */
#include "kernels/bf16.h"
#include "kernels/f32.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define ROWS 8

INLINE __mmask16
first_lanes(int n)
{
	return n >= 16 ? (__mmask16) 0xffff : n <= 0 ? (__mmask16) 0 : (__mmask16) ((1u << n) - 1);
}

/* A line's 32 numbers. */
INLINE __m512i
load_along(const float *from, int n)
{
	__m512 low = _mm512_maskz_loadu_ps(first_lanes(n), from);
	__m512 high = _mm512_maskz_loadu_ps(first_lanes(n - 16), from + 16);

	return (__m512i) _mm512_cvtne2ps_pbh(high, low);
}

/* 16 numbers of two lines, in turn. */
INLINE __m512i
load_across(const float *from, size_t ld, int n_lines, int n)
{
	__mmask16 lanes = first_lanes(n);
	__m512 first = n_lines > 0 ? _mm512_maskz_loadu_ps(lanes, from) : _mm512_setzero_ps();
	__m512 second = n_lines > 1 ? _mm512_maskz_loadu_ps(lanes, from + ld) : _mm512_setzero_ps();
	__m512i high = _mm512_cvtepu16_epi32((__m256i) _mm512_cvtneps_pbh(second));

	return _mm512_or_si512(_mm512_cvtepu16_epi32((__m256i) _mm512_cvtneps_pbh(first)),
						   _mm512_slli_epi32(high, 16));
}

/* 16 x 16 words: within quarters of registers by unpacking, then the quarters. */
INLINE void
turn(__m512i rows[16])
{
	__m512i a[16], b[16];

#pragma GCC unroll 8
	for (int i = 0; i < 16; i += 2)
	{
		a[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
		a[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
	}
	/* b[4 g + c]: column c of each quarter, rows 4 g .. 4 g + 3 */
#pragma GCC unroll 4
	for (int g = 0; g < 16; g += 4)
	{
		b[g] = _mm512_unpacklo_epi64(a[g], a[g + 2]);
		b[g + 1] = _mm512_unpackhi_epi64(a[g], a[g + 2]);
		b[g + 2] = _mm512_unpacklo_epi64(a[g + 1], a[g + 3]);
		b[g + 3] = _mm512_unpackhi_epi64(a[g + 1], a[g + 3]);
	}
#pragma GCC unroll 4
	for (int c = 0; c < 4; c++)
	{
		__m512i low02 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0x88),
				low13 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0xdd);
		__m512i high02 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x88);
		__m512i high13 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xdd);

		rows[c] = _mm512_shuffle_i32x4(low02, high02, 0x88);
		rows[8 + c] = _mm512_shuffle_i32x4(low02, high02, 0xdd);
		rows[4 + c] = _mm512_shuffle_i32x4(low13, high13, 0x88);
		rows[12 + c] = _mm512_shuffle_i32x4(low13, high13, 0xdd);
	}
}

INLINE void
pack_block(void *block, const float *from, size_t ld, int n_lines, int n, bool is_across,
		   bool is_turned)
{
	__m512i rows[16];

#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		if (is_across)
			rows[i] = load_across(from + (size_t) (2 * i) * ld, ld, n_lines - 2 * i, n);
		else
			rows[i] = i < n_lines ? load_along(from + (size_t) i * ld, n) : _mm512_setzero_si512();
	if (is_turned)
		turn(rows);
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		_mm512_store_si512((__m512i *) block + i, rows[i]);
}

void
lm_bf16_avx512_pack(void *block, const float *from, size_t ld, int n_lines, int n,
					LmTilePacking packing)
{
	bool is_whole =
		packing <= LM_TILE_ALONG_TURNED ? n_lines == 16 && n == 32 : n_lines == 32 && n == 16;

	if (packing == LM_TILE_ALONG)
		pack_block(block, from, ld, is_whole ? 16 : n_lines, is_whole ? 32 : n, false, false);
	else if (packing == LM_TILE_ALONG_TURNED)
		pack_block(block, from, ld, is_whole ? 16 : n_lines, is_whole ? 32 : n, false, true);
	else if (packing == LM_TILE_ACROSS)
		pack_block(block, from, ld, n_lines, n, true, false);
	else
		pack_block(block, from, ld, n_lines, n, true, true);
}

/* 8 rows of one tile of a against two tiles of b */
INLINE void
multiply_tile(float *sums, size_t ld, const uint16_t *a, const uint16_t *b0, const uint16_t *b1,
			  int n_blocks, bool add)
{
	__m512 y[ROWS][2];

#pragma GCC unroll 8
	for (int i = 0; i < ROWS; i++)
	{
		y[i][0] = add ? _mm512_loadu_ps(sums + (size_t) i * ld) : _mm512_setzero_ps();
		y[i][1] = add ? _mm512_loadu_ps(sums + (size_t) i * ld + LM_TILE) : _mm512_setzero_ps();
	}
	for (int block = 0; block < n_blocks; block++)
		for (int pair = 0; pair < 16; pair++)
		{
			const uint16_t *from = a + (size_t) block * LM_TILE_BLOCK + 2 * pair;
			size_t place = (size_t) block * LM_TILE_BLOCK + (size_t) pair * LM_TILE_K;
			__m512bh c0 = (__m512bh) _mm512_load_si512(b0 + place),
					 c1 = (__m512bh) _mm512_load_si512(b1 + place);

#pragma GCC unroll 8
			for (int i = 0; i < ROWS; i++)
			{
				__m512bh row = (__m512bh) _mm512_set1_epi32(
					*(const int32_t *) (const void *) (from + i * LM_TILE_K));

				y[i][0] = _mm512_dpbf16_ps(y[i][0], row, c0);
				y[i][1] = _mm512_dpbf16_ps(y[i][1], row, c1);
			}
		}
#pragma GCC unroll 8
	for (int i = 0; i < ROWS; i++)
	{
		_mm512_storeu_ps(sums + (size_t) i * ld, y[i][0]);
		_mm512_storeu_ps(sums + (size_t) i * ld + LM_TILE, y[i][1]);
	}
}

/* LmTiles.multiply: half a tile of rows by two tiles of columns, which fill the registers. */
static void
multiply(float *sums, size_t ld, const void *operand_a, size_t a_tile, const void *operand_b,
		 size_t b_tile, int n_a, int n_b, int n_blocks, bool add)
{
	const uint16_t *a = operand_a, *b = operand_b;

	for (int j = 0; j < n_b; j += 2)
		for (int i = 0; i < n_a; i++)
			for (int half = 0; half < 2; half++)
			{
				const uint16_t *b0 = b + (size_t) j * b_tile;
				size_t row = (size_t) i * LM_TILE + (size_t) half * ROWS;

				multiply_tile(sums + row * ld + (size_t) j * LM_TILE, ld,
							  a + (size_t) i * a_tile + half * ROWS * LM_TILE_K, b0, b0 + b_tile,
							  n_blocks, add);
			}
}

const LmTiles lm_bf16_avx512 = {"avx512_bf16", sizeof(uint16_t), lm_bf16_avx512_pack, multiply,
								lm_f32_avx512_finish};
#endif
