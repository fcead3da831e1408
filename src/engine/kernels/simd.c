/*
 * src/engine/kernels/simd.c
 *
 * Chooses the instruction set. Asked at each call, because the engine has no mutable globals: the
 * compiler's run-time library answers from a word that it filled when the program started.
 */
#include "kernels/simd.h"

const LmSimd *
lm_simd(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512cd"))
		return &lm_simd_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
		__builtin_cpu_supports("bmi2"))
		return &lm_simd_avx2;
#endif
	return &lm_simd_base;
}

const char *
lm_simd_name(void)
{
	return lm_simd()->name;
}
