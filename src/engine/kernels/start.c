/*
 * src/engine/kernels/start.c
 *
 * Starts an engine: its threads, then the kernels of matrix products.
 */
#include <stdio.h>

#include "base/engine_private.h"
#include "engine/ops.h"
#include "kernels/bf16.h"
#include "kernels/blas.h"
#include "kernels/f32.h"

static bool choose_kernels(LmEngine *engine, const LmEngineOptions *options, LmError *error);
static void describe(LmEngine *engine);

LmEngine *
lm_engine_start(const LmHost *host, const LmEngineOptions *options, LmError *error)
{
	LmEngine *engine;

	if (options->n_threads < 1 || options->n_threads > LM_MAX_THREADS)
	{
		lm_fail(error, LM_ERR_ARGUMENT, -1, "number of threads %d is not between 1 and %d",
				options->n_threads, LM_MAX_THREADS);
		return NULL;
	}
	engine = lm_engine_create(host, options->n_threads, options->nice, error);
	if (!engine)
		return NULL;
	if (!choose_kernels(engine, options, error))
	{
		lm_engine_stop(engine);
		return NULL;
	}
	describe(engine);
	return engine;
}

/* Takes the kernels that the options name, else the best; loads a library if still needed. */
static bool
choose_kernels(LmEngine *engine, const LmEngineOptions *options, LmError *error)
{
	engine->bf16 = options->bf16 ? lm_bf16_named(options->bf16) : lm_bf16_best();
	if (options->bf16 && !engine->bf16)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "bfloat16 kernels \"%s\" do not run here",
					   options->bf16);
	/* A user who names a library wants it used. */
	if (options->f32)
		engine->f32 = lm_f32_named(options->f32);
	else if (!options->blas_library || !*options->blas_library)
		engine->f32 = lm_f32_best();
	if (options->f32 && *options->f32 && !engine->f32)
		return lm_fail(error, LM_ERR_ARGUMENT, -1, "float32 kernels \"%s\" do not run here",
					   options->f32);
	return (!options->blas_library && engine->f32) ||
		   lm_blas_load(engine, options->blas_library, error);
}

static void
describe(LmEngine *engine)
{
	if (engine->blas.sgemm)
		snprintf(engine->description, sizeof engine->description, "%s, %s%s", engine->blas.name,
				 engine->blas.least > 0 ? "small products " : "", lm_simd_name());
	else
		snprintf(engine->description, sizeof engine->description, "built-in %s", lm_simd_name());
}

const char *
lm_engine_bf16(const LmEngine *engine)
{
	return engine->bf16 ? engine->bf16->name : NULL;
}
