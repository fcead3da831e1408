/*
 * src/engine/kernels/vector_simd_base.c
 *
 * The vectorised loops for the instruction set "base"; the Makefile gives this file its flags.
 */
#define LM_SIMD base
#include "kernels/vector_body.h"
