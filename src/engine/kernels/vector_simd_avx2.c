/*
 * src/engine/kernels/vector_simd_avx2.c
 *
 * The vectorised loops for the instruction set "avx2"; the Makefile gives this file its flags.
 */
#define LM_SIMD avx2
#include "kernels/vector_body.h"
