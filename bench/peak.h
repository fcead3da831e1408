/*
 * bench/peak.h
 *
 * What the processor can do at most: loops of multiply-adds that touch nothing but registers, on
 * all threads of an engine.
 */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

#include "engine/ops.h"
#include "shapes.h"

#define PEAK_ROUNDS 20000

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static void
peak_float32_avx512(void)
{
	__m512 sums[24], a = _mm512_set1_ps(1e-3f), b = _mm512_set1_ps(1e-3f);

#pragma GCC unroll 24
	for (int i = 0; i < 24; i++)
		sums[i] = a;
	for (int round = 0; round < PEAK_ROUNDS; round++)
#pragma GCC unroll 24
		for (int i = 0; i < 24; i++)
		{
			sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
			__asm__ volatile("" : "+v"(sums[i]));
		}
}

__attribute__((target("avx2,fma"))) static void
peak_float32_avx2(void)
{
	__m256 sums[12], a = _mm256_set1_ps(1e-3f), b = _mm256_set1_ps(1e-3f);

#pragma GCC unroll 12
	for (int i = 0; i < 12; i++)
		sums[i] = a;
	for (int round = 0; round < PEAK_ROUNDS; round++)
#pragma GCC unroll 12
		for (int i = 0; i < 12; i++)
		{
			sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
			__asm__ volatile("" : "+x"(sums[i]));
		}
}

__attribute__((target("avx512f,avx512bf16"))) static void
peak_bf16_avx512(void)
{
	__m512 sums[24];
	__m512bh a = (__m512bh) _mm512_set1_epi32(0x3f803f80),
			 b = (__m512bh) _mm512_set1_epi32(0x3f803f80);

#pragma GCC unroll 24
	for (int i = 0; i < 24; i++)
		sums[i] = _mm512_setzero_ps();
	for (int round = 0; round < PEAK_ROUNDS; round++)
#pragma GCC unroll 24
		for (int i = 0; i < 24; i++)
		{
			sums[i] = _mm512_dpbf16_ps(sums[i], a, b);
			__asm__ volatile("" : "+v"(sums[i]));
		}
}

/* The engine that was started before has asked the system for the tile registers. */
__attribute__((target("amx-tile,amx-bf16"))) static void
peak_bf16_amx(void)
{
	static const struct
	{
		uint8_t palette, start_row, reserved[14];
		uint16_t row_size[16];
		uint8_t rows[16];
	} tiles = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

	_tile_loadconfig(&tiles);
	_tile_zero(0);
	_tile_zero(1);
	_tile_zero(2);
	_tile_zero(3);
	_tile_zero(4);
	_tile_zero(5);
	_tile_zero(6);
	_tile_zero(7);
	for (int round = 0; round < PEAK_ROUNDS; round++)
	{
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(1, 4, 7);
		_tile_dpbf16ps(2, 5, 6);
		_tile_dpbf16ps(3, 5, 7);
	}
	_tile_release();
}
#endif

typedef struct Peak
{
	void (*loop)(void);
	double flop; /* of a call */
} Peak;

static void
peak_piece(void *work, int piece, int thread)
{
	((const Peak *) work)->loop();
}

/* Floating point operations a second; 0 where there is nothing to measure. */
static double
peak_rate(LmEngine *engine, Peak peak)
{
	int n = 4 * lm_engine_threads(engine);
	double best = 0;

	for (int round = 0; peak.loop && round < 20; round++)
	{
		double started = seconds_now(), rate;

		lm_engine_run(engine, peak_piece, &peak, n);
		rate = n * peak.flop / (seconds_now() - started);
		best = rate > best ? rate : best;
	}
	return best;
}

static inline double
peak_float32(LmEngine *engine)
{
	Peak peak = {NULL, 0};

#if defined(__x86_64__)
	if (strcmp(lm_simd_name(), "avx512") == 0)
		peak = (Peak){peak_float32_avx512, PEAK_ROUNDS * 24.0 * 32};
	else if (strcmp(lm_simd_name(), "avx2") == 0)
		peak = (Peak){peak_float32_avx2, PEAK_ROUNDS * 12.0 * 16};
#endif
	return peak_rate(engine, peak);
}

static inline double
peak_vdpbf16(LmEngine *engine)
{
	Peak peak = {NULL, 0};

#if defined(__x86_64__)
	if (lm_bf16_name())
		peak = (Peak){peak_bf16_avx512, PEAK_ROUNDS * 24.0 * 64};
#endif
	return peak_rate(engine, peak);
}

static inline double
peak_amx(LmEngine *engine)
{
	Peak peak = {NULL, 0};

#if defined(__x86_64__)
	if (lm_bf16_name() && strcmp(lm_bf16_name(), "amx") == 0)
		peak = (Peak){peak_bf16_amx, PEAK_ROUNDS * 4.0 * 16384};
#endif
	return peak_rate(engine, peak);
}

#endif /* BENCH_PEAK_H */
