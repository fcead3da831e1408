/*
 * src/engine/kernels/panel_simd_base.c
 *
 * Products with panels for the instruction set "base"; the Makefile gives this file its flags.
 */
#define LM_SIMD base
#include "kernels/panel_body.h"
