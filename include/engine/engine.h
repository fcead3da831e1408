/*
 * include/engine/engine.h
 *
 * The handle of everything that computes: a pool of threads, one thread beside it that reads ahead,
 * and a matrix library. One per process that computes, started after the fork. Nothing in the
 * engine is global.
 *
 * Work is a function called once for each of n_pieces pieces. Pieces are cut by shape, never by
 * thread, so a result does not depend on how many threads there are. A piece should take at most
 * ~10 ms: between pieces the calling thread asks the host's should_stop. Once it says yes, the
 * engine is `stopped`: remaining pieces are skipped, every further lm_engine_run returns at once,
 * and what was being computed is undefined. The caller of a computation calls lm_engine_begin
 * before it, and lm_engine_stopped before using its results.
 */
#ifndef LM_ENGINE_H
#define LM_ENGINE_H

#include "engine/error.h"
#include "engine/host.h"

#define LM_MAX_THREADS 64
#define LM_NICE_IDLE 20 /* SCHED_IDLE, beyond the lowest nice level */

/* The handle: pool, side threads and kernels. One thread at a time may use it. */
typedef struct LmEngine LmEngine;

/* Choices of lm_engine_start; the strings need not outlive that call. */
typedef struct LmEngineOptions
{
	/* the caller's among them; 1 .. LM_MAX_THREADS. Fewer when threads cannot be made. */
	int n_threads;
	/*
	 * a path; "" for the built-in kernels only; NULL to look in the usual places where f32 has no
	 * kernels
	 */
	const char *blas_library;
	/*
	 * kernels for bfloat16 by name, "plain amx" and "plain avx512_bf16" among them; NULL: the best
	 */
	const char *bf16;
	/*
	 * kernels for products with a weight in float32 by name, "plain" among them; "": none; NULL:
	 * the best, or the library that is named
	 */
	const char *f32;
	/*
	 * Priority of the computing threads: 0 for the caller's, a nice level, or LM_NICE_IDLE. A
	 * thread that has lowered its priority may not raise it again, so the caller's keeps its own,
	 * and lm_engine_apart has a thread in its place.
	 */
	int nice;
} LmEngineOptions;

/*
 * Starts the pool with all signals blocked in its threads and loads the BLAS library (once a
 * process: the library stays loaded). The library is tested against the built-in kernels and not
 * used if its results differ. The host is copied. NULL with LM_ERR_MEMORY, with LM_ERR_LIBRARY when
 * blas_library names a file that cannot be used, or with LM_ERR_ARGUMENT when bf16 or f32 names
 * kernels that do not run here.
 */
LmEngine *lm_engine_start(const LmHost *host, const LmEngineOptions *options, LmError *error);
/* Joins the threads and frees the handle; NULL is fine. */
void lm_engine_stop(LmEngine *engine);

/*
 * The host, which lives as long as the engine, and the number of threads, the caller's among them.
 */
const LmHost *lm_engine_host(const LmEngine *engine);
int lm_engine_threads(const LmEngine *engine);

/*
 * nanoseconds [lm_engine_threads] gets the time that each thread has spent in pieces since the
 * engine started. In the rest of a computation the thread waited for the pieces of others, or for
 * work that the caller does alone. Call it between runs.
 */
void lm_engine_busy(const LmEngine *engine, int64_t *nanoseconds);

/*
 * The library or kernels of matrix products, for logs and job rows: "OpenBLAS 0.3.21 Haswell, avx2"
 * or "built-in avx512".
 */
const char *lm_engine_description(const LmEngine *engine);

/* The kernels of bfloat16 products: "amx", "avx512_bf16"; NULL where the processor has neither. */
const char *lm_engine_bf16(const LmEngine *engine);

void lm_engine_begin(LmEngine *engine); /* forgets an earlier stop */
/*
 * True once the host has asked to stop since lm_engine_begin; asks the host, on the calling thread
 * only.
 */
bool lm_engine_stopped(LmEngine *engine);
/*
 * While held, the engine does not ask the host and so cannot become stopped: for work that must not
 * be left half done, such as the update of the parameters. For well below a second.
 */
void lm_engine_hold(LmEngine *engine, bool hold);

/*
 * piece is 0 .. n_pieces - 1; thread is 0 .. n_threads - 1, for scratch memory only, never for
 * results.
 */
typedef void (*LmPiece)(void *work, int piece, int thread);

/*
 * Runs all pieces and returns when none is running. Pieces are handed out in order, one at a time,
 * to whichever thread is free. Not reentrant.
 */
void lm_engine_run(LmEngine *engine, LmPiece piece, void *work, int n_pieces);

/*
 * Runs a task whose lm_engine_run calls compute at the engine's priority, and returns when it is
 * done. With options.nice a thread of the engine runs it, while the caller's thread waits and asks
 * the host every few milliseconds. The task must not allocate: it calls the host only through
 * lm_engine_stopped. Not reentrant.
 */
void lm_engine_apart(LmEngine *engine, void (*task)(void *work), void *work);

#endif /* LM_ENGINE_H */
