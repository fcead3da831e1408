/*
 * src/engine/base/engine.c
 *
 * The handle: a pool of threads. kernels/start.c adds the kernels of matrix products.
 */
#include "base/engine_private.h"

/* how often a caller that waits for a task asks the host */
#define ASK_NANOSECONDS 5000000
#define STACK_SIZE (4 << 20) /* as of the pool's threads */

LmEngine *
lm_engine_create(const LmHost *host, int n_threads, int nice, LmError *error)
{
	LmEngine *engine = lm_allocate(host, sizeof *engine);

	if (engine)
	{
		engine->host = *host;
		engine->pool = lm_pool_start(host, n_threads, nice);
		engine->apart = (LmAside){.name = "gpt pool", .stack_size = STACK_SIZE, .nice = nice};
	}
	if (!engine || !engine->pool)
	{
		lm_fail(error, LM_ERR_MEMORY, -1, "out of memory");
		lm_engine_stop(engine);
		return NULL;
	}
	return engine;
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
