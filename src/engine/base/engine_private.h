/*
 * src/engine/base/engine_private.h
 *
 * What the engine's own rooms know of the handle.
 */
#ifndef LM_ENGINE_PRIVATE_H
#define LM_ENGINE_PRIVATE_H

#include "base/pool.h"
#include "engine/engine.h"
#include "kernels/blas.h"

struct LmEngine
{
	LmHost host;
	LmPool *pool;
	LmBlas blas;
	char description[160];
};

#endif /* LM_ENGINE_PRIVATE_H */
