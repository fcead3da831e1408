/*
 * src/engine/kernels/panel_simd_avx512vnni.c
 *
 * Products with panels for the instruction set "avx512vnni"; the Makefile gives this file its
 * flags.
 */
#define LM_SIMD avx512vnni
#include "kernels/panel_body.h"
