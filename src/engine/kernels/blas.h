/*
 * src/engine/kernels/blas.h
 *
 * The matrix library that is loaded at run time.
 */
#ifndef LM_BLAS_H
#define LM_BLAS_H

#include <stdbool.h>

#include "engine/engine.h"

/* cblas_sgemm with the interface of the reference BLAS (32-bit integers). */
typedef void (*LmSgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k,
						float alpha, const float *a, int ld_a, const float *b, int ld_b, float beta,
						float *y, int ld_y);

typedef struct LmBlas
{
	LmSgemm sgemm; /* NULL: the built-in kernels are used */
	double least; /* multiply-adds; smaller products are left to the built-in kernels */
	char name[128];
} LmBlas;

/*
 * Fills engine->blas. False with LM_ERR_LIBRARY when path names a file that cannot be used, or
 * LM_ERR_MEMORY; path "" loads nothing, NULL looks in the usual places and is content to find
 * nothing.
 */
bool lm_blas_load(LmEngine *engine, const char *path, LmError *error);

#endif /* LM_BLAS_H */
