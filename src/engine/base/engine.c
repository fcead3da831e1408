/*
 * src/engine/base/engine.c
 *
 * The handle: a pool of threads, and what multiplies matrices, started and stopped together.
 */
#include <stdio.h>

#include "base/engine_private.h"
#include "engine/ops.h"
#include "kernels/f32.h"

/* how often a caller that waits for a task asks the host */
#define ASK_NANOSECONDS 5000000
#define STACK_SIZE (4 << 20) /* as of the pool's threads */

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
	engine = lm_allocate(host, sizeof *engine);
	if (engine)
	{
		engine->host = *host;
		engine->pool = lm_pool_start(host, options->n_threads, options->nice);
		engine->apart =
			(LmAside){.name = "gpt pool", .stack_size = STACK_SIZE, .nice = options->nice};
	}
	if (!engine || !engine->pool)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory");
		lm_engine_stop(engine);
		return NULL;
	}
	engine->bf16 = options->bf16 ? lm_bf16_named(options->bf16) : lm_bf16_best();
	if (options->bf16 && !engine->bf16)
	{
		lm_fail(error, LM_ERR_ARGUMENT, -1, "bfloat16 kernels \"%s\" do not run here",
				options->bf16);
		lm_engine_stop(engine);
		return NULL;
	}
	/* A user who names a library wants it used. */
	if (options->f32)
		engine->f32 = lm_f32_named(options->f32);
	else if (!options->blas_library || !*options->blas_library)
		engine->f32 = lm_f32_best();
	if (options->f32 && *options->f32 && !engine->f32)
	{
		lm_fail(error, LM_ERR_ARGUMENT, -1, "float32 kernels \"%s\" do not run here", options->f32);
		lm_engine_stop(engine);
		return NULL;
	}
	if ((options->blas_library || !engine->f32) &&
		!lm_blas_load(engine, options->blas_library, error))
	{
		lm_engine_stop(engine);
		return NULL;
	}
	describe(engine);
	return engine;
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

void
lm_engine_stop(LmEngine *engine)
{
	LmHost host;

	if (!engine)
		return;
	host = engine->host;
	lm_aside_stop(&engine->aside);
	lm_aside_stop(&engine->apart);
	lm_pool_stop(engine->pool);
	lm_free(&host, engine);
}

const LmHost *
lm_engine_host(const LmEngine *engine)
{
	return &engine->host;
}

int
lm_engine_threads(const LmEngine *engine)
{
	return lm_pool_threads(engine->pool);
}

void
lm_engine_busy(const LmEngine *engine, int64_t *nanoseconds)
{
	lm_pool_busy(engine->pool, nanoseconds);
}

const char *
lm_engine_description(const LmEngine *engine)
{
	return engine->description;
}

const char *
lm_engine_bf16(const LmEngine *engine)
{
	return engine->bf16 ? engine->bf16->name : NULL;
}

void
lm_engine_begin(LmEngine *engine)
{
	lm_pool_begin(engine->pool);
}

bool
lm_engine_stopped(LmEngine *engine)
{
	return lm_pool_stopped(engine->pool);
}

void
lm_engine_hold(LmEngine *engine, bool hold)
{
	lm_pool_hold(engine->pool, hold);
}

void
lm_engine_run(LmEngine *engine, LmPiece piece, void *work, int n_pieces)
{
	lm_pool_run(engine->pool, piece, work, n_pieces);
}

void
lm_engine_apart(LmEngine *engine, void (*task)(void *work), void *work)
{
	if (engine->apart.nice == 0 || !lm_aside_start(&engine->apart))
	{
		task(work);
		return;
	}
	lm_pool_lend(engine->pool, true);
	lm_aside_begin(&engine->apart, task, work);
	while (!lm_aside_wait_for(&engine->apart, ASK_NANOSECONDS))
		lm_pool_ask(engine->pool);
	lm_pool_lend(engine->pool, false);
}
