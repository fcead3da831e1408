/*
 * src/engine/kernels/panel_simd_avx2.c
 *
 * Products with panels for the instruction set "avx2"; the Makefile gives this file its flags.
 */
#define LM_SIMD avx2
#include "kernels/panel_body.h"
