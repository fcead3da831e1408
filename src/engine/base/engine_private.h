/*
 * src/engine/base/engine_private.h
 *
 * The handle as the engine's own rooms see it.
 */
#ifndef LM_ENGINE_PRIVATE_H
#define LM_ENGINE_PRIVATE_H

#include "base/aside.h"
#include "base/pool.h"
#include "engine/engine.h"

/* cblas_sgemm with the interface of the reference BLAS (32-bit integers). */
typedef void (*LmSgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k,
						float alpha, const float *a, int ld_a, const float *b, int ld_b, float beta,
						float *y, int ld_y);

/* The matrix library that is loaded at run time. */
typedef struct LmBlas
{
	LmSgemm sgemm; /* NULL: the built-in kernels are used */
	double least; /* multiply-adds; smaller products are left to the built-in kernels */
	char name[128];
} LmBlas;

struct LmTiles; /* kernels/tiles.h */

/* The handle: base/engine.c makes it; kernels/start.c fills blas, bf16, f32 and description. */
struct LmEngine
{
	LmHost host;
	LmPool *pool;
	LmAside aside;
	LmAside apart; /* at the priority of the pool; runs where that is not the caller's */
	LmBlas blas;
	const struct LmTiles *bf16; /* NULL: none runs here */
	const struct LmTiles *f32; /* NULL: the matrix library */
	char description[160];
};

/*
 * The handle with its threads, but without kernels: lm_engine_start adds them. NULL with
 * LM_ERR_MEMORY.
 */
LmEngine *lm_engine_create(const LmHost *host, int n_threads, int nice, LmError *error);

#endif /* LM_ENGINE_PRIVATE_H */
