/*
 * src/engine/base/pool.h
 *
 * The pool of threads of lm_engine_run, and the signal mask under which threads and libraries
 * start.
 */
#ifndef LM_POOL_H
#define LM_POOL_H

#include <signal.h>
#include <stdbool.h>

#include "engine/engine.h"

/* The pool; base/pool.c has its locking rule. */
typedef struct LmPool LmPool;

/*
 * Starts n_threads - 1 threads beside the caller's, fewer when the system gives no more. NULL when
 * there is no memory.
 */
LmPool *lm_pool_start(const LmHost *host, int n_threads, int nice);
void lm_pool_stop(LmPool *pool); /* joins the threads; NULL is fine */

/* As lm_engine_threads, lm_engine_busy and lm_engine_run. */
int lm_pool_threads(const LmPool *pool);
void lm_pool_busy(const LmPool *pool, int64_t *nanoseconds);
void lm_pool_run(LmPool *pool, LmPiece piece, void *work, int n_pieces);

/* As lm_engine_begin, lm_engine_stopped and lm_engine_hold. */
void lm_pool_begin(LmPool *pool);
bool lm_pool_stopped(LmPool *pool); /* asks the host */
/* does not ask the host, and so may be called inside a piece, on any thread */
bool lm_pool_stopping(const LmPool *pool);
void lm_pool_hold(LmPool *pool, bool hold); /* while held, the host is not asked */

/*
 * While lent, another thread than the caller's calls lm_pool_run. That thread does not ask the
 * host: the caller does so with lm_pool_ask, and a yes counts once the borrower asks and nothing is
 * held.
 */
void lm_pool_lend(LmPool *pool, bool lent);
void lm_pool_ask(LmPool *pool);

/*
 * Blocks every signal but those that a fault of the thread itself raises: a handler of the server
 * must never run on a thread of the pool. *old is for lm_signals_restore.
 */
void lm_signals_block(sigset_t *old);
void lm_signals_restore(const sigset_t *old);

/* Sets the priority of this thread as of LmEngineOptions.nice; a failure is of no consequence. */
void lm_thread_lower(int nice);

#endif /* LM_POOL_H */
