/*
 * src/engine/kernels/panel_simd_avx512.c
 *
 * Products with panels for the instruction set "avx512"; the Makefile gives this file its flags.
 */
#define LM_SIMD avx512
#include "kernels/panel_body.h"
