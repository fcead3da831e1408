/*
 * src/engine/kernels/panel_simd_avx512bf16.c
 *
 * Products with panels for the instruction set "avx512bf16"; the Makefile gives this file its
 * flags.
 */
#define LM_SIMD avx512bf16
#include "kernels/panel_body.h"
