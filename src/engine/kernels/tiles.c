/*
 * src/engine/kernels/tiles.c
 *
 * Chooses the kernels for products of packed tiles. The tile registers of AMX belong to the system:
 * it must save them, and a process must ask for them once (Linux,
 * Documentation/arch/x86/xstate.rst); a forked child inherits it.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/bf16.h"
#include "kernels/f32.h"
#include "kernels/simd.h"

#if defined(__x86_64__)
#include <cpuid.h>

#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA 18
#define CPUID_AMX_TILE (1u << 24) /* leaf 7.0, edx */
#define CPUID_AMX_BF16 (1u << 22)

static bool
has_avx512_bf16(void)
{
	return lm_simd() == &lm_simd_avx512 && __builtin_cpu_supports("avx512bf16");
}

/*
 * The system grants tiles where the processor has them and it saves them. It is asked first: the
 * processor's own answer traps in virtual machines, where three of them took 45 microseconds.
 */
static bool
has_amx(void)
{
	unsigned a, b, c, d;

	return has_avx512_bf16() &&
		   syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 &&
		   __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & CPUID_AMX_TILE) && (d & CPUID_AMX_BF16);
}
#endif

const LmTiles *
lm_bf16_best(void)
{
#if defined(__x86_64__)
	if (has_amx())
		return &lm_bf16_amx;
	if (has_avx512_bf16())
		return &lm_bf16_avx512;
#endif
	return NULL;
}

const LmTiles *
lm_bf16_named(const char *name)
{
#if defined(__x86_64__)
	if (strcmp(name, lm_bf16_amx.name) == 0)
		return has_amx() ? &lm_bf16_amx : NULL;
	if (strcmp(name, lm_bf16_avx512.name) == 0)
		return has_avx512_bf16() ? &lm_bf16_avx512 : NULL;
#endif
	if (strcmp(name, lm_bf16_plain_avx512.name) == 0)
		return &lm_bf16_plain_avx512;
	return strcmp(name, lm_bf16_plain_amx.name) == 0 ? &lm_bf16_plain_amx : NULL;
}

const char *
lm_bf16_name(void)
{
	const LmTiles *best = lm_bf16_best();

	return best ? best->name : NULL;
}

const LmTiles *
lm_f32_best(void)
{
#if defined(__x86_64__)
	if (lm_simd() == &lm_simd_avx512)
		return &lm_f32_avx512;
#endif
	return NULL;
}

const LmTiles *
lm_f32_named(const char *name)
{
	if (strcmp(name, lm_f32_plain.name) == 0)
		return &lm_f32_plain;
#if defined(__x86_64__)
	if (lm_f32_best() && strcmp(name, lm_f32_best()->name) == 0)
		return lm_f32_best();
#endif
	return NULL;
}
