/*
 * src/engine/kernels/vector_simd_avx512.c
 *
 * The vectorised loops for the instruction set "avx512"; the Makefile gives this file its flags.
 */
#define LM_SIMD avx512
#include "kernels/vector_body.h"
