/*
 * src/engine/base/aside.h
 *
 * One thread beside the pool, for work that waits more than it computes: reading the next batch while the pool
 * makes a step. Started when it is first needed.
 */
#ifndef LM_ASIDE_H
#define LM_ASIDE_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * Locking: `task`, `work`, `busy` and `quit` under the mutex; the rest is the caller's. The task's results are
 * the caller's after lm_aside_wait.
 */
typedef struct LmAside
{
	bool running; /* there is a thread */
	pid_t owner; /* which does not survive a fork */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	void (*task)(void *work);
	void *work;
	bool busy; /* a task is given and not done */
	bool quit;
} LmAside;

/* Hands a task over, after the one before it is done. Where no thread can be had, the task runs at once. */
void lm_aside_begin(LmAside *aside, void (*task)(void *work), void *work);
void lm_aside_wait(LmAside *aside); /* until the task is done; at once where there is none */
void lm_aside_stop(LmAside *aside); /* waits, then joins the thread */

#endif /* LM_ASIDE_H */
