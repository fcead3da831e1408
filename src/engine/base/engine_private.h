/*
 * src/engine/base/engine_private.h
 *
 * What the engine's own rooms know of the handle.
 */
#ifndef LM_ENGINE_PRIVATE_H
#define LM_ENGINE_PRIVATE_H

#include "base/aside.h"
#include "base/pool.h"
#include "engine/engine.h"
#include "kernels/bf16.h"
#include "kernels/blas.h"

struct LmEngine
{
	LmHost host;
	LmPool *pool;
	LmAside aside;
	LmAside apart; /* at the priority of the pool; runs where that is not the caller's */
	LmBlas blas;
	const LmTiles *bf16; /* NULL: none runs here */
	const LmTiles *f32; /* NULL: the matrix library */
	char description[160];
};

#endif /* LM_ENGINE_PRIVATE_H */
